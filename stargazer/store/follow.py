"""Bringing the index up to date, cheaply: only folders whose mtime moved, or what the journal says, is read again."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from stargazer.store import index, journal, layout

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from stargazer.store.backend import Backend

__all__ = ["follow"]

_COARSE_TICK, _FINE_TICK = 2_000_000_000, 50_000_000
_ABSENT = -2
_JOURNAL_KEPT = 60 * 86400.0
_AT_ONCE = 500
_SUPERSEDED = ".superseded"


def follow(connection: sqlite3.Connection, backend: Backend, kind: str) -> None:
    """Make the index agree with the store.

    Parameters
    ----------
    connection
        The index.
    backend
        The store.
    kind
        ``"assets"`` or ``"records"``.
    """
    if backend.local:
        changed = _changed_folders(connection, backend, kind)
        if changed:
            with _Transaction(connection):
                _read_folders(connection, backend, kind, changed)
    else:
        with _Transaction(connection):
            _read_journal(connection, backend, kind)


class _Transaction:
    """One writer of the index at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __enter__(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.connection.execute("ROLLBACK" if kind else "COMMIT")


def _changed_folders(connection: sqlite3.Connection, backend: Backend, kind: str) -> list[str]:
    known = dict(connection.execute("SELECT place, mtime FROM folders"))
    places = [f"{kind}/{name}" for name in backend.names(kind)]
    gone = [place for place in known if place.startswith(f"{kind}/") and place not in set(places)]
    return gone + [place for place in places if known.get(place) != _mtime(backend.path(place))]


def _mtime(path: str) -> int:
    """When names in a directory last changed (ns). It is opened, since network file systems may have an old answer."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return _ABSENT
    try:
        return os.fstat(fd).st_mtime_ns
    finally:
        os.close(fd)


def _read_folders(connection: sqlite3.Connection, backend: Backend, kind: str, places: Iterable[str]) -> None:
    """Read folders; one that changed within the last tick of its clock may change again without a sign."""
    for place in places:
        before, now = _mtime(backend.path(place)), time.time_ns()
        _read_folder(connection, backend, kind, place.removeprefix(f"{kind}/"), backend.names(place))
        if before == _ABSENT:
            connection.execute("DELETE FROM folders WHERE place = ?", (place,))
            continue
        settled = now - before > (_COARSE_TICK if before % 1_000_000 == 0 else _FINE_TICK)
        connection.execute("INSERT OR REPLACE INTO folders VALUES (?, ?)", (place, before if settled else -1))


def _read_folder(connection: sqlite3.Connection, backend: Backend, kind: str, shard: str, names: list[str]) -> None:
    there = {name for name in names if "." not in name}
    known = {row[0] for row in connection.execute(f"SELECT id FROM {kind} WHERE shard = ?", (shard,))}
    new, gone = there - known, known - there
    if kind == "records":
        index.insert_records(connection, _read(backend, kind, new))
        connection.executemany("DELETE FROM links WHERE id = ?", [(name,) for name in gone])
        connection.executemany("DELETE FROM records WHERE id = ?", [(name,) for name in gone])
        return
    index.insert_assets(connection, _read(backend, kind, new), {})
    index.forget_assets(connection, gone)
    _mark_superseded(connection, backend, shard, index.marks(names, _SUPERSEDED))


def _mark_superseded(connection: sqlite3.Connection, backend: Backend, shard: str, marked: set[str]) -> None:
    rows = dict(connection.execute("SELECT id, successor FROM assets WHERE shard = ?", (shard,)))
    places = {layout.superseded(name): name for name in marked & rows.keys()}
    current = {places[place]: successor_of(data) for place, data in backend.read_many(places).items()}
    moved = [(current.get(name), name) for name, successor in rows.items() if current.get(name) != successor]
    connection.executemany("UPDATE assets SET successor = ? WHERE id = ?", moved)


def successor_of(data: bytes) -> str:
    """What a mark beside a record says is newer; empty if the mark is torn."""
    try:
        return str(json.loads(data)["by"])
    except (ValueError, TypeError, KeyError):
        return ""


def _read(backend: Backend, kind: str, names: Iterable[str]) -> dict[str, bytes]:
    places = {f"{kind}/{name[-3:-1]}/{name}": name for name in sorted(names)}
    listed, found = list(places), {}
    for start in range(0, len(listed), _AT_ONCE):
        found.update(backend.read_many(listed[start : start + _AT_ONCE]))
    return {places[place]: data for place, data in found.items()}


def _read_journal(connection: sqlite3.Connection, backend: Backend, kind: str) -> None:
    now, name = time.time(), f"journal of {kind}"
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    if row is None or now - row[0] > _JOURNAL_KEPT:
        _read_everything(connection, backend, kind)
    else:
        _read_events(connection, backend, kind, row[0])
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, now))


def _read_everything(connection: sqlite3.Connection, backend: Backend, kind: str) -> None:
    for table in ("assets", "facts") if kind == "assets" else ("records", "links"):
        connection.execute(f"DELETE FROM {table}")
    names = [entry.place.rpartition("/")[2] for entry in backend.entries(kind)]
    _take(connection, backend, kind, {name for name in names if "." not in name}, index.marks(names, _SUPERSEDED))


def _read_events(connection: sqlite3.Connection, backend: Backend, kind: str, since: float) -> None:
    seen = {row[0] for row in connection.execute("SELECT event FROM events")}
    news = {event: name for event, of, name in journal.events(backend, since) if of == kind and event not in seen}
    names = set(news.values())
    if kind == "assets":
        index.forget_assets(connection, names)
    _take(connection, backend, kind, names, names)
    connection.executemany("INSERT OR IGNORE INTO events VALUES (?)", [(event,) for event in news])
    oldest = int((since - 2 * journal.OVERLAP) * 1e9)
    connection.execute("DELETE FROM events WHERE event < ?", (str(oldest),))


def _take(
    connection: sqlite3.Connection, backend: Backend, kind: str, names: Iterable[str], superseded: Iterable[str]
) -> None:
    found = _read(backend, kind, names)
    if kind == "records":
        index.insert_records(connection, found)
        return
    places = {layout.superseded(name): name for name in superseded if name in found}
    successors: Mapping[str, str] = {places[p]: successor_of(data) for p, data in backend.read_many(places).items()}
    index.insert_assets(connection, found, dict(successors))
