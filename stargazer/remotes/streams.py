"""Leaves of a file on their way to the disk: checked and written beside the network."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

from stargazer.cid import PROFILES, parse
from stargazer.cid.parts import is_raw, parts_of
from stargazer.cid.unixfs import Layout
from stargazer.errors import CIDError, RemoteError, RemoteRefused, StoreError, StoreFull
from stargazer.remotes.blocks import check_pieces
from stargazer.store.backends.local import as_store_error, unlink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from stargazer.cid.parts import Leaf, Part
    from stargazer.remotes.base import BlockRemote, Piece
    from stargazer.remotes.blocks import Blocks, Complaints
    from stargazer.store import Store

__all__ = ["Bodies", "Leaves", "Partial", "Shape"]

_WAITING = 8
_STEP = 1 << 20
_MOST_PIECES = 16
"""Of a leaf: what came in more of them is put together."""
_WRITERS = 2


class Leaves:
    """Has the leaves of one file written, each from the file's stream if there is one, else as a block.

    Parameters
    ----------
    partial
        Where to.
    blocks
        Gives blocks.
    body
        Gives the file's bytes as they are, unchecked.
    came
        Called with the number of bytes that were written.
    """

    def __init__(self, partial: Partial, blocks: Blocks, body: Bodies | None, came: Callable[[int], None]) -> None:
        self._partial, self._blocks, self._body, self._came = partial, blocks, body, came
        self._pool = ThreadPoolExecutor(_WRITERS, "stargazer-leaves")
        self._batch: _Batch | None = None
        self._waiting: deque[tuple[_Batch, Future[list[_Written]]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._body:
                self._body.close()
            if error is None:
                self.finish()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def wants_stream(self) -> bool:
        """Whether blocks had better come in a stream of their own."""
        return self._body is None and not self._blocks.streams

    def wants_block(self, part: Part) -> bool:
        """Whether a part will be asked for as a block."""
        return part.start >= self._partial.found and not (self._body and is_raw(part.cid))

    def have(self, part: Part) -> None:
        """Have a raw leaf written, unless it is."""
        if self._partial.holds(part.cid, part.start, part.size):
            return
        taken = self._body.take(part.start, part.size) if self._body else None
        if taken is None:
            self._body = None
            self.write(part.start, self._block(part))
            return
        if self._batch is None or not self._batch.add(part, *taken):
            self._send()
            self._batch = _Batch(part, *taken)
        if self._batch.full:
            self._send()

    def _send(self) -> None:
        """Have the leaves checked and written that came, and see what became of those before them."""
        if self._batch is None:
            return
        self._waiting.append((self._batch, self._pool.submit(self._batch.write, self._partial)))
        self._batch = None
        while self._waiting and (len(self._waiting) > _WAITING or self._waiting[0][1].done()):
            self._settle()

    def _block(self, part: Part) -> bytes:
        leaf, _ = parts_of(part, self._blocks.get(part.cid))
        return leaf.data

    def _settle(self) -> None:
        """Wait for the first leaves; one that was not what was asked for is asked for as a block."""
        batch, written = self._waiting.popleft()
        for part, error in written.result():
            if error is None:
                self._came(part.size)
                continue
            self._blocks.complaints.note_way(batch.remote, error)
            if self._body:
                self._body.spoilt(batch.remote)
            self.write(part.start, self._block(part))

    def have_data(self, leaf: Leaf) -> None:
        """Have bytes written that lie in a node, unless they are; a stream would bring them a second time."""
        if self._body:
            self.finish()
            self._body.close()
            self._body = None
        if not self._partial.has(leaf.start, leaf.data):
            self.write(leaf.start, leaf.data)

    def finish(self) -> None:
        """Wait for all leaves that came."""
        self._send()
        while self._waiting:
            self._settle()

    def skipped(self, part: Part) -> None:
        """Note that a part was written by other means: a stream goes on behind it."""
        at = part.start
        while self._body and at < part.start + part.size:
            size = min(_STEP, part.start + part.size - at)
            if self._body.take(at, size) is None:
                self._body = None
            at += size
        self._came(part.size)

    def write(self, start: int, data: bytes) -> None:
        """Write checked bytes."""
        self._partial.write(start, data)
        self._came(len(data))


_Written = tuple["Part", "RemoteRefused | None"]
"""A leaf, and what is wrong with what was sent as it."""


class _Batch:
    """Leaves of a stream that follow each other: one thread checks and writes them in one go, for each go costs."""

    def __init__(self, part: Part, remote: BlockRemote, pieces: list[memoryview]) -> None:
        self.remote, self._start, self._size = remote, part.start, 0
        self._leaves: list[tuple[Part, list[memoryview]]] = []
        self.add(part, remote, pieces)

    def add(self, part: Part, remote: BlockRemote, pieces: list[memoryview]) -> bool:
        """Take one more leaf; False if it does not follow these, or comes from another remote."""
        if remote is not self.remote or part.start != self._start + self._size:
            return False
        self._leaves.append((part, pieces))
        self._size += part.size
        return True

    @property
    def full(self) -> bool:
        """Whether there are bytes enough."""
        return self._size >= _STEP

    def write(self, partial: Partial) -> list[_Written]:
        """Write those that are what their CIDs name; say of each what is wrong with it."""
        found = [(part, self._wrong(part, pieces)) for part, pieces in self._leaves]
        if all(error is None for _, error in found):
            partial.write(self._start, *(piece for _, pieces in self._leaves for piece in pieces))
            return found
        for (part, pieces), (_, error) in zip(self._leaves, found, strict=True):
            if error is None:
                partial.write(part.start, *pieces)
        return found

    def _wrong(self, part: Part, pieces: list[memoryview]) -> RemoteRefused | None:
        try:
            check_pieces(part.cid, pieces, self.remote.name)
        except RemoteRefused as error:
            return error
        return None


# The bytes of one file as one stream, which is the fastest way to have them; whoever takes them checks them.


class Bodies:
    """A file's bytes, unchecked, from the first of several remotes that gives them in one stream.

    Parameters
    ----------
    cid
        Of the file.
    remotes
        In the order in which they are asked; each is asked once.
    complaints
        Where failures are noted.
    """

    def __init__(self, cid: str, remotes: Sequence[BlockRemote], complaints: Complaints) -> None:
        self.cid, self._waiting, self._complaints = cid, list(remotes), complaints
        self._source: BlockRemote | None = None
        self._stream: Iterator[Piece] | None = None
        self._pieces: deque[memoryview] = deque()
        self._held = self._at = 0

    def take(self, start: int, size: int) -> tuple[BlockRemote, list[memoryview]] | None:
        """Bytes from a place on, as they came, and who sent them; None if nobody gives the file so.

        They are no copy, unless they came in small pieces: there are gigabytes of these bytes, and only two cores.
        """
        while True:
            if self._source is not None and (self._at != start or self._complaints.skips(self._source)):
                self.close()
            if self._source is None and not self._open(start):
                return None
            try:
                if self._source is not None and self._fill(size):
                    return self._source, self._cut(size)
            except RemoteError as error:
                self._complain(error)
            self.close()

    def ready(self) -> bool:
        """Whether somebody begins to send the file."""
        while self._source is not None or self._open(0):
            try:
                return self._fill(1)
            except RemoteError as error:
                self._complain(error)
            self.close()
        return False

    def _complain(self, error: RemoteError) -> None:
        if self._source is not None:
            self._complaints.note_way(self._source, error)

    def spoilt(self, remote: BlockRemote) -> None:
        """Take no more from a remote whose bytes were others."""
        if self._source is remote:
            self.close()

    def _open(self, start: int) -> bool:
        while self._waiting:
            remote = self._waiting.pop(0)
            if not self._complaints.skips(remote) and not self._complaints.rest(remote):
                self._source, self._stream, self._at = remote, remote.body(self.cid, start), start
                return True
        return False

    def _fill(self, size: int) -> bool:
        while self._held < size and self._stream is not None:
            piece = next(self._stream, None)
            if piece is None:
                break
            self._pieces.append(memoryview(piece))
            self._held += len(piece)
        if self._held < size:
            name = self._source.name if self._source else ""
            raise RemoteRefused(f"{name} ended {self.cid} after {self._at + self._held} bytes, which are too few")
        return True

    def _cut(self, size: int) -> list[memoryview]:
        """The next so many bytes, which are there."""
        found = []
        self._held -= size
        self._at += size
        while size:
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
            found.append(piece[:size])
            size -= len(found[-1])
        return found if len(found) <= _MOST_PIECES else [memoryview(b"".join(found))]

    def close(self) -> None:
        """End the stream."""
        close = getattr(self._stream, "close", None)
        self._source, self._stream, self._at = None, None, -1
        self._pieces.clear()
        self._held = 0
        if close:
            close()


# A file that is being fetched: it lies in the store's scratch directory until it is whole, so a fetch can go on.


_PIECE = 1 << 20
_MOST_AT_ONCE = 512
"""Pieces that one call writes: systems take 1,024."""


def _behind(views: list[memoryview], size: int) -> list[memoryview]:
    """What follows the first so many bytes of some pieces."""
    for number, view in enumerate(views):
        if size < len(view):
            return [view[size:], *views[number + 1 :]]
        size -= len(view)
    return []


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


def _is_ours_alone(found: os.stat_result) -> bool:
    """Whether a file in a folder that others may write to is our own, and nowhere else: what is written there stays."""
    own = found.st_uid == os.geteuid() and found.st_nlink == 1
    return own and stat.S_ISREG(found.st_mode) and not found.st_mode & 0o022


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

    def __init__(self, store: Store, cid: str, size: int = 0) -> None:
        _ = store.context.header
        store.context.scratch.mkdir(parents=True, exist_ok=True)
        self.path = str(store.context.scratch / f"fetch-{cid}")
        self._check_space(str(store.context.scratch), cid, size)
        self._fd = self._open()
        self.found = os.fstat(self._fd).st_size
        self.size = 0
        self._done, self._lock = False, Lock()

    def _check_space(self, folder: str, cid: str, size: int) -> None:
        """Refuse what says that it is larger than the disk, before its first byte."""
        free = shutil.disk_usage(folder).free
        here = os.path.getsize(self.path) if os.path.exists(self.path) else 0
        if size - here > free:
            told = f"{cid} says that it has {size} bytes, and {free} are free at {folder}; free some (stargazer gc)"
            raise StoreFull(errno.ENOSPC, told)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with contextlib.suppress(OSError):  # a link, or what others may write to, or may not be written to by us
            fd = os.open(self.path, flags, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_ours_alone(os.fstat(fd)) and os.fstat(fd).st_ino == os.lstat(self.path).st_ino:
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
        refused = isinstance(error, (CIDError, StoreError))
        if not self._done and os.path.exists(self.path) and (refused or not os.path.getsize(self.path)):
            unlink(self.path)

    def holds(self, cid: str, start: int, size: int) -> bool:
        """Whether a leaf lies in its place already; if so, it counts as written."""
        if start + size > self.found or hashlib.sha256(os.pread(self._fd, size, start)).digest() != parse(cid).digest:
            return False
        self.size = max(self.size, start + size)
        return True

    def has(self, start: int, data: bytes) -> bool:
        """Whether bytes lie in their place already; if so, they count as written."""
        if start + len(data) > self.found or os.pread(self._fd, len(data), start) != data:
            return False
        self.size = max(self.size, start + len(data))
        return True

    def copy(self, source: int, target: int, size: int) -> None:
        """Write bytes a second time that were written, and checked."""
        for at in range(0, size, _PIECE):
            self.write(target + at, os.pread(self._fd, min(_PIECE, size - at), source + at))

    def pieces(self) -> list[tuple[int, int]]:
        """Where the pieces of what was found lie, for those who hash them again."""
        return [(at, min(_PIECE, self.found - at)) for at in range(0, self.found, _PIECE)]

    def read(self, start: int, size: int) -> bytes:
        """Bytes that were found or written."""
        return os.pread(self._fd, size, start)

    def write(self, start: int, *pieces: bytes | memoryview) -> None:
        """Write bytes at their place, piece behind piece."""
        views = [memoryview(piece) for piece in pieces]
        try:
            while views:
                written = os.pwritev(self._fd, views[:_MOST_AT_ONCE], start)
                views, start = _behind(views, written), start + written
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
        from stargazer.store.blobs.base import Stored

        os.ftruncate(self._fd, self.size)
        store.blobs.adopt(self.path, Stored(cid, self.size, 0))
        self._done = True
