"""CARs: blocks one after another, each with the CID that it claims.

Source: https://ipld.io/specs/transport/car/carv1/ and carv2/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.cid.cid import V0_PREFIX, binary, split_cid, text_of
from stargazer.cid.dagpb import varint
from stargazer.errors import CIDError
from stargazer.remotes.base import MOST_BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["MalformedCAR", "car_header", "car_section", "read_car", "read_roots"]

_MOST_HEADER = 1 << 16
_MOST_CID = 256
_VERSION_1 = b"gversion\x01"
_PRAGMA_2 = b"\xa1gversion\x02"
_HEADER_2 = 40
_BEFORE_2 = 11 + _HEADER_2
_MOST_PADDING = 1 << 20


class MalformedCAR(ValueError):
    """A stream that is no CAR, ends within a block, or holds a block that is too large."""


def car_header(root: str) -> bytes:
    """The first bytes of a CAR with one root (DAG-CBOR: ``{"roots": [root], "version": 1}``)."""
    link = b"\x00" + binary(root)
    size = bytes([0x40 | len(link)]) if len(link) < 24 else b"\x58" + bytes([len(link)])
    body = b"\xa2eroots\x81\xd8\x2a" + size + link + _VERSION_1
    return varint(len(body)) + body


def car_section(cid: str, block: bytes) -> bytes:
    """A block in a CAR."""
    name = binary(cid)
    return varint(len(name) + len(block)) + name + block


def read_car(parts: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Blocks of a CAR, version 1 or 2, with the CIDs that they claim; nothing of them is checked.

    Blocks whose CIDs name something else than files and directories are passed over, as are inlined ones.

    Raises
    ------
    MalformedCAR
        It is none, ends within a block, or a block is larger than any may be.
    """
    return _Reading(parts).blocks()


def read_roots(parts: Iterable[bytes]) -> tuple[list[str], Iterator[tuple[str, bytes]]]:
    """The CIDs that a CAR names as its roots, those that we can read, and its blocks as `read_car` gives them."""
    reading = _Reading(parts)
    return reading.roots, reading.blocks()


class _Reading:
    """A CAR of which the header was read."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._stream = _Stream(parts)
        self._end: int | None = None
        header = self._header()
        if header == _PRAGMA_2:
            self._enter_version_2()
            header = self._header()
        if _VERSION_1 not in header:
            raise MalformedCAR("what was sent is no CAR of version 1 or 2")
        self.roots = list(_roots(header))

    def _header(self) -> bytes:
        length = self._stream.number()
        if not length or length > _MOST_HEADER:
            raise MalformedCAR("what was sent is no CAR of version 1 or 2")
        return self._stream.take(length)

    def _enter_version_2(self) -> None:
        """Go to the version 1 that lies in a version 2; an index behind it is not read."""
        fixed = self._stream.take(_HEADER_2)
        start, size = (int.from_bytes(fixed[at : at + 8], "little") for at in (16, 24))
        padding = max(0, start - _BEFORE_2)
        if padding > _MOST_PADDING:
            raise MalformedCAR(f"a CAR of version 2 whose blocks begin at byte {start} is not read")
        self._stream.take(padding)
        self._end = self._stream.taken + size if size else None

    def blocks(self) -> Iterator[tuple[str, bytes]]:
        """Each block with the CID that it claims."""
        while self._end is None or self._stream.taken < self._end:
            length = self._stream.number()
            if length is None:
                return
            if length > MOST_BLOCK + _MOST_CID:
                raise MalformedCAR(f"a block of {length} bytes is more than the {MOST_BLOCK} that a block may have")
            if length and (section := _section(self._stream.take(length))):
                yield section


def _section(section: bytes) -> tuple[str, bytes] | None:
    """A block and its CID; None of what we do not read."""
    try:
        size = 34 if section[:2] == V0_PREFIX else split_cid(section)[3]
    except CIDError as error:
        raise MalformedCAR(f"a block has a CID that cannot be read ({error})") from None
    try:
        return text_of(section[:size]), section[size:]
    except CIDError:
        return None


def _roots(header: bytes) -> Iterator[str]:
    """The links of a header, which is DAG-CBOR of one form: tag 42, a byte string, a zero before the CID."""
    for part in header.split(b"\xd8\x2a")[1:]:
        size, at = (part[1], 2) if part[:1] == b"\x58" else (part[0] & 0x1F if part else 0, 1)
        try:
            yield text_of(part[at + 1 : at + size])
        except (CIDError, IndexError):
            continue


class _Stream:
    """Takes bytes off pieces of any lengths."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts, self._left, self.taken = iter(parts), bytearray(), 0

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
        self.taken += size
        return taken

    def _more(self) -> bool:
        for part in self._parts:
            if part:
                self._left += part
                return True
        return False
