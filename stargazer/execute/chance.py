"""What a body's code asks that is another each time: the entropy of the system, and the clock.

No event tells of either, so it is found in compiled code, where the user's own functions call by name what gives it.
Whoever draws from a generator that all of a process shares is found by its state (`stargazer.execute.state`).
"""

from __future__ import annotations

import dis
import random
import types
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["SHARED", "asked_of_chance"]

SHARED = "random of the process"
"""Stands among the names of code for a function of the generator in the module random."""

WITHOUT_SEED = frozenset({
    "random.Random", "numpy.random.default_rng", "numpy.random.RandomState", "numpy.random.SeedSequence",
    "numpy.random.PCG64", "numpy.random.MT19937", "numpy.random.Philox", "numpy.random.SFC64",
    "numpy.random.PCG64DXSM",
})  # fmt: skip
"""Called with nothing, or with None, they ask the system."""

ENTROPY = frozenset({
    "uuid.uuid1", "uuid.uuid4", "os.urandom", "os.getrandom", "random.SystemRandom", "secrets.choice",
    "secrets.randbelow", "secrets.randbits", "secrets.token_bytes", "secrets.token_hex", "secrets.token_urlsafe",
    "secrets.SystemRandom",
})  # fmt: skip
DATES = frozenset({
    "datetime.datetime.now", "datetime.datetime.today", "datetime.datetime.utcnow", "datetime.date.today",
    "pandas.Timestamp.now", "pandas.Timestamp.today", "pandas.Timestamp.utcnow",
})  # fmt: skip
DATES_OF_NOW = {"time.localtime": 0, "time.gmtime": 0, "time.ctime": 0, "time.asctime": 0, "time.strftime": 1}
"""Functions that ask the clock where they are given no more arguments than that."""

CLOCKS = frozenset({
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns",
})  # fmt: skip
"""Mostly asked how long something took, which is in no result: of a body nothing is said, but what is wired is one."""

PASSED_OVER = ("CACHE", "PRECALL", "PUSH_NULL", "RESUME", "NOP", "KW_NAMES", "COPY_FREE_VARS")
MANY = 8
"""Arguments more than any of these functions takes."""

OF_PYTHON = {"posix": "os", "nt": "os", "_random": "random"}


HEADS = frozenset(name.rpartition(".")[2] for name in (*WITHOUT_SEED, *ENTROPY, *DATES, *DATES_OF_NOW, *CLOCKS))
"""Last parts of all these names: code that has none of them needs no look."""


class Step(NamedTuple):
    """One thing that compiled code does: instructions that do two are two."""

    does: str
    what: Any
    number: int


def asked_of_chance(code: types.CodeType, namespace: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield what code calls that gives something else each time; and whether it is only a clock."""
    if HEADS.isdisjoint(code.co_names):
        return
    steps = [step for each in dis.get_instructions(code) if each.opname not in PASSED_OVER for step in _steps(each)]
    for place, called in _named(steps, namespace):
        given = _arguments(steps, place)
        unseeded = called in WITHOUT_SEED and given in ([], [None])
        if unseeded or called in ENTROPY | DATES | CLOCKS or len(given) <= DATES_OF_NOW.get(called, -1):
            yield f"{called}()", called in CLOCKS


def _steps(each: dis.Instruction) -> Iterator[Step]:
    if isinstance(each.argval, tuple) and each.opname.count("_FAST") == 2:  # since Python 3.13
        first, _, second = each.opname.rpartition("_FAST")[0].rpartition("_")
        yield Step(first, each.argval[0], 0)
        yield Step(f"{second}_FAST", each.argval[1], 0)
    else:
        yield Step(each.opname, each.argval, each.arg or 0)


def _named(steps: list[Step], namespace: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Each dotted name that is read, as the libraries call it, and the place after it."""
    imported: dict[str, str] = {}
    name = module = ""
    for place, step in enumerate(steps, 1):
        word = str(step.what)
        if step.does == "IMPORT_NAME":  # what was loaded last are the names to take from it
            name = module = word if steps[place - 2].what else word.partition(".")[0]
        elif step.does == "IMPORT_FROM":
            name = f"{module}.{word}"
        elif step.does.startswith("STORE_"):
            imported[word] = name
            name = ""
        elif step.does in ("LOAD_GLOBAL", "LOAD_NAME"):
            name = imported.get(word) or _public(namespace.get(word))
        elif step.does.startswith(("LOAD_FAST", "LOAD_DEREF")):
            name = imported.get(word, "")
        elif step.does in ("LOAD_ATTR", "LOAD_METHOD"):
            name = f"{name}.{word}" if name else ""
        else:
            name = ""
        if name and not step.does.startswith("IMPORT_"):
            yield place, name


def _arguments(steps: list[Step], place: int) -> list[Any]:
    """Arguments of the call that begins at a place, as far as they are plain; many where that cannot be told."""
    given: list[Any] = []
    for step in steps[place:]:
        if step.does.startswith("CALL"):
            if step.does == "CALL_KW":  # since Python 3.13 names of arguments are loaded last
                given = given[:-1]
            return given if step.number == len(given) else [...] * MANY
        if not step.does.startswith("LOAD_"):
            break
        given.append(step.what if step.does == "LOAD_CONST" else ...)
    return [...] * MANY


def _public(value: Any) -> str:
    """The name under which a library's documentation has a module, a class or a function."""
    if isinstance(value, types.ModuleType):
        return value.__name__
    if not callable(value):
        return ""
    holder, name = getattr(value, "__self__", None), str(getattr(value, "__name__", ""))
    if isinstance(holder, type):
        return f"{_public(holder)}.{name}"
    if isinstance(holder, random.SystemRandom):
        return f"secrets.{name}"
    module = str(getattr(value, "__module__", None) or "")
    top = "numpy.random" if module.startswith("numpy.random.") else module
    return f"{'pandas' if top.startswith('pandas.') else OF_PYTHON.get(top, top)}.{name}"
