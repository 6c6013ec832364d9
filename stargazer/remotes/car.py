"""CAR streams: blocks one after another, each with the CID that it claims.

Source: https://ipld.io/specs/transport/car/carv1/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.cid.dagpb import varint
from stargazer.cid.text import V0_PREFIX, binary, text_of
from stargazer.errors import CIDError
from stargazer.remotes.limits import MOST_BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["MalformedCAR", "car_header", "car_section", "read_car"]

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
