"""Directories: their files become blobs, their nodes are kept as the blocks that IPFS would have."""

from __future__ import annotations

import hashlib
import os
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from stargazer.errors import BlobLost, CIDError, NotFound, StargazerError, StoreError
from stargazer.store import layout
from stargazer.store.blobs.base import Stored
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from stargazer.cid import Entry
    from stargazer.cid.directory import Odd
    from stargazer.cid.unixfs import Progress
    from stargazer.store.blobs.base import Blobs
    from stargazer.store.context import StoreContext

__all__ = [
    "RAW", "Directories", "OddEntry", "is_node", "is_symlink", "links", "warn_of_links", "warn_of_odd",
]  # fmt: skip

RAW = "bafkrei"
_MOST_NODES = 10_000
_AT_ONCE = 500

MOST_LEVELS = 256
"""Directories in each other; paths have 4,096 characters."""

MANY_PATHS, MOST_REPEATS = 200_000, 100
"""From how many files on it counts, and how often a directory may then stand in one level of a tree, on average."""


class Directories:
    """The files and directories of a store, by CID.

    Parameters
    ----------
    context
        Of the store.
    blobs
        Its files.
    """

    def __init__(self, context: StoreContext, blobs: Blobs) -> None:
        self.context, self.backend, self.blobs = context, context.backend, blobs
        self._nodes: dict[str, bytes] = {}
        """Nodes that were read; they never change."""

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
        from stargazer.cid.directory import read_entries

        self.load_nodes([cid])
        entries, odd = read_entries(self._node(cid), self._node)
        warn_of_odd(cid, odd)
        return sorted(entries, key=lambda entry: entry.name)

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
        asked = [cid for cid in cids if not (cid.startswith(RAW) or self._is_file(cid))]
        wanted = [cid for cid in asked if cid not in self._nodes]
        while wanted:
            places = {layout.tree(cid): cid for cid in wanted}
            blocks = {places[place]: block for place, block in self.backend.read_many(places).items()}
            self._nodes.update((cid, block) for cid, block in blocks.items() if is_node(block, cid))
            wanted = [
                shard for cid in blocks if cid in self._nodes for shard in links(self._nodes[cid], shards_only=True)
            ]
        return {cid for cid in asked if cid in self._nodes}

    def _is_file(self, cid: str) -> bool:
        """Whether a CID is known to be a file's without a question to the store."""
        return cid not in self._nodes and self.blobs.is_file_here(cid)

    def walk(self, cid: str) -> Iterator[tuple[str, str | None]]:
        """Relative path and CID of everything below a directory, level by level; None for directories.

        Raises
        ------
        BlobLost
            A node is missing or torn.
        CIDError
            It stands for more files than any disk holds, or nests without end: a few kilobytes of nodes can.
        """
        level = {"": cid}
        for _ in range(MOST_LEVELS):
            inside = {each: self.entries(each) for each in dict.fromkeys(level.values())}
            _refuse_bomb(cid, level, inside)
            found = {f"{base}{entry.name}": entry.cid for base, each in level.items() for entry in inside[each]}
            folders = self.load_nodes(dict.fromkeys(found.values()))
            links = {child for child in folders if is_symlink(self._nodes[child])}
            warn_of_links(cid, found, links)
            found = {path: child for path, child in found.items() if child not in links}
            for path, child in found.items():
                yield path, None if child in folders else child
            level = {f"{path}/": child for path, child in found.items() if child in folders}
            if not level:
                return
        raise CIDError(f"the directory {cid} has more than {MOST_LEVELS} levels: no path leads to its files")

    def below(self, cid: str) -> Iterator[str]:
        """CIDs of all files, directories and shards below a directory, each once, however many paths lead there."""
        seen: set[str] = set()
        level = [cid]
        while level:
            self.load_nodes(level)
            found = dict.fromkeys(child for each in level if each in self._nodes for child in links(self._nodes[each]))
            level = [child for child in found if child not in seen]
            seen.update(level)
            yield from level

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
                raise NotFound(f"{self.context.url} has no {name!r} in {cid}, on the way to {path}")
            cid = found[name]
        return cid

    def open(self, cid: str, mode: str = "rb") -> BinaryIO:
        """Open the bytes of a CID, or of ``<cid>/x/y``, for reading.

        Raises
        ------
        BlobLost
            They are missing or corrupt.
        """
        if mode not in ("r", "rb"):
            raise ValueError(f"mode {mode!r}: what is stored never changes; open it with 'rb'")
        with self.blobs.in_use():
            return self.blobs.path(self.resolve(cid)).open("rb")

    def read(self, cid: str) -> bytes:
        """All bytes of a CID, or of ``<cid>/x/y``."""
        with self.open(cid) as file:
            return file.read()

    def has(self, cid: str) -> bool:
        """Whether the store has a file, or a directory and all that lies in it, by looking at names only.

        In an object store only the directory itself is looked for; what is missing below it is found out by `stage`.
        """
        return self.has_all([cid])

    def _has(self, cid: str) -> bool:
        if self.backend.size(layout.blob(cid)) is not None:
            return True
        if not self.is_directory(cid):
            return False
        with suppress(StargazerError):
            return not self.backend.quick or all(map(self._has_one, (cid, *self.below(cid))))
        return False

    def _has_one(self, cid: str) -> bool:
        """Whether the store has a file, or the node of a directory."""
        return self.backend.size(layout.blob(cid)) is not None or bool(self.load_nodes([cid]))

    def has_all(self, cids: Iterable[str]) -> bool:
        """Whether `has` is true of each."""
        asked = list(cids)
        told = self.backend.holds(asked)
        return all(map(self._has, asked)) if told is None else told

    def closure(self, roots: Iterable[str]) -> set[str]:
        """CIDs of files and directory nodes that lie below some, these too.

        Raises
        ------
        StoreError
            A directory node is torn, so what lies below it is not known.
        """
        found: set[str] = set()
        frontier = set(roots)
        while frontier:
            found |= frontier
            nodes: dict[str, bytes] = {}
            asked = sorted(cid for cid in frontier if not cid.startswith(RAW))
            for start in range(0, len(asked), _AT_ONCE):
                nodes.update(self._read_nodes(asked[start : start + _AT_ONCE]))
            frontier = {child for block in nodes.values() for child in links(block)} - found
        return found

    def _read_nodes(self, cids: list[str]) -> dict[str, bytes]:
        places = {layout.tree(cid): cid for cid in cids}
        nodes = {places[place]: block for place, block in self.backend.read_many(places).items()}
        for cid, block in nodes.items():
            if not is_node(block, cid) or not _has_links(block):
                message = f"the directory {cid} of {self.context.url} is torn, so what it holds is not known"
                raise StoreError(f"{message}: run fsck, then add it again")
        return nodes

    def put(
        self,
        path: str | os.PathLike[str],
        *,
        move: bool = False,
        follow: bool = False,
        progress: Progress | None = None,
    ) -> Stored:
        """Keep the bytes of every file below a directory, hidden ones too.

        Parameters
        ----------
        path
            The directory.
        move
            Take the files themselves, on the store's file system. Links are left in their places: a link in the
            directory may lead to another file of it.
        follow
            Store what symbolic links in a directory point to; otherwise they are refused.
        progress
            Called with the number of bytes just read.

        Raises
        ------
        CIDError
            A symbolic link that is not to be followed, or a name that is not UTF-8.
        """
        _ = self.context.header
        return self._put_tree(os.fspath(path), move, follow, (), progress)

    def put_nodes(self, nodes: Mapping[str, bytes]) -> None:
        """Keep the nodes of a directory of which all files are stored, its root last.

        Parameters
        ----------
        nodes
            By CID, each after those that it links to.

        Raises
        ------
        BlobLost
            One is not what its CID names.
        """
        _ = self.context.header
        for cid, block in nodes.items():
            if not is_node(block, cid):
                raise BlobLost(cid, "corrupt before it was stored")
        *below, root = nodes
        self.backend.create_many({layout.tree(cid): nodes[cid] for cid in below})
        self.backend.create_many({layout.tree(root): nodes[root]})

    def _put_tree(
        self, path: str, move: bool, follow: bool, above: tuple[tuple[int, int], ...], progress: Progress | None
    ) -> Stored:
        from stargazer.cid import directory_node

        here = _identity(path, above)
        with os.scandir(path) as found:
            children = sorted(found, key=lambda child: child.name)
        for child in children:
            self._check_link(child, follow)
        folders = [child for child in children if child.is_dir()]
        files = [child for child in children if not child.is_dir()]
        stored = [self._put_tree(child.path, move, follow, (*above, here), progress) for child in folders]
        stored += self.blobs.take_many([child.path for child in files], move=move, progress=progress)
        entries = [_entry(child.name, each) for child, each in zip([*folders, *files], stored, strict=True)]
        node = directory_node(entries, self.context.profile)
        self.backend.create_many({layout.tree(cid): block for cid, block in node.blocks.items()})
        return Stored(node.cid, sum(each.size for each in stored), node.tsize)

    def _check_link(self, child: os.DirEntry[str], follow: bool) -> None:
        if follow or not child.is_symlink():
            return
        if not os.readlink(child.path).startswith(f"{self.blobs.root}/"):
            message = f"{child.path} is a symbolic link, which has no CID of its own"
            raise CIDError(f"{message}: remove it, or put what it points to in its place")


def _refuse_bomb(cid: str, level: Mapping[str, str], inside: Mapping[str, list[Entry]]) -> None:
    """Refuse a tree whose directories repeat each other level by level: ten nodes can stand for a thousand million."""
    stands_for = sum(len(inside[each]) for each in level.values())
    if stands_for > MANY_PATHS and stands_for > MOST_REPEATS * sum(map(len, inside.values())):
        raise CIDError(
            f"the directory {cid} stands for {stands_for:,} files or more, nearly all of them repeated: it was made to "
            "fill disks, and is not laid out"
        )


def is_node(block: bytes, cid: str) -> bool:
    """Whether a dag-pb block is the one that a CID names."""
    from stargazer.cid import parse

    return hashlib.sha256(block).digest() == parse(cid).digest


def links(block: bytes, *, shards_only: bool = False) -> list[str]:
    """CIDs that a directory node links to: what lies in it and its shards, or its shards alone."""
    from stargazer.cid.cid import is_read, text_of
    from stargazer.cid.dagpb import decode
    from stargazer.cid.directory import width

    node = decode(block)
    wide = width(node) if node.kind == "hamt-shard" else -1
    wanted = [cid for cid, name, _ in node.links if not shards_only or len(name) == wide]
    return [text_of(cid) for cid in wanted if is_read(cid)]


class OddEntry(UserWarning):
    """An entry of a directory cannot be had, and was set aside; the others can."""


def is_symlink(block: bytes) -> bool:
    """Whether a node is a symbolic link: it links to nothing, and its data begins with that type."""
    return block[:1] == b"\x0a" and b"\x08\x04" in block[2:5]


_SHOWN = 5


def warn_of_odd(cid: str, odd: Collection[Odd], category: type[Warning] = OddEntry) -> None:
    """Say which entries of a directory were set aside."""
    if odd:
        shown = "; ".join(f"{each.name!r} ({each.reason})" for each in list(odd)[:_SHOWN])
        more = f"; and {len(odd) - _SHOWN} more" if len(odd) > _SHOWN else ""
        told = f"set aside in the directory {cid}, of which the rest is served: {shown}{more}"
        warnings.warn(visible(told, lines=True), category, stacklevel=3)


def warn_of_links(cid: str, found: Mapping[str, str], links: Collection[str]) -> None:
    """Say which paths are symbolic links."""
    from stargazer.cid.directory import Odd

    warn_of_odd(cid, [Odd(path, "it is a symbolic link") for path, child in found.items() if child in links])


def _has_links(block: bytes) -> bool:
    """Whether a block that matches its CID is a dag-pb node whose links can be read."""
    try:
        links(block)
    except CIDError:
        return False
    return True


def _identity(path: str, above: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    found = os.stat(path)
    here = (found.st_dev, found.st_ino)
    if here in above:
        raise CIDError(f"{path} links to a directory that it lies in: it has no end; remove the link")
    return here


def _entry(name: str, stored: Stored) -> Entry:
    from stargazer.cid import Entry

    return Entry(name, stored.cid, stored.dag_size)
