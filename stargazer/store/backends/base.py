"""What a store needs of the place where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stargazer.store.folders import Entry

__all__ = ["Backend"]


class Backend(Protocol):
    """Primitive operations on named places. A reader never sees half a file."""

    url: str
    local: bool

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
