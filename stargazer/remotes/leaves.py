"""Leaves of a file on their way to the disk: checked and written beside the network."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from stargazer.errors import RemoteRefused
from stargazer.remotes.blocks import check_block
from stargazer.remotes.walk import is_raw, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from stargazer.remotes.blocks import Blocks
    from stargazer.remotes.bodies import Bodies
    from stargazer.remotes.partial import Partial
    from stargazer.remotes.protocol import BlockRemote
    from stargazer.remotes.walk import Part

__all__ = ["Leaves"]

_WAITING = 16
_WRITERS = 2


class Leaves:
    """Has the leaves of one file written, each from the file's stream if there is one, else as a block.

    Parameters
    ----------
    partial
        Where to.
    blocks
        Gives blocks.
    body
        Gives the file's bytes as they are, unchecked.
    came
        Called with the number of bytes that were written.
    """

    def __init__(self, partial: Partial, blocks: Blocks, body: Bodies | None, came: Callable[[int], None]) -> None:
        self._partial, self._blocks, self._body, self._came = partial, blocks, body, came
        self._pool = ThreadPoolExecutor(_WRITERS, "stargazer-leaves")
        self._waiting: deque[tuple[Part, BlockRemote, Future[None]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._body:
                self._body.close()
            while self._waiting and error is None:
                self._settle()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def wants_stream(self) -> bool:
        """Whether blocks had better come in a stream of their own."""
        return self._body is None and not self._blocks.streams

    def wants_block(self, part: Part) -> bool:
        """Whether a part will be asked for as a block."""
        return part.start >= self._partial.found and not (self._body and is_raw(part.cid))

    def have(self, part: Part) -> None:
        """Have a raw leaf written, unless it is."""
        if self._partial.holds(part.cid, part.start, part.size):
            return
        taken = self._body.take(part.start, part.size) if self._body else None
        if taken is None:
            self._body = None
            self.write(part.start, self._block(part))
            return
        remote, data = taken
        self._waiting.append((part, remote, self._pool.submit(self._check_and_write, part, remote, data)))
        if len(self._waiting) > _WAITING:
            self._settle()

    def _block(self, part: Part) -> bytes:

        leaf, _ = parts_of(part, self._blocks.get(part.cid))
        return leaf.data

    def _check_and_write(self, part: Part, remote: BlockRemote, data: bytes) -> None:
        self._partial.write(part.start, check_block(part.cid, data, remote.name))

    def _settle(self) -> None:
        """Wait for the first leaf; one that was not what was asked for is asked for as a block."""
        part, remote, written = self._waiting.popleft()
        try:
            written.result()
        except RemoteRefused as error:
            self._blocks.complaints.note(remote, error)
            self.write(part.start, self._block(part))
        else:
            self._came(part.size)

    def write(self, start: int, data: bytes) -> None:
        """Write checked bytes."""
        self._partial.write(start, data)
        self._came(len(data))
