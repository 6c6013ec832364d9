"""The identity of code, and whether all that it was made of is still as it was: asked at every call, so it is cheap."""

from __future__ import annotations

import contextlib
import os
import pickle
import weakref
import zlib
from collections import deque
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from stargazer.fingerprint.canonical import Plain, Scalar, is_constant
from stargazer.fingerprint.objects import NotWhole, array_layout, base_content, is_plain_numpy, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FunctionType

    from stargazer.fingerprint.reach import Reach

__all__ = [
    "MISSING",
    "WIDE",
    "CodeIdentity",
    "Stamp",
    "Watch",
    "contents",
    "handed_on",
    "is_changed",
    "stamp_of",
    "wide_of",
]

MISSING = object()

Stamp = tuple[int, int, int, int]

LARGEST = 1 << 22
"""Bytes of an opaque object, without its arrays, that are compared at each call."""


WIDE = "wide: "
"""How the label of a piece begins that says why a key is wide."""


@dataclass(frozen=True)
class CodeIdentity:
    """What a function does, as a digest.

    Parameters
    ----------
    digest
        SHA-256 over all pieces, in hexadecimal digits.
    manifest
        The digest of each piece: the function itself, the functions, classes and constants that it reaches; and of
        each module that counts as a whole, with the reason for it.
    libraries
        Installed distributions that the code names.
    uncertain
        What came from outside when a module was imported, or is in no text, in words.
    """

    digest: str
    manifest: dict[str, str]
    libraries: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = field(default=(), compare=False)
    _reach: Reach | None = field(default=None, repr=False, compare=False)

    @property
    def wide(self) -> tuple[str, ...]:
        """What is not understood whole, and what to write in its place; empty for a sharp identity."""
        return wide_of(self.manifest)

    def is_current(self) -> bool:
        """Whether nothing that was reached has been rebound or changed since. Cheap: no source is read."""
        return self._reach is None or self._reach.watch.is_current()

    def alone(self) -> CodeIdentity:
        """The same without what tells whether it is current, to be sent to another process."""
        return replace(self, _reach=None)

    @property
    def imports(self) -> dict[str, tuple[str, ...]]:
        """Own names that another process would import, by module, where the function itself is sent."""
        found: dict[str, list[str]] = {}
        for module, name in sorted(self._reach.by_name if self._reach else ()):
            found.setdefault(module, []).append(name)
        return {module: tuple(names) for module, names in found.items()}


def wide_of(manifest: Iterable[str]) -> tuple[str, ...]:
    """Reasons for which a key is wide, and remedies, among the labels of a manifest."""
    return tuple(label.removeprefix(WIDE) for label in manifest if label.startswith(WIDE))


class Namespace(Protocol):
    """Globals of a module, or the attributes of a class."""

    def get(self, name: str, default: Any, /) -> Any:
        """Value of a name."""


class Watch:
    """Names, functions, closures, classes and mutable values, as they were when an identity was made."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, str], tuple[Callable[..., Any], str, Any]] = {}
        self._functions: list[tuple[FunctionType, Any, Any, Any, Any, Any]] = []
        self._cells: list[tuple[Any, Any]] = []
        self._classes: list[tuple[type, tuple[type, ...], int]] = []
        self._empty: list[dict[str, Any]] = []
        self._values: dict[tuple[int, Any], tuple[Any, Callable[[Any], Any], Any]] = {}
        self._constants: set[int] = set()
        self._files: dict[str, Stamp | None] = {}

    def name(self, namespace: Namespace, name: str, value: Any) -> None:
        """`name` leads to `value`, or to nothing (`MISSING`)."""
        self._names[id(namespace), name] = (namespace.get, name, value)

    def function(self, function: FunctionType) -> None:
        """Reloading may change a function in place."""
        texts = function.__name__, function.__doc__
        self._functions.append((function, function.__code__, function.__defaults__, function.__kwdefaults__, *texts))
        if function.__kwdefaults__:
            self.look(function.__kwdefaults__, _items)

    def file(self, path: str) -> None:
        """The file of a module that is not loaded: its text counts, and who loads it later gets what it says then."""
        self._files[path] = _stamp(path)

    def cell(self, cell: Any) -> None:
        """A variable of a closure."""
        self._cells.append((cell, contents(cell)))

    def members(self, cls: type) -> None:
        """How many members a class has itself, which are watched by their names, and its bases."""
        self._classes.append((cls, cls.__bases__, len(vars(cls))))

    def constant(self, value: Any, ignored: Iterable[str] = ()) -> None:
        """A value that may change in place; what it holds is watched on its own.

        Parameters
        ----------
        value
            Any value.
        ignored
            Attributes that may change: what was computed once and kept.
        """
        if is_constant(value) or id(value) in self._constants:
            return
        self._constants.add(id(value))
        if type(value) is dict and not value:
            self._empty.append(value)
        elif _is_plain(value, set()):
            self.look(value, _pickled)
        elif type(value) in Plain or isinstance(value, (deque, MappingProxyType)):
            self.look(value, _items)
        elif is_plain_numpy(value):
            self.look(value, _checksum)
        else:
            without = frozenset(ignored)
            self.look(value, lambda value: _held(value, without))

    def opaque(self, value: Any) -> None:
        """An object of a library that is not understood whole: what copying it would hand on."""
        self.look(value, handed_on)

    def look(self, value: Any, look: Callable[[Any], Any]) -> None:
        """A value of which a function tells what matters."""
        self._values[id(value), look] = (value, look, look(value))

    def is_current(self) -> bool:
        """Whether every name still leads to the same object, and every value holds the same.

        Plain loops: what is usual, three names and a function, costs as much as one generator would.
        """
        for look_up, name, value in self._names.values():
            if look_up(name, MISSING) is not value:
                return False
        for function, code, defaults, kwdefaults, name, text in self._functions:
            if function.__code__ is not code or function.__defaults__ is not defaults:
                return False
            if (
                function.__kwdefaults__ is not kwdefaults
                or function.__name__ is not name
                or function.__doc__ is not text
            ):
                return False
        for cell, value in self._cells:
            if contents(cell) is not value:
                return False
        for cls, bases, size in self._classes:
            if cls.__bases__ != bases or len(vars(cls)) != size:
                return False
        for empty in self._empty:
            if empty:
                return False
        if any(_stamp(path) != stamp for path, stamp in self._files.items()):
            return False
        return not self._values or all(_same(look(value), seen) for value, look, seen in self._values.values())


_first: dict[int, tuple[weakref.ref[Any], Any]] = {}
"""What opaque objects held when a key was first made of the text that makes them."""


def is_changed(value: Any) -> bool:
    """Whether an opaque object holds something else than when that was first asked."""
    place, now = id(value), handed_on(value)
    known = _first.get(place)
    if known is not None and known[0]() is value:
        return not _same(now, known[1])
    with contextlib.suppress(TypeError):  # nothing tells when it is gone
        _first[place] = weakref.ref(value, lambda _: _first.pop(place, None)), now
    return False


def contents(cell: Any) -> Any:
    """Return what a variable of a closure is bound to, or `MISSING`."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return stamp_of(found)


def stamp_of(found: os.stat_result) -> Stamp:
    """What of a file's state changes whenever anybody writes to it, or puts another in its place."""
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _same(now: Any, then: Any) -> bool:
    """Equal texts or numbers, or the very same objects: equal ones may be of other types."""
    if not isinstance(now, list):
        return type(now) is type(then) and now == then
    return (
        isinstance(then, list) and len(now) == len(then) and all(_alike(a, b) for a, b in zip(now, then, strict=True))
    )


def _alike(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and type(one) in (int, str, bytes) and one == other)


def _is_plain(value: Any, seen: set[int]) -> bool:
    """Whether a value is nothing but built-in containers and scalars."""
    if type(value) in Scalar:
        return True
    if type(value) not in Plain or id(value) in seen:
        return False
    seen.add(id(value))
    parts = [*value.keys(), *value.values()] if type(value) is dict else value
    plain = all(_is_plain(part, seen) for part in parts)
    seen.discard(id(value))
    return plain


def _pickled(value: Any) -> Any:
    try:
        return hash(pickle.dumps(value, 5))
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError):
        return None


class _TooLarge(Exception):
    """More than is worth to be looked at for each call."""


class _Checksum:
    """Takes what is pickled, and keeps its checksum alone."""

    def __init__(self) -> None:
        self.sum = self.size = 0

    def write(self, data: Any) -> None:
        self.size += len(data)
        if self.size > LARGEST:
            raise _TooLarge
        self.sum = zlib.crc32(data, self.sum)

    def take(self, buffer: pickle.PickleBuffer) -> None:
        with buffer.raw() as data:
            self.sum = zlib.crc32(data, self.sum)


def handed_on(value: Any) -> Any:
    """Return a checksum of what an object hands on to a copy; of one that does not say, or of much, its attributes."""
    found = _Checksum()
    try:
        pickle.Pickler(found, 5, buffer_callback=found.take).dump(value)
    except Exception:  # noqa: BLE001  (code of others, which need not be made for copies)
        return _held(value, frozenset())
    return found.sum


def _items(value: Any) -> list[Any]:
    return [*value.keys(), *value.values()] if isinstance(value, (dict, MappingProxyType)) else list(value)


def _checksum(value: Any) -> tuple[Any, ...]:
    whole = value if value.flags.c_contiguous else value.copy()
    crc = zlib.crc32(whole.view("u1").data if whole.ndim and whole.size else whole.tobytes())
    return crc, value.shape, value.dtype, str(value.dtype), array_layout(value)  # names may change in place


def _held(value: Any, without: frozenset[str]) -> list[Any]:
    """Return what an object consists of: its class, its attributes, and what a base class in C keeps."""
    state = {name: each for name, each in state_of(value).items() if name not in without}
    try:
        content = base_content(value)
    except NotWhole:
        content = None
    kept = _pickled(content) if content is not None else None
    return [type(value), *state, *state.values(), *([kept] if kept is not None else [])]
