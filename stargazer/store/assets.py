"""Assets of a store: how files become some, and the records that tell what is known of them.

Records are immutable; a changed fact makes a new one.
"""

from __future__ import annotations

import json
import os
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stargazer.assets import Asset, parse_fact, placed
from stargazer.assets.asset import as_record
from stargazer.errors import NotFound, StargazerError
from stargazer.store import layout
from stargazer.store.layout import asset_members, successor_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TypeVar

    from stargazer.assets.asset import Source
    from stargazer.cid.unixfs import Progress
    from stargazer.store.blobs.base import Stored
    from stargazer.store.context import StoreContext
    from stargazer.store.directories import Directories
    from stargazer.store.index import Index

    A = TypeVar("A", bound=Asset)

__all__ = ["NO_PATH", "Assets", "beside", "drafted", "link_field", "members", "parse_asset"]

_AT_ONCE = 16


NO_PATH = cast("Path", None)


def members(asset: Asset) -> Iterator[Asset]:
    """An asset and its companions, and theirs."""
    yield asset
    for companion in asset.companions:
        yield from members(companion)


def drafted(
    path: str | os.PathLike[str],
    template: Asset,
    *,
    companions: Iterable[Asset | str | os.PathLike[str]] = (),
    name: str | None = None,
) -> Asset:
    """The draft of a file or directory that is to be added, by its type and facts, with its companions."""
    _check_path(path)
    drafts = (each if isinstance(each, Asset) else Asset(path=Path(each)) for each in companions)
    beside = (*template.companions, *drafts)
    return replace(template, path=Path(path), cid=None, name=name or template.name, companions=beside)


def _check_path(path: str | os.PathLike[str]) -> None:
    """An empty path would be the current directory."""
    if not os.fspath(path):
        raise NotFound("there is no file '': the path is empty; for the directory that you are in, write '.'")
    if "\0" in os.fspath(path):
        raise NotFound(f"there is no file {os.fspath(path)!r}: no name of a file has a NUL byte in it")


def _linked(companion: Asset, cid: str) -> Asset:
    """A companion whose empty link field names the file that it lies beside."""
    field = link_field(companion)
    if field and not getattr(companion, field):
        return replace(companion, **{field: cid})  # type: ignore[arg-type]
    return companion


class Assets:
    """Files and directories as assets of a store, and the records that tell what is known of them.

    Parameters
    ----------
    context
        Of the store.
    dirs
        The bytes that assets name.
    index
        Tells which record another superseded.
    source
        Makes what a handle gets its bytes from, of the store's URL, the id of a ledger record, and a name that was
        asked for.
    """

    def __init__(self, context: StoreContext, dirs: Directories, index: Index, source: Callable[..., Source]) -> None:
        self.context, self.backend, self.dirs, self.index = context, context.backend, dirs, index
        self._source = source

    def handle(self, asset: A, record: str | None = None) -> A:
        """The same asset, knowing that its bytes come from this store, and which record tells how it was made."""
        source = self._source(self.context.url, record)
        companions = tuple(self.handle(companion, record) for companion in asset.companions)
        return placed(asset, NO_PATH, source, companions)

    def named(self, asset: Asset, name: str) -> Asset:
        """As `handle`, of what a name stands for: records of calls that are given it say so."""
        companions = tuple(map(self.handle, asset.companions))
        return placed(asset, NO_PATH, self._source(self.context.url, None, name), companions)

    def added_at(self, asset: Asset) -> float:
        """When an asset came into the store, in seconds since 1970; 0 of one that it has no record of."""
        places = (layout.added(asset.id), layout.asset(asset.id))
        folder = places[1].rpartition("/")[0]
        found = {entry.place: entry.changed for entry in self.backend.entries(folder) if entry.place in places}
        return next((found[place] for place in places if place in found), 0.0)

    def put(self, asset: A, *, record: str | None = None) -> A:
        """Keep the record of an asset whose bytes are stored, and those of its companions.

        Parameters
        ----------
        asset
            A stored asset, perhaps with other facts than it had.
        record
            Id of the ledger record of the call that made it.

        Returns
        -------
        Asset
            A handle.
        """
        self.put_many(dict(map(as_record, members(asset))))
        return self.handle(asset, record)

    def add(self, draft: Asset, *, progress: Progress | None = None) -> Asset:
        """Copy a file or directory into the store as it is: `Store.add`."""
        stored = self.put(self.take(draft, progress=progress))
        self.mark_added(stored)
        return stored

    def save(self, draft: Asset, *, record: str | None = None, link: bool = True) -> Asset:
        """Move what a task made into the store, its companions too: `Store.save`."""
        return self.put(self.take(draft, move=True, link=link), record=record)

    def take(self, draft: Asset, *, move: bool = False, link: bool = True, progress: Progress | None = None) -> Asset:
        """Store the bytes of a draft and its companions; companions learn the CID of the file they lie beside.

        There is no record of the asset yet: nothing leads to its bytes, and `gc` takes them.
        """
        if draft.path is None:
            if draft.cid is None or not self.dirs.has(draft.cid):
                raise NotFound(f"{draft} has neither a path nor bytes in {self.context.url}")
            cid, name = draft.cid, draft.name
        else:
            cid = self._keep(os.fspath(draft.path), move, link, progress).cid
            name = draft.name or Path(os.path.abspath(draft.path)).name
        beside = tuple(
            self.take(_linked(each, cid), move=move, link=link, progress=progress) for each in draft.companions
        )
        return replace(draft, path=NO_PATH, cid=cid, name=name, companions=beside, source=None)

    def _keep(self, path: str, move: bool, link: bool, progress: Progress | None) -> Stored:
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            raise NotFound(f"there is no file {path}") from None
        if stat.S_ISDIR(found.st_mode):
            return self.dirs.put(path, move=move, follow=move, progress=progress)
        _ = self.context.header
        return self.dirs.blobs.take(path, move=move, link=link, progress=progress)

    def put_many(self, records: Mapping[str, bytes]) -> None:
        """Keep asset records by their ids."""
        _ = self.context.header
        self.backend.create_many({layout.asset(identifier): data for identifier, data in records.items()})
        self.context.note_changes("assets", *records)

    def put_elsewhere(self, assets: Iterable[Asset]) -> None:
        """Keep the records of assets that belong to a lineage; bytes that are elsewhere are not missed here."""
        _ = self.context.header
        known = {each.id: each for asset in assets for each in members(asset)}
        absent = [identifier for identifier, each in known.items() if not self.exists(each)]
        self.backend.create_many({layout.elsewhere(identifier): b"" for identifier in absent})
        self.backend.create_many({layout.asset(name): data for name, data in map(as_record, known.values())})
        self.context.note_changes("assets", *known)

    def read(self, identifiers: Iterable[str]) -> dict[str, Asset]:
        """Those asset records that are there, whole and understood, by id."""
        places = {layout.asset(identifier): identifier for identifier in identifiers}
        found = self.backend.read_many(places)
        assets = ((places[place], parse_asset(data, places[place])) for place, data in found.items())
        return {identifier: asset for identifier, asset in assets if asset is not None}

    def exists(self, asset: Asset) -> bool:
        """Whether the bytes of an asset and of its companions are here, by looking at names and not at contents."""
        cids = [member.cid for member in members(asset)]
        return None not in cids and self.dirs.has_all(cid for cid in cids if cid is not None)

    def missing(self, assets: Iterable[Asset]) -> list[Asset]:
        """Those of many assets of which bytes, or a companion's, are not here; object stores are asked at once."""
        asked = list(assets)
        if self.backend.quick:
            return [asset for asset in asked if not self.exists(asset)]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return [asset for asset, there in zip(asked, pool.map(self.exists, asked), strict=True) if not there]

    def mark_added(self, asset: Asset, addition: bytes = b"") -> None:
        """Mark an asset and its companions as added; an addition that converted it is noted in the mark."""
        places = {layout.added(member.id) for member in members(asset)}
        absent = places.difference(self.backend.read_many(places))
        self.backend.replace_many(dict.fromkeys(absent, b""))
        if addition:
            self.backend.create(layout.added(asset.id), addition)

    def update(self, asset: A, **facts: Any) -> A:
        """Give the same bytes other facts: `Store.update`."""
        self._require(asset)
        typed = {name: parse_fact(type(asset), name, value) for name, value in facts.items()}
        bare = type(asset).asset_key == "asset"
        free = {name: value for name, value in typed.items() if bare and name not in ("cid", "name")}
        own: dict[str, Any] = {name: value for name, value in typed.items() if name not in free}
        if free:
            own["facts"] = {**asset.facts, **free}
        changed = replace(asset, **own)
        stored = self.put(changed, record=asset.source.record if asset.source else None)
        if stored.id != asset.id:
            self._supersede(asset.id, stored)
        return stored

    def _supersede(self, older: str, newer: Asset) -> None:
        self.mark_added(newer, self.backend.read(layout.added(older)) or b"")
        self.backend.remove(layout.superseded(newer.id))
        mark = json.dumps({"by": newer.id, "time": time.time()}).encode()
        self.backend.replace(layout.superseded(older), mark)
        self.context.note_changes("assets", older, newer.id)

    def history(self, asset: A) -> list[A]:
        """All that was known of an asset: the newest record, and those that it superseded, newest first."""
        newest, seen = asset.id, {asset.id}
        while (mark := self.backend.read(layout.superseded(newest))) and successor_of(mark) not in seen:
            newest = successor_of(mark) or newest
            seen.add(newest)
        ids = self._older(newest)
        found = self.read([newest, *ids])
        handles = [self.handle(found[identifier]) for identifier in (newest, *ids) if identifier in found]
        return cast("list[A]", handles)  # whatever supersedes an asset has its type

    def delete(self, found: Asset) -> None:
        """Forget an asset, what it superseded, and the companions that lie beside it alone: `Store.delete`."""
        self._require(found)
        known = {each.id for each in self.history(found)}
        own = [each.id for each in found.companions if getattr(each, link_field(each) or "", "") == found.cid]
        gone = [*(each for each in (found.id, *self._older(found.id)) if each in known), *own]
        for identifier in gone:
            self.remove(identifier)
        self.context.note_changes("assets", *gone)

    def remove(self, identifier: str) -> None:
        """Remove a record and the marks beside it."""
        for place in (layout.asset, layout.added, layout.superseded, layout.elsewhere):
            self.backend.remove(place(identifier))

    def _older(self, identifier: str) -> list[str]:
        return self.index.ask(lambda index: list(_superseded_by(index, identifier)), "assets")

    def _require(self, asset: Asset) -> None:
        if self.backend.size(layout.asset(asset.id)) is None:
            raise NotFound(f"{self.context.url} has no record of {asset!r} (id {asset.id})")


def _superseded_by(connection: sqlite3.Connection, identifier: str) -> Iterator[str]:
    """Ids that a record superseded, directly or not, newest first."""
    seen, waiting = {identifier}, [identifier]
    while waiting:
        rows = connection.execute("SELECT id FROM assets WHERE successor = ? ORDER BY n DESC", (waiting.pop(0),))
        for (older,) in rows:
            if older not in seen:
                seen.add(older)
                waiting.append(older)
                yield older


def parse_asset(data: bytes, identifier: str) -> Asset | None:
    """Read an asset record; None if it is torn or malformed."""
    members = asset_members(data, identifier)
    try:
        return None if members is None else Asset.from_dict(members)
    except (ValueError, TypeError, KeyError, StargazerError):
        return None


# Which assets are companions of which: an index names the file that it lies beside in a link field.


def link_field(asset: Asset | type[Asset]) -> str | None:
    """The field with the CID of the file that such an asset lies beside; None if it lies beside none.

    A type says so by a class variable: ``companion_of: ClassVar[str] = "reference_cid"``.
    """
    return asset.companion_of or None


def beside(asset: Asset, stored: list[Asset], linked: list[Asset]) -> tuple[Asset, ...]:
    """Companions that can lie beside an asset's file.

    Those that it was stored with come first, then those that name it, in sets of equal type and facts (the files of
    one aligner's index). A set of which a file name is taken by other bytes is left out whole.

    Parameters
    ----------
    asset
        The asset.
    stored
        Companions in its records.
    linked
        Assets that name its CID in their link field.
    """
    taken = {asset.name: asset.cid}
    chosen: dict[tuple[str, str], Asset] = {}
    for together in [*([each] for each in stored), *_sets(linked)]:
        if all(taken.get(member.name, member.cid) == member.cid for member in together):
            taken.update((member.name, member.cid) for member in together)
            for member in together:
                chosen.setdefault((member.asset_key, str(member.cid)), member)
    return tuple(chosen.values())


def _sets(linked: list[Asset]) -> list[list[Asset]]:
    sets: dict[str, list[Asset]] = {}
    for asset in sorted(
        linked, key=lambda each: (each.asset_key, repr(sorted(each.declared.items())), each.name, each.id)
    ):
        sets.setdefault(f"{asset.asset_key} {sorted(asset.declared.items())!r}", []).append(asset)
    return list(sets.values())
