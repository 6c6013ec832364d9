"""Calls among Dask's own: compute, mixed structures, annotations, pickles, sizes."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle  # type: ignore[import-untyped]
import dask
import pytest
from dask.delayed import Delayed

import stargazer as sg
from stargazer.calls.walk import CALLS
from stargazer.errors import CodeChanged, OutputError, StoresMixed
from stargazer.store import Store

dask.config.set(scheduler="threads")


class Pair(NamedTuple):
    first: sg.Asset
    count: int


def write(work: sg.Workdir, text: str) -> sg.Asset:
    out = work.file("out.txt")
    out.write_text(text)
    return sg.Asset(path=out)


@sg.task
def number(work: sg.Workdir, *, i: int = 0) -> sg.Asset:
    return write(work, str(i))


@sg.task
def succ(work: sg.Workdir, x: sg.Asset) -> sg.Asset:
    return write(work, str(int(x.path.read_text()) + 1))


@sg.task
def total(work: sg.Workdir, xs: list[sg.Asset]) -> int:
    return sum(int(x.path.read_text()) for x in xs)


@sg.task
def pair(work: sg.Workdir, x: sg.Asset) -> tuple[sg.Asset, int]:
    return write(work, "pair"), 2


@sg.task
def named(work: sg.Workdir, x: sg.Asset) -> Pair:
    return Pair(write(work, "named"), 3)


@sg.task
def several(work: sg.Workdir, *, n: int) -> list[sg.Asset]:
    names = [work.file(f"{i}.txt") for i in range(n)]
    for i, name in enumerate(names):
        name.write_text(str(i))
    return [sg.Asset(path=name) for name in names]


@sg.task
def variadic(work: sg.Workdir, *, n: int) -> tuple[sg.Asset, ...]:
    return tuple(several.body(work, n=n))


@sg.task
def by_name(work: sg.Workdir, *, names: list[str]) -> dict[str, sg.Asset]:
    for name in names:
        work.file(name).write_text(name)
    return {name: sg.Asset(path=work.file(name)) for name in names}


@sg.task
def joined(work: sg.Workdir, xs: dict[str, sg.Asset]) -> str:
    return " ".join(xs)


@sg.task
def plus(work: sg.Workdir, *, n: int, by: float = 0.5) -> float:
    return n + by


@sg.task
def counts(work: sg.Workdir, *, n: int) -> list[int]:
    return list(range(n))


@sg.task
def added(work: sg.Workdir, *, ns: list[int]) -> int:
    return sum(ns)


@sg.task
def untyped(work: sg.Workdir, *, n: Any = 1):  # type: ignore[no-untyped-def]
    return {"a": [n, (n, None)], "b": "x"}


def text(asset: sg.Asset) -> str:
    return asset.fetch().read_text()


def test_a_call_is_a_delayed(store: Store) -> None:
    assert isinstance(number(), Delayed)
    assert dask.is_dask_collection(number())
    assert text(number().compute()) == "0"


def test_mixed_structures_compute_in_their_shape_and_order(store: Store) -> None:
    def values(known: bool) -> list[Any]:
        plain = dask.delayed(len)([number(i=3), 1]) + 1
        result = dask.compute(number(i=1), plain, {"k": [number(i=2), dask.delayed(5)]}, 7, succ(number(i=1)))
        return [text(result[0]), result[1], text(result[2]["k"][0]), result[2]["k"][1], result[3], text(result[4])]

    assert values(known=False) == ["1", 3, "2", 5, 7, "2"]
    assert values(known=True) == ["1", 3, "2", 5, 7, "2"]


def test_a_plain_delayed_may_take_calls(store: Store) -> None:
    both = dask.delayed(lambda a, b: (a.name, b + 1))(number(i=1), total([number(i=2), number(i=3)]))
    assert both.compute() == ("out.txt", 6)
    assert (total([number(i=4)]) * 2).compute() == 8
    assert dask.persist(number(i=1))[0].compute().name == "out.txt"


def test_every_shape_of_result(store: Store) -> None:
    first, count = pair(number())
    assert dask.compute(count, first)[0] == 2
    assert text(named(number()).first.compute()) == "named"
    assert plus(n=named(number()).count).compute() == 3.5
    assert named(number()).compute() == named(number()).compute()
    assert type(named(number()).compute()).__name__ == "Pair"
    assert [text(each) for each in several(n=2).compute()] == ["0", "1"]
    assert text(several(n=2)[-1].compute()) == "1"
    assert text(succ(several(n=2)[1]).compute()) == "2"
    assert total(several(n=3)).compute() == 3
    assert total(variadic(n=3)).compute() == 3
    assert text(by_name(names=["x"])["x"].compute()) == "x"
    assert untyped(n=2).compute() == {"a": [2, (2, None)], "b": "x"}
    assert untyped(n=2)["b"].compute() == "x"


def test_results_of_plain_values_may_be_parameters(store: Store) -> None:
    assert plus(n=total([number(i=4)])).compute() == 4.5
    assert added(ns=counts(n=4)).compute() == 6
    assert plus(n=1, by=total([number(i=2)])).compute() == 3.0


def test_the_order_of_a_dict_is_kept_and_counts(store: Store) -> None:
    a, b = number(i=1), number(i=2)
    assert joined({"b": b, "a": a}).compute() == "b a"
    assert joined({"a": a, "b": b}).compute() == "a b"
    for _ in "fresh", "known":
        assert joined(by_name(names=["y", "x"])).compute() == "y x"
        assert list(by_name(names=["y", "x"]).compute()) == ["y", "x"]
    assert untyped(n={"b": 1, "a": 2}).compute()["a"][0] == {"b": 1, "a": 2}
    assert list(untyped(n={"a": 2, "b": 1}).compute()["a"][0]) == ["a", "b"]
    assert untyped(n=(1,)).compute()["a"][0] == (1,)
    assert untyped(n=[1]).compute()["a"][0] == [1]


def test_an_element_that_is_not_there_says_what_is(store: Store) -> None:
    with pytest.raises(OutputError, match="no element 2: it is a list of 2"):
        several(n=2)[2].compute()
    with pytest.raises(OutputError, match="no element 'z'"):
        by_name(names=["x"])["z"].compute()
    with pytest.raises(IndexError, match="pair returns 2 results; there is no"):
        pair(number())[2]
    with pytest.raises(TypeError, match="number returns one result"):
        number()[0]
    with pytest.raises(TypeError, match="known only when it ran"):
        list(several(n=2))
    assert len(pair(number())) == 2


def test_an_element_of_an_element_is_refused(store: Store) -> None:
    nested = untyped(n=3)
    with pytest.raises(TypeError, match="is one result of untyped"):
        nested["a"][0]


def test_equal_calls_are_one_object_as_long_as_somebody_holds_them(store: Store) -> None:
    call = number(i=1)
    assert number(i=1) is call
    assert call == number(i=1)
    assert (call != number(i=1)) is False
    assert call != number(i=2)
    assert {call: "x"}[number(i=1)] == "x"
    assert copy.copy(call) is call
    assert copy.deepcopy(call) is call
    key = call.key
    del call
    gc.collect()
    assert key not in CALLS


def test_a_call_answers_to_no_attribute_and_no_question(store: Store) -> None:
    call = number()
    for name in ("shape", "dtype", "_ipython_display_", "_mime_", "__array__", "cid", "path"):
        assert not hasattr(call, name)
    with pytest.raises(TypeError, match="has not run"):
        bool(call)
    with pytest.raises(TypeError, match="has not run"):
        _ = 1 in call
    with pytest.raises(TypeError, match="call already"):
        call()
    with pytest.raises(TypeError, match="immutable"):
        call.x = 1
    assert repr(call).startswith("<call number ")
    assert "number" in call._repr_html_()


def test_calls_pickle_however_deep(store: Store) -> None:
    call = number(i=1)
    for _ in range(5000):
        call = succ(call)
    again = cloudpickle.loads(cloudpickle.dumps(call))
    assert again is call
    data, key = pickle.dumps([call, pair(number())[0]]), call.key
    del call, again
    gc.collect()
    assert next(each.key for each in pickle.loads(data)) == key


def test_a_chain_may_be_deep(store: Store) -> None:
    call = number(i=1)
    chain = [call := succ(call) for _ in range(5000)]
    assert len(sg.plan(call)) == 5001
    text(chain[49].compute())
    assert text(dask.compute(chain[99])[0]) == "101"
    assert len(sg.plan(call).to_run) == 4900


def test_the_newest_definition_of_a_call_counts_and_its_annotations_stay(store: Store) -> None:
    def body(work: sg.Workdir) -> sg.Asset:
        return write(work, "x")

    with dask.annotate(priority=1):
        first = sg.task(body)()
    again = sg.task(cpus=2)(body)()
    assert again is first
    assert first.spec.needs.cpus == 2
    assert first.annotations == {"priority": 1}


def test_a_new_annotation_of_the_result_counts_for_a_call_that_lives(store: Store) -> None:
    def body(work: sg.Workdir):  # type: ignore[no-untyped-def]
        return write(work, "x"), write(work, "x")

    first = sg.task(body)()
    body.__annotations__["return"] = tuple[sg.Asset, sg.Asset]
    second = sg.task(body)()
    assert second is first
    one, two = second
    assert (one.index, two.index) == (0, 1)


def test_the_graph_of_a_call_is_its_own(store: Store) -> None:
    others = [number(i=i) for i in range(5)]
    call = succ(number(i=10))
    graph = dict(call.dask)
    assert graph.keys() == {call.key, number(i=10).key}
    assert text(dask.threaded.get(call.dask, call.key)) == "11"
    assert others


def test_annotations_reach_the_graph_call_by_call(store: Store) -> None:
    with dask.annotate(priority=5, resources={"GPU": 1}):
        first = number(i=1)
    plain = succ(first)
    layers = plain.dask.cull([plain.key]).layers.values()
    found = {key: layer.annotations for layer in layers for key in layer if layer.annotations}
    annotations = {name: value(first.key) for name, value in found[first.key].items()}
    assert annotations == {"priority": 5, "resources": {"GPU": 1}}
    assert found[plain.key]["priority"](plain.key) is None


def test_calls_of_two_stores_do_not_meet(tmp_path: Path) -> None:
    with Store(str(tmp_path / "a")):
        a = number(i=1)
    with Store(str(tmp_path / "b")) as b_store:
        b = number(i=1)
        with pytest.raises(StoresMixed, match="is called in the store"):
            succ(a)
        stored = b.compute()
    assert a is not b
    assert a.plan_key == b.plan_key
    with pytest.raises(StoresMixed):
        dask.compute(a, b)
    with Store(str(tmp_path / "a")), pytest.raises(StoresMixed, match="belongs to"):
        succ(stored)
    assert b_store.exists(stored)


def test_a_call_keeps_the_store_in_which_it_was_made(tmp_path: Path) -> None:
    with Store(str(tmp_path / "a")) as store:
        call = number(i=1)
    stored = call.compute()
    assert store.exists(stored)


_scale = 1


@sg.task
def scaled(work: sg.Workdir) -> int:
    return _scale


def test_code_that_changes_before_submission_is_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = scaled()
    held = dask.delayed(lambda x: x)(before)
    monkeypatch.setitem(globals(), "_scale", 2)
    with pytest.raises(CodeChanged, match="make the call anew"):
        before.compute()
    with pytest.raises(CodeChanged):
        held.compute()
    with pytest.raises(CodeChanged):
        sg.plan(before)
    after = scaled()
    assert after is not before
    assert after.compute() == 2
    # The graph that could not run stands in nobody's way, also when all that lives is pickled.
    assert dask.delayed(lambda x: x)(pickle.loads(cloudpickle.dumps(number(i=2)))).compute().name == "out.txt"
    assert cloudpickle.loads(cloudpickle.dumps(succ(number(i=3)).dask))
    monkeypatch.setitem(globals(), "_scale", 1)
    assert before.compute() == 1


def test_threads_make_equal_calls_as_one(store: Store) -> None:
    made: list[list[Any]] = []
    barrier = threading.Barrier(8)

    def make() -> None:
        barrier.wait()
        made.append([number(i=i) for i in range(300)])

    with Store(str(store.url)):
        threads = [threading.Thread(target=make) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for calls in zip(*made, strict=True):
        assert len({id(call) for call in calls}) == 1


def _seconds(work: Any) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def test_many_calls_take_linear_time(store: Store) -> None:
    """First use of the layer included: it once looked at every living call in turn."""

    def graphs(n: int) -> None:
        calls = [succ(number(i=i)) for i in range(n)]
        (one,) = dask.optimize(total(calls))
        many = dask.optimize(*calls)
        assert len(one.dask) >= n
        assert len(many) == n

    small, large = _seconds(lambda: graphs(500)), _seconds(lambda: graphs(2000))
    assert large < 4 * small * 2 + 0.5
