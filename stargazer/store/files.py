"""Small operations on files, which the standard library leaves to be put together."""

from __future__ import annotations

import errno
import functools
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from stargazer.errors import StoreFull, StoreReadOnly

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Entry",
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

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}


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
    if error.errno in _CLOSED:
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
