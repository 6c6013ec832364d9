"""Parameters are what they were when the call was made: copied, checked, and keyed by all that a body can see."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import hashlib
import importlib.util
import json
import math
import pickle
import re
import sys
import uuid
import warnings
import zoneinfo
from collections import OrderedDict, defaultdict, namedtuple
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import dask
import numpy as np
import pandas as pd
import pytest

import stargazer as sg
from stargazer.errors import ArgumentError, WorkerMismatch
from stargazer.fingerprint import UncertainIdentity
from stargazer.ledger import Ledger
from stargazer.ledger.keys import call_key, plain
from stargazer.ledger.rebuilt import readable
from stargazer.store import Store

dask.config.set(scheduler="threads")


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


class Weekday(enum.IntEnum):
    MONDAY = 1


@dataclasses.dataclass
class Inner:
    ratio: float = 0.5


@dataclasses.dataclass
class Options:
    depth: int = 0
    inner: Inner = dataclasses.field(default_factory=Inner)
    names: list[str] = dataclasses.field(default_factory=list)
    late: list[Inner] | None = None

    @cached_property
    def total(self) -> int:
        return self.depth + len(self.names)


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    depth: float = 0.0


Point = namedtuple("Point", ["x", "y"])  # noqa: PYI024


@sg.task
def depth_of(work: sg.Workdir, *, options: Options) -> int:
    return options.depth


@sg.task
def deepen(work: sg.Workdir, *, options: Options) -> int:
    options.depth += 1
    options.names.append("more")
    return options.depth


@sg.task
def longer(work: sg.Workdir, *, items: list[int]) -> int:
    items.append(1)
    return len(items)


@sg.task
def shown(work: sg.Workdir, *, x: Any) -> str:
    return repr(x)


def key(x: Any) -> str:
    return shown(x=x).plan_key


def module_of(folder: Path, name: str, text: str) -> ModuleType:
    """A module made of a text, as if it had been imported in another process."""
    path = folder / str(len(list(folder.iterdir()))) / f"{name}.py"
    path.parent.mkdir()
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def modules(tmp_path: Path) -> Any:
    folder = tmp_path / "modules"
    folder.mkdir()
    before = set(sys.modules)
    yield lambda name, text: module_of(folder, name, text)
    for name in set(sys.modules) - before:
        if not name.startswith(("pandas", "numpy", "pyarrow", "distributed", "stargazer")):
            sys.modules.pop(name, None)


@pytest.mark.usefixtures("store")
def test_an_object_that_changes_between_calls_gives_each_what_it_was() -> None:
    options, calls = Options(), []
    for depth in (10, 20, 30):
        options.depth = depth
        calls.append(depth_of(options=options))
    assert len({call.plan_key for call in calls}) == 3
    assert dask.compute(*calls) == (10, 20, 30)
    assert [depth_of(options=Options(depth)).known() for depth in (10, 20, 30)] == [(10,), (20,), (30,)]


@pytest.mark.usefixtures("store")
def test_each_body_has_a_copy_of_its_own() -> None:
    options = Options(5)
    first, second = deepen(options=options), depth_of(options=options)
    assert (first.compute(scheduler="sync"), second.compute(scheduler="sync")) == (6, 5)
    assert (options.depth, options.names) == (5, [])
    assert first.parameters["options"] == Options(5)
    call = longer(items=[1])
    assert call.compute(scheduler="sync") == 2
    assert call.parameters == {"items": [1]}


@pytest.mark.usefixtures("store")
def test_what_a_call_tells_of_its_parameters_cannot_change_it() -> None:
    call = depth_of(options=Options(1))
    call.parameters["options"].depth = 9
    assert call.compute() == 1


@pytest.mark.usefixtures("store")
def test_fields_are_converted_as_parameters_are() -> None:
    assert depth_of(options=Options(inner=Inner(1))) == depth_of(options=Options(inner=Inner(1.0)))  # type: ignore[arg-type]
    assert depth_of(options=Options(np.int64(3))) == depth_of(options=Options(3))  # type: ignore[arg-type]
    assert key(Slotted(2)) == key(Slotted(2.0)) != key(Slotted(3))
    assert shown(x=Slotted(2)).compute() == "Slotted(depth=2.0)"
    assert depth_of(options=Options(late=[Inner(2)])) == depth_of(options=Options(late=[Inner(2.0)]))


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (Options("1"), "Options.depth: int expected"),  # type: ignore[arg-type]
        (Options(True), "Options.depth: int expected"),
        (Options(inner=Inner("x")), "Options.inner: Inner.ratio: float expected"),  # type: ignore[arg-type]
        (Options(names=[1]), "Options.names: str expected"),  # type: ignore[list-item]
    ],
)
def test_fields_that_do_not_fit_are_refused(options: Options, told: str) -> None:
    for call in (lambda: depth_of(options=options), lambda: shown(x=[options])):
        with pytest.raises(ArgumentError, match=re.escape(told)):
            call()


@pytest.mark.usefixtures("store")
def test_what_is_only_remembered_does_not_count() -> None:
    warm = Options(3)
    assert warm.total == 3
    assert depth_of(options=warm) == depth_of(options=Options(3))


@pytest.mark.usefixtures("store")
def test_attributes_beside_the_fields_count() -> None:
    marked = Options(3)
    marked.extra = 1  # type: ignore[attr-defined]
    assert key(marked) != key(Options(3))
    other = Options(3)
    other.extra = 2  # type: ignore[attr-defined]
    assert key(marked) != key(other)
    other.extra = object()  # type: ignore[attr-defined]
    with pytest.raises(ArgumentError, match="object is no plain value"):
        key(other)


CLASS = """
import enum, stargazer as sg
from dataclasses import dataclass
@dataclass
class Params:
    x: int = 1
    def value(self): return {value}
class Kind(enum.Enum):
    A = "a"
    def value_of(self): return {value}
class Text(str):
    def upper(self): return {value}
class Table(sg.Asset, key="table_{name}"):
    sample: str = ""
    @property
    def label(self): return {value}
"""


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("make", ["Params()", "[Params()]", "{'a': Params()}", "Kind.A", "Text('a')", "(Kind.A, 1)"])
def test_the_methods_of_a_values_class_count(modules: Any, make: str) -> None:
    keys = []
    for value in (1, 1, 2):
        module = modules("kinds_of_values", CLASS.format(value=value, name="values"))
        keys.append(key(eval(make, vars(module))))
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.usefixtures("store")
def test_two_classes_of_one_name_are_two(modules: Any) -> None:
    one = modules("one_kind", CLASS.format(value=1, name="one"))
    other = modules("other_kind", CLASS.format(value=1, name="other"))
    assert key(one.Params()) != key(other.Params())
    assert key(one.Kind.A) != key(other.Kind.A)


def test_the_methods_of_an_assets_class_count(store: Store, modules: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    keys = []
    for value in ("'a'", "'a'", "'b'"):
        module = modules("kinds_of_assets", CLASS.format(value=value, name="assets"))
        keys.append(labelled(sg.add(tmp_path / "f", module.Table(sample="s"))).plan_key)
    assert keys[0] == keys[1] != keys[2]
    made = sg.add(tmp_path / "f", module.Table(sample="s"))
    bare = labelled(sg.add(tmp_path / "f")).plan_key
    modules("kinds_of_assets", CLASS.format(value="'c'", name="assets"))
    assert labelled(sg.add(tmp_path / "f")).plan_key == bare
    with pytest.raises(ArgumentError, match="was defined anew since; take the asset from the store again"):
        labelled(made)
    assert labelled(sg.assemble(asset="table_assets")[0]).compute() == "c"


@sg.task
def labelled(work: sg.Workdir, x: sg.Asset) -> str:
    return getattr(x, "label", "")


VERSIONED = """
import stargazer as sg
def make(k, step=1):
    @sg.task(version="1")
    def t(work: sg.Workdir, *, n: int = {n}) -> int:
        return k + {value}
    return t
"""


@pytest.mark.usefixtures("store")
def test_a_version_stands_for_the_code_alone(modules: Any) -> None:
    def digest(name: str, n: int, value: int, k: Any) -> str:
        found: str = modules(name, VERSIONED.format(n=n, value=value)).make(k).code.digest
        return found

    first = digest("versioned_one", 1, 1, 1)
    assert digest("versioned_one", 1, 2, 1) == first
    assert digest("versioned_two", 1, 1, 1) != first
    assert digest("versioned_one", 2, 1, 1) != first
    assert digest("versioned_one", 1, 1, 2) != first
    assert digest("versioned_one", 1, 1, {"a": Options(1)}) != digest("versioned_one", 1, 1, {"a": Options(2)})


@pytest.mark.usefixtures("store")
def test_tasks_of_one_version_made_in_a_loop_are_each_its_own(modules: Any) -> None:
    module = modules("versioned_loop", VERSIONED.format(n=1, value=0))
    assert [module.make(k)().compute() for k in (1, 2, 3)] == [1, 2, 3]


UTC, ROME = datetime.UTC, zoneinfo.ZoneInfo("Europe/Rome")
NOON = datetime.datetime(2026, 1, 1, 12)
DIFFERENT: list[Any] = [
    decimal.Decimal("1"), decimal.Decimal("1.0"), fractions.Fraction(1, 3), 1, 1.0, True, "1", None, 1j,
    math.nan, math.inf, -math.inf, 0.0, -0.0,
    datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1), NOON, NOON.replace(tzinfo=UTC), NOON.replace(tzinfo=ROME),
    NOON.replace(fold=1), datetime.time(12), datetime.timedelta(seconds=1), datetime.timedelta(microseconds=1), UTC,
    uuid.UUID(int=1), b"1", bytearray(b"1"), {1}, frozenset({1}), [1], (1,), {"a": 1}, OrderedDict(a=1), Point(1, 2),
    (1, 2), range(3), range(4), re.compile("a"), re.compile("a", re.IGNORECASE), Path("no/such"),
    PurePosixPath("no/such"),     Path("no/such2"), Mode.FAST, Mode.SLOW, Weekday.MONDAY, Slotted(1.0), Inner(1.0),
    np.datetime64("2026-01-01"),
    np.datetime64("2026-01-01", "s"), np.timedelta64(1, "D"), np.longdouble(1),
    np.array([1, 2]), np.array([1, 3]), np.array([1.0, 2.0]), np.array([[1, 2]]), np.array([[1], [2]]),
    np.array([[1, 2], [3, 4]]), np.asfortranarray([[1, 2], [3, 4]]), np.array(["a"]), np.array(["2026"], "M8[s]"),
    pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1.0]}), pd.DataFrame({"b": [1]}),
    pd.DataFrame({"a": [1]}, index=["x"]),
    # Of objects: columns of texts have one kind of gap since pandas 3.
    pd.DataFrame({"a": ["x", None]}, dtype=object), pd.DataFrame({"a": ["x", math.nan]}, dtype=object),
    pd.DataFrame({"a": pd.Categorical(["x"])}),
    pd.DataFrame({"a": [[1]]}, dtype=object), pd.DataFrame({"a": [(1,)]}, dtype=object), pd.Series([1]),
    pd.Series([1], name="a"), pd.DataFrame({"a": [decimal.Decimal(1)]}),
]  # fmt: skip


@pytest.mark.usefixtures("store")
def test_values_of_every_kind_are_told_apart() -> None:
    keys = [key(value) for value in DIFFERENT]
    twice = {each for each in keys if keys.count(each) > 1}
    assert not [value for value, each in zip(DIFFERENT, keys, strict=True) if each in twice]


@pytest.mark.usefixtures("store")
def test_equal_values_are_equal_calls() -> None:
    for one, other in (
        ({"b", "a"}, {"a", "b"}),
        (np.array([1, 2]), np.arange(1, 3)),
        (np.arange(4)[::2], np.array([0, 2])),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 2, 3]}).iloc[:2]),
        (math.nan, -math.nan),
        (np.bytes_(b"a"), b"a"),
        (np.complex128(1j), 1j),
    ):
        assert key(one) == key(other), one


@pytest.mark.usefixtures("store")
def test_bodies_get_what_was_given_also_in_another_process() -> None:
    given = [*DIFFERENT, {"a": [Options(2, late=[Inner(0.25)])]}]
    calls = [shown(x=pickle.loads(pickle.dumps(value))) for value in given]
    made = dask.compute(calls, scheduler="processes", num_workers=1)[0]
    assert [text for text, value in zip(made, given, strict=True) if text != repr(value)] == []


def test_records_are_valid_json_and_read_well(store: Store) -> None:
    given = {"nan": math.nan, "day": NOON.replace(tzinfo=UTC), "mode": Mode.FAST, "o": Options(1), "s": {2, 1}}
    call = shown(x=given)
    call.compute()
    record = Ledger(store.records).find(call.plan_key)
    assert record is not None
    text = record.to_bytes().decode()
    json.loads(text, parse_constant=pytest.fail)
    told = readable(record.parameters["x"])
    assert (told["nan"], told["day"], told["mode"], told["s"]) == ("nan", "2026-01-01T12:00:00", "Mode.FAST", "{1, 2}")
    assert told["o"].startswith("Options(depth=1, inner=")


def test_frames_are_told_apart_by_what_arrow_does_not_say(store: Store) -> None:
    days = pd.date_range("2020-01-01", periods=2)
    indices = [pd.RangeIndex(2), pd.Index([0, 1]), pd.Index([0, 3, 4]), days, days._with_freq(None)]
    frames = [pd.DataFrame({"x": range(len(index))}, index=index) for index in indices]
    keys = [shown(x=value).plan_key for value in [*frames, *(frame.x for frame in frames)]]
    assert len(set(keys)) == len(keys)
    assert keys == [shown(x=value.copy()).plan_key for value in [*frames, *(frame.x for frame in frames)]]


def test_arrays_and_frames_are_in_the_store_by_content(store: Store) -> None:
    call = shown(x={"a": np.array([1, 2]), "b": pd.DataFrame({"a": [1]})})
    call.compute()
    record = Ledger(store.records).find(call.plan_key)
    assert record is not None
    cids = [member[1].get("array") or member[1].get("dataframe") for member in record.parameters["x"]["dict"]]
    assert cids == list(record.input_cids)
    assert np.load(store.fetch(cids[0])).tolist() == [1, 2]
    assert [each.id for each in Ledger(store.records).consumers(cids[1])] == [record.id]


REFUSED: list[tuple[Any, str]] = [
    (10**5000, "an integer of thousands of digits"),
    ({1: 2}, "keys are not all strings"),
    (np.array([None]), "an array of Python objects"),
    (np.zeros(3_000_000), "24,000,000 bytes of data; write them to a file"),
    (bytes(1 << 17), "131,072 bytes; write them to a file"),
    (pd.DataFrame({"a": [1, "x"]}), "Arrow cannot hold"),
    (pd.DataFrame({"a": [object()]}), "Arrow cannot hold.*object"),
    (defaultdict(list), "defaultdict is no plain value"),
    (lambda: 1, "function is no plain value"),
    (Options, "type is no plain value"),
    (iter([1]), "list_iterator is no plain value"),
]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("value", "told"), REFUSED, ids=[told for _, told in REFUSED])
def test_what_cannot_be_keyed_is_refused(value: Any, told: str) -> None:
    for given in (value, [value], {"a": (value,)}):
        with pytest.raises(ArgumentError, match=told):
            shown(x=given)


@pytest.mark.usefixtures("store")
def test_values_that_hold_themselves_are_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for value in (endless, {"a": endless}, Options(late=endless)):
        with pytest.raises(ArgumentError, match="holds itself"):
            shown(x=value)


@pytest.mark.usefixtures("store")
def test_a_path_that_names_a_file_is_a_warning_and_strictly_an_error(tmp_path: Path) -> None:
    (tmp_path / "reads.fq").write_text("x")
    with pytest.warns(UncertainIdentity, match=r"shown: x names .*reads.fq, whose content is in no key; pass it as an"):
        shown(x=[tmp_path / "reads.fq"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown(x=tmp_path / "none.fq")
    with dask.config.set({"stargazer.strict": True}), pytest.raises(ArgumentError, match="pass it as an asset"):
        shown(x=tmp_path / "reads.fq")


@pytest.mark.usefixtures("store")
def test_a_worker_with_another_version_of_a_class_refuses_the_call(modules: Any) -> None:
    module = modules("sent_kinds", CLASS.format(value=1, name="sent"))
    given = pickle.dumps(shown(x=module.Params()).given["x"])
    assert pickle.loads(given).open() == module.Params()
    modules("sent_kinds", CLASS.format(value=2, name="sent"))
    with pytest.raises(WorkerMismatch, match=r"sent_kinds.Params is another version here"):
        pickle.loads(given).open()
    del sys.modules["sent_kinds"]
    with pytest.raises(WorkerMismatch, match="cannot import the class of a parameter"):
        pickle.loads(given).open()


@pytest.mark.usefixtures("store")
def test_a_plan_says_that_the_code_of_a_value_changed(modules: Any) -> None:
    shown(x=modules("told_kinds", CLASS.format(value=1, name="told")).Params()).compute()
    call = shown(x=modules("told_kinds", CLASS.format(value=2, name="told")).Params())
    assert "the code of 'Params(x=1)' changed" in str(sg.plan(call))


def test_keys_of_plain_values_are_what_they_were() -> None:
    values = {"a": [1, 2.5, "t", None, True, (1,)], "b": {"z": 1, "y": math.nan}}
    text = '{"a":[1,2.5,"t",null,true,{"tuple":[1]}],"b":{"dict":[["z",1],["y",{"float":"nan"}]]}}'
    written = {name: plain(value) for name, value in values.items()}
    assert json.dumps(written, sort_keys=True, separators=(",", ":")) == text
    assert call_key("0" * 64, written, {}) == "7410a693d5a738b0d929ce77ec0cb95168d627b404f90447ca5a0be2a2902dae"


TEXT = 'quo"te \\ \n \u2028 é 😀'
MEMBERS: list[Any] = [1, -5, 10**4000, True, None, "", TEXT, 2.5, 1e300, [1, "a"], {"dict": [["z", 1]]}]


def test_keys_are_written_as_the_encoder_writes_them() -> None:
    encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
    for first in MEMBERS:
        for values in ({"é": first}, {"b": first, "a": 1, "c": "t"}, {"b": first, "a": MEMBERS[9]}):
            whole = "\n".join(("task", encode(values), encode({"x": ["asset:1"], "y": None, "z": "call:2"})))
            expected = hashlib.sha256(whole.encode()).hexdigest()
            assert call_key("task", values, {"z": "call:2", "x": ["asset:1"], "y": None}) == expected
    assert call_key("task", {}, {}) == hashlib.sha256(b"task\n{}\n{}").hexdigest()
