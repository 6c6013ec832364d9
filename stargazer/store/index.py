"""An SQLite index of the records, one a host, on its local disk. It is a cache: deleting it loses nothing.

Facts are kept as they stand in the records, so that processes which know different asset types can share it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from stargazer.errors import StoreFull, StoreReadOnly
from stargazer.store import layout
from stargazer.store.backends.base import OVERLAP
from stargazer.store.backends.mounts import is_on_network
from stargazer.store.layout import asset_members, is_name, is_record, read_named, successor_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from stargazer.store.backends.base import Backend, Journal
    from stargazer.store.context import StoreContext

__all__ = [
    "Index",
    "ask",
    "asset_cids",
    "follow",
    "forget_assets",
    "insert_assets",
    "insert_records",
    "marks",
    "value_text",
]

T = TypeVar("T")

_VERSION = 2
_LATE = {
    "assets": {
        "assets_by_cid": "assets (cid)",
        "assets_by_key": "assets (key)",
        "assets_by_successor": "assets (successor) WHERE successor IS NOT NULL",
    },
    "records": {
        "records_by_task": "records (task, started)",
        "records_by_start": "records (started)",
        "links_by_record": "links (id)",
    },
}
"""Indexes of the tables that nothing asks for while records are read in."""
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS folders (place TEXT PRIMARY KEY, mtime INTEGER) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS events (event TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS kinds (key TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS assets (
        n INTEGER PRIMARY KEY, id TEXT UNIQUE, shard TEXT, key TEXT, cid TEXT, name TEXT, data BLOB, successor TEXT);
    CREATE INDEX IF NOT EXISTS assets_by_shard ON assets (shard);
    CREATE TABLE IF NOT EXISTS facts (
        key TEXT, name TEXT, value TEXT, n INTEGER, PRIMARY KEY (key, name, value, n)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS records (
        id TEXT PRIMARY KEY, shard TEXT, task TEXT, status TEXT, started TEXT, seconds REAL, temp INTEGER);
    CREATE INDEX IF NOT EXISTS records_by_shard ON records (shard);
    CREATE TABLE IF NOT EXISTS links (cid TEXT, role TEXT, id TEXT, PRIMARY KEY (cid, role, id)) WITHOUT ROWID;
"""


class Index:
    """What can be asked of all records of a store.

    Parameters
    ----------
    context
        Of the store.
    """

    def __init__(self, context: StoreContext) -> None:
        self.context = context

    def ask(self, question: Callable[[sqlite3.Connection], T], *kinds: str) -> T:
        """Answer a question, once the index agrees with the store in some kinds of records.

        Parameters
        ----------
        question
            Asked once; twice if the index turns out to be damaged.
        *kinds
            ``"assets"``, ``"records"``.

        Raises
        ------
        StoreFull
            There is no space for the index.
        """

        def asked(connection: sqlite3.Connection) -> T:
            for kind in kinds:
                follow(connection, self.context.backend, kind)
            return question(connection)

        return ask(self.context.cache if self.context.made else None, asked)


def ask(directory: Path | None, question: Callable[[sqlite3.Connection], T]) -> T:
    """Answer a question from the index, which is made anew if it is not there or damaged.

    Parameters
    ----------
    directory
        This host's cache of the store; None where there is no store yet.
    question
        Asked once; twice if the index turns out to be damaged.

    Raises
    ------
    StoreFull
        There is no space for the index.
    """
    import sqlite3

    if directory is None:
        with closing(_open(":memory:")) as connection:
            return question(connection)
    name = f"index-{_VERSION}-{os.uname().nodename}.sqlite"
    path = directory / name
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _discard_older(directory)
        elif not _is_own(path):
            discard(path)
        return _ask(path, question)
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode
        if code == sqlite3.SQLITE_FULL:
            raise StoreFull(errno.ENOSPC, f"no space left for the index {path}; free some") from error
        if code == sqlite3.SQLITE_BUSY:
            raise
        if code not in _CLOSED and code & 0xFF not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL):
            discard(path)
            return _ask(path, question)
    except PermissionError:
        pass
    # A home that cannot be written to, or a network's disk without locks: the index is a cache, and can be elsewhere.
    return _ask(_elsewhere(directory) / name, question)


_CLOSED = (8, 14)
"""SQLITE_READONLY and SQLITE_CANTOPEN."""


def _elsewhere(directory: Path) -> Path:
    """A directory of this user on a disk of this machine, for the index of a store.

    Raises
    ------
    StoreReadOnly
        Another user has it.
    """
    import tempfile
    from pathlib import Path

    place = Path(tempfile.gettempdir(), f"stargazer-{os.getuid()}", directory.name)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    if place.parent.is_symlink() or place.parent.stat().st_uid != os.getuid():
        told = f"no index can be written in {directory}, and {place.parent} is another user's; set stargazer.cache"
        raise StoreReadOnly(errno.EACCES, told)
    place.mkdir(mode=0o700, exist_ok=True)
    return place


def _is_own(path: Path) -> bool:
    """Whether an index is a file that this user made, or is not there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return True
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()


def _ask(path: Path, question: Callable[[sqlite3.Connection], T]) -> T:
    with closing(_open(path)) as connection:
        return question(connection)


def _discard_older(directory: Path) -> None:
    """Delete what other versions made on this machine; they would make it anew."""
    for path in directory.glob(f"index-*-{os.uname().nodename}.sqlite"):
        with suppress(PermissionError):
            discard(path)


def discard(path: Path) -> None:
    """Delete an index; the next one that looks makes it anew."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _open(path: Path | str) -> sqlite3.Connection:
    import sqlite3

    connection = sqlite3.connect(path, timeout=600, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            # The memory that WAL shares between processes cannot be shared by machines.
            network = path != ":memory:" and is_on_network(os.path.dirname(path))
            connection.execute(f"PRAGMA journal_mode = {'TRUNCATE' if network else 'WAL'}")
            late = ";".join(_made_late(kind) for kind in _LATE)
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA}; {late}; PRAGMA user_version = {_VERSION}; COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _made_late(kind: str) -> str:
    return ";".join(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}" for name, columns in _LATE[kind].items())


def value_text(value: Any) -> str:
    """A fact as it is compared: its canonical JSON."""
    return _encode(value)


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
"""Made once: `json.dumps` makes an encoder for each value, which costs more than to use it."""


def marks(names: Iterable[str], suffix: str) -> set[str]:
    """Ids that have a mark beside their record."""
    return {name.removesuffix(suffix) for name in names if name.endswith(suffix)}


def insert_assets(connection: sqlite3.Connection, found: dict[str, bytes], successors: dict[str, str]) -> None:
    """Add asset records; those that are torn or malformed are left out.

    Parameters
    ----------
    connection
        The index.
    found
        Bytes of the records by id.
    successors
        Of those that were superseded: the id of the newer record.
    """
    n = connection.execute("SELECT coalesce(max(n), 0) FROM assets").fetchone()[0]
    rows, facts, kinds = [], [], set[str]()
    for identifier, data in found.items():
        members = asset_members(data, identifier)
        if members is None:
            continue
        n, key = n + 1, members["asset"]
        kinds.add(key)
        rows.append(
            (n, identifier, identifier[-3:-1], key, members["cid"], members["name"], data, successors.get(identifier))
        )
        facts += [(key, name, _encode(value), n) for name, value in members["facts"].items()]
    columns = "n, id, shard, key, cid, name, data, successor"
    connection.executemany(f"INSERT OR REPLACE INTO assets ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    facts.sort()  # as they lie in the table
    connection.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?, ?, ?)", facts)
    connection.executemany("INSERT OR IGNORE INTO kinds VALUES (?)", [(key,) for key in kinds])


def forget_assets(connection: sqlite3.Connection, identifiers: Iterable[str]) -> None:
    """Drop asset records that are gone."""
    for identifier in identifiers:
        row = connection.execute("SELECT n, data FROM assets WHERE id = ?", (identifier,)).fetchone()
        if row:
            members = json.loads(row[1])
            facts = [(members["asset"], name, value_text(value), row[0]) for name, value in members["facts"].items()]
            connection.executemany("DELETE FROM facts WHERE key = ? AND name = ? AND value = ? AND n = ?", facts)
            connection.execute("DELETE FROM assets WHERE n = ?", (row[0],))


def insert_records(connection: sqlite3.Connection, found: dict[str, bytes]) -> None:
    """Add ledger records; those that are torn or malformed are left out."""
    for identifier, data in found.items():
        try:
            members = read_named(data, identifier)
            if not is_record(members):
                continue
            row = (
                *(identifier, identifier[-3:-1], *(members[name] for name in ("task", "status", "started"))),
                *(float(members.get("seconds", 0.0)), bool(members.get("temp", False))),
            )
            links = [(cid, role, identifier) for role, cid in _record_links(members) if is_name(cid)]
        except (ValueError, KeyError):
            continue
        connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        connection.executemany("INSERT OR IGNORE INTO links VALUES (?, ?, ?)", links)


def _record_links(members: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every CID that a record names, companions of outputs too, with its role."""
    yield from (("output", cid) for cid in members.get("output_cids", ()))
    yield from (("output", cid) for cid in _cids(members.get("outputs")))
    yield from (("input", cid) for cid in members.get("input_cids", ()))
    yield from ((role, members[role]) for role in ("log", "diff") if isinstance(members.get(role), str))


def asset_cids(members: dict[str, Any]) -> Iterator[str]:
    """CIDs of an asset record: its own, then those of its companions."""
    yield members["cid"]
    for companion in members.get("companions", ()):
        yield from asset_cids(companion)


def _cids(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("cid"), str):
            yield value["cid"]
        for item in value.values():
            yield from _cids(item)
    elif isinstance(value, list):
        for item in value:
            yield from _cids(item)


# Bringing the index up to date, cheaply: only folders whose mtime moved, or what the journal says, is read again.


_SHARD = re.compile(r"[A-Za-z0-9_-]{2}")
_COARSE_TICK, _FINE_TICK = 2_000_000_000, 50_000_000
_ABSENT = -2
_JOURNAL_KEPT = 60 * 86400.0
_AT_ONCE = 128
_HELD = 16 << 20
"""Bytes of records that are held, beside those that are asked for at once, before they are put into the index."""
_PAGES = 1 << 16
"""KiB of the index that who writes may hold: with SQLite's own 2 MB each page is written and read again many times."""
_MANY = 32
"""Folders from which on it is cheaper to make an index of a table at the end."""
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
    if backend.journal is not None:
        with _Transaction(connection):
            _read_journal(connection, backend, backend.journal, kind)
    elif changed := _changed_folders(connection, backend, kind):
        with _Transaction(connection), _filled(connection, kind, len(changed)):
            _read_folders(connection, backend, kind, changed)


class _Transaction:
    """One writer of the index at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __enter__(self) -> None:
        self.connection.execute(f"PRAGMA cache_size = -{_PAGES}")
        self.connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.connection.execute("ROLLBACK" if kind else "COMMIT")


@contextmanager
def _filled(connection: sqlite3.Connection, kind: str, folders: int) -> Iterator[None]:
    """Fill an empty index of many folders: each further tree is made of all at once at the end, and not row by row."""
    is_empty = connection.execute(f"SELECT 1 FROM {kind} LIMIT 1").fetchone() is None
    late = is_empty and folders >= _MANY
    for name in _LATE[kind] if late else ():
        connection.execute(f"DROP INDEX {name}")
    yield
    for statement in _made_late(kind).split(";") if late else ():
        connection.execute(statement)


def _changed_folders(connection: sqlite3.Connection, backend: Backend, kind: str) -> list[str]:
    known = dict(connection.execute("SELECT place, mtime FROM folders"))
    places = [f"{kind}/{name}" for name in backend.names(kind) if _SHARD.fullmatch(name)]
    gone = [place for place in known if place.startswith(f"{kind}/") and place not in set(places)]
    return gone + [place for place in places if known.get(place) != _mtime(backend.path(place))]


def _mtime(path: str) -> int:
    """When names in a directory last changed (ns). It is opened, since network file systems may have an old answer."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # it is gone, or is a link, no folder, or another user's own
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
    there = {name for name in names if is_name(name) and name[-3:-1] == shard}
    known = {row[0] for row in connection.execute(f"SELECT id FROM {kind} WHERE shard = ?", (shard,))}
    new, gone = there - known, known - there
    if kind == "records":
        for found in _read(backend, kind, new):
            insert_records(connection, found)
        connection.executemany("DELETE FROM links WHERE id = ?", [(name,) for name in gone])
        connection.executemany("DELETE FROM records WHERE id = ?", [(name,) for name in gone])
        return
    for found in _read(backend, kind, new):
        insert_assets(connection, found, {})
    forget_assets(connection, gone)
    _mark_superseded(connection, backend, shard, marks(names, _SUPERSEDED))


def _mark_superseded(connection: sqlite3.Connection, backend: Backend, shard: str, marked: set[str]) -> None:
    query = "SELECT id, successor FROM assets WHERE shard = ?"
    if not marked:  # as nearly always: no more than what has none any more is looked for
        query += " AND successor IS NOT NULL"
    rows = dict(connection.execute(query, (shard,)))
    places = {layout.superseded(name): name for name in marked & rows.keys()}
    current = {places[place]: successor_of(data) for place, data in backend.read_many(places).items()}
    moved = [(current.get(name), name) for name, successor in rows.items() if current.get(name) != successor]
    connection.executemany("UPDATE assets SET successor = ? WHERE id = ?", moved)


def _read(backend: Backend, kind: str, names: Iterable[str]) -> Iterator[dict[str, bytes]]:
    """Some records after others: many files, each as large as one may be, must not fill the memory of who reads."""
    places = {f"{kind}/{name[-3:-1]}/{name}": name for name in sorted(names)}
    found, size = dict[str, bytes](), 0
    for place, data in _contents(backend, list(places)):
        found[places[place]] = data
        size += len(data)
        if size > _HELD:
            yield found
            found, size = {}, 0
    if found:
        yield found


def _contents(backend: Backend, places: list[str]) -> Iterator[tuple[str, bytes]]:
    """Places and contents of those files that are there: one by one, or many at once where asking takes long."""
    if backend.quick:
        for place in places:
            if (data := backend.read(place)) is not None:
                yield place, data
        return
    for start in range(0, len(places), _AT_ONCE):
        yield from backend.read_many(places[start : start + _AT_ONCE]).items()


def _read_journal(connection: sqlite3.Connection, backend: Backend, journal: Journal, kind: str) -> None:
    now, name = time.time(), f"journal of {kind}"
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    if row is None or now - row[0] > _JOURNAL_KEPT:
        _read_everything(connection, backend, kind)
    else:
        _read_events(connection, backend, journal, kind, row[0])
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, now))


def _read_everything(connection: sqlite3.Connection, backend: Backend, kind: str) -> None:
    for table in ("assets", "facts") if kind == "assets" else ("records", "links"):
        connection.execute(f"DELETE FROM {table}")
    names = [entry.place.rpartition("/")[2] for entry in backend.entries(kind)]
    _take(connection, backend, kind, set(filter(is_name, names)), marks(names, _SUPERSEDED))


def _read_events(connection: sqlite3.Connection, backend: Backend, journal: Journal, kind: str, since: float) -> None:
    seen = {row[0] for row in connection.execute("SELECT event FROM events")}
    news = {event: name for event, of, name in journal.events(since) if of == kind and event not in seen}
    names = set(filter(is_name, news.values()))
    if kind == "assets":
        forget_assets(connection, names)
    _take(connection, backend, kind, names, names)
    connection.executemany("INSERT OR IGNORE INTO events VALUES (?)", [(event,) for event in news])
    oldest = int((since - 2 * OVERLAP) * 1e9)
    connection.execute("DELETE FROM events WHERE event < ?", (str(oldest),))


def _take(
    connection: sqlite3.Connection, backend: Backend, kind: str, names: Iterable[str], superseded: Iterable[str]
) -> None:
    marked = set(superseded)
    for found in _read(backend, kind, names):
        if kind == "records":
            insert_records(connection, found)
            continue
        places = {layout.superseded(name): name for name in found if name in marked}
        successors = {places[place]: successor_of(data) for place, data in backend.read_many(places).items()}
        insert_assets(connection, found, successors)
