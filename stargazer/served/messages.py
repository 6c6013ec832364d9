"""What home and workers say to each other: messages of Dask's comms, each a small dict.

::

    worker  {"op": "stargazer-home", "url", "identifier"}     home  {"home": True}
    worker  {"do": name, "with": arguments}                   home  {"gave": value} or {"error": pickled}
    worker  {"do": "get", "with": [cids]}                     home  {"part": [[index, bytes], …]} for each
                                                                    {"more": True}, then {"end": True}
    worker  {"end": True}
    worker  {"do": "put_files", "with": [[[cid, size], …]]}   home  {"wanted": indices}, then {"more": True} for each
    worker  {"part": [[index, bytes], …]}, {"end": True}            part that it can take; at last {"gave": None}

So whoever sends never holds more than `WINDOW` parts that the other end has not written to its disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["CHUNK", "HOME", "MORE", "WINDOW", "Comm", "parts_of"]

HOME = "stargazer-home"
"""Name of the scheduler's handler by which workers reach the home."""

CHUNK = 2 << 20
"""Bytes of a part at most."""

WINDOW = 3
"""Parts under way in one conversation."""

MORE = {"more": True}


class Comm(Protocol):
    """One connection, as Dask's."""

    async def read(self) -> Any:
        """Next message."""

    async def write(self, msg: Any) -> Any:
        """Send a message."""

    def abort(self) -> None:
        """Close it at once."""

    def closed(self) -> bool:
        """Whether it is closed."""


def parts_of(paths: Iterable[str]) -> Iterator[list[tuple[int, bytes]]]:
    """Cut files into parts of at most `CHUNK` bytes: many small files in one, or a large one in many.

    Parameters
    ----------
    paths
        Of the files. Each is read when its turn comes.

    Yields
    ------
    list of (index of the file, bytes)
        The bytes of each file in order; an empty file has one empty entry.
    """
    part: list[tuple[int, bytes]] = []
    room = CHUNK
    for index, path in enumerate(paths):
        with open(path, "rb", buffering=0) as file:
            data = _filled(file, room)
            while True:
                part.append((index, data))
                room -= len(data)
                if room > 0:
                    break
                yield part
                part, room = [], CHUNK
                if not (data := _filled(file, room)):
                    break
    if part:
        yield part


def _filled(file: Any, size: int) -> bytes:
    """As many bytes as asked for, unless the file ends."""
    data: bytes = file.read(size)
    if len(data) == size or not data:
        return data
    pieces = [data]
    while (missing := size - sum(map(len, pieces))) and (piece := file.read(missing)):
        pieces.append(piece)
    return b"".join(pieces) if len(pieces) > 1 else data
