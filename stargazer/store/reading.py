"""Bytes of a CID, checked before anybody sees them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from stargazer.errors import BlobLost, NotFound
from stargazer.store import layout
from stargazer.store.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.cid import Entry

__all__ = ["RAW", "Reading", "is_node"]

RAW = "bafkrei"


class Reading(Records):
    """The part of a store that gives bytes back."""

    def node(self, cid: str) -> bytes | None:
        """The dag-pb node of a directory or of a HAMT shard, or None if the store has none that is whole."""
        block = self.backend.read(layout.tree(cid))
        return block if block is not None and is_node(block, cid) else None

    def is_directory(self, cid: str) -> bool:
        """Whether a CID names a directory of this store."""
        return not cid.startswith(RAW) and self.backend.size(layout.tree(cid)) is not None

    def size(self, cid: str) -> int | None:
        """Bytes of a file, or None if the store does not have it."""
        return self.backend.size(layout.blob(cid))

    def entries(self, cid: str) -> list[Entry]:
        """What lies in a directory, in order of name.

        Raises
        ------
        BlobLost
            A node of it is missing or torn.
        """
        from stargazer.cid import read_directory

        return sorted(read_directory(self.directory_block(cid), self.directory_block), key=lambda entry: entry.name)

    def directory_block(self, cid: str) -> bytes:
        """The node of a directory or of a HAMT shard; `BlobLost` if it is missing or torn."""
        block = self.node(cid)
        if block is None:
            raise BlobLost(cid, "missing or torn, as a directory,")
        return block

    def walk(self, cid: str, prefix: str = "") -> Iterator[tuple[str, str]]:
        """Relative path and CID of every file below a directory."""
        for entry in self.entries(cid):
            if self.is_directory(entry.cid):
                yield from self.walk(entry.cid, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name, entry.cid

    def resolve(self, path: str) -> str:
        """CID of what lies at ``<cid>/x/y``.

        Raises
        ------
        NotFound
            There is no such entry.
        """
        cid, *names = path.strip("/").split("/")
        for name in filter(None, names):
            found = {entry.name: entry.cid for entry in self.entries(cid)} if self.is_directory(cid) else {}
            if name not in found:
                raise NotFound(f"{self.url} has no {name!r} in {cid}, on the way to {path}")
            cid = found[name]
        return cid

    def open_bytes(self, cid: str, mode: str = "rb") -> BinaryIO:
        """Open the bytes of a CID, or of ``<cid>/x/y``, for reading.

        Raises
        ------
        BlobLost
            They are missing or corrupt.
        """
        if mode not in ("r", "rb"):
            raise ValueError(f"mode {mode!r}: what is stored never changes; open it with 'rb'")
        return open(self.blobs.path(self.resolve(cid)), "rb")

    def read(self, cid: str) -> bytes:
        """All bytes of a CID, or of ``<cid>/x/y``."""
        with self.open_bytes(cid) as file:
            return file.read()


def is_node(block: bytes, cid: str) -> bool:
    """Whether a dag-pb block is the one that a CID names."""
    from stargazer.cid import parse

    return hashlib.sha256(block).digest() == parse(cid).digest
