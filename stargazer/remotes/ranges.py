"""A file that is read where it is, a few blocks at a time."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from stargazer.remotes.walk import Part, is_raw, parts_of, size_of

if TYPE_CHECKING:
    from stargazer.remotes.blocks import Blocks

__all__ = ["RemoteFile"]

_AHEAD = 8


class RemoteFile(io.RawIOBase):
    """A file that is read from remotes, block by block.

    Parameters
    ----------
    cid
        Of the file.
    blocks
        Where its blocks come from; closed with the file.
    nodes
        Blocks that are known already, and nodes as they come.
    """

    def __init__(self, cid: str, blocks: Blocks, nodes: dict[str, bytes]) -> None:
        super().__init__()
        self.cid, self._blocks, self._nodes = cid, blocks, nodes
        self._at, self._ahead, self._last = 0, 0, -1
        self.size = size_of(cid, self._get(cid))

    def _get(self, cid: str) -> bytes:
        if cid in self._nodes:
            return self._nodes[cid]
        block = self._blocks.get(cid)
        if not is_raw(cid):
            self._nodes[cid] = block
        return block

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte is read, in bytes from the start."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go elsewhere; nothing is read."""
        at = offset + (0, self._at, self.size)[whence]
        if at < 0:
            raise ValueError(f"{at} bytes are before the start of {self.cid}")
        self._at = at
        return at

    def readinto(self, buffer: object) -> int:
        """Read what the next leaf has, at most."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if self._at >= self.size or not view:
            return 0
        start, data = self._leaf(self._at)
        piece = data[self._at - start : self._at - start + len(view)]
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _leaf(self, at: int) -> tuple[int, bytes]:
        """The leaf, and where it starts, that has a byte of the file."""
        part, following = Part(self.cid, 0, self.size, 0), list[Part]()
        while True:
            if is_raw(part.cid):
                self._look_ahead(part, following)
            leaf, below = parts_of(part, self._get(part.cid))
            if leaf.start <= at < leaf.start + len(leaf.data):
                return leaf
            place = next(number for number, each in enumerate(below) if each.start <= at < each.start + each.size)
            part, following = below[place], below[place + 1 : place + 1 + _AHEAD]

    def _look_ahead(self, part: Part, following: list[Part]) -> None:
        """Ask ahead for what follows, for those who read on from leaf to leaf."""
        if part.start == self._last:
            return
        if self._last >= 0 and part.start > self._last:
            wanted = [each for each in following if each.start >= self._ahead and is_raw(each.cid)]
            self._blocks.expect([each.cid for each in wanted])
            self._ahead = max([self._ahead, *(each.start + each.size for each in wanted)])
        self._last = part.start

    def close(self) -> None:
        """Close the connections."""
        if not self.closed:
            self._blocks.__exit__(None, None, None)
        super().close()
