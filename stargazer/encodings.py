"""Bodies that come compressed although nobody asked for that: decoded a little at a time.

A kilobyte may stand for a megabyte of them. Libraries decode all that one read of a socket gave: half a gigabyte,
before anybody can say that it is too much.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["ENCODINGS", "PLAIN", "Body", "Malformed", "decoded"]

PLAIN = ("", "identity")
ENCODINGS = (*PLAIN, "gzip", "x-gzip", "deflate")
_STEP, _TAKEN = 1 << 18, 1 << 14
_HEADER = 2
"""Bytes of which it is seen what zlib must look for."""
_GZIP_BEGINS = b"\x1f\x8b"
_GZIP, _DEFLATE, _BARE = 31, zlib.MAX_WBITS, -zlib.MAX_WBITS


class Malformed(Exception):
    """A body is not encoded as it says, or ends early."""


def decoded(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The pieces of a body without its encoding, none of them large.

    Parameters
    ----------
    pieces
        As they came.
    encoding
        One of `ENCODINGS`.

    Raises
    ------
    Malformed
        It is not encoded so, or ends early.
    """
    body = Body(encoding)
    for piece in pieces:
        yield from body.decode(piece)
    if not body.ended:
        raise Malformed(f"its {encoding} ends early")


class Body:
    """A body on its way through zlib; more of the same may follow its end, as gzip puts files one behind the other.

    Parameters
    ----------
    encoding
        One of `ENCODINGS`.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._decoder: zlib._Decompress | None = None
        self._held, self._follows, self._over = b"", False, False

    @property
    def ended(self) -> bool:
        """Whether what came is whole; nothing is, and what lies behind the end is no part of it."""
        return self._decoder is None and (self._follows or not self._held)

    def decode(self, piece: bytes) -> Iterator[bytes]:
        """What a piece brings, in small pieces."""
        if self._encoding in PLAIN:
            yield piece
            return
        view = memoryview(piece)
        for start in range(0, len(view), _TAKEN):  # zlib copies what is left behind each end: there may be thousands
            yield from self._decode(bytes(view[start : start + _TAKEN]))

    def _decode(self, piece: bytes) -> Iterator[bytes]:
        left, self._held = (self._held + piece, b"") if self._held else (piece, b"")
        while left and not self._over:
            if self._decoder is None and not self._begin(left):
                return
            part = b""
            while self._decoder and (left or len(part) == _STEP) and not self._decoder.eof:
                part = self._decompress(self._decoder, left)
                left = self._decoder.unconsumed_tail
                if part:
                    yield part
            if self._decoder and self._decoder.eof:
                left, self._decoder, self._follows = self._decoder.unused_data, None, True

    def _begin(self, start: bytes) -> bool:
        """Begin with what stands at the start; False where too little of it is here, or it is nothing of ours."""
        if len(start) < _HEADER:
            self._held = start  # the end of one gzip, or half a header of the next, may end a piece
            return False
        self._over = self._follows and not start.startswith(_GZIP_BEGINS)
        if not self._over:
            self._decoder = zlib.decompressobj(_format(self._encoding, start))
        return not self._over

    def _decompress(self, decoder: zlib._Decompress, data: bytes) -> bytes:
        try:
            return decoder.decompress(data, _STEP)
        except zlib.error as error:
            raise Malformed(f"its {self._encoding} is malformed: {error}") from None


def _format(encoding: str, start: bytes) -> int:
    """What zlib must look for; ``deflate`` comes with a header, as it should, or without."""
    if encoding != "deflate":
        return _GZIP
    return _DEFLATE if start[0] & 0x0F == 8 and int.from_bytes(start[:_HEADER], "big") % 31 == 0 else _BARE
