"""Garbage collection: what nothing leads to, and nobody touched for a while, goes.

Never swept are pins, what leases name, assets that a person added and did not delete, assets that no ledger record
can make again, and what recent calls made or read, or results that were of use recently. An old result of a task goes;
the call runs again when it is needed. A scratch directory goes when its task lives no more, however long it was quiet.
"""

from __future__ import annotations

import datetime
import getpass
import json
import os
import platform
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import Asset
from stargazer.errors import CIDError, NotFound, StargazerError, StoreError
from stargazer.store import index, layout
from stargazer.store.backends.local import LocalBackend
from stargazer.store.blobs.cached import FAILED, is_in_use
from stargazer.store.directories import RAW, is_node, links
from stargazer.store.folders import check_owners
from stargazer.store.parsing import is_asset, is_names, is_text, moment, read_json
from stargazer.store.records import check_readable, seal, unseal
from stargazer.store.revising import Revising
from stargazer.store.shapes import orphaned_shapes
from stargazer.store.staging import members

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from stargazer.store.backends.base import Backend
    from stargazer.store.folders import Entry

__all__ = ["LONGEST_LEASE", "Lease", "Leased", "Roots", "Sweeping", "Swept", "is_lease"]

# What garbage collection must keep, because somebody said so: pins, and the leases of runs.


CLOCKS_DIFFER = 600.0

LONGEST_LEASE = 7 * 86400.0
"""Seconds after which a lease counts no more that nobody wrote again, whatever end it names."""


class Leased(NamedTuple):
    """A lease as others see it.

    Parameters
    ----------
    name
        Of the run.
    roots
        CIDs that it holds.
    ends
        When it counts no more unless it is renewed, in seconds since 1970.
    owner
        Who holds it, where: user, host and process, as the lease says.
    """

    name: str
    roots: tuple[str, ...]
    ends: float
    owner: str


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
        content = {"roots": self.roots, "expires": time.time() + self.seconds, "owner": _owner()}
        data = json.dumps(content).encode()
        check_readable(data, "a lease")
        self._backend.replace(self._place, seal(data))

    def release(self) -> None:
        """Let go."""
        self._backend.remove(self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_lease(content: object) -> bool:
    """Whether a value has the form of a lease: CIDs, and a number for its end."""
    return (
        isinstance(content, dict)
        and is_names(content.get("roots"))
        and isinstance(content.get("expires"), (int, float))
        and not isinstance(content["expires"], bool)
        and is_text(content.get("owner", ""))
    )


def _owner() -> str:
    with suppress(OSError, KeyError):
        return f"{getpass.getuser()} on {platform.node()}, process {os.getpid()}"
    return f"{platform.node()}, process {os.getpid()}"


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
        data = json.dumps([asset.to_dict() for asset in pinned]).encode()
        check_readable(data, "a pin")
        self.backend.replace(layout.pin(name), seal(data))

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
        return {name: [self.handle(asset) for asset in self._pin(name)] for name in self._regular("pins")}

    def _regular(self, folder: str) -> dict[str, float]:
        """Names of the regular files in a folder that may be called so, and when each last changed.

        Nothing else was ever written there by a store; `fsck` tells of it.
        """
        found = {}
        for entry in self.backend.entries(folder):
            name = entry.place.removeprefix(f"{folder}/")
            with suppress(StoreError):
                found[layout.check_name(name)] = entry.changed
        return found

    def _pin(self, name: str) -> list[Asset]:
        try:
            pinned = self._sealed(layout.pin(name))
            if pinned is not None and not (isinstance(pinned, list) and all(map(is_asset, pinned))):
                raise StoreError("it is no list of assets")
            return [Asset.from_dict(members) for members in pinned or ()]
        except (StargazerError, ValueError, TypeError, KeyError) as error:
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
            How long the lease holds unless it is renewed; a week at most.

        Returns
        -------
        Lease
            With `renew` and `release`; as a context it is released at the end.

        Raises
        ------
        StoreError
            It would hold for more than a week without a word: pin what must stay.
        """
        _ = self.header
        if not seconds <= LONGEST_LEASE:
            raise StoreError(f"a lease of {seconds:,.0f} s is too long: renew it within a week, or pin what must stay")
        return Lease(self.backend, name, _cids(roots), seconds)

    def held(self) -> set[str]:
        """CIDs of all pins and of the leases that have not run out.

        Raises
        ------
        StoreError
            A pin or a lease is torn, so what it holds is not known.
        """
        pinned = [asset for name in self._regular("pins") for asset in self._pin(name)]
        return _cids(pinned) | {cid for lease in self.leases() for cid in lease.roots}

    def leases(self) -> list[Leased]:
        """Leases that count, by name.

        One counts until the end that it names, and a week after it was last written at most, by the clock of the disk:
        nobody holds for ever what nobody uses.

        Raises
        ------
        StoreError
            One is torn, and not so old that it counts no more.
        """
        now, found = time.time(), []
        for name, written in self._regular("leases").items():
            if min(written, now) + LONGEST_LEASE > now and (lease := self._lease(name, written)):
                found.append(lease)
        return [lease for lease in found if lease.ends + CLOCKS_DIFFER > now]

    def _lease(self, name: str, written: float) -> Leased | None:
        content = self._sealed(layout.lease(name))
        if content is None:
            return None
        if not is_lease(content):
            raise StoreError(f"the lease {name!r} cannot be read: if nobody runs anything, remove leases/{name}")
        ends = min(content["expires"], written + LONGEST_LEASE)
        return Leased(name, tuple(content["roots"]), ends, content.get("owner", ""))

    def _sealed(self, place: str) -> Any:
        """Content of a sealed place; None if it has just gone."""
        data = self.backend.read(place)
        if data is None:
            return None
        content = unseal(data)
        try:
            if content is not None:
                return read_json(content)
        except ValueError:
            pass
        raise StoreError(f"{place} of {self.url} is torn, so what it holds is not known: remove it or make it anew")


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


class Sweeping(Roots):
    """The part of a store that takes the garbage out."""

    def gc(
        self,
        *,
        grace: float = 7 * DAY,
        recent: float = 30 * DAY,
        budget: int | None = None,
        dry_run: bool = False,
        told: Callable[[Swept], None] = lambda _: None,
        yes_as_root: bool = False,
    ) -> Swept:
        """Remove what nothing needs.

        Parameters
        ----------
        grace
            Seconds for which everything stays that was written or relied on. Below an hour it is safe only while
            nobody writes.
        recent
            Seconds for which what a call made or read stays, since it ran or was of use last. Results of tasks that
            are declared to be ``temp`` do not wait for that.
        budget
            Bytes that files and directories may take. Where they take more, results of calls go that are cheap to make
            for what they take, and those that were of no use for longest; ``temp`` ones first. What is added, pinned,
            in use or within `grace` stays all the same.
        dry_run
            Only tell.
        told
            Called with what will be removed, before it is.
        yes_as_root
            Root may clean up a store that belongs to somebody else.

        Returns
        -------
        Swept
            What was removed, and how much.

        Raises
        ------
        StoreError
            A pin or a lease is torn; or a folder of the store is a link, or somebody else's.
        """
        if not self.made:
            return Swept(dry_run, (), 0, (), 0, 0)
        self._check_owners(yes_as_root=yes_as_root)
        before, since = time.time() - grace, time.time() - recent
        entries = [entry for kind in ("blobs", "trees") for entry in self.backend.entries(kind)]
        firm, needed = self._marked(since)
        old = [entry for entry in entries if _name(entry) not in needed and entry.changed < before]
        if budget is not None:
            old += self._over(budget, entries, old, firm, before)
        held = self.closure(self.held()) if old else set()
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

    def _check_owners(self, *, yes_as_root: bool) -> None:
        """Nothing is removed, or put aside, in a store of which the folders are not its own."""
        if isinstance(self.backend, LocalBackend):
            check_owners(self.backend.root, layout.TOP, yes_as_root=yes_as_root)

    def _marked(self, since: float) -> tuple[set[str], set[str]]:
        """Every file and directory node that is needed whatever it takes, and every one that something needs."""
        added = index.marks((_name(entry) for entry in self.backend.entries("assets")), ".added")
        recently, temp, diffs = self.ask(lambda asked: self._recently(asked, since), "assets", "records")
        recently -= temp
        made = set(self.ask(lambda asked: [row[0] for row in asked.execute(_MADE)]))
        firm = self.held() | diffs
        roots = firm | recently
        for identifier, data in self.ask(lambda asked: asked.execute("SELECT id, data FROM assets").fetchall()):
            cid, *beside = index.asset_cids(json.loads(data))
            if identifier in added or not made.issuperset((cid, *beside)):
                firm.update((cid, *beside))
            elif cid in recently:
                roots.update((cid, *beside))
        marked = self.closure(firm)
        return marked, marked | self.closure(roots - marked)

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
        firm = firm | self.closure(self.held())
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
        rows = self.ask(lambda asked: asked.execute(_OUTPUTS).fetchall(), "records")
        cids: dict[str, set[str]] = {}
        for identifier, cid, *_ in rows:
            cids.setdefault(identifier, set()).add(cid)
        told = {row[0]: row[2:] for row in rows}
        return [
            _Result(frozenset(self.closure(cids[name])), seconds, bool(temp), self._last_use(name, started))
            for name, (seconds, temp, started) in told.items()
        ]

    def _last_use(self, record: str, started: str) -> float:
        began = moment(started) or 0.0
        return max(began, self.backend.last_use(layout.record(record)) or 0.0) if self.backend.local else began

    def _results_of(self, cids: set[str]) -> tuple[str, ...]:
        """Ids of the records of calls that made some of these."""
        rows = self.ask(lambda asked: asked.execute(_OUTPUTS).fetchall(), "records") if cids else []
        return tuple(sorted({row[0] for row in rows if row[1] in cids}))

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
            if not is_node(block, cid) or not _has_links(block):
                message = f"the directory {cid} of {self.url} is torn, so what it holds is not known"
                raise StoreError(f"{message}: run fsck, then add it again")
        return nodes

    def _leftovers(self, before: float) -> list[str]:
        """Paths in this host's directories for what is unfinished or harmed which nobody has touched since a time."""
        found: list[str] = []
        for backend, folder in self._own_folders():
            found += (
                backend.path(place) for place, last in backend.remains(folder) if _is_left(_base(place), last, before)
            )
        return sorted(found)

    def _own_folders(self) -> list[tuple[LocalBackend, str]]:
        """Folders on this host's disk of what is unfinished or harmed."""
        if isinstance(self.backend, LocalBackend):
            return [(self.backend, layout.TMP)]
        cache = LocalBackend(str(self.cache))
        return [(cache, layout.TMP), (cache, "quarantine")]

    def _outdated(self, before: float) -> list[str]:
        """Old quarantine, journal and notes on runs, and marks beside records that are gone."""
        old = [place for place, changed in self._quarantined() if changed < before]
        kept_since = min(before, time.time() - _HISTORY_KEPT)
        for folder in ["runs", "logs", layout.USES, *([] if self.backend.local else [layout.JOURNAL])]:
            old += [entry.place for entry in self.backend.entries(folder) if entry.changed < kept_since]
        places = {entry.place: entry.changed for entry in self.backend.entries("assets")}
        marked = ((place, place.partition(".")[0]) for place in places if "." in place)
        old += [place for place, record in marked if record not in places and places[place] < before]
        return old + list(orphaned_shapes(self.backend, before))

    def _quarantined(self) -> Iterable[tuple[str, float]]:
        """What was found corrupt, and when; on a disk it may be anything."""
        if isinstance(self.backend, LocalBackend):
            return self.backend.remains("quarantine")
        return ((entry.place, entry.changed) for entry in self.backend.entries("quarantine"))

    def _remove_leftovers(self, leftovers: Iterable[str]) -> None:
        for place in leftovers:
            if place.startswith("/"):
                root, folder, name = place.rsplit("/", 2)
                with suppress(OSError):  # what another user left is theirs to remove
                    LocalBackend(root).discard(f"{folder}/{name}")
            elif isinstance(self.backend, LocalBackend):
                with suppress(OSError):
                    self.backend.discard(place)
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


def _has_links(block: bytes) -> bool:
    """Whether a node that is what its CID says can be read at all."""
    try:
        links(block)
    except CIDError:
        return False
    return True


_MADE = "SELECT l.cid FROM links l JOIN records r ON r.id = l.id WHERE l.role = 'output' AND r.status = 'ok'"
_LINKED = "SELECT l.cid FROM links l JOIN records r ON r.id = l.id"
_OUTPUTS = (
    "SELECT r.id, l.cid, r.seconds, r.temp, r.started FROM links l JOIN records r ON r.id = l.id "
    "WHERE l.role = 'output' AND r.status = 'ok'"
)


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
