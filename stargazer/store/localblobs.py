"""Files by CID on a local file system: hashed on the way into ``tmp``, then renamed into place."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

from stargazer.errors import BlobLost, CIDError
from stargazer.store import layout
from stargazer.store.blobs import HELD_AFTER, MTIME, Blobs, Stored, movable
from stargazer.store.clone import reflink
from stargazer.store.files import as_store_error, sync_file, unlink, write_all

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stargazer.cid.files import Progress
    from stargazer.store.base import OpenStore
    from stargazer.store.local import LocalBackend

__all__ = ["LocalBlobs"]

_BELIEVED_BY_SIZE = 1 << 26
_NOTED = 1 << 18
_BLOCK = 1 << 20


class LocalBlobs(Blobs):
    """Blobs that are used where they lie."""

    def __init__(self, store: OpenStore, backend: LocalBackend) -> None:
        super().__init__(store)
        self.backend = backend
        self._root = backend.path("blobs")

    @property
    def root(self) -> str:
        """Directory of the blobs themselves."""
        return self._root

    def path(self, cid: str) -> Path:
        """Path of the blob itself, checked; `BlobLost` if it is missing or corrupt."""
        found = self.checked(cid)
        if found is None:
            raise BlobLost(cid)
        return found

    def check_unharmed(self, cid: str) -> None:
        """Raise `BlobLost` if the blob was changed or is gone."""
        self.path(cid)

    def prefetch(self, cids: Iterable[str]) -> None:
        """Nothing: they are here."""

    def temporary(self) -> str:
        """A new path on the store's own file system."""
        path = self.backend.temporary()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def quarantine(self, cid: str) -> str:
        """Take a corrupt blob out of the way; the place where it went."""
        self.store.memo.forget(cid)
        target = layout.quarantine(cid)
        self.backend.move(layout.blob(cid), target)
        return target

    def recheck(self, cid: str) -> bool:
        """Hash a blob, whatever is known of it; a bad one goes to quarantine."""
        try:
            found = os.stat(self.file(cid))
            good = self.is_good(cid, self.file(cid))
        except (FileNotFoundError, CIDError):
            good = False
        if good:
            self.store.memo.note(cid, found)
        else:
            self.quarantine(cid)
        return good

    def put_bytes(self, data: bytes) -> str:
        """Keep bytes in memory; their CID."""
        from stargazer.cid import cid_of_bytes

        cid = cid_of_bytes(data, self.store.profile)
        temporary = self.backend.write_temporary(data, layout.blob(cid))
        os.utime(temporary, (MTIME, MTIME))
        self._settle(temporary, Stored(cid, len(data), 0))
        return cid

    def adopt(self, path: str, stored: Stored) -> None:
        """Move a checked file into place."""
        os.chmod(path, 0o444)
        os.utime(path, (MTIME, MTIME))
        if self.backend.durable:
            sync_file(path)
        self._settle(path, stored)

    def _store(self, path: str, found: os.stat_result, move: bool, progress: Progress | None) -> Stored:
        if move and movable(found, path, self.backend.root):
            return self._move_in(path, found)
        return self._copy_in(path, progress)

    def _move_in(self, path: str, found: os.stat_result) -> Stored:
        stored = self.hashed(path)
        os.chmod(path, stat.S_IMODE(found.st_mode) & 0o444)
        os.utime(path, (MTIME, MTIME))
        if self.backend.durable:
            sync_file(path)
        self._settle(path, stored)
        return stored

    def _copy_in(self, path: str, progress: Progress | None) -> Stored:
        temporary = None
        try:
            fd, temporary = self.backend.create_temporary()
            try:
                stored = self._copy_hashing(path, fd, progress) or self.hashed(temporary, progress)
                if self.backend.durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
            os.utime(temporary, (MTIME, MTIME))
            self._settle(temporary, stored)
        except OSError as error:
            if temporary:
                unlink(temporary)
            raise as_store_error(error, f"{path} to {self.store.url}") from error
        return stored

    def _copy_hashing(self, path: str, fd: int, progress: Progress | None) -> Stored | None:
        """Copy a file, hashing the bytes as they pass; None where it could be cloned, which reads nothing."""
        from stargazer.cid import Hasher

        hasher = Hasher(self.store.profile)
        with open(path, "rb", buffering=0) as source:
            if reflink(source.fileno(), fd):
                return None
            for block in iter(lambda: source.read(_BLOCK), b""):
                hasher.update(block)
                write_all(fd, block)
                if progress:
                    progress(len(block))
        node = hasher.finish()
        return Stored(node.cid, node.size, node.dag_size)

    def _settle(self, path: str, stored: Stored) -> None:
        """Move hashed bytes into place, unless good ones are there."""
        if self.stands(stored):
            os.unlink(path)
        else:
            self.backend.adopt(path, layout.blob(stored.cid))
        if stored.size > _NOTED:
            self.store.memo.note(stored.cid, os.stat(self.file(stored.cid)))

    def stands(self, stored: Stored) -> bool:
        """Whether the store has these bytes. Big ones are believed by their size: they are checked before each use."""
        path = self.file(stored.cid)
        try:
            found = os.stat(path)
            if found.st_size != stored.size:
                return False
            known = found.st_size > _BELIEVED_BY_SIZE or self.store.memo.knows(stored.cid, found)
            if not known and not self.is_good(stored.cid, path):
                return False
            if time.time() - found.st_ctime > HELD_AFTER:
                self.backend.hold(layout.blob(stored.cid))
        except OSError:
            return False  # it vanished, or is another user's: an equal file takes its place
        return True
