"""CARs: blocks one after another, each with the CID that it claims.

Source: https://ipld.io/specs/transport/car/carv1/ and carv2/.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.cid.cid import V0_PREFIX, binary, split_cid, text_of
from stargazer.cid.dagpb import varint
from stargazer.errors import CIDError
from stargazer.remotes.base import MOST_BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Located", "MalformedCAR", "car_header", "car_section", "locate_blocks", "read_car", "read_cbor"]

_MOST_HEADER = 1 << 16
_MOST_CID = 256
_VERSION_1 = b"gversion\x01"
_NO_CAR = "what was sent is no CAR of version 1 or 2"
_DEEPEST = 8
_OF_BYTES = (2, 3)
_SIMPLE = {20: False, 21: True, 22: None}
_HEADER_2 = 40
_BEFORE_2 = 11 + _HEADER_2
_MOST_PADDING = 1 << 20
_MOST_ZEROS = 1 << 16
_MOST_PASSED = 16 << 20
_COST = 1 << 10
"""Of a block that is passed over, in bytes, beside those that it has."""


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

    Blocks whose CIDs name something else than files and directories are passed over, as are inlined ones; a stream of
    nothing else has an end.

    Raises
    ------
    MalformedCAR
        It is none, ends within a block, or a block is larger than any may be.
    """
    return _Reading(parts).blocks(_MOST_PASSED)


def locate_blocks(parts: Iterable[bytes]) -> Located:
    """Say what lies where in a CAR."""
    reading = _Reading(parts)
    return Located(reading.roots, reading.others, reading.places())


class Located(NamedTuple):
    """What lies where in a CAR.

    Parameters
    ----------
    roots
        CIDs of files and directories that its header names.
    others
        How many more it names, of what is neither.
    places
        Of each block its CID, where its bytes begin and how many they are.
    """

    roots: list[str]
    others: int
    places: Iterator[tuple[str, int, int]]


class _Reading:
    """A CAR of which the header was read."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._stream = _Stream(parts)
        self._end: int | None = None
        header = self._header()
        if header.get("version") == 2:
            self._enter_version_2()
            header = self._header()
        if header.get("version") != 1:
            raise MalformedCAR(_NO_CAR)
        self.roots, self.others = _roots(header.get("roots"))

    def _header(self) -> dict[Any, Any]:
        length = self._stream.number()
        if not length or length > _MOST_HEADER:
            raise MalformedCAR(_NO_CAR)
        header = read_cbor(self._stream.take(length))
        if not isinstance(header, dict):
            raise MalformedCAR(_NO_CAR)
        return header

    def _enter_version_2(self) -> None:
        """Go to the version 1 that lies in a version 2; an index behind it is not read."""
        fixed = self._stream.take(_HEADER_2)
        start, size = (int.from_bytes(fixed[at : at + 8], "little") for at in (16, 24))
        padding = max(0, start - _BEFORE_2)
        if padding > _MOST_PADDING:
            raise MalformedCAR(f"a CAR of version 2 whose blocks begin at byte {start} is not read")
        self._stream.take(padding)
        self._end = self._stream.taken + size if size else None

    def blocks(self, most: float = math.inf) -> Iterator[tuple[str, bytes]]:
        """Each block with the CID that it claims; of what is passed over, so many bytes in a row at most."""
        passed = 0
        for section in self._sections():
            if found := _section(section):
                passed = 0
                yield found
            else:
                passed += len(section) + _COST
                if passed > most:
                    raise MalformedCAR("block after block is none of a file or a directory")

    def _sections(self) -> Iterator[bytes]:
        """What the blocks lie in; many zeros in a row are padding, behind which nothing comes."""
        zeros = 0
        while (self._end is None or self._stream.taken < self._end) and zeros < _MOST_ZEROS:
            length = self._stream.number()
            if length is None:
                return
            if length > MOST_BLOCK + _MOST_CID:
                raise MalformedCAR(f"a block of {length} bytes is more than the {MOST_BLOCK} that a block may have")
            zeros = 0 if length else zeros + 1
            if length:
                yield self._stream.take(length)

    def places(self) -> Iterator[tuple[str, int, int]]:
        """Each block by its place."""
        for cid, block in self.blocks():
            yield cid, self._stream.taken - len(block), len(block)


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


def _roots(links: Any) -> tuple[list[str], int]:
    """CIDs of a header's links, and how many of them name neither files nor directories."""
    if not isinstance(links, list):
        raise MalformedCAR(_NO_CAR)
    roots = []
    for link in links:
        with contextlib.suppress(CIDError):
            roots += [text_of(link.value[1:])] if isinstance(link, Tagged) and isinstance(link.value, bytes) else []
    return roots, len(links) - len(roots)


class Tagged(NamedTuple):
    """A value of CBOR with what it means; 42 is a link, a zero and a CID."""

    tag: int
    value: Any


def read_cbor(data: bytes) -> Any:
    """Read DAG-CBOR of what headers of CARs are made of: numbers, texts, bytes, lists, maps, links and null.

    Raises
    ------
    MalformedCAR
        It is none, or holds anything else.
    """
    try:
        value, end = _item(data, 0, _DEEPEST)
    except (IndexError, UnicodeDecodeError, TypeError):
        raise MalformedCAR(_NO_CAR) from None
    if end != len(data):
        raise MalformedCAR(_NO_CAR)
    return value


def _item(data: bytes, at: int, deepest: int) -> tuple[Any, int]:
    """One value and where it ends."""
    kind, size, at = _head(data, at)
    if not deepest or (kind in _OF_BYTES and at + size > len(data)):
        raise MalformedCAR(_NO_CAR)
    if kind == 0:
        return size, at
    if kind in _OF_BYTES:
        raw = data[at : at + size]
        return (raw if kind == 2 else raw.decode("utf-8")), at + size
    if kind == 6:
        value, at = _item(data, at, deepest - 1)
        return Tagged(size, value), at
    if kind == 7 and size in _SIMPLE:
        return _SIMPLE[size], at
    if kind not in (4, 5):
        raise MalformedCAR(_NO_CAR)
    values = []
    for _ in range(size if kind == 4 else 2 * size):
        value, at = _item(data, at, deepest - 1)
        values.append(value)
    return (values if kind == 4 else dict(zip(values[::2], values[1::2], strict=True))), at


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type and number of a value, and where what follows begins."""
    kind, number = data[at] >> 5, data[at] & 0x1F
    if number < 24:
        return kind, number, at + 1
    width = 1 << (number - 24)
    if number > 27 or at + 1 + width > len(data):
        raise MalformedCAR(_NO_CAR)
    return kind, int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width


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
