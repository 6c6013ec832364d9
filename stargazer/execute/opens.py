"""Files that libraries in C open: no audit event tells of them, but Linux does, of folders that it is asked to watch.

Watched are the folders that a body can get at: those that its constants, parameters and variables of the environment
name, with what lies below them, those that it lists, and the current one. The kernel does not say who opened a file:
what somebody else opens meanwhile in the same folders counts as well, which makes a call run again needlessly; what
somebody else writes there before the body reads it passes for the body's own. Elsewhere than on Linux nothing is
watched.

References
----------
https://man7.org/linux/man-pages/man7/inotify.7.html
"""

from __future__ import annotations

import collections
import ctypes
import errno
import functools
import logging
import os
import struct
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

from stargazer.execute.named import LONGEST_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Opens", "folders_in"]

MODIFIED, READ, OPENED, MOVED_TO, CREATED = 0x002, 0x010, 0x020, 0x080, 0x100
OVERFLOW, IS_FOLDER, FOLDERS_ONLY = 0x4000, 0x40000000, 0x01000000
"""Bits of inotify's events and watches; `READ` is told as a file is closed that could not be written to."""

EVENT = struct.Struct("iIII")
MOST_FOLDERS = 512
"""Folders that are watched for one body at most; each holds a kilobyte of the kernel's memory."""

EVERY = 0.1
"""Seconds between two looks at what the kernel told: it keeps 16,384 events, and drops what comes then."""

MOST_IDLE = 8
"""Watches that are kept for bodies to come: the kernel takes some 10 ms to end one."""

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
        if path == os.curdir:  # in code mostly a separator, as in ``name.split(".")``
            continue
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
        self._links: dict[tuple[int, str], list[str]] = {}
        self.told: set[str] = set()
        self._opened, self._read = set[str](), set[str]()
        self._written, self._reopened = set[str](), set[str]()
        self._lock, self._pid = threading.Lock(), os.getpid()
        self._handle, self._is_over, self._lacks = -1, False, False

    def watch(self, folder: str, *, deep: bool = False) -> None:
        """Watch a folder; deep: with the folders below it, the nearest first, as far as there is room."""
        todo = collections.deque([folder.rstrip(os.sep) or os.sep])
        while todo and len(self._folders) < MOST_FOLDERS and self._begin():
            place = todo.popleft()
            if f"{place}{os.sep}".startswith(self._own) or not self._add(place):
                continue
            below, links = _entries(place)
            for link in links[:MOST_FOLDERS]:
                self._add(*os.path.split(os.path.realpath(link)), link)
            todo += below if deep else ()

    def _begin(self) -> bool:
        if self._handle < 0 and not self._is_over and (keeper := _keeper(os.getpid())) is not None:
            self._handle = keeper.begin(self)
        return self._handle >= 0

    def _add(self, place: str, name: str = "", link: str = "") -> bool:
        """Watch a folder, or only a file in it, which a link leads to: the kernel does not tell of links."""
        if link and f"{place}{os.sep}".startswith(self._own):
            return False
        with self._lock:
            number = _add_watch(self._handle, place)
            if number >= 0 and link:
                self._links.setdefault((number, name), []).append(link)
            elif number >= 0:
                self._folders.setdefault(number, place)
        return number >= 0

    def read(self) -> tuple[set[str], set[str], bool]:
        """Stop watching; return the files that were opened, those that were written, and whether any may lack.

        What was read before somebody wrote it is among those that were opened.
        """
        self.keep_up()
        self.close()
        return self._opened - self.told, self._written - self._read, self._lacks

    def keep_up(self) -> None:
        """Take what the kernel told since."""
        with self._lock:
            for number, mask, name in _events(self._handle):
                self._lacks |= bool(mask & OVERFLOW)
                if name and not mask & IS_FOLDER:
                    for path in self._paths(number, name):
                        self._note(path, mask)

    def _paths(self, number: int, name: str) -> list[str]:
        folder = self._folders.get(number)
        own = [] if folder is None else [os.path.join(folder, name)]
        return own + self._links.get((number, name), [])

    def _note(self, path: str, mask: int) -> None:
        if mask & OPENED:
            self._opened.add(path)
            self._reopened |= {path} & self._written
        elif not mask & READ:
            self._written.add(path)
        elif path not in self._written or path not in self._reopened:
            self._read.add(path)  # it was opened before anybody wrote it

    def close(self) -> None:
        """Forget what is watched; in a forked child, where all of this is the parent's, do nothing."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            handle, self._handle, self._is_over = self._handle, -1, True
        if handle >= 0 and (keeper := _keeper(self._pid)) is not None:
            keeper.end(self, handle, {*self._folders, *(number for number, _ in self._links)})


class _Keeper:
    """What this process has of the kernel's watches: read while bodies run, and kept for those to come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[int] = []
        self._at_work: set[Opens] = set()
        self._begun = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, opens: Opens) -> int:
        """Descriptor of watches for one body; negative where the kernel gives none."""
        with self._lock:
            handle = self._idle.pop() if self._idle else _new_handle()
            if handle < 0:
                _tell_of_no_room()
                return handle
            self._at_work.add(opens)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="stargazer-opens", daemon=True)
                self._thread.start()
        self._begun.set()
        return handle

    def end(self, opens: Opens, handle: int, numbers: Iterable[int]) -> None:
        """Take a descriptor back, without what was watched by it."""
        for number in numbers:
            _library().inotify_rm_watch(handle, number)
        for _ in _events(handle):
            pass
        with self._lock:
            self._at_work.discard(opens)
            is_kept = len(self._idle) < MOST_IDLE
            if is_kept:
                self._idle.append(handle)
        if not is_kept:
            os.close(handle)

    def _look(self) -> None:
        """Read now and then what long bodies are told, before the kernel drops any of it."""
        while self._begun.wait():
            self._begun.clear()
            while found := self._those_at_work():
                for each in found:
                    each.keep_up()
                time.sleep(EVERY)

    def _those_at_work(self) -> list[Opens]:
        with self._lock:
            return list(self._at_work)


@functools.cache
def _keeper(pid: int) -> _Keeper | None:
    """The one of a process: a forked child must not take what its parent is told. None where there is no inotify."""
    return _Keeper() if sys.platform == "linux" and hasattr(_library(), "inotify_init1") else None


def _new_handle() -> int:
    return int(_library().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))


def _add_watch(handle: int, place: str) -> int:
    """Number of the watch of a folder; negative where there can be none."""
    mask = MODIFIED | READ | OPENED | MOVED_TO | CREATED | FOLDERS_ONLY
    number: int = _library().inotify_add_watch(handle, os.fsencode(place), mask)
    if number < 0 and ctypes.get_errno() == errno.ENOSPC:
        _tell_of_no_room()
    return number


def _events(handle: int) -> Iterator[tuple[int, int, str]]:
    """What the kernel told since: number of the watch, bits and name."""
    while handle >= 0:
        try:
            told = os.read(handle, 1 << 16)
        except BlockingIOError:
            return
        place = 0
        while place < len(told):
            number, mask, _, length = EVENT.unpack_from(told, place)
            place += EVENT.size + length
            yield number, mask, os.fsdecode(told[place - length : place].rstrip(b"\0"))


@functools.cache
def _tell_of_no_room() -> None:
    """Once a process: what is missed from here on is missed elsewhere than on Linux, too."""
    logging.getLogger("stargazer").warning(
        "the kernel gives no more watches: files that libraries in C open are not seen where their paths are worked "
        "out; raise fs.inotify.max_user_instances and max_user_watches, or pass files as assets"
    )


def _entries(place: str) -> tuple[list[str], list[str]]:
    """Folders in a folder that are shown, without links, which may lead anywhere; and links to files."""
    folders, links = list[str](), list[str]()
    try:
        with os.scandir(place) as found:
            for each in found:
                if each.is_symlink():
                    links += [each.path] if each.is_file() else []
                elif each.name[0] != "." and each.is_dir():
                    folders.append(each.path)
    except OSError:
        return [], []
    return sorted(folders), sorted(links)


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
