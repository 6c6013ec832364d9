"""Code that changes in a living process: rebound names, mutated constants, edited files."""

from __future__ import annotations

import importlib
import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import dask.config
import pytest

from stargazer.errors import CodeChanged
from stargazer.fingerprint import identify, wide

Loader = Callable[..., ModuleType]

SOURCE = """
import collections, functools, enum
from dataclasses import dataclass, field

import helpers as h

SCALE = 1
TABLE = {"a": [1]}
SEEN = {"x"}
Point = collections.namedtuple("Point", "x")
POINTS = [Point([1])]

def double(x, by=2): return by * x

@dataclass
class Options:
    depth: int = 1
    names: list = field(default_factory=list)

OPTIONS = Options()

class Model:
    weights = [1]
    def __init__(self): self.state = {"a": 1}
    def run(self): return self.state

class Slotted:
    __slots__ = ("x",)
    def __init__(self): self.x = 1

MODEL, SLOTTED = Model(), Slotted()
half = functools.partial(double, by=0.5)

def make():
    count = 1
    def step(): return count
    def set(value):
        nonlocal count
        count = value
    return step, set

step, set_count = make()

@functools.singledispatch
def kind(x): return "any"

def body(work):
    return (SCALE, TABLE, SEEN, POINTS, double(1), OPTIONS.depth, MODEL.run(), SLOTTED.x, half(1), step(), sum([1]),
            kind(1), later(), h.f())
"""
HELPERS = "def f(): return g()\ndef g(): return K\nK = 1\n"


def _double(x: int, by: int = 2) -> int:
    return x


def _changes(m: ModuleType) -> dict[str, Callable[[], object]]:
    return {
        "constant rebound": lambda: setattr(m, "SCALE", 2),
        "dict changed": lambda: m.TABLE.update(b=1),
        "list in a dict changed": lambda: m.TABLE["a"].append(2),
        "equal, but of another type": lambda: m.TABLE.__setitem__("a", [True]),
        "set changed": lambda: m.SEEN.add("y"),
        "list in a named tuple changed": lambda: m.POINTS[0].x.append(2),
        "function rebound": lambda: setattr(m, "double", lambda x: x),
        "function reloaded in place": lambda: setattr(m.double, "__code__", _double.__code__),
        "default changed": lambda: setattr(m.double, "__defaults__", (3,)),
        "dataclass changed": lambda: setattr(m.OPTIONS, "depth", 2),
        "list in a dataclass changed": lambda: m.OPTIONS.names.append("a"),
        "object changed": lambda: m.MODEL.state.update(a=2),
        "attribute of an object rebound": lambda: setattr(m.MODEL, "state", {"a": 3}),
        "attribute of a class rebound": lambda: setattr(m.Model, "weights", [2]),
        "attribute of a class changed": lambda: m.Model.weights.append(2),
        "method replaced": lambda: setattr(m.Model, "run", lambda self: 1),
        "slot changed": lambda: setattr(m.SLOTTED, "x", 2),
        "variable of a closure changed": lambda: m.set_count(2),
        "keyword of a partial changed": lambda: m.half.keywords.update(by=3),
        "way of a single dispatch added": lambda: m.kind.register(int, lambda x: "int"),
        "builtin name taken over": lambda: setattr(m, "sum", max),
        "name defined at last": lambda: setattr(m, "later", lambda: 1),
        "function in a module rebound": lambda: setattr(m.h, "g", lambda: 2),
        "constant in a module rebound": lambda: setattr(m.h, "K", 2),
    }


def test_an_identity_stays_while_nothing_changes(load: Loader) -> None:
    module = load(SOURCE, helpers=HELPERS)
    identity = identify(module.body, "body")
    assert identity.is_current()
    assert identify(module.body, "body").digest == identity.digest


@pytest.mark.parametrize("change", _changes(ModuleType("none")))
def test_a_change_in_the_process_is_noticed(load: Loader, change: str) -> None:
    module = load(SOURCE, helpers=HELPERS)
    before = identify(module.body, "body")
    _changes(module)[change]()
    assert not before.is_current()
    assert identify(module.body, "body").digest != before.digest


def test_a_change_taken_back_is_the_same_identity(load: Loader) -> None:
    module = load(SOURCE, helpers=HELPERS)
    before = identify(module.body, "body").digest
    module.TABLE["b"] = 1
    assert identify(module.body, "body").digest != before
    del module.TABLE["b"]
    assert identify(module.body, "body").digest == before


def test_asking_whether_it_is_current_is_cheap(load: Loader) -> None:
    table = "TABLE = {f'key {i}': i for i in range(10_000)}\ndef body(work): return TABLE"
    identity = identify(load(table).body, "body")
    called: list[object] = []
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_name))
    try:
        current = identity.is_current()
    finally:
        sys.setprofile(None)
    assert current
    assert len(called) < 1000, "ten thousand members are not looked at one by one"


@pytest.mark.parametrize("shift", ["", "# a line more\n"])
def test_a_file_edited_after_its_import_is_refused(load: Loader, shift: str) -> None:
    module = load("import helpers\ndef body(work): return helpers.f()", helpers=HELPERS)
    Path(module.helpers.__file__).write_text(shift + HELPERS.replace("return K", "return K + 1"))
    with pytest.raises(CodeChanged, match=r"helpers\.py was edited after [fg] was read"):
        identify(module.body, "body")


def test_a_reloaded_module_is_read_again(load: Loader) -> None:
    module = load("import helpers\ndef body(work): return helpers.f()", helpers=HELPERS)
    first = identify(module.body, "body")
    Path(module.helpers.__file__).write_text("# a line more\n" + HELPERS.replace("return K", "return K + 1"))
    importlib.reload(module.helpers)
    assert not first.is_current()
    assert identify(module.body, "body").digest != first.digest


def test_text_read_before_an_edit_still_stands_for_what_runs(load: Loader) -> None:
    module = load("import helpers\ndef body(work): return helpers.f()", helpers=HELPERS)
    first = identify(module.body, "body")
    Path(module.helpers.__file__).write_text(HELPERS.replace("return K", "return K + 1"))
    assert identify(module.body, "body").digest == first.digest
    linecache.checkcache()
    with pytest.raises(CodeChanged):
        identify(module.body, "body")


def test_a_comment_above_a_function_that_nobody_read_yet_passes(load: Loader) -> None:
    """A process of workers imports a module long before it digests what stands in it."""
    source = "def plus(x): return x + 1\n\ndef body(work):\n    return (lambda x: x)(1), (lambda x: plus(x))(1)\n"
    before = identify(load(source).body, "body").digest
    module = load(source)
    file = Path(str(module.__file__))
    file.write_text(f"# one\n\n# two\n{source}")
    linecache.checkcache()
    assert identify(module.body, "body").digest == before
    fresh = load(source)
    Path(str(fresh.__file__)).write_text(f"# one\n{source.replace('x + 1', 'x + 2')}")
    linecache.checkcache()
    with pytest.raises(CodeChanged, match="plus"):
        identify(fresh.body, "body")


def test_what_a_file_does_as_it_is_imported_is_kept_for_other_processes(
    load: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a task of which all is understood: its modules would else be parsed twice in each process."""
    with dask.config.set({"stargazer.cache": str(tmp_path / "cache")}):
        first = identify(load("import math\ndef body(work): return math.pi").body, "body")
        assert not first.wide
        for each in (wide._kept, wide._top):
            each.cache_clear()
        monkeypatch.setattr(wide, "_top_of", lambda path: pytest.fail(f"{path} is read again"))
        body = sys.modules["pipeline"].body
        assert identify(body, "body").digest == first.digest
