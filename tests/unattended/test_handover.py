"""When a driver whose walltime ends submits the next, and when it stops."""

from __future__ import annotations

from typing import Any

import dask.config
import pytest

import stargazer as sg
from stargazer.driver import handover
from stargazer.driver.handover import Handover
from stargazer.errors import ConfigError
from stargazer.runs.history import Note
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
