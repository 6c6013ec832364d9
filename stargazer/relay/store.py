"""A store that this process does not see."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from stargazer.errors import StoreError
from stargazer.relay.protocol import Upload
from stargazer.store import Store, layout
from stargazer.store.blobs.base import Stored, movable
from stargazer.store.blobs.cached import CachedBlobs
from stargazer.store.context import StoreContext
from stargazer.store.parts import parts_of
from stargazer.store.store import StoreSource

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from stargazer.cid.unixfs import Progress
    from stargazer.relay.connection import Connection
    from stargazer.store.backends.base import Journal
    from stargazer.store.records import Records

__all__ = ["RelayBackend", "RelayBlobs", "RelayRecords", "relay_store"]


def relay_store(line: Connection) -> Store:
    """Put together a store that this process does not see. It has the URL that the home knows it by.

    Parameters
    ----------
    line
        To the home.
    """
    context = StoreContext(RelayBackend(line), identifier=line.identifier, caches="served")
    parts = parts_of(context, RelayBlobs(context, line), StoreSource)
    return Store(line.url, parts=replace(parts, records=RelayRecords(line, parts.records)))


class RelayRecords:
    """Ledger records, looked up and written by the home, each with one question.

    Parameters
    ----------
    line
        To the home.
    records
        Those of the places that the home gives: what needs no answer of its own is done by these.
    """

    def __init__(self, line: Connection, records: Records) -> None:
        self._line = line
        self.context, self.dirs, self.assets = records.context, records.dirs, records.assets
        self.get, self.get_many = records.get, records.get_many
        self.where, self.ids, self.key_names = records.where, records.ids, records.key_names
        self.put_signatures, self.get_signatures = records.put_signatures, records.get_signatures
        self.read_signatures, self.signers, self.signed_at = records.read_signatures, records.signers, records.signed_at
        self.set_keys, self.get_keys = records.set_keys, records.get_keys

    def behind(self, keys: Iterable[str]) -> dict[str, tuple[str, bytes]]:
        """Ids and bytes of the records that keys lead to: one question."""
        found: dict[str, tuple[str, bytes]] = self._line.ask("records_behind", list(keys))
        return {
            key: (name, data)
            for key, (name, data) in found.items()
            if not name or hashlib.sha256(data).hexdigest() == name
        }

    def put(self, data: bytes) -> str:
        """Keep an immutable record; its id is the SHA-256 of its bytes, in hexadecimal."""
        identifier = hashlib.sha256(data).hexdigest()
        self._line.ask("put_record", identifier, data)
        return identifier

    def sign_elsewhere(self, identifier: str) -> bool:
        """Have the home sign a record that was made here: whose workers these are has a key there."""
        self._line.ask("sign", identifier)
        return True

    def link_keys(self, keys: Iterable[str], identifier: str, readers: Collection[str] = ()) -> None:
        """Let keys lead to a record that is there, as `Records.link_keys`."""
        self._line.ask("lead", list(keys), identifier, list(readers))


# The places of a store that this process does not see, as the home gives them.


AT_ONCE = 1000
"""Small files in one question."""


class RelayBackend:
    """What a task needs of its store. The rest is done only where the store is.

    Parameters
    ----------
    line
        To the home.
    """

    quick = False
    tells_use = False
    journal: Journal | None = None

    def __init__(self, line: Connection) -> None:
        self.line, self.url = line, line.url

    def path(self, place: str) -> str:
        """Name of a place, for messages."""
        return f"{self.url}/{place}"

    def read(self, place: str) -> bytes | None:
        """Content of a small file, or None if there is none."""
        return self.read_many([place]).get(place)

    def read_many(self, places: Iterable[str]) -> dict[str, bytes]:
        """Contents of those small files that exist."""
        asked, found = list(places), {}
        for start in range(0, len(asked), AT_ONCE):
            found.update(self.line.ask("read", asked[start : start + AT_ONCE]))
        return found

    def size(self, place: str) -> int | None:
        """Bytes of a file, or None if there is none."""
        sizes: tuple[int | None, ...] = self.line.ask("sizes", [place])
        return sizes[0]

    def changed(self, place: str) -> float | None:
        """When a file was last put or changed, by the clock of home's disk; None if there is none."""
        found: float | None = self.line.ask("changed", place)
        return found

    def last_use(self, place: str, size: int | None = None) -> float | None:
        """Now, so that it is not noted from here: the store is asked where it is, too. None if there is none."""
        found = self.size(place)
        return None if found is None or size not in (None, found) else math.inf

    def create(self, place: str, data: bytes) -> bool:
        """Write a file unless it is there with this content; whether it had to be written is not known."""
        self.create_many({place: data})
        return True

    def create_many(self, contents: Mapping[str, bytes]) -> None:
        """Write those of several files that are not there yet: directory nodes and asset records."""
        entries = list(contents.items())
        for start in range(0, len(entries), AT_ONCE):
            self.line.ask("put", dict(entries[start : start + AT_ONCE]))

    def sync(self) -> None:
        """Nothing: the run syncs the store at its end, where it is."""

    def holds(self, cids: Sequence[str]) -> bool:
        """Whether the home has all of many files and directories: one question."""
        asked = list(dict.fromkeys(cids))
        return not asked or bool(self.line.ask("has_all", asked))

    def is_private(self) -> bool:
        """False: a worker does not see who may write there."""
        return False

    def scratch(self) -> str | None:
        """None: tasks work in this host's cache."""
        return None

    def _refuse(self, *places: Any, **_: Any) -> NoReturn:
        raise StoreError(
            f"{places} of {self.url} was wanted on a worker that does not see the store; queries, pins and clean-ups "
            "are done where it is"
        )

    open = create_once = replace = replace_many = link_many = adopt = _refuse
    remove = sweep = move = names = entries = note_use = used_since = _refuse
    check_owners = odd = remains = discard = _refuse


# Files by CID on a worker that does not see the store: fetched from the home, sent to it, kept in a bounded cache.


BLOBS_AT_ONCE = 256
"""Files in one transfer."""


class RelayBlobs(CachedBlobs):
    """Blobs that are used from a cache on this host, and lie with the home.

    Parameters
    ----------
    context
        Of the store whose blobs they are.
    line
        To the home.
    """

    def __init__(self, context: StoreContext, line: Connection) -> None:
        super().__init__(context)
        self.line = line

    def is_file_here(self, cid: str) -> bool:
        """Whether a file of that CID is here, so that the home need not be asked whether it is a directory."""
        return self.cached(cid)

    def _fetch(self, cids: list[str]) -> None:
        self.line.get(cids, lambda: Upload(self, self.context.profile, cids, self._keep))

    def recheck(self, cid: str) -> bool:
        """Not offered to workers."""
        self._refuse(cid)

    def stands(self, stored: Stored) -> bool:
        """Whether the home has these bytes; it keeps them."""
        return self.context.backend.size(layout.blob(stored.cid)) == stored.size

    def put_bytes(self, data: bytes) -> str:
        """Keep bytes in memory; their CID."""
        from stargazer.cid import cid_of_bytes

        cid = cid_of_bytes(data, self.context.profile)
        if self.line.ask("put_bytes", data) != cid:
            raise StoreError(f"a log of {len(data)} bytes was harmed on its way to {self.context.url}")
        return cid

    def adopt(self, path: str, stored: Stored) -> None:
        """Send a checked file, and keep it in this host's cache."""
        self.line.put([(stored.cid, stored.size, path)])
        self._keep(stored.cid, path)

    def take_many(self, paths: list[str], *, move: bool = False, progress: Progress | None = None) -> list[Stored]:
        """Keep the bytes of several files, sent together."""
        taken: dict[str, Stored] = {}
        for start in range(0, len(paths), BLOBS_AT_ONCE):
            some = paths[start : start + BLOBS_AT_ONCE]
            known = {path: stored for path in some if (stored := self._known(path, os.stat(path)))}
            fresh = {path: self.hashed(path, progress) for path in some if path not in known}
            self._send(fresh, move)
            taken |= known | fresh
            for path in fresh if move else ():
                self._leave_link(path, fresh[path])
        return [taken[path] for path in paths]

    def _store(self, path: str, found: os.stat_result, move: bool, progress: Progress | None) -> Stored:
        stored = self.hashed(path, progress)
        self._send({path: stored}, move)
        return stored

    def _send(self, files: dict[str, Stored], move: bool) -> None:
        self.line.put([(stored.cid, stored.size, path) for path, stored in files.items()])
        for path, stored in files.items():
            if move and movable(os.stat(path), path, str(self.context.cache)):
                self._keep(stored.cid, path)

    def _refuse(self, cid: str) -> NoReturn:
        raise StoreError(f"{cid} of {self.context.url} is checked only where the store is")
