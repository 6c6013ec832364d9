"""Threads of this process share what the machine has."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import dask.config
from marking_tasks import at_once, heavy, marked, size_of, small, wide
from small_tasks import shell

import stargazer as sg
from stargazer.calls.resources import Slots
from stargazer.runs import State


@sg.task
def follows(work: sg.Workdir, first: sg.Asset, *, i: int, log: str) -> sg.Asset:
    return marked(work, log, f"small-{i}", 0.1)


@sg.task(version="1")
def nested(work: sg.Workdir, *, depth: int) -> int:
    return 0 if depth == 0 else 1 + sg.run(nested(depth=depth - 1), progress=False).result()


def test_slots_are_handed_out_in_turn() -> None:
    slots, spec = Slots({"cpus": 4.0}), []

    def take(name: str, cpus: float) -> None:
        with slots.take({"cpus": cpus}):
            spec.append(name)

    with slots.take({"cpus": 1.0}):
        threads = [threading.Thread(target=take, args=each) for each in (("wide", 4.0), ("small", 1.0))]
        for thread in threads:
            thread.start()
            time.sleep(0.2)
        assert spec == []  # the small one does not overtake
    for thread in threads:
        thread.join()
    assert spec == ["wide", "small"]


def test_calls_share_the_machine_in_this_process(store: sg.Store, tmp_path: Path) -> None:
    log = tmp_path / "log"
    profile = {"stargazer.profiles.threads.cpus": 4, "stargazer.profiles.threads.memory": "1 GiB"}
    calls = [make(i=i, log=str(log)) for i in range(3) for make in (small, wide, heavy)]
    with dask.config.set(profile):
        sg.run(calls)
    moments = list(at_once(log))
    assert max(map(size_of, moments)) <= 4
    assert max(sum(what.startswith("heavy") for what in running) for running in moments) == 1


def test_calls_of_many_cores_do_not_wait_for_the_small_ones_that_follow_them(store: sg.Store, tmp_path: Path) -> None:
    log, chains = tmp_path / "log", 6
    with dask.config.set({"stargazer.profiles.threads.cpus": 4}):
        sg.run([follows(wide(i=i, log=str(log)), i=i, log=str(log)) for i in range(chains)])
    moments = list(at_once(log))
    began = [what for line in log.read_text().splitlines() for sign, what, _ in [line.split()] if sign == "+"]
    assert [what.startswith("wide") for what in began] == [True] * chains + [False] * chains
    assert max(map(len, moments)) > 1


def test_a_local_machine_gives_what_it_has(store: sg.Store, tmp_path: Path) -> None:
    """Four threads on a machine of fewer: slower, not refused."""
    with dask.config.set({"stargazer.profiles.threads.cpus": 2}):
        sg.run(wide(i=0, log=str(tmp_path / "log")))


def test_two_runs_of_one_process_share_the_machine(store: sg.Store, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with dask.config.set({"stargazer.profiles.threads.cpus": 4}):
        flights = [
            sg.run([make(i=i, log=str(log), seconds=0.3) for make in (small, wide)], wait=False) for i in range(3)
        ]
        for flight in flights:
            flight.result()
    assert max(map(size_of, at_once(log))) <= 4


def test_a_run_that_waits_for_another_can_be_cancelled(store: sg.Store, tmp_path: Path) -> None:
    log, go = tmp_path / "log", tmp_path / "go"
    with dask.config.set({"stargazer.profiles.threads.cpus": 1}):
        one = sg.run(shell(script=f"until test -e {go}; do sleep 0.05; done"), wait=False)
        while one.status().count(State.RUNNING) == 0:
            time.sleep(0.02)
        two = sg.run(small(i=1, log=str(log)), wait=False)
        two.cancel()
        assert two.wait(30)
    assert not log.exists()
    go.touch()
    one.result()


def test_a_body_that_runs_calls_itself_does_not_wait_for_its_own_place(store: sg.Store) -> None:
    with dask.config.set({"stargazer.profiles.threads.cpus": 1}):
        assert sg.run(nested(depth=2), progress=False).result() == 2
