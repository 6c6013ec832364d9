"""The blocks of stored files, for those who ask for them one by one: found again by hashing, remembered by place."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from stargazer.cid.cid import text_of
from stargazer.cid.dagpb import decode
from stargazer.cid.parts import is_raw
from stargazer.errors import DataError
from stargazer.remotes.push import file_blocks
from stargazer.store.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.store import Store

__all__ = ["Blocks", "Cut"]

MOST_FILES = 256
"""Files whose blocks are remembered; each costs some hundred bytes for a quarter of a MiB of it."""

MOST_HELD = 256 << 20
"""Bytes of nodes of one file."""


class Cut(NamedTuple):
    """How a file is cut into blocks.

    Parameters
    ----------
    leaves
        Where the bytes of each leaf are: start and size, by CID.
    nodes
        The nodes above them, by CID.
    """

    leaves: dict[str, tuple[int, int]]
    nodes: dict[str, bytes]


class Blocks:
    """Blocks of what one store has.

    Parameters
    ----------
    store
        The store.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._cuts: OrderedDict[str, Cut] = OrderedDict()
        self._owners: dict[str, str] = {}

    def get(self, cid: str) -> bytes | None:
        """Return a block; None where the store has none of that CID, as far as it knows.

        The inner blocks of a file are known once its root was asked for: clients do that first.
        """
        node = self.store.dirs.node(cid) if not is_raw(cid) else None
        if node is not None:
            return node
        if self.store.size(cid) is not None:
            return self._whole(cid) if is_raw(cid) else self.cut(cid).nodes[cid]
        owner = self._owners.get(cid)
        if owner is None or self.store.size(owner) is None:
            return None
        cut = self.cut(owner)
        return cut.nodes[cid] if cid in cut.nodes else self._leaf(owner, cut.leaves[cid])

    def has(self, cid: str) -> bool:
        """Whether the store has a file, a node of a directory, or (as far as it knows) a block of a file."""
        if self.store.size(cid) is not None or (not is_raw(cid) and self.store.dirs.node(cid) is not None):
            return True
        owner = self._owners.get(cid)
        return owner is not None and self.store.size(owner) is not None

    def _whole(self, cid: str) -> bytes:
        return self.store.read(cid)

    def _leaf(self, owner: str, place: tuple[int, int]) -> bytes:
        start, size = place
        with self.store.dirs.open(owner) as file:
            return os.pread(file.fileno(), size, start)

    def cut(self, cid: str) -> Cut:
        """How a file is cut; it is read and hashed the first time."""
        with self._lock:
            if (found := self._cuts.get(cid)) is not None:
                self._cuts.move_to_end(cid)
                return found
        made = self._cut(cid)
        with self._lock:
            self._cuts[cid] = made
            self._owners.update(dict.fromkeys((*made.leaves, *made.nodes), cid))
            while len(self._cuts) > MOST_FILES:
                _, old = self._cuts.popitem(last=False)
                for each in (*old.leaves, *old.nodes):
                    self._owners.pop(each, None)
        return made

    def _cut(self, cid: str) -> Cut:
        shape = shape_of(self.store.backend, cid)
        leaves: dict[str, tuple[int, int]] = {}
        nodes: dict[str, bytes] = {}
        start = held = 0
        with self.store.dirs.open(cid) as file:
            end = file.seek(0, 2)
            file.seek(0)
            blocks = (
                file_blocks(file, cid, self.store.context.profile, lambda _: False)
                if shape is None
                else shape.blocks(cid, lambda at, size: os.pread(file.fileno(), size, at), end)
            )
            for name, block in blocks:
                if is_raw(name):
                    if start >= end > 0:  # that profile was not it, and the next one begins anew
                        start = 0
                        leaves.clear()
                        nodes.clear()
                    leaves.setdefault(name, (start, len(block)))
                    start += len(block)
                else:
                    nodes[name] = block
                    held += len(block)
                    if held > MOST_HELD:
                        raise DataError(f"{cid} is cut into nodes that hold its bytes themselves: ask for it as a file")
        return Cut(leaves, nodes)

    def below(self, cid: str, seen: set[str] | None = None) -> Iterator[tuple[str, bytes]]:
        """Yield all blocks below a CID, depth first, a node before what it links to, each once."""
        done = set[str]() if seen is None else seen
        todo = [cid]
        while todo:
            name = todo.pop()
            if name in done:
                continue
            done.add(name)
            block = self.get(name)
            if block is None:
                continue
            yield name, block
            if not is_raw(name):
                todo += reversed([text_of(link) for link, _, _ in decode(block).links])
