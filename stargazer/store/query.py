"""Questions to the store, answered from its index."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from stargazer.assets import Asset, asset_type, asset_types, parse_fact
from stargazer.errors import AssetError, InvalidField, NotFound, StargazerError, UnknownField
from stargazer.store.adding import Adding
from stargazer.store.assets import beside, link_field
from stargazer.store.index import ask, follow, value_text
from stargazer.visible import visible

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

__all__ = ["Filters", "Queries", "matching"]

T = TypeVar("T")

_AT_ONCE = 500
_ID = re.compile("[0-9a-f]{64}")


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
        if _ID.fullmatch(name):  # by chance it begins as CIDs do: one in 4,096
            found = self.read_assets([name]).get(name)
            if found is None:
                raise NotFound(f"{self.url} has no asset record {name}")
            return self.handle(found)
        for asset in self.find(cid=name):
            return asset
        if not self.has(name):
            raise NotFound(f"{self.url} has nothing named {name}")
        return self.handle(Asset(cid=name))

    def record_ids(self) -> list[str]:
        """Ids of the ledger records of all calls that ended well."""
        query = "SELECT id FROM records WHERE status = 'ok' ORDER BY id"
        return [row[0] for row in self.ask(lambda index: index.execute(query).fetchall(), "records")]

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
            warnings.warn(visible(f"asset record {identifier} is left out: {error}", lines=True), stacklevel=3)
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
        warnings.warn(visible(f"companions of {bare!r} are left out: {error}", lines=True), stacklevel=3)
        return bare


# What a query asks for: asset types, and facts in their true types.


_COLUMNS = ("cid", "name")


class Filters(NamedTuple):
    """A query: any of the keys, and for each fact any of its values, as canonical JSON."""

    keys: tuple[str, ...]
    facts: dict[str, tuple[str, ...]]
    columns: dict[str, tuple[str, ...]]

    @classmethod
    def read(cls, wanted: Mapping[str, Any]) -> Filters:
        """Filters of the keywords of `assemble`.

        Raises
        ------
        UnknownField
            The asset type declares no such fact.
        InvalidField
            The value is none that the fact could have.
        """
        keys = tuple(_key(each) for each in _several(wanted.get("asset", ())))
        facts = {n: _values(n, _several(v), keys) for n, v in wanted.items() if n not in ("asset", *_COLUMNS)}
        columns = {name: tuple(map(str, _several(wanted[name]))) for name in _COLUMNS if name in wanted}
        return cls(keys, facts, columns)


def _several(value: Any) -> list[Any]:
    """A list of alternatives; one value is a list of one."""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        return list(value)
    return [value]


def _key(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, Asset):
        return kind.asset_key
    if isinstance(kind, str):
        return kind
    raise AssetError(f"asset={kind!r}: give an asset type or its key, such as Reference or 'reference'")


def _values(name: str, values: list[Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    """Each value in the type that the fact has in the asset types asked for, or in any if none was."""
    types = [asset_type(key) for key in keys] if keys else _declaring(name)
    texts = [value_text(plain_json(found)) for value in values for found in _readings(types, name, value, bool(keys))]
    return tuple(dict.fromkeys(texts))


def _declaring(name: str) -> list[type[Asset]]:
    return [kind for kind in asset_types().values() if kind is Asset or name in kind.__dataclass_fields__]


def _readings(types: list[type[Asset]], name: str, value: Any, strict: bool) -> list[Any]:
    found, problems = [], []
    for kind in types:
        try:
            found.append(parse_fact(kind, name, value))
        except (UnknownField, InvalidField) as error:
            problems.append(error)
    if problems and (not found or (strict and len(problems) == len(types))):
        raise problems[0]
    return found


def plain_json(value: Any) -> Any:
    """A fact as `json` gives it back: enums are their values, tuples lists."""
    from stargazer.assets.fact_types import plain

    return plain(value)


def matching(connection: sqlite3.Connection, filters: Filters) -> list[tuple[str, bytes]]:
    """Id and record of each asset that was not superseded and fits.

    Parameters
    ----------
    connection
        An index that is up to date.
    filters
        What is asked for.
    """
    keys = filters.keys or tuple(row[0] for row in connection.execute("SELECT key FROM kinds"))
    tests = sorted(
        ((_count(connection, keys, name, values), name, values) for name, values in filters.facts.items()),
        key=lambda test: test[0],
    )
    if any(count == 0 for count, *_ in tests):
        return []
    query, values = _query(keys, [(name, alternatives) for _, name, alternatives in tests], filters.columns)
    return connection.execute(query, values).fetchall()


_COUNTED = 2000


def _count(connection: sqlite3.Connection, keys: tuple[str, ...], name: str, values: tuple[str, ...]) -> int:
    """How many assets have the fact, as far as it matters: the rarest is looked up first."""
    inner = f"SELECT 1 FROM facts WHERE key IN ({_marks(keys)}) AND name = ? AND value IN ({_marks(values)}) LIMIT ?"
    found: int = connection.execute(f"SELECT count(*) FROM ({inner})", (*keys, name, *values, _COUNTED)).fetchone()[0]
    return found


def _query(
    keys: tuple[str, ...], tests: list[tuple[str, tuple[str, ...]]], columns: Mapping[str, tuple[str, ...]]
) -> tuple[str, list[str]]:
    conditions, values = [f"a.key IN ({_marks(keys)})", "a.successor IS NULL"], list(keys)
    source = "assets a"
    for number, (name, alternatives) in enumerate(tests):
        if number == 0:
            source = "facts f CROSS JOIN assets a ON a.n = f.n"
            conditions.append(f"f.key IN ({_marks(keys)}) AND f.name = ? AND f.value IN ({_marks(alternatives)})")
            values += [*keys, name, *alternatives]
        else:
            inner = f"g.key = a.key AND g.name = ? AND g.value IN ({_marks(alternatives)}) AND g.n = a.n"
            conditions.append(f"EXISTS (SELECT 1 FROM facts g WHERE {inner})")
            values += [name, *alternatives]
    for column, alternatives in columns.items():
        conditions.append(f"a.{column} IN ({_marks(alternatives)})")
        values += alternatives
    return f"SELECT a.id, a.data FROM {source} WHERE {' AND '.join(conditions)}", values


def _marks(values: tuple[str, ...]) -> str:
    return ", ".join("?" * len(values))
