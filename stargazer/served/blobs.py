"""Files by CID on a worker that does not see the store: fetched from the home, sent to it, kept in a bounded cache."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

from stargazer.errors import StoreError
from stargazer.served.landing import Landing
from stargazer.store import layout
from stargazer.store.blobs import Stored, movable
from stargazer.store.cached import CachedBlobs

if TYPE_CHECKING:
    from stargazer.cid.files import Progress
    from stargazer.served.line import Line
    from stargazer.store.base import OpenStore

__all__ = ["ServedBlobs"]

AT_ONCE = 256
"""Files in one transfer."""


class ServedBlobs(CachedBlobs):
    """Blobs that are used from a cache on this host, and lie with the home.

    Parameters
    ----------
    store
        Whose blobs.
    line
        To the home.
    """

    def __init__(self, store: OpenStore, line: Line) -> None:
        super().__init__(store)
        self.line = line

    def _fetch(self, cids: list[str]) -> None:
        self.line.get(cids, lambda: Landing(self, self.store.profile, cids, self._keep))

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
        for start in range(0, len(paths), AT_ONCE):
            some = paths[start : start + AT_ONCE]
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
