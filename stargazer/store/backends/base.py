"""What a store needs of the place where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from stargazer.store.folders import Entry

__all__ = ["OVERLAP", "Backend", "Journal", "TransferBackend"]

OVERLAP = 2 * 3600.0
"""Seconds by which the clocks of hosts that write a journal may differ."""


class Journal(Protocol):
    """What changed in a store, by time."""

    def write(self, changes: Iterable[str]) -> None:
        """Note changes, each as ``<kind>.<name>``."""

    def events(self, since: float) -> Iterator[tuple[str, str, str]]:
        """Changes since a time (seconds since 1970) and up to `OVERLAP` before it: event, kind, name; oldest first."""


class Backend(Protocol):
    """Primitive operations on named places. A reader never sees half a file.

    Attributes
    ----------
    url
        Where the store is.
    quick
        Whether looking for a name is a system call and no request that takes a way through the network.
    tells_use
        Whether it keeps with a file when it was last of use, so that asking and noting cost next to nothing.
    journal
        What changed, by time; None where the times of folders tell that.
    """

    url: str
    quick: bool
    tells_use: bool
    journal: Journal | None

    def path(self, place: str) -> str:
        """Full name of a place."""

    def read(self, place: str) -> bytes | None:
        """Content of a small file, or None if there is none."""

    def read_many(self, places: Iterable[str]) -> dict[str, bytes]:
        """Contents of those small files that exist."""

    def open(self, place: str) -> BinaryIO:
        """The file itself, for reading."""

    def size(self, place: str) -> int | None:
        """Bytes of a file, or None if there is none."""

    def create(self, place: str, data: bytes) -> bool:
        """Write a file unless it is there with this content; whether it had to be written."""

    def create_once(self, place: str, data: bytes) -> None:
        """Write a file unless one is there, whatever its content: the first writer wins."""

    def create_many(self, contents: Mapping[str, bytes]) -> None:
        """Write those of several files that are not there yet."""

    def replace(self, place: str, data: bytes, *, used: float | None = None) -> None:
        """Write a file, over the one that is there; `used` is when it was of use, if that is not now."""

    def changed(self, place: str) -> float | None:
        """When a file was put or last changed, by the clock of where it lies; None if there is none."""

    def last_use(self, place: str, size: int | None = None) -> float | None:
        """When a file, of that size, was last noted to be of use, as far as that is known; None if there is none."""

    def note_use(self, places: Iterable[str]) -> None:
        """Note that files are of use now."""

    def used_since(self, places: Iterable[str], since: float) -> set[str]:
        """Those of many files that were noted to be of use since a time."""

    def replace_many(self, contents: Mapping[str, bytes]) -> None:
        """Write several files, each over the one that is there."""

    def link_many(self, place: str, aliases: Iterable[str], otherwise: bytes) -> None:
        """Make places further names of a file, over those that are there; where that cannot be, write `otherwise`."""

    def adopt(self, path: str, place: str) -> None:
        """Take a complete local file into place."""

    def remove(self, place: str) -> bool:
        """Remove a file; whether there was one."""

    def sweep(self, places: Iterable[str], before: float) -> set[str]:
        """Remove files that nobody touched since a time, and tell which."""

    def move(self, place: str, target: str) -> bool:
        """Rename a file within the store; whether there was one."""

    def names(self, folder: str) -> list[str]:
        """Names that lie directly in a folder."""

    def entries(self, folder: str) -> Iterator[Entry]:
        """Every file below a folder, in order of name."""

    def sync(self) -> None:
        """Wait until all that was written is on disk."""

    # What only some places need or know; the others do nothing, or say that they don't know.

    def holds(self, cids: Sequence[str]) -> bool | None:
        """Whether many files and directories are there whole, where that is one question; else None."""

    def scratch(self) -> str | None:
        """Directory on the store's own disk in which tasks may work; None where it has no disk on this host."""

    def is_private(self) -> bool:
        """Whether nobody else may write there, as far as can be told; root always may."""

    def check_owners(self, *, yes_as_root: bool) -> None:
        """Make sure, before anything is removed or put aside, that the store's folders are its own."""

    def odd(self, folder: str, *, flat: bool = False) -> Iterator[str]:
        """Places in a folder of what is no file of a store: links, pipes, devices, folders too deep."""

    def remains(self, folder: str) -> Iterator[tuple[str, float]]:
        """Places that lie directly in a folder, whatever they are, and when anything in them last changed."""

    def discard(self, place: str) -> None:
        """Remove what `remains` found, if that is allowed."""


class TransferBackend(Backend, Protocol):
    """A place whose files are used from a cache on this host."""

    def stat(self, place: str) -> Entry | None:
        """Size and time of an object, or None if there is none."""

    def reached(self, writing: str = "") -> AbstractContextManager[None]:
        """Raise failures of the place, meanwhile, as ours; `writing` is the place that is written to, if one is."""

    def upload(self, path: str, place: str) -> bool:
        """Upload a file, unless an object of that name is there; whether there was none."""

    def download(self, places: Mapping[str, str]) -> None:
        """Download objects to the paths that stand beside them, at once; `FileNotFoundError` if one is not there."""
