"""What changed in an object store, by time: listing everything to find one new record would take minutes.

Every change puts one empty object whose name says what changed. A host that looks for news lists the hours since it
last looked, and some before, since clocks differ.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from stargazer.store import layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stargazer.store.backend import Backend

__all__ = ["OVERLAP", "events", "write"]

OVERLAP = 2 * 3600.0
_HOUR = 3600.0
_MOST_HOURS = 48


def write(backend: Backend, changes: Iterable[str]) -> None:
    """Note changes, each as ``<kind>.<name>``."""
    now = time.time_ns()
    folder = _folder(now / 1e9)
    backend.replace_many({f"{folder}/{now + number}.{change}": b"" for number, change in enumerate(changes)})


def events(backend: Backend, since: float) -> Iterator[tuple[str, str, str]]:
    """Changes since a time (seconds since 1970) and up to two hours before it: event, kind, name; oldest first."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        listed = list(pool.map(backend.names, _folders(backend, since - OVERLAP)))
    for names in listed:
        for event in names:
            when, _, change = event.partition(".")
            kind, _, name = change.partition(".")
            if when.isdigit() and name:
                yield event, kind, name


def _folders(backend: Backend, since: float) -> list[str]:
    until = time.time() + OVERLAP
    if until - since <= _MOST_HOURS * _HOUR:
        return list(dict.fromkeys(_folder(since + step * _HOUR) for step in range(int((until - since) / _HOUR) + 2)))
    first = _folder(since)
    found = (f"{layout.JOURNAL}/{name}" for name in backend.names(layout.JOURNAL))
    return [folder for folder in found if folder >= first]


def _folder(seconds: float) -> str:
    return f"{layout.JOURNAL}/{time.strftime('%Y%m%dT%H', time.gmtime(seconds))}"
