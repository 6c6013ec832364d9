"""The bytes of one file as one stream, which is the fastest way to have them; whoever takes them checks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.errors import RemoteError, RemoteRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stargazer.remotes.blocks import Complaints
    from stargazer.remotes.protocol import BlockRemote

__all__ = ["Bodies"]


class Bodies:
    """A file's bytes, unchecked, from the first of several remotes that gives them in one stream.

    Parameters
    ----------
    cid
        Of the file.
    remotes
        In the order in which they are asked; each is asked once.
    complaints
        Where failures are noted.
    """

    def __init__(self, cid: str, remotes: Sequence[BlockRemote], complaints: Complaints) -> None:
        self.cid, self._waiting, self._complaints = cid, list(remotes), complaints
        self._source: BlockRemote | None = None
        self._stream: Iterator[bytes] | None = None
        self._left = bytearray()
        self._at = 0

    def take(self, start: int, size: int) -> tuple[BlockRemote, bytes] | None:
        """Bytes from a place on, and who sent them; None if nobody gives the file so."""
        while True:
            if self._source is not None and (self._at != start or self._complaints.skips(self._source)):
                self.close()
            if self._source is None and not self._open(start):
                return None
            try:
                if self._source is not None and self._fill(size):
                    data = bytes(memoryview(self._left)[:size])
                    del self._left[:size]
                    self._at += size
                    return self._source, data
            except RemoteError as error:
                if self._source is not None:
                    self._complaints.note(self._source, error)
            self.close()

    def ready(self) -> bool:
        """Whether somebody begins to send the file."""
        while self._source is not None or self._open(0):
            try:
                return self._fill(1)
            except RemoteError as error:
                if self._source is not None:
                    self._complaints.note(self._source, error)
            self.close()
        return False

    def _open(self, start: int) -> bool:
        while self._waiting:
            remote = self._waiting.pop(0)
            if not self._complaints.skips(remote):
                self._source, self._stream, self._at = remote, remote.body(self.cid, start), start
                return True
        return False

    def _fill(self, size: int) -> bool:
        while len(self._left) < size and self._stream is not None:
            piece = next(self._stream, None)
            if piece is None:
                break
            self._left += piece
        if len(self._left) < size:
            name = self._source.name if self._source else ""
            raise RemoteRefused(f"{name} ended {self.cid} after {self._at + len(self._left)} bytes, which are too few")
        return True

    def close(self) -> None:
        """End the stream."""
        close = getattr(self._stream, "close", None)
        self._source, self._stream, self._at = None, None, -1
        self._left.clear()
        if close:
            close()
