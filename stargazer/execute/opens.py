"""Files that libraries in C open: no audit event tells of them, but Linux does, of folders that it is asked to watch.

Watched are the folders that a body can get at: those that its constants, parameters and variables of the environment
name, with what lies below them, those that it lists, and the current one. The kernel does not say who opened a file:
what somebody else opens meanwhile in the same folders counts as well, which makes a call run again needlessly, and
never keeps a stale result. Elsewhere than on Linux nothing is watched.

References
----------
https://man7.org/linux/man-pages/man7/inotify.7.html
"""

from __future__ import annotations

import collections
import ctypes
import functools
import os
import struct
import sys
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Opens", "folders_in"]

MODIFIED, OPENED, MOVED_TO, CREATED = 0x002, 0x020, 0x080, 0x100
OVERFLOW, IS_FOLDER, FOLDERS_ONLY = 0x4000, 0x40000000, 0x01000000
"""Bits of inotify's events and watches."""

EVENT = struct.Struct("iIII")
MOST_FOLDERS = 512
"""Folders that are watched for one body at most; each holds a kilobyte of the kernel's memory."""

LONGEST_PATH = 4096
NO_DATA = {"/", "/tmp", "/var/tmp", "/home", "/usr", "/etc", "/opt", "/var", "/mnt", "/proc", "/sys", "/dev"}
"""Folders that begin paths; what lies in them is not looked through."""

DATA = (
    ".arrow", ".bai", ".bam", ".bb", ".bcf", ".bed", ".bgz", ".bw", ".cram", ".csi", ".csv", ".db", ".duckdb",
    ".fa", ".fai", ".fasta", ".feather", ".gz", ".h5", ".h5ad", ".h5mu", ".hdf5", ".ipc", ".loom", ".mtx",
    ".nc", ".nc4", ".npy", ".orc", ".parquet", ".pq", ".sam", ".sqlite", ".tif", ".tiff", ".tsv", ".vcf",
)  # fmt: skip
"""Endings of what counts in the current folder, where editors and notebooks also have their files."""


def folders_in(texts: Iterable[Any]) -> Iterator[str]:
    """Return the folders that texts name, or whose files they name or begin to name.

    Parameters
    ----------
    texts
        Constants and values, texts or not, also such that are no paths.
    """
    places = {*NO_DATA, tempfile.gettempdir(), os.path.expanduser("~")}
    for text in texts:
        path = os.path.expanduser(os.fsdecode(text)) if isinstance(text, (str, bytes, os.PathLike)) else ""
        if not 0 < len(path) < LONGEST_PATH or "\0" in path or "\n" in path:
            continue
        found = next((each for each in (path, os.path.dirname(path)) if each and os.path.isdir(each)), None)
        if found is not None and (folder := os.path.abspath(found)) not in places:
            yield folder


class Opens:
    """What is opened in some folders, from its making until it is read.

    Parameters
    ----------
    own
        Paths below which nothing is watched, each with a separator at its end.

    Attributes
    ----------
    told
        Files of which audit events told, whatever became of them.
    """

    def __init__(self, own: tuple[str, ...]) -> None:
        self._own, self._folders = own, dict[int, str]()
        self.told: set[str] = set()
        self._handle = -1

    def watch(self, folder: str, *, deep: bool = False) -> None:
        """Watch a folder; deep: with the folders below it, the nearest first, as far as there is room."""
        todo = collections.deque([folder.rstrip(os.sep)])
        while todo and len(self._folders) < MOST_FOLDERS:
            place = todo.popleft()
            if f"{place}{os.sep}".startswith(self._own):
                continue
            self._add(place)
            todo += _folders_below(place) if deep else ()

    def _add(self, place: str) -> None:
        system = _system()
        if system is None:
            return
        if self._handle < 0:
            self._handle = system.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._handle >= 0:
            mask = OPENED | MODIFIED | MOVED_TO | CREATED | FOLDERS_ONLY
            number = system.inotify_add_watch(self._handle, os.fsencode(place), mask)
            if number >= 0:
                self._folders.setdefault(number, place)

    def read(self) -> tuple[set[str], set[str], bool]:
        """Stop watching; return the files that were opened, those that were written, and whether any may lack."""
        opened, written, lacks = set[str](), set[str](), False
        try:
            for number, mask, name in self._events():
                lacks |= bool(mask & OVERFLOW)
                if name and number in self._folders and not mask & IS_FOLDER:
                    (opened if mask & OPENED else written).add(os.path.join(self._folders[number], name))
        finally:
            self.close()
        return opened - self.told, written, lacks

    def _events(self) -> Iterator[tuple[int, int, str]]:
        while self._handle >= 0:
            try:
                told = os.read(self._handle, 1 << 16)
            except BlockingIOError:
                return
            place = 0
            while place < len(told):
                number, mask, _, length = EVENT.unpack_from(told, place)
                place += EVENT.size + length
                yield number, mask, os.fsdecode(told[place - length : place].rstrip(b"\0"))

    def close(self) -> None:
        """Forget what is watched."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _folders_below(place: str) -> list[str]:
    """Folders in a folder that are shown; links are not followed, for they may lead anywhere."""
    try:
        with os.scandir(place) as found:
            return sorted(each.path for each in found if each.is_dir(follow_symlinks=False) and each.name[0] != ".")
    except OSError:
        return []


@functools.cache
def _system() -> ctypes.CDLL | None:
    """The C library, where it has inotify."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    return library if hasattr(library, "inotify_init1") else None
