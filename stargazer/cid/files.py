"""CIDs of files: read once, in any number of threads, in memory that does not grow with the file.

SHA-256 releases the interpreter's lock, so threads hash side by side. Each takes the next span of the file, reads
it into a buffer of its own and hashes its leaves; the leaves enter the tree in the file's order.
"""

from __future__ import annotations

import os
import stat
from hashlib import sha256

from stargazer.cid.unixfs import KUBO, FileNode, Layout
from stargazer.errors import CIDError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from stargazer.cid.unixfs import CIDProfile, Keep

    StrPath = str | os.PathLike[str]
    Progress = Callable[[int], object]
    Leaves = list[tuple[bytes, int]]

__all__ = ["cid_of_file", "file_node", "file_sha256", "open_file", "refuse_special"]

SPAN = 1024 * 1024

_SPECIAL = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISDIR, "a directory"),
)


def cid_of_file(path: StrPath, profile: CIDProfile = KUBO, threads: int = 1, progress: Progress | None = None) -> str:
    """Name a file.

    Parameters
    ----------
    path
        A regular file; a symlink to one is followed.
    profile
        Decides chunk size and tree shape.
    threads
        How many threads read and hash; the CID does not depend on it.
    progress
        Called with the number of bytes just hashed.

    Returns
    -------
    str
        What ``ipfs add --cid-version=1`` gives for the default profile.

    Raises
    ------
    CIDError
        If it is no regular file, or changed while it was read.
    OSError
        If it cannot be read.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/
    """
    return file_node(path, profile, threads=threads, progress=progress).cid


def file_node(
    path: StrPath,
    profile: CIDProfile = KUBO,
    *,
    threads: int = 1,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> FileNode:
    """Name a file and measure it.

    Parameters
    ----------
    path, profile, threads, progress
        As for `cid_of_file`.
    keep
        Called with the CID and the bytes of each inner node, as for `Hasher`.

    Returns
    -------
    FileNode
        CID, size and dag size.

    Raises
    ------
    CIDError, OSError
        As `cid_of_file` does.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/
    """
    file, before = open_file(path)
    try:
        reading = _Reading(file, before.st_size, Layout(profile, keep), profile.chunk, progress)
        if threads > 1 and reading.spans > 1:
            _read_together(reading, min(threads, reading.spans))
        else:
            reading.read_alone()
        after = os.fstat(file)
    except EOFError:
        raise _changed(path) from None
    finally:
        os.close(file)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise _changed(path)
    return reading.layout.finish()


def file_sha256(path: StrPath, progress: Progress | None = None) -> bytes:
    """Return the SHA-256 of a whole file: what its CID holds if it is one raw block, however long."""
    file, status = open_file(path)
    try:
        whole, view = sha256(), memoryview(bytearray(min(SPAN, status.st_size or 1)))
        at = 0
        while count := os.preadv(file, [view], at):
            whole.update(view[:count])
            at += count
            if progress:
                progress(count)
    finally:
        os.close(file)
    return whole.digest()


def open_file(path: StrPath) -> tuple[int, os.stat_result]:
    """Open a regular file for reading; refuse anything else, without waiting on a pipe's other end."""
    refuse_special(path, os.stat(path).st_mode)
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        os.close(file)
        refuse_special(path, status.st_mode)
    return file, status


def refuse_special(path: StrPath, mode: int) -> None:
    """Raise `CIDError` unless the mode is a regular file's."""
    if not stat.S_ISREG(mode):
        what = next((what for matches, what in _SPECIAL if matches(mode)), "a special file")
        raise CIDError(f"{os.fspath(path)!r} is {what}, not a file: only files and directories have CIDs; leave it out")


def _changed(path: StrPath) -> CIDError:
    return CIDError(f"{os.fspath(path)!r} changed while it was read; let what writes it finish, then try again")


class _Reading:
    """A file on its way through the threads that hash it."""

    def __init__(self, file: int, size: int, layout: Layout, chunk: int, progress: Progress | None) -> None:
        self.file, self.size, self.layout, self.chunk, self.progress = file, size, layout, chunk, progress
        self.span = chunk * max(1, SPAN // chunk)
        self.spans = -(-size // self.span)
        self.taken = self.given = 0
        self.early: dict[int, Leaves] = {}
        self.failure: BaseException | None = None

    def buffer(self) -> memoryview:
        return memoryview(bytearray(min(self.span, self.size)))

    def hash_span(self, index: int, buffer: memoryview) -> Leaves:
        start = index * self.span
        view = buffer[: min(self.span, self.size - start)]
        _fill(self.file, view, start)
        parts = [view[at : at + self.chunk] for at in range(0, len(view), self.chunk)]
        return [(sha256(part).digest(), len(part)) for part in parts]

    def give(self, leaves: Leaves) -> None:
        for digest, size in leaves:
            self.layout.add(digest, size)
        if self.progress:
            self.progress(sum(size for _, size in leaves))

    def give_in_order(self, index: int, leaves: Leaves) -> None:
        self.early[index] = leaves
        while self.given in self.early:
            self.give(self.early.pop(self.given))
            self.given += 1

    def take(self, lock: threading.Lock) -> int | None:
        with lock:
            if self.failure or self.taken == self.spans:
                return None
            self.taken += 1
            return self.taken - 1

    def read_alone(self) -> None:
        buffer = self.buffer()
        for index in range(self.spans):
            self.give(self.hash_span(index, buffer))


def _fill(file: int, view: memoryview, at: int) -> None:
    while view:
        count = os.preadv(file, [view], at)
        if count == 0:
            raise EOFError
        view, at = view[count:], at + count


def _read_together(reading: _Reading, threads: int) -> None:
    import threading

    lock = threading.Lock()
    others = [threading.Thread(target=_work, args=(reading, lock), name="stargazer-cid") for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    _work(reading, lock)
    for thread in others:
        while thread.is_alive():
            try:
                thread.join()
            except BaseException as error:  # noqa: BLE001 - an interrupt; the file stays open until the thread has seen it
                reading.failure = error
    if reading.failure:
        raise reading.failure


def _work(reading: _Reading, lock: threading.Lock) -> None:
    try:
        buffer = reading.buffer()
        while (index := reading.take(lock)) is not None:
            leaves = reading.hash_span(index, buffer)
            with lock:
                reading.give_in_order(index, leaves)
    except BaseException as error:  # noqa: BLE001 - whichever thread it hits, the caller's raises it
        reading.failure = error
