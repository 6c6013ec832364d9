"""Files by CID on a local file system: hashed on the way into ``tmp``, then renamed into place."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from stargazer.errors import BlobLost, CIDError
from stargazer.store import layout
from stargazer.store.backends.local import as_store_error, sync_file, unlink, write_all
from stargazer.store.blobs.base import HELD_AFTER, MTIME, Blobs, Stored, movable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.cid.unixfs import Progress
    from stargazer.store.backends.local import LocalBackend
    from stargazer.store.context import StoreContext

__all__ = ["LocalBlobs", "copy_file", "lay_file", "reflink"]

_BELIEVED_BY_SIZE = 1 << 26
_NOTED = 1 << 18
_BLOCK = 1 << 20


class LocalBlobs(Blobs):
    """Blobs that are used where they lie."""

    def __init__(self, context: StoreContext, backend: LocalBackend) -> None:
        super().__init__(context)
        self.backend = backend
        self._root = backend.path("blobs")

    @property
    def root(self) -> str:
        """Directory of the blobs themselves."""
        return self._root

    def checked_file(self, cid: str) -> str:
        """Path of the blob itself, checked; `BlobLost` if it is missing or corrupt."""
        self.check_unharmed(cid)
        return self.file(cid)

    def check_unharmed(self, cid: str) -> None:
        """Raise `BlobLost` if the blob was changed or is gone."""
        if not self.checked(cid):
            raise BlobLost(cid)

    def prefetch(self, cids: Iterable[str]) -> None:
        """Nothing: they are here."""

    def own_folders(self) -> list[tuple[LocalBackend, str]]:
        """The store's own folder of unfinished files; what is harmed in a store is everybody's affair."""
        return [(self.backend, layout.TMP)]

    def temporary(self) -> str:
        """A new path on the store's own file system."""
        self.backend.make_folder(layout.TMP)
        return self.backend.temporary()

    def quarantine(self, cid: str) -> str:
        """Take a corrupt blob out of the way; the place where it went."""
        self.memo.forget(cid)
        target = layout.quarantine(cid)
        self.backend.move(layout.blob(cid), target)
        return target

    def recheck(self, cid: str) -> bool:
        """Hash a blob, whatever is known of it; a bad one goes to quarantine."""
        try:
            found = os.lstat(self.file(cid))
            good = stat.S_ISREG(found.st_mode) and self.is_good(cid, self.file(cid))
        except (FileNotFoundError, CIDError):
            good = False
        if good:
            self.memo.note(cid, found)
        else:
            self.quarantine(cid)
        return good

    def put_bytes(self, data: bytes) -> str:
        """Keep bytes in memory; their CID."""
        from stargazer.cid import cid_of_bytes

        cid = cid_of_bytes(data, self.context.profile)
        temporary = self.backend.write_temporary(data, layout.blob(cid))
        os.utime(temporary, (MTIME, MTIME))
        self._settle(temporary, Stored(cid, len(data), 0))
        return cid

    def adopt(self, path: str, stored: Stored) -> None:
        """Move a checked file into place."""
        self._open_to_all(path)
        os.utime(path, (MTIME, MTIME))
        if self.backend.durable:
            sync_file(path)
        self._settle(path, stored)

    def _store(self, path: str, found: os.stat_result, move: bool, progress: Progress | None) -> Stored:
        if move and movable(found, path, self.backend.root):
            return self._move_in(path, found)
        return self._copy_in(path, progress)

    def _move_in(self, path: str, found: os.stat_result) -> Stored:
        stored = self.hashed(path)
        self._open_to_all(path)
        os.utime(path, (MTIME, MTIME))
        if self.backend.durable:
            sync_file(path)
        self._settle(path, stored)
        return stored

    def _open_to_all(self, path: str) -> None:
        """Let everybody read a file who may read in the store, whatever the umask of the task that wrote it."""
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self.backend.modes.give_group(fd)
            os.fchmod(fd, self.backend.modes.file)
        finally:
            os.close(fd)

    def _copy_in(self, path: str, progress: Progress | None) -> Stored:
        temporary = None
        try:
            fd, temporary = self.backend.create_temporary()
            try:
                stored = self._copy_hashing(path, fd, progress) or self.hashed(temporary, progress)
                if self.backend.durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
            os.utime(temporary, (MTIME, MTIME))
            self._settle(temporary, stored)
        except OSError as error:
            if temporary:
                unlink(temporary)
            raise as_store_error(error, f"{path} to {self.context.url}") from error
        return stored

    def _copy_hashing(self, path: str, fd: int, progress: Progress | None) -> Stored | None:
        """Copy a file, hashing the bytes as they pass; None where it could be cloned, which reads nothing."""
        from stargazer.cid import Hasher

        hasher = Hasher(self.context.profile)
        with open(path, "rb", buffering=0) as source:
            if reflink(source.fileno(), fd):
                return None
            for block in iter(lambda: source.read(_BLOCK), b""):
                hasher.update(block)
                write_all(fd, block)
                if progress:
                    progress(len(block))
        node = hasher.finish()
        return Stored(node.cid, node.size, node.dag_size)

    def _settle(self, path: str, stored: Stored) -> None:
        """Move hashed bytes into place, unless good ones are there."""
        if self.stands(stored):
            os.unlink(path)
        else:
            self.backend.adopt(path, layout.blob(stored.cid))
        if stored.size > _NOTED:
            self.memo.note(stored.cid, os.stat(self.file(stored.cid)))

    def stands(self, stored: Stored) -> bool:
        """Whether the store has these bytes. Big ones are believed by their size: they are checked before each use."""
        path = self.file(stored.cid)
        try:
            found = os.lstat(path)
            if not stat.S_ISREG(found.st_mode) or found.st_size != stored.size:
                return False
            known = found.st_size > _BELIEVED_BY_SIZE or self.memo.knows(stored.cid, found)
            if not known and not self.is_good(stored.cid, path):
                return False
            if time.time() - found.st_ctime > HELD_AFTER:
                self.backend.hold(layout.blob(stored.cid))
                os.lstat(path)  # what was taken away before the mark was there is not held
        except OSError:
            return False  # it vanished, or is another user's: an equal file takes its place
        return True


# One file under a second path: a clone that shares its blocks, a link, or a copy.


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
