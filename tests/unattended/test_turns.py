"""Whose turn it is to drive a run, where the store cannot be reached for a while."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from unattended_tasks import LONGEST, shell, until, waiting

import stargazer as sg
from stargazer.driver import drive
from stargazer.runs import lease
from stargazer.runs.history import Note, find_run
from stargazer.runs.lease import DriverLease, last_turn
from stargazer.runs.run import Run


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes a minute takes moments."""
    monkeypatch.setattr(lease, "RENEWED_EVERY", 0.05)
    monkeypatch.setattr(lease, "GIVEN_UP_AFTER", 0.2)
    monkeypatch.setattr(lease, "LOOKED_EVERY", 0.05)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "shared"
    assert sg.Store(place).context.header.id
    return place


def taken(place: Path, lost: threading.Event) -> DriverLease:
    turn = DriverLease(sg.Store(place), "run", lost.set)
    assert turn.take(lambda: False)
    return turn


@pytest.mark.usefixtures("quick")
def test_who_could_not_reach_the_store_takes_the_next_turn(place: Path, tmp_path: Path) -> None:
    lost = threading.Event()
    turn = taken(place, lost)
    place.rename(tmp_path / "away")
    assert lost.wait(30)
    back = threading.Timer(0.3, lambda: (tmp_path / "away").rename(place))
    back.start()
    assert turn.take_next()
    assert (turn.number, turn.is_mine()) == (2, True)
    first = last_turn(turn.store, "run")[1]
    until(lambda: last_turn(turn.store, "run")[1] != first)
    turn.release()


@pytest.mark.usefixtures("quick")
def test_nobody_goes_on_whose_turn_another_took_meanwhile(place: Path, tmp_path: Path) -> None:
    lost = threading.Event()
    turn = taken(place, lost)
    place.rename(tmp_path / "away")
    assert lost.wait(30)
    (tmp_path / "away").rename(place)
    other = DriverLease(sg.Store(place), "run", lambda: None)
    assert other._claim(turn.number + 1)
    assert not turn.take_next()
    turn.release()
    assert other.is_mine()


@pytest.mark.usefixtures("quick")
def test_a_store_that_stays_away_is_not_waited_for_for_ever(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "AWAY_AT_MOST", 0.3)
    turn = taken(place, threading.Event())
    place.rename(tmp_path / "away")
    assert not turn.take_next()
    turn.release()
    assert not place.exists()


@pytest.mark.usefixtures("quick")
def test_a_turn_that_was_taken_and_not_told_is_ones_own(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the store has written it, and its answer is lost."""
    turn = taken(place, threading.Event())
    create, lost = turn.store.backend.create_once, [OSError("no answer")]

    def unanswered(*given: Any) -> Any:
        create(*given)
        if lost:
            raise lost.pop()

    monkeypatch.setattr(turn.store.backend, "create_once", unanswered)
    assert turn.take_next()
    assert turn.is_mine()
    turn.release()


@pytest.fixture
def noted(store: sg.Store) -> Note:
    return Note.new("threads", 0, "wired").claimed(store)


def test_who_lost_its_turn_writes_nothing_over_the_note_of_the_next(
    noted: Note, store: sg.Store, tmp_path: Path
) -> None:
    go, begun = tmp_path / "go", tmp_path / "begun"
    flight: Any = Run(shell(script=f"touch {begun}; {waiting(go)}"), None, None, "wired", noted)
    until(begun.exists)
    flight.abandon()
    replace(noted, state="done").write(store)
    assert flight.wait(LONGEST)
    assert find_run(store, noted.id).state == "done"


def test_what_a_driver_left_running_has_ended_before_it_begins_anew(noted: Note, store: sg.Store) -> None:
    told: list[str] = []
    driver = drive._Driver(store, noted.id, None)
    flight: Any = SimpleNamespace(ended=False, cancel=lambda: told.append("cancel"), wait=lambda: told.append("wait"))
    driver.flight = flight
    assert driver._away() == drive.AWAY
    assert told == ["cancel", "wait"]


def test_a_run_whose_workers_never_find_the_store_fails_and_says_why(
    noted: Note, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: Any = SimpleNamespace(options=SimpleNamespace(settings={}))
    monkeypatch.setattr(drive, "read_given", lambda *_: given)
    monkeypatch.setattr(drive._Driver, "_ran", lambda *_: ("failed", {"driver": "no store there"}))
    monkeypatch.setattr(drive._Driver, "_was_away", lambda *_: True)
    driver = drive._Driver(store, noted.id, None)
    states = [driver.work("") for _ in range(drive.MOST_TIMES_AWAY + 1)]
    assert states == [drive.AWAY] * drive.MOST_TIMES_AWAY + ["failed"]
    found = find_run(store, noted.id)
    assert (found.state, found.failures) == ("failed", {"driver": "no store there"})
