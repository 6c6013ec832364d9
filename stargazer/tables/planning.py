"""What a process keeps in mind of tables of Iceberg: files of metadata, and what their manifests say, never change."""

from __future__ import annotations

import re
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")

__all__ = ["Remembered", "is_unique", "planned"]

REMEMBERED = 50_000
"""Data files of all plans together, and footers of such files; neither ever change."""
UNIQUE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.", re.IGNORECASE)


def is_unique(location: object) -> bool:
    """Whether a file of metadata has a name that no other file will ever have."""
    return isinstance(location, str) and UNIQUE.search(location.rpartition("/")[2]) is not None


class Remembered(Generic[T]):
    """Values up to so much weight, those that were used longest ago go first.

    Parameters
    ----------
    most
        Weight of all together.
    weight
        Of one.
    """

    def __init__(self, most: int, weight: Callable[[T], int] = lambda _: 1) -> None:
        self._most, self._weight = most, weight
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._total = 0
        self._lock = Lock()

    def get(self, key: Hashable) -> T | None:
        """What is kept under a key."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: Hashable, value: T) -> T:
        """Keep a value."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = value
                self._total += self._weight(value)
            while self._total > self._most and len(self._kept) > 1:
                self._total -= self._weight(self._kept.popitem(last=False)[1])
        return value


_plans: Remembered[tuple[Any, ...]] = Remembered(REMEMBERED, lambda files: 1 + len(files))


def planned(table: Any, where: str, snapshot: int | None) -> tuple[Any, ...]:
    """Return the data files with their deletes that the manifests leave, as pyiceberg plans them; asked for once.

    Parameters
    ----------
    table
        pyiceberg's.
    where
        What must hold of a row; empty for all.
    snapshot
        Id of a snapshot; None for the newest.
    """
    from stargazer.tables.conditions import parsed_filter, prunable

    location = table.metadata_location
    key = str(table.metadata.table_uuid), location, snapshot, where
    found = _plans.get(key)
    if found is None:
        scan = table.scan(snapshot_id=snapshot)
        wanted = prunable(parsed_filter(where), scan.projection())
        found = tuple(scan.filter(wanted).plan_files())
        if is_unique(location):
            _plans.keep(key, found)
    return found
