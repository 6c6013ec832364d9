"""What a CID names, from remotes into a store: whole, checked, and continued where it was left off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.cid import PROFILES, Hasher, check, parse, read_directory
from stargazer.cid.cid import text_of
from stargazer.cid.dagpb import DIRECTORY, FILE, SHARD
from stargazer.errors import CIDError, RemoteError, RemoteLacks, RemoteRefused
from stargazer.remotes.base import MOST_NESTED, BlockRemote, FileRemote
from stargazer.remotes.blocks import Blocks, Complaints, check_block
from stargazer.remotes.dag import Part, is_raw, node_of, parts_of, resolve, size_of
from stargazer.remotes.streams import Bodies, Leaves, Partial, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from stargazer.cid.dagpb import Node
    from stargazer.remotes.base import Progress, Remote
    from stargazer.store import Store

__all__ = ["Fetching", "FromBlocks", "FromFiles", "fetch_into", "grouped"]


def fetch_into(store: Store, path: str, remotes: Sequence[Remote], progress: Progress | None = None) -> str:
    """Have a file or directory in a store.

    Parameters
    ----------
    store
        Where it shall be.
    path
        Its CID, or ``<cid>/x/y`` for what lies in a directory.
    remotes
        Where to look, in this order, for what the store does not have.
    progress
        Called with the number of bytes that just came.

    Returns
    -------
    str
        The CID of what `path` names.

    Raises
    ------
    RemoteError
        No remote gives it; the message says why, remote by remote.
    CIDError
        What the CID names is malformed, or no store could check it later.
    NotFound
        There is no such name in that directory.
    """
    cid, *rest = path.strip("/").split("/", 1)
    cid = parse(cid).text
    if not rest and store.has(cid):
        return cid
    complaints = Complaints()
    for group in grouped(remotes):
        try:
            with group_of(store, group, complaints, progress) as fetching:
                found = resolve("/".join([cid, *rest]), fetching.get)
                fetching.have(found)
        except RemoteError as error:
            for remote in group:
                if remote.name not in complaints.last:
                    complaints.note(remote, error)
        else:
            complaints.warn()
            return found
    raise complaints.error(path, remotes)


def grouped(remotes: Sequence[Remote]) -> Iterator[list[Remote]]:
    """Remotes in order; those that give blocks all together where the first of them stands."""
    giving_blocks: list[Remote] = [remote for remote in remotes if isinstance(remote, BlockRemote)]
    for remote in remotes:
        if isinstance(remote, FileRemote):
            yield [remote]
        elif remote is giving_blocks[0]:
            yield giving_blocks


def group_of(store: Store, group: list[Remote], complaints: Complaints, progress: Progress | None) -> Fetching:
    """How to fetch from remotes of one sort."""
    if isinstance(group[0], FileRemote):
        return FromFiles(store, group[0], progress)
    blocks = Blocks([remote for remote in group if isinstance(remote, BlockRemote)], complaints)
    return FromBlocks(store, blocks, progress)


# Directories and files from remotes into a store, node by node.


_STREAMED = 4 << 20


class Fetching:
    """Directories are walked depth first; their nodes are stored when all that lies below them is."""

    def __init__(self, store: Store, progress: Progress | None) -> None:
        self.store, self._progress = store, progress

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def get(self, cid: str) -> bytes:
        """A checked node."""
        raise NotImplementedError

    def expect(self, cids: list[str]) -> None:
        """Say what will be wanted next."""

    def have(self, cid: str, nested: int = 0) -> None:
        """Have a file or directory in the store."""
        if self.store.has(cid):
            return
        if is_raw(cid):
            self._file(cid)
            return
        node = self._directory(cid)
        if node is None:
            self._file(cid)
            return
        if nested == MOST_NESTED:
            raise CIDError(f"{cid} lies {nested} directories deep, which is the most")
        nodes: dict[str, bytes] = {}
        self._entries(cid, node, nodes, nested, 0)
        read_directory(nodes[cid], nodes.__getitem__)  # refuses names that are none
        self.store.dirs.put_nodes(nodes)

    def _entries(self, cid: str, node: Node, nodes: dict[str, bytes], nested: int, depth: int) -> None:
        """Have what a node of a directory links to, its shards too, then note the node."""
        links = [(text_of(link), node.kind == SHARD and len(name) == 2) for link, name, _ in node.links]
        self.expect([child for child, shard in links if shard or not self.store.has(child)])
        for child, shard in links:
            if not shard:
                self.have(child, nested + 1)
                continue
            below = node_of(child, self.get(child))
            if below.kind != SHARD or depth > 8:
                raise CIDError(f"a shard of a directory leads to {child}, which is no shard or lies too deep")
            self._entries(child, below, nodes, nested, depth + 1)
        nodes[cid] = self.get(cid)

    def _directory(self, cid: str) -> Node | None:
        """The root of a directory; None for a file."""
        node = node_of(cid, self.get(cid))
        return node if node.kind in (DIRECTORY, SHARD) else None

    def _file(self, cid: str) -> None:
        raise NotImplementedError

    def _came(self, size: int) -> None:
        if self._progress and size:
            self._progress(size)


class FromBlocks(Fetching):
    """Fetching block by block."""

    def __init__(self, store: Store, blocks: Blocks, progress: Progress | None) -> None:
        super().__init__(store, progress)
        self._blocks, self._nodes = blocks, dict[str, bytes]()

    def __exit__(self, *_: object) -> None:
        self._blocks.__exit__(None, None, None)

    def get(self, cid: str) -> bytes:
        """A checked block; nodes are remembered."""
        if cid in self._nodes:
            return self._nodes[cid]
        block = self._blocks.get(cid)
        if not is_raw(cid):
            self._nodes[cid] = block
        return block

    def expect(self, cids: list[str]) -> None:
        """Have blocks asked for ahead."""
        self._blocks.expect(cids)

    def have(self, cid: str, nested: int = 0) -> None:
        """Have a file or directory in the store, in one stream if that can be had."""
        if nested == 0 and not is_raw(cid) and not self._blocks.streams and not self._is_large_file(cid):
            self._blocks.begin(cid)
        super().have(cid, nested)

    def _is_large_file(self, cid: str) -> bool:
        """Whether it is a file that had better come as it is; its root is asked for by itself."""
        node = node_of(cid, self.get(cid))
        return node.kind == FILE and node.filesize >= _STREAMED

    def _file(self, cid: str) -> None:
        block = self.get(cid)
        if is_raw(cid) and len(block) <= self.store.context.profile.chunk:
            self.store.blobs.put_bytes(block)
            self._came(len(block))
            return
        with Partial(self.store, cid) as partial:
            shape = Shape()
            self._parts(Part(cid, 0, size_of(cid, block), 0), partial, shape)
            if not (is_raw(cid) or shape.fits(cid)):
                partial.drop()
                raise CIDError(_odd(cid))
            partial.keep(self.store, cid)

    def _parts(self, root: Part, partial: Partial, shape: Shape) -> None:
        """Have a file's leaves written, in order."""
        with Leaves(partial, self._blocks, self._body(root, partial), self._came) as leaves:
            waiting = [root]
            while waiting:
                part = waiting.pop()
                if is_raw(part.cid):
                    shape.add(part.cid, part.size)
                    leaves.have(part)
                    continue
                if part.depth and part.size >= _STREAMED and part.start >= partial.found and leaves.wants_stream:
                    self._blocks.begin(part.cid)
                leaf, below = parts_of(part, self.get(part.cid))
                if leaf.data:
                    shape.spoil()
                    leaves.write(leaf.start, leaf.data)
                waiting += reversed(below)
                self.expect([each.cid for each in below if leaves.wants_block(each)])

    def _body(self, root: Part, partial: Partial) -> Bodies | None:
        """The file as one stream, if it is large and can be had so; where it cannot, its blocks may come as one."""
        if self._blocks.streams or root.size < _STREAMED:
            return None
        body = Bodies(root.cid, self._blocks.remotes, self._blocks.complaints)
        if partial.found or body.ready():
            return body
        self._blocks.begin(root.cid)
        return None


class FromFiles(Fetching):
    """Fetching whole files from a remote that knows no blocks."""

    def __init__(self, store: Store, remote: FileRemote, progress: Progress | None) -> None:
        super().__init__(store, progress)
        self._remote = remote

    def get(self, cid: str) -> bytes:
        """A checked node of a directory."""
        block = self._remote.node(cid)
        if block is None:
            raise RemoteLacks(f"{self._remote.name} does not have the directory {cid}")
        return check_block(cid, block, self._remote.name)

    def _directory(self, cid: str) -> Node | None:
        return super()._directory(cid) if self._remote.node(cid) is not None else None

    def _file(self, cid: str) -> None:
        with Partial(self.store, cid) as partial:
            resumed = partial.found
            if not self._whole(cid, partial) and not (resumed and self._again(cid, partial)):
                partial.drop()
                raise RemoteRefused(f"{self._remote.name} sent a file as {cid} that is not what this CID names")
            partial.keep(self.store, cid)

    def _again(self, cid: str, partial: Partial) -> bool:
        """Whether it is good without what was found: another remote may have sent that."""
        partial.restart()
        return self._whole(cid, partial)

    def _whole(self, cid: str, partial: Partial) -> bool:
        hasher = Hasher(self.store.context.profile)
        for start, size in partial.pieces():
            hasher.update(partial.read(start, size))
        partial.size = at = partial.found
        for piece in self._remote.stream(cid, at):
            hasher.update(piece)
            partial.write(at, piece)
            at += len(piece)
            self._came(len(piece))
        return hasher.finish().cid == cid or check(partial.path, cid).ok


def _odd(cid: str) -> str:
    known = ", ".join(profile.name for profile in PROFILES)
    return (
        f"{cid} is cut into blocks as no profile does that Stargazer knows ({known}), so a store could not check it "
        "later: read it through cid://, or add a copy of it, which will have another CID"
    )
