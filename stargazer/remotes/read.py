"""Reading a file where it is, a few blocks at a time, each checked."""

from __future__ import annotations

import io
from collections import OrderedDict
from contextlib import suppress
from threading import Lock, RLock, Thread
from typing import TYPE_CHECKING, BinaryIO, cast
from weakref import WeakValueDictionary

from stargazer.cid import check
from stargazer.cid.dagpb import DIRECTORY, SHARD
from stargazer.cid.directory import read_entries
from stargazer.cid.parts import Leaf, Part, is_raw, node_of, parts_of, size_of
from stargazer.errors import CIDError, RemoteError, RemoteLacks, RemoteRefused
from stargazer.remotes.base import BlockRemote, FileRemote
from stargazer.remotes.blocks import Blocks, Complaints, RemoteWarning, check_block, check_pieces
from stargazer.remotes.dag import following, resolve
from stargazer.remotes.fetch import grouped
from stargazer.remotes.streams import Bodies
from stargazer.store.directories import RAW, is_symlink, links, warn_of_odd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stargazer.cid import Entry
    from stargazer.remotes.base import Remote

    Get = Callable[[str], bytes]

__all__ = ["RemoteFile", "View", "fetch_range", "first_view", "open_remote"]

_BUFFER = 1 << 16
_STREAMED = 4 << 20
_MOST_NODES = 64 << 20
_MOST_RAW = 16 << 20
_MOST_SIZES = 1 << 20
_NEIGHBOURS = 8


class View:
    """Files and directories as remotes show them; everything is checked.

    Parameters
    ----------
    get
        Gives checked blocks, or checked nodes of directories.
    """

    def __init__(self, get: Get) -> None:
        self.get = get

    def resolve(self, path: str) -> str:
        """CID of what lies at ``<cid>/x/y``; `NotFound` if there is no such name."""
        return resolve(path, self.get)

    def is_directory(self, cid: str) -> bool:
        """Whether a CID names a directory; `RemoteLacks` if nobody has it."""
        block = self.get(cid)
        return not is_raw(cid) and node_of(cid, block).kind in (DIRECTORY, SHARD)

    def is_symlink(self, cid: str) -> bool:
        """Whether a CID names a symbolic link."""
        return False

    def prefetch(self, cids: Sequence[str]) -> None:
        """Have blocks ready that will be asked for, several at once."""

    def entries(self, cid: str) -> list[Entry]:
        """What lies in a directory, in order of name."""
        entries, odd = read_entries(self.get(cid), self.get)
        warn_of_odd(cid, odd, RemoteWarning)
        return entries

    def size(self, cid: str) -> int:
        """Bytes of a file."""
        return size_of(cid, self.get(cid))

    def open(self, cid: str) -> BinaryIO:
        """A file, for reading at any place."""
        raise NotImplementedError


class BlockView(View):
    """What remotes that give blocks show: any range of a file costs the blocks that it lies in.

    Nodes and sizes are remembered, and some of the blocks that came last.
    """

    def __init__(self, remotes: list[BlockRemote], complaints: Complaints) -> None:
        self._remotes, self._complaints = remotes, complaints
        self._known = Known()
        super().__init__(self._block)

    def afresh(self, complaints: Complaints) -> BlockView:
        """The same view, with what it remembers, for somebody who notes failures of their own."""
        other = BlockView(self._remotes, complaints)
        other._known = self._known
        return other

    def _block(self, cid: str) -> bytes:
        with self._known.alone(cid):  # many threads open files of one directory at once
            block = self._known.get(cid)
            if block is None:
                with Blocks(self._remotes, self._complaints) as blocks:
                    block = self._known.keep(cid, blocks.get(cid))
            return block

    def resolve(self, path: str) -> str:
        """CID of what lies at ``<cid>/x/y``; for who goes from neighbour to neighbour the next ones are asked ahead."""
        above = ""

        def get(cid: str) -> bytes:
            nonlocal above
            if above and self._known.get(cid) is None and self._known.entered(above):
                self._ask_ahead(above, cid)
            above = cid
            return self._block(cid)

        return resolve(path, get)

    def _ask_ahead(self, directory: str, cid: str) -> None:
        """Ask for the nodes that follow one in a directory; nobody waits for them but who wants one of them."""
        block = self._known.get(directory)
        for each in following(node_of(directory, block), cid, _NEIGHBOURS) if block else ():
            if self._known.claim(each):
                Thread(
                    target=self.afresh(Complaints())._ready, args=(each,), name="stargazer-ahead", daemon=True
                ).start()

    def _ready(self, cid: str) -> None:
        with suppress(RemoteError, CIDError):  # whoever wants it asks once more, and is told
            self._block(cid)

    def prefetch(self, cids: Sequence[str]) -> None:
        """Have blocks ready that will be asked for, several at once; of raw ones their sizes at least."""
        wanted = [cid for cid in dict.fromkeys(cids) if cid not in self._known.sizes and self._known.get(cid) is None]
        if len(wanted) < 2:
            return
        with Blocks(self._remotes, self._complaints) as blocks:
            blocks.expect(wanted)
            for cid in wanted:
                self._known.keep(cid, blocks.get(cid))

    def entries(self, cid: str) -> list[Entry]:
        """What lies in a directory, in order of name; its shards come several at once."""
        level = [cid]
        while level:
            self.prefetch(level)
            blocks = {each: self.get(each) for each in level}
            level = [child for block in blocks.values() for child in links(block, shards_only=True)]
            level = [child for child in dict.fromkeys(level) if child not in blocks and self._known.get(child) is None]
        return super().entries(cid)

    def is_directory(self, cid: str) -> bool:
        """Whether a CID names a directory; of what a directory links to as raw bytes that is known."""
        return False if is_raw(cid) and cid in self._known.sizes else super().is_directory(cid)

    def is_symlink(self, cid: str) -> bool:
        """Whether a CID names a symbolic link."""
        return not is_raw(cid) and is_symlink(self.get(cid))

    def size(self, cid: str) -> int:
        """Bytes of a file."""
        known = self._known.sizes.get(cid)
        return size_of(cid, self.get(cid)) if known is None else known

    def open(self, cid: str) -> BinaryIO:
        """A file that is read block by block."""
        file = RemoteFile(cid, Blocks(self._remotes, self._complaints), self._known)
        return cast("BinaryIO", io.BufferedReader(file, _BUFFER))


class Known:
    """Checked blocks that came: nodes, some of the last raw ones, and the sizes of all of these."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self._nodes = _Recent(_MOST_NODES)
        self._raw = _Recent(_MOST_RAW)
        self._locks: WeakValueDictionary[str, RLock] = WeakValueDictionary()
        self._guard = Lock()
        self._entered: set[str] = set()
        self._claimed: set[str] = set()

    def alone(self, cid: str) -> RLock:
        """What lets one thread at a time ask for a block, and others ask for others; it lives while somebody has it."""
        with self._guard:
            return self._locks.setdefault(cid, RLock())

    def entered(self, directory: str) -> bool:
        """Whether somebody has gone on from a directory before; that somebody does now is noted."""
        return not self._first(self._entered, directory)

    def claim(self, cid: str) -> bool:
        """Whether a block is neither known nor being asked ahead; then it is the caller who asks."""
        return self.get(cid) is None and self._first(self._claimed, cid)

    def _first(self, seen: set[str], cid: str) -> bool:
        with self.alone(cid):
            if cid in seen:
                return False
            if len(seen) > _MOST_SIZES:
                seen.clear()
            seen.add(cid)
            return True

    def get(self, cid: str) -> bytes | None:
        """A block, if it is remembered."""
        return self._raw.get(cid) if cid.startswith(RAW) else self._nodes.get(cid)

    def keep(self, cid: str, block: bytes) -> bytes:
        """Remember a block."""
        if cid.startswith(RAW):
            self._raw.keep(cid, block)
            if len(self.sizes) > _MOST_SIZES:
                self.sizes.clear()
            self.sizes[cid] = len(block)
        else:
            self._nodes.keep(cid, block)
        return block


class _Recent:
    """Blocks up to so many bytes, those that were used longest ago go first."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._blocks: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, cid: str) -> bytes | None:
        with self._lock:
            if cid in self._blocks:
                self._blocks.move_to_end(cid)
            return self._blocks.get(cid)

    def keep(self, cid: str, block: bytes) -> None:
        with self._lock:
            if cid not in self._blocks:
                self._blocks[cid] = block
                self._size += len(block)
            while self._size > self._most and len(self._blocks) > 1:
                self._size -= len(self._blocks.popitem(last=False)[1])


class FileView(View):
    """What a remote shows that gives whole files."""

    def __init__(self, remote: FileRemote) -> None:
        self._remote = remote
        super().__init__(self._node)

    def _node(self, cid: str) -> bytes:
        block = self._remote.node(cid)
        if block is None:
            raise RemoteLacks(f"{self._remote.name} has no directory {cid}")
        return check_block(cid, block, self._remote.name)

    def is_directory(self, cid: str) -> bool:
        """Whether a CID names a directory."""
        if not is_raw(cid) and self._remote.node(cid) is not None:
            return super().is_directory(cid)
        if not self._remote.has(cid):
            raise RemoteLacks(f"{self._remote.name} does not have {cid}")
        return False

    def size(self, cid: str) -> int:
        """Bytes of a file."""
        with self.open(cid) as file:
            return file.seek(0, 2)

    def open(self, cid: str) -> BinaryIO:
        """The file; one that cannot be had in ranges is downloaded to a temporary file first."""
        return self._remote.open(cid) or self._downloaded(cid)

    def _downloaded(self, cid: str) -> BinaryIO:
        import tempfile

        file = tempfile.NamedTemporaryFile("w+b", prefix="stargazer-")  # noqa: SIM115 # whoever reads it closes it
        for piece in self._remote.stream(cid):
            file.write(piece)
        file.flush()
        if not check(file.name, cid).ok:
            file.close()
            raise RemoteRefused(f"{self._remote.name} sent a file as {cid} that is not what this CID names")
        file.seek(0)
        return cast("BinaryIO", file)


_views: dict[tuple[int, ...], tuple[list[BlockRemote], BlockView]] = {}
_MOST_VIEWS = 16


def _view_of(remotes: list[BlockRemote]) -> BlockView:
    """The view of some remotes, which remembers what it has seen; failures are noted anew each time."""
    key = tuple(map(id, remotes))
    if key not in _views:
        if len(_views) >= _MOST_VIEWS:
            _views.clear()
        _views[key] = remotes, BlockView(remotes, Complaints())
    return _views[key][1]


def first_view(path: str, remotes: Sequence[Remote]) -> tuple[View, str]:
    """The first view in which a path leads to something, and the CID of that.

    Raises
    ------
    RemoteError
        There is none; the message says why, remote by remote.
    NotFound
        There is no such name in that directory.
    """
    complaints = Complaints()
    for group in grouped(remotes):
        blocks = [remote for remote in group if isinstance(remote, BlockRemote)]
        view = _view_of(blocks).afresh(complaints) if blocks else FileView(cast("FileRemote", group[0]))
        try:
            cid = view.resolve(path)
            view.is_directory(cid)
        except RemoteError as error:
            for remote in group:
                if remote.name not in complaints.last:
                    complaints.note(remote, error)
        else:
            return view, cid
    raise complaints.error(path, remotes)


def open_remote(path: str, remotes: Sequence[Remote]) -> BinaryIO:
    """Open a file where it is, for reading at any place.

    Parameters
    ----------
    path
        Its CID, or ``<cid>/x/y``.
    remotes
        Where to look, in order.

    Raises
    ------
    RemoteError, NotFound
        As for `first_view`.
    """
    view, cid = first_view(path, remotes)
    return view.open(cid)


# A file that is read where it is, a few blocks at a time.


_AHEAD = 8


class RemoteFile(io.RawIOBase):
    """A file that is read from remotes, block by block; much of it at once as one stream, where it can be had so.

    Parameters
    ----------
    cid
        Of the file.
    blocks
        Where its blocks come from; closed with the file.
    known
        Blocks that are known already, and those that come.
    """

    def __init__(self, cid: str, blocks: Blocks, known: Known) -> None:
        super().__init__()
        self.cid, self._blocks, self._known = cid, blocks, known
        self._at, self._ahead, self._last = 0, 0, -1
        self._now = Leaf(0, b"")
        self.size = size_of(cid, self._get(cid))

    def _get(self, cid: str) -> bytes:
        block = self._known.get(cid)
        return self._known.keep(cid, self._blocks.get(cid)) if block is None else block

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte is read, in bytes from the start."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go elsewhere; nothing is read."""
        at = offset + (0, self._at, self.size)[whence]
        if at < 0:
            raise ValueError(f"{at} bytes are before the start of {self.cid}")
        self._at = at
        return at

    def readinto(self, buffer: object) -> int:
        """Read what the next leaf has, at most."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if self._at >= self.size or not view:
            return 0
        if not self._now.start <= self._at < self._now.start + len(self._now.data):
            self._now = self._leaf(self._at)
        start, data = self._now
        piece = data[self._at - start : self._at - start + len(view)]
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def readall(self) -> bytes:
        """Read all that follows, each leaf once, several at once or as one stream."""
        pieces = list[bytes | memoryview]()
        body = Bodies(self.cid, self._blocks.remotes, self._blocks.complaints) if self._left() >= _STREAMED else None
        try:
            for part, held in self._parts(self._at):
                data = self._data(part, body) if held is None else held
                pieces.append(data[max(0, self._at - part.start) :] if part.start < self._at else data)
        finally:
            if body:
                body.close()
        whole = b"".join(pieces)
        self._at += len(whole)
        return whole

    def _left(self) -> int:
        return self.size - self._at

    def _data(self, part: Part, body: Bodies | None) -> bytes | memoryview:
        """Bytes of a leaf, from the stream if that has them, else as a block."""
        taken = body.take(part.start, part.size) if body else None
        if body and taken:
            remote, views = taken
            try:
                check_pieces(part.cid, views, remote.name)
                return views[0] if len(views) == 1 else b"".join(views)
            except RemoteRefused as error:
                self._blocks.complaints.note_way(remote, error)
                body.spoilt(remote)
        return parts_of(part, self._known.get(part.cid) or self._blocks.get(part.cid))[0].data

    def _parts(self, at: int) -> Iterator[tuple[Part, bytes | None]]:
        """Parts that hold bytes themselves, from the one that has a byte of the file on; with them, if it is a node."""
        waiting = [Part(self.cid, 0, self.size, 0)]
        streamed = self._left() >= _STREAMED
        while waiting:
            part = waiting.pop()
            if part.start + part.size <= at or not part.size:
                continue
            if is_raw(part.cid):
                yield part, None
                continue
            leaf, below = parts_of(part, self._get(part.cid))
            if leaf.data and leaf.start + len(leaf.data) > at:
                yield part, leaf.data
            waiting += reversed(below)
            wanted = [each.cid for each in below if each.start + each.size > at and not (streamed and is_raw(each.cid))]
            self._blocks.expect([cid for cid in wanted if self._known.get(cid) is None])

    def _leaf(self, at: int) -> Leaf:
        """The leaf, and where it starts, that has a byte of the file."""
        part, following = Part(self.cid, 0, self.size, 0), list[Part]()
        while True:
            if is_raw(part.cid):
                self._look_ahead(part, following)
            leaf, below = parts_of(part, self._get(part.cid))
            if leaf.start <= at < leaf.start + len(leaf.data):
                return leaf
            place = next(number for number, each in enumerate(below) if each.start <= at < each.start + each.size)
            part, following = below[place], below[place + 1 : place + 1 + _AHEAD]

    def _look_ahead(self, part: Part, following: list[Part]) -> None:
        """Ask ahead for what follows, for those who read on from leaf to leaf."""
        if part.start == self._last:
            return
        if self._last >= 0 and part.start > self._last:
            wanted = [each for each in following if each.start >= self._ahead and is_raw(each.cid)]
            self._blocks.expect([each.cid for each in wanted])
            self._ahead = max([self._ahead, *(each.start + each.size for each in wanted)])
        self._last = part.start

    def close(self) -> None:
        """Close the connections."""
        if not self.closed:
            self._blocks.__exit__(None, None, None)
        super().close()


def fetch_range(remote: Remote, cid: str, start: int = 0, end: int | None = None) -> bytes:
    """Return verified bytes of a file, or of a range of it, as they are from one remote alone.

    Parameters
    ----------
    remote
        Who is asked.
    cid
        Of a file; ``<cid>/x/y`` for what lies in a directory.
    start, end
        The range, in bytes; to the end of the file by default.

    Raises
    ------
    RemoteRefused
        It sent something else.
    RemoteLacks
        It does not have it.
    """
    with open_remote(cid, [remote]) as file:
        file.seek(start)
        return file.read(-1 if end is None else max(0, end - start))
