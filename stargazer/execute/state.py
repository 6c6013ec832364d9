"""What all of a process shares, before and after a body: what the body changed is said, and put back.

Bodies run beside each other, and beside the user's own program. What an event tells is certain (`os.chdir`, variables
of the environment). The rest is looked at where a body's code names what changes it, and is its doing if no other that
ran at the same time names it, too. It is put back when the last of them ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import locale
import os
import random
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer import config
from stargazer.execute.chance import SHARED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from stargazer.execute.audit import Observed

__all__ = ["Change", "compared", "tell_of_variables"]


class Aspect(NamedTuple):
    """One thing that a process has once.

    Parameters
    ----------
    name
        How people call it.
    names
        In the code of a body that changes it by itself.
    read
        Tells how it is; None where that cannot be told.
    write
        Puts it back.
    remedy
        What to do instead.
    harmless
        Names of what changes it as it is meant to be: who draws a number does not decide on those of others. That is
        told, and stays.
    drawn
        Whether one state follows from another by drawing numbers, and not by a seed.
    always
        Whether it is looked at whatever the code names: libraries draw from it where nobody gives them a seed.
    """

    name: str
    names: frozenset[str]
    read: Callable[[], Any]
    write: Callable[[Any], object]
    remedy: str
    harmless: frozenset[str] = frozenset()
    drawn: Callable[[Any, Any], bool] | None = None
    always: bool = False


def _umask() -> int | None:
    """The mask without setting it, which other threads would feel."""
    try:
        with open("/proc/self/status", "rb") as status:
            found = status.read(512).partition(b"Umask:")[2].split(None, 1)
        return int(found[0], 8)
    except (OSError, ValueError, IndexError):
        return None


def _handlers() -> dict[int, Any] | None:
    """Handlers of signals; only the main thread can set them."""
    if threading.current_thread() is not threading.main_thread():
        return None
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _set_handlers(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _numpy() -> Any:
    return getattr(sys.modules.get("numpy.random"), "mtrand", None)


class _Seen(NamedTuple):
    """A state of NumPy's generator as it was read whole, whose it was, and how it lay in memory."""

    generator: Any
    memory: bytes
    state: Any


_WHOLE = 624 * 4 + 4
"""Bytes of the Mersenne twister in memory: its numbers, and where it is among them."""

_last_seen: list[_Seen] = []


def _numpy_state() -> Any:
    """The state of NumPy's generator; read whole (45 µs) only where its memory is not as it was the last time.

    A normal number that was drawn in advance lies elsewhere, so where one waits nothing is taken from the last time.
    """
    module = _numpy()
    if module is None:
        return None
    generator = module._rand._bit_generator
    if _last_seen and (last := _last_seen[0]).generator is generator and not last.state[3]:
        now = ctypes.string_at(generator.ctypes.state_address, _WHOLE)
        if now == last.memory:
            return last.state
    told = module._rand.get_state(legacy=False)  # which warns of no other kind
    if told["bit_generator"] != "MT19937":
        return None  # somebody put another kind of generator there
    numbers, place = bytes(told["state"]["key"].data), told["state"]["pos"]
    state = (told["bit_generator"], numbers, place, told["has_gauss"], told["gauss"])
    _last_seen[:] = [_Seen(generator, numbers + int(place).to_bytes(4, sys.byteorder), state)]
    return state


BLOCK, MOST_BLOCKS = 624, 4_000
"""Numbers that the Mersenne twister makes at once, and how many times that is followed."""


def _drawn(before: Any, after: Any) -> bool:
    """Whether the generator of the module random went on from one state to the other: a seed begins anew."""
    generator = random.Random()
    generator.setstate(before)
    for _ in range(MOST_BLOCKS):
        if generator.getstate()[1][:BLOCK] == after[1][:BLOCK]:
            return True
        generator.getrandbits(32 * BLOCK)
    return False


def _drawn_by_numpy(before: Any, after: Any) -> bool:
    """The same of the generator of NumPy."""
    import numpy

    generator = numpy.random.RandomState(0)
    generator.set_state((before[0], numpy.frombuffer(before[1], "uint32"), *before[2:]))
    for _ in range(MOST_BLOCKS):
        state: Any = generator.get_state()
        if bytes(state[1].data) == after[1]:
            return True
        generator.bytes(4 * BLOCK)
    return False


def _set_numpy_state(state: Any) -> None:
    import numpy

    kind, keys, *rest = state
    _numpy()._rand.set_state((kind, numpy.frombuffer(keys, "uint32"), *rest))


USE_NUMPY = frozenset({"numpy", "pandas", "scipy", "sklearn", "scanpy", "anndata", "seaborn"})
"""Libraries that import NumPy at once, where code names them."""

SEEDS = frozenset({"seed", "setstate", "set_state", "seed_everything"})
DRAWS = frozenset({
    "random", "shuffle", "choice", "choices", "sample", "randint", "rand", "randn", "normal", "permutation", "uniform",
    "gauss", "randrange", "getrandbits", "randbytes", "betavariate", "expovariate", "normalvariate", "lognormvariate",
    "triangular", "integers", "binomial", "poisson", "standard_normal", "random_sample", "exponential", "gamma",
    "multinomial", "multivariate_normal",
})  # fmt: skip
SEED = "draw from a generator of the body's own, with a seed that is a parameter: {}"
ASPECTS = (
    Aspect("the umask", frozenset({"umask"}), _umask, os.umask, "set the mode of a file with its path.chmod(…)"),
    Aspect(
        "the locale", frozenset({"setlocale"}), lambda: locale.setlocale(locale.LC_ALL),
        lambda name: locale.setlocale(locale.LC_ALL, name), "format numbers and dates without locale.setlocale",
    ),
    Aspect(
        "signal handlers", frozenset({"signal", "sigaction"}), _handlers, _set_handlers,
        "leave signals to the program: the engine ends tools and bodies itself",
    ),
    Aspect(
        "the state of the module random", SEEDS, random.getstate, random.setstate,
        SEED.format("random.Random(seed)"), DRAWS, _drawn,
    ),
    Aspect(
        "the random state of NumPy", SEEDS, _numpy_state, _set_numpy_state,
        SEED.format("numpy.random.default_rng(seed), or random_state=seed of a library"), DRAWS, _drawn_by_numpy,
        always=True,
    ),
)  # fmt: skip


class Change(NamedTuple):
    """Something that a body changed, what to do instead, and whether it was put back."""

    what: str
    remedy: str
    put_back: bool = True


class Window:
    """The time from the first body that may change an aspect to the last one that runs beside it."""

    def __init__(self, aspect: Aspect) -> None:
        self.aspect = aspect
        self._lock = threading.Lock()
        self._running, self._before = 0, None
        self._is_certain = True

    def begin(self) -> None:
        """Note how it is."""
        with self._lock:
            if not self._running:
                self._before = self.aspect.read()
            self._running += 1

    def end(self, put_back: bool) -> bool:
        """Whether it is not as it was; put back, where that is wanted and no other body runs that may change it.

        What only may be drawn from is not as it was where somebody drew. A library that seeds it is no reason to
        say anything; where that could not be put back, nobody knows any more whether the next one draws.
        """
        with self._lock:
            self._running -= 1
            after = self.aspect.read()
            changed = _differs(self._before, after)
            drawn = (
                changed and not put_back and self.aspect.drawn is not None and self.aspect.drawn(self._before, after)
            )
            if changed and not drawn and not self._running:
                with contextlib.suppress(OSError, ValueError, locale.Error):
                    self.aspect.write(self._before)
            elif changed and not drawn and not put_back:
                self._is_certain = False
            return changed if put_back else drawn and self._is_certain


def _differs(before: Any, after: Any) -> bool:
    return before is not None and after is not None and bool(before != after)


WINDOWS = tuple(map(Window, ASPECTS))


@contextlib.contextmanager
def compared(body: Observed) -> Iterator[list[Change]]:
    """Run a body in here; gives the list of what it changed, complete at the end."""
    changes: list[Change] = []
    if not USE_NUMPY.isdisjoint(body.names) and _numpy() is None:
        with contextlib.suppress(ImportError):
            importlib.import_module("numpy.random")  # before it is drawn from, to tell that it was
    windows = _windows(body.names)
    for window in windows:
        window.begin()
    try:
        yield changes
    finally:
        for window in windows:
            aspect = window.aspect
            harmful = not aspect.names.isdisjoint(body.names)
            if window.end(put_back=harmful) and _is_certain(body, aspect):
                changes.append(Change(aspect.name, aspect.remedy, harmful))
        changes += _environment(body)


@functools.lru_cache(maxsize=1024)
def _windows(names: frozenset[str]) -> tuple[Window, ...]:
    return tuple(window for window in WINDOWS if window.aspect.always or _may_change(names, window.aspect))


def _may_change(names: frozenset[str], aspect: Aspect) -> bool:
    if aspect.read is random.getstate and names.isdisjoint({SHARED, *SEEDS}):
        return False  # threads of libraries draw from it, too, so that its state alone says little
    return not (aspect.names | aspect.harmless).isdisjoint(names)


def _is_certain(body: Observed, aspect: Aspect) -> bool:
    """Whether it was this body's task, and none that ran beside it."""
    ran = {(body.task, body.names), *body.beside}
    named = {task for task, names in ran if _may_change(names, aspect)}
    return (named or {task for task, _ in ran}) == {body.task}


def _environment(body: Observed) -> list[Change]:
    changed = [name for name, before in body.variables.items() if config.variable(name) != before]
    for name in changed:
        config.set_variable(name, body.variables[name])
    if not changed:
        return []
    listed = f"the environment ({', '.join(sorted(changed))})"
    return [Change(listed, "pass values as parameters, or to one tool: work.run(['env', 'NAME=value', …])")]


# Which variables of the environment code asks for while it runs, whatever name it has for os.environ.


VIEWS = ("collections.abc", "_collections_abc")
_here = threading.local()


def _is_ours(frame: FrameType | None) -> bool:
    """Whether it is the engine that asks: a body may run calls itself, and what our settings say is in no result."""
    while frame is not None and frame.f_globals.get("__name__") in (*VIEWS, "os"):
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") == config.__name__


def tell_of_variables(told: Callable[[str], None]) -> None:
    """Tell of each variable that is asked for by its name; once a process.

    No audit event tells that. Who goes through all of them, or copies them for a program, asks for none by name.

    Parameters
    ----------
    told
        Called with the name; it must be cheap.
    """
    kind = config.environment_class()
    ask, walk = kind.__getitem__, kind.__iter__

    @functools.wraps(ask)
    def asking(self: Any, name: Any) -> Any:
        frame = sys._getframe(1)
        in_view = frame.f_code.co_name == "__iter__" and frame.f_globals.get("__name__") in VIEWS
        walked = getattr(_here, "walks", None) == (id(frame), frame.f_lasti)
        if not in_view and not walked and not _is_ours(frame):
            told(os.fsdecode(name) if isinstance(name, bytes) else str(name))
        return ask(self, name)

    @functools.wraps(walk)
    def walking(self: Any) -> Iterator[Any]:
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_globals.get("__name__") in VIEWS:
            frame = frame.f_back
        _here.walks = id(frame), frame.f_lasti  # ``dict(os.environ)`` asks for each name in one instruction
        return walk(self)

    kind.__getitem__, kind.__iter__ = asking, walking  # type: ignore[method-assign]
