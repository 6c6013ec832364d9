"""Which files this host has hashed already, so that bytes are checked before use but not hashed twice.

A file is known to be good while its inode, size, mtime and ctime stand as they were noted; no program can set a
ctime back. Files of more than one chunk are noted on the local disk too, in small logs that can be deleted.
"""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

from stargazer.store.backends.local import write_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Memo", "Signature", "signature"]

KEPT_ON_DISK = 1 << 18
_TICK = 0.05
_MOST_IN_MEMORY = 100_000
_LONGEST_LOG = 1 << 18

Signature = tuple[int, int, int, int]


def signature(found: os.stat_result) -> Signature:
    """What changes whenever a file changes."""
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Memo:
    """Notes on files whose bytes were found to be what their CID says.

    Parameters
    ----------
    directory
        Gives the directory of the logs; called only when one is needed.
    """

    def __init__(self, directory: Callable[[], Path]) -> None:
        self._directory = directory
        self._known: dict[str, Signature] = {}

    def knows(self, cid: str, found: os.stat_result) -> bool:
        """Whether this very file was noted as good."""
        current = signature(found)
        if self._known.get(cid) == current:
            return True
        if found.st_size <= KEPT_ON_DISK or self._read(cid) != current:
            return False
        self._known[cid] = current
        return True

    def note(self, cid: str, found: os.stat_result) -> None:
        """Note a file as good, as it was found before it was hashed.

        A small file that changed just now is not noted: it might change again within one tick of the file
        system's clock, and hashing it again is cheap.
        """
        small = found.st_size <= KEPT_ON_DISK
        if small and time.time() - found.st_ctime < _TICK:
            return
        if len(self._known) >= _MOST_IN_MEMORY:
            self._known.clear()
        self._known[cid] = signature(found)
        if not small:
            self._append(cid, found)

    def forget(self, cid: str) -> None:
        """Drop what this process knows of a file."""
        self._known.pop(cid, None)

    def _log(self, cid: str) -> str:
        return f"{self._directory()}/{cid[-3:-1]}"

    def _read(self, cid: str) -> Signature | None:
        try:
            lines = [line for line in self._own_log(cid) if line.startswith(cid)]
            inode, size, mtime, ctime = map(int, lines[-1].split()[1:])
        except (OSError, IndexError, ValueError):
            return None
        return inode, size, mtime, ctime

    def _own_log(self, cid: str) -> list[str]:
        """Lines of a log that this user wrote; somebody else's notes are not believed."""
        fd = os.open(self._log(cid), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, encoding="ascii", errors="replace") as log:
            found = os.fstat(fd)
            own = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
            return log.read(2 * _LONGEST_LOG).splitlines() if own else []

    def _append(self, cid: str, found: os.stat_result) -> None:
        line = f"{cid} {' '.join(map(str, signature(found)))}\n".encode()
        path, flags = self._log(cid), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(path, flags)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            fd = os.open(path, flags)
        try:
            if os.fstat(fd).st_size > _LONGEST_LOG:
                os.ftruncate(fd, 0)
            write_all(fd, line)
        finally:
            os.close(fd)
