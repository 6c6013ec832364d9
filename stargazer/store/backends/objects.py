"""A store in an object store, or behind any other fsspec URL. Objects appear whole or not at all.

A name means one content, so a second put is harmless; what must be made once only is put if absent, where that is
offered (S3, Google Cloud Storage). Many small reads go at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from stargazer.errors import StoreError
from stargazer.store import layout
from stargazer.store.backends.base import OVERLAP
from stargazer.store.folders import Entry
from stargazer.store.parsing import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from stargazer.store.backends.base import Backend, Journal

__all__ = ["ObjectBackend", "ObjectJournal"]

_NOT_OFFERED = {errno.ENOSYS, errno.EINVAL}
_TIMES = ("LastModified", "updated", "last_modified", "mtime", "modified", "created")


class ObjectBackend:
    """Primitive operations on the places of a store behind a URL.

    Parameters
    ----------
    url
        Any URL that fsspec knows; its options come from the environment or fsspec's configuration.

    Raises
    ------
    StoreError
        fsspec knows no such URL, or lacks a package for it.
    """

    quick = False
    tells_use = False

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.journal: Journal | None = ObjectJournal(self)
        self._pid = 0
        self._connect()

    def _connect(self) -> None:
        import fsspec.core  # type: ignore[import-untyped]

        try:
            fs, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise StoreError(f"{self.url} cannot be opened as a store: {error}") from error
        self._fs, self._root, self._pid = cast("Any", fs), root.rstrip("/"), os.getpid()

    @property
    def fs(self) -> Any:
        """The file system; a new one after a fork."""
        if self._pid != os.getpid():
            self._connect()
        return self._fs

    def path(self, place: str) -> str:
        """Name of a place within the file system."""
        return f"{self._root}/{place}"

    def read(self, place: str) -> bytes | None:
        """Content of a small object, or None if there is none."""
        with self._reached():
            try:
                return _small(self.fs.cat_file(self.path(place), **_WITHIN))
            except FileNotFoundError:
                return None
            except OSError as error:
                if not _is_empty(error):
                    raise
                return b""

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except _unreachable() as error:
            raise StoreError(f"{self.url} cannot be reached: {error}") from error

    def read_many(self, places: Iterable[str]) -> dict[str, bytes]:
        """Contents of those small objects that exist, read at once."""
        paths = {self.path(place): place for place in places}
        if len(paths) < 2:
            return {place: data for place in paths.values() if (data := self.read(place)) is not None}
        found = self.fs.cat(list(paths), on_error="return", **_WITHIN)
        for answer in found.values():
            if isinstance(answer, _unreachable()):
                raise StoreError(f"{self.url} cannot be reached: {answer}") from answer
            if isinstance(answer, Exception) and not (isinstance(answer, FileNotFoundError) or _is_empty(answer)):
                raise answer
        return {
            paths[path]: _small(data) if isinstance(data, bytes) else b""
            for path, data in found.items()
            if not isinstance(data, FileNotFoundError)
        }

    def open(self, place: str) -> BinaryIO:
        """The object itself, for reading."""
        with self._reached():
            return cast("BinaryIO", self.fs.open(self.path(place), "rb"))

    def size(self, place: str) -> int | None:
        """Bytes of an object, or None if there is none."""
        found = self.stat(place)
        return None if found is None else found.size

    def stat(self, place: str) -> Entry | None:
        """Size and time of an object, or None if there is none."""
        with self._reached():
            try:
                found: dict[str, Any] = self.fs.info(self.path(place))
            except FileNotFoundError:
                return None
        return Entry(place, int(found["size"]), _time(found))

    def create(self, place: str, data: bytes) -> bool:
        """Put an object unless it is there with this content; whether it had to be put."""
        if self._put_if_absent(place, data):
            return True
        if self.read(place) == data:
            return False
        self.replace(place, data)
        return True

    def create_once(self, place: str, data: bytes) -> None:
        """Put an object unless one is there, whatever its content."""
        self._put_if_absent(place, data)

    def _put_if_absent(self, place: str, data: bytes) -> bool:
        return self._if_absent(place, lambda mode: self.fs.pipe_file(self.path(place), data, mode=mode))

    def _if_absent(self, place: str, put: Callable[[str], object]) -> bool:
        """Put an object if there is none; where the server cannot do that in one step, look first."""
        try:
            put("create")
        except FileExistsError:
            return False
        except (NotImplementedError, OSError) as error:
            if getattr(error, "errno", errno.ENOSYS) not in _NOT_OFFERED:
                raise
            if self.size(place) is not None:
                return False
            put("overwrite")
        return True

    def create_many(self, contents: Mapping[str, bytes]) -> None:
        """Put objects whose names say what is in them."""
        self.replace_many(contents)

    def replace(self, place: str, data: bytes, *, used: float | None = None) -> None:
        """Put an object, over the one that is there; uses are noted elsewhere."""
        self.fs.pipe_file(self.path(place), data)

    def changed(self, place: str) -> float | None:
        """When an object was put, as the server says; None if there is none."""
        found = self.stat(place)
        return None if found is None else found.changed

    def last_use(self, place: str) -> float | None:
        """Not known of objects, whose times nobody can set; None if there is none."""
        return None if self.size(place) is None else 0.0

    def note_use(self, places: Iterable[str]) -> None:
        """Note that objects are of use today, all in one object."""
        event = f"{layout.USES}/{_day(time.time())}/{time.time_ns()}-{os.urandom(4).hex()}"
        self.replace(event, "\n".join(places).encode())

    def used_since(self, places: Iterable[str], since: float) -> set[str]:
        """Those of many objects that were noted to be of use since a time."""
        days = [day for day in self.names(layout.USES) if day >= _day(since)]
        notes = [f"{layout.USES}/{day}/{name}" for day in days for name in self.names(f"{layout.USES}/{day}")]
        used = {place for data in self.read_many(notes).values() for place in data.decode("ascii", "replace").split()}
        return used.intersection(places)

    def replace_many(self, contents: Mapping[str, bytes]) -> None:
        """Put several objects at once."""
        self.fs.pipe({self.path(place): data for place, data in contents.items()})

    def link_many(self, place: str, aliases: Iterable[str], otherwise: bytes) -> None:
        """Put `otherwise` at each place: an object has one name."""
        self.replace_many(dict.fromkeys(aliases, otherwise))

    def adopt(self, path: str, place: str) -> None:
        """Upload a file, unless an object of that name is there."""
        self.upload(path, place)

    def upload(self, path: str, place: str) -> bool:
        """Upload a file, unless an object of that name is there; whether there was none."""
        return self._if_absent(place, lambda mode: self.fs.put_file(path, self.path(place), mode=mode))

    def download(self, places: Mapping[str, str]) -> None:
        """Download objects to the paths that stand beside them, at once."""
        if places:
            self.fs.get([self.path(place) for place in places], list(places.values()))

    def remove(self, place: str) -> bool:
        """Remove an object; whether there was one, as far as the server tells."""
        try:
            self.fs.rm_file(self.path(place))
        except FileNotFoundError:
            return False
        return True

    def sweep(self, places: Iterable[str], before: float) -> set[str]:
        """Remove objects that nobody put again since a time, and tell which."""
        wanted = set(places)
        folders = sorted({place.partition("/")[0] for place in wanted})
        old = {entry.place for folder in folders for entry in self.entries(folder) if entry.changed < before} & wanted
        if old:
            self.fs.rm([self.path(place) for place in sorted(old)])
        return old

    def move(self, place: str, target: str) -> bool:
        """Copy an object within the store and remove it; whether there was one."""
        try:
            self.fs.cp_file(self.path(place), self.path(target))
        except FileNotFoundError:
            return False
        return self.remove(place)

    def names(self, folder: str) -> list[str]:
        """Names that lie directly in a folder."""
        try:
            found = self.fs.ls(self.path(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(name.rstrip("/").rpartition("/")[2] for name in found)

    def entries(self, folder: str) -> Iterator[Entry]:
        """Every object below a folder, in order of name."""
        found: dict[str, dict[str, Any]] = self.fs.find(self.path(folder), detail=True)
        for path, info in sorted(found.items()):
            yield Entry(path[len(self._root) + 1 :], int(info["size"]), _time(info))

    def sync(self) -> None:
        """Nothing: what an object store has taken, it keeps."""

    def holds(self, cids: Sequence[str]) -> bool | None:
        """Not told: whoever asks looks for the names."""
        return None

    def scratch(self) -> str | None:
        """None on this host."""
        return None

    def check_owners(self, *, yes_as_root: bool) -> None:
        """Nothing: whose objects these are is the server's affair."""

    def odd(self, folder: str, *, flat: bool = False) -> Iterator[str]:
        """Nothing: there are objects only."""
        return iter(())

    def remains(self, folder: str) -> Iterator[tuple[str, float]]:
        """Every object below a folder, and when it was put."""
        return ((entry.place, entry.changed) for entry in self.entries(folder))

    def discard(self, place: str) -> None:
        """Remove an object."""
        self.remove(place)


_HOUR = 3600.0
_MOST_HOURS = 48


class ObjectJournal:
    """What changed in an object store, by time: listing everything to find one new record would take minutes.

    Every change puts one empty object whose name says what changed. A host that looks for news lists the hours since it
    last looked, and some before, since clocks differ.

    Parameters
    ----------
    backend
        Of the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def write(self, changes: Iterable[str]) -> None:
        """Note changes, each as ``<kind>.<name>``."""
        now = time.time_ns()
        folder = _folder(now / 1e9)
        self._backend.replace_many({f"{folder}/{now + number}.{change}": b"" for number, change in enumerate(changes)})

    def events(self, since: float) -> Iterator[tuple[str, str, str]]:
        """Changes since a time (seconds since 1970) and up to two hours before it: event, kind, name; oldest first."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(8) as pool:
            listed = list(pool.map(self._backend.names, self._folders(since - OVERLAP)))
        for names in listed:
            for event in names:
                when, _, change = event.partition(".")
                kind, _, name = change.partition(".")
                if when.isdigit() and name:
                    yield event, kind, name

    def _folders(self, since: float) -> list[str]:
        until = time.time() + OVERLAP
        if until - since <= _MOST_HOURS * _HOUR:
            return list(
                dict.fromkeys(_folder(since + step * _HOUR) for step in range(int((until - since) / _HOUR) + 2))
            )
        first = _folder(since)
        found = (f"{layout.JOURNAL}/{name}" for name in self._backend.names(layout.JOURNAL))
        return [folder for folder in found if folder >= first]


def _folder(seconds: float) -> str:
    return f"{layout.JOURNAL}/{time.strftime('%Y%m%dT%H', time.gmtime(seconds))}"


_WITHIN = {"start": 0, "end": LARGEST + 1}
"""Bytes that are asked for of a record, a pin or a node: whoever may put objects must not fill readers' memory."""


def _small(data: bytes) -> bytes:
    """What was read, or nothing (torn) of what is too large."""
    return data if len(data) <= LARGEST else b""


def _is_empty(error: Exception) -> bool:
    """Whether a server refused a part of an object because it has no bytes at all."""
    return "InvalidRange" in str(error) or "416" in str(error) or "not satisfiable" in str(error)


def _day(seconds: float) -> str:
    return time.strftime("%Y%m%d", time.gmtime(seconds))


def _time(info: Mapping[str, Any]) -> float:
    """When an object was put; now, if the file system does not say, so that it is never taken for old."""
    for name in _TIMES:
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, (int, float)):
            return float(value)
    return time.time()


def _unreachable() -> tuple[type[Exception], ...]:
    """What S3's library raises without credentials or without an answer: no OSError."""
    found = sys.modules.get("botocore.exceptions")
    return (found.BotoCoreError,) if found else ()
