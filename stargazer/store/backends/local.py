"""A store on a POSIX file system: every write goes to ``tmp`` first, then into place by one rename.

A rename over a file that is there already is harmless, because one name means one content. Nothing is locked,
so any number of processes on any number of machines may write.
"""

from __future__ import annotations

import errno
import functools
import itertools
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from stargazer.errors import StoreFull, StoreReadOnly
from stargazer.store.layout import TMP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = [
    "Entry",
    "LocalBackend",
    "as_store_error",
    "is_full",
    "link",
    "sync_directory",
    "sync_file",
    "sync_file_system",
    "touched",
    "unlink",
    "write_all",
]

_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_READ = os.O_RDONLY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_BLOCK = 1 << 16


class LocalBackend:
    """Primitive operations on the places of a store in a local directory.

    Parameters
    ----------
    root
        Absolute path of the store; need not exist yet.
    durable
        Sync every write to disk before it counts (3 to 7 ms each).
    """

    local = True

    def __init__(self, root: str, durable: bool = False) -> None:
        self.root, self.durable = root, durable
        self.url = f"file://{root}"
        self._prefix, self._serial = f"{root}/{TMP}/{os.urandom(5).hex()}", itertools.count()

    def path(self, place: str) -> str:
        """Absolute path of a place."""
        return f"{self.root}/{place}"

    def read(self, place: str) -> bytes | None:
        """Content of a small file, or None if there is none."""
        try:
            return self._read(place)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.ESTALE:  # replaced on another NFS client while it was open here
                raise
        return self._read(place)

    def _read(self, place: str) -> bytes:
        fd = os.open(f"{self.root}/{place}", _READ)
        try:
            data = os.read(fd, _BLOCK)
            if len(data) < _BLOCK:
                return data
            return b"".join([data, *iter(lambda: os.read(fd, _BLOCK), b"")])
        finally:
            os.close(fd)

    def read_many(self, places: Iterable[str]) -> dict[str, bytes]:
        """Contents of those small files that exist."""
        found = ((place, self.read(place)) for place in places)
        return {place: data for place, data in found if data is not None}

    def open(self, place: str) -> BinaryIO:
        """The file itself, for reading."""
        return open(self.path(place), "rb")

    def size(self, place: str) -> int | None:
        """Bytes of a file, or None if there is none."""
        try:
            return os.stat(f"{self.root}/{place}").st_size
        except FileNotFoundError:
            return None

    def temporary(self) -> str:
        """A new path on the store's file system, for something that will be moved into place."""
        return f"{self._prefix}-{os.getpid()}-{next(self._serial)}"

    def create_temporary(self) -> tuple[int, str]:
        """Open a new temporary file for writing, read-only once it is closed: descriptor and path."""
        path = self.temporary()
        try:
            return os.open(path, _NEW, 0o444), path
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            return os.open(path, _NEW, 0o444), path

    def create(self, place: str, data: bytes) -> bool:
        """Write a file unless it is there with this content; whether it had to be written."""
        if self.read(place) == data:
            return False
        self.replace(place, data)
        return True

    def create_once(self, place: str, data: bytes) -> None:
        """Write a file unless one is there, whatever its content: the first writer wins."""
        temporary = self.write_temporary(data, place)
        try:
            os.link(temporary, self.path(place))
        except FileExistsError:
            return
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            if self.size(place) is None:
                os.rename(temporary, self.path(place))
        finally:
            unlink(temporary)

    def replace(self, place: str, data: bytes) -> None:
        """Write a file, over the one that is there."""
        self.adopt(self.write_temporary(data, place), place)

    def write_temporary(self, data: bytes, place: str) -> str:
        """Write a temporary file that will be moved to a place; its path."""
        path = None
        try:
            fd, path = self.create_temporary()
            try:
                write_all(fd, data)
                if self.durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            if path:
                unlink(path)
            raise as_store_error(error, self.path(place)) from error
        return path

    def replace_many(self, contents: Mapping[str, bytes]) -> None:
        """Write several files, each over the one that is there."""
        for place, data in contents.items():
            self.replace(place, data)

    def link_many(self, place: str, aliases: Iterable[str], otherwise: bytes) -> None:
        """Make places further names of a file, over those that are there; where that cannot be, write `otherwise`."""
        for alias in aliases:
            try:
                link(self.path(place), self.path(alias), self.temporary())
            except OSError:
                self.replace(alias, otherwise)
            else:
                self._sync_folder(self.path(alias))

    def create_many(self, contents: Mapping[str, bytes]) -> None:
        """Write those of several files that are not there yet."""
        for place, data in contents.items():
            self.create(place, data)

    def adopt(self, path: str, place: str) -> None:
        """Move a complete file of the same file system into place."""
        target = f"{self.root}/{place}"
        try:
            try:
                os.rename(path, target)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.rename(path, target)
        except OSError as error:
            raise as_store_error(error, target) from error
        self._sync_folder(target)

    def _sync_folder(self, path: str) -> None:
        if self.durable:
            sync_directory(os.path.dirname(path))

    def remove(self, place: str) -> bool:
        """Remove a file; whether there was one."""
        return unlink(self.path(place))

    def sweep(self, places: Iterable[str], before: float) -> set[str]:
        """Remove files that nobody touched since a time, and tell which.

        Each is first taken away, then looked at: a writer that found it and holds it by a link gets it back, one that
        comes later finds nothing and writes its own.
        """
        return {place for place in places if self._sweep(place, before)}

    def _sweep(self, place: str, before: float) -> bool:
        path, aside = self.path(place), self.temporary()
        try:
            found = os.stat(path)
            if found.st_ctime >= before or found.st_nlink > 1:
                return False
            os.makedirs(os.path.dirname(aside), exist_ok=True)
            os.rename(path, aside)
        except FileNotFoundError:
            return False
        taken = os.stat(aside)
        if taken.st_ino != found.st_ino or taken.st_nlink > 1:
            os.rename(aside, path)
            return False
        os.unlink(aside)
        return True

    def hold(self, place: str) -> None:
        """Keep a file from being swept for a while, by a second link in ``tmp`` that goes as garbage goes."""
        aside = self.temporary()
        os.makedirs(os.path.dirname(aside), exist_ok=True)
        os.link(self.path(place), aside)

    def move(self, place: str, target: str) -> bool:
        """Rename a file within the store; whether there was one."""
        try:
            self.adopt(self.path(place), target)
        except FileNotFoundError:
            return False
        return True

    def names(self, folder: str) -> list[str]:
        """Names that lie directly in a folder."""
        try:
            return sorted(os.listdir(self.path(folder)))
        except FileNotFoundError:
            return []

    def entries(self, folder: str) -> Iterator[Entry]:
        """Every file below a folder, in order of name."""
        for base, folders, names in os.walk(self.path(folder)):
            folders.sort()
            for name in sorted(names):
                try:
                    found = os.lstat(f"{base}/{name}")
                except FileNotFoundError:
                    continue
                place = os.path.relpath(f"{base}/{name}", self.root)
                yield Entry(place, found.st_size, max(found.st_mtime, found.st_ctime))

    def sync(self) -> None:
        """Wait until all that was written is on disk."""
        if Path(self.root).exists():
            sync_file_system(self.root)


# Small operations on files, which the standard library leaves to be put together.


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED_FILE = {errno.EACCES, errno.EPERM, errno.EROFS}


class Entry(NamedTuple):
    """One file of a store: where, how many bytes, when it last changed (seconds since 1970)."""

    place: str
    size: int
    changed: float


def is_full(error: OSError) -> bool:
    """Whether an error says that there is no space left."""
    return error.errno in _FULL


def as_store_error(error: OSError, where: str) -> OSError:
    """`error`, or in its stead a `StoreFull` or `StoreReadOnly` if it says that nothing can be written there."""
    if is_full(error):
        told = f"no space left while writing {where}: {error.strerror}; free some (stargazer gc)"
        return StoreFull(error.errno, told)
    if error.errno in _CLOSED_FILE:
        told = f"cannot write {where}: {error.strerror}; what the store has can be read, but new calls want one that"
        return StoreReadOnly(error.errno, f"{told} can be written to (--store, or the setting stargazer.store)")
    return error


def write_all(fd: int, data: bytes) -> None:
    """Write every byte; ``os.write`` alone may write fewer."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])


def sync_file(path: str) -> None:
    """Make a file's bytes last through a loss of power."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Make the names in a directory last through a loss of power."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def link(path: str, target: str, temporary: str) -> None:
    """Give a file another name, in place of the file that has it now.

    Parameters
    ----------
    path
        The file.
    target
        Its other name; folders are made.
    temporary
        A name that nothing has, on the same file system.
    """
    try:
        os.link(path, target)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.link(path, target)
    except FileExistsError:
        os.makedirs(os.path.dirname(temporary), exist_ok=True)
        os.link(path, temporary)
        os.rename(temporary, target)
        unlink(temporary)  # a rename does nothing where both are names of one file already


def unlink(path: str) -> bool:
    """Remove a file; whether there was one."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def sync_file_system(path: str) -> None:
    """Wait until the file system of `path` is on disk; the others of a busy machine are not waited for."""
    fd, syncfs = os.open(path, os.O_RDONLY), _syncfs()
    try:
        if syncfs is None or syncfs(fd):
            os.sync()
    finally:
        os.close(fd)


def touched(path: str) -> float:
    """When anything in a file or directory last changed."""
    times = [os.lstat(path).st_ctime]
    for base, folders, names in os.walk(path):
        for name in (*folders, *names):
            with suppress(FileNotFoundError):
                times.append(os.lstat(f"{base}/{name}").st_ctime)
    return max(times)


@functools.cache
def _syncfs() -> Callable[[int], int] | None:
    import ctypes

    return getattr(ctypes.CDLL(None), "syncfs", None)
