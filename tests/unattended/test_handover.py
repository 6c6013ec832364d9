"""When a driver whose walltime ends submits the next, and when it stops."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.config
import pytest

import stargazer as sg
from stargazer.driver import handover
from stargazer.driver.handover import Handover
from stargazer.errors import ConfigError
from stargazer.runs.history import Note
from stargazer.store import layout
from stargazer.tools.apart import machine

DEAD = 1 << 22
"""A number that no process has: one more than Linux gives."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Which drivers were submitted."""
    made: list[int] = []
    monkeypatch.setattr(handover, "submit_job", lambda store, note, profile: made.append(note.driver["times"]))
    return made


def at(monkeypatch: pytest.MonkeyPatch, alive: float, walltime: float | None = 1000.0, times: int = 1) -> Handover:
    """A driver that has been alive so long."""
    monkeypatch.setattr(handover, "seconds_alive", lambda: alive)
    return Handover("slurm", walltime, times)


def test_it_asks_once_and_stops_later(store: sg.Store, monkeypatch: pytest.MonkeyPatch, asked: list[int]) -> None:
    note = Note.new("slurm", 0)
    assert not at(monkeypatch, 300.0).look(store, note)
    assert asked == []
    middle = at(monkeypatch, 600.0, times=3)
    assert [middle.look(store, note), middle.look(store, note)] == [False, False]
    assert asked == [4]
    assert at(monkeypatch, 890.0).look(store, note)
    assert not at(monkeypatch, 890.0, walltime=None).look(store, note)
    assert at(monkeypatch, 890.0).is_over()
    assert not at(monkeypatch, 100.0).is_over()


def test_what_refuses_the_next_is_told(store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ConfigError("no more")

    monkeypatch.setattr(handover, "submit_job", refuse)
    ends = at(monkeypatch, 900.0)
    assert ends.look(store, Note.new("slurm", 0))
    assert (ends.asked, ends.trouble) == (False, "no more")


@pytest.mark.parametrize("refusals", [1, 3])
def test_a_site_that_refuses_the_next_is_asked_again(
    store: sg.Store, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    """Now and then while this one works, and when it has given its workers back, which may have filled the site."""
    now, note, tried = [0.0], Note.new("slurm", 0), []

    def submit(store: sg.Store, note: Note, profile: Any) -> None:
        tried.append(round(now[0]))
        if len(tried) <= refusals:
            raise ConfigError("QOSMaxSubmitJobPerUserLimit")

    monkeypatch.setattr(handover, "submit_job", submit)
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(handover, "time", clock)
    ends = at(monkeypatch, 0.0)
    while not ends.look(store, note):
        now[0] += 1.0
    assert tried[:2] == [500, 520]
    assert ends.asked
    late = at(monkeypatch, 999.0)
    tried.clear()
    assert late.look(store, note)
    assert not late.asked
    late = at(monkeypatch, 900.0)
    tried.clear()
    assert late.ask_at_last(store, note)
    assert len(tried) == refusals + 1


def test_a_run_that_is_cancelled_while_its_site_refuses_is_asked_for_no_more(
    store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = Note.new("slurm", 0)
    tried: list[str] = []

    def refuse(store: sg.Store, note: Note, profile: Any) -> None:
        tried.append(note.id)
        store.backend.replace(layout.driver(note.id, "cancel"), b"")
        raise ConfigError("QOSMaxSubmitJobPerUserLimit")

    monkeypatch.setattr(handover, "submit_job", refuse)
    monkeypatch.setattr(handover.time, "sleep", lambda seconds: pytest.fail("it waited"))
    assert not at(monkeypatch, 900.0).ask_at_last(store, note)
    assert tried == [note.id]


def test_what_was_driven_often_enough_is_not_asked_for_again(store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover.time, "sleep", lambda seconds: pytest.fail("it waited"))
    with dask.config.set({"stargazer.profiles.slurm.driver": {"times": 2}}):
        ends = at(monkeypatch, 900.0, times=2)
        note = Note(**{**vars(Note.new("slurm", 0)), "driver": {"given": "0", "times": 2}})
        assert not ends.ask_at_last(store, note)
    assert "allows no more" in ends.trouble


def test_a_driver_knows_the_walltime_that_its_job_has(store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the profile says none, dask-jobqueue asks for half an hour: without this the run would end with it."""
    from stargazer.client import apart
    from stargazer.driver.asking import submit_job
    from stargazer.profiles.settings import find_profile

    told: list[list[str]] = []
    monkeypatch.setattr(apart, "submit_driver", lambda profile, name, command, after=None: told.append(command) or "7")
    note = Note(**{**vars(Note.new("slurm", 0)), "driver": {"given": "0", "times": 1}})
    for driver, seconds in (({}, "1800.0"), ({"walltime": "02:00:00"}, "7200.0")):
        with dask.config.set(
            {"stargazer.profiles.slurm": {"kind": "slurm", "cpus": 1, "memory": "1 GB", "driver": driver}}
        ):
            submit_job(store, note, find_profile("slurm"))
        assert told[-1][told[-1].index("--walltime") + 1] == seconds


AGES = """
import os, time, psutil
from stargazer.tools.apart import seconds_alive
began = [psutil.Process(pid).create_time() for pid in (os.getppid(), os.getpid())]
print(seconds_alive(), *(time.time() - each for each in began))
"""


@pytest.mark.parametrize("job", ["7", ""])
def test_a_job_begins_with_its_script(job: str) -> None:
    """Which may load modules for half a minute before the driver starts."""
    script = ["sh", "-c", 'sleep 1; "$0" -c "$1"; true', sys.executable, AGES]
    env = os.environ | {"SLURM_JOB_ID": job}
    done = subprocess.run(script, capture_output=True, text=True, check=True, env=env, start_new_session=True)
    alive, of_script, of_process = map(float, done.stdout.split())
    assert alive == pytest.approx(of_script if job else of_process, abs=0.5)


def test_a_run_takes_so_many_drivers_and_no_more(store: sg.Store) -> None:
    from stargazer.driver.asking import submit_job
    from stargazer.profiles.settings import find_profile

    with dask.config.set({"stargazer.profiles.slurm.driver": {"times": 2}}):
        note = Note.new("slurm", 0)
        with pytest.raises(ConfigError, match=r"2 drivers.*allows no more"):
            submit_job(store, Note(**{**vars(note), "driver": {"given": "0", "times": 3}}), find_profile("slurm"))


def test_a_driver_that_died_after_it_submitted_the_next_is_not_lost(store: sg.Store) -> None:
    from dataclasses import replace

    note = replace(
        Note.new("slurm", 0).claimed(store), driver={"given": "0", "job": "7", "machine": machine()}, pid=DEAD
    )
    note.write(store)
    assert sg.runs.get(note.id).state == "lost"
    store.backend.replace(f"drivers/{note.id}.job", b'{"job": "8"}')
    run = sg.runs.get(note.id)
    assert (run.state, run.where["job"]) == ("pending", "8")


@pytest.mark.parametrize(("restarts", "is_put_back"), [("0", False), ("1", True)])
def test_a_job_that_slurm_has_put_back_is_known_from_one_that_was_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarts: str, is_put_back: bool
) -> None:
    from stargazer.client.apart import was_put_back
    from stargazer.profiles.settings import find_profile

    program = tmp_path / "scontrol"
    program.write_text(f"#!/bin/sh\necho JobId=7 JobState=COMPLETING Restarts={restarts} ExitCode=0:15\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert not was_put_back(find_profile("slurm"))  # this process is no job
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert was_put_back(find_profile("slurm")) is is_put_back
    assert not was_put_back(find_profile("pbs"))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")  # it was put back before this process began
    assert not was_put_back(find_profile("slurm"))
