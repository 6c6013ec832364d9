"""Files that this host was sent: the longest unused go first, and none that a running task has before it.

Any number of processes share a cache. Each notes what its tasks hold in a file that it keeps locked, so that a note
without a living process counts for nothing. One lock guards notes, sizes and removals.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from stargazer import config
from stargazer.store.files import touched
from stargazer.store.holds import Holds, locked
from stargazer.store.local import LocalBackend

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
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
    share_of_disk: ClassVar[float] = 0.25
    emptied_to: ClassVar[float] = 0.9
    leftovers_after: ClassVar[float] = 7 * 86400.0

    def __init__(self, directory: Path) -> None:
        self.backend = LocalBackend(str(directory))
        self._lock = f"{directory}/lock"
        self._holds = Holds(f"{directory}/held")

    def temporary(self) -> str:
        """A new path for a download."""
        path = self.backend.temporary()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def adopt(self, path: str, cid: str) -> None:
        """Move a checked file in; if that is too much, others go."""
        place = f"blobs/{cid[-3:-1]}/{cid}"
        with locked(self._lock) as lock:
            before, there = self._total(lock), self.backend.size(place) or 0
            size = os.stat(path).st_size
            self.backend.adopt(path, place)
            total = before + size - there
            _write(lock, self._swept(total) if total > self.bound() else total)

    def hold(self, cids: Iterable[str]) -> None:
        """Keep files, those too that are still to come, until `release` has been told as often."""
        with locked(self._lock, shared=True):
            self._holds.add(cids)

    def release(self, cids: Iterable[str]) -> None:
        """Let go of what was held; what was too much goes now."""
        with locked(self._lock, shared=True):
            self._holds.remove(cids)
        with locked(self._lock) as lock:
            if (total := self._total(lock)) > self.bound():
                _write(lock, self._swept(total))

    def use(self, cid: str, seconds: float = 0.0) -> None:
        """Note on a mark beside a file that it is used, and that it stays for some seconds whatever comes."""
        mark, until = self._mark(cid), time.time() + seconds
        try:
            if os.stat(mark).st_mtime < until:
                os.utime(mark, (until, until))
        except FileNotFoundError:
            os.makedirs(os.path.dirname(mark), exist_ok=True)
            with open(mark, "ab"):
                os.utime(mark, (until, until))

    @contextlib.contextmanager
    def arriving(self, cids: Iterable[str]) -> Iterator[None]:
        """Be the only one on this host to fetch certain files, or wait until the other has them."""
        with contextlib.ExitStack() as stack:
            for part in sorted({cid[-3:-1] for cid in cids}):
                stack.enter_context(locked(self.backend.path(f"arriving/{part}")))
            yield

    def quarantine(self, cid: str) -> str:
        """Move a harmed file aside."""
        target = f"quarantine/{cid}.{time.time_ns()}"
        self.backend.move(f"blobs/{cid[-3:-1]}/{cid}", target)
        return self.backend.path(target)

    def sweep(self) -> int:
        """Remove the longest unused files until the rest fits, but none that is held; bytes removed."""
        with locked(self._lock) as lock:
            total = self._counted()
            rest = self._swept(total)
            _write(lock, rest)
        return total - rest

    def bound(self) -> int:
        """Bytes that the cache may have."""
        configured = config.cache_size()
        if configured is not None:
            return configured
        return min(self.most_bytes, int(shutil.disk_usage(self.backend.root).total * self.share_of_disk))

    def _swept(self, total: int) -> int:
        """Bytes that are left after a sweep, under the lock."""
        if total <= self.bound():
            return total
        self.tidy()
        entries = {entry: self._used(entry) for entry in self.backend.entries("blobs")}
        total, goal, now = sum(entry.size for entry in entries), self.bound() * self.emptied_to, time.time()
        held = self._holds.all()
        for entry in sorted(entries, key=entries.__getitem__):
            if total <= goal or entries[entry] > now:
                break
            if (cid := entry.place.rpartition("/")[2]) not in held and self.backend.remove(entry.place):
                total -= entry.size
                with suppress(FileNotFoundError):
                    os.unlink(self._mark(cid))
        return total

    def _total(self, lock: int) -> int:
        """Bytes of the whole cache: as the lock file says, or counted where it says nothing yet."""
        data = os.pread(lock, 32, 0)
        return int(data) if data.strip().isdigit() else self._counted()

    def _counted(self) -> int:
        return sum(entry.size for entry in self.backend.entries("blobs"))

    def tidy(self) -> None:
        """Remove what killed processes left a week ago, and what was found harmed then."""
        before = time.time() - self.leftovers_after
        for folder in ("tmp", "quarantine"):
            for name in self.backend.names(folder):
                path = self.backend.path(f"{folder}/{name}")
                with suppress(OSError):
                    if touched(path) < before:
                        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def _mark(self, cid: str) -> str:
        return self.backend.path(f"used/{cid[-3:-1]}/{cid}")

    def _used(self, entry: Entry) -> float:
        with suppress(FileNotFoundError):
            return os.stat(self._mark(entry.place.rpartition("/")[2])).st_mtime
        return entry.changed


def _write(lock: int, total: int) -> None:
    os.pwrite(lock, b"%020d\n" % max(0, total), 0)
