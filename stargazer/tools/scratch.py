"""Scratch directories, used again for call after call.

Making and removing a directory costs a small call more than writing its file does: some file systems write at each
removal, and ext4 without a journal then searches past the freed numbers for minutes (5 ms a call instead of 1, measured
there). So a directory in which no tool ran is emptied, and gets a new name for the next call: what a call left running
by mistake finds nothing under the old one.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from stargazer.errors import Cancelled, InputChanged
from stargazer.store.backends.local import as_store_error, is_full
from stargazer.store.folders import BEAT, FAILED, opened, remove_tree, scratch_name

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType

__all__ = ["INPUTS", "Scratch"]

INPUTS = "inputs"
"""Where inputs are staged, below a scratch directory."""

DAY = 86400.0
ROOM = 0.1
"""Part of a disk that must be free for what a failed call wrote to be kept."""

KEY_DIGITS = 32

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Identity = tuple[int, int, int]
"""Disk, number and owner of a directory: where others may write to the one above, a path may lead to another."""

_idle: dict[str, list[tuple[str, Identity]]] = {}
_live: set[str] = set()
_beating = 0
_tidied: set[str] = set()


class Scratch:
    """A directory for one call, made when it is first asked for, gone when the call has ended.

    Parameters
    ----------
    parent
        Directory in which to make it; made if need be. None for the system's temporary directory.
    call
        Key of the call. Where it fails, the directory stays under a name made of that for a day, or until it ends well.
    """

    def __init__(self, parent: Path | None, call: str = "") -> None:
        self._parent = str(parent or tempfile.gettempdir())
        self._failed = os.path.join(self._parent, f"{FAILED}{call[:KEY_DIGITS]}") if call else ""
        self._path: str | None = None
        self._identity: Identity | None = None

    def path(self) -> Path:
        """The directory, without symbolic links in its path."""
        if self._path is None:
            try:
                self._path, self._identity = _renamed(self._parent) or _new(self._parent)
            except OSError as error:
                raise as_store_error(error, f"the scratch directory {self._parent}") from error
            _live.add(self._path)
            _keep_alive()
            _tidy(self._parent)
        return Path(self._path)

    def check(self) -> None:
        """Make sure that the directory is the one that was made, if there is one.

        Raises
        ------
        InputChanged
            Somebody moved it away and put another, or a link, in its place: what a tool wrote may lie anywhere.
        """
        found = _identity_at(self._path) if self._path is not None else None
        if found is not None and found != self._identity:
            told = f"the scratch directory {self._path} was moved away while the call ran, and another put in its place"
            raise InputChanged(f"{told}: find out who writes there; let stargazer.scratch name a folder of yours")

    def kept_for(self, error: BaseException | None) -> str | None:
        """Where the directory stays if the call ends with an error; None where it does not stay."""
        if self._path is None or not self._failed or not isinstance(error, Exception):
            return None
        if isinstance(error, Cancelled) or (isinstance(error, OSError) and is_full(error)):
            return None
        return os.path.realpath(self._failed) if _has_room(self._parent) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._failed and os.path.lexists(self._failed):
            _remove(self._failed)
        if self._path is None:
            return
        _live.discard(self._path)
        if kind is None and self._identity is not None and _emptied(self._path, self._identity):
            _keep(self._parent, self._path, self._identity)
        elif not self._stays(error):
            _remove(self._path)

    def _stays(self, error: BaseException | None) -> bool:
        """Whether the directory of a call that failed could be kept, in the place of one that it left before."""
        place = self.kept_for(error)
        if place is None or self._path is None:
            return False
        try:
            if os.path.lexists(place):
                _remove(place)
            os.rename(self._path, place)
            os.utime(place, follow_symlinks=False)
        except OSError:
            return False
        return True


def _has_room(parent: str) -> bool:
    try:
        disk = shutil.disk_usage(parent)
    except OSError:
        return False
    return disk.free >= ROOM * disk.total


def _tidy(parent: str) -> None:
    """Remove what calls left that failed more than a day ago; looked for once a process."""
    if parent in _tidied:
        return
    _tidied.add(parent)
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in list(entries):
            if entry.name.startswith(FAILED) and entry.stat(follow_symlinks=False).st_mtime < time.time() - DAY:
                _remove(entry.path)


def _keep_alive() -> None:
    """Give signs of life in the directories that are in use, for other machines that take out the garbage."""
    global _beating
    if _beating != os.getpid():
        _beating = os.getpid()
        threading.Thread(target=_beat, name="stargazer-scratch", daemon=True).start()


def _beat() -> None:
    while True:
        time.sleep(BEAT)
        for path in [*_live.copy(), *_idle_paths()]:
            with contextlib.suppress(OSError):
                os.utime(path, follow_symlinks=False)


def _new(parent: str) -> tuple[str, Identity]:
    path = os.path.join(os.path.realpath(parent), scratch_name())
    try:
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        os.makedirs(parent, exist_ok=True)
        os.mkdir(path, 0o700)
    return path, _identity(os.lstat(path))


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino, found.st_uid


def _identity_at(path: str) -> Identity | None:
    """Of the directory at a path itself; None if there is none."""
    try:
        return _identity(os.lstat(path))
    except OSError:
        return None


def _renamed(parent: str) -> tuple[str, Identity] | None:
    """An idle directory under a new name. After a fork two processes know of it; only one of them gets it."""
    idle = _idle.get(parent, [])
    while idle:
        old, identity = idle.pop()
        new = os.path.join(os.path.dirname(old), scratch_name())
        with contextlib.suppress(OSError):
            os.rename(old, new)
            if _identity_at(new) == identity:
                return new, identity
    return None


def _emptied(path: str, identity: Identity) -> bool:
    """Whether there were only files in a directory, and inputs; they are gone. Tools leave their logs in another.

    It is opened first, so that nothing is removed where the path leads by now.
    """
    try:
        fd = os.open(path, _FOLDER)
    except OSError:
        return False
    try:
        return _identity(os.fstat(fd)) == identity and _empty(fd, {INPUTS})
    except OSError:
        return False
    finally:
        os.close(fd)


def _empty(fd: int, folders: Collection[str] | None = None) -> bool:
    """Remove what lies in an opened folder, but of the folders in it only some if these are named; whether all went."""
    with os.scandir(fd) as entries:
        for entry in list(entries):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=fd)
            elif folders is None or entry.name in folders:
                inner = os.open(entry.name, _FOLDER, dir_fd=fd)
                try:
                    _empty(inner)
                finally:
                    os.close(inner)
                if folders is None:
                    os.rmdir(entry.name, dir_fd=fd)
            else:
                return False
    return True


def _keep(parent: str, path: str, identity: Identity) -> None:
    if not _idle:
        atexit.register(_remove_idle)
    _idle.setdefault(parent, []).append((path, identity))


def _idle_paths() -> list[str]:
    return [path for path, _ in itertools.chain.from_iterable(list(_idle.values()))]


def _remove_idle() -> None:
    for path in _idle_paths():
        for part in (os.path.join(path, INPUTS), path):
            with contextlib.suppress(OSError):
                os.rmdir(part)


def _remove(path: str) -> None:
    """Remove a directory, read-only ones in it too; what a link in it leads to keeps its mode as well."""
    parent, name = os.path.split(path)
    with contextlib.suppress(OSError), opened(parent, "") as fd:
        remove_tree(name, fd)
