"""A store that this process does not see."""

from __future__ import annotations

import hashlib
import math
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from stargazer.errors import StoreError
from stargazer.relay.protocol import Upload
from stargazer.store import Store, layout
from stargazer.store.base import private_cache
from stargazer.store.blobs.base import Stored, movable
from stargazer.store.blobs.cached import CachedBlobs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from stargazer.cid.files import Progress
    from stargazer.relay.connection import Connection
    from stargazer.store.backends.base import Backend
    from stargazer.store.base import OpenStore
    from stargazer.store.blobs.base import Blobs

__all__ = ["RelayBackend", "RelayBlobs", "RelayStore"]


class RelayStore(Store):
    """What tasks need of a store, asked of the home. It has the URL that the home knows it by.

    Parameters
    ----------
    line
        To the home.
    """

    def __init__(self, line: Connection) -> None:
        self._line = line
        super().__init__(line.url)

    def _open_places(self, url: str) -> tuple[Backend, Blobs]:
        return RelayBackend(self._line), RelayBlobs(self, self._line)

    @property
    def id(self) -> str:
        """Identity of the store."""
        return self._line.identifier

    @cached_property
    def cache(self) -> Path:
        """Directory of what this host was sent; may be deleted while no task runs."""
        return private_cache("served", self.id)

    def tidy(self) -> None:
        """Remove what killed workers left on this host a week ago."""
        self.blobs.cache.tidy()  # type: ignore[attr-defined]

    def load_nodes(self, cids: Iterable[str]) -> set[str]:
        """As `Store.load_nodes`; files that are here already need no question."""
        cached = self.blobs.cached  # type: ignore[attr-defined]
        return super().load_nodes(cid for cid in cids if cid in self._nodes or not cached(cid))

    def has(self, cid: str) -> bool:
        """Whether the home has a file, or a directory and all that lies in it."""
        return self.has_all([cid])

    def has_all(self, cids: Iterable[str]) -> bool:
        """Whether `has` is true of each: one question."""
        asked = list(dict.fromkeys(cids))
        return not asked or bool(self._line.ask("has_all", asked))

    def records_behind(self, keys: Iterable[str]) -> dict[str, tuple[str, bytes]]:
        """Ids and bytes of the records that keys lead to: one question."""
        found: dict[str, tuple[str, bytes]] = self._line.ask("records_behind", list(keys))
        return {
            key: (name, data)
            for key, (name, data) in found.items()
            if not name or hashlib.sha256(data).hexdigest() == name
        }

    def put_record(self, data: bytes) -> str:
        """Keep an immutable record; its id is the SHA-256 of its bytes, in hexadecimal."""
        identifier = hashlib.sha256(data).hexdigest()
        self._line.ask("put_record", identifier, data)
        return identifier

    def signed_elsewhere(self, identifier: str) -> bool:
        """Have the home sign a record that was made here: whose workers these are has a key there."""
        self._line.ask("sign", identifier)
        return True

    def link_keys(self, keys: Iterable[str], identifier: str, readers: Collection[str] = ()) -> None:
        """Let keys lead to a record that is there, as `Records.link_keys`."""
        self._line.ask("lead", list(keys), identifier, list(readers))

    def _journal(self, kind: str, *names: str) -> None:
        """Nothing: the home notes what it wrote."""


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

    local = False

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

    def _refuse(self, *places: Any, **_: Any) -> NoReturn:
        raise StoreError(
            f"{places} of {self.url} was wanted on a worker that does not see the store; queries, pins and clean-ups "
            "are done where it is"
        )

    open = create_once = replace = replace_many = link_many = adopt = _refuse
    remove = sweep = move = names = entries = note_use = used_since = _refuse


# Files by CID on a worker that does not see the store: fetched from the home, sent to it, kept in a bounded cache.


BLOBS_AT_ONCE = 256
"""Files in one transfer."""


class RelayBlobs(CachedBlobs):
    """Blobs that are used from a cache on this host, and lie with the home.

    Parameters
    ----------
    store
        Whose blobs.
    line
        To the home.
    """

    def __init__(self, store: OpenStore, line: Connection) -> None:
        super().__init__(store)
        self.line = line

    def _fetch(self, cids: list[str]) -> None:
        self.line.get(cids, lambda: Upload(self, self.store.profile, cids, self._keep))

    def recheck(self, cid: str) -> bool:
        """Not offered to workers."""
        self._refuse(cid)

    def stands(self, stored: Stored) -> bool:
        """Whether the home has these bytes; it keeps them."""
        return self.store.backend.size(layout.blob(stored.cid)) == stored.size

    def put_bytes(self, data: bytes) -> str:
        """Keep bytes in memory; their CID."""
        from stargazer.cid import cid_of_bytes

        cid = cid_of_bytes(data, self.store.profile)
        if self.line.ask("put_bytes", data) != cid:
            raise StoreError(f"a log of {len(data)} bytes was harmed on its way to {self.store.url}")
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
            known = {path: stored for path in some if (stored := self._known(path))}
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
            if move and movable(os.stat(path), path, str(self.store.cache)):
                self._keep(stored.cid, path)

    def _refuse(self, cid: str) -> NoReturn:
        raise StoreError(f"{cid} of {self.store.url} is checked only where the store is")
