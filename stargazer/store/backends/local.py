"""A store on a POSIX file system: every write goes to ``tmp`` first, then into place by one rename.

A rename over a file that is there already is harmless, because one name means one content. Nothing is locked,
so any number of processes on any number of machines may write.
"""

from __future__ import annotations

import errno
import functools
import itertools
import os
import stat
import time
from contextlib import suppress
from functools import cached_property
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
    "is_on_network",
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
DAY = 86400.0


class Modes(NamedTuple):
    """Permissions of what lies in a store.

    Parameters
    ----------
    folder, file
        Of each.
    group
        The group that shares it; None where nobody does.
    """

    folder: int
    file: int
    group: int | None


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
            fd = os.open(path, _NEW, 0o400)
        except FileNotFoundError:
            self.make_folder(os.path.dirname(path))
            fd = os.open(path, _NEW, 0o400)
        os.fchmod(fd, self.modes.file)
        return fd, path

    @cached_property
    def modes(self) -> Modes:
        """Who may do what in the store: as its root says, whatever the umask of whoever writes."""
        found = os.stat(self.root)
        shared = bool(found.st_mode & stat.S_IWGRP)
        folder = found.st_mode & 0o2777 | (stat.S_ISGID if shared else 0)
        return Modes(folder, found.st_mode & 0o444, found.st_gid if shared else None)

    def make_folder(self, path: str) -> None:
        """Make a folder of the store, and those that it lies in."""
        os.makedirs(self.root, exist_ok=True)
        missing = []
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for folder in reversed(missing):
            with suppress(FileExistsError):
                os.mkdir(folder)
                self.give_group(folder, os.stat(folder).st_gid)
                os.chmod(folder, self.modes.folder)

    def give_group(self, path: str, group: int) -> None:
        """Give a file or folder, which has a group, to that of the store, where several users share it."""
        if self.modes.group not in (None, group):
            with suppress(PermissionError):  # who is not in the group may write by other rights
                os.chown(path, -1, self.modes.group)

    def create(self, place: str, data: bytes) -> bool:
        """Write a file unless it is there with this content; whether it had to be written."""
        if self.read(place) == data:
            return False
        self.replace(place, data)
        return True

    def create_once(self, place: str, data: bytes) -> None:
        """Write a file unless one is there, whatever its content: the first writer wins."""
        temporary = self.write_temporary(data, place)
        self.make_folder(os.path.dirname(self.path(place)))
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

    def replace(self, place: str, data: bytes, *, used: float | None = None) -> None:
        """Write a file, over the one that is there; its mtime tells when it was of use."""
        path = self.write_temporary(data, place)
        if used is not None:
            os.utime(path, (used, used))
        self.adopt(path, place)

    def last_use(self, place: str) -> float | None:
        """When a file was last noted to be of use, or None if there is none."""
        try:
            return os.stat(f"{self.root}/{place}").st_mtime
        except FileNotFoundError:
            return None

    def note_use(self, places: Iterable[str]) -> None:
        """Note that files are of use now.

        Another user's, whose times may not be set, is replaced by an equal one; once a day is enough for that.
        """
        for place in places:
            try:
                os.utime(self.path(place))
            except PermissionError:
                data = self.read(place)
                if data is not None and (self.last_use(place) or 0.0) < time.time() - DAY:
                    self.replace(place, data)
            except FileNotFoundError:
                continue

    def used_since(self, places: Iterable[str], since: float) -> set[str]:
        """Those of many files that were noted to be of use since a time."""
        return {place for place in places if (self.last_use(place) or 0.0) >= since}

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
                link(self.path(place), self.path(alias), self.temporary(), self.make_folder)
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
                self.make_folder(os.path.dirname(target))
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
            self.make_folder(os.path.dirname(aside))
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
        self.make_folder(os.path.dirname(aside))
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


def link(path: str, target: str, temporary: str, make_folder: Callable[[str], None]) -> None:
    """Give a file another name, in place of the file that has it now.

    Parameters
    ----------
    path
        The file.
    target
        Its other name; folders are made.
    temporary
        A name that nothing has, on the same file system.
    make_folder
        Makes a folder that is not there.
    """
    try:
        os.link(path, target)
    except FileNotFoundError:
        make_folder(os.path.dirname(target))
        os.link(path, target)
    except FileExistsError:
        make_folder(os.path.dirname(temporary))
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


def is_on_network(path: str | os.PathLike[str]) -> bool:
    """Whether a path lies, or would lie, on a file system that other machines share."""
    place = os.path.realpath(path)
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    return _kind_of(place).partition(".")[0] in NETWORK or _kind_of(place) in NETWORK


@functools.cache
def _kind_of(place: str) -> str:
    """Kind of the file system that a directory lies on; empty where the system does not say."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            found = dict(_mounts(mounts))
    except OSError:
        return ""
    while place not in found and place != "/":
        place = os.path.dirname(place)
    return found.get(place, "")


def _mounts(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield where each file system is mounted, and its kind; of several in one place the last is the one to be seen."""
    for line in lines:
        before, _, after = line.partition(" - ")
        place = before.split(" ")[4]
        for code in ("040", "011", "012", "134"):
            place = place.replace(f"\\{code}", chr(int(code, 8)))
        yield place, after.split(" ")[0]


NETWORK = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "afs", "glusterfs", "9p", "ncpfs",
    "panfs", "pvfs2", "orangefs", "ocfs2", "gfs2", "virtiofs", "weka", "wekafs", "fuse.sshfs", "fuse.glusterfs",
    "fuse.ceph",
})  # fmt: skip
"""Kinds of file systems that several machines have mounted, as Linux calls them."""


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
