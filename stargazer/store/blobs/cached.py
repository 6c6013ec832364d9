"""Files by CID that lie elsewhere and are used from a bounded cache on this host."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import time
from abc import abstractmethod
from collections import Counter
from contextlib import suppress
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from stargazer import config
from stargazer.errors import BlobLost
from stargazer.store.backends.local import LocalBackend, write_all
from stargazer.store.blobs.base import MTIME, Blobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from stargazer.store.folders import Entry

__all__ = ["Cache", "CachedBlobs", "Holds", "locked"]

_AT_ONCE = 64
LENT_FOR = 48 * 3600.0
"""Seconds for which a fetched file stays."""

READ_FOR = 600.0
"""Seconds for which a file stays that was looked at outside any task."""

_held: ContextVar[tuple[CachedBlobs, set[str]] | None] = ContextVar("stargazer_held", default=None)


class CachedBlobs(Blobs):
    """What is the same for an object store and for a store that another process serves."""

    @property
    def root(self) -> str:
        """Directory of the files that are here."""
        return str(self.context.cache / "blobs")

    @cached_property
    def cache(self) -> Cache:
        """The files that this host has."""
        return Cache(self.context.cache)

    @abstractmethod
    def _fetch(self, cids: list[str]) -> None:
        """Fetch files, check them, and `_keep` each; `BlobLost` if one is missing or corrupt."""

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep whatever is used meanwhile in the cache."""
        held: set[str] = set()
        token = _held.set((self, held))
        try:
            yield
        finally:
            _held.reset(token)
            if held:
                self.cache.release(held)

    def checked_file(self, cid: str) -> str:
        """Path of the checked bytes on this host; `BlobLost` if they are missing or corrupt."""
        self._claim([cid])
        if not self._is_cached(cid):
            self._fetch_once([cid])
            if not self._is_cached(cid):
                raise BlobLost(cid)
        return self.file(cid)

    def lend(self, cid: str) -> None:
        """Keep a file for two days."""
        self.cache.use(cid, LENT_FOR)

    def cached(self, cid: str) -> bool:
        """Whether a file is on this host, good or not."""
        return os.path.exists(self.file(cid))

    def quarantine(self, cid: str) -> str:
        """Drop a cached file that was harmed here; the original is good, or is found out when it is fetched."""
        self.memo.forget(cid)
        return self.cache.quarantine(cid)

    def check_unharmed(self, cid: str) -> None:
        """Raise `BlobLost` if the file was changed here; it may have been dropped."""
        self.checked(cid)

    def prefetch(self, cids: Iterable[str]) -> None:
        """Fetch many files at once."""
        wanted = list(dict.fromkeys(cids))
        self._claim(wanted)
        missing = [cid for cid in wanted if not self.cached(cid)]
        for start in range(0, len(missing), _AT_ONCE):
            self._fetch_once(missing[start : start + _AT_ONCE])

    def own_folders(self) -> list[tuple[LocalBackend, str]]:
        """Those of this host's cache."""
        return [(self.cache.backend, "tmp"), (self.cache.backend, "quarantine")]

    def temporary(self) -> str:
        """A new path in this host's cache."""
        return self.cache.temporary()

    def _claim(self, cids: list[str]) -> None:
        """Let nobody remove files, there or still to come, while they are used."""
        blobs, held = _held.get() or (None, set())
        fresh = [cid for cid in cids if cid not in held]
        if blobs is self and fresh:
            held.update(fresh)
            self.cache.hold(fresh)
        for cid in cids:
            self.cache.use(cid, 0.0 if blobs is self else READ_FOR)

    def _fetch_once(self, cids: list[str]) -> None:
        """Fetch what nobody else on this host is fetching already."""
        with self.cache.arriving(cids):
            missing = [cid for cid in cids if not self._is_cached(cid)]
            if missing:
                self._fetch(missing)

    def _is_cached(self, cid: str) -> bool:
        try:
            return self.checked(cid)
        except BlobLost:
            return False

    def _keep(self, cid: str, path: str) -> None:
        self._claim([cid])
        if self._is_cached(cid):  # a task may have it before it: another file must not take its place
            os.unlink(path)
            return
        os.chmod(path, 0o444)
        os.utime(path, (MTIME, MTIME))
        self.cache.adopt(path, cid)
        with suppress(FileNotFoundError):
            self.memo.note(cid, os.stat(self.file(cid)))


# Files that this host was sent: the longest unused go first, and none that a running task has before it.
#
# Any number of processes share a cache. Each notes what its tasks hold in a file that it keeps locked, so that a note
# without a living process counts for nothing. One lock guards notes, sizes and removals.


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
            for place, changed in self.backend.remains(folder):
                if changed < before:
                    self.backend.discard(place)

    def _mark(self, cid: str) -> str:
        return self.backend.path(f"used/{cid[-3:-1]}/{cid}")

    def _used(self, entry: Entry) -> float:
        with suppress(FileNotFoundError):
            return os.stat(self._mark(entry.place.rpartition("/")[2])).st_mtime
        return entry.changed


def _write(lock: int, total: int) -> None:
    os.pwrite(lock, b"%020d\n" % max(0, total), 0)


# What the tasks of this host's processes have before them, so that no other process removes it.


class Holds:
    """Notes of each process in a file of its own, which is locked while the process lives.

    Parameters
    ----------
    directory
        Where the notes of all processes lie.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._guard = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._fd, self._pid = -1, 0

    def add(self, cids: Iterable[str]) -> None:
        """Note that files are held, once more each."""
        with self._guard:
            fresh = [cid for cid in cids if not self._counts[cid]]
            self._counts.update(cids)
            write_all(self._file(), "".join(f"+{cid}\n" for cid in fresh).encode())

    def remove(self, cids: Iterable[str]) -> None:
        """Note that files are held once less each."""
        with self._guard:
            self._counts.subtract(cids)
            gone = [cid for cid in cids if self._counts[cid] <= 0]
            for cid in gone:
                del self._counts[cid]
            if self._counts:
                write_all(self._file(), "".join(f"-{cid}\n" for cid in gone).encode())
            else:
                os.ftruncate(self._file(), 0)

    def all(self) -> set[str]:
        """What any living process holds; the notes of dead ones go."""
        with contextlib.suppress(FileNotFoundError):
            return {cid for name in os.listdir(self._directory) for cid in self._read(f"{self._directory}/{name}")}
        return set()

    def _file(self) -> int:
        if self._pid != os.getpid():
            os.makedirs(self._directory, exist_ok=True)
            self._pid = os.getpid()
            self._fd = os.open(f"{self._directory}/{self._pid}-{os.urandom(4).hex()}", _APPEND, 0o644)
            _flock(self._fd, exclusive=True, wait=True)
        return self._fd

    def _read(self, path: str) -> set[str]:
        with open(path, "rb") as notes:
            if _flock(notes.fileno(), exclusive=False, wait=False):
                os.unlink(path)
                return set()
            held: set[str] = set()
            for line in notes.read().decode("ascii", "replace").splitlines():
                (held.add if line[0] == "+" else held.discard)(line[1:])
        return held


_APPEND = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC


@contextlib.contextmanager
def locked(path: str, *, shared: bool = False) -> Iterator[int]:
    """Hold a lock among all processes and threads of this host; the descriptor of its file.

    Parameters
    ----------
    path
        Of the lock file; made if need be.
    shared
        Others may share it; only one that is not shared waits for all.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o644)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = os.open(path, flags, 0o644)
    try:
        _flock(fd, exclusive=not shared, wait=True)
        yield fd
    finally:
        os.close(fd)


def _flock(fd: int, *, exclusive: bool, wait: bool) -> bool:
    """Lock a file; whether that was possible."""
    import fcntl

    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        # On a network's disk without locks: whoever holds one is taken to live, and nobody waits for another.
        return wait
    return True


_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
