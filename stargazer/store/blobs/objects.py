"""Files by CID in an object store: checked as they are downloaded, into a cache that does not grow without bound."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.errors import BlobLost, StoreError
from stargazer.store import layout
from stargazer.store.backends.local import as_store_error
from stargazer.store.blobs.base import HELD_AFTER, movable
from stargazer.store.blobs.cached import CachedBlobs
from stargazer.store.blobs.verified import signature

if TYPE_CHECKING:
    from stargazer.cid.unixfs import Progress
    from stargazer.store.backends.base import TransferBackend
    from stargazer.store.blobs.base import Stored
    from stargazer.store.context import StoreContext

__all__ = ["ObjectBlobs"]

_UPLOADS = 16
_PUT_AGAIN = 1 << 26


class ObjectBlobs(CachedBlobs):
    """Blobs that are used from a cache on this host."""

    def __init__(self, context: StoreContext, backend: TransferBackend) -> None:
        super().__init__(context)
        self.backend = backend

    def _fetch(self, cids: list[str]) -> None:
        paths = {cid: self.cache.temporary() for cid in cids}
        try:
            self.backend.download({layout.blob(cid): path for cid, path in paths.items()})
            for cid, path in paths.items():
                self._check_in(cid, path)
        except FileNotFoundError as error:
            raise BlobLost(cids[0] if len(cids) == 1 else _named(error, cids)) from error
        except OSError as error:
            raise as_store_error(error, self.root) from error
        finally:
            for path in paths.values():
                with suppress(FileNotFoundError):
                    os.unlink(path)

    def _check_in(self, cid: str, path: str) -> None:
        """Take a downloaded file into the cache, if it is what its name says."""
        if not self.is_good(cid, path):
            target = layout.quarantine(cid)
            self.backend.move(layout.blob(cid), target)
            raise BlobLost(cid, f"corrupt (what was found is in {target})")
        self._keep(cid, path)

    def stands(self, stored: Stored) -> bool:
        """Whether the object is there, by its size, and was put not long ago or is too large to be put again."""
        found = self.backend.stat(layout.blob(stored.cid))
        if found is None or found.size != stored.size:
            return False
        return stored.size > _PUT_AGAIN or time.time() - found.changed <= HELD_AFTER

    def recheck(self, cid: str) -> bool:
        """Hash an object as it streams by; a bad one goes to quarantine."""
        from stargazer.cid import cid_of_stream

        place = layout.blob(cid)
        try:
            with self.backend.reached(), self.backend.open(place) as stream:
                if cid_of_stream(stream, self.context.profile) == cid:
                    return True
            self._fetch([cid])  # another profile's CID, perhaps: that takes a closer look
        except BlobLost:
            return False
        except FileNotFoundError:
            pass  # it was removed while the others were checked
        return True

    def put_bytes(self, data: bytes) -> str:
        """Keep bytes in memory; their CID."""
        from stargazer.cid import cid_of_bytes

        cid = cid_of_bytes(data, self.context.profile)
        self.backend.replace(layout.blob(cid), data)
        return cid

    def adopt(self, path: str, stored: Stored) -> None:
        """Upload a checked file, and keep it in this host's cache."""
        if not self._is_there(path, stored):
            self.backend.upload(path, layout.blob(stored.cid))
        self._keep(stored.cid, path)

    def take_many(self, paths: list[str], *, move: bool = False, progress: Progress | None = None) -> list[Stored]:
        """Keep the bytes of several files, uploaded side by side."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_UPLOADS) as pool:
            return list(pool.map(lambda path: self.take(path, move=move, progress=progress), paths))

    def _store(self, path: str, found: os.stat_result, move: bool, progress: Progress | None) -> Stored:
        stored = self.hashed(path, progress)
        big = stored.size > _PUT_AGAIN
        if not (big and self._is_there(path, stored)):
            if self.backend.upload(path, layout.blob(stored.cid)):
                self._refuse_change(path, found, stored.cid)
            elif not self._is_there(path, stored):
                self.backend.upload(path, layout.blob(stored.cid))
        if move and movable(found, path, str(self.context.cache)):
            self._keep(stored.cid, path)
        return stored

    def _is_there(self, path: str, stored: Stored) -> bool:
        """Whether the object is there, by its size: it is checked whenever it is downloaded."""
        place = layout.blob(stored.cid)
        found = self.backend.stat(place)
        if found is None:
            return False
        if found.size != stored.size:
            self.backend.move(place, layout.quarantine(stored.cid))
            return False
        if time.time() - found.changed > HELD_AFTER and stored.size <= _PUT_AGAIN:
            self._refresh(path, stored.cid)
        return True

    def _refresh(self, path: str, cid: str) -> None:
        """Put the same bytes again: garbage collection must see that somebody relies on them again."""
        from stargazer.cid import cid_of_bytes

        data = Path(path).read_bytes()
        if cid_of_bytes(data, self.context.profile) == cid:
            self.backend.replace(layout.blob(cid), data)

    def _refuse_change(self, path: str, before: os.stat_result, cid: str) -> None:
        after = os.stat(path)
        if signature(after) != signature(before):
            self.backend.remove(layout.blob(cid))
            raise StoreError(f"{path} changed while it was uploaded; let what writes it finish, then try again")


def _named(error: FileNotFoundError, cids: list[str]) -> str:
    return next((cid for cid in cids if cid in str(error)), cids[0])
