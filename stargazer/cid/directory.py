"""Directories: entries to nodes and back."""

from __future__ import annotations

import hashlib
from itertools import pairwise

from stargazer.cid import dagpb
from stargazer.cid.cid import DAG_PB, Value, binary, parse, text_of
from stargazer.cid.dagpb import Link, Node, encode, name_block, shard_data
from stargazer.cid.unixfs import KUBO
from stargazer.errors import CIDError, CIDMismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stargazer.cid.unixfs import CIDProfile

    Load = Callable[[str], bytes]

__all__ = [
    "DirNode",
    "Entry",
    "Odd",
    "check_shard",
    "digit",
    "directory_node",
    "first_digit",
    "is_directory",
    "load_node",
    "murmur3",
    "read_directory",
    "read_entries",
    "shard",
    "width",
]


LONGEST_NAME = 255
"""Bytes of a name that every file system of ours can hold."""


class Entry(Value):
    """A name in a directory.

    Parameters
    ----------
    name
        One path component.
    cid
        CID of the file or directory of that name.
    size
        Length of all blocks below it, in bytes (its Tsize): a file's `dag_size`, a directory's `tsize`.
    """

    __match_args__ = ("name", "cid", "size")
    __slots__ = __match_args__
    name: str
    cid: str
    size: int

    def __init__(self, name: str, cid: str, size: int) -> None:
        self._set(name, cid, size)


class DirNode(Value):
    """A directory as its blocks.

    Parameters
    ----------
    cid
        CID of the root.
    tsize
        Length of all blocks below it, in bytes, the entries' included.
    blocks
        The serialised nodes of this directory by CID: the root and, if it is sharded, its shards.
    """

    __match_args__ = ("cid", "tsize", "blocks")
    __slots__ = __match_args__
    cid: str
    tsize: int
    blocks: dict[str, bytes]

    def __init__(self, cid: str, tsize: int, blocks: dict[str, bytes]) -> None:
        self._set(cid, tsize, blocks)


def directory_node(entries: Iterable[Entry], profile: CIDProfile = KUBO) -> DirNode:
    """Make the nodes of a directory.

    Parameters
    ----------
    entries
        Its names, in any order.
    profile
        Decides from which size on it is sharded.

    Returns
    -------
    DirNode
        Its CID, its size and its blocks.

    Raises
    ------
    CIDError
        If a name is no path component, is not UTF-8 or appears twice, or a CID is none.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/ and ``ipld/unixfs/io/directory.go`` of https://github.com/ipfs/boxo
    """
    links = sorted(
        [(binary(entry.cid), _name_bytes(entry.name), entry.size) for entry in entries], key=lambda link: link[1]
    )
    _refuse_twins(links)
    blocks: dict[bytes, bytes] = {}
    block = dagpb.encode(links, dagpb.directory_data)
    estimate = len(block) if profile.hamt_estimate == "block" else sum(len(cid) + len(name) for cid, name, _ in links)
    if estimate > profile.hamt_threshold:
        root, tsize = shard(links, blocks)
    else:
        root, tsize = dagpb.name_block(block), len(block) + sum(size for _, _, size in links)
        blocks[root] = block
    return DirNode(text_of(root), tsize, {text_of(cid): block for cid, block in blocks.items()})


def _name_bytes(name: str) -> bytes:
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        raise CIDError(f"the name {name!r} is not UTF-8, and names in a CID are; rename it") from None
    if raw in (b"", b".", b"..") or b"/" in raw or b"\0" in raw:
        raise CIDError(f"{name!r} cannot be a name in a directory: a name is one component of a path")
    return raw


def _refuse_twins(links: list[Link]) -> None:
    for (_, name, _), (_, following, _) in pairwise(links):
        if name == following:
            raise CIDError(f"the name {name.decode()!r} appears twice in one directory")


def is_directory(block: bytes) -> bool:
    """Tell whether a dag-pb node is the root of a directory, sharded or not; `CIDError` if it is no dag-pb node."""
    return dagpb.decode(block).kind in (dagpb.DIRECTORY, dagpb.SHARD)


def read_directory(block: bytes, load: Load | None = None) -> list[Entry]:
    """Read the entries of a directory.

    Parameters
    ----------
    block
        The serialised root.
    load
        Gives the bytes of a shard by its CID; they are checked. Needed if the directory is sharded.

    Returns
    -------
    list of Entry
        Sorted by the bytes of their names.

    Raises
    ------
    CIDError
        If the block is no directory or malformed, if an entry is one that `read_entries` sets aside, or a shard is
        corrupt.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/
    """
    entries, odd = read_entries(block, load)
    if odd:
        raise CIDError(odd[0].reason)
    return entries


class Odd(Value):
    """An entry of a directory that cannot be had.

    Parameters
    ----------
    name
        As far as it can be read.
    reason
        What is odd about it.
    """

    __match_args__ = ("name", "reason")
    __slots__ = __match_args__
    name: str
    reason: str

    def __init__(self, name: str, reason: str) -> None:
        self._set(name, reason)


def read_entries(block: bytes, load: Load | None = None) -> tuple[list[Entry], list[Odd]]:
    """Read the entries of a directory, and set those aside that cannot be had: the others can.

    Parameters
    ----------
    block, load
        As for `read_directory`.

    Returns
    -------
    list of Entry, list of Odd
        What can be had, sorted by the bytes of names; and links to other data than files and directories, names that
        are unsafe as a path component or too long for any file system, entries in a wrong place of a shard, and all
        but the first of one name: whoever asks IPFS for that name is given the first.

    Raises
    ------
    CIDError
        If the block is no directory or malformed, or a shard is corrupt.
    """
    node = dagpb.decode(block)
    odd: list[Odd] = []
    if node.kind == dagpb.SHARD:
        links = _Shards(load, odd).links(node)
    elif node.kind == dagpb.DIRECTORY:
        links = node.links
    else:
        raise CIDError(f"the node is a {node.kind}, not a directory")
    firsts = {link[1]: link for link in reversed(links)}
    odd += [_twin(link) for link in links if firsts[link[1]] is not link]
    entries = (_entry(firsts[name], odd) for name in sorted(firsts))
    return [entry for entry in entries if entry is not None], odd


def _twin(link: Link) -> Odd:
    shown = link[1].decode("utf-8", "backslashreplace")
    return Odd(shown, f"the name {shown!r} appears twice in one directory, and the first one is read, as IPFS does")


def _entry(link: Link, odd: list[Odd]) -> Entry | None:
    cid, raw, size = link
    shown = raw.decode("utf-8", "backslashreplace")
    try:
        return Entry(_safe_name(raw), text_of(cid), size)
    except CIDError as error:
        odd.append(Odd(shown, str(error)))
        return None


def _safe_name(raw: bytes) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise CIDError(f"a directory holds the name {raw!r}, which is not UTF-8") from None
    _name_bytes(name)
    if len(raw) > LONGEST_NAME:
        raise CIDError(f"a directory holds a name of {len(raw)} bytes ({name[:40]!r}…), more than a file may have")
    return name


class _Shards:
    """Walks the shards of one directory; each lies in one place, or the directory is malformed and has no end."""

    def __init__(self, load: Load | None, odd: list[Odd]) -> None:
        self._load, self._odd = load, odd
        self._seen: set[bytes] = set()

    def links(self, root: dagpb.Node) -> list[Link]:
        """The entries in the root and all shards below it."""
        found: list[Link] = []
        first = first_digit(root)
        waiting = [(root, first)]
        while waiting:
            node, depth = waiting.pop()
            check_shard(node)
            wide = width(node)
            for cid, name, size in node.links:
                if len(name) == wide:
                    waiting += self._below(cid, name, depth)
                elif digit(murmur3(name[wide:]), depth, node.fanout) == int(name[:wide], 16):
                    found.append((cid, name[wide:], size))
                else:
                    shown = name[wide:].decode("utf-8", "backslashreplace")
                    self._odd.append(Odd(shown, f"the name {shown!r} stands in a shard where nobody would look for it"))
        return found

    def _below(self, cid: bytes, name: bytes, depth: int) -> list[tuple[dagpb.Node, int]]:
        if self._load is None or depth >= 63:
            raise CIDError(
                "the directory is sharded "
                + ("too deeply" if self._load else "and its shards cannot be read: pass `load`")
            )
        if cid in self._seen:
            self._odd.append(Odd(name.decode("ascii", "replace"), f"the shard {text_of(cid)} lies in several places"))
            return []
        self._seen.add(cid)
        child = dagpb.decode(load_node(text_of(cid), self._load))
        if child.kind != dagpb.SHARD:
            raise CIDError(f"a shard's child {text_of(cid)} is a {child.kind}, not a shard")
        return [(child, depth + 1)]


def load_node(cid: str, load: Load) -> bytes:
    """Load a dag-pb node and check it; `CIDError` if the CID names no node, `CIDMismatch` if the bytes are others."""
    name = parse(cid)
    if name.codec != DAG_PB:
        raise CIDError(f"{cid} names raw bytes, not a node of a file or directory")
    block = load(cid)
    if hashlib.sha256(block).digest() != name.digest:
        raise CIDMismatch(f"the node {cid} is corrupt where it was loaded from; `stargazer fsck` sets it aside", (cid,))
    return block


# Sharded directories: a hash array mapped trie of names, as Kubo makes it.
#
# Source: https://specs.ipfs.tech/unixfs/#dag-pb-hamtdirectory and Austin Appleby's MurmurHash3 (public domain).


FANOUT = 256
"""Of the shards that we make, as Kubo makes them."""
MOST_FANOUT = 1024
MURMUR3_X64_64 = 0x22

_MASK = 0xFFFFFFFFFFFFFFFF
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F


def murmur3(data: bytes) -> bytes:
    """Hash a name: the first half of MurmurHash3 x64 128, seed 0, big-endian.

    Parameters
    ----------
    data
        The name, UTF-8.

    Returns
    -------
    bytes
        Eight bytes: the name's place at each level of the trie.
    """
    h1 = h2 = 0
    whole = len(data) & ~15
    for at in range(0, whole, 16):
        h1 ^= _mix1(int.from_bytes(data[at : at + 8], "little"))
        h1 = (_rotate(h1, 27) + h2) * 5 + 0x52DCE729 & _MASK
        h2 ^= _mix2(int.from_bytes(data[at + 8 : at + 16], "little"))
        h2 = (_rotate(h2, 31) + h1) * 5 + 0x38495AB5 & _MASK
    h2 ^= _mix2(int.from_bytes(data[whole + 8 :], "little")) ^ len(data)
    h1 ^= _mix1(int.from_bytes(data[whole : whole + 8], "little")) ^ len(data)
    h1 = h1 + h2 & _MASK
    h2 = h1 + h2 & _MASK
    return (_finish(h1) + _finish(h2) & _MASK).to_bytes(8, "big")


def _rotate(x: int, by: int) -> int:
    return (x << by | x >> 64 - by) & _MASK


def _mix1(k: int) -> int:
    return _rotate(k * _C1 & _MASK, 31) * _C2 & _MASK


def _mix2(k: int) -> int:
    return _rotate(k * _C2 & _MASK, 33) * _C1 & _MASK


def _finish(k: int) -> int:
    k = (k ^ k >> 33) * 0xFF51AFD7ED558CCD & _MASK
    k = (k ^ k >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return k ^ k >> 33


def shard(links: list[Link], blocks: dict[bytes, bytes]) -> tuple[bytes, int]:
    """Make the shards of a directory.

    Parameters
    ----------
    links
        Binary CID, name and Tsize of each entry, in any order.
    blocks
        Where the serialised shards go, by their binary CIDs.

    Returns
    -------
    bytes, int
        Binary CID and Tsize of the root shard.
    """
    return _shard([(murmur3(link[1]), link) for link in links], 0, blocks)


def _shard(hashed: list[tuple[bytes, Link]], depth: int, blocks: dict[bytes, bytes]) -> tuple[bytes, int]:
    if depth == 8:
        raise CIDError(
            f"the names {[link[1].decode() for _, link in hashed[:2]]} have one hash: no directory can hold both"
        )
    slots: dict[int, list[tuple[bytes, Link]]] = {}
    for item in hashed:
        slots.setdefault(item[0][depth], []).append(item)
    links = [_slot(index, slots[index], depth, blocks) for index in sorted(slots)]
    block = encode(links, shard_data(sum(1 << index for index in slots)))
    cid = name_block(block)
    blocks[cid] = block
    return cid, len(block) + sum(size for _, _, size in links)


def _slot(index: int, hashed: list[tuple[bytes, Link]], depth: int, blocks: dict[bytes, bytes]) -> Link:
    prefix = b"%02X" % index
    if len(hashed) > 1:
        cid, size = _shard(hashed, depth + 1, blocks)
        return cid, prefix, size
    cid, name, size = hashed[0][1]
    return cid, prefix + name, size


def check_shard(node: Node) -> None:
    """Refuse a shard whose names nobody could find: another hash, an odd fan-out, or links beside its bit field."""
    fanout = node.fanout
    if node.hash_type != MURMUR3_X64_64 or fanout < 8 or fanout > MOST_FANOUT or fanout & (fanout - 1):
        raise CIDError(
            f"a directory shard has hash 0x{node.hash_type:x} and fanout {fanout}; "
            f"Stargazer reads murmur3-x64-64 (0x22), and powers of two from 8 to {MOST_FANOUT}"
        )
    field, wide = int.from_bytes(node.data, "big"), width(node)
    if field >> fanout or [name[:wide] for _, name, _ in node.links] != [
        b"%0*X" % (wide, index) for index in range(fanout) if field >> index & 1
    ]:
        raise CIDError("a directory shard is malformed: its links are not those of its bit field")


def width(node: Node) -> int:
    """Hexadecimal digits before each name in a shard."""
    return len(f"{max(1, node.fanout - 1):X}")


def digit(hashed: bytes, depth: int, fanout: int) -> int | None:
    """Slot of a hashed name in a shard so deep; None where the hash has no more digits."""
    bits = fanout.bit_length() - 1
    shift = 64 - bits * (depth + 1)
    return int.from_bytes(hashed, "big") >> shift & (fanout - 1) if shift >= 0 else None


def first_digit(node: Node) -> int:
    """How deep a shard lies that is read by itself: 0 for the root of a directory."""
    wide, bits = width(node), max(1, node.fanout.bit_length() - 1)
    names = [name for _, name, _ in node.links if len(name) > wide]
    hashed = [(murmur3(name[wide:]), int(name[:wide], 16) if _is_hex(name[:wide]) else -1) for name in names]
    depths = (d for d in range(64 // bits) if all(digit(h, d, node.fanout) == slot for h, slot in hashed))
    return next(depths, 0)


def _is_hex(text: bytes) -> bool:
    return not text.strip(b"0123456789ABCDEF")
