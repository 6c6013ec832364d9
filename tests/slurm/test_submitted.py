"""Drivers that are jobs of a real SLURM: submitted and gone, killed, cancelled, at the end of their walltime."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
from slurm_queue import Queue, until
from slurm_tasks import part, whole

import stargazer as sg
from stargazer.driver.asking import ask, pending_job_ended, resume
from stargazer.driver.asking import cancel as cancel_anywhere
from stargazer.errors import ArgumentError, Cancelled, ConfigError, NeedUnmet
from stargazer.runs.given import Options

LONGEST = 300.0


@pytest.fixture
def site(queue: Queue) -> Iterator[dict[str, Any]]:
    """The settings of a site: workers, and the job of the driver."""
    driver = {"memory": "600 MB", "walltime": "10 min"}
    profile = {"kind": "slurm", "workers": 2, **queue.options, "driver": driver}
    with dask.config.set({"stargazer.profiles.site": profile}):
        yield profile
    # Nothing of a test stays, whatever failed in it.
    for number in queue.running():
        queue.cancel(number)


def submitted(what: Any, name: str = "") -> sg.runs.KeptRun:
    return ask(what, Options(on="site"), name, submit=True)


def lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def test_a_driver_is_a_job_which_hires_workers_and_leaves_none(
    queue: Queue, site: dict[str, Any], store: sg.Store, tmp_path: Path
) -> None:
    log = tmp_path / "ran"
    run = submitted(whole([part(i=i, log=str(log)) for i in range(4)]), "sums")
    job = run.where["job"]
    assert job in queue.running()
    assert run.result(LONGEST).fetch().read_text() == "0\n1\n2\n3\n"
    assert (run.state, run.counts["done"], run.where["job"]) == ("done", 5, job)
    workers = {number for _, number in lines(log)}
    assert workers  # each call ran in a job of its own worker, whose number is not the driver's
    assert job not in workers
    until(lambda: queue.running() == [])


@pytest.mark.slow
def test_a_job_that_is_cancelled_or_killed_goes_on_under_its_id(
    queue: Queue, site: dict[str, Any], store: sg.Store, tmp_path: Path
) -> None:
    log, go = tmp_path / "ran", tmp_path / "go"
    calls = [part(i=0, log=str(log)), part(i=1, log=str(log), script=f"until test -e {go}; do sleep 0.1; done")]
    run = submitted(calls)
    until(lambda: len(lines(log)) == 2 and calls[0].known() is not None, LONGEST)
    queue.cancel(run.where["job"])
    assert run.wait(LONGEST)
    assert run.state in ("cancelled", "lost")  # lost where SLURM killed it before it could say so
    until(lambda: queue.running() == [], LONGEST)
    resume(run)
    until(lambda: len(lines(log)) == 3, LONGEST)
    os.kill(run.where["pid"], signal.SIGKILL)
    until(lambda: run.state == "lost", LONGEST)
    until(lambda: queue.running() == [], LONGEST)
    go.touch()
    resume(run)
    assert [each.fetch().read_text() for each in run.result(LONGEST)] == ["0\n", "1\n"]
    assert Counter(i for i, _ in lines(log)) == {"0": 1, "1": 3}
    until(lambda: queue.running() == [], LONGEST)


def test_a_run_is_cancelled_while_its_job_waits(queue: Queue, site: dict[str, Any], store: sg.Store) -> None:
    with dask.config.set({"stargazer.profiles.site.driver": {**site["driver"], "directives": ["--begin=now+1hour"]}}):
        run = submitted(part(i=0, log="/dev/null"))
        assert run.state == "pending"
        assert pending_job_ended(run) is None
        cancel_anywhere(run)
    assert run.state == "cancelled"
    with pytest.raises(Cancelled):
        run.result()
    until(lambda: queue.running() == [])


def test_a_run_whose_job_was_cancelled_before_it_began_is_resumed(
    queue: Queue, site: dict[str, Any], store: sg.Store
) -> None:
    with dask.config.set({"stargazer.profiles.site.driver": {**site["driver"], "directives": ["--begin=now+1hour"]}}):
        run = submitted(part(i=0, log="/dev/null"))
        with pytest.raises(ArgumentError, match="is pending"):
            resume(run)
    queue.cancel(run.where["job"])
    until(lambda: pending_job_ended(run) is not None)
    assert resume(run).result(LONGEST).fetch().read_text() == "0\n"
    until(lambda: queue.running() == [])


def test_what_slurm_or_the_profile_refuses_leaves_no_run(queue: Queue, site: dict[str, Any], store: sg.Store) -> None:
    with (
        dask.config.set({"stargazer.profiles.site.driver": {"queue": "no-such-queue"}}),
        pytest.raises(ConfigError, match="partition"),
    ):
        submitted(part(i=0, log="/dev/null"))

    @sg.task(memory="90 GiB")
    def huge(work: sg.Workdir) -> int:
        return 1

    with pytest.raises(NeedUnmet, match=r"90\.00 GiB"):
        submitted(huge())
    assert sg.runs.list() == []
    assert queue.running() == []


COMMAND = """
from stargazer.cli import main
main()
"""

FLOW = """
import slurm_tasks

def flow(log: str):
    return slurm_tasks.part(i=5, log=log)
"""


def test_submit_and_log_out(queue: Queue, site: dict[str, Any], store: sg.Store, tmp_path: Path) -> None:
    """A terminal, which is closed when the command has answered."""
    Path("submitting.py").write_text(FLOW)
    config = tmp_path / "config"
    config.mkdir()
    (config / "stargazer.yaml").write_text(json.dumps({"stargazer": {"profiles": {"site": site}}}))
    argv = ["run", "submitting.py:flow", f"log={tmp_path / 'ran'}", "--submit", "--on", "site", "--store", store.url]
    command, env = [sys.executable, "-c", COMMAND, *argv, "--out", "results", "--json"], {"DASK_CONFIG": str(config)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, start_new_session=True, env=os.environ | env
    )
    told = json.loads(done.stdout)
    assert told.keys() == {"run", "job"}
    (config / "stargazer.yaml").unlink()
    Path("submitting.py").write_text("raise SystemExit\n")
    run = sg.runs.get(told["run"])
    run.result(LONGEST)
    assert [each.read_text() for each in Path("results").iterdir()] == ["5\n"]
    until(lambda: queue.running() == [])


def test_one_large_job_for_all(queue: Queue, site: dict[str, Any], store: sg.Store, tmp_path: Path) -> None:
    """Workers are started by srun on the nodes of the driver's own job; no other job is."""
    log, go = tmp_path / "ran", tmp_path / "go"
    driver = {"cpus": 2, "memory": "1500 MB", "walltime": "10 min", "directives": ["--nodes=2", "--ntasks=2"]}
    profile = {"kind": "allocation", "cpus": 1, "shared": str(queue.folder), "interface": "lo", "driver": driver}
    calls = [part(i=i, log=str(log), script=f"until test -e {go}; do sleep 0.1; done") for i in range(6)]
    with dask.config.set({"stargazer.profiles.whole": profile}):
        run = ask(whole(calls), Options(on="whole"), submit=True)
    until(lambda: len(lines(log)) == 2, LONGEST)
    assert queue.running() == [run.where["job"]]
    go.touch()
    assert run.result(LONGEST).fetch().read_text() == "0\n1\n2\n3\n4\n5\n"
    assert {number for _, number in lines(log)} == {run.where["job"]}
    until(lambda: queue.running() == [], LONGEST)
    assert not any("Traceback" in file.read_text() for file in Path(queue.folder).rglob("*.out"))


def test_an_allocation_is_needed(queue: Queue, store: sg.Store) -> None:
    with pytest.raises(ConfigError, match="belongs to none"):
        sg.connect("allocation")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_longer_than_the_walltime_of_its_driver(
    queue: Queue, site: dict[str, Any], store: sg.Store, tmp_path: Path, short: bool
) -> None:
    """A driver every two minutes, one after the other, under one id; what ended is not run again."""
    log, number = tmp_path / "ran", 5 if short else 20
    changes = {"workers": 1, "driver": {**site["driver"], "walltime": "2 min"}}
    with dask.config.set({"stargazer.profiles.site": {**site, **changes}}):
        run = submitted([part(i=i, log=str(log), script="sleep 25") for i in range(number)])
        assert [each.fetch().read_text() for each in run.result(3000)] == [f"{i}\n" for i in range(number)]
    times = run.note.driver["times"]
    assert times >= 2
    assert len(lines(log)) <= number + times - 1  # at most the one that ran at each end
    assert len(sg.runs.list()) == 1
    until(lambda: queue.running() == [], LONGEST)
