"""CIDs of bytes and files as they are read: leaves of a fixed size under a balanced tree."""

from __future__ import annotations

import hashlib
import os
import stat
from hashlib import sha256

from stargazer.cid.cid import RAW, RAW_PREFIX, Value, format_cid, text_of
from stargazer.cid.dagpb import encode, file_data, name_block
from stargazer.errors import CIDError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable
    from typing import BinaryIO

    Buffer = bytes | bytearray | memoryview
    Keep = Callable[[str, bytes], object]
    StrPath = str | os.PathLike[str]
    Progress = Callable[[int], object]
    Leaves = list[tuple[bytes, int]]

__all__ = [
    "KUBO",
    "PROFILES",
    "UNIXFS_2025",
    "CIDProfile",
    "FileNode",
    "Hasher",
    "Layout",
    "cid_of_bytes",
    "cid_of_file",
    "cid_of_stream",
    "file_node",
    "file_sha256",
    "open_file",
    "profile",
    "refuse_special",
]

# CID profiles: the parameters that decide which CID a file or a directory gets.


class CIDProfile(Value):
    """How bytes are cut into chunks, and chunks and names put together to a tree.

    Leaves are raw and CIDs are version 1 in every profile.

    Parameters
    ----------
    name
        The profile's public name.
    chunk
        Size of a leaf, in bytes.
    max_links
        Most children of an inner node of a file.
    hamt_estimate
        How the size of a directory is estimated: ``"links"``, names and binary CIDs; ``"block"``, the serialised node.
    hamt_threshold
        Estimated size above which a directory is sharded, in bytes.

    Notes
    -----
    Source: IPIP-0499, https://github.com/ipfs/specs/pull/499, and Kubo's ``ipfs config profile``.
    """

    __match_args__ = ("name", "chunk", "max_links", "hamt_estimate", "hamt_threshold")
    __slots__ = __match_args__
    name: str
    chunk: int
    max_links: int
    hamt_estimate: str
    hamt_threshold: int

    def __init__(self, name: str, chunk: int, max_links: int, hamt_estimate: str, hamt_threshold: int) -> None:
        self._set(name, chunk, max_links, hamt_estimate, hamt_threshold)


KUBO = CIDProfile("kubo-v1-256k-174", 256 * 1024, 174, "links", 256 * 1024)
UNIXFS_2025 = CIDProfile("unixfs-v1-2025", 1024 * 1024, 1024, "block", 256 * 1024)
PROFILES = (KUBO, UNIXFS_2025)


def profile(name: str) -> CIDProfile:
    """Find a profile by its name.

    Parameters
    ----------
    name
        ``"kubo-v1-256k-174"`` or ``"unixfs-v1-2025"``.

    Returns
    -------
    CIDProfile
        The profile of that name.

    Raises
    ------
    CIDError
        If there is none; the message lists those there are.
    """
    for known in PROFILES:
        if known.name == name:
            return known
    raise CIDError(f"no CID profile is called {name!r}; there are {', '.join(p.name for p in PROFILES)}")


BUFFER = 1024 * 1024


class FileNode(Value):
    """The root of a file.

    Parameters
    ----------
    cid
        Its CID.
    size
        Length of the file, in bytes.
    dag_size
        Length of all its blocks, in bytes: the Tsize of a link to it.
    """

    __match_args__ = ("cid", "size", "dag_size")
    __slots__ = __match_args__
    cid: str
    size: int
    dag_size: int

    def __init__(self, cid: str, size: int, dag_size: int) -> None:
        self._set(cid, size, dag_size)


class Layout:
    """The balanced tree over a file's leaves, made from left to right in memory that grows with its depth only.

    Parameters
    ----------
    profile
        Decides how many children a node has.
    keep
        Called with the CID and the bytes of each inner node when it is made.
    """

    def __init__(self, profile: CIDProfile, keep: Keep | None = None) -> None:
        self._max_links = profile.max_links
        self._keep = keep
        self._levels: list[list[tuple[bytes, int, int]]] = [[]]

    def add(self, digest: bytes, size: int) -> None:
        """Append a raw leaf: its SHA-256 and its length in bytes."""
        self._add(0, RAW_PREFIX + digest, size, size)

    def add_node(self, block: bytes, size: int) -> None:
        """Append a leaf that is a dag-pb node, and the bytes of the file that it holds."""
        self._add(0, name_block(block), size, len(block))

    def _add(self, level: int, cid: bytes, size: int, dag_size: int) -> None:
        if level == len(self._levels):
            self._levels.append([])
        row = self._levels[level]
        row.append((cid, size, dag_size))
        if len(row) == self._max_links:
            self._close(level)

    def _close(self, level: int) -> None:
        row, self._levels[level] = self._levels[level], []
        block = encode([(cid, b"", dag_size) for cid, _, dag_size in row], file_data([size for _, size, _ in row]))
        cid = name_block(block)
        if self._keep:
            self._keep(text_of(cid), block)
        self._add(level + 1, cid, sum(size for _, size, _ in row), len(block) + sum(dag_size for *_, dag_size in row))

    def finish(self) -> FileNode:
        """Close what is open and return the root."""
        if not self._levels[0] and len(self._levels) == 1:
            self.add(hashlib.sha256().digest(), 0)
        level = 0
        while level + 1 < len(self._levels) or len(self._levels[level]) > 1:
            if self._levels[level]:
                self._close(level)
            level += 1
        cid, size, dag_size = self._levels[level][0]
        return FileNode(text_of(cid), size, dag_size)


class Hasher:
    """Finds a CID while bytes stream by, however they are split; holds none of them.

    Parameters
    ----------
    profile
        Decides chunk size and tree shape.
    keep
        Called with the CID and the bytes of each inner node when it is made; with them, `verify` can say
        which bytes of a damaged file differ.

    Examples
    --------
    >>> hasher = Hasher()
    >>> hasher.update(b"hello ")
    >>> hasher.update(b"world")
    >>> hasher.finish().cid
    'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/ and the balanced layout of https://github.com/ipfs/boxo
    """

    def __init__(self, profile: CIDProfile = KUBO, keep: Keep | None = None) -> None:
        self._layout = Layout(profile, keep)
        self._chunk = profile.chunk
        self._leaf = hashlib.sha256()
        self._fill = 0
        self._root: FileNode | None = None

    def update(self, data: Buffer) -> None:
        """Append bytes; a `ValueError` after `finish`."""
        if self._root:
            raise ValueError("this Hasher has finished; make another one for other bytes")
        view = memoryview(data).cast("B")
        while view:
            part = view[: self._chunk - self._fill]
            self._leaf.update(part)
            self._fill += len(part)
            view = view[len(part) :]
            if self._fill == self._chunk:
                self._end_leaf()

    def _end_leaf(self) -> None:
        self._layout.add(self._leaf.digest(), self._fill)
        self._leaf, self._fill = hashlib.sha256(), 0

    def finish(self) -> FileNode:
        """Return the root of the bytes so far; further calls return the same."""
        if self._root is None:
            if self._fill:
                self._end_leaf()
            self._root = self._layout.finish()
        return self._root


def cid_of_bytes(data: Buffer, profile: CIDProfile = KUBO) -> str:
    """Name bytes in memory.

    Parameters
    ----------
    data
        Any contiguous buffer.
    profile
        Decides chunk size and tree shape.

    Returns
    -------
    str
        The CID that a file of these bytes has.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/
    """
    view = memoryview(data)
    if view.nbytes <= profile.chunk:
        return format_cid(RAW, hashlib.sha256(view).digest())
    hasher = Hasher(profile)
    hasher.update(view)
    return hasher.finish().cid


def cid_of_stream(
    source: BinaryIO | Iterable[Buffer], profile: CIDProfile = KUBO, progress: Callable[[int], object] | None = None
) -> str:
    """Name the bytes that a stream gives, to its end.

    Parameters
    ----------
    source
        A binary file object, or an iterable of buffers of any lengths.
    profile
        Decides chunk size and tree shape.
    progress
        Called with the number of bytes just read.

    Returns
    -------
    str
        The CID that a file of these bytes has.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/
    """
    hasher = Hasher(profile)
    read: Callable[[int], bytes] | None = getattr(source, "read", None)
    parts: Iterable[Buffer] = source if read is None else iter(lambda: read(BUFFER), b"")
    for part in parts:
        hasher.update(part)
        if progress:
            progress(memoryview(part).nbytes)
    return hasher.finish().cid


# Files are read once, in any number of threads, in memory that does not grow with the file. SHA-256 releases the
# interpreter's lock, so threads hash side by side. Each takes the next span of the file, reads it into a buffer of its
# own and hashes its leaves; the leaves enter the tree in the file's order.


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
