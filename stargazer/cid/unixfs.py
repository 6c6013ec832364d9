"""CIDs of bytes as they stream by: leaves of a fixed size under a balanced tree."""

from __future__ import annotations

import hashlib

from stargazer.cid.cid import RAW, RAW_PREFIX, Value, format_cid, text_of
from stargazer.cid.dagpb import encode, file_data, name_block
from stargazer.errors import CIDError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import BinaryIO

    Buffer = bytes | bytearray | memoryview
    Keep = Callable[[str, bytes], object]

__all__ = [
    "KUBO",
    "PROFILES",
    "UNIXFS_2025",
    "CIDProfile",
    "FileNode",
    "Hasher",
    "Layout",
    "cid_of_bytes",
    "cid_of_stream",
    "profile",
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
