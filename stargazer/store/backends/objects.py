"""A store in an object store, or behind any other fsspec URL. Objects appear whole or not at all.

A name means one content, so a second put is harmless; what must be made once only is put if absent, where that is
offered (S3, Google Cloud Storage). Many small reads go at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from stargazer.errors import StoreError, StoreReadOnly, Unreadable
from stargazer.store import layout
from stargazer.store.backends.addresses import read_address
from stargazer.store.backends.base import OVERLAP
from stargazer.store.backends.told import (
    advice,
    first_told,
    is_archived,
    is_conflict,
    is_empty,
    is_no_bucket,
    is_no_upload,
    is_of_service,
    keep_quiet,
    plain,
    plainly,
)
from stargazer.store.folders import Entry
from stargazer.store.layout import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from stargazer.store.backends.base import Backend, Journal

__all__ = ["ObjectBackend", "ObjectJournal"]

_STILL = 5.0
"""Seconds for which it counts that something could be read."""
_NOT_OFFERED = {errno.ENOSYS, errno.EINVAL}
_CONFLICTS = 6
_BETWEEN = 0.1
"""Seconds before the first of so many more attempts, where another one puts the same object at the same moment."""
_TIMES = ("LastModified", "updated", "last_modified", "mtime", "modified", "created")


class ObjectBackend:
    """Primitive operations on the places of a store behind a URL.

    Parameters
    ----------
    url
        Any URL that fsspec knows, with the options of `read_address`; others come from the environment or fsspec's
        configuration.

    Raises
    ------
    StoreError
        fsspec knows no such URL, or lacks a package for it.
    """

    quick = False
    tells_use = False

    def __init__(self, url: str) -> None:
        self._address = read_address(url)
        self.url = self._address.url
        self.journal: Journal | None = ObjectJournal(self)
        self._pid = 0
        self._could_read = -_STILL
        self._connect()

    def _connect(self) -> None:
        import fsspec.core  # type: ignore[import-untyped]

        service = self._address.service
        if service is not None and service.prints:
            keep_quiet(service.prints)
        try:
            fs, root = fsspec.core.url_to_fs(self._address.place, use_listings_cache=False, **self._address.options)
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
        with self.reached():
            try:
                with plainly():
                    return _small(self.fs.cat_file(self.path(place), **_WITHIN))
            except (FileNotFoundError, PermissionError) as error:
                if not self._absent(error):
                    raise
                self._check_bucket(place)
                return None
            except OSError as error:
                if not is_empty(error):
                    raise
                return b""

    @contextlib.contextmanager
    def reached(self, writing: str = "", *, right: str = "get") -> Iterator[None]:
        """Failures of the object store as ours: nobody else's exception leaves here.

        Parameters
        ----------
        writing
            The place that is written to, if one is.
        right
            What else is done with objects, in a word.
        """
        try:
            with plainly():
                yield
        except ConnectionError as error:
            raise StoreError(f"{self.url} cannot be reached: {error}") from error
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            if is_no_bucket(error):
                raise StoreError(f"there is no bucket for {self.url}: make it, or mend the name") from error
            if is_archived(error):
                raise Unreadable(f"an object of {self.url} is archived and cannot be read now: restore it") from error
            if told := advice(error):
                raise StoreError(f"{self.url} cannot be used: {told} ({error})") from error
            if isinstance(error, PermissionError):
                raise self._forbidden(error, writing, right) from error
            if is_of_service(error) and not isinstance(error, (FileNotFoundError, FileExistsError)):
                raise StoreError(f"{self.url} failed: {error}") from error
            raise

    def _forbidden(self, error: PermissionError, writing: str, right: str) -> StoreError:
        if writing:
            told = f"cannot write {writing} of {self.url}: no right to put or delete objects there"
            return StoreReadOnly(errno.EACCES, f"{told}; see docs/remotes.md for those a store needs")
        return StoreError(f"{self.url} cannot be read: no right to {right} objects there ({error})")

    def _check_bucket(self, place: str) -> None:
        """Make sure, where a store seems not to be made, that its bucket is: some services say the same of both."""
        service = self._address.service
        if place == layout.HEADER and service is not None and service.hides_buckets:
            with contextlib.suppress(PermissionError), plainly():
                if not self.fs.exists(self._root.partition("/")[0]):
                    raise StoreError(f"there is no bucket for {self.url}: make it, or mend the name")

    def _absent(self, error: OSError) -> bool:
        """Whether an answer stands for an object that is not there: who may not list is told 403 of such ones."""
        if isinstance(error, FileNotFoundError):
            return not is_no_bucket(error)
        # A token that expired, or a clock that is wrong, hides all objects and makes none of them missing.
        if not isinstance(error, PermissionError) or is_archived(error) or advice(error):
            return False
        return self._may_read()

    @contextlib.contextmanager
    def _missing_where_forbidden(self, places: Iterable[str]) -> Iterator[None]:
        """Raise `FileNotFoundError`, which names the object, where a forbidden one is one that is not there."""
        try:
            with plainly():
                yield
        except PermissionError as error:
            if not self._absent(error):
                raise
            lacking = next((place for place in places if self.stat(place) is None), None)
            if lacking is None:
                raise
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path(lacking)) from error

    def _may_read(self) -> bool:
        """Whether we may read the store's objects now: then it is a missing one that is forbidden.

        What was true some seconds ago counts, for many objects are asked for at once; what was true when a session
        began does not.
        """
        if self._could_read > time.monotonic() - _STILL:
            return True
        try:
            with plainly():
                self.fs.cat_file(self.path(layout.HEADER))
        except OSError:
            return False
        self._could_read = time.monotonic()
        return True

    def read_many(self, places: Iterable[str]) -> dict[str, bytes]:
        """Contents of those small objects that exist, read at once."""
        paths = {self.path(place): place for place in places}
        if len(paths) < 2:
            return {place: data for place in paths.values() if (data := self.read(place)) is not None}
        with self.reached():
            answers = self.fs.cat(list(paths), on_error="return", **_WITHIN)
        found = {path: plain(each) if isinstance(each, Exception) else each for path, each in answers.items()}
        for answer in found.values():
            known = isinstance(answer, OSError) and (self._absent(answer) or is_empty(answer))
            if isinstance(answer, Exception) and not known:
                with self.reached():
                    raise answer
        return {
            paths[path]: _small(data) if isinstance(data, bytes) else b""
            for path, data in found.items()
            if isinstance(data, bytes) or (isinstance(data, OSError) and not self._absent(data))
        }

    def open(self, place: str) -> BinaryIO:
        """The object itself, for reading."""
        with self.reached(), self._missing_where_forbidden([place]):
            return cast("BinaryIO", self.fs.open(self.path(place), "rb"))

    def size(self, place: str) -> int | None:
        """Bytes of an object, or None if there is none."""
        found = self.stat(place)
        return None if found is None else found.size

    def stat(self, place: str) -> Entry | None:
        """Size and time of an object, or None if there is none."""
        with self.reached():
            try:
                with plainly():
                    found: dict[str, Any] = self.fs.info(self.path(place))
            except (FileNotFoundError, PermissionError) as error:
                if not self._absent(error):
                    raise
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
        with self.reached(place):
            for failures in range(_CONFLICTS):
                try:
                    return self._if_absent_once(place, put)
                except OSError as error:
                    if not is_conflict(error):
                        raise
                time.sleep(_BETWEEN * (1 << failures))
            return self._if_absent_once(place, put)

    def _if_absent_once(self, place: str, put: Callable[[str], object]) -> bool:
        try:
            with plainly():
                put("create")
        except FileExistsError:
            return False
        except (NotImplementedError, OSError) as error:
            if getattr(error, "errno", errno.ENOSYS) not in _NOT_OFFERED:
                raise
        else:
            return True
        if self.size(place) is not None:
            return False
        put("overwrite")
        return True

    def create_many(self, contents: Mapping[str, bytes]) -> None:
        """Put objects whose names say what is in them."""
        self.replace_many(contents)

    def replace(self, place: str, data: bytes, *, used: float | None = None) -> None:
        """Put an object, over the one that is there; uses are noted elsewhere."""
        with self.reached(place):
            self.fs.pipe_file(self.path(place), data)

    def changed(self, place: str) -> float | None:
        """When an object was put, as the server says; None if there is none."""
        found = self.stat(place)
        return None if found is None else found.changed

    def last_use(self, place: str, size: int | None = None) -> float | None:
        """Not known of objects, whose times nobody can set; None if there is none, or one of another size."""
        found = self.size(place)
        return None if found is None or size not in (None, found) else 0.0

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
        with self.reached(next(iter(contents), "")):
            self.fs.pipe({self.path(place): data for place, data in contents.items()})

    def link_many(self, place: str, aliases: Iterable[str], otherwise: bytes) -> None:
        """Put `otherwise` at each place: an object has one name."""
        self.replace_many(dict.fromkeys(aliases, otherwise))

    def adopt(self, path: str, place: str) -> None:
        """Upload a file, unless an object of that name is there."""
        self.upload(path, place)

    def upload(self, path: str, place: str) -> bool:
        """Upload a file, unless an object of that name is there; whether there was none."""
        return self._if_absent(place, lambda mode: self._put_file(path, place, mode))

    def _put_file(self, path: str, place: str, mode: str) -> None:
        """Upload a file, in parts if it is large: until the last of them is there, nobody sees anything of it."""
        try:
            with plainly(), first_told():
                self.fs.put_file(path, self.path(place), mode=mode)
        except FileNotFoundError as error:
            if not is_no_upload(error):
                raise
            # It was completed, and the answer to that was lost; or somebody ended it.
            if self.size(place) != os.path.getsize(path):
                told = "the service ended it in the middle (has the bucket a rule that does?): try again"
                raise StoreError(f"the upload of {place} to {self.url} broke off: {told}") from error

    def download(self, places: Mapping[str, str]) -> None:
        """Download objects to the paths that stand beside them, at once."""
        if places:
            with self.reached(), self._missing_where_forbidden(places):
                self.fs.get([self.path(place) for place in places], list(places.values()))

    def remove(self, place: str) -> bool:
        """Remove an object; whether there was one, as far as the server tells."""
        with self.reached(place):
            try:
                with plainly():
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
            with self.reached(next(iter(old))):
                self.fs.rm([self.path(place) for place in sorted(old)])
        return old

    def move(self, place: str, target: str) -> bool:
        """Copy an object within the store and remove it; whether there was one."""
        with self.reached(target):
            try:
                with plainly():
                    self.fs.cp_file(self.path(place), self.path(target))
            except FileNotFoundError:
                return False
        return self.remove(place)

    def names(self, folder: str) -> list[str]:
        """Names that lie directly in a folder."""
        with self.reached(right="list"):
            try:
                with plainly():
                    found = self.fs.ls(self.path(folder), detail=False)
            except FileNotFoundError as error:
                if is_no_bucket(error):
                    raise
                return []
        return sorted(name.rstrip("/").rpartition("/")[2] for name in found)

    def entries(self, folder: str) -> Iterator[Entry]:
        """Every object below a folder, in order of name."""
        with self.reached(right="list"):
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

    def is_private(self) -> bool:
        """False: nobody here knows who may write there."""
        return False

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
