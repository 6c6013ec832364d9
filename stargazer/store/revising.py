"""Changed facts make new records; the older ones are superseded, not lost."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stargazer.assets import parse_fact
from stargazer.errors import NotFound
from stargazer.store import layout
from stargazer.store.assets import link_field
from stargazer.store.index import successor_of
from stargazer.store.query import Queries

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from stargazer.assets import Asset

__all__ = ["Revising"]


class Revising(Queries):
    """The part of a store that changes what is known of bytes."""

    def update(self, asset: Asset, **facts: Any) -> Asset:
        """Give the same bytes other facts.

        Parameters
        ----------
        asset
            A stored asset.
        **facts
            The facts that change, as values or as text (``"true"``); `name` may change too.

        Returns
        -------
        Asset
            A new handle. The older record is found no more by `find` and `assemble`, but by `get` and `history`.

        Raises
        ------
        UnknownField, InvalidField
            The asset type has no such fact, or the value is none of it.
        """
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
        self._mark_added(newer, self.backend.read(layout.added(older)) or b"")
        self.backend.remove(layout.superseded(newer.id))
        mark = json.dumps({"by": newer.id, "time": time.time()}).encode()
        self.backend.replace(layout.superseded(older), mark)
        self._journal("assets", older, newer.id)

    def history(self, asset: Asset) -> list[Asset]:
        """All that was known of an asset: the newest record, and those that it superseded, newest first."""
        newest, seen = asset.id, {asset.id}
        while (mark := self.backend.read(layout.superseded(newest))) and successor_of(mark) not in seen:
            newest = successor_of(mark) or newest
            seen.add(newest)
        ids = self._older(newest)
        found = self.read_assets([newest, *ids])
        return [self.handle(found[identifier]) for identifier in (newest, *ids) if identifier in found]

    def delete(self, asset: Asset | str) -> None:
        """Forget an asset, what it superseded, and its companions that name it as the file that they lie beside.

        Bytes that nothing else needs go with the next garbage collection.

        Parameters
        ----------
        asset
            The asset, or the id of its record.

        Raises
        ------
        NotFound
            The store has no such record.
        """
        found = self.get(asset) if isinstance(asset, str) else asset
        self._require(found)
        known = {each.id for each in self.history(found)}
        own = [each.id for each in found.companions if getattr(each, link_field(each) or "", "") == found.cid]
        gone = [*(each for each in (found.id, *self._older(found.id)) if each in known), *own]
        for identifier in gone:
            self._remove_record(identifier)
        self._journal("assets", *gone)

    def _remove_record(self, identifier: str) -> None:
        for place in (layout.asset, layout.added, layout.superseded, layout.elsewhere):
            self.backend.remove(place(identifier))

    def _older(self, identifier: str) -> list[str]:
        return self.ask(lambda index: list(_superseded_by(index, identifier)), "assets")

    def _require(self, asset: Asset) -> None:
        if self.backend.size(layout.asset(asset.id)) is None:
            raise NotFound(f"{self.url} has no record of {asset!r} (id {asset.id})")


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
