"""Questions to the store, answered from its index."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from stargazer.assets import Asset, asset_types
from stargazer.errors import AssetError, NotFound, StargazerError
from stargazer.store.adding import Adding
from stargazer.store.filters import Filters, matching
from stargazer.store.follow import follow
from stargazer.store.index import ask, value_text
from stargazer.store.links import beside, link_field

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

__all__ = ["Queries"]

T = TypeVar("T")

_AT_ONCE = 500


class Queries(Adding):
    """The part of a store that finds assets and records."""

    def ask(self, question: Callable[[sqlite3.Connection], T], *kinds: str) -> T:
        """Ask the index, once it agrees with the store in some kinds of records (``"assets"``, ``"records"``)."""

        def asked(connection: sqlite3.Connection) -> T:
            for kind in kinds:
                follow(connection, self.backend, kind)
            return question(connection)

        return ask(self.cache if self.made else None, asked)

    def find(self, **facts: Any) -> list[Asset]:
        """Assets with these facts, as they were stored.

        Parameters
        ----------
        **facts
            As for `assemble`.
        """
        filters = Filters.read(facts)
        found = decode(self.ask(lambda index: matching(index, filters), "assets"))
        return sorted((self.handle(asset) for asset in found), key=_order)

    def assemble(self, **filters: Any) -> list[Asset]:
        """Assets with these facts, one for each file, with the files that must lie beside them.

        Parameters
        ----------
        **filters
            ``asset``: a type or its key. ``cid``, ``name`` and facts: a value or its text (``True``, ``"true"``).
            Each may be a list of alternatives; all filters must hold.

        Returns
        -------
        list of Asset
            Ordered by type, sample and name. Companions are those that an asset was stored with and those that name
            it (`reference_cid`, `alignment_cid`, …); of two sets whose file names clash, the later type and facts
            in alphabetical order are left out.

        Raises
        ------
        UnknownField
            The asset type has no such fact.
        InvalidField
            The value is none that the fact could have.
        """
        wanted = Filters.read(filters)
        found = decode(self.ask(lambda index: matching(index, wanted), "assets"))
        linked = self.ask(lambda index: _linked_rows(index, {str(asset.cid) for asset in found}))
        indexes = _indexes(linked)
        groups: dict[Asset, list[Asset]] = {}
        for asset in sorted(found, key=_order):
            groups.setdefault(replace(asset, companions=()), []).append(asset)
        return [self.handle(_joined(bare, same, indexes)) for bare, same in groups.items()]

    def get(self, name: str) -> Asset:
        """The asset with an id or a CID.

        Parameters
        ----------
        name
            The id of an asset record, superseded or not; or the CID of a file or directory. Where several assets
            share the bytes, the first of ``find(cid=…)`` is given.

        Raises
        ------
        NotFound
            There is neither a record nor a file of that name.
        """
        if len(name) == 64 and not name.startswith("baf"):
            found = self.read_assets([name]).get(name)
            if found is None:
                raise NotFound(f"{self.url} has no asset record {name}")
            return self.handle(found)
        for asset in self.find(cid=name):
            return asset
        if not self.has(name):
            raise NotFound(f"{self.url} has nothing named {name}")
        return self.handle(Asset(cid=name))

    def records_where(
        self,
        *,
        task: str | None = None,
        output: str | None = None,
        input: str | None = None,
        start: str | None = None,
        limit: int = 100,
    ) -> list[tuple[str, bytes]]:
        """Ids and bytes of ledger records, newest first.

        Parameters
        ----------
        task
            Name of the task.
        output
            A CID that the call made, or a companion of what it made.
        input
            A CID that the call was given.
        start
            First digits of the id.
        limit
            How many at most.
        """
        conditions = {
            "r.task = ?": task,
            "r.id GLOB ?": None if start is None else f"{start}*",
            **{_linked(role): cid for role, cid in (("output", output), ("input", input))},
        }
        given = {condition: value for condition, value in conditions.items() if value is not None}
        query = (
            f"SELECT r.id FROM records r WHERE {' AND '.join(given) or 'TRUE'} ORDER BY r.started DESC, r.id LIMIT ?"
        )
        rows = self.ask(lambda index: index.execute(query, (*given.values(), limit)).fetchall(), "records")
        ids = [row[0] for row in rows]
        found = self.get_records(ids)
        return [(identifier, found[identifier]) for identifier in ids if identifier in found]


def _linked(role: str) -> str:
    return f"r.id IN (SELECT id FROM links WHERE role = '{role}' AND cid = ?)"


def decode(rows: Iterable[tuple[str, bytes]]) -> list[Asset]:
    """Assets of index rows; those that do not fit the types known here are left out, with a warning."""
    assets = []
    for identifier, data in rows:
        try:
            assets.append(Asset.from_dict(json.loads(data)))
        except (StargazerError, ValueError, TypeError, KeyError) as error:
            warnings.warn(f"asset record {identifier} is left out: {error}", stacklevel=3)
    return assets


def _order(asset: Asset) -> tuple[str, ...]:
    sample = str(asset.declared.get("sample_id", ""))
    return asset.asset_key, sample, asset.name, str(asset.cid), asset.id


def _linked_rows(connection: sqlite3.Connection, cids: set[str]) -> list[tuple[str, str, bytes]]:
    """Link field, id and record of the assets that lie beside one of these files."""
    wanted = sorted(value_text(cid) for cid in cids)
    found: list[tuple[str, str, bytes]] = []
    for key, field in ((key, link_field(kind)) for key, kind in asset_types().items()):
        for start in range(0, len(wanted) if field else 0, _AT_ONCE):
            values = wanted[start : start + _AT_ONCE]
            query = (
                "SELECT f.name, a.id, a.data FROM facts f CROSS JOIN assets a ON a.n = f.n WHERE f.key = ? "
                f"AND f.name = ? AND f.value IN ({', '.join('?' * len(values))}) AND a.successor IS NULL"
            )
            found += connection.execute(query, (key, field, *values)).fetchall()
    return found


def _indexes(rows: list[tuple[str, str, bytes]]) -> dict[str, list[Asset]]:
    """Assets by the CID of the file that they lie beside."""
    found: dict[str, list[Asset]] = {}
    for field, identifier, data in rows:
        for asset in decode([(identifier, data)]):
            found.setdefault(getattr(asset, field), []).append(asset)
    return found


def _joined(bare: Asset, same: list[Asset], indexes: dict[str, list[Asset]]) -> Asset:
    """One asset of those that differ in companions only, with all companions that can lie beside it."""
    stored = [companion for asset in same for companion in asset.companions]
    try:
        return replace(bare, companions=beside(bare, stored, indexes.get(str(bare.cid), [])))
    except AssetError as error:
        warnings.warn(f"companions of {bare!r} are left out: {error}", stacklevel=3)
        return bare
