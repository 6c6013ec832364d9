"""Whose turn it is to drive a run, where the store cannot be reached for a while."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from unattended_tasks import until

import stargazer as sg
from stargazer.runs import lease
from stargazer.runs.lease import DriverLease, last_turn


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
