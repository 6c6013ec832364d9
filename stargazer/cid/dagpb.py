"""dag-pb nodes with UnixFS data: the blocks that files and directories are made of.

Source: https://ipld.io/specs/codecs/dag-pb/spec/ and https://specs.ipfs.tech/unixfs/
"""

from __future__ import annotations

import hashlib

from stargazer.cid.cid import DAG_PB_PREFIX, Value, text_of
from stargazer.errors import CIDError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "DIRECTORY",
    "FILE",
    "SHARD",
    "SYMLINK",
    "Link",
    "Node",
    "decode",
    "directory_data",
    "encode",
    "file_data",
    "file_links",
    "name_block",
    "varint",
]

# Binary CID, name, cumulative size of the DAG below (Tsize).
Link = tuple[bytes, bytes, int]

KINDS = ("raw", "directory", "file", "metadata", "symlink", "hamt-shard")
DIRECTORY = "directory"
FILE = "file"
SYMLINK = "symlink"
SHARD = "hamt-shard"

directory_data = b"\x08\x01"


class Node(Value):
    """A decoded block.

    Parameters
    ----------
    kind
        One of `KINDS`.
    links
        Its children: binary CID, name, Tsize in bytes.
    data
        Bytes held in the node itself; for a shard, its bit field.
    filesize
        Length of the file below, in bytes.
    blocksizes
        Length of the file below each link, in bytes.
    hash_type
        Of a shard: the code of the hash of names.
    fanout
        Of a shard: the most links it may have.
    """

    __match_args__ = ("kind", "links", "data", "filesize", "blocksizes", "hash_type", "fanout")
    __slots__ = __match_args__
    kind: str
    links: list[Link]
    data: bytes
    filesize: int
    blocksizes: list[int]
    hash_type: int
    fanout: int

    def __init__(
        self,
        kind: str,
        links: list[Link],
        data: bytes,
        filesize: int,
        blocksizes: list[int],
        hash_type: int,
        fanout: int,
    ) -> None:
        self._set(kind, links, data, filesize, blocksizes, hash_type, fanout)


def varint(number: int) -> bytes:
    """Write an unsigned integer as protobuf does."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode(links: Iterable[Link], data: bytes) -> bytes:
    """Serialise a node; links before data, as the dag-pb specification wants."""
    parts = [_encode_link(*link) for link in links]
    return b"".join(parts) + b"\x0a" + varint(len(data)) + data


def _encode_link(cid: bytes, name: bytes, size: int) -> bytes:
    body = b"".join((b"\x0a", varint(len(cid)), cid, b"\x12", varint(len(name)), name, b"\x18", varint(size)))
    return b"\x12" + varint(len(body)) + body


def file_data(blocksizes: Iterable[int]) -> bytes:
    """Return the UnixFS data of an inner node of a file."""
    sizes = list(blocksizes)
    return b"\x08\x02\x18" + varint(sum(sizes)) + b"".join([b"\x20" + varint(size) for size in sizes])


def shard_data(bitfield: int) -> bytes:
    """Return the UnixFS data of a directory shard whose links stand at the set bits."""
    raw = bitfield.to_bytes((bitfield.bit_length() + 7) // 8, "big")
    return b"\x08\x05\x12" + varint(len(raw)) + raw + b"\x28\x22\x30" + varint(256)


def name_block(block: bytes) -> bytes:
    """Return the binary CID of a serialised node."""
    return DAG_PB_PREFIX + hashlib.sha256(block).digest()


def decode(block: bytes) -> Node:
    """Read a serialised node; raises `CIDError` if it is none or is malformed."""
    links: list[Link] = []
    data: bytes | None = None
    for field, value in _fields(block):
        if not isinstance(value, bytes) or field not in (1, 2) or (field == 1 and data is not None):
            raise CIDError(f"a block of {len(block)} bytes is no dag-pb node: field {field} does not belong there")
        if field == 1:
            data = value
        else:
            links.append(_decode_link(value))
    if data is None:
        raise CIDError(f"a dag-pb node of {len(block)} bytes holds no UnixFS data: it is no file and no directory")
    return _decode_unixfs(links, data)


def _decode_link(raw: bytes) -> Link:
    cid, name, size = b"", b"", 0
    for field, value in _fields(raw):
        if field == 1 and isinstance(value, bytes):
            cid = value
        elif field == 2 and isinstance(value, bytes):
            name = value
        elif field == 3 and isinstance(value, int):
            size = value
        else:
            raise CIDError(f"a link of a dag-pb node is malformed: field {field} does not belong there")
    return cid, name, size


def _decode_unixfs(links: list[Link], raw: bytes) -> Node:
    numbers: dict[int, int] = {}
    blocksizes: list[int] = []
    data = b""
    for field, value in _fields(raw):
        if field == 2 and isinstance(value, bytes):
            data = value
        elif field == 4 and isinstance(value, int):
            blocksizes.append(value)
        elif field == 4 and isinstance(value, bytes):  # packed, as some libraries write lists of numbers
            blocksizes += _packed(value)
        elif field in (1, 3, 5, 6) and isinstance(value, int):
            numbers[field] = value
        elif field <= 6:
            raise CIDError(f"UnixFS data is malformed: field {field} has the wrong wire type")
    kind = numbers.get(1, len(KINDS))
    if kind >= len(KINDS):
        raise CIDError(f"UnixFS data has no type that Stargazer knows ({numbers.get(1)})")
    return Node(KINDS[kind], links, data, numbers.get(3, 0), blocksizes, numbers.get(5, 0), numbers.get(6, 0))


def _packed(raw: bytes) -> Iterator[int]:
    at = 0
    while at < len(raw):
        value, at = _varint(raw, at)
        yield value


FIXED = None
"""The value of a field that is passed over."""


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes | None]]:
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        if tag & 7 in (1, 5):  # numbers of a fixed width, which times of UnixFS 1.5 have; nobody here reads them
            at += 8 if tag & 7 == 1 else 4
            if at > len(raw):
                raise CIDError(f"a block is no dag-pb node: it is malformed at byte {at} of {len(raw)}")
            yield tag >> 3, FIXED
            continue
        value, at = _varint(raw, at)
        if tag & 7 == 0:
            yield tag >> 3, value
        elif tag & 7 == 2 and at + value <= len(raw):
            yield tag >> 3, raw[at : at + value]
            at += value
        else:
            raise CIDError(f"a block is no dag-pb node: it is malformed at byte {at} of {len(raw)}")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(raw) and shift < 64:
        value |= (raw[at] & 0x7F) << shift
        if raw[at] < 0x80:
            return value, at + 1
        at, shift = at + 1, shift + 7
    raise CIDError(f"a block is no dag-pb node: a number is cut off or too long at byte {at} of {len(raw)}")


def file_links(block: bytes) -> list[tuple[str, int]]:
    """Read the children of an inner node of a file.

    Parameters
    ----------
    block
        The serialised node.

    Returns
    -------
    list of (str, int)
        CID of each child and the bytes of the file that it covers, in order.

    Raises
    ------
    CIDError
        If the block is no inner node of a file.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/
    """
    node = decode(block)
    if node.kind != FILE:
        raise CIDError(f"the node is a {node.kind}, not a file")
    if len(node.blocksizes) != len(node.links) or sum(node.blocksizes) + len(node.data) != node.filesize:
        raise CIDError("a file's node is malformed: the sizes of its parts do not add up")
    return [(text_of(cid), size) for (cid, _, _), size in zip(node.links, node.blocksizes, strict=True)]
