"""Memory for bytes on their way, used again as soon as nobody looks at them any more.

A gigabyte that comes in pieces of new memory makes the system hand out and take back each page of it, and tell all
processors so: with three threads at work that took a third of the time of a fetch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Lent"]

_SIZE = 1 << 20
_LEAST = 1 << 17
"""Bytes of room below which the next buffer is taken: who asks a socket for few has few."""


class Lent:
    """Views of what was read, each into memory that no living view shows."""

    def __init__(self) -> None:
        self._buffers: list[bytearray] = []
        self._room = memoryview(b"")

    def read(self, read_into: Callable[[memoryview], int], most: int) -> memoryview:
        """Have at most so many bytes read into free memory; what came, for as long as the view of it lives."""
        if len(self._room) < _LEAST:
            self._room = memoryview(b"")  # a view of ours would keep its buffer from being free
            self._room = memoryview(self._free())
        came = self._room[: read_into(self._room[:most])]
        self._room = self._room[len(came) :]
        return came.toreadonly()

    def _free(self) -> bytearray:
        for buffer in self._buffers:
            if _is_free(buffer):
                return buffer
        self._buffers.append(bytearray(_SIZE))
        return self._buffers[-1]


def _is_free(buffer: bytearray) -> bool:
    """Whether no view of a buffer lives: Python changes the size of no other."""
    try:
        buffer.append(buffer.pop())
    except BufferError:
        return False
    return True
