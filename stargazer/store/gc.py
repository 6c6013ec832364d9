"""Garbage collection: what nothing leads to, and nobody touched for a while, goes.

Never swept are pins, what leases name, assets that a person added and did not delete, assets that no ledger record
can make again, and what recent calls made or read, or results that were of use recently. An old result of a task goes;
the call runs again when it is needed. A scratch directory goes when its task lives no more, however long it was quiet.
"""

from __future__ import annotations

import datetime
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from stargazer.errors import ArgumentError
from stargazer.profiles.settings import bytes_of
from stargazer.store import layout
from stargazer.store.backends.local import LocalBackend
from stargazer.store.folders import FAILED, is_in_use
from stargazer.store.index import asset_cids, marks
from stargazer.store.layout import moment
from stargazer.store.shapes import orphaned_shapes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping

    from stargazer.store.assets import Assets
    from stargazer.store.blobs.base import Blobs
    from stargazer.store.context import StoreContext
    from stargazer.store.directories import Directories
    from stargazer.store.folders import Entry
    from stargazer.store.index import Index
    from stargazer.store.pins import Pins

__all__ = ["GarbageCollector", "Swept"]

DAY = 86400.0
_HISTORY_KEPT = 90 * DAY
"""Of object stores' journals, and of notes on runs."""

_HOUR = 3600.0


class Swept(NamedTuple):
    """What garbage collection removed, or would remove.

    Parameters
    ----------
    dry_run
        Nothing was removed.
    removed
        Places of the files, directory nodes and records that nothing needs.
    bytes
        Bytes of these.
    leftovers
        Places of what killed processes left, and of old quarantine, journal and notes on runs.
    kept
        Files and directory nodes that stay.
    kept_bytes
        Bytes of these.
    results
        Ids of the ledger records whose results go, in whole or in part.
    """

    dry_run: bool
    removed: tuple[str, ...]
    bytes: int
    leftovers: tuple[str, ...]
    kept: int
    kept_bytes: int
    results: tuple[str, ...] = ()


class _Result(NamedTuple):
    """The result of a recorded call, as what it costs to make it again is weighed against what it takes.

    Parameters
    ----------
    names
        Its files and directory nodes.
    seconds
        That the call took.
    temp
        Whether only the next step was to use it.
    used
        When it was made, or of use last; seconds since 1970.
    """

    names: frozenset[str]
    seconds: float
    temp: bool
    used: float


class GarbageCollector:
    """Takes the garbage out of a store.

    Parameters
    ----------
    context
        Of the store.
    blobs, dirs
        Its files, and its directories of them.
    index
        Tells what calls made and read.
    assets
        The records that go with their bytes.
    pins
        What is held.
    """

    def __init__(
        self, context: StoreContext, blobs: Blobs, dirs: Directories, index: Index, assets: Assets, pins: Pins
    ) -> None:
        self.context, self.backend = context, context.backend
        self.blobs, self.dirs, self.index, self.assets, self.pins = blobs, dirs, index, assets, pins

    def collect(
        self,
        *,
        grace: float = 7 * DAY,
        recent: float = 30 * DAY,
        budget: int | str | None = None,
        dry_run: bool = False,
        told: Callable[[Swept], None] = lambda _: None,
        yes_as_root: bool = False,
    ) -> Swept:
        """Remove what nothing needs: `Store.gc`."""
        limit = None if budget is None else _size(budget)
        if not self.context.made:
            return Swept(dry_run, (), 0, (), 0, 0)
        self.backend.check_owners(yes_as_root=yes_as_root)
        before, since = time.time() - grace, time.time() - recent
        entries = [entry for kind in ("blobs", "trees") for entry in self.backend.entries(kind)]
        firm, needed = self._marked(since)
        old = [entry for entry in entries if _name(entry) not in needed and entry.changed < before]
        if limit is not None:
            old += self._over(limit, entries, old, firm, before)
        held = self.dirs.closure(self.pins.held()) if old else set()
        swept = [entry for entry in old if _name(entry) not in held]
        leftovers = [*self._leftovers(before), *self._outdated(before)]
        results = self._results_of({_name(entry) for entry in swept})
        told(_swept(True, swept, entries, [], leftovers, results))
        if not dry_run:
            removed = self.backend.sweep([entry.place for entry in swept], before)
            swept = [entry for entry in swept if entry.place in removed]
            self._remove_leftovers(leftovers)
        records = self._forget({_name(entry) for entry in swept}, dry_run)
        return _swept(dry_run, swept, entries, records, leftovers, results)

    def _marked(self, since: float) -> tuple[set[str], set[str]]:
        """Every file and directory node that is needed whatever it takes, and every one that something needs."""
        added = marks((_name(entry) for entry in self.backend.entries("assets")), ".added")
        recently, temp, diffs = self.index.ask(lambda asked: self._recently(asked, since), "assets", "records")
        recently -= temp
        made = set(self.index.ask(lambda asked: [row[0] for row in asked.execute(_MADE)]))
        firm = self.pins.held() | diffs
        roots = firm | recently
        for identifier, data in self.index.ask(lambda asked: asked.execute("SELECT id, data FROM assets").fetchall()):
            cid, *beside = asset_cids(json.loads(data))
            if identifier in added or not made.issuperset((cid, *beside)):
                firm.update((cid, *beside))
            elif cid in recently:
                roots.update((cid, *beside))
        marked = self.dirs.closure(firm)
        return marked, marked | self.dirs.closure(roots - marked)

    def _recently(self, connection: sqlite3.Connection, since: float) -> tuple[set[str], set[str], set[str]]:
        """CIDs that calls of late made or read; those of temporary results; those of changes to the code of calls.

        Of late are calls that ran since a time, and those whose results were of use since. Changes of code are kept as
        long as the records that name them.
        """
        found = {row[0] for row in connection.execute(f"{_LINKED} WHERE r.started >= ?", (_iso(since),))}
        older = [row[0] for row in connection.execute("SELECT id FROM records WHERE started < ?", (_iso(since),))]
        used = self.backend.used_since([layout.record(name) for name in older], since)
        for place in used:
            found |= {row[0] for row in connection.execute("SELECT cid FROM links WHERE id = ?", (_base(place),))}
        temp, lasting = (
            {row[0] for row in connection.execute(f"{_LINKED} WHERE l.role = 'output' AND r.temp = ?", (each,))}
            for each in (1, 0)
        )
        diffs = {row[0] for row in connection.execute("SELECT cid FROM links WHERE role = 'diff'")}
        return found, temp - lasting, diffs

    def _over(self, budget: int, entries: list[Entry], old: list[Entry], firm: set[str], before: float) -> list[Entry]:
        """What goes beyond that which nothing needs, so that the rest takes no more than a budget."""
        going = {_name(entry) for entry in old}
        there = {_name(entry): entry for entry in entries if _name(entry) not in going}
        excess = sum(entry.size for entry in there.values()) - budget
        if excess <= 0:
            return []
        firm = firm | self.dirs.closure(self.pins.held())
        results = [each for each in self._results() if not each.names.isdisjoint(there)]
        needed = Counter(name for each in results for name in each.names)
        chosen: list[Entry] = []
        for result in sorted(results, key=lambda each: self._worth(each, there)):
            if excess <= 0:
                break
            needed.subtract(result.names)
            free = [name for name in sorted(result.names) if not needed[name] and name in there and name not in firm]
            gone = [there[name] for name in free if there[name].changed < before]
            chosen += gone
            excess -= sum(entry.size for entry in gone)
        return chosen

    @staticmethod
    def _worth(result: _Result, there: Mapping[str, Entry]) -> tuple[bool, float]:
        """What a result is worth: the seconds that it costs to make a byte of it, the less the longer it was unused."""
        size = sum(there[name].size for name in result.names if name in there)
        unused = max(time.time() - result.used, _HOUR)
        return not result.temp, result.seconds / max(size, 1) / unused

    def _results(self) -> list[_Result]:
        """The results of all recorded calls."""
        rows = self.index.ask(lambda asked: asked.execute(_OUTPUTS).fetchall(), "records")
        cids: dict[str, set[str]] = {}
        for identifier, cid, *_ in rows:
            cids.setdefault(identifier, set()).add(cid)
        told = {row[0]: row[2:] for row in rows}
        return [
            _Result(frozenset(self.dirs.closure(cids[name])), seconds, bool(temp), self._last_use(name, started))
            for name, (seconds, temp, started) in told.items()
        ]

    def _last_use(self, record: str, started: str) -> float:
        began = moment(started) or 0.0
        return max(began, self.backend.last_use(layout.record(record)) or 0.0) if self.backend.tells_use else began

    def _results_of(self, cids: set[str]) -> tuple[str, ...]:
        """Ids of the records of calls that made some of these."""
        rows = self.index.ask(lambda asked: asked.execute(_OUTPUTS).fetchall(), "records") if cids else []
        return tuple(sorted({row[0] for row in rows if row[1] in cids}))

    def _leftovers(self, before: float) -> list[str]:
        """Paths in this host's directories for what is unfinished or harmed which nobody has touched since a time."""
        found: list[str] = []
        for backend, folder in self.blobs.own_folders():
            found += (
                backend.path(place) for place, last in backend.remains(folder) if _is_left(_base(place), last, before)
            )
        return sorted(found)

    def _outdated(self, before: float) -> list[str]:
        """Old quarantine, journal and notes on runs, and marks beside records that are gone."""
        old = [place for place, changed in self.backend.remains("quarantine") if changed < before]
        kept_since = min(before, time.time() - _HISTORY_KEPT)
        for folder in ["runs", "logs", layout.USES, *([layout.JOURNAL] if self.backend.journal else [])]:
            old += [entry.place for entry in self.backend.entries(folder) if entry.changed < kept_since]
        old += self._of_gone_runs(before)
        places = {entry.place: entry.changed for entry in self.backend.entries("assets")}
        marked = ((place, place.partition(".")[0]) for place in places if "." in place)
        old += [place for place, record in marked if record not in places and places[place] < before]
        return old + list(orphaned_shapes(self.backend, before))

    def _of_gone_runs(self, before: float) -> list[str]:
        """What drivers were given or left whose runs are not noted any more; a run may be older than a file of it."""
        noted = set(self.backend.names("runs"))
        entries = [entry for entry in self.backend.entries("drivers") if entry.changed < before]
        return [entry.place for entry in entries if _base(entry.place).rpartition(".")[0] not in noted]

    def _remove_leftovers(self, leftovers: Iterable[str]) -> None:
        for place in leftovers:
            if place.startswith("/"):
                root, folder, name = place.rsplit("/", 2)
                LocalBackend(root).discard(f"{folder}/{name}")
            else:
                self.backend.discard(place)

    def _forget(self, cids: set[str], dry_run: bool) -> list[str]:
        """Remove the records of assets whose bytes, or those of a companion, were swept; their places."""
        rows = self.index.ask(lambda asked: asked.execute("SELECT id, data FROM assets").fetchall()) if cids else []
        gone = [identifier for identifier, data in rows if not cids.isdisjoint(asset_cids(json.loads(data)))]
        if gone and not dry_run:
            for identifier in gone:
                self.assets.remove(identifier)
            self.context.note_changes("assets", *gone)
        return [layout.asset(identifier) for identifier in gone]


_MADE = "SELECT l.cid FROM links l JOIN records r ON r.id = l.id WHERE l.role = 'output' AND r.status = 'ok'"
_LINKED = "SELECT l.cid FROM links l JOIN records r ON r.id = l.id"
_OUTPUTS = (
    "SELECT r.id, l.cid, r.seconds, r.temp, r.started FROM links l JOIN records r ON r.id = l.id "
    "WHERE l.role = 'output' AND r.status = 'ok'"
)


def _size(budget: int | str) -> int:
    try:
        return 0 if budget == 0 and not isinstance(budget, bool) else bytes_of(budget)
    except ValueError:
        raise ArgumentError(f"budget={budget!r} is no size; write for instance '500GB'") from None


def _is_left(name: str, last: float, before: float) -> bool:
    """Whether nobody works any more in what changed last at a time, and it is old enough to go."""
    if name.startswith(FAILED):
        return last < time.time() - DAY
    return last < before and not is_in_use(name, last)


def _swept(
    dry_run: bool,
    swept: list[Entry],
    entries: list[Entry],
    records: list[str],
    leftovers: list[str],
    results: tuple[str, ...],
) -> Swept:
    gone = set(swept)
    stay = [entry for entry in entries if entry not in gone]
    places = tuple(sorted([*(entry.place for entry in swept), *records]))
    sizes = sum(entry.size for entry in swept), sum(entry.size for entry in stay)
    return Swept(dry_run, places, sizes[0], tuple(leftovers), len(stay), sizes[1], results)


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()


def _base(place: str) -> str:
    return place.rpartition("/")[2]


def _name(entry: Entry) -> str:
    return entry.place.rpartition("/")[2]
