"""Walking files and directories block by block, with bounds on how wide and how deep they may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stargazer.cid import RAW, parse
from stargazer.cid.dagpb import DIRECTORY, SHARD, Node, decode
from stargazer.cid.hamt import check_shard, murmur3
from stargazer.cid.text import text_of
from stargazer.errors import CIDError, NotFound
from stargazer.remotes.limits import MOST_DEPTH, MOST_LINKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Get = Callable[[str], bytes]

__all__ = ["Leaf", "Part", "children", "find", "is_raw", "node_of", "parts_of", "resolve", "size_of"]


class Part(NamedTuple):
    """A part of a file: the CID of its node, and which bytes of the file it has."""

    cid: str
    start: int
    size: int
    depth: int


class Leaf(NamedTuple):
    """Bytes of a file that lie in a node itself."""

    start: int
    data: bytes


def is_raw(cid: str) -> bool:
    """Whether a CID names bytes, not a node."""
    return parse(cid).codec == RAW


def node_of(cid: str, block: bytes) -> Node:
    """Decode a node.

    Raises
    ------
    CIDError
        It is none, or has more links than any tool makes.
    """
    node = decode(block)
    if len(node.links) > MOST_LINKS:
        raise CIDError(f"{cid} has {len(node.links)} links; a node has {MOST_LINKS} at most")
    return node


def size_of(cid: str, block: bytes) -> int:
    """Length of the file of which this is the root, in bytes."""
    if is_raw(cid):
        return len(block)
    node = _file_node(cid, block)
    return len(node.data) + sum(node.blocksizes)


def parts_of(part: Part, block: bytes) -> tuple[Leaf, list[Part]]:
    """Bytes that lie in a node itself, and the parts that it links to.

    Raises
    ------
    CIDError
        It is no part of a file, is too deep, or has another length than the node above it says.
    """
    if is_raw(part.cid):
        _check_size(part, len(block))
        return Leaf(part.start, block), []
    node = _file_node(part.cid, block)
    _check_size(part, len(node.data) + sum(node.blocksizes))
    if part.depth >= MOST_DEPTH and node.links:
        raise CIDError(f"{part.cid} lies {part.depth} nodes deep in its file; {MOST_DEPTH} is the most")
    parts, at = [], part.start + len(node.data)
    for (cid, _, _), size in zip(node.links, node.blocksizes, strict=True):
        parts.append(Part(text_of(cid), at, size, part.depth + 1))
        at += size
    return Leaf(part.start, node.data), parts


def _file_node(cid: str, block: bytes) -> Node:
    node = node_of(cid, block)
    if node.kind not in ("file", "raw"):
        raise CIDError(f"{cid} is a {node.kind}, not a file")
    if len(node.blocksizes) != len(node.links) or node.filesize not in (0, len(node.data) + sum(node.blocksizes)):
        raise CIDError(f"{cid} is malformed: the sizes of its parts do not add up")
    return node


def _check_size(part: Part, found: int) -> None:
    if part.size != found:
        raise CIDError(f"{part.cid} has {found} bytes where the node above it says {part.size}")


def resolve(path: str, get: Get) -> str:
    """CID of what lies at ``<cid>/x/y``, from as few blocks as lead there.

    Raises
    ------
    NotFound
        There is no such name.
    """
    cid, *names = [each for each in path.strip("/").split("/") if each]
    cid = parse(cid).text
    for name in names:
        found = None if is_raw(cid) else find(name, cid, get)
        if found is None:
            raise NotFound(f"there is no {name!r} in {cid}, on the way to {path}")
        cid = found
    return cid


def find(name: str, cid: str, get: Get) -> str | None:
    """CID of a name in a directory, or None; of one that is sharded only the shards on the way are read."""
    wanted = name.encode("utf-8", "surrogateescape")
    node = node_of(cid, get(cid))
    if node.kind == DIRECTORY:
        return next((text_of(link) for link, entry, _ in node.links if entry == wanted), None)
    if node.kind != SHARD:
        return None
    for place in murmur3(wanted):
        check_shard(node)
        prefix = b"%02X" % place
        link, entry = next(((link, entry) for link, entry, _ in node.links if entry[:2] == prefix), (b"", b""))
        if len(entry) != 2:
            return text_of(link) if entry[2:] == wanted and entry else None
        node = node_of(text_of(link), get(text_of(link)))
        if node.kind != SHARD:
            raise CIDError(f"a shard of {cid} leads to a {node.kind}, not a shard")
    return None


def children(node: Node) -> Iterator[str]:
    """CIDs that a node links to."""
    return (text_of(cid) for cid, _, _ in node.links)
