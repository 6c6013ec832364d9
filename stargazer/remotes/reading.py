"""Reading a file where it is, a few blocks at a time, each checked."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from stargazer.cid import check, read_directory
from stargazer.cid.dagpb import DIRECTORY, SHARD
from stargazer.errors import RemoteError, RemoteLacks, RemoteRefused
from stargazer.remotes.blocks import Blocks, Complaints, check_block
from stargazer.remotes.fetching import grouped
from stargazer.remotes.protocol import BlockRemote, FileRemote
from stargazer.remotes.ranges import RemoteFile
from stargazer.remotes.walk import is_raw, node_of, resolve, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stargazer.cid import Entry
    from stargazer.remotes.protocol import Remote

    Get = Callable[[str], bytes]

__all__ = ["View", "first_view", "open_remote"]

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
        return read_directory(self.get(cid), self.get)

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
