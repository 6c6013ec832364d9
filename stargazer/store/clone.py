"""One file under a second path: a clone that shares its blocks, a link, or a copy."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress

from stargazer.store.files import write_all

__all__ = ["copy_file", "lay_file", "reflink"]

_FICLONE = 0x40049409
_NEVER = {errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS}
_NOT_HERE = {errno.EXDEV, errno.EINVAL, errno.EPERM, errno.EBADF, errno.EACCES}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_refusing: set[int] = set()


def reflink(source: int, target: int) -> bool:
    """Make an open file a copy-on-write clone of another; whether the file system could.

    Parameters
    ----------
    source
        Descriptor to read from.
    target
        Descriptor of an empty file to write to.

    Notes
    -----
    Source: ``man 2 ioctl_ficlone``. Btrfs, XFS and bcachefs can.
    """
    device = os.fstat(source).st_dev
    if device in _refusing:
        return False
    try:
        import fcntl

        fcntl.ioctl(target, _FICLONE, source)
    except (ImportError, OSError) as error:
        code = getattr(error, "errno", None) or errno.ENOSYS
        if code in _NEVER:
            _refusing.add(device)
        elif code not in _NOT_HERE:
            raise
        return False
    return True


def lay_file(source: str, path: str, *, copy: bool = False, copy_below: int = 0) -> None:
    """Put a read-only file under another path too.

    Parameters
    ----------
    source
        A file that never changes.
    path
        Must not exist yet.
    copy
        Make a copy that may be written to, instead of a read-only clone or a symbolic link.
    copy_below
        Make a read-only copy of a file of at most so many bytes, instead of a link.

    Raises
    ------
    FileExistsError
        Something lies there.
    """
    if copy:
        copy_file(source, path, 0o644)
    elif not (copy_below and _copy_small(source, path, copy_below)) and not _clone(source, path):
        try:
            os.symlink(source, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            copy_file(source, path, 0o444)


def _copy_small(source: str, path: str, most: int) -> bool:
    """Copy a file read-only if it is that small; fewer steps than `copy_file` takes."""
    original = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data, found = os.read(original, most + 1), os.fstat(original)
    finally:
        os.close(original)
    if len(data) > most or len(data) != found.st_size:
        return False
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        write_all(target, data)
        os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns))
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(target)
    return True


def _clone(source: str, path: str) -> bool:
    if os.stat(source).st_dev in _refusing:
        return False
    with open(source, "rb", buffering=0) as original:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        try:
            cloned = reflink(original.fileno(), target)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(target)
    if not cloned:
        os.unlink(path)
        return False
    _copy_mtime(source, path)
    return True


def _copy_mtime(source: str, path: str) -> None:
    mtime = os.stat(source).st_mtime_ns
    os.utime(path, ns=(mtime, mtime))


def copy_file(source: str, path: str, mode: int) -> None:
    """Copy a file's bytes, by cloning where that can be had; on failure nothing is left."""
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode | 0o200)
    try:
        with open(source, "rb", buffering=0) as original, open(target, "wb") as copy:
            if not reflink(original.fileno(), copy.fileno()):
                shutil.copyfileobj(original, copy, 1 << 20)
        os.chmod(path, mode)
        _copy_mtime(source, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(path)
        raise
