"""Random graphs that grow give what a plain loop over ``.compute()`` gives, wherever they run; killed ones go on."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest
from growing import read
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from random_graphs import changed, plain, wired

import stargazer as sg
from stargazer.errors import RunFailed
from stargazer.store import Store

SHORT = os.environ.get("STARGAZER_SHORT") == "1"
FAILED = "failed: no thirteens here"


NUMBERS = st.lists(st.integers(0, 14), min_size=0, max_size=4)


def programs(depth: int = 3) -> st.SearchStrategy[list[Any]]:
    """Programs that give one file."""
    below = lists(depth - 1)
    kinds = [st.tuples(st.just("total"), below), st.tuples(st.just("pick"), below, st.integers(0, 3))]
    if depth > 1:
        own = programs(depth - 1)
        kinds.append(st.tuples(st.just("branch"), below, st.integers(0, 9), own, own))
        kinds.append(st.tuples(st.just("loop"), own, st.integers(0, 20), st.integers(0, 5)))
    return st.one_of(kinds).map(list)


def lists(depth: int) -> st.SearchStrategy[list[Any]]:
    """Programs that give a list of files."""
    flat = st.tuples(st.just("split"), NUMBERS)
    if depth <= 0:
        return flat.map(list)
    own = lists(depth - 1)
    kinds = [
        flat,
        st.tuples(st.just("each"), own, st.integers(1, 9)),
        st.tuples(st.just("map"), own, st.integers(1, 9)),
        st.tuples(st.just("nest"), own, programs(depth)),
    ]
    return st.one_of(kinds).map(list)


def outcome(made: Callable[[], Any]) -> Any:
    """The number that a file holds, or that a task failed."""
    try:
        return read(made())
    except ValueError as error:
        assert "no thirteens" in str(error)
        return FAILED
    except RunFailed as error:
        assert "no thirteens" in str(error)
        return FAILED


def check(client: Any, program: list[Any], more: int) -> None:
    ways: dict[str, Callable[[Any], Any]] = {
        "threads": lambda call: sg.run(call, progress=False).result(),
        "client": lambda call: sg.run(call, client=client, progress=False).result(),
        "dask": lambda call: dask.compute(call, scheduler="threads")[0],
    }
    folder = Path(tempfile.mkdtemp())
    try:
        both = [program, changed(program, more)]
        with Store(folder / "plain"):
            expected = [outcome(lambda each=each: plain(each)) for each in both]
        for name, way in ways.items():
            with Store(folder / name):
                for each, wanted in zip(both, expected, strict=True):
                    call = wired(each)
                    assert outcome(lambda way=way, call=call: way(call)) == wanted, name
                    if wanted is not FAILED:
                        assert call.known() is not None
                        assert sg.run(wired(each), progress=False).status().count() == 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


OPTIONS: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "database": None,
    "derandomize": True,
}


@settings(max_examples=10, **OPTIONS)
@given(program=programs(), more=st.integers(0, 14))
def test_random_graphs_equal_a_plain_loop(client: Any, program: list[Any], more: int) -> None:
    check(client, program, more)


@pytest.mark.slow
def test_five_hundred_random_graphs_equal_a_plain_loop(client: Any, seeds: Any) -> None:
    chosen = seeds(range(17, 27), range(17, 517))

    @seed(chosen.start)
    @settings(max_examples=len(chosen), deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(program=programs(4), more=st.integers(0, 14))
    def checked(program: list[Any], more: int) -> None:
        check(client, program, more)

    checked()


@pytest.mark.slow
def test_a_killed_loop_goes_on(tmp_path: Path) -> None:
    """However often it is killed, no round that ended runs twice."""
    rounds, draw = (30, random.Random(17)) if SHORT else (150, random.Random(17))
    command = [sys.executable, str(Path(__file__).with_name("random_graphs.py")), str(tmp_path / "store"), str(rounds)]
    killed = 0
    for _ in range(100):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + draw.uniform(1.5, 5.0) + (60 if killed >= (3 if SHORT else 20) else 0)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if process.poll() is None:
            process.kill()
            killed += 1
        told, _ = process.communicate()
        if process.returncode == 0:
            break
    assert int(told) == sum(range(21, 41)) + 20 + rounds
    whole = [str(tmp_path / "whole") if word == str(tmp_path / "store") else word for word in command]
    assert subprocess.run(whole, capture_output=True, text=True, check=True).stdout == told
    ran, at_once = (rounds_of(tmp_path / name) for name in ("store", "whole"))
    assert sorted(ran) == sorted(at_once)
    assert len(set(ran)) == len(ran) > rounds


def rounds_of(store: Path) -> list[str]:
    """Keys of the rounds that ran, in a store."""
    from stargazer.ledger import Ledger

    return [each.content_key for each in Ledger(Store(store).records).of_task("grow") if not each.same_as]
