"""Files of an object store that this host has downloaded; the longest unused go first."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from stargazer.store.local import LocalBackend

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.store.files import Entry

__all__ = ["Cache"]


class Cache:
    """A bounded directory of checked, read-only files.

    Parameters
    ----------
    directory
        This host's cache of the store.
    """

    most_bytes: ClassVar[int] = 64 << 30
    kept_for: ClassVar[float] = 48 * 3600.0
    share_of_disk: ClassVar[float] = 0.25
    _since_sweep: ClassVar[int] = 1 << 62

    def __init__(self, directory: Path) -> None:
        self.backend = LocalBackend(str(directory))

    def temporary(self) -> str:
        """A new path for a download."""
        path = self.backend.temporary()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def adopt(self, path: str, cid: str) -> None:
        """Move a checked file in, then drop what is too much."""
        size = os.stat(path).st_size
        self.backend.adopt(path, f"blobs/{cid[-3:-1]}/{cid}")
        self.use(cid)
        Cache._since_sweep += size
        if Cache._since_sweep > self.most_bytes // 16:
            Cache._since_sweep = 0
            self.sweep()

    def use(self, cid: str) -> None:
        """Note that a file is in use, on a mark beside it: its own times tell that it is unchanged."""
        mark = self.backend.path(f"used/{cid[-3:-1]}/{cid}")
        try:
            os.utime(mark)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(mark), exist_ok=True)
            with open(mark, "ab"):
                pass

    def quarantine(self, cid: str) -> str:
        """Move a harmed file aside."""
        target = f"quarantine/{cid}.{time.time_ns()}"
        self.backend.move(f"blobs/{cid[-3:-1]}/{cid}", target)
        return self.backend.path(target)

    def sweep(self) -> int:
        """Remove the longest unused files until the rest fits; those used within two days stay. Bytes removed."""
        entries = sorted(self.backend.entries("blobs"), key=self._used)
        excess = sum(entry.size for entry in entries) - self._bound()
        removed = 0
        for entry in entries:
            if removed >= excess or time.time() - self._used(entry) < self.kept_for:
                break
            self.backend.remove(entry.place)
            removed += entry.size
        return removed

    def _bound(self) -> int:
        return min(self.most_bytes, int(shutil.disk_usage(self.backend.root).total * self.share_of_disk))

    def _used(self, entry: Entry) -> float:
        with suppress(FileNotFoundError):
            return os.stat(self.backend.path("used" + entry.place.removeprefix("blobs"))).st_mtime
        return entry.changed
