"""Reading a file where it is, a few blocks at a time, each checked."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from stargazer.cid import check
from stargazer.cid.dagpb import DIRECTORY, SHARD
from stargazer.cid.directory import read_entries
from stargazer.cid.parts import Part, is_raw, node_of, parts_of, size_of
from stargazer.errors import RemoteError, RemoteLacks, RemoteRefused
from stargazer.remotes.base import BlockRemote, FileRemote
from stargazer.remotes.blocks import Blocks, Complaints, RemoteWarning, check_block
from stargazer.remotes.dag import resolve
from stargazer.remotes.fetch import grouped
from stargazer.store.directories import warn_of_odd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stargazer.cid import Entry
    from stargazer.remotes.base import Remote

    Get = Callable[[str], bytes]

__all__ = ["RemoteFile", "View", "first_view", "open_remote"]

_BUFFER = 1 << 16


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
    """What remotes that give blocks show: any range of a file costs the blocks that it lies in."""

    def __init__(self, remotes: list[BlockRemote], complaints: Complaints) -> None:
        self._remotes, self._complaints = remotes, complaints
        self._nodes: dict[str, bytes] = {}
        super().__init__(self._block)

    def _block(self, cid: str) -> bytes:
        if cid not in self._nodes:
            with Blocks(self._remotes, self._complaints) as blocks:
                self._nodes[cid] = blocks.get(cid)
        return self._nodes[cid]

    def open(self, cid: str) -> BinaryIO:
        """A file that is read block by block."""
        file = RemoteFile(cid, Blocks(self._remotes, self._complaints), self._nodes)
        return cast("BinaryIO", io.BufferedReader(file, _BUFFER))


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
        view = BlockView(blocks, complaints) if blocks else FileView(cast("FileRemote", group[0]))
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
    """A file that is read from remotes, block by block.

    Parameters
    ----------
    cid
        Of the file.
    blocks
        Where its blocks come from; closed with the file.
    nodes
        Blocks that are known already, and nodes as they come.
    """

    def __init__(self, cid: str, blocks: Blocks, nodes: dict[str, bytes]) -> None:
        super().__init__()
        self.cid, self._blocks, self._nodes = cid, blocks, nodes
        self._at, self._ahead, self._last = 0, 0, -1
        self.size = size_of(cid, self._get(cid))

    def _get(self, cid: str) -> bytes:
        if cid in self._nodes:
            return self._nodes[cid]
        block = self._blocks.get(cid)
        if not is_raw(cid):
            self._nodes[cid] = block
        return block

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
        start, data = self._leaf(self._at)
        piece = data[self._at - start : self._at - start + len(view)]
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _leaf(self, at: int) -> tuple[int, bytes]:
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
