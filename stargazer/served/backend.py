"""The places of a store that this process does not see, as the home gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from stargazer.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stargazer.served.line import Line

__all__ = ["ServedBackend"]

AT_ONCE = 1000
"""Small files in one question."""


class ServedBackend:
    """What a task needs of its store. The rest is done only where the store is.

    Parameters
    ----------
    line
        To the home.
    """

    local = False

    def __init__(self, line: Line) -> None:
        self.line, self.url = line, line.url

    def path(self, place: str) -> str:
        """Name of a place, for messages."""
        return f"{self.url}/{place}"

    def read(self, place: str) -> bytes | None:
        """Content of a small file, or None if there is none."""
        return self.read_many([place]).get(place)

    def read_many(self, places: Iterable[str]) -> dict[str, bytes]:
        """Contents of those small files that exist."""
        asked, found = list(places), {}
        for start in range(0, len(asked), AT_ONCE):
            found.update(self.line.ask("read", asked[start : start + AT_ONCE]))
        return found

    def size(self, place: str) -> int | None:
        """Bytes of a file, or None if there is none."""
        sizes: tuple[int | None, ...] = self.line.ask("sizes", [place])
        return sizes[0]

    def create(self, place: str, data: bytes) -> bool:
        """Write a file unless it is there with this content; whether it had to be written is not known."""
        self.create_many({place: data})
        return True

    def create_many(self, contents: Mapping[str, bytes]) -> None:
        """Write those of several files that are not there yet: directory nodes and asset records."""
        entries = list(contents.items())
        for start in range(0, len(entries), AT_ONCE):
            self.line.ask("put", dict(entries[start : start + AT_ONCE]))

    def sync(self) -> None:
        """Nothing: the run syncs the store at its end, where it is."""

    def _refuse(self, *places: Any, **_: Any) -> NoReturn:
        raise StoreError(
            f"{places} of {self.url} was wanted on a worker that does not see the store; queries, pins and clean-ups "
            "are done where it is"
        )

    open = create_once = replace = replace_many = link_many = adopt = _refuse
    remove = sweep = move = names = entries = _refuse
