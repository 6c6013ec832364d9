"""What a query asks for: asset types, and facts in their true types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import Asset, asset_type, asset_types, parse_fact
from stargazer.errors import AssetError, InvalidField, UnknownField
from stargazer.store.index import value_text

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Filters", "matching"]

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
    from stargazer.assets.values import plain

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
