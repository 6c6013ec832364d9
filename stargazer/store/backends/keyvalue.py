"""Backends of few operations: whoever has a place that gives, takes, removes and lists contents by name has a store."""

from __future__ import annotations

import io
import os
import time
from abc import ABC, abstractmethod
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from stargazer.store import layout
from stargazer.store.backends.objects import ObjectJournal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from stargazer.store.backends.base import Journal
    from stargazer.store.folders import Entry

__all__ = ["KeyValueBackend"]


class KeyValueBackend(ABC):
    """All that a store needs of a place, done with five operations on names.

    A name means one content, so what is put twice does no harm; but nobody may ever see half of what is being put.

    Parameters
    ----------
    url
        Where the store is.
    """

    quick = False
    tells_use = False

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.journal: Journal | None = ObjectJournal(self)

    @abstractmethod
    def read(self, place: str) -> bytes | None:
        """Content of a place, or None if there is none."""

    @abstractmethod
    def put(self, place: str, data: bytes) -> None:
        """Write a content, over the one that is there, whole or not at all."""

    @abstractmethod
    def put_if_absent(self, place: str, data: bytes) -> bool:
        """Write a content unless there is one; whether there was none. Of two writers one succeeds."""

    @abstractmethod
    def remove(self, place: str) -> bool:
        """Remove a content; whether there was one."""

    @abstractmethod
    def entries(self, folder: str) -> Iterator[Entry]:
        """Place, size and time (seconds since 1970) of everything below a folder, in order of name."""

    def stat(self, place: str) -> Entry | None:
        """Size and time of a content, or None if there is none; a backend may know that without listing."""
        folder = place.rpartition("/")[0]
        return next((entry for entry in self.entries(folder) if entry.place == place), None)

    def path(self, place: str) -> str:
        """Full name of a place."""
        return f"{self.url}/{place}"

    def read_many(self, places: Iterable[str]) -> dict[str, bytes]:
        """Contents of those places that have one."""
        return {place: data for place in places if (data := self.read(place)) is not None}

    def open(self, place: str) -> BinaryIO:
        """The content, for reading."""
        data = self.read(place)
        if data is None:
            raise FileNotFoundError(f"there is no {self.path(place)}")
        return io.BytesIO(data)

    def size(self, place: str) -> int | None:
        """Bytes of a content, or None if there is none."""
        found = self.stat(place)
        return None if found is None else found.size

    def changed(self, place: str) -> float | None:
        """When a content was written, in seconds since 1970; None if there is none."""
        found = self.stat(place)
        return None if found is None else found.changed

    def create(self, place: str, data: bytes) -> bool:
        """Write a content unless it is there; whether it had to be written."""
        if self.read(place) == data:
            return False
        self.put(place, data)
        return True

    def create_once(self, place: str, data: bytes) -> None:
        """Write a content unless one is there, whatever it is."""
        self.put_if_absent(place, data)

    def create_many(self, contents: Mapping[str, bytes]) -> None:
        """Write contents that their names tell."""
        self.replace_many(contents)

    def replace(self, place: str, data: bytes, *, used: float | None = None) -> None:
        """Write a content, over the one that is there; uses are noted elsewhere."""
        self.put(place, data)

    def replace_many(self, contents: Mapping[str, bytes]) -> None:
        """Write several contents, each over the one that is there."""
        for place, data in contents.items():
            self.put(place, data)

    def link_many(self, place: str, aliases: Iterable[str], otherwise: bytes) -> None:
        """Write `otherwise` at each place: a content has one name."""
        self.replace_many(dict.fromkeys(aliases, otherwise))

    def last_use(self, place: str, size: int | None = None) -> float | None:
        """Not known; None if there is none, or one of another size."""
        found = self.size(place)
        return None if found is None or size not in (None, found) else 0.0

    def reached(self, writing: str = "") -> AbstractContextManager[None]:
        """Nothing to translate: the five operations raise what is ours."""
        return nullcontext()

    def note_use(self, places: Iterable[str]) -> None:
        """Note that contents are of use today, all in one."""
        day = time.strftime("%Y%m%d", time.gmtime())
        self.put(f"{layout.USES}/{day}/{time.time_ns()}-{os.urandom(4).hex()}", "\n".join(places).encode())

    def used_since(self, places: Iterable[str], since: float) -> set[str]:
        """Those of many contents that were noted to be of use since a time."""
        first = time.strftime("%Y%m%d", time.gmtime(since))
        notes = [each.place for each in self.entries(layout.USES) if each.place.split("/")[1] >= first]
        used = {place for data in self.read_many(notes).values() for place in data.decode("ascii", "replace").split()}
        return used.intersection(places)

    def adopt(self, path: str, place: str) -> None:
        """Take in a complete local file."""
        self.upload(path, place)

    def upload(self, path: str, place: str) -> bool:
        """Take in a local file unless there is a content of that name; whether there was none."""
        return self.put_if_absent(place, Path(path).read_bytes())

    def download(self, places: Mapping[str, str]) -> None:
        """Write contents to the paths that stand beside their places."""
        for place, path in places.items():
            with self.open(place) as file:
                Path(path).write_bytes(file.read())

    def sweep(self, places: Iterable[str], before: float) -> set[str]:
        """Remove contents that nobody wrote again since a time, and tell which."""
        wanted = set(places)
        folders = sorted({place.partition("/")[0] for place in wanted})
        old = {each.place for folder in folders for each in self.entries(folder) if each.changed < before} & wanted
        return {place for place in sorted(old) if self.remove(place)}

    def move(self, place: str, target: str) -> bool:
        """Copy a content and remove it; whether there was one."""
        data = self.read(place)
        if data is None:
            return False
        self.put(target, data)
        return self.remove(place)

    def names(self, folder: str) -> list[str]:
        """Names that lie directly in a folder."""
        start = len(folder) + 1
        return sorted({each.place[start:].partition("/")[0] for each in self.entries(folder)})

    def holds(self, cids: Sequence[str]) -> bool | None:
        """Not told: whoever asks looks for the names."""
        return None

    def scratch(self) -> str | None:
        """None: tasks work in this host's cache."""
        return None

    def is_private(self) -> bool:
        """False: nobody here knows who may write there."""
        return False

    def check_owners(self, *, yes_as_root: bool) -> None:
        """Nothing: there are contents only, and they are all the store's."""
        return

    def odd(self, folder: str, *, flat: bool = False) -> Iterator[str]:
        """Nothing: there are contents only."""
        return iter(())

    def remains(self, folder: str) -> Iterator[tuple[str, float]]:
        """Every content below a folder, and when it was written."""
        return ((each.place, each.changed) for each in self.entries(folder))

    def discard(self, place: str) -> None:
        """Remove a content."""
        self.remove(place)

    def sync(self) -> None:
        """Nothing: what was put is kept."""
        return
