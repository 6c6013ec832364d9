"""Whatever is killed, and whenever: the run or the next one completes, with the same result, and nothing is left."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flights import Flights, Rounds, ended_after, killer
from machine import PROGRAMS, slurm
from machines import machines

from stargazer import config

WORKERS = 2
SHORT = 4
"""Rounds of the short forms."""

Fault = tuple[Callable[[random.Random], bool], int]


def faults_of(flights: Flights) -> dict[str, Fault]:
    """What may happen anywhere, with the number of bodies that may run again for it."""

    def client() -> set[int]:
        return {flights.process.pid} if flights.process is not None else set()

    return {
        "tool": (killer(flights.processes.tools), 1),
        "reaper": (killer(lambda: flights.processes.named(b"reaper.py")), 0),
        "client": (killer(client), WORKERS),
    }


def played(rounds: Rounds, count: int) -> None:
    rounds.play(7, count)
    if count > SHORT:
        assert set(rounds.killed) == set(rounds.faults)
        print(f"{rounds.killed.total()} kills {dict(rounds.killed)}, {rounds.twice} bodies ran again")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_faults_in_this_process(tmp_path: Path, short: bool) -> None:
    with ended_after(Flights(tmp_path)) as flights:
        played(Rounds(flights, faults_of(flights)), SHORT if short else 150)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_faults_of_local_workers(tmp_path: Path, short: bool) -> None:
    with ended_after(Flights(tmp_path, "local", workers=WORKERS, cpus=1)) as flights:
        faults = faults_of(flights) | {"worker": (killer(flights.processes.workers), 1)}
        played(Rounds(flights, faults), SHORT if short else 120)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_faults_of_workers_that_are_served(tmp_path: Path, short: bool) -> None:
    """Files go over the connections between workers and the client, both of which are killed."""
    with ended_after(Flights(tmp_path, "local", workers=WORKERS, cpus=1, store="served")) as flights:
        faults = faults_of(flights) | {"worker": (killer(flights.processes.workers), 1)}
        played(Rounds(flights, faults), SHORT if short else 60)


class Elsewhere:
    """A scheduler and its workers, started anew when the scheduler was killed."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.flights = Flights(folder)
        self._stack = contextlib.ExitStack()
        self._serial = 0

    def again(self) -> None:
        """Start both, where there is no scheduler; clients of the one before go."""
        if self.schedulers():
            return
        self._stack.close()
        self.flights.end()
        self._serial += 1
        place = self.folder / f"dask-{self._serial}"
        place.mkdir()
        for name, value in self.flights.environment.items():
            self.monkeypatch.setenv(name, value)
        address = self._stack.enter_context(machines(place, self.folder, workers=WORKERS))
        self.flights.go_to(address)

    def schedulers(self) -> set[int]:
        return self.flights.processes.named(b"\0scheduler\0")

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    made = Elsewhere(tmp_path, monkeypatch)
    with ended_after(made.flights), contextlib.closing(made):
        made.again()
        yield made


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_faults_of_a_scheduler_elsewhere(elsewhere: Elsewhere, short: bool) -> None:
    flights = elsewhere.flights
    faults = faults_of(flights) | {
        "worker": (killer(flights.processes.workers), 1),
        "scheduler": (killer(elsewhere.schedulers), WORKERS),
    }
    played(Rounds(flights, faults, again=elsewhere.again, leave=elsewhere.close), SHORT if short else 60)


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A SLURM of its own; gives the options of a profile."""
    pytest.importorskip("dask_jobqueue")
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        told = f"{', '.join(missing)} not on PATH"
        pytest.fail(told) if "slurm" in config.required_tools() else pytest.skip(told)
    with slurm() as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        yield {
            "cpus": 1,
            "memory": "500 MB",
            "walltime": "30 min",
            "shared": str(tmp_path / "shared"),
            "interface": "lo",
        }


def jobs() -> set[int]:
    told = subprocess.run(["squeue", "--noheader", "--format=%i"], capture_output=True, text=True, check=True)
    return set(map(int, told.stdout.split()))


def cancelled(dice: random.Random) -> bool:
    if found := sorted(jobs()):
        subprocess.run(["scancel", str(dice.choice(found))], check=True)
    return bool(found)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_faults_on_slurm(tmp_path: Path, queue: dict[str, Any], short: bool) -> None:
    with ended_after(Flights(tmp_path, "slurm", workers=WORKERS, **queue)) as flights:
        faults = faults_of(flights) | {
            "worker": (killer(flights.processes.workers), 1),
            "scancel": (cancelled, 1),
        }
        played(Rounds(flights, faults, seconds=3.0), SHORT // 2 if short else 60)
    assert jobs() == set()
