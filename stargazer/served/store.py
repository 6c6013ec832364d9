"""A store that this process does not see."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

from stargazer import config
from stargazer.served.backend import ServedBackend
from stargazer.served.blobs import ServedBlobs
from stargazer.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stargazer.served.line import Line
    from stargazer.store.backend import Backend
    from stargazer.store.blobs import Blobs

__all__ = ["ServedStore"]


class ServedStore(Store):
    """What tasks need of a store, asked of the home. It has the URL that the home knows it by.

    Parameters
    ----------
    line
        To the home.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        super().__init__(line.url)

    def _open_places(self, url: str) -> tuple[Backend, Blobs]:
        return ServedBackend(self._line), ServedBlobs(self, self._line)

    @property
    def id(self) -> str:
        """Identity of the store."""
        return self._line.identifier

    @cached_property
    def cache(self) -> Path:
        """Directory of what this host was sent; may be deleted while no task runs."""
        return config.cache_dir() / "served" / self.id

    def tidy(self) -> None:
        """Remove what killed workers left on this host a week ago."""
        self.blobs.cache.tidy()  # type: ignore[attr-defined]

    def load_nodes(self, cids: Iterable[str]) -> set[str]:
        """As `Store.load_nodes`; files that are here already need no question."""
        cached = self.blobs.cached  # type: ignore[attr-defined]
        return super().load_nodes(cid for cid in cids if cid in self._nodes or not cached(cid))

    def has(self, cid: str) -> bool:
        """Whether the home has a file, or a directory and all that lies in it."""
        return self.has_all([cid])

    def has_all(self, cids: Iterable[str]) -> bool:
        """Whether `has` is true of each: one question."""
        asked = list(dict.fromkeys(cids))
        return not asked or bool(self._line.ask("has_all", asked))

    def records_behind(self, keys: Iterable[str]) -> dict[str, tuple[str, bytes]]:
        """Ids and bytes of the records that keys lead to: one question."""
        found: dict[str, tuple[str, bytes]] = self._line.ask("records_behind", list(keys))
        return {key: (name, data) for key, (name, data) in found.items() if hashlib.sha256(data).hexdigest() == name}

    def put_record(self, data: bytes) -> str:
        """Keep an immutable record; its id is the SHA-256 of its bytes, in hexadecimal."""
        identifier = hashlib.sha256(data).hexdigest()
        self._line.ask("put_record", identifier, data)
        return identifier

    def lead(self, keys: Iterable[str], identifier: str) -> None:
        """Let keys lead to a record that is there."""
        self._line.ask("lead", list(keys), identifier)

    def _journal(self, kind: str, *names: str) -> None:
        """Nothing: the home notes what it wrote."""
