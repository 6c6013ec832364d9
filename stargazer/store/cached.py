"""Files by CID that lie elsewhere and are used from a bounded cache on this host."""

from __future__ import annotations

import contextlib
import os
from abc import abstractmethod
from contextlib import suppress
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING

from stargazer.errors import BlobLost
from stargazer.store.blobs import MTIME, Blobs
from stargazer.store.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["CachedBlobs"]

_AT_ONCE = 64
LENT_FOR = 48 * 3600.0
"""Seconds for which a fetched file stays."""

READ_FOR = 600.0
"""Seconds for which a file stays that was looked at outside any task."""

_held: ContextVar[tuple[CachedBlobs, set[str]] | None] = ContextVar("stargazer_held", default=None)


class CachedBlobs(Blobs):
    """What is the same for an object store and for a store that another process serves."""

    @property
    def root(self) -> str:
        """Directory of the files that are here."""
        return str(self.store.cache / "blobs")

    @cached_property
    def cache(self) -> Cache:
        """The files that this host has."""
        return Cache(self.store.cache)

    @abstractmethod
    def _fetch(self, cids: list[str]) -> None:
        """Fetch files, check them, and `_keep` each; `BlobLost` if one is missing or corrupt."""

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep whatever is used meanwhile in the cache."""
        held: set[str] = set()
        token = _held.set((self, held))
        try:
            yield
        finally:
            _held.reset(token)
            if held:
                self.cache.release(held)

    def path(self, cid: str) -> Path:
        """Path of the checked bytes on this host; `BlobLost` if they are missing or corrupt."""
        self._claim([cid])
        found = self._cached(cid)
        if found is None:
            self._fetch_once([cid])
            found = self._cached(cid)
        if found is None:
            raise BlobLost(cid)
        return found

    def lend(self, cid: str) -> None:
        """Keep a file for two days."""
        self.cache.use(cid, LENT_FOR)

    def cached(self, cid: str) -> bool:
        """Whether a file is on this host, good or not."""
        return os.path.exists(self.file(cid))

    def quarantine(self, cid: str) -> str:
        """Drop a cached file that was harmed here; the original is good, or is found out when it is fetched."""
        self.store.memo.forget(cid)
        return self.cache.quarantine(cid)

    def check_unharmed(self, cid: str) -> None:
        """Raise `BlobLost` if the file was changed here; it may have been dropped."""
        self.checked(cid)

    def prefetch(self, cids: Iterable[str]) -> None:
        """Fetch many files at once."""
        wanted = list(dict.fromkeys(cids))
        self._claim(wanted)
        missing = [cid for cid in wanted if not self.cached(cid)]
        for start in range(0, len(missing), _AT_ONCE):
            self._fetch_once(missing[start : start + _AT_ONCE])

    def temporary(self) -> str:
        """A new path in this host's cache."""
        return self.cache.temporary()

    def _claim(self, cids: list[str]) -> None:
        """Let nobody remove files, there or still to come, while they are used."""
        blobs, held = _held.get() or (None, set())
        fresh = [cid for cid in cids if cid not in held]
        if blobs is self and fresh:
            held.update(fresh)
            self.cache.hold(fresh)
        for cid in cids:
            self.cache.use(cid, 0.0 if blobs is self else READ_FOR)

    def _fetch_once(self, cids: list[str]) -> None:
        """Fetch what nobody else on this host is fetching already."""
        with self.cache.arriving(cids):
            missing = [cid for cid in cids if self._cached(cid) is None]
            if missing:
                self._fetch(missing)

    def _cached(self, cid: str) -> Path | None:
        try:
            return self.checked(cid)
        except BlobLost:
            return None

    def _keep(self, cid: str, path: str) -> None:
        os.chmod(path, 0o444)
        os.utime(path, (MTIME, MTIME))
        self._claim([cid])
        self.cache.adopt(path, cid)
        with suppress(FileNotFoundError):
            self.store.memo.note(cid, os.stat(self.file(cid)))
