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
    "check_shard",
    "directory_node",
    "is_directory",
    "load_node",
    "murmur3",
    "read_directory",
    "shard",
]


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
        If the block is no directory or malformed, if a name is unsafe as a path component, or a shard is corrupt.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/
    """
    node = dagpb.decode(block)
    if node.kind == dagpb.SHARD:
        links = _shard_links(node, load, 0)
    elif node.kind == dagpb.DIRECTORY:
        links = node.links
    else:
        raise CIDError(f"the node is a {node.kind}, not a directory")
    links = sorted(links, key=lambda link: link[1])
    _refuse_twins(links)
    return [Entry(_safe_name(name), text_of(cid), size) for cid, name, size in links]


def _safe_name(raw: bytes) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise CIDError(f"a directory holds the name {raw!r}, which is not UTF-8") from None
    _name_bytes(name)
    return name


def _shard_links(node: dagpb.Node, load: Load | None, depth: int) -> list[Link]:
    check_shard(node)
    links: list[Link] = []
    for cid, name, size in node.links:
        if len(name) > 2:
            links.append((cid, name[2:], size))
        elif load is None or depth == 7:
            raise CIDError(
                "the directory is sharded " + ("too deeply" if load else "and its shards cannot be read: pass `load`")
            )
        else:
            child = dagpb.decode(load_node(text_of(cid), load))
            if child.kind != dagpb.SHARD:
                raise CIDError(f"a shard's child {text_of(cid)} is a {child.kind}, not a shard")
            links += _shard_links(child, load, depth + 1)
    return links


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
    """Refuse a shard that `shard` would not make: another hash or fanout, or links that do not fit its bit field."""
    if node.hash_type != MURMUR3_X64_64 or node.fanout != FANOUT:
        raise CIDError(
            f"a directory shard has hash 0x{node.hash_type:x} and fanout {node.fanout}; "
            f"Stargazer reads murmur3-x64-64 (0x22) and {FANOUT}, as Kubo makes them"
        )
    field = int.from_bytes(node.data, "big")
    if [name[:2] for _, name, _ in node.links] != [b"%02X" % index for index in range(FANOUT) if field >> index & 1]:
        raise CIDError("a directory shard is malformed: its links are not those of its bit field")
