"""What the tasks of this host's processes have before them, so that no other process removes it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from typing import TYPE_CHECKING

from stargazer.store.files import write_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Holds", "locked"]


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
    return True
