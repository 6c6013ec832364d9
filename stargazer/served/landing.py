"""Files that arrive in parts: written and hashed as they come, kept only if they are what their CIDs say."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from stargazer.errors import CIDMismatch
from stargazer.store.files import as_store_error, write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stargazer.cid import Profile
    from stargazer.store.blobs import Blobs

__all__ = ["Landing"]


class Landing:
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

    def __init__(self, blobs: Blobs, profile: Profile, cids: Sequence[str], keep: Callable[[str, str], Any]) -> None:
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
