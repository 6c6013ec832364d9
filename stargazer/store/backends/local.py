"""A store on a POSIX file system: every write goes to ``tmp`` first, then into place by one rename.

A rename over a file that is there already is harmless, because one name means one content. Nothing is locked,
so any number of processes on any number of machines may write.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import logging
import os
import stat
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from stargazer.errors import StoreError, StoreFull, StoreReadOnly
from stargazer.store.folders import (
    Entry,
    Modes,
    check_owners,
    check_sign,
    entries_in,
    is_private,
    last_change,
    modes_of,
    odd_in,
    open_made,
    opened,
    remove_tree,
)
from stargazer.store.layout import HEADER, HELD, LARGEST, TMP, TOP, quarantine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from stargazer.store.backends.base import Journal

__all__ = [
    "LocalBackend",
    "as_store_error",
    "is_full",
    "sync_directory",
    "sync_file",
    "sync_file_system",
    "unlink",
    "write_all",
]

_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_UNREADABLE = {errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EACCES, errno.EPERM, errno.EISDIR}
"""What opening a link, a socket, a device, another user's own file or a folder says."""

_CLOSED = {errno.EACCES, errno.EPERM}
_IN_THE_WAY = {errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST}
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_BLOCK = 1 << 16
HELD_FOR = 86400.0
"""Seconds for which another writer's mark is relied upon that cannot be renewed."""
DAY = 86400.0


_log = logging.getLogger(__name__)


class LocalBackend:
    """Primitive operations on the places of a store in a local directory.

    Parameters
    ----------
    root
        Absolute path of the store; need not exist yet.
    durable
        Sync every write to disk before it counts (3 to 7 ms each).

    A store that was looked into once is not made anew where it is gone: what is written below the place where a disk
    should be mounted is lost when it is mounted again.
    """

    quick = True
    tells_use = True
    journal: Journal | None = None

    def __init__(self, root: str, durable: bool = False) -> None:
        self.root, self.durable, self._sign = root, durable, ""
        self.url = f"file://{root}"
        self._prefix, self._serial = f"{root}/{TMP}/{os.urandom(5).hex()}", itertools.count()

    def path(self, place: str) -> str:
        """Absolute path of a place."""
        return f"{self.root}/{place}"

    def read(self, place: str) -> bytes | None:
        """Content of a small file, or None if there is none; nothing (torn) of what is no regular file or too large."""
        try:
            data = self._read(place)
        except FileNotFoundError:
            if place != HEADER:
                check_sign(self.root, self._sign)
            return None
        except NotADirectoryError:
            if "/" not in place:  # the store itself is a file
                raise
            return None
        except OSError as error:
            if error.errno in _UNREADABLE and (error.errno not in _CLOSED or "/" in place):
                return b""
            if error.errno != errno.ESTALE:  # replaced on another NFS client while it was open here
                raise
            data = self._read(place)
        if place == HEADER:
            self._sign = HEADER
        return data

    def _read(self, place: str) -> bytes:
        fd = os.open(f"{self.root}/{place}", _READ)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
                return b""
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
        return open(self._open_regular(place), "rb")

    def _open_regular(self, place: str) -> int:
        fd = os.open(self.path(place), _READ)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise StoreError(f"{self.path(place)} is no regular file: fsck puts it aside")
        return fd

    def size(self, place: str) -> int | None:
        """Bytes of a regular file, or None if there is none."""
        found = self._regular(place)
        return None if found is None else found.st_size

    def _regular(self, place: str) -> os.stat_result | None:
        try:
            found = os.lstat(f"{self.root}/{place}")
        except (FileNotFoundError, NotADirectoryError):
            check_sign(self.root, self._sign)
            return None
        except OSError as error:
            if error.errno != errno.ELOOP:  # a folder of the store that leads to itself
                raise
            return None
        return found if stat.S_ISREG(found.st_mode) else None

    def temporary(self) -> str:
        """A new path on the store's file system, for something that will be moved into place."""
        self.check_tmp()
        return f"{self._prefix}-{os.getpid()}-{next(self._serial)}"

    def check_tmp(self) -> bool:
        """Put aside what stands in the place of ``tmp`` and is no folder: writing must not lead out of the store.

        Returns
        -------
        bool
            Whether the folder is there.
        """
        try:
            mode = os.lstat(f"{self.root}/{TMP}").st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        if stat.S_ISDIR(mode):
            return True
        _log.warning("%s/%s was a link, or no folder, and was put aside in %s", self.root, TMP, self.set_aside(TMP))
        return False

    def create_temporary(self) -> tuple[int, str]:
        """Open a new temporary file for writing, read-only once it is closed: descriptor and path."""
        path = self.temporary()
        try:
            fd = os.open(path, _NEW, 0o400)
        except FileNotFoundError:
            self.make_folder(TMP)
            fd = os.open(path, _NEW, 0o400)
        os.fchmod(fd, self.modes.file)
        return fd, path

    @cached_property
    def modes(self) -> Modes:
        """Who may do what in the store: as its root says, whatever the umask of whoever writes."""
        return modes_of(self.root)

    def make_folder(self, folder: str) -> None:
        """Make a folder of the store, and those that it lies in."""
        with opened(self.root, folder, make=True, sign=self._sign):
            pass

    def create(self, place: str, data: bytes) -> bool:
        """Write a file unless it is there with this content; whether it had to be written."""
        if self.read(place) == data:
            return False
        self.replace(place, data)
        return True

    def create_once(self, place: str, data: bytes) -> None:
        """Write a file unless one is there, whatever its content: the first writer wins; what is none is put aside."""
        temporary = self.write_temporary(data, place)
        self.make_folder(place.rpartition("/")[0])
        try:
            try:
                self._link_once(temporary, place)
            except FileExistsError:
                if self.size(place) is None:
                    self.set_aside(place)
                    with contextlib.suppress(FileExistsError):  # another writer was faster
                        self._link_once(temporary, place)
        finally:
            unlink(temporary)

    def _link_once(self, temporary: str, place: str) -> None:
        try:
            os.link(temporary, self.path(place))
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            if os.path.lexists(self.path(place)):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), place) from error
            os.rename(temporary, self.path(place))

    def replace(self, place: str, data: bytes, *, used: float | None = None) -> None:
        """Write a file, over the one that is there; its mtime tells when it was of use."""
        path = self.write_temporary(data, place)
        if used is not None:
            os.utime(path, (used, used))
        self.adopt(path, place)

    def changed(self, place: str) -> float | None:
        """When a file was last put or changed, which no program can set; None if there is none."""
        found = self._regular(place)
        return None if found is None else found.st_ctime

    def last_use(self, place: str, size: int | None = None) -> float | None:
        """When a file was last noted to be of use, or None if there is none, or one of another size.

        That a file is of use is noted in its mtime, and what somebody linked there may be another file of one's own.
        """
        found = self._regular(place)
        return None if found is None or size not in (None, found.st_size) else found.st_mtime

    def note_use(self, places: Iterable[str]) -> None:
        """Note that files are of use now.

        Another user's, whose times may not be set, is replaced by an equal one; once a day is enough for that.
        """
        for place in places:
            try:
                os.utime(self.path(place), follow_symlinks=False)
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
                self._link(place, alias)
            except (OSError, StoreError):
                self.replace(alias, otherwise)
            else:
                self._sync_folder(self.path(alias))

    def _link(self, place: str, alias: str) -> None:
        source = self.path(place)
        folder, _, name = alias.rpartition("/")
        with opened(self.root, folder, make=True, sign=self._sign) as fd:
            try:
                os.link(source, self.path(alias))
            except FileExistsError:
                temporary = self.temporary()
                self.make_folder(TMP)
                os.link(source, temporary)
                os.rename(temporary, name, dst_dir_fd=fd)
                unlink(temporary)  # a rename does nothing where both are names of one file already

    def create_many(self, contents: Mapping[str, bytes]) -> None:
        """Write those of several files that are not there yet."""
        for place, data in contents.items():
            self.create(place, data)

    def adopt(self, path: str, place: str) -> None:
        """Move a complete file of the same file system into place; what is no file there is put aside."""
        try:
            try:
                self._adopt(path, place)
            except (StoreError, OSError) as error:
                if not self._clear(place, error):
                    raise
                self._adopt(path, place)
        except OSError as error:
            raise as_store_error(error, self.path(place)) from error
        self._sync_folder(self.path(place))

    def _adopt(self, path: str, place: str) -> None:
        folder, _, name = place.rpartition("/")
        fd = open_made(self.root, folder, self._sign)
        try:
            os.rename(path, name, dst_dir_fd=fd)
        finally:
            os.close(fd)

    def _clear(self, place: str, error: Exception) -> bool:
        """Put aside what stands in the way of a place, a folder's name below the top or a file's; whether it was so."""
        if isinstance(error, OSError) and error.errno not in _IN_THE_WAY:
            return False
        in_the_way = place if isinstance(error, OSError) else place.rpartition("/")[0]
        if "/" not in in_the_way:
            return False  # a top folder is nothing to be put aside in passing
        self.set_aside(in_the_way)
        return True

    def set_aside(self, place: str) -> str:
        """Take what is not what belongs there out of the way, whatever it is; the place where it went."""
        target = quarantine(place.rpartition("/")[2])
        self.move(place, target)
        return target

    def _sync_folder(self, path: str) -> None:
        if self.durable:
            sync_directory(os.path.dirname(path))

    def remove(self, place: str) -> bool:
        """Remove a file; whether there was one."""
        folder, _, name = place.rpartition("/")
        try:
            with opened(self.root, folder) as fd:
                os.unlink(name, dir_fd=fd)
        except FileNotFoundError:
            return False
        except IsADirectoryError as error:
            raise StoreError(f"{self.path(place)} is a folder, where a file belongs: fsck puts it aside") from error
        except OSError as error:
            raise as_store_error(error, self.path(place)) from error
        return True

    def discard(self, place: str) -> None:
        """Remove a file, or a folder with all that is in it; links in it are removed, and lead nowhere.

        What another user left is theirs to remove, and stays.
        """
        folder, _, name = place.rpartition("/")
        with contextlib.suppress(OSError), opened(self.root, folder) as fd:
            remove_tree(name, fd)

    def remains(self, folder: str) -> Iterator[tuple[str, float]]:
        """Places that lie directly in a folder, folders too, and when anything in them last changed."""
        with contextlib.suppress(FileNotFoundError), opened(self.root, folder) as fd:
            for name in sorted(os.listdir(fd)):
                yield f"{folder}/{name}", last_change(name, fd)

    def sweep(self, places: Iterable[str], before: float) -> set[str]:
        """Remove files that nobody touched since a time, and tell which.

        Each is first taken away, then looked at: a writer that found it and holds it by a mark gets it back, one that
        comes later finds nothing and writes its own.
        """
        by_folder: dict[str, list[str]] = {}
        for place in places:
            by_folder.setdefault(place.rpartition("/")[0], []).append(place)
        swept: set[str] = set()
        for folder, inside in by_folder.items():
            with (
                contextlib.suppress(FileNotFoundError, StoreError),  # one that became a link is left as it is
                opened(self.root, folder) as fd,
                opened(self.root, TMP, make=True, sign=self._sign) as tmp,
            ):
                swept |= {place for place in inside if self._sweep(place.rpartition("/")[2], fd, tmp, before)}
        return swept

    def _sweep(self, name: str, fd: int, tmp: int, before: float) -> bool:
        aside = os.path.basename(self.temporary())
        try:
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if found.st_ctime >= before or found.st_nlink > 1 or _is_held(name, tmp):
                return False
            os.rename(name, aside, src_dir_fd=fd, dst_dir_fd=tmp)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise as_store_error(error, f"{self.root}: {name} cannot be removed") from error
        taken = os.stat(aside, dir_fd=tmp, follow_symlinks=False)
        if taken.st_ino != found.st_ino or taken.st_nlink > 1 or _is_held(name, tmp):
            os.rename(aside, name, src_dir_fd=tmp, dst_dir_fd=fd)
            return False
        os.unlink(aside, dir_fd=tmp)
        return True

    def hold(self, place: str) -> None:
        """Keep a file from being swept for a while, by a mark in ``tmp`` that goes as garbage goes.

        A second link would do as well, but would change the file's ctime, by which calls that read it know that nobody
        wrote to it.
        """
        name = place.rpartition("/")[2]
        try:
            self.adopt(self.write_temporary(b"", f"{TMP}/{HELD}{name}"), f"{TMP}/{HELD}{name}")
        except PermissionError:
            if time.time() - os.lstat(f"{self.root}/{TMP}/{HELD}{name}").st_ctime > HELD_FOR:
                raise

    def move(self, place: str, target: str) -> bool:
        """Rename something within the store, whatever it is; whether there was anything."""
        source, _, name = place.rpartition("/")
        folder, _, new = target.rpartition("/")
        try:
            with opened(self.root, source) as fd, opened(self.root, folder, make=True, sign=self._sign) as to:
                os.rename(name, new, src_dir_fd=fd, dst_dir_fd=to)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise as_store_error(error, self.path(target)) from error
        self._sync_folder(self.path(target))
        return True

    def names(self, folder: str) -> list[str]:
        """Names that lie directly in a folder; none of what is no folder below the top."""
        try:
            with opened(self.root, folder) as fd:
                return sorted(os.listdir(fd))
        except (FileNotFoundError, PermissionError):
            check_sign(self.root, self._sign)
            return []
        except StoreError:
            if "/" not in folder:
                raise
            return []

    def entries(self, folder: str) -> Iterator[Entry]:
        """Every regular file in a folder and the folders in it, in order of name."""
        check_sign(self.root, self._sign)
        return entries_in(self.root, folder)

    def odd(self, folder: str, *, flat: bool = False) -> Iterator[str]:
        """Places in a folder of what is neither a regular file nor a folder of these."""
        check_sign(self.root, self._sign)
        return odd_in(self.root, folder, flat=flat)

    def holds(self, cids: Sequence[str]) -> bool | None:
        """Not told: whoever asks looks for the names."""
        return None

    def scratch(self) -> str:
        """The folder ``tmp``, made where there is a store."""
        is_there = self.check_tmp()
        if self.size(HEADER) is not None and not is_there:
            self.make_folder(TMP)
        return self.path(TMP)

    def is_private(self) -> bool:
        """Whether the store's folder, and those of what is known in it, are this user's, and nobody else may write."""
        return all(is_private(f"{self.root}/{name}") for name in ("", "records", "keys"))

    def check_owners(self, *, yes_as_root: bool) -> None:
        """Make sure that the folders are the store's own, and that root was told to go ahead."""
        check_sign(self.root, self._sign)
        check_owners(self.root, TOP, yes_as_root=yes_as_root)

    def sync(self) -> None:
        """Wait until all that was written is on disk."""
        if Path(self.root).exists():
            sync_file_system(self.root)


def _is_held(name: str, tmp: int) -> bool:
    """Whether a writer relies on a file that it found."""
    try:
        os.stat(f"{HELD}{name}", dir_fd=tmp, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


# Small operations on files, which the standard library leaves to be put together.


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED_FILE = {errno.EACCES, errno.EPERM, errno.EROFS}


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


@functools.cache
def _syncfs() -> Callable[[int], int] | None:
    import ctypes

    return getattr(ctypes.CDLL(None), "syncfs", None)
