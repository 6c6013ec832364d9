"""Ledger records and the keys that lead to them. What they mean is the ledger's affair.

A key is a small sealed value. One that leads to a record may be a hard link to it instead: see ``docs/design/0011``.
"""

from __future__ import annotations

import binascii
import hashlib
import itertools
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from stargazer.errors import StoreError
from stargazer.store import layout
from stargazer.store.layout import check_bounds, is_name, moment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from stargazer.store.assets import Assets
    from stargazer.store.backends.base import Backend
    from stargazer.store.context import StoreContext
    from stargazer.store.directories import Directories
    from stargazer.store.index import Index

__all__ = ["Records", "StoredRecords", "check_readable", "key_value", "seal", "unseal"]

_AT_ONCE = 500
JUST_NOW, HOUR = 1.0, 3600.0
"""Seconds within which a use is not noted again: where another noted it, and where this process did."""

_KEY = re.compile(r"[0-9a-f]{64}")
RECORD = b"{"
"""How a record begins, and no sealed value does."""

MOST_LEADS = 8
"""Records under one key that rely on more than the key tells, as ccache keeps them."""


def seal(data: bytes) -> bytes:
    """`data` behind a checksum, so that a torn file is noticed."""
    return b"%08x " % binascii.crc32(data) + data


def _started(data: bytes) -> float | None:
    """When the call of a record began; the last member of that name is the record's own."""
    found = re.match(rb'"started": ?"([0-9T:.+-]+)"', data[data.rfind(b'"started":') :])
    return moment(found[1].decode()) if found else None


def unseal(sealed: bytes) -> bytes | None:
    """What was sealed, or None if it is torn."""
    data = sealed[9:]
    return data if sealed[:9] == b"%08x " % binascii.crc32(data) else None


def check_readable(data: bytes, what: str) -> None:
    """Refuse to write what would be taken for torn when it is read.

    Raises
    ------
    StoreError
        It is too large, or nested too deep.
    """
    try:
        check_bounds(data)
    except ValueError as error:
        raise StoreError(f"{what} cannot be kept: {error}; write large or deep values to a file") from error


class Records(Protocol):
    """What the ledger needs of a store: what calls did, the keys that lead to it, and what they made."""

    context: StoreContext
    dirs: Directories
    assets: Assets

    def put(self, data: bytes) -> str:
        """Keep an immutable record; its id is the SHA-256 of its bytes, in hexadecimal."""

    def get(self, identifier: str) -> bytes | None:
        """A record's bytes, or None if it is missing or torn."""

    def get_many(self, identifiers: Iterable[str]) -> dict[str, bytes]:
        """Bytes of those records that are there and whole, many at once."""

    def where(
        self,
        *,
        task: str | None = None,
        output: str | None = None,
        input: str | None = None,
        start: str | None = None,
        limit: int = 100,
    ) -> list[tuple[str, bytes]]:
        """Ids and bytes of records, newest first, by what they tell."""

    def ids(self) -> list[str]:
        """Ids of the records of all calls that ended well."""

    def sign_elsewhere(self, identifier: str) -> bool:
        """Have a record signed where it arrived, if whose it is has no key where it was made; whether that is so."""

    def put_signatures(self, signatures: Mapping[tuple[str, str], bytes]) -> None:
        """Keep signatures of records, by the record's id and the signer's public key."""

    def get_signatures(self, identifiers: Iterable[str], keys: Collection[str]) -> dict[tuple[str, str], bytes]:
        """Signatures of records by some public keys, those that are there and whole, many at once; unchecked."""

    def read_signatures(self, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
        """Signatures by record and public key, those that are there and whole; unchecked."""

    def signed_at(self, identifier: str, key: str) -> float | None:
        """When a signature was put here, in seconds since 1970, by the clock of the disk; None if there is none."""

    def signers(self, identifiers: Collection[str]) -> dict[str, set[str]]:
        """Public keys of which there are signatures beside records, where looking for names is quick."""

    def set_keys(self, values: Mapping[str, bytes]) -> None:
        """Point keys at small values, each replaced atomically."""

    def get_keys(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Values of those keys that are there and whole, many at once; of one that leads to a record, its id."""

    def key_names(self) -> Iterator[list[str]]:
        """Yield the names of all keys, many at a time."""

    def link_keys(self, keys: Iterable[str], identifier: str, readers: Collection[str] = ()) -> None:
        """Let keys lead to a record that is there, each atomically."""

    def behind(self, keys: Iterable[str]) -> dict[str, tuple[str, bytes]]:
        """Ids and bytes of the records that keys lead to, if both are there and whole; many at once."""


class StoredRecords:
    """The records of a store that this process sees.

    Parameters
    ----------
    context
        Of the store.
    index
        Finds records by what they tell.
    dirs
        Bytes that records name.
    assets
        What calls read and made.
    """

    def __init__(self, context: StoreContext, index: Index, dirs: Directories, assets: Assets) -> None:
        self.context, self.backend = context, context.backend
        self.index, self.dirs, self.assets = index, dirs, assets
        self._uses: dict[str, float] = {}
        """When this process noted a use of records, by their ids."""

    def sign_elsewhere(self, identifier: str) -> bool:
        """Not here: who made a record signs it."""
        return False

    def put(self, data: bytes) -> str:
        """Keep an immutable record; its id is the SHA-256 of its bytes, in hexadecimal."""
        identifier = hashlib.sha256(data).hexdigest()
        _ = self.context.header
        check_readable(data, "the record of a call")
        self.backend.replace(layout.record(identifier), data, used=_started(data))
        self.context.note_changes("records", identifier)
        return identifier

    def get(self, identifier: str) -> bytes | None:
        """A record's bytes, or None if it is missing or torn."""
        return self.get_many([identifier]).get(identifier)

    def get_many(self, identifiers: Iterable[str]) -> dict[str, bytes]:
        """Bytes of those records that are there and whole, many at once."""
        places = {layout.record(identifier): identifier for identifier in identifiers}
        found = self.backend.read_many(places)
        return {places[p]: data for p, data in found.items() if hashlib.sha256(data).hexdigest() == places[p]}

    def ids(self) -> list[str]:
        """Ids of the ledger records of all calls that ended well."""
        query = "SELECT id FROM records WHERE status = 'ok' ORDER BY id"
        return [row[0] for row in self.index.ask(lambda index: index.execute(query).fetchall(), "records")]

    def where(
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
        rows = self.index.ask(lambda index: index.execute(query, (*given.values(), limit)).fetchall(), "records")
        ids = [row[0] for row in rows]
        found = self.get_many(ids)
        return [(identifier, found[identifier]) for identifier in ids if identifier in found]

    def put_signatures(self, signatures: Mapping[tuple[str, str], bytes]) -> None:
        """Keep signatures of records, by the record's id and the signer's public key."""
        self.backend.replace_many({layout.signature(*place): seal(data) for place, data in signatures.items()})

    def get_signatures(self, identifiers: Iterable[str], keys: Collection[str]) -> dict[tuple[str, str], bytes]:
        """Signatures of records by some public keys, those that are there and whole, many at once; unchecked."""
        return self.read_signatures((name, key) for name in identifiers for key in keys)

    def read_signatures(self, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
        """Signatures by record and public key, those that are there and whole; unchecked."""
        named = {layout.signature(*place): place for place in places}
        found = ((named[place], unseal(data)) for place, data in self.backend.read_many(named).items())
        return {place: data for place, data in found if data is not None}

    def signed_at(self, identifier: str, key: str) -> float | None:
        """When a signature was put here, in seconds since 1970, by the clock of the disk; None if there is none."""
        return self.backend.changed(layout.signature(identifier, key))

    def signers(self, identifiers: Collection[str]) -> dict[str, set[str]]:
        """Public keys of which there are signatures beside records of a store on a local disk."""
        wanted = set(identifiers)
        found: dict[str, set[str]] = {}
        for folder in {layout.signature(name, "").rpartition("/")[0] for name in wanted}:
            for place in self.backend.names(folder):
                name, _, key = place.partition(".")
                if name in wanted and _KEY.fullmatch(key):
                    found.setdefault(name, set()).add(key)
        return found

    def set_keys(self, values: Mapping[str, bytes]) -> None:
        """Point keys at small values, each replaced atomically."""
        _ = self.context.header
        self.backend.replace_many({layout.key(key): seal(value) for key, value in values.items()})

    def get_keys(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Values of those keys that are there and whole, many at once; of one that leads to a record, its id."""
        values = ((key, key_value(self.backend, data)) for key, data in self._read_keys(keys))
        return {key: value for key, value in values if value is not None}

    def key_names(self) -> Iterator[list[str]]:
        """Yield the names of all keys, many at a time."""
        names = (entry.place.rpartition("/")[2] for entry in self.backend.entries("keys"))
        while batch := list(itertools.islice(names, _AT_ONCE)):
            yield batch

    def link_keys(self, keys: Iterable[str], identifier: str, readers: Collection[str] = ()) -> None:
        """Let keys lead to a record that is there, each atomically.

        Parameters
        ----------
        keys
            Plan or content keys.
        identifier
            Id of the record.
        readers
            Ids of records whose calls read what no key tells: the keys lead here only while that is as it was. Up to
            eight records stand under a key then, the newest first, and who looks up must choose.
        """
        places = [layout.key(key) for key in keys]
        if readers:
            self.backend.replace_many(self._with_lead(places, " ".join([identifier, *readers])))
        else:
            self.backend.link_many(layout.record(identifier), places, seal(identifier.encode()))

    def _with_lead(self, places: Iterable[str], line: str) -> dict[str, bytes]:
        """Contents of keys with one lead more before those that stand there; of two writers one may be lost."""
        there = self.backend.read_many(list(places))
        return {place: seal("\n".join([line, *_other_leads(there.get(place), line)]).encode()) for place in places}

    def behind(self, keys: Iterable[str]) -> dict[str, tuple[str, bytes]]:
        """Ids and bytes of the records that keys lead to, if both are there and whole; many at once.

        Of a key that leads somewhere only while something is as it was, the id is empty, and the bytes are a line for
        each record: its id, and the ids of the records of what was read.
        """
        found, pointers, uses = {}, {}, dict[str, float]()
        for key, data in self._read_keys(keys):
            value = key_value(self.backend, data, uses)
            if value is not None and b" " in value:
                found[key] = "", value
            elif value is not None and data.startswith(RECORD):
                found[key] = value.decode(), data
            elif value is not None and is_name(name := value.decode("ascii", "replace")):
                pointers[key] = name
        stored = self.get_many(dict.fromkeys(pointers.values()))
        tells = self.backend.tells_use
        uses |= {name: (self.backend.last_use(layout.record(name)) or 0.0) if tells else 0.0 for name in stored}
        self._refresh(uses)
        return found | {key: (name, stored[name]) for key, name in pointers.items() if name in stored}

    def _read_keys(self, keys: Iterable[str]) -> list[tuple[str, bytes]]:
        places = {layout.key(key): key for key in keys}
        return [(places[place], data) for place, data in self.backend.read_many(places).items()]

    def _refresh(self, uses: Mapping[str, float]) -> None:
        """Note that records were of use now, unless they were so just now; `gc` goes by these notes.

        A process notes each of them once an hour at most.
        """
        now = time.time()
        due = [name for name, last in uses.items() if last < now - JUST_NOW]
        stale = [name for name in due if self._uses.get(name, 0.0) < now - HOUR]
        if stale:
            self._uses.update(dict.fromkeys(stale, now))
            with suppress(OSError, StoreError):  # what can only be read is kept by those who may write
                if self.backend.tells_use:
                    self.backend.note_use(map(layout.record, stale))
                else:
                    self._note_afar(stale)

    def _note_afar(self, names: list[str]) -> None:
        """Note uses in an object store: those that this host has not noted today, all in one object."""
        noted = self.context.cache / layout.USES / time.strftime("%Y%m%d", time.gmtime())
        known = set(noted.read_text("ascii").split()) if noted.exists() else set[str]()
        fresh = [name for name in names if name not in known]
        if fresh:
            self.backend.note_use(map(layout.record, fresh))
            noted.parent.mkdir(parents=True, exist_ok=True)
            with noted.open("a", encoding="ascii") as file:
                file.write("".join(f"{name}\n" for name in fresh))


def key_value(backend: Backend, data: bytes, uses: dict[str, float] | None = None) -> bytes | None:
    """What a key says, or None if it is torn. The record that it is a link to must be there under its own name.

    Parameters
    ----------
    backend
        Of the store.
    data
        Content of the key.
    uses
        Takes up when that record was last of use.
    """
    if not data.startswith(RECORD):
        return unseal(data)
    identifier = hashlib.sha256(data).hexdigest()
    used = backend.last_use(layout.record(identifier), len(data))
    if uses is not None and used is not None:
        uses[identifier] = used
    return None if used is None else identifier.encode()


def _linked(role: str) -> str:
    return f"r.id IN (SELECT id FROM links WHERE role = '{role}' AND cid = ?)"


def _other_leads(data: bytes | None, line: str) -> list[str]:
    value = unseal(data) if data is not None and not data.startswith(RECORD) else None
    lines = value.decode("ascii", "replace").split("\n") if value and b" " in value else []
    return [other for other in lines if other != line][: MOST_LEADS - 1]
