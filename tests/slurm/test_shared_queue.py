"""A queue that others use too, and that does not always answer: nothing that works is ended, nothing is left behind."""

from __future__ import annotations

import logging
import random
import re
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import KINDS, Faults
from slurm_queue import Queue, until
from slurm_tasks import large, part, wide
from test_slurm import lines

import stargazer as sg
from stargazer.errors import RunFailed, WorkerOutOfMemory

DRIVER = """
import sys
import stargazer as sg
from slurm_tasks import part

if __name__ == "__main__":
    log, shared = sys.argv[1:]
    with sg.connect("slurm", cpus=2, memory="500 MB", walltime="10 min", workers="0-5", shared=shared, interface="lo"):
        sg.run([part(i=i, log=log, script="sleep 1234") for i in range(10)])
"""


def test_busy_workers_are_not_given_back(queue: Queue, store: sg.Store, tmp_path: Path) -> None:
    log = tmp_path / "ran"
    with sg.connect("slurm", **queue.options | {"workers": "0-3", "cpus": 2, "idle": "2 s"}):
        calls = [part(i=i, log=str(log), script=f"sleep {15 if i % 2 else 1}") for i in range(6)]
        sg.run(calls).result()
    assert max(Counter(i for i, _ in lines(log)).values()) == 1


class Told(logging.Handler):
    """What is told as warnings, whatever libraries of other tests did to the root of all loggers."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    logger, handler = logging.getLogger("stargazer"), Told()
    monkeypatch.setattr(logging.root.manager, "disable", logging.NOTSET)
    monkeypatch.setattr(logger, "disabled", False)
    level = logger.level
    logger.setLevel(logging.WARNING)
    logger.addHandler(handler)
    yield handler.texts
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.slow
def test_a_site_that_allows_two_jobs_is_asked_now_and_then(
    faults: Faults, queue: Queue, store: sg.Store, tmp_path: Path, told: list[str]
) -> None:
    faults.play("sbatch", "limit")
    log = tmp_path / "ran"
    with sg.connect("slurm", workers="0-4", **queue.options):
        sg.run([part(i=i, log=str(log), script="sleep 4") for i in range(6)]).result()
    assert len({number for _, number in lines(log)}) == 2
    assert 3 <= len(faults.calls("sbatch")) <= 6
    assert sum("the site allows 2 jobs" in text for text in told) == 1


@pytest.mark.parametrize("fault", [pytest.param("hang", marks=pytest.mark.slow), "warn", "empty"])
def test_workers_are_looked_after_whatever_squeue_says(
    faults: Faults, queue: Queue, store: sg.Store, tmp_path: Path, fault: str
) -> None:
    faults.play("squeue", fault)
    faults.play("scontrol", fault)
    log, go = tmp_path / "ran", tmp_path / "go"
    with sg.connect("slurm", workers="0-1", **queue.options) as client:
        flight = sg.run(part(i=1, log=str(log), script=f"until test -e {go}; do sleep 0.1; done"), wait=False)
        until(lambda: len(lines(log)) == 1)
        (worker,) = client.cluster.workers.values()  # type: ignore[union-attr]
        queue.cancel(worker.job_id)
        until(lambda: len(lines(log)) == 2)
        go.touch()
        assert flight.result().fetch().read_text() == "1\n"
    assert len(faults.calls("sbatch")) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_driver_that_is_asked_to_go_leaves_no_job(queue: Queue, tmp_path: Path, number: signal.Signals) -> None:
    log, (process, out) = tmp_path / "ran", driver(queue, tmp_path)
    until(lambda: len(lines(log)) >= 2 and len(queue.running()) == 5)
    process.send_signal(number)
    process.wait(60)
    assert process.returncode == 128 + number
    assert queue.running() == []
    assert "Traceback" not in out.read_text()


def test_jobs_of_a_killed_driver_do_not_wait_for_it_for_long(queue: Queue, tmp_path: Path) -> None:
    log, (process, _) = tmp_path / "ran", driver(queue, tmp_path)
    until(lambda: len(lines(log)) >= 2 and len(queue.running()) == 5)
    process.kill()
    process.wait(60)
    until(lambda: queue.running() == [], 100)


def driver(queue: Queue, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    (folder / "driver.py").write_text(DRIVER)
    command, out = [sys.executable, "driver.py", str(folder / "ran"), str(queue.folder)], folder / "out"
    with out.open("w") as file:
        options: dict[str, Any] = {"stdout": file, "stderr": file, "cwd": folder, "start_new_session": True}
        return subprocess.Popen(command, **options, preexec_fn=_hears_hangups), out


def _hears_hangups() -> None:
    """As in a terminal, though these tests run below ``nohup``."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_closing_while_a_submission_is_refused_ends_well(
    faults: Faults, queue: Queue, store: sg.Store, tmp_path: Path
) -> None:
    log = tmp_path / "ran"
    with sg.connect("slurm", workers="0-3", **queue.options):
        flight = sg.run([part(i=i, log=str(log)) for i in range(2)], wait=False)
        until(lambda: bool(lines(log)))
        faults.play("sbatch", "refuse", "hang")
        more = sg.run([part(i=i, log=str(log), script="sleep 3") for i in range(2, 9)], wait=False)
        flight.result()
        more.cancel()
    assert queue.running() == []


def test_what_is_dismissed_is_gone_though_scancel_fails_at_first(
    faults: Faults, queue: Queue, store: sg.Store, tmp_path: Path
) -> None:
    log = tmp_path / "ran"
    directives = ["--begin=now+600"]
    with sg.connect("slurm", workers="0-3", directives=directives, **queue.options):
        flight = sg.run(part(i=1, log=str(log)), wait=False)
        until(lambda: len(queue.running()) == 1)
        faults.play("scancel", "refuse")
        flight.cancel()
        until(lambda: len(faults.calls("scancel")) >= 2)
        faults.play("scancel", "hang", "late")
    assert queue.running() == []


def test_the_folder_of_a_lab_keeps_its_mode(queue: Queue, store: sg.Store) -> None:
    queue.folder.mkdir()
    queue.folder.chmod(0o2775)
    with sg.connect("slurm", workers="0-1", **queue.options):
        assert stat.S_IMODE(queue.folder.stat().st_mode) == 0o2775
        (own,) = queue.folder.iterdir()
        assert stat.S_IMODE(own.stat().st_mode) == 0o700


def test_each_waits_for_memory_in_a_job_of_its_own(queue: Queue, store: sg.Store, tmp_path: Path) -> None:
    log = tmp_path / "ran"
    with sg.connect("slurm", **queue.options | {"workers": "0-3", "cpus": 2, "memory": "1 GiB"}):
        sg.run([wide(i=i, log=str(log)) for i in range(3)]).result()
    assert len({number for _, number in lines(log)}) == 3


def test_a_call_that_keeps_to_its_memory_is_not_killed(queue: Queue, store: sg.Store, tmp_path: Path) -> None:
    log = tmp_path / "ran"
    with sg.connect("slurm", workers="0-1", **queue.options):
        flight = sg.run(large(log=str(log), used=450_000_000), wait=False)
        flight.result()
        assert flight.lost_workers == []
    assert len(lines(log)) == 1


def test_a_worker_that_slurm_ended_for_memory_says_so(
    queue: Queue, store: sg.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SLURM without cgroups says only CANCELLED; what it says elsewhere is played."""
    played(monkeypatch, "CANCELLED", "OUT_OF_MEMORY")
    log = tmp_path / "ran"
    with sg.connect("slurm", workers="0-1", **queue.options):
        flight = sg.run(part(i=1, log=str(log), script="sleep 60"), wait=False)
        until(lambda: len(lines(log)) == 1)
        queue.cancel(lines(log)[0][1])
        with pytest.raises(RunFailed, match=r"OUT_OF_MEMORY.*exit code .*its log: .*stargazer-") as failed:
            flight.result()
    (error,) = failed.value.failures.values()
    assert isinstance(error, WorkerOutOfMemory)
    assert "OUT_OF_MEMORY" in flight.lost_workers[0]
    shown = subprocess.run(
        [sys.executable, "-c", "from stargazer.cli import main; main()", "runs", noted(store), "--store", store.url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "lost: stargazer-" in shown
    assert "OUT_OF_MEMORY" in shown


def played(monkeypatch: pytest.MonkeyPatch, said: str, instead: str) -> None:
    from stargazer.client import systems

    read_queue, read_job = systems.read_queue, systems.read_job
    monkeypatch.setattr(systems, "read_queue", lambda text: read_queue(text.replace(said, instead)))
    monkeypatch.setattr(systems, "read_job", lambda text: read_job(text.replace(said, instead)))


def noted(store: sg.Store) -> str:
    from stargazer.runs.history import noted_runs

    return noted_runs(store)[0].id


def test_jobs_say_whose_they_are(queue: Queue, store: sg.Store, tmp_path: Path) -> None:
    log, options = tmp_path / "ran", queue.options | {"directives": ["--begin=now+600"]}
    with sg.connect("slurm", workers="0-2", job_name="ann", **options):
        flight = sg.run([part(i=i, log=str(log)) for i in range(2)], wait=False)
        until(lambda: len(queue.running()) == 2)
        told = subprocess.run(["squeue", "--noheader", "--format=%j|%k"], capture_output=True, text=True, check=True)
        flight.cancel()
    token = noted(store).rpartition("-")[2]
    for line in told.stdout.splitlines():
        assert re.fullmatch(rf"ann-{token}-[12]\|stargazer run {noted(store)}: part", line)


@pytest.mark.slow
def test_no_call_is_lost_and_no_job_left_whatever_the_commands_do(
    faults: Faults, queue: Queue, tmp_path: Path, seeds: Any
) -> None:
    for seed in seeds(range(8), range(200)):
        history(faults, queue, tmp_path / str(seed), random.Random(seed))
        assert queue.running() == [], seed


def history(faults: Faults, queue: Queue, folder: Path, rng: random.Random) -> None:
    """Some calls, while commands fail by chance and a machine may be taken away."""
    folder.mkdir()
    log, taken, began = folder / "ran", 0, time.time()
    for name in ("sbatch", "squeue", "scancel", "scontrol"):
        faults.play(name, *rng.sample([*KINDS, "fine", "fine", "fine", "fine"], rng.randint(1, 6)), "fine")
    with (
        sg.Store(str(folder / "store")),
        sg.connect("slurm", idle="2 s", **queue.options | {"workers": f"0-{rng.randint(1, 3)}"}),
    ):
        flight = sg.run([part(i=i, log=str(log), script=f"sleep {rng.random() * 3}") for i in range(6)], wait=False)
        flight.wait(rng.choice([8, 16]))
        if lines(log) and rng.random() < 0.5:
            queue.cancel(lines(log)[-1][1])
            taken = 1
        for name in ("sbatch", "squeue", "scancel", "scontrol") if rng.random() < 0.7 else ():
            faults.play(name)
        assert flight.wait(300), flight.notice
        flight.result()
        for name in ("sbatch", "squeue", "scancel", "scontrol"):
            faults.play(name)
    starts = Counter(i for i, _ in lines(log))
    assert sum(starts.values()) <= 6 + taken
    minutes = 1 + (time.time() - began) / 60
    assert len([at for at in faults.calls("sbatch") if at >= began]) <= 20 * minutes
