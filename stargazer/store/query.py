"""Questions to the store, answered from its index."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from stargazer.assets import Asset, asset_type, asset_types, did_you_mean, no_type, parse_fact
from stargazer.errors import AssetError, InvalidField, NotFound, StargazerError, UnknownField
from stargazer.store.assets import beside, link_field
from stargazer.store.index import value_text
from stargazer.store.references import whole_cids
from stargazer.visible import visible

if TYPE_CHECKING:
    import sqlite3

    from stargazer.store.assets import Assets
    from stargazer.store.context import StoreContext
    from stargazer.store.index import Index

__all__ = ["Answer", "Filters", "Missing", "Queries", "Versions", "matching", "one_version"]

Missing = Literal["error", "skip"]
Versions = Literal["error", "newest", "all"]
"""What becomes of a value that was asked for and that nothing has."""

_AT_ONCE = 500
_ID = re.compile("[0-9a-f]{64}")


class Queries:
    """Finds the assets of a store.

    Parameters
    ----------
    context
        Of the store.
    index
        Answers.
    assets
        Makes handles.
    """

    def __init__(self, context: StoreContext, index: Index, assets: Assets) -> None:
        self.context, self.index, self.assets = context, index, assets

    def find(self, **facts: Any) -> list[Asset]:
        """Assets with these facts, as they were stored: `Store.find`."""
        filters = Filters.read(facts)
        found = decode(self.index.ask(lambda index: matching(index, filters), "assets"))
        return sorted((self.assets.handle(asset) for asset in found), key=_order)

    def assemble(self, *, missing: Missing = "error", **filters: Any) -> list[Asset]:
        """Assets with these facts, one for each file, with the files that must lie beside them: `Store.assemble`."""
        if missing not in ("error", "skip"):
            raise InvalidField(f'missing={missing!r}: choose "error" or "skip"; Store.find finds a fact of that name')
        assets, missed = self.answer(filters)
        if missed and missing == "error":
            raise NotFound(f'{missed}; add what is missing, or go on without it: assemble(…, missing="skip")')
        return assets

    def page(self, filters: Mapping[str, Any], start: int, number: int) -> tuple[int, list[Asset]]:
        """Some of the assets with these facts, as they were stored, and how many there are: for tables.

        Parameters
        ----------
        filters
            Those of `assemble`.
        start, number
            Which of them, in the order of type, name and id.

        Raises
        ------
        AssetError
            As in `assemble`: filters that nothing could ever fit.
        """
        wanted = self._read(filters)
        rows = self.index.ask(lambda index: matching(index, wanted), "assets")
        order = {name: (each["asset"], each.get("name") or "", name) for name, each in _members(rows)}
        chosen = sorted((row for row in rows if row[0] in order), key=lambda row: order[row[0]])[start : start + number]
        return len(rows), [self.assets.handle(asset) for asset in decode(chosen)]

    def answer(self, filters: Mapping[str, Any], *, each_type: bool = True) -> Answer:
        """What `assemble` finds, and what it misses, as two things: for those who show both.

        Parameters
        ----------
        filters
            Those of `assemble`.
        each_type
            Whether each of several types is missed that has nothing where others have.

        Raises
        ------
        AssetError
            As in `assemble`: filters that nothing could ever fit.
        """
        wanted = self._read(filters)
        found = decode(self.index.ask(lambda index: matching(index, wanted), "assets"))
        missed = [*(wanted.missed_types(found) if each_type else ()), *wanted.missed(found)]
        return Answer(
            self._assembled(found), f"{self.context.url} has no {wanted.told(missed, found)}" if missed else ""
        )

    def _read(self, filters: Mapping[str, Any]) -> Filters:
        return Filters.read(whole_cids(self.index, self.context.url, filters))

    def _assembled(self, found: list[Asset]) -> list[Asset]:
        """One asset for each file, companions beside it."""
        linked = self.index.ask(lambda index: _linked_rows(index, {str(asset.cid) for asset in found}))
        indexes = _indexes(linked)
        groups: dict[Asset, list[Asset]] = {}
        for asset in sorted(found, key=_order):
            groups.setdefault(replace(asset, companions=()), []).append(asset)
        return [self.assets.handle(_joined(bare, same, indexes)) for bare, same in groups.items()]

    def get(self, name: str) -> Asset:
        """The asset with an id or a CID: `Store.get`."""
        if _ID.fullmatch(name):  # by chance it begins as CIDs do: one in 4,096
            found = self.assets.read([name]).get(name)
            if found is None:
                raise NotFound(f"{self.context.url} has no asset record {name}")
            return self.assets.handle(found)
        for asset in self.find(cid=name):
            return asset
        if not self.assets.dirs.has(name):
            raise NotFound(f"{self.context.url} has nothing named {name}")
        return self.assets.handle(Asset(cid=name))


def decode(rows: Iterable[tuple[str, bytes]]) -> list[Asset]:
    """Assets of index rows; those that do not fit the types known here are left out, with a warning."""
    assets = []
    for identifier, data in rows:
        try:
            assets.append(Asset.from_dict(json.loads(data)))
        except (StargazerError, ValueError, TypeError, KeyError) as error:
            warnings.warn(visible(f"asset record {identifier} is left out: {error}", lines=True), stacklevel=3)
    return assets


def _members(rows: Iterable[tuple[str, bytes]]) -> Iterable[tuple[str, Any]]:
    """Id and members of each record."""
    return ((identifier, json.loads(data)) for identifier, data in rows)


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


class Answer(NamedTuple):
    """Assets that fit a query, and a sentence about the values in it that none of them has; empty if there are none."""

    assets: list[Asset]
    missed: str


class Value(NamedTuple):
    """A value that was asked for, and what it may be in the index: one text for each type that it reads as."""

    name: str
    given: Any
    texts: tuple[str, ...]


class Filters(NamedTuple):
    """A query: any of the keys, and for each fact or column any of its values."""

    keys: tuple[str, ...]
    facts: dict[str, tuple[Value, ...]]
    columns: dict[str, tuple[Value, ...]]

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
        columns = {
            name: tuple(Value(name, each, (str(each),)) for each in _several(wanted[name]))
            for name in _COLUMNS
            if name in wanted
        }
        return cls(keys, facts, columns)

    def missed(self, found: list[Asset]) -> list[Value]:
        """The values that none of the assets has; all, where none fits all filters together."""
        missed = []
        for values in (*self.facts.values(), *self.columns.values()):
            if found and len(values) == 1:
                continue
            there = {_text(asset, values[0].name) for asset in found} if values else set()
            missed += [each for each in values if there.isdisjoint(each.texts)]
        return missed

    def missed_types(self, found: list[Asset]) -> list[Value]:
        """Those of several types that nothing is of; where nothing is found at all, that is no half of the whole."""
        types = {asset.asset_key for asset in found}
        return [Value("asset", key, (key,)) for key in self.keys if found and key not in types]

    def told(self, missed: list[Value], found: list[Asset]) -> str:
        """What is missing, in words: ``r1 with sample_id='s2' or 's3'``."""
        values: dict[str, list[str]] = {}
        for each in missed:
            values.setdefault(each.name, []).append(repr(each.given))
        parts = [f"{name}={' or '.join(given)}" for name, given in values.items()]
        others = " that fits the other filters, too" if found and len(self.facts) + len(self.columns) > 1 else ""
        wanted = (", and none with " if found else " and ").join(parts)
        return f"{' or '.join(self.keys) or 'asset'} with {wanted}{others}"


def _text(asset: Asset, name: str) -> str | None:
    """A column or fact of an asset as the index has it."""
    if name in _COLUMNS:
        return str(getattr(asset, name))
    facts = asset.declared
    return value_text(plain_json(facts[name])) if name in facts else None


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


def _values(name: str, values: list[Any], keys: tuple[str, ...]) -> tuple[Value, ...]:
    """Each value in the type that the fact has in the asset types asked for, or in any if none was."""
    types = [asset_type(key) for key in keys] if keys else _declaring(name)
    found = []
    for value in values:
        texts = [value_text(plain_json(reading)) for reading in _readings(types, name, value, bool(keys))]
        found.append(Value(name, value, tuple(dict.fromkeys(texts))))
    return tuple(found)


def _texts(values: Iterable[Value]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for value in values for text in value.texts))


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

    Raises
    ------
    AssetError
        An asset key, or without any a fact, that neither a class nor an asset of the store has.
    """
    _check_known(connection, filters)
    keys = filters.keys or tuple(row[0] for row in connection.execute("SELECT key FROM kinds"))
    facts = {name: _texts(values) for name, values in filters.facts.items()}
    tests = sorted(
        ((_count(connection, keys, name, texts), name, texts) for name, texts in facts.items()),
        key=lambda test: test[0],
    )
    if any(count == 0 for count, *_ in tests):
        return []
    columns = {name: _texts(values) for name, values in filters.columns.items()}
    query, values = _query(keys, [(name, alternatives) for _, name, alternatives in tests], columns)
    return connection.execute(query, values).fetchall()


def _check_known(connection: sqlite3.Connection, filters: Filters) -> None:
    """Refuse names that nothing has, such as slips of the pen; names without a class are known by the assets of it."""
    keys = {row[0] for row in connection.execute("SELECT key FROM kinds")}
    for key in filters.keys:
        if key not in keys and asset_type(key).asset_key != key:
            raise no_type(key, keys)
    for name in filters.facts if not filters.keys else ():
        if len(_declaring(name)) == 1 and not _has_fact(connection, keys, name):
            raise _no_fact(connection, name)


def _has_fact(connection: sqlite3.Connection, keys: Iterable[str], name: str) -> bool:
    query = "SELECT 1 FROM facts WHERE key = ? AND name = ? LIMIT 1"
    return any(connection.execute(query, (key, name)).fetchone() for key in keys)


def _no_fact(connection: sqlite3.Connection, name: str) -> UnknownField:
    known = {"asset", *_COLUMNS, *(row[0] for row in connection.execute("SELECT DISTINCT name FROM facts"))}
    known.update(*(kind.__dataclass_fields__.keys() - Asset.__dataclass_fields__ for kind in asset_types().values()))
    guess = did_you_mean(name, known)
    return UnknownField(f"no asset type has a fact {name!r}, and no asset of the store does.{guess}")


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


def one_version(found: list[Asset], versions: Versions, added_at: Callable[[Asset], float]) -> list[Asset]:
    """Of files that differ in nothing but their bytes, the one that was added last; an error where that was not said.

    Parameters
    ----------
    found
        Assets of a sample that was asked for.
    versions
        ``"error"`` or ``"newest"``.
    added_at
        When an asset was added.

    Raises
    ------
    AssetError
        There are versions, and nobody said which; all are named.
    """
    alike: dict[str, list[Asset]] = {}
    for asset in found:
        facts = {name: value for name, value in asset.to_keyvalues().items() if not name.endswith("cid")}
        alike.setdefault(repr(sorted(facts.items())), []).append(asset)
    several = [group for group in alike.values() if len(group) > 1]
    if several and versions == "error":
        named = "; ".join(f"{group[0].name}: {', '.join(str(each.cid) for each in group)}" for group in several)
        raise AssetError(
            f"there are versions of the same file, with the same facts and other bytes ({named}). Say "
            'versions="newest" for those that were added last, or versions="all"; or name one by cid='
        )
    newest = {id(group[0] if len(group) == 1 else max(group, key=added_at)) for group in alike.values()}
    return [asset for asset in found if id(asset) in newest]
