"""Files by CID: what is the same on a local disk and in an object store."""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stargazer.errors import BlobLost, StoreError
from stargazer.store.blobs.verified import Memo, signature
from stargazer.store.shapes import fits_shape

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from stargazer.cid import CIDProfile
    from stargazer.cid.unixfs import Progress
    from stargazer.store.backends.local import LocalBackend
    from stargazer.store.blobs.verified import Signature
    from stargazer.store.context import StoreContext

__all__ = ["HELD_AFTER", "MTIME", "Blobs", "Stored", "dag_size", "movable"]

HELD_AFTER = 3600.0
MTIME = 946_684_800  # 2000-01-01: tools copy dates into what they write, and complain of indices older than their file

_MOST_LAID = 100_000

Part = tuple[int, int]


class Stored(NamedTuple):
    """Bytes that are in the store: name, length, length of all blocks (Tsize)."""

    cid: str
    size: int
    dag_size: int


class Blobs(ABC):
    """Takes files in, and gives out checked ones.

    Parameters
    ----------
    context
        Of the store whose blobs they are.
    """

    def __init__(self, context: StoreContext) -> None:
        self.context = context
        self.memo = Memo(lambda: context.cache / "verified")
        self._laid: dict[tuple[int, ...], str] = {}

    @property
    @abstractmethod
    def root(self) -> str:
        """Local directory of the files that are given out, by the two characters before the last of their CIDs."""

    def path(self, cid: str) -> Path:
        """Path of the checked, read-only bytes on this host; `BlobLost` if they are missing or corrupt."""
        return Path(self.checked_file(cid))

    @abstractmethod
    def checked_file(self, cid: str) -> str:
        """The same path as text."""

    @abstractmethod
    def check_unharmed(self, cid: str) -> None:
        """Raise `BlobLost` if what was given out was changed since, or is gone from the store."""

    @abstractmethod
    def quarantine(self, cid: str) -> str:
        """Take corrupt bytes out of the way, so that they are never served; the place where they went."""

    @abstractmethod
    def recheck(self, cid: str) -> bool:
        """Hash what is stored, whatever is known of it; whether it is good. If not, it goes to quarantine."""

    @abstractmethod
    def put_bytes(self, data: bytes) -> str:
        """Keep bytes in memory; their CID."""

    @abstractmethod
    def adopt(self, path: str, stored: Stored) -> None:
        """Take in a file of this host, in the store's scratch directory, of which the bytes were checked already."""

    @abstractmethod
    def _store(self, path: str, found: os.stat_result, move: bool, progress: Progress | None) -> Stored:
        """Keep the bytes of a regular file, which is gone then if it could be moved."""

    @abstractmethod
    def stands(self, stored: Stored) -> bool:
        """Whether the store has these bytes, and will keep them for the next hour."""

    @abstractmethod
    def temporary(self) -> str:
        """A new path for bytes that `adopt` will take in."""

    @abstractmethod
    def prefetch(self, cids: Iterable[str]) -> None:
        """Have many files ready on this host."""

    def in_use(self) -> AbstractContextManager[None]:
        """Keep whatever is used meanwhile where it is."""
        return nullcontext()

    def is_file_here(self, cid: str) -> bool:
        """Whether a CID is that of a file, as far as this host knows where each question costs a way to the store."""
        return False

    @abstractmethod
    def own_folders(self) -> list[tuple[LocalBackend, str]]:
        """Folders on this host's disk in which unfinished or harmed files lie, each with what it is a folder of."""

    def lend(self, cid: str) -> None:
        """Keep a file that was given out for some days; where it lies in the store itself, it stays anyway."""
        return

    def take(self, path: str, *, move: bool = False, link: bool = True, progress: Progress | None = None) -> Stored:
        """Keep a file's bytes.

        Parameters
        ----------
        path
            The file.
        move
            Take the file itself if a rename can do it; otherwise it is left as it is.
        link
            Leave a link in the place of a file that was moved.
        progress
            Called with the number of bytes just read.

        Raises
        ------
        StoreFull
            No space is left; nothing of it is visible.
        StoreError
            It is no regular file, or changed while it was read.
        """
        found = os.stat(path)
        stored = self._known(path, found) or self._store(path, found, move, progress)
        if move and link:
            self._leave_link(path, stored)
        return stored

    def _known(self, path: str, found: os.stat_result) -> Stored | None:
        """What a file stands for that need not be hashed."""
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{path} is no regular file; only files and directories can be stored")
        return self._linked(path, found) or self._given_back(found)

    def _leave_link(self, path: str, stored: Stored) -> None:
        """A link to the stored file where one was moved from."""
        if not os.path.lexists(path):
            with suppress(OSError):  # a file system without links does without
                os.symlink(self.file(stored.cid), path)

    def _linked(self, path: str, found: os.stat_result) -> Stored | None:
        """What a link to a blob of this store stands for: an input that was staged and given back."""
        if not os.path.islink(path):
            return None
        target = os.readlink(path)
        cid = os.path.basename(target)
        if target != self.file(cid):
            return None
        self.path(cid)
        return Stored(cid, found.st_size, self._dag_size(found.st_size))

    def note_laid(self, path: str, cid: str) -> None:
        """Note a clone or a copy of a blob that was laid out as an input: given back, it need not be hashed."""
        found = os.lstat(path)
        if stat.S_ISREG(found.st_mode):
            if len(self._laid) >= _MOST_LAID:
                self._laid.clear()
            self._laid[_signature(found)] = cid

    def _given_back(self, found: os.stat_result) -> Stored | None:
        """What a clone or copy stands for that has not changed since it was laid out."""
        cid = self._laid.get(_signature(found))
        if cid is None:
            return None
        self.path(cid)
        return Stored(cid, found.st_size, self._dag_size(found.st_size))

    def _dag_size(self, size: int) -> int:
        return dag_size(size, self.context.profile)

    def file(self, cid: str) -> str:
        """Path at which a file's bytes are given out."""
        return f"{self.root}/{cid[-3:-1]}/{cid}"

    def state(self, cid: str) -> Signature:
        """What changes whenever anybody writes to a given-out file, or puts another in its place."""
        try:
            return signature(os.lstat(self.file(cid)))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BlobLost(cid) from error

    def hashed(self, path: str, progress: Progress | None = None) -> Stored:
        """What a file's bytes would be stored as."""
        from stargazer.cid import file_node

        node = file_node(path, self.context.profile, threads=self.context.threads, progress=progress)
        return Stored(node.cid, node.size, node.dag_size)

    def is_good(self, cid: str, path: str) -> bool:
        """Whether a file's bytes are those of a CID, whatever profile it was made with, or none."""
        from stargazer.cid import cid_of_file

        if cid_of_file(path, self.context.profile, threads=self.context.threads) == cid:
            return True
        if fits_shape(self.context.backend, cid, path):
            return True
        from stargazer.cid import check  # of other profiles; good bytes need not know of them

        return check(path, cid).ok

    def _put_aside(self, cid: str) -> str:
        try:
            return f"what was found is in {self.quarantine(cid)}"
        except OSError as error:
            return f"and cannot be put aside: {error}"

    def take_many(self, paths: list[str], *, move: bool = False, progress: Progress | None = None) -> list[Stored]:
        """Keep the bytes of several files."""
        return [self.take(path, move=move, progress=progress) for path in paths]

    def checked(self, cid: str) -> bool:
        """Whether the given-out file is there; what is there is good.

        Raises
        ------
        BlobLost
            It is corrupt, and went to quarantine.
        """
        path = self.file(cid)
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not self.memo.knows(cid, found) or not stat.S_ISREG(found.st_mode):
            if not stat.S_ISREG(found.st_mode) or not self.is_good(cid, path):
                raise BlobLost(cid, f"corrupt ({self._put_aside(cid)})")
            self.memo.note(cid, found)
        return True


def movable(found: os.stat_result, path: str, directory: str) -> bool:
    """Whether a rename takes a file into a directory's file system, and nobody can write to it by another name."""
    if os.path.islink(path) or found.st_nlink != 1:
        return False
    try:
        return found.st_dev == os.stat(directory).st_dev
    except FileNotFoundError:
        return False


def _signature(found: os.stat_result) -> tuple[int, ...]:
    """What changes whenever a file changes, and tells it from all others."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def dag_size(size: int, profile: CIDProfile) -> int:
    """Bytes of all blocks of a file (its Tsize), from its length alone.

    Parameters
    ----------
    size
        Length of the file, in bytes.
    profile
        How it is cut into blocks.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/, balanced layout.
    """
    count, rest = divmod(size, profile.chunk)
    full: Part = (profile.chunk, profile.chunk)
    last = [(rest, rest)] if rest or not count else []
    while count + len(last) > 1:
        groups, left = divmod(count, profile.max_links)
        tail = [full] * left + last
        if groups:
            full = _parent([full] * profile.max_links)
        count, last = groups, [_parent(tail)] if tail else []
    return (last or [full])[0][1]


def _parent(parts: list[Part]) -> Part:
    from stargazer.cid.dagpb import encode, file_data

    block = encode([(bytes(36), b"", tsize) for _, tsize in parts], file_data([length for length, _ in parts]))
    return sum(length for length, _ in parts), len(block) + sum(tsize for _, tsize in parts)
