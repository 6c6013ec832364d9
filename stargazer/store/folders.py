"""Folders of a store, opened step by step, so that no link that somebody put there leads out of it.

What is removed is removed relative to an opened folder: between the look and the deed nobody can change what its path
means. The store's own path may go through links, which is its owner's affair.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import itertools
import os
import re
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stargazer.errors import StoreError, StoreGone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "BEAT",
    "FAILED",
    "Entry",
    "Modes",
    "check_owners",
    "check_sign",
    "entries_in",
    "is_in_use",
    "is_private",
    "last_change",
    "modes_of",
    "odd_in",
    "open_made",
    "opened",
    "private_folder",
    "remove_tree",
    "scratch_name",
]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_FOLDER = {errno.ELOOP, errno.ENOTDIR}
_DEEPEST = 32
"""Folders below a leftover that are looked at for when it last changed."""


class Entry(NamedTuple):
    """One file of a store: where, how many bytes, when it last changed (seconds since 1970)."""

    place: str
    size: int
    changed: float


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

    def give_group(self, fd: int) -> None:
        """Give an opened file or folder to the group that shares the store."""
        if self.group is not None and self.group != os.fstat(fd).st_gid:
            with contextlib.suppress(PermissionError):  # who is not in the group may write by other rights
                os.fchown(fd, -1, self.group)


def modes_of(root: str) -> Modes:
    """Return who may do what in a store: as its root says, whatever the umask of whoever writes."""
    found = os.stat(root)
    shared = bool(found.st_mode & stat.S_IWGRP)
    folder = found.st_mode & 0o2777 | (stat.S_ISGID if shared else 0)
    return Modes(folder, found.st_mode & 0o444, found.st_gid if shared else None)


@contextlib.contextmanager
def opened(root: str, folder: str, *, make: bool = False, sign: str = "") -> Iterator[int]:
    """Open a folder below a root; no part of the way may be a link.

    Parameters
    ----------
    root
        Absolute path; links in it are followed.
    folder
        Relative to it: ``records/aa``; empty for the root itself.
    make
        Make what is not there, with the permissions of the root.
    sign
        Name of a file in the root without which nothing is made: below it another disk may lie, or nothing.

    Raises
    ------
    FileNotFoundError
        It is not there.
    StoreError
        A part of the way is a link or no folder.
    StoreGone
        It would be made, and the sign is not there.
    """
    fd = open_made(root, folder, sign) if make else _open(root, folder)
    try:
        yield fd
    finally:
        os.close(fd)


def check_sign(root: str, sign: str) -> None:
    """Make sure that a store is where it was.

    Raises
    ------
    StoreGone
        A file that every store has is not there.
    """
    if sign and not os.path.lexists(f"{root}/{sign}"):
        message = f"the store at {root} was there and is not any more (is its disk mounted?)"
        raise StoreGone(errno.ENOENT, f"{message}; nothing was written in its place: bring it back, and go on")


def open_made(root: str, folder: str, sign: str) -> int:
    """Open a folder as `opened` does with ``make``; whoever asks closes it.

    What is missing of the way to it is made, each part in the one that was opened before it.
    """
    if not folder:
        try:
            return _open(root, folder)
        except FileNotFoundError:
            _make_root(root, sign)
            return _open(root, folder)

    def make(name: str, above: int | None) -> int:
        if above is not None:
            check_sign(root, sign)
            return _make(name, above, root)
        _make_root(root, sign)
        with opened(root, "") as own:
            return _make(name, own, root)

    return _open(root, folder, make)


def _make_root(root: str, sign: str) -> None:
    check_sign(root, sign)
    os.makedirs(root, exist_ok=True)


def _make(name: str, above: int, root: str) -> int:
    """Open a folder in an opened one; one that had to be made may be used by all who may use the store."""
    try:
        os.mkdir(name, dir_fd=above)
    except FileExistsError:
        return _step(name, above, f"{root}/…/{name}")
    fd = _step(name, above, f"{root}/…/{name}")
    try:
        _open_to_all(fd, modes_of(root))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open_to_all(fd: int, modes: Modes) -> None:
    """Let everybody use a folder just made who may use the store."""
    modes.give_group(fd)
    os.fchmod(fd, modes.folder)


def _open(root: str, folder: str, make: Callable[[str, int | None], int] | None = None) -> int:
    if not folder:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fd = None
    for name in folder.split("/"):
        above, part = fd, f"{root}/{name}" if fd is None else name
        try:
            try:
                fd = _step(part, above, f"{root}/{folder}")
            except FileNotFoundError:
                if make is None:
                    raise
                fd = make(name, above)
        finally:
            if above is not None:
                os.close(above)
    assert fd is not None
    return fd


def _step(name: str, above: int | None, path: str) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=above)
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            raise
        message = f"{path} is a link, or no folder, where a folder of the store belongs, and is not followed"
        raise StoreError(f"{message}: move it away (if what it leads to is yours, move that here)") from error


def check_owners(root: str, names: tuple[str, ...], *, yes_as_root: bool) -> None:
    """Make sure, before anything is removed, whose store this is and that its folders are its own.

    Parameters
    ----------
    root
        Path of the store.
    names
        Its top folders.
    yes_as_root
        Root may clean up what belongs to somebody else.

    Raises
    ------
    StoreError
        A folder is a link, or belongs to somebody unexpected; or root was not told to go ahead.
    """
    own = os.stat(root)
    if os.geteuid() == 0 and own.st_uid != 0 and not yes_as_root:
        message = f"{root} belongs to {_person(own.st_uid)}, and you are root"
        raise StoreError(f"{message}: let its owner do this, or say --yes-as-root (yes_as_root=True)")
    for name in names:
        with contextlib.suppress(FileNotFoundError), opened(root, name) as fd:
            _check_owner(f"{root}/{name}", os.fstat(fd), own)


def _check_owner(path: str, found: os.stat_result, own: os.stat_result) -> None:
    """A folder may be the store's owner's, one's own or root's, or of the group that shares the store."""
    shared = own.st_mode & stat.S_IWGRP and found.st_gid == own.st_gid
    if found.st_uid not in (own.st_uid, os.geteuid(), 0) and not shared:
        message = f"{path} belongs to {_person(found.st_uid)}, but the store to {_person(own.st_uid)}"
        raise StoreError(f"{message}, who share no group: find out why, then chown it, or move it away")


def is_private(path: str) -> bool:
    """Whether a folder is this user's and nobody else may write to it; one that is not there is nobody's."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _person(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def entries_in(root: str, folder: str) -> Iterator[Entry]:
    """Every regular file in a folder and the folders in it, in order of name."""
    for place, found in _found(root, folder):
        if stat.S_ISREG(found.st_mode):
            yield Entry(place, found.st_size, max(found.st_mtime, found.st_ctime))


def odd_in(root: str, folder: str, *, flat: bool = False) -> Iterator[str]:
    """Places in a folder of what is neither a regular file nor a folder of files.

    Parameters
    ----------
    root, folder
        As for `opened`.
    flat
        No folders belong in it.
    """
    for place, found in _found(root, folder, folders=True, flat=flat):
        deep = flat or place.count("/") > 1
        if not stat.S_ISREG(found.st_mode) and (deep or not stat.S_ISDIR(found.st_mode)):
            yield place


def _found(
    root: str, folder: str, *, folders: bool = False, flat: bool = False
) -> Iterator[tuple[str, os.stat_result]]:
    """What lies in a folder, and in the folders in it, and how it was found."""
    try:
        with opened(root, folder) as fd:
            for name in sorted(os.listdir(fd)):
                found = _lstat(name, fd)
                if found is None:
                    continue
                is_folder = stat.S_ISDIR(found.st_mode)
                if folders or not is_folder:
                    yield f"{folder}/{name}", found
                if is_folder and not flat:
                    yield from _in_shard(f"{folder}/{name}", name, fd)
    except FileNotFoundError:
        return


def _in_shard(place: str, name: str, above: int) -> Iterator[tuple[str, os.stat_result]]:
    try:
        fd = os.open(name, _FOLDER, dir_fd=above)
    except OSError:  # it went, became something else, or is another user's own
        return
    try:
        for child in sorted(os.listdir(fd)):
            if (found := _lstat(child, fd)) is not None:
                yield f"{place}/{child}", found
    finally:
        os.close(fd)


def _lstat(name: str, fd: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def last_change(name: str, fd: int, deepest: int = _DEEPEST) -> float:
    """When anything in a file or folder last changed.

    Parameters
    ----------
    name
        In the folder `fd`.
    fd
        Descriptor of the folder.
    deepest
        Folders below one another that are looked at.
    """
    found = _lstat(name, fd)
    if found is None:
        return 0.0
    if not stat.S_ISDIR(found.st_mode) or not deepest:
        return found.st_ctime
    try:
        inner = os.open(name, _FOLDER, dir_fd=fd)
    except OSError:
        return found.st_ctime
    try:
        return max([found.st_ctime, *(last_change(child, inner, deepest - 1) for child in os.listdir(inner))])
    finally:
        os.close(inner)


def remove_tree(name: str, fd: int) -> None:
    """Remove a file, or a folder with all that is in it, however deep; what a link leads to stays.

    Folders in it are moved up beside it first, so that their depth needs neither descriptors nor the stack.

    Parameters
    ----------
    name
        In the folder `fd`.
    fd
        Descriptor of the folder.

    Raises
    ------
    OSError
        Something may not be removed.
    """
    found = _lstat(name, fd)
    if found is None:
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=fd)
        return
    waiting, prefix, number = [name], f"gone-{os.urandom(5).hex()}", 0
    while waiting:
        inner = os.open(waiting[-1], _FOLDER, dir_fd=fd)
        try:
            _make_writable(inner)
            below = []
            for child in os.listdir(inner):
                if stat.S_ISDIR(os.stat(child, dir_fd=inner, follow_symlinks=False).st_mode):
                    number += 1
                    _move_up(child, inner, f"{prefix}-{number}", fd)
                    below.append(f"{prefix}-{number}")
                else:
                    os.unlink(child, dir_fd=inner)
        finally:
            os.close(inner)
        os.rmdir(waiting.pop(), dir_fd=fd)
        waiting += below


def _make_writable(fd: int) -> None:
    """What a task left read-only goes too."""
    found = os.fstat(fd)
    if found.st_uid == os.geteuid() and found.st_mode & 0o700 != 0o700:
        os.fchmod(fd, stat.S_IMODE(found.st_mode) | 0o700)


def _move_up(child: str, inner: int, name: str, fd: int) -> None:
    try:
        os.rename(child, name, src_dir_fd=inner, dst_dir_fd=fd)
    except PermissionError:  # a folder that is not writable may not be moved
        own = os.open(child, _FOLDER, dir_fd=inner)
        try:
            _make_writable(own)
        finally:
            os.close(own)
        os.rename(child, name, src_dir_fd=inner, dst_dir_fd=fd)


def private_folder(path: str) -> None:
    """Make a folder that only this user can read or change, or make one so that is there.

    Raises
    ------
    StoreError
        It is a link, or belongs to somebody else: what is noted in it would be that person's word.
    """
    with contextlib.suppress(FileExistsError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.mkdir(path, 0o700)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise StoreError(f"{path} is a link, or no folder, but this user's caches belong there: move it away")
    if found.st_uid != os.geteuid():
        message = f"{path} belongs to {_person(found.st_uid)}, and notes in it are not believed"
        raise StoreError(f"{message}: let stargazer.cache name a folder of your own")
    if found.st_mode & 0o077:
        os.chmod(path, 0o700)


# Scratch directories of tasks, in the folder tmp: whose they are, and whether that one lives.


FAILED = "failed-"
"""How the scratch directory of a call that failed is called, before the first digits of its content key."""

SILENT = 1800.0
"""Seconds without a sign after which another machine's scratch directory is taken for left behind; see `BEAT`."""

BEAT = 300.0
"""Seconds between two signs of life in a scratch directory."""

_SCRATCH = re.compile(r"work-([0-9a-f]{8})-(\d+)-\d+-[0-9a-f]{8}")
_serial = itertools.count()


def scratch_name() -> str:
    """A new name for a scratch directory, which tells whose it is: the machine's, and the process's there."""
    return f"work-{_here()}-{os.getpid()}-{next(_serial)}-{os.urandom(4).hex()}"


def is_in_use(name: str, last: float) -> bool:
    """Whether a scratch directory may belong to a process that lives.

    Parameters
    ----------
    name
        Of the directory.
    last
        When anything in it was touched last. Its process does so now and then, which tells other machines.
    """
    found = _SCRATCH.fullmatch(name)
    if found is None:
        return False
    return _lives(int(found[2])) if found[1] == _here() else last > time.time() - SILENT


@functools.cache
def _here() -> str:
    """Name this machine since it was started, and the part of it whose processes have numbers of their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        boot, space = "", 0
    return hashlib.sha256(f"{os.uname().nodename} {boot} {space}".encode()).hexdigest()[:8]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True
