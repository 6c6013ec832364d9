"""Graphs that grow give results of every shape as plain Python does, wherever they run, and whatever fails."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from random_shapes import Ends, Wrong, changed, plain, seen, wired

import stargazer as sg
from stargazer.errors import StargazerError
from stargazer.ledger import Ledger
from stargazer.store import Store

FAILED = "failed"

NUMBERS = st.lists(st.integers(0, 13), min_size=0, max_size=4)
PLACES = st.integers(-3, 3)


def step(name: str, *parts: Any) -> st.SearchStrategy[list[Any]]:
    return st.tuples(st.just(name), *parts).map(list)


def branch(numbers: Any, own: Any) -> st.SearchStrategy[list[Any]]:
    return step("chosen", numbers, st.integers(0, 14), own, own)


@functools.cache
def files(depth: int) -> st.SearchStrategy[list[Any]]:
    """Programs that give one file."""
    if depth <= 1:
        key = step("key", dicts(0), st.integers(0, 3))
        return st.one_of(step("at", lists(0), PLACES), step("total", lists(0)), key)
    below, own = lists(depth - 1), files(depth - 1)
    return st.one_of(
        step("total", below),
        step("total+", below, numbers(depth - 1)),
        step("total_of", dicts(depth - 1)),
        step("at", below, PLACES),
        step("key", dicts(depth - 1), st.integers(0, 3)),
        step("first", tuples(depth - 1)),
        step("last", tuples(depth - 1)),
        step("negative", own),
        step("grow", own, st.integers(0, 9)),
        step("dict", own, own),
        step("total_list", own, own, own),
        branch(below, own),
    )


@functools.cache
def lists(depth: int) -> st.SearchStrategy[list[Any]]:
    """Programs that give a list of files."""
    start = step("split", NUMBERS)
    if depth <= 0:
        return start
    own, one = lists(depth - 1), files(depth)
    # The same list twice has one length; two lists mostly have not.
    twice = own.map(lambda each: ["zip", each, ["map", each, 1]])
    thrice = own.map(lambda each: ["zip3", each, ["several", each, 1], each, 2])
    kinds = [
        start,
        step("map", own, st.integers(0, 9)),
        step("each", own, st.integers(0, 9)),
        twice,
        thrice,
        step("zip", own, own),
        step("with", own, one),
        step("several", own, st.integers(0, 3)),
        step("joined", own, own),
        step("alone", own),
        step("row", grids(depth - 1), PLACES),
        step("flat", grids(depth - 1), st.integers(0, 2)),
        step("of_dict", dicts(depth - 1), st.integers(0, 2)),
        own.flatmap(lambda each: st.integers(0, 9).map(lambda least: ["over", each, ["values", each], least])),
        step("again", own, st.integers(0, 3)),
        step("list", one, one),
        step("flat_lists", own, own),
        step("flat_files", one, one),
        step("refuse", own, st.integers(0, 4)),
        branch(own, own),
    ]
    return st.one_of(kinds)


@functools.cache
def grids(depth: int) -> st.SearchStrategy[list[Any]]:
    return step("rows", lists(depth), st.integers(1, 3))


@functools.cache
def dicts(depth: int) -> st.SearchStrategy[list[Any]]:
    start = step("keyed", NUMBERS)
    if depth <= 0:
        return start
    own = lists(depth - 1)
    named = own.map(lambda each: ["named", each, ["values", each]])
    return st.one_of(start, named, step("groups", own, own))


@functools.cache
def tuples(depth: int) -> st.SearchStrategy[list[Any]]:
    return step("ends", lists(depth))


@functools.cache
def numbers(depth: int) -> st.SearchStrategy[list[Any]]:
    return step("values", lists(depth))


def anything(depth: int = 3) -> st.SearchStrategy[list[Any]]:
    """Programs that give a result of any shape."""
    below = lists(depth - 1)
    return st.one_of(
        files(depth),
        lists(depth),
        grids(depth - 1),
        dicts(depth),
        tuples(depth - 1),
        numbers(depth - 1),
        step("or_none", below, st.integers(0, 3)),
        step("pairs", below),
        step("size", below),
        step("ends_size", tuples(depth - 1)),
        step("number_at", numbers(depth - 1), PLACES),
        step("value", files(depth)),
        step("number", files(depth)),
    )


TOLD = ("no thirteens", "refused", "has no element", "lists of one length", "index out of range", "zip() argument")


def outcome(made: Callable[[], Any]) -> Any:
    """What a program gave, or that it failed as programs do."""
    try:
        return seen(made())
    except (ValueError, LookupError, StargazerError) as error:
        assert any(told in str(error) for told in TOLD), error
        return FAILED


def expected(program: list[Any]) -> Any:
    try:
        return plain(program)
    except Wrong:
        return FAILED


WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "threads": lambda call, client: sg.run(call, progress=False).result(),
    "client": lambda call, client: sg.run(call, client=client, progress=False).result(),
    "dask": lambda call, client: dask.compute(call, scheduler="threads")[0],
    "future": lambda call, client: client.compute(call).result(timeout=60),
}


def check(client: Any, program: list[Any], more: int) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        for name, way in WAYS.items():
            with Store(folder / name) as store:
                for each in (program, changed(program, more)):
                    wanted = expected(each)
                    call = wired(each)
                    assert outcome(lambda way=way, call=call: way(call, client)) == wanted, (name, each)
                    check_known(each, wanted)
                check_once(store)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_known(program: list[Any], wanted: Any) -> None:
    """What ended well is known, and the same, class by class of named tuples."""
    if wanted is FAILED:
        return
    known = wired(program).known()
    assert known is not None
    assert seen(known[0]) == wanted
    assert program[0] != "ends" or type(known[0]) is Ends
    assert sg.run(wired(program), progress=False).status().count() == 0


def check_once(store: Store) -> None:
    """No body ran twice for the same."""
    ran = [each.content_key for each in Ledger(store.records).everything() if each.status == "ok" and not each.same_as]
    assert len(ran) == len(set(ran))


OPTIONS: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=4, derandomize=True, **OPTIONS)
@given(program=anything(), more=st.integers(0, 14))
def test_results_of_all_shapes_are_those_of_plain_python(client: Any, program: list[Any], more: int) -> None:
    check(client, program, more)


@pytest.mark.slow
def test_many_random_programs_over_all_shapes(client: Any, seeds: Any) -> None:
    chosen = seeds(range(33, 39), range(33, 183))

    @seed(chosen.start)
    @settings(max_examples=len(chosen), **OPTIONS)
    @given(program=anything(4), more=st.integers(0, 14))
    def checked(program: list[Any], more: int) -> None:
        check(client, program, more)

    checked()


def test_a_graph_of_a_store_that_is_gone_does_not_stop_others(client: Any, tmp_path: Path) -> None:
    """Calls that are alive travel with those that are asked for, whatever their store."""
    with Store(tmp_path / "gone"):
        assert seen(wired(["split", [1, 2]]).compute()) == [1, 2]
        left = wired(["total", ["split", [1, 2]]])
        kept = left.dask
    shutil.rmtree(tmp_path / "gone")
    with Store(tmp_path / "here"):
        assert seen(client.compute(wired(["total", ["split", [3, 4]]])).result(timeout=60)) == 7
    assert kept is not None
    with pytest.raises(StargazerError, match="was there and is not any more"):
        left.compute()


def test_an_element_that_a_known_result_has_not_is_told_as_such(client: Any, tmp_path: Path) -> None:
    """Also where the graph is cut down while it is sent, and whatever else is alive."""
    with Store(tmp_path / "store"):
        assert seen(wired(["split", [1, 2]]).compute()) == [1, 2]
        none = wired(["at", ["split", [1, 2]], 2])
        kept = none.dask
        assert seen(client.compute(wired(["at", ["split", [1, 2]], -1])).result(timeout=60)) == 2
        with pytest.raises(StargazerError, match=r"split [0-9a-f]{8} has no element 2: it is a list of 2"):
            client.compute(none).result(timeout=60)
        with pytest.raises(StargazerError, match=r"split [0-9a-f]{8} has no element 2: it is a list of 2"):
            sg.run(none, progress=False)
        assert kept is not None
