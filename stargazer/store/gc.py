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
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import Asset
from stargazer.errors import NotFound, StargazerError, StoreError
from stargazer.store import index, layout
from stargazer.store.backends.local import touched
from stargazer.store.directories import RAW, is_node, links
from stargazer.store.records import seal, unseal
from stargazer.store.revising import Revising
from stargazer.store.staging import members

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from stargazer.store.backends.base import Backend
    from stargazer.store.backends.local import Entry

__all__ = ["Lease", "Roots", "Sweeping", "Swept"]

# What garbage collection must keep, because somebody said so: pins, and the leases of runs.


CLOCKS_DIFFER = 600.0


class Lease:
    """What a run relies on, until it says that it is done or has not been heard of for a while.

    Parameters
    ----------
    backend
        The store.
    name
        Of the run.
    roots
        CIDs.
    seconds
        How long it holds unless it is renewed.
    """

    def __init__(self, backend: Backend, name: str, roots: Iterable[str], seconds: float) -> None:
        self.name, self.roots, self.seconds = name, sorted(set(roots)), seconds
        self._backend, self._place = backend, layout.lease(name)
        self.renew()

    def renew(self, *roots: str) -> None:
        """Hold it for as long again, and for further CIDs."""
        self.roots = sorted({*self.roots, *roots})
        content = {"roots": self.roots, "expires": time.time() + self.seconds}
        self._backend.replace(self._place, seal(json.dumps(content).encode()))

    def release(self) -> None:
        """Let go."""
        self._backend.remove(self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Roots(Revising):
    """The part of a store that holds on to things."""

    def pin(self, name: str, *assets: Asset | str) -> None:
        """Keep assets, whatever garbage collection thinks of them.

        Parameters
        ----------
        name
            Of the pin; one that is there already is replaced.
        *assets
            Stored assets, or CIDs.

        Raises
        ------
        NotFound
            The store does not have one of them.
        """
        _ = self.header
        pinned = [Asset(cid=each) if isinstance(each, str) else each for each in assets]
        for asset in pinned:
            if not self.exists(asset):
                raise NotFound(f"{self.url} does not have the bytes of {asset!r}: nothing to pin")
        self.backend.replace(layout.pin(name), seal(json.dumps([asset.to_dict() for asset in pinned]).encode()))

    def unpin(self, name: str) -> None:
        """Let go of a pin.

        Raises
        ------
        NotFound
            There is none of that name.
        """
        if self.backend.size(layout.pin(name)) is None:
            raise NotFound(
                f"{self.url} has no pin {name!r}; there are {', '.join(self.backend.names('pins')) or 'none'}"
            )
        self.backend.remove(layout.pin(name))

    def pins(self) -> dict[str, list[Asset]]:
        """Pinned assets by the name of their pin.

        Raises
        ------
        StoreError
            A pin is torn.
        """
        return {name: [self.handle(asset) for asset in self._pin(name)] for name in self.backend.names("pins")}

    def _pin(self, name: str) -> list[Asset]:
        try:
            return [Asset.from_dict(members) for members in self._sealed(layout.pin(name))]
        except (StargazerError, TypeError, KeyError) as error:
            raise StoreError(f"the pin {name!r} cannot be read ({error}): pin its assets again, or unpin it") from error

    def lease(self, name: str, roots: Iterable[Asset | str] = (), *, seconds: float = 3600.0) -> Lease:
        """Hold what a run relies on, for as long as it lives.

        Parameters
        ----------
        name
            Of the run.
        roots
            Assets or CIDs.
        seconds
            How long the lease holds unless it is renewed.

        Returns
        -------
        Lease
            With `renew` and `release`; as a context it is released at the end.
        """
        _ = self.header
        return Lease(self.backend, name, _cids(roots), seconds)

    def held(self) -> set[str]:
        """CIDs of all pins and of the leases that have not run out.

        Raises
        ------
        StoreError
            A pin or a lease is torn, so what it holds is not known.
        """
        pinned = [asset for name in self.backend.names("pins") for asset in self._pin(name)]
        leases = [self._sealed(layout.lease(name)) for name in self.backend.names("leases")]
        alive = [lease for lease in leases if lease and lease["expires"] + CLOCKS_DIFFER > time.time()]
        return _cids(pinned) | {cid for lease in alive for cid in lease["roots"]}

    def _sealed(self, place: str) -> Any:
        """Content of a sealed place; empty if it has just gone."""
        data = self.backend.read(place)
        if data is None:
            return []
        content = unseal(data)
        if content is None:
            raise StoreError(f"{place} of {self.url} is torn, so what it holds is not known: remove it or make it anew")
        return json.loads(content)


def _cids(roots: Iterable[Asset | str]) -> set[str]:
    """CIDs of assets and of their companions."""
    found: set[str] = set()
    for root in roots:
        found.update([root] if isinstance(root, str) else [str(member.cid) for member in members(root)])
    return found


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
        """Remove the records of assets whose bytes, or those of a companion, were swept; their places."""
        rows = self.ask(lambda asked: asked.execute("SELECT id, data FROM assets").fetchall()) if cids else []
        gone = [identifier for identifier, data in rows if not cids.isdisjoint(index.asset_cids(json.loads(data)))]
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
