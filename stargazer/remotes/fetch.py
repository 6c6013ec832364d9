"""What a CID names, from remotes into a store: whole, checked, and continued where it was left off."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stargazer.cid import Hasher, address, check
from stargazer.cid.cid import is_read, text_of
from stargazer.cid.dagpb import DIRECTORY, FILE, SHARD, SYMLINK, decode
from stargazer.cid.directory import Odd, read_entries, width
from stargazer.cid.parts import Part, inline_of, is_raw, node_of, parts_of, size_of
from stargazer.cid.shape import Drawing, draw_version_0
from stargazer.errors import CIDError, RemoteError, RemoteLacks, RemoteRefused
from stargazer.remotes.base import MOST_BLOCK, MOST_NESTED, BlockRemote, FileRemote
from stargazer.remotes.blocks import Blocks, Complaints, RemoteWarning, check_block
from stargazer.remotes.dag import resolve
from stargazer.remotes.streams import Bodies, Leaves, Partial, Shape
from stargazer.store.directories import RAW, warn_of_odd
from stargazer.store.shapes import keep_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from stargazer.cid.dagpb import Node
    from stargazer.remotes.base import Piece, Progress, Remote
    from stargazer.store import Store

__all__ = ["Fetching", "FromBlocks", "FromFiles", "fetch_into", "grouped"]


def fetch_into(store: Store, path: str, remotes: Sequence[Remote], progress: Progress | None = None) -> str:
    """Have a file or directory in a store.

    Parameters
    ----------
    store
        Where it shall be.
    path
        Its CID, or ``<cid>/x/y`` for what lies in a directory; as a URL too.
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
    cid, *rest = address(path).split("/", 1)
    if not rest and store.has(cid):
        return cid
    complaints = Complaints()
    for group in [[], *grouped(remotes)] if inline_of(cid) is not None else grouped(remotes):
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
    if group and isinstance(group[0], FileRemote):
        return FromFiles(store, group[0], progress)
    blocks = Blocks([remote for remote in group if isinstance(remote, BlockRemote)], complaints)
    return FromBlocks(store, blocks, progress)


# Directories and files from remotes into a store, node by node.


_STREAMED = 4 << 20
_MOST_NODES = 64 << 20


class Fetching:
    """Directories are walked depth first; their nodes are stored when all that lies below them is.

    What lies in many directories is had once: the work is one of blocks, not of paths.
    """

    def __init__(self, store: Store, progress: Progress | None) -> None:
        self.store, self._progress = store, progress
        self._had: set[str] = set()
        self._symlinks: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def get(self, cid: str) -> bytes:
        """A checked node."""
        raise NotImplementedError

    def expect(self, cids: list[str]) -> None:
        """Say what will be wanted next."""

    def have(self, cid: str) -> None:
        """Have a file or directory in the store."""
        self._have(cid, 0)

    def _have(self, cid: str, nested: int) -> None:
        if self._has(cid):
            return
        node = None if is_raw(cid) else self._node(cid)
        if node is None or node.kind not in (DIRECTORY, SHARD):
            self._have_file(cid, node, nested)
        elif nested == MOST_NESTED:
            raise CIDError(f"{cid} lies {nested} directories deep, which is the most")
        else:
            nodes: dict[str, bytes] = {}
            self._entries(cid, node, nodes, nested, 0)
            warn_of_odd(cid, [*self._links(nodes), *read_entries(nodes[cid], nodes.__getitem__)[1]], RemoteWarning)
            self.store.dirs.put_nodes(nodes)
        self._had.add(cid)

    def _has(self, cid: str) -> bool:
        if cid not in self._had and self.store.has(cid):
            self._had.add(cid)
        return cid in self._had

    def _have_file(self, cid: str, node: Node | None, nested: int) -> None:
        if node is None or node.kind != SYMLINK:
            self._file(cid)
            return
        if not nested:
            target = node.data.decode("utf-8", "backslashreplace")
            raise CIDError(f"{cid} is a symbolic link to {target!r}, with no bytes of its own: fetch what it leads to")
        self._symlinks.add(cid)
        self.store.dirs.put_nodes({cid: self.get(cid)})

    def _entries(self, cid: str, node: Node, nodes: dict[str, bytes], nested: int, depth: int) -> None:
        """Have what a node of a directory links to, its shards too, then note the node."""
        wide = width(node) if node.kind == SHARD else -1
        readable = {text_of(link): len(name) == wide for link, name, _ in node.links if is_read(link)}
        self.expect([child for child, shard in readable.items() if shard or not self._has(child)])
        for child, shard in readable.items():
            if not shard:
                self._have(child, nested + 1)
            elif child not in nodes:
                below = node_of(child, self.get(child))
                if below.kind != SHARD or depth > 64:
                    raise CIDError(f"a shard of a directory leads to {child}, which is no shard or lies too deep")
                self._entries(child, below, nodes, nested, depth + 1)
        nodes[cid] = self.get(cid)

    def _links(self, nodes: Mapping[str, bytes]) -> list[Odd]:
        """The entries of a directory that are symbolic links, as far as they came now."""
        found = (link for block in nodes.values() for link in decode(block).links) if self._symlinks else ()
        links = [name for cid, name, _ in found if is_read(cid) and text_of(cid) in self._symlinks]
        return [Odd(name.decode("utf-8", "backslashreplace"), "it is a symbolic link") for name in links]

    def _node(self, cid: str) -> Node | None:
        """What a CID that is not raw names; None for a file of somebody who knows no nodes of files."""
        return node_of(cid, self.get(cid))

    def _file(self, cid: str) -> None:
        raise NotImplementedError

    def _came(self, size: int) -> None:
        if self._progress and size:
            self._progress(size)


class FromBlocks(Fetching):
    """Fetching block by block."""

    def __init__(self, store: Store, blocks: Blocks, progress: Progress | None) -> None:
        super().__init__(store, progress)
        self._blocks, self._nodes, self._held = blocks, dict[str, bytes](), 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._blocks.__exit__(kind, error, trace)

    def get(self, cid: str) -> bytes:
        """A checked block; nodes are remembered."""
        if cid in self._nodes:
            return self._nodes[cid]
        block = self._blocks.get(cid)
        if not is_raw(cid):
            self._held += len(block)
            if self._held > _MOST_NODES:
                self._nodes.clear()
                self._held = len(block)
            self._nodes[cid] = block
        return block

    def expect(self, cids: list[str]) -> None:
        """Have blocks asked for ahead."""
        self._blocks.expect(cids)

    def have(self, cid: str) -> None:
        """Have a file or directory in the store, in one stream if that can be had."""
        if not is_raw(cid) and not self._blocks.streams and not self._is_large_file(cid):
            self._blocks.begin(cid)
        super().have(cid)

    def _is_large_file(self, cid: str) -> bool:
        """Whether it is a file that had better come as it is; its root is asked for by itself."""
        node = node_of(cid, self.get(cid))
        return node.kind == FILE and node.filesize >= _STREAMED

    def _file(self, cid: str) -> None:
        block = self.get(cid)
        if cid.startswith(RAW) and len(block) <= self.store.context.profile.chunk:
            self.store.blobs.put_bytes(block)
            self._came(len(block))
            return
        size = size_of(cid, block)
        with Partial(self.store, cid, size) as partial:
            shape, drawing = Shape(), Drawing()
            self._parts(Part(cid, 0, size, 0), partial, shape, drawing)
            if not (is_raw(cid) or shape.fits(cid)):
                keep_shape(self.store.backend, cid, drawing.finish())
            partial.keep(self.store, cid)

    def _parts(self, root: Part, partial: Partial, shape: Shape, drawing: Drawing) -> None:
        """Have a file's leaves written, in order; what comes again in it is copied."""
        with Leaves(partial, self._blocks, self._body(root, partial), self._came) as leaves:
            waiting, seen = [root], dict[str, int]()
            while waiting:
                part = waiting.pop()
                if part.size and is_raw(part.cid):
                    shape.add(part.cid, part.size)
                    leaves.have(part)
                    continue
                if part.cid in seen:
                    self._again(part, seen[part.cid], partial, leaves, shape)
                    continue
                seen[part.cid] = part.start
                if part.depth and part.size >= _STREAMED and part.start >= partial.found and leaves.wants_stream:
                    self._blocks.begin(part.cid)
                below = self._part(part, shape, drawing, leaves)
                waiting += reversed(below)
                self.expect([each.cid for each in below if each.cid not in seen and leaves.wants_block(each)])

    def _part(self, part: Part, shape: Shape, drawing: Drawing, leaves: Leaves) -> list[Part]:
        """Note a node, have the bytes written that lie in it, and return the parts below."""
        block = self.get(part.cid)
        leaf, below = parts_of(part, block)
        if is_raw(part.cid):
            shape.add(part.cid, part.size)
            return []
        if leaf.data or not below:
            shape.spoil()
        drawing.note(block, leaf.data)
        if leaf.data:
            leaves.have_data(leaf)
        return below

    def _again(self, part: Part, known: int, partial: Partial, leaves: Leaves, shape: Shape) -> None:
        """Have the bytes of a node written that has come before; its leaves are not counted for any profile."""
        shape.spoil()
        if part.size:
            leaves.finish()
            partial.copy(known, part.start, part.size)
            leaves.skipped(part)

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
        if (inline := inline_of(cid)) is not None:
            return inline
        block = self._remote.node(cid)
        if block is None:
            raise RemoteLacks(f"{self._remote.name} does not have the directory {cid}")
        return check_block(cid, block, self._remote.name)

    def _node(self, cid: str) -> Node | None:
        return super()._node(cid) if inline_of(cid) is not None or self._remote.node(cid) is not None else None

    def _file(self, cid: str) -> None:
        with Partial(self.store, cid, self._remote.announced(cid)) as partial:
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
        hasher, most = Hasher(self.store.context.profile), MOST_BLOCK if is_raw(cid) else math.inf
        for start, size in partial.pieces():
            hasher.update(partial.read(start, size))
        partial.size = at = partial.found
        for piece in self._pieces(cid, at):
            if at + len(piece) > most:
                return False
            hasher.update(piece)
            partial.write(at, piece)
            at += len(piece)
            self._came(len(piece))
        return hasher.finish().cid == cid or self._odd_one(cid, partial) or check(partial.path, cid).ok

    def _pieces(self, cid: str, start: int) -> Iterator[Piece]:
        inline = inline_of(cid)
        if inline is None or not is_raw(cid):
            return self._remote.stream(cid, start)
        return iter([inline[start:]])

    def _odd_one(self, cid: str, partial: Partial) -> bool:
        """Whether it is what the nodes name that the remote keeps of it, or what ``ipfs add`` made of old."""
        told = self._remote.shape(cid)
        if told is not None and told.fits(cid, partial.read, partial.size):
            keep_shape(self.store.backend, cid, told)
            return True
        found, shape = draw_version_0(partial.read, partial.size) if not is_raw(cid) else ("", None)
        if found != cid or shape is None:
            return False
        keep_shape(self.store.backend, cid, shape)
        return True
