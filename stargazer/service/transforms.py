"""Transforms: tasks and workflows by the names under which a service is asked for them."""

from __future__ import annotations

import functools
import inspect
import re
from typing import TYPE_CHECKING, Any, TypeVar

from stargazer import catalog
from stargazer.assets.fields import did_you_mean
from stargazer.calls import Task
from stargazer.catalog.entries import entry_of
from stargazer.catalog.sources import all_entries
from stargazer.catalog.targets import find_entry
from stargazer.errors import DefinitionError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.catalog import Entry

    F = TypeVar("F", bound=Callable[..., Any])
else:
    F = TypeVar("F")

__all__ = ["SCAN", "find_transform", "transform", "transforms"]

REF = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*@v[0-9]+(\.[0-9]+)*")
SCAN = "scan@v1"
"""The transform that comes along: rows and columns of tables."""

_registered: dict[str, Callable[..., Any]] = {}


def transform(ref: str) -> Callable[[F], F]:
    """Register a task or workflow under a name with a version: ``@sg.transform("clean@v1")``, above ``@sg.task``.

    The name is in no key: what is known of a call stays known when it is asked for under another name, and other code
    under the same name is another call. What was registered under the name before gives way.

    Parameters
    ----------
    ref
        Name and version, as ``"clean@v1"``.

    Raises
    ------
    DefinitionError
        The name has no version, or what is decorated is neither a task nor a function.

    Examples
    --------
    >>> import stargazer as sg
    >>> @sg.transform("shout@v1")
    ... @sg.task
    ... def shout(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
    ...     out = work.file("loud.txt")
    ...     out.write_text(words.path.read_text().upper())
    ...     return sg.Asset(path=out)
    >>> words = sg.add("words.txt")
    >>> sg.materialize(inputs=[words], transform="shout@v1").fetch().read_text().split()
    ['B', 'A', 'B']
    """
    if not REF.fullmatch(ref) or ref == SCAN:
        told = f"{SCAN} comes along" if ref == SCAN else f"{ref!r} is no name with a version"
        raise DefinitionError(f"@sg.transform: {told}; write one as clean@v1")

    def register(function: F) -> F:
        if not isinstance(function, Task) and not inspect.isfunction(function):
            raise DefinitionError(
                f"@sg.transform({ref!r}) stands above @sg.task, or above a workflow: not {function!r}"
            )
        _registered[ref] = function
        return function

    return register


@functools.lru_cache(maxsize=1024)
def _entry(function: Callable[..., Any], ref: str) -> Entry:
    """The entry of what was registered, read once."""
    return entry_of(function, ref, "transforms")


def transforms() -> list[Entry]:
    """Return what was registered, by name."""
    return [_entry(function, ref) for ref, function in sorted(_registered.items())]


def find_transform(ref: str, *, own_code: bool = True) -> Entry:
    """Return the task or workflow that a name stands for.

    Parameters
    ----------
    ref
        What was registered; a name of the catalog; or ``module:task``.
    own_code
        Whether any module may be named; else only those of the catalog's entries.

    Raises
    ------
    UnknownName
        There is none, or nobody may name modules here.
    """
    if ref in _registered:
        return _entry(_registered[ref], ref)
    if ":" not in ref:
        return _of_catalog(ref)
    if own_code:
        return find_entry(ref)
    known = next((entry for entry in all_entries() if entry.home == ref and entry.function is not None), None)
    if known is None:
        raise UnknownName(
            f"{ref} is no transform of this service, which runs no other code: name it in its setting "
            "stargazer.catalog, or let it with stargazer.service.allow-code"
        )
    return known


def _of_catalog(ref: str) -> Entry:
    # What the settings name may register transforms when it is imported, which looking at the catalog does.
    try:
        return catalog.get(ref)
    except UnknownName as error:
        if ref in _registered:
            return _entry(_registered[ref], ref)
        if not REF.fullmatch(ref):
            raise
        there = [SCAN, *sorted(_registered)]
        guess = did_you_mean(ref, there)
        raise UnknownName(f"no transform is registered as {ref}.{guess} There are {', '.join(there)}") from error
