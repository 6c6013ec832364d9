"""Days that a batch system has: nodes that go, workers that are killed, other people's settings, files that change."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from slurm_queue import Queue, until
from slurm_tasks import copied, part
from test_slurm import lines

import stargazer as sg
from stargazer.errors import RunFailed


def scontrol(*words: str) -> str:
    return subprocess.run(["scontrol", *words], capture_output=True, text=True, timeout=60, check=True).stdout


def node_of(job: str) -> str:
    found = [word for word in scontrol("show", "job", job).split() if word.startswith("NodeList=n")]
    return found[0].partition("=")[2]


@contextlib.contextmanager
def node_in(state: str, node: str) -> Iterator[None]:
    scontrol("update", f"NodeName={node}", f"State={state}", "Reason=test")
    try:
        yield
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            scontrol("update", f"NodeName={node}", "State=RESUME")


def processes_of(job: str) -> list[psutil.Process]:
    """Those of a job, the nanny before its worker."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            if environment.get("SLURM_JOB_ID") == job and "dask" in " ".join(process.cmdline()):
                found.append(process)
    return sorted(found, key=lambda each: each.create_time())


def waiting(go: Path) -> str:
    return f"until test -e {go}; do sleep 0.1; done"


@pytest.mark.slow
@pytest.mark.parametrize("state", ["DRAIN", "DOWN"])
def test_a_node_that_is_drained_finishes_and_one_that_is_down_is_replaced(
    queue: Queue, store: sg.Store, tmp_path: Path, state: str
) -> None:
    log, go = tmp_path / "ran", tmp_path / "go"
    with sg.connect("slurm", workers=2, **queue.options):
        flight = sg.run([part(i=i, log=str(log), script=waiting(go)) for i in range(3)], wait=False)
        until(lambda: len(lines(log)) >= 2)
        first, job = lines(log)[0]
        with node_in(state, node_of(job)):
            if state == "DOWN":
                until(lambda: len(lines(log)) >= 3, 300)  # SLURM keeps what it puts back for two minutes
            go.touch()
            assert [asset.fetch().read_text() for asset in flight.result()] == ["0\n", "1\n", "2\n"]
    ran = Counter(i for i, _ in lines(log))
    assert ran[first] == (2 if state == "DOWN" else 1)
    assert max(ran.values()) <= 2
    assert sum(ran.values()) == 3 or state == "DOWN"
    until(lambda: queue.running() == [])


@pytest.mark.slow
@pytest.mark.parametrize("which", ["worker", "nanny"])
def test_a_process_that_is_killed_costs_the_call_that_it_ran_and_no_more(
    queue: Queue, store: sg.Store, tmp_path: Path, which: str
) -> None:
    log, go = tmp_path / "ran", tmp_path / "go"
    with sg.connect("slurm", workers=2, **queue.options) as client:
        flight = sg.run([part(i=i, log=str(log), script=waiting(go)) for i in range(2)], wait=False)
        until(lambda: len(lines(log)) == 2)
        _, job = lines(log)[0]
        workers = [psutil.Process(pid) for pid in client.run(os.getpid).values()]
        (worker,) = [each for each in workers if each.environ()["SLURM_JOB_ID"] == job]
        os.kill(worker.pid if which == "worker" else worker.ppid(), signal.SIGKILL)
        until(lambda: len(lines(log)) >= 3)
        go.touch()
        assert [asset.fetch().read_text() for asset in flight.result()] == ["0\n", "1\n"]
    assert sum(Counter(i for i, _ in lines(log)).values()) == 3
    assert queue.running() == []
    until(lambda: not [each for each in os.listdir(store.backend.path("tmp")) if "held" in each])


@pytest.mark.slow
def test_directories_that_a_killed_worker_left_go(queue: Queue, store: sg.Store, tmp_path: Path) -> None:
    log = tmp_path / "ran"
    with sg.connect("slurm", workers=1, **queue.options):
        flight = sg.run(part(i=0, log=str(log), script="sleep 1234"), wait=False)
        until(lambda: bool(lines(log)))
        for process in processes_of(lines(log)[0][1]):
            process.kill()
        until(lambda: len(lines(log)) >= 2)
        flight.cancel()
    until(lambda: queue.running() == [])
    store.gc(grace=-60, recent=0)
    assert [name for name in os.listdir(store.backend.path("tmp")) if name.startswith("work-")] == []
    assert store.fsck().ok


@pytest.mark.slow
def test_a_call_that_outlives_every_walltime_is_told_why(queue: Queue, store: sg.Store, tmp_path: Path) -> None:
    log = tmp_path / "ran"
    with (
        sg.connect("slurm", **queue.options | {"walltime": "1 min", "workers": 1}),
        pytest.raises(RunFailed, match="give the profile a longer walltime"),
    ):
        sg.run(part(i=0, log=str(log), script="sleep 300"), progress=False).result()
    assert 2 <= len(lines(log)) <= 3
    assert queue.running() == []


@pytest.mark.slow
def test_a_full_disk_of_a_worker_is_told_as_such(queue: Queue, store: sg.Store, tmp_path: Path) -> None:
    log = tmp_path / "ran"
    options = queue.options | {"workers": 1, "prologue": ["ulimit -f 20000"]}
    with sg.connect("slurm", **options), pytest.raises(RunFailed) as raised:
        sg.run(part(i=0, log=str(log), script="head -c 50000000 /dev/zero > big || exit 1"), progress=False).result()
    (failure,) = raised.value.failures.values()
    assert "File size limit exceeded" in str(failure) or "File too large" in str(failure)
    with sg.connect("slurm", workers=1, **queue.options):
        assert sg.run(part(i=0, log=str(log)), progress=False).result().fetch().read_text() == "0\n"


@pytest.mark.slow
def test_two_drivers_over_one_store_both_end_right(queue: Queue, store: sg.Store, tmp_path: Path) -> None:
    log = tmp_path / "ran"
    text = f"""
import stargazer as sg
from slurm_tasks import part, whole
if __name__ == "__main__":
    with sg.Store({store.url!r}), sg.connect("slurm", workers="0-2", **{queue.options!r}):
        run = sg.run(whole([part(i=i, log={str(log)!r}, script="sleep 1") for i in range(8)]), progress=False)
        print(run.result().fetch().read_text().split())
"""
    (tmp_path / "driver.py").write_text(text)
    both = [
        subprocess.Popen([sys.executable, "driver.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [each.communicate(timeout=300)[0].strip() for each in both] == [str([str(i) for i in range(8)])] * 2
    assert 8 <= len(lines(log)) <= 16
    assert store.fsck().ok
    assert queue.running() == []


@pytest.mark.slow
def test_a_large_file_goes_to_workers_that_see_no_store_and_back(queue: Queue, tmp_path: Path, short: bool) -> None:
    path, size = tmp_path / "large.bin", (20 if short else 200) << 20
    with path.open("wb") as file:
        for number in range(size >> 20):
            file.write(number.to_bytes(4, "big") * (1 << 18))
    with sg.Store(f"memory://large-{os.getpid()}") as store, sg.connect("slurm", workers=2, **queue.options):
        given = sg.add(path)
        made = sg.run(copied(given), progress=False).result()
        assert made.cid != given.cid
        assert store.size(str(made.cid)) == size + 1
        assert store.fsck().ok


HOSTILE = {
    "SBATCH_ARRAY_INX": "1-3",
    "SBATCH_JOB_NAME": "mine",
    "SBATCH_OUTPUT": "/dev/null",
    "SBATCH_TIMELIMIT": "1",
    "SQUEUE_STATES": "SUSPENDED",
    "SQUEUE_FORMAT": "%u",
    "SQUEUE_NAMES": "none",
    "SCANCEL_STATE": "PENDING",
    "SCANCEL_INTERACTIVE": "y",
    "SLURM_TIME_FORMAT": "relative",
    "SLURM_ARRAY_TASK_ID": "7",
    "SLURM_JOB_ID": "999",
    "LANG": "de_DE.UTF-8",
    "LC_NUMERIC": "de_DE.UTF-8",
}


@pytest.mark.slow
def test_settings_for_a_persons_own_jobs_do_not_reach_ours(
    queue: Queue, store: sg.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stand above the lines of a script: an array of three where one worker was asked for, under another name."""
    log = tmp_path / "ran"
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    with sg.connect("slurm", workers=1, **queue.options):
        run = sg.run([part(i=i, log=str(log), script="sleep 0.5") for i in range(3)], progress=False, wait=False)
        until(lambda: bool(lines(log)))
        title = scontrol("show", "job", lines(log)[0][1])
        assert "JobName=stargazer-" in title
        assert "TimeLimit=00:10:00" in title
        assert scontrol("show", "jobs").count("JobState=RUNNING") == 1
        assert [asset.fetch().read_text() for asset in run.result()] == ["0\n", "1\n", "2\n"]
    assert len({job for _, job in lines(log)}) == 1
    assert "JobState=RUNNING" not in scontrol("show", "jobs")


def test_workers_import_nothing_from_where_their_job_was_submitted(
    queue: Queue, store: sg.Store, tmp_path: Path
) -> None:
    """A folder of data may hold a file called yaml.py; what lies beside the program is found all the same."""
    data, code, log = tmp_path / "data", tmp_path / "code", tmp_path / "ran"
    data.mkdir()
    code.mkdir()
    for name in ("yaml.py", "psutil.py", "sitecustomize.py", "stargazer.py"):
        (data / name).write_text(f"open({str(tmp_path / 'RAN')!r}, 'a').write({name!r})\n")
    shutil.copy(Path(__file__).with_name("slurm_tasks.py"), code / "own_tasks.py")
    text = f"""
import sys
import stargazer as sg
from own_tasks import part
if __name__ == "__main__":
    with sg.Store({store.url!r}), sg.connect("slurm", workers=1, **{queue.options!r}):
        print(sg.run(part(i=4, log={str(log)!r}), progress=False).result().fetch().read_text())
"""
    (code / "driver.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(code / "driver.py")],
        cwd=data, capture_output=True, text=True, check=False, timeout=240, env=environment,
    )  # fmt: skip
    assert done.stdout.strip() == "4", done.stderr[-2000:]
    assert not (tmp_path / "RAN").exists()


@pytest.mark.slow
def test_a_file_that_is_edited_in_the_midst_of_a_run_gives_no_result_of_both(
    queue: Queue, store: sg.Store, tmp_path: Path
) -> None:
    """Workers that come later import the new text: they refuse what was wired with the old."""
    module, log, go = tmp_path / "edited.py", tmp_path / "ran", tmp_path / "go"
    text = Path(__file__).with_name("slurm_tasks.py").read_text()
    module.write_text(text)
    program = f"""
import pathlib, time
import stargazer as sg
from edited import part
if __name__ == "__main__":
    with sg.Store({store.url!r}), sg.connect("slurm", workers=1, **{queue.options!r}):
        call = part(i=1, log={str(log)!r})
        module = pathlib.Path({str(module)!r})
        module.write_text(module.read_text().replace("echo {{i}}", "echo wrong {{i}}"))
        try:
            print("RESULT", sg.run(call, progress=False).result().fetch().read_text())
        except sg.errors.StargazerError as error:
            print("REFUSED", type(error).__name__, str(error)[:300])
"""
    (tmp_path / "driver.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "driver.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
    )
    assert "REFUSED" in done.stdout, done.stdout + done.stderr[-1500:]
    assert "wrong" not in done.stdout
    assert not go.exists()


@pytest.mark.slow
def test_a_job_that_outlived_its_client_ends_before_it_starts_a_worker(queue: Queue, tmp_path: Path) -> None:
    from test_shared_queue import driver

    process, _ = driver(queue, tmp_path)
    until(lambda: len(lines(tmp_path / "ran")) >= 2 and len(queue.running()) == 5)
    process.kill()
    process.wait(60)
    until(lambda: queue.running() == [], 100)
    logs = [path.read_text() for path in (queue.folder / f"stargazer-{os.environ.get('USER', 'root')}").rglob("*.out")]
    said = [text for text in logs if "nobody listens at" in text]
    assert said
    assert all("Start worker" not in text for text in said)
