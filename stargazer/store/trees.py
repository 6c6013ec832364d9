"""Directories: their files become blobs, their nodes are kept as the blocks that IPFS would have."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stargazer.errors import BlobLost, CIDError
from stargazer.store import layout
from stargazer.store.blobs import Stored
from stargazer.store.reading import Reading, is_node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.cid import Entry, Profile
    from stargazer.cid.files import Progress

__all__ = ["Trees", "dag_size"]

Part = tuple[int, int]


class Trees(Reading):
    """The part of a store that takes directories in."""

    def put_path(
        self,
        path: str | os.PathLike[str],
        *,
        move: bool = False,
        link: bool = True,
        follow: bool = False,
        progress: Progress | None = None,
    ) -> Stored:
        """Keep the bytes of a file, or of every file below a directory, hidden ones too.

        Parameters
        ----------
        path
            File or directory.
        move
            Take the files themselves, on the store's file system.
        link
            Leave a link in the place of a file that was moved. In directories they are always left: a link in the
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
        _ = self.header
        name = os.fspath(path)
        if os.path.isdir(name):
            return self._put_tree(name, move, follow, (), progress)
        return self.blobs.take(name, move=move, link=link, progress=progress)

    def put_bytes(self, data: bytes) -> str:
        """Keep a few bytes, such as a log; their CID."""
        return self.blobs.put_bytes(data)

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
        _ = self.header
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
        node = directory_node(entries, self.profile)
        self.backend.create_many({layout.tree(cid): block for cid, block in node.blocks.items()})
        return Stored(node.cid, sum(each.size for each in stored), node.tsize)

    def _check_link(self, child: os.DirEntry[str], follow: bool) -> None:
        if follow or not child.is_symlink():
            return
        if not os.readlink(child.path).startswith(f"{self.blobs.root}/"):
            message = f"{child.path} is a symbolic link, which has no CID of its own"
            raise CIDError(f"{message}: remove it, or put what it points to in its place")


def _identity(path: str, above: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    found = os.stat(path)
    here = (found.st_dev, found.st_ino)
    if here in above:
        raise CIDError(f"{path} links to a directory that it lies in: it has no end; remove the link")
    return here


def _entry(name: str, stored: Stored) -> Entry:
    from stargazer.cid import Entry

    return Entry(name, stored.cid, stored.dag_size)


def dag_size(size: int, profile: Profile) -> int:
    """Bytes of all blocks of a file (its Tsize), from its length alone.

    Parameters
    ----------
    size
        Length of the file, in bytes.
    profile
        How it is cut into blocks.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/, balanced layout.
    """
    count, rest = divmod(size, profile.chunk)
    full: Part = (profile.chunk, profile.chunk)
    last = [(rest, rest)] if rest or not count else []
    while count + len(last) > 1:
        groups, left = divmod(count, profile.max_links)
        tail = [full] * left + last
        if groups:
            full = _parent([full] * profile.max_links)
        count, last = groups, [_parent(tail)] if tail else []
    return (last or [full])[0][1]


def _parent(parts: list[Part]) -> Part:
    from stargazer.cid.dagpb import encode, file_data

    block = encode([(bytes(36), b"", tsize) for _, tsize in parts], file_data([length for length, _ in parts]))
    return sum(length for length, _ in parts), len(block) + sum(tsize for _, tsize in parts)
