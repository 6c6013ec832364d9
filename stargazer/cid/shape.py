"""How a file is cut into blocks where no profile cuts it so: its nodes, without the bytes that the file itself has.

``ipfs add`` of old, other chunkers, trickling trees and inlined leaves give CIDs that nobody can compute anew from the
bytes alone. With the nodes beside the file it can be checked later all the same, and sent to others block by block.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import NamedTuple

from stargazer.cid.cid import parse
from stargazer.cid.dagpb import encode, varint
from stargazer.cid.parts import Part, inline_of, is_raw, parts_of
from stargazer.cid.unixfs import KUBO, Layout
from stargazer.errors import CIDError, CIDMismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int, int], bytes]

__all__ = ["Drawing", "Shape", "draw_version_0"]

_MAGIC = b"dag-shape 1\n"
_MOST = 512 << 20
_PIECE = 1 << 20


class _Node(NamedTuple):
    """A node: what stands before the bytes of the file that it holds, how many these are, and what stands behind."""

    head: bytes
    size: int
    tail: bytes


class Shape:
    """The nodes of one file, in the order in which they are met from the root on, each once.

    Parameters
    ----------
    nodes
        As `Drawing` noted them.
    """

    def __init__(self, nodes: list[_Node]) -> None:
        self._nodes = nodes

    def to_bytes(self) -> bytes:
        """The nodes as one file."""
        parts = [b"".join((_sized(n.head), varint(n.size), _sized(n.tail))) for n in self._nodes]
        return _MAGIC + zlib.compress(b"".join(parts), 6)

    @classmethod
    def from_bytes(cls, data: bytes) -> Shape:
        """Read them; `CIDError` if they are none."""
        if not data.startswith(_MAGIC):
            raise CIDError("the nodes of a file are torn: they begin otherwise")
        try:
            inflated = zlib.decompressobj()
            plain = inflated.decompress(data[len(_MAGIC) :], _MOST)
        except zlib.error as error:
            raise CIDError(f"the nodes of a file are torn: {error}") from None
        if not inflated.eof:
            raise CIDError("the nodes of a file are torn, or too many")
        return cls(list(_read_nodes(plain)))

    def fits(self, cid: str, read: Read, size: int) -> bool:
        """Whether bytes are those of a CID.

        Parameters
        ----------
        cid
            Of the file.
        read
            Gives bytes from a place on, so many.
        size
            How many there are.
        """
        try:
            for _ in self.blocks(cid, read, size):
                pass
        except CIDError:
            return False
        return True

    def blocks(self, cid: str, read: Read, size: int) -> Iterator[tuple[str, bytes]]:
        """Each block of the file, checked, leaves that are raw as they come, nodes after all that they link to.

        Raises
        ------
        CIDMismatch
            The bytes are others.
        """
        nodes: list[tuple[Part, _Node]] = []
        for part, node, block in self._walk(cid, read, size):
            if node is None:
                yield part.cid, block
            else:
                nodes.append((part, node))
        for part, node in reversed(nodes):
            yield part.cid, node.head + read(part.start, node.size) + node.tail

    def _walk(self, cid: str, read: Read, size: int) -> Iterator[tuple[Part, _Node | None, bytes]]:
        waiting, seen, following = [Part(cid, 0, size, 0)], dict[str, int](), iter(self._nodes)
        while waiting:
            part = waiting.pop()
            if part.cid in seen:
                _check_equal(part, seen[part.cid], read)
                continue
            if is_raw(part.cid):
                block = read(part.start, part.size)
                _check(part.cid, block)
                if not part.size:
                    seen[part.cid] = part.start
                yield part, None, block
                continue
            node = next(following, None)
            if node is None:
                raise CIDError(f"the nodes of {cid} are not all there")
            block = node.head + read(part.start, node.size) + node.tail
            _check(part.cid, block)
            seen[part.cid] = part.start
            yield part, node, block
            waiting += reversed(parts_of(part, block)[1])


class Drawing:
    """Notes the nodes of a file as they are met."""

    def __init__(self) -> None:
        self._nodes: list[_Node] = []

    def note(self, block: bytes, data: bytes) -> None:
        """Note the next node, and the bytes of the file that it holds."""
        at = block.rindex(data) if data else len(block)
        self._nodes.append(_Node(block[:at], len(data), block[at + len(data) :]))

    def finish(self) -> Shape:
        """The shape of the file."""
        return Shape(self._nodes)


def draw_version_0(read: Read, size: int) -> tuple[str, Shape]:
    """The CID that ``ipfs add`` gives a file where nobody asks for version 1, and how it cuts the file.

    Parameters
    ----------
    read, size
        As for `Shape.fits`.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/; leaves are dag-pb nodes there.
    """
    inner: dict[str, bytes] = {}
    layout = Layout(KUBO, inner.__setitem__)
    for start in range(0, max(1, size), KUBO.chunk):
        data = read(start, min(KUBO.chunk, size - start))
        layout.add_node(_leaf(data), len(data))
    root = layout.finish().cid
    drawing, seen, waiting = Drawing(), set[str](), [Part(root, 0, size, 0)]
    while waiting:
        part = waiting.pop()
        if part.cid in seen:
            continue
        seen.add(part.cid)
        block = inner.get(part.cid) or _leaf(read(part.start, part.size))
        leaf, below = parts_of(part, block)
        drawing.note(block, leaf.data)
        waiting += reversed(below)
    return root, drawing.finish()


def _leaf(data: bytes) -> bytes:
    size = varint(len(data))
    return encode([], b"\x08\x02" + (b"\x12" + size + data if data else b"") + b"\x18" + size)


def _check(cid: str, block: bytes) -> None:
    if (inline := inline_of(cid)) is not None:
        good = inline == block
    else:
        good = hashlib.sha256(block).digest() == parse(cid).digest
    if not good:
        raise CIDMismatch(f"a part of the file is not {cid}", (cid,))


def _check_equal(part: Part, known: int, read: Read) -> None:
    """Compare bytes with those of the same block elsewhere, which were checked."""
    for at in range(0, part.size, _PIECE):
        size = min(_PIECE, part.size - at)
        if read(part.start + at, size) != read(known + at, size):
            raise CIDMismatch(f"a part of the file is not {part.cid}", (part.cid,))


def _sized(data: bytes) -> bytes:
    return varint(len(data)) + data


def _read_nodes(plain: bytes) -> Iterator[_Node]:
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while at < len(plain) and shift < 63:
            byte, at = plain[at], at + 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise CIDError("the nodes of a file are torn: a number is cut off")

    def taken() -> bytes:
        nonlocal at
        size = number()
        at += size
        if at > len(plain):
            raise CIDError("the nodes of a file are torn: a node is cut off")
        return plain[at - size : at]

    while at < len(plain):
        yield _Node(taken(), number(), taken())
