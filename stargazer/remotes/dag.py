"""Walking files and directories block by block, with bounds on how wide and how deep they may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stargazer.cid import RAW, parse
from stargazer.cid.cid import V0_PREFIX, binary, text_of
from stargazer.cid.dagpb import DIRECTORY, SHARD, Node, decode, varint
from stargazer.cid.directory import check_shard, murmur3
from stargazer.errors import CIDError, NotFound
from stargazer.remotes.base import MOST_BLOCK, MOST_DEPTH, MOST_LINKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Get = Callable[[str], bytes]

__all__ = [
    "Leaf",
    "MalformedCAR",
    "Part",
    "car_header",
    "car_section",
    "children",
    "find",
    "is_raw",
    "node_of",
    "parts_of",
    "read_car",
    "resolve",
    "size_of",
]


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


# CAR streams: blocks one after another, each with the CID that it claims.
#
# Source: https://ipld.io/specs/transport/car/carv1/


_MOST_HEADER = 1 << 16
_VERSION_1 = b"gversion\x01"


class MalformedCAR(ValueError):
    """A stream that is no CAR, ends within a block, or holds a block that is too large."""


def car_header(root: str) -> bytes:
    """The first bytes of a CAR with one root (DAG-CBOR: ``{"roots": [root], "version": 1}``)."""
    link = b"\x00" + binary(root)
    body = b"\xa2eroots\x81\xd8\x2a\x58" + bytes([len(link)]) + link + _VERSION_1
    return varint(len(body)) + body


def car_section(cid: str, block: bytes) -> bytes:
    """A block in a CAR."""
    name = binary(cid)
    return varint(len(name) + len(block)) + name + block


def read_car(parts: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Blocks of a CAR with the CIDs that they claim; nothing of them is checked.

    Raises
    ------
    MalformedCAR
        It is none, ends within a block, or a block is larger than any may be.
    """
    stream = _Stream(parts)
    length = stream.number()
    if not length or length > _MOST_HEADER or _VERSION_1 not in stream.take(length):
        raise MalformedCAR("what was sent is no CAR of version 1")
    while (length := stream.number()) is not None:
        if length > MOST_BLOCK + 64:
            raise MalformedCAR(f"a block of {length} bytes is more than the {MOST_BLOCK} that a block may have")
        yield _section(stream.take(length))


def _section(section: bytes) -> tuple[str, bytes]:
    size = 34 if section[:2] == V0_PREFIX else 36
    try:
        return text_of(section[:size]), section[size:]
    except CIDError as error:
        raise MalformedCAR(f"a block has a CID that cannot be read ({error})") from None


class _Stream:
    """Takes bytes off pieces of any lengths."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts, self._left = iter(parts), bytearray()

    def number(self) -> int | None:
        """A varint, or None at the end of the stream."""
        if not self._left and not self._more():
            return None
        value = shift = 0
        while shift < 63:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise MalformedCAR("the length of a block is no number")

    def take(self, size: int) -> bytes:
        while len(self._left) < size:
            if not self._more():
                raise MalformedCAR(f"the stream ends {size - len(self._left)} bytes before the end of a block")
        taken = bytes(memoryview(self._left)[:size])
        del self._left[:size]
        return taken

    def _more(self) -> bool:
        for part in self._parts:
            if part:
                self._left += part
                return True
        return False
