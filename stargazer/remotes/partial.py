"""A file that is being fetched: it lies in the store's scratch directory until it is whole, so a fetch can go on."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from threading import Lock
from typing import TYPE_CHECKING

from stargazer.cid import PROFILES, parse
from stargazer.cid.layout import Layout
from stargazer.store.files import as_store_error, unlink

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from stargazer.store import Store

__all__ = ["Partial", "Shape"]

_PIECE = 1 << 20


class Shape:
    """How a file is cut into blocks, as its leaves go by: whether a profile that we know cuts it so."""

    def __init__(self) -> None:
        self._layouts = {profile: Layout(profile) for profile in PROFILES}
        self._last: int | None = None

    def add(self, cid: str, size: int) -> None:
        """Note the next raw leaf."""
        digest = parse(cid).digest
        for profile in list(self._layouts):
            if size > profile.chunk or self._last not in (None, profile.chunk):
                del self._layouts[profile]
            else:
                self._layouts[profile].add(digest, size)
        self._last = size

    def spoil(self) -> None:
        """Note a leaf that no profile makes."""
        self._layouts.clear()

    def fits(self, cid: str) -> bool:
        """Whether a profile gives the file this CID."""
        return any(layout.finish().cid == cid for layout in self._layouts.values())


class Partial:
    """The part of a file that was fetched so far.

    A fetch that was killed leaves it; the next one takes it up. Of two at once, the second has a file of its own.

    Parameters
    ----------
    store
        Where the file will be kept.
    cid
        What it will be.
    """

    def __init__(self, store: Store, cid: str) -> None:
        _ = store.header
        store.scratch.mkdir(parents=True, exist_ok=True)
        self.path = str(store.scratch / f"fetch-{cid}")
        self._fd = self._open()
        self.found = os.fstat(self._fd).st_size
        self.size = 0
        self._done, self._lock = False, Lock()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(self.path, flags, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_ino == os.stat(self.path).st_ino:
                return fd
        except OSError:  # another fetch has it, or has just finished, or this file system knows no locks
            pass
        os.close(fd)
        self.path = f"{self.path}-{os.getpid()}-{os.urandom(4).hex()}"
        return os.open(self.path, flags | os.O_EXCL, 0o644)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        if not self._done and os.path.exists(self.path) and not os.path.getsize(self.path):
            unlink(self.path)

    def holds(self, cid: str, start: int, size: int) -> bool:
        """Whether a leaf lies in its place already; if so, it counts as written."""
        if start + size > self.found or hashlib.sha256(os.pread(self._fd, size, start)).digest() != parse(cid).digest:
            return False
        self.size = max(self.size, start + size)
        return True

    def pieces(self) -> list[tuple[int, int]]:
        """Where the pieces of what was found lie, for those who hash them again."""
        return [(at, min(_PIECE, self.found - at)) for at in range(0, self.found, _PIECE)]

    def read(self, start: int, size: int) -> bytes:
        """Bytes that were found or written."""
        return os.pread(self._fd, size, start)

    def write(self, start: int, data: bytes) -> None:
        """Write bytes at their place."""
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._fd, view, start)
                view, start = view[written:], start + written
        except OSError as error:
            raise as_store_error(error, self.path) from error
        with self._lock:
            self.size = max(self.size, start)

    def restart(self) -> None:
        """Drop what was found: it was no good."""
        os.ftruncate(self._fd, 0)
        self.found = self.size = 0

    def drop(self) -> None:
        """Remove the file."""
        self._done = True
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def keep(self, store: Store, cid: str) -> None:
        """Take the whole, checked file into the store."""
        from stargazer.store.blobs import Stored

        os.ftruncate(self._fd, self.size)
        store.blobs.adopt(self.path, Stored(cid, self.size, 0))
        self._done = True
