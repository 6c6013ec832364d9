"""Garbage collection: what nothing leads to, and nobody touched for a while, goes.

Never swept are pins, what leases name, assets that a person added and did not delete, assets that no ledger record
can make again, and what recent calls made or read. An old result of a task goes; the call runs again when it is
needed.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from stargazer.errors import StoreError
from stargazer.store import index, layout
from stargazer.store.files import touched
from stargazer.store.reading import RAW, is_node, links
from stargazer.store.roots import Roots

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from stargazer.store.files import Entry

__all__ = ["Sweeping", "Swept"]

DAY = 86400.0
_HISTORY_KEPT = 90 * DAY
"""Of object stores' journals, and of notes on runs."""

_AT_ONCE = 500


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
    """

    dry_run: bool
    removed: tuple[str, ...]
    bytes: int
    leftovers: tuple[str, ...]
    kept: int
    kept_bytes: int


class Sweeping(Roots):
    """The part of a store that takes the garbage out."""

    def gc(self, *, grace: float = 7 * DAY, recent: float = 30 * DAY, dry_run: bool = False) -> Swept:
        """Remove what nothing needs.

        Parameters
        ----------
        grace
            Seconds for which everything stays that was written or relied on. Below an hour it is safe only while
            nobody writes.
        recent
            Seconds for which what a call made or read stays.
        dry_run
            Only tell.

        Returns
        -------
        Swept
            What was removed, and how much.

        Raises
        ------
        StoreError
            A pin or a lease is torn.
        """
        if not self.made:
            return Swept(dry_run, (), 0, (), 0, 0)
        before = time.time() - grace
        kept = self._marked(recent)
        entries = [entry for kind in ("blobs", "trees") for entry in self.backend.entries(kind)]
        old = [entry for entry in entries if _name(entry) not in kept and entry.changed < before]
        kept |= self.closure(self.held()) if old else set()
        swept = [entry for entry in old if _name(entry) not in kept]
        leftovers = [*self._leftovers(before), *self._outdated(before)]
        if not dry_run:
            removed = self.backend.sweep([entry.place for entry in swept], before)
            swept = [entry for entry in swept if entry.place in removed]
            self._remove_leftovers(leftovers)
        records = self._forget({_name(entry) for entry in swept}, dry_run)
        gone = set(swept)
        stay = [entry for entry in entries if entry not in gone]
        places = tuple(sorted([*(entry.place for entry in swept), *records]))
        sizes = sum(entry.size for entry in swept), sum(entry.size for entry in stay)
        return Swept(dry_run, places, sizes[0], tuple(leftovers), len(stay), sizes[1])

    def _marked(self, recent: float) -> set[str]:
        """Every file and directory node that something needs."""
        added = index.marks((_name(entry) for entry in self.backend.entries("assets")), ".added")
        recently = self.held() | self.ask(lambda asked: _recent(asked, time.time() - recent), "assets", "records")
        made = set(self.ask(lambda asked: [row[0] for row in asked.execute(_MADE)]))
        roots = set(recently)
        for identifier, data in self.ask(lambda asked: asked.execute("SELECT id, data FROM assets").fetchall()):
            cid, *beside = index.asset_cids(json.loads(data))
            if identifier in added or cid in recently or not made.issuperset((cid, *beside)):
                roots.update((cid, *beside))
        return self.closure(roots)

    def closure(self, roots: Iterable[str]) -> set[str]:
        """CIDs of files and directory nodes that lie below some, these too.

        Raises
        ------
        StoreError
            A directory node is torn, so what lies below it is not known.
        """
        found: set[str] = set()
        frontier = set(roots)
        while frontier:
            found |= frontier
            nodes: dict[str, bytes] = {}
            asked = sorted(cid for cid in frontier if not cid.startswith(RAW))
            for start in range(0, len(asked), _AT_ONCE):
                nodes.update(self._read_nodes(asked[start : start + _AT_ONCE]))
            frontier = {child for block in nodes.values() for child in links(block)} - found
        return found

    def _read_nodes(self, cids: list[str]) -> dict[str, bytes]:
        places = {layout.tree(cid): cid for cid in cids}
        nodes = {places[place]: block for place, block in self.backend.read_many(places).items()}
        for cid, block in nodes.items():
            if not is_node(block, cid):
                message = f"the directory {cid} of {self.url} is torn, so what it holds is not known"
                raise StoreError(f"{message}: run fsck, then add it again")
        return nodes

    def _leftovers(self, before: float) -> list[str]:
        """Paths in this host's directories for what is unfinished or harmed which nobody has touched since a time."""
        found: list[str] = []
        for directory in [self.scratch, *([] if self.backend.local else [self.cache / "quarantine"])]:
            with suppress(FileNotFoundError):
                found += (entry.path for entry in os.scandir(directory) if touched(entry.path) < before)
        return sorted(found)

    def _outdated(self, before: float) -> list[str]:
        """Old quarantine, journal and notes on runs, and marks beside records that are gone."""
        old = [entry.place for entry in self.backend.entries("quarantine") if entry.changed < before]
        kept_since = min(before, time.time() - _HISTORY_KEPT)
        for folder in ["runs", *([] if self.backend.local else [layout.JOURNAL])]:
            old += [entry.place for entry in self.backend.entries(folder) if entry.changed < kept_since]
        places = {entry.place: entry.changed for entry in self.backend.entries("assets")}
        marked = ((place, place.partition(".")[0]) for place in places if "." in place)
        return old + [place for place, record in marked if record not in places and places[place] < before]

    def _remove_leftovers(self, leftovers: Iterable[str]) -> None:
        for place in leftovers:
            if place.startswith("/"):
                shutil.rmtree(place, ignore_errors=True) if os.path.isdir(place) else os.unlink(place)
            else:
                self.backend.remove(place)

    def _forget(self, cids: set[str], dry_run: bool) -> list[str]:
        """Remove the records of assets whose bytes were swept; their places."""
        rows = self.ask(lambda asked: asked.execute("SELECT id, cid FROM assets").fetchall())
        gone = [identifier for identifier, cid in rows if cid in cids]
        if gone and not dry_run:
            for identifier in gone:
                self._remove_record(identifier)
            self._journal("assets", *gone)
        return [layout.asset(identifier) for identifier in gone]


_MADE = "SELECT l.cid FROM links l JOIN records r ON r.id = l.id WHERE l.role = 'output' AND r.status = 'ok'"


def _recent(connection: sqlite3.Connection, since: float) -> set[str]:
    """What calls made or read that started since a time."""
    start = datetime.datetime.fromtimestamp(since, datetime.UTC).isoformat()
    query = "SELECT l.cid FROM links l JOIN records r ON r.id = l.id WHERE r.started >= ?"
    return {row[0] for row in connection.execute(query, (start,))}


def _name(entry: Entry) -> str:
    return entry.place.rpartition("/")[2]
