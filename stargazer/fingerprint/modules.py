"""The identity of whole modules, for code that is not one function: all that it can reach counts."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import os
import sys
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

from stargazer.errors import CodeChanged, DefinitionError
from stargazer.fingerprint.canonical import canonical
from stargazer.fingerprint.compiled import runs
from stargazer.fingerprint.parsing import parse, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

__all__ = ["module_digests"]

MESSAGES = "stargazer.errors"
"""Shapes what people are told, and no result."""


def module_digests(names: Iterable[str]) -> dict[str, str]:
    """Digest modules and all modules of their top-level packages that they import, also inside functions.

    Nothing is imported for it but the top-level package. Layout, comments and docstrings do not count.

    Parameters
    ----------
    names
        Of the modules.

    Returns
    -------
    dict
        SHA-256 of the canonical text of each, by name.

    Raises
    ------
    DefinitionError
        There is no such module, or it has no source.
    CodeChanged
        A file was edited after it was imported.
    """
    found: dict[str, str] = {}
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        place = _place(name)
        if place is None:
            raise DefinitionError(f"there is no module {name} with a source, whose code could count")
        _check_unchanged(name, place)
        read = _read(place, os.stat(place).st_mtime_ns, os.stat(place).st_size)
        found[name] = read.digest
        todo += [other for other in _own_imports(name, place, read.imports) if other not in found]
    return dict(sorted(found.items()))


class _Source:
    """What a file says: a digest of its code, and what it imports."""

    def __init__(self, tree: ast.Module) -> None:
        self.digest = hashlib.sha256(canonical(tree).encode()).hexdigest()
        nodes = [node for node in walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        self.imports = tuple(each for node in nodes for each in _named(node))


@functools.lru_cache(maxsize=256)
def _read(place: str, changed: int, size: int) -> _Source:
    """Read a file as it is now; it is parsed once unless it changes."""
    return _Source(parse(Path(place).read_bytes(), place))


def _named(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[int, str]]:
    """Level and name of all that an import may mean: a module, and what may be a module in it."""
    if isinstance(node, ast.Import):
        yield from ((0, alias.name) for alias in node.names)
        return
    module = node.module or ""
    yield node.level, module
    yield from ((node.level, f"{module}.{alias.name}".lstrip(".")) for alias in node.names)


def _own_imports(name: str, place: str, imports: Iterable[tuple[int, str]]) -> Iterator[str]:
    """The imports of a module that are modules of its own top-level package."""
    top = name.partition(".")[0]
    package = name if Path(place).name == "__init__.py" else name.rpartition(".")[0]
    for level, asked in imports:
        whole = importlib.util.resolve_name("." * level + asked, package) if level else asked
        if whole.startswith(f"{top}.") and whole != MESSAGES and not whole.startswith(f"{MESSAGES}.") and _place(whole):
            yield whole


def _place(name: str) -> str | None:
    """File of a module; None of what is no module, or has no source. Asking importlib would import what it lies in."""
    top, *parts = name.split(".")
    folders = _folders(top)
    if not parts:
        return _file(folders[0]) if folders else getattr(importlib.util.find_spec(top), "origin", None)
    return next(filter(None, (_file(os.path.join(folder, *parts)) for folder in folders)), None)


def _folders(top: str) -> list[str]:
    """Directories of a top-level package."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    return list(spec.submodule_search_locations or ()) if spec is not None else []


def _file(path: str) -> str | None:
    """The file of a package or a module whose place without a suffix is known."""
    return next((file for file in (os.path.join(path, "__init__.py"), f"{path}.py") if os.path.isfile(file)), None)


def _check_unchanged(name: str, place: str) -> None:
    """Refuse to name the text of a file where an older one of it runs."""
    module = sys.modules.get(name)
    if module is None:
        return
    text = Path(place).read_text("utf-8")
    if not all(runs(function.__code__, text) for function in _functions(module)):
        raise CodeChanged(
            f"{place} was edited after it was imported, so what it says is not what runs; "
            "start the script again (restart the kernel)"
        )


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """Functions of a module, and methods of its classes, that stand in its file."""
    own = [thing for thing in vars(module).values() if getattr(thing, "__module__", None) == module.__name__]
    members = [member for thing in own if isinstance(thing, type) for member in vars(thing).values()]
    for thing in (*own, *members):
        if isinstance(thing, FunctionType) and thing.__code__.co_filename == getattr(module, "__file__", None):
            yield thing
