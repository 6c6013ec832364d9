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

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from stargazer.errors import CIDMismatch
from stargazer.store.backends.local import as_store_error, write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from stargazer.cid import CIDProfile
    from stargazer.store.blobs.base import Blobs

__all__ = ["CHUNK", "HOME", "MORE", "WINDOW", "Comm", "Upload", "parts_of"]

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


# Files that arrive in parts: written and hashed as they come, kept only if they are what their CIDs say.


class Upload:
    """Takes in the parts of several files, one file after the other.

    Parameters
    ----------
    blobs
        Says where files may lie for now, and checks those that were cut another way.
    profile
        How files are cut into blocks.
    cids
        Names of the files, in the order in which they come.
    keep
        Called with the CID and the path of each good file, which it takes away.
    """

    def __init__(self, blobs: Blobs, profile: CIDProfile, cids: Sequence[str], keep: Callable[[str, str], Any]) -> None:
        self._blobs, self._profile, self._cids, self._keep = blobs, profile, cids, keep
        self._at = -1
        self._file: Any = None
        self._path = ""
        self._hasher: Any = None

    def take(self, part: Sequence[tuple[int, bytes]]) -> None:
        """Write and hash a part.

        Raises
        ------
        CIDMismatch
            A file that ended is not what its CID says, or parts are missing.
        StoreFull
            No space is left.
        """
        for index, data in part:
            if index != self._at:
                self._end()
                self._begin(index)
            try:
                write_all(self._file.fileno(), data)
            except OSError as error:
                raise as_store_error(error, self._path) from error
            self._hasher.update(data)

    def finish(self) -> None:
        """Keep the last file; none may be missing."""
        self._end()
        if self._at != len(self._cids) - 1:
            raise CIDMismatch(f"{len(self._cids) - 1 - self._at} of {len(self._cids)} files did not arrive: try again")

    def clear(self) -> None:
        """Remove what is unfinished."""
        if self._file is not None:
            self._file.close()
            self._file = None
        with suppress(FileNotFoundError):
            os.unlink(self._path)

    def _begin(self, index: int) -> None:
        from stargazer.cid import Hasher

        if index != self._at + 1 or index >= len(self._cids):
            raise CIDMismatch(f"file {index} arrived after file {self._at}, of {len(self._cids)}: try again")
        self._at, self._hasher = index, Hasher(self._profile)
        self._path = self._blobs.temporary()
        try:
            self._file = open(self._path, "xb", buffering=0)  # noqa: SIM115 - parts come later
        except OSError as error:
            raise as_store_error(error, self._path) from error

    def _end(self) -> None:
        if self._file is None:
            return
        self._file.close()
        self._file = None
        cid = self._cids[self._at]
        if self._hasher.finish().cid != cid and not self._blobs.is_good(cid, self._path):
            raise CIDMismatch(f"what arrived is not {cid}: it was harmed on its way, or is another file; try again")
        self._keep(cid, self._path)
