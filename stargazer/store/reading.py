"""Bytes of a CID, checked before anybody sees them."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

from stargazer.errors import BlobLost, NotFound
from stargazer.store import layout
from stargazer.store.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from stargazer.cid import Entry

__all__ = ["RAW", "Reading", "is_node", "links"]

RAW = "bafkrei"
_MOST_NODES = 10_000


class Reading(Records):
    """The part of a store that gives bytes back."""

    @cached_property
    def _nodes(self) -> dict[str, bytes]:
        """Directory nodes that were read; they never change."""
        return {}

    def in_use(self) -> AbstractContextManager[None]:
        """Keep what is read or staged meanwhile in this host's cache, where the store uses one."""
        return self.blobs.in_use()

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

        self.load_nodes([cid])
        return sorted(read_directory(self._node(cid), self._node), key=lambda entry: entry.name)

    def _node(self, cid: str) -> bytes:
        block = self._nodes.get(cid) or self.node(cid)
        if block is None:
            raise BlobLost(cid, "missing or torn, as a directory,")
        return block

    def load_nodes(self, cids: Iterable[str]) -> set[str]:
        """Read the nodes of directories, and all shards of these, many at once; those of the CIDs that have one.

        Parameters
        ----------
        cids
            Of directories and of files.
        """
        if len(self._nodes) > _MOST_NODES:
            self._nodes.clear()
        asked = [cid for cid in cids if not cid.startswith(RAW)]
        wanted = [cid for cid in asked if cid not in self._nodes]
        while wanted:
            places = {layout.tree(cid): cid for cid in wanted}
            blocks = {places[place]: block for place, block in self.backend.read_many(places).items()}
            self._nodes.update((cid, block) for cid, block in blocks.items() if is_node(block, cid))
            wanted = [
                shard for cid in blocks if cid in self._nodes for shard in links(self._nodes[cid], shards_only=True)
            ]
        return {cid for cid in asked if cid in self._nodes}

    def walk(self, cid: str) -> Iterator[tuple[str, str | None]]:
        """Relative path and CID of everything below a directory, level by level; None for directories.

        Raises
        ------
        BlobLost
            A node is missing or torn.
        """
        level = {"": cid}
        while level:
            found = {f"{base}{entry.name}": entry.cid for base, each in level.items() for entry in self.entries(each)}
            folders = self.load_nodes(found.values())
            for path, child in found.items():
                yield path, None if child in folders else child
            level = {f"{path}/": child for path, child in found.items() if child in folders}

    def resolve(self, path: str) -> str:
        """CID of what lies at ``<cid>/x/y``.

        Raises
        ------
        NotFound
            There is no such entry.
        """
        cid, *names = path.strip("/").split("/")
        for name in filter(None, names):
            found = {entry.name: entry.cid for entry in self.entries(cid)} if self.load_nodes([cid]) else {}
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
        with self.in_use():
            return open(self.blobs.path(self.resolve(cid)), "rb")

    def read(self, cid: str) -> bytes:
        """All bytes of a CID, or of ``<cid>/x/y``."""
        with self.open_bytes(cid) as file:
            return file.read()


def is_node(block: bytes, cid: str) -> bool:
    """Whether a dag-pb block is the one that a CID names."""
    from stargazer.cid import parse

    return hashlib.sha256(block).digest() == parse(cid).digest


def links(block: bytes, *, shards_only: bool = False) -> list[str]:
    """CIDs that a directory node links to: what lies in it and its shards, or its shards alone."""
    from stargazer.cid.dagpb import decode
    from stargazer.cid.text import text_of

    node = decode(block)
    sharded = node.kind == "hamt-shard"
    return [text_of(cid) for cid, name, _ in node.links if not shards_only or (sharded and len(name) == 2)]
