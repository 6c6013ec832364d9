"""Pickles, for values that nothing else writes: own classes by name, never calls, handles or secrets."""

from __future__ import annotations

import functools
import hashlib
import inspect
import io
import pickle
import sys
import types
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset
from stargazer.errors import NotKept
from stargazer.fingerprint import identify_class
from stargazer.fingerprint.origin import is_own
from stargazer.notebook.values import NOTEBOOK, check_lazy, check_size

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.notebook.values import Scope

__all__ = ["only_remembers", "read_pickle", "write_pickle"]

HOSTS = (NOTEBOOK, "__main__", "__marimo__")
"""Modules that the code of a notebook may find itself in."""


class _Writer(pickle.Pickler):
    """Writes classes and functions of the notebook by name, sets in an order, and refuses what is wiring."""

    PROTOCOL = 5

    def __init__(self, file: io.BytesIO, scope: Scope, *, is_bare: bool = False) -> None:
        super().__init__(file, protocol=self.PROTOCOL)
        self._scope, self._is_bare = scope, is_bare
        self._sets: dict[int, tuple[int, Any]] = {}
        self.code: dict[str, str] = {}
        self.is_doubtful = False

    def persistent_id(self, value: Any) -> Any:
        """A name, or an ordered set; None of all else."""
        kind = type(value)
        self.is_doubtful |= isinstance(value, BaseException)
        if kind in (set, frozenset) and len(value) > 1:
            return self._set(value)
        if isinstance(value, (type, types.FunctionType)):
            return self._named(value)
        if kind is types.ModuleType:
            return ("module", value.__name__)
        check_lazy(value)
        if kind.__module__.startswith("stargazer.") and (not isinstance(value, Asset) or value.cid is not None):
            raise NotKept(f"it holds {value!r}: calls, tasks and handles are not pickled")
        return None

    def reducer_override(self, value: Any) -> Any:
        """Write an object as it says, without what pandas only remembers of it where that does not count."""
        if not self._is_bare or not type(value).__module__.startswith("pandas."):
            return NotImplemented
        reduced = list(value.__reduce_ex__(self.PROTOCOL))
        if len(reduced) > 2 and isinstance(reduced[2], dict):
            reduced[2] = {name: item for name, item in reduced[2].items() if name != "_cache"}
        return tuple(reduced)

    def _set(self, value: Any) -> Any:
        """Sets have no order of their own that lasts: strings hash otherwise in each process."""
        if id(value) not in self._sets:
            self._sets[id(value)] = len(self._sets), value
            items = sorted(value, key=lambda item: (type(item).__qualname__, pickle.dumps(item)))
            return ("set", type(value).__name__, self._sets[id(value)][0], items)
        return ("again", self._sets[id(value)][0])

    def _named(self, value: Any) -> Any:
        name, module = value.__qualname__, str(value.__module__)
        if module in HOSTS or module.startswith("__"):
            if _looked_up(self._scope.namespace, name) is value:
                self.code[name] = self._scope.code_of(name.partition(".")[0])
                return ("notebook", name)
            if module != "builtins" and not hasattr(sys.modules.get(module), name.partition(".")[0]):
                raise NotKept(f"it holds {name}, which has no name in the notebook")
        if isinstance(value, type) and is_own(module, NOTEBOOK):
            self.code[f"{module}.{name}"] = identify_class(value).digest
        elif isinstance(value, types.FunctionType) and is_own(module, NOTEBOOK):
            raise NotKept(f"it holds the function {module}.{name}, which is code and not data")
        return None


class _Reader(pickle.Unpickler):
    """Finds classes of the notebook where it runs now."""

    def __init__(self, file: Any, scope: Scope) -> None:
        super().__init__(file)
        self._scope = scope
        self._sets: dict[int, Any] = {}

    def persistent_load(self, pid: Any) -> Any:
        """What `_Writer.persistent_id` named."""
        kind, *rest = pid
        if kind == "set":
            made = {"set": set, "frozenset": frozenset}[rest[0]](rest[2])
            self._sets[rest[1]] = made
            return made
        if kind == "again":
            return self._sets[rest[0]]
        if kind == "module":
            import importlib

            return importlib.import_module(rest[0])
        found = _looked_up(self._scope.namespace, rest[0])
        if found is None:
            raise NotKept(f"the notebook has no {rest[0]} any more, which a value of it needs")
        return found


def _looked_up(namespace: Any, name: str) -> Any:
    head, *rest = name.split(".")
    return functools.reduce(lambda found, each: getattr(found, each, None), rest, namespace.get(head))


def write_pickle(value: Any, path: Path, scope: Scope) -> str:
    """Pickle a value; return the digest of the own code that it needs, empty where it needs none.

    Raises
    ------
    NotKept
        It cannot be pickled, or must not be.
    """
    check_size(_size(value), type(value).__qualname__)
    file = io.BytesIO()
    writer = _Writer(file, scope)
    try:
        writer.dump(value)
    except NotKept as error:
        raise NotKept(f"{type(value).__qualname__}: {error}") from None
    except Exception as error:  # noqa: BLE001 - whatever a class raises where it cannot be pickled
        raise NotKept(f"{type(value).__qualname__} has no bytes: {error}") from None
    check_size(file.tell(), type(value).__qualname__)
    if writer.code or writer.is_doubtful:
        _check_way_back(file, value, scope)
    path.write_bytes(file.getbuffer())
    lines = "\n".join(f"{name} {digest}" for name, digest in sorted(writer.code.items()))
    return hashlib.sha256(lines.encode()).hexdigest() if lines else ""


def _check_way_back(file: io.BytesIO, value: Any, scope: Scope) -> None:
    """Refuse what can be written and not be read: errors, above all, whose class asks for more than their message.

    Raises
    ------
    NotKept
        It cannot be read.
    """
    file.seek(0)
    try:
        _Reader(file, scope).load()
    except Exception as error:  # noqa: BLE001 - whatever a class raises
        raise NotKept(f"{type(value).__qualname__}, which cannot be read back: {error}") from None


def only_remembers(value: Any, path: Path, scope: Scope) -> bool:
    """Whether a value differs from the one that was pickled in nothing but what it remembers of itself.

    A table in groups that was asked for its means; a cached property, which the older one is asked for, too, as what it
    came to may have been changed since: the same value as before, in other bytes.

    Parameters
    ----------
    value
        As it is now.
    path
        Of the pickle.
    scope
        The notebook that it is a value of.
    """
    try:
        before = read_pickle(path, scope)
        for name in [each for each in getattr(value, "__dict__", ()) if each not in vars(before)]:
            if isinstance(inspect.getattr_static(type(value), name, None), functools.cached_property):
                getattr(before, name)
        return _bare(value, scope) == _bare(before, scope)
    except Exception:  # noqa: BLE001 - whatever a class raises: then nobody knows
        return False


def _bare(value: Any, scope: Scope) -> bytes:
    file = io.BytesIO()
    _Writer(file, scope, is_bare=True).dump(value)
    return file.getvalue()


def _size(value: Any) -> int:
    """Bytes that a value says it has; 0 where it says nothing."""
    size = getattr(value, "nbytes", 0)
    return size if isinstance(size, int) else 0


def read_pickle(path: Path, scope: Scope) -> Any:
    """Read a pickle; whether it may be read was asked before."""
    with path.open("rb") as file:
        return _Reader(file, scope).load()
