"""CIDs of directories on disk: scan, name the files, then the directories from the leaves up."""

from __future__ import annotations

import errno
import os
import stat
from posixpath import join

from stargazer.cid.cid import Value
from stargazer.cid.directory import Entry, directory_node
from stargazer.cid.unixfs import KUBO, file_node, refuse_special
from stargazer.errors import CIDError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from stargazer.cid.unixfs import CIDProfile, FileNode, Progress, StrPath

    Symlinks = Literal["refuse", "follow"]

__all__ = ["Tree", "cid_of_path", "cid_of_tree", "is_tree"]

# Files from this size on (bytes) are hashed by all threads together, smaller ones in groups by a thread each.
LARGE = 16 * 1024 * 1024
GROUP = 16
BATCH = 64 * GROUP


class Tree(Value):
    """A directory on disk and all below it.

    Parameters
    ----------
    cid
        CID of the directory.
    size
        Length of all files, in bytes.
    tsize
        Length of all blocks, in bytes: the Tsize of a link to it.
    files
        Each file by its path below the directory, with ``/`` between components.
    blocks
        Each directory node (and shard) by its CID.
    """

    __match_args__ = ("cid", "size", "tsize", "files", "blocks")
    __slots__ = __match_args__
    cid: str
    size: int
    tsize: int
    files: dict[str, FileNode]
    blocks: dict[str, bytes]

    def __init__(self, cid: str, size: int, tsize: int, files: dict[str, FileNode], blocks: dict[str, bytes]) -> None:
        self._set(cid, size, tsize, files, blocks)


class _Directory:
    """A scanned directory: its path on disk and below the root, and what is in it."""

    def __init__(self, path: str, below: str, chain: tuple[tuple[int, int], ...]) -> None:
        self.path, self.below, self.chain = path, below, chain
        self.files: dict[str, int] = {}
        self.directories: list[str] = []


def cid_of_path(
    path: StrPath,
    profile: CIDProfile = KUBO,
    threads: int = 1,
    symlinks: Symlinks = "refuse",
    progress: Progress | None = None,
) -> str:
    """Name a file or a directory.

    Parameters
    ----------
    path
        What to name.
    profile, threads, symlinks, progress
        As for `cid_of_tree`.

    Returns
    -------
    str
        Its CID.

    Raises
    ------
    CIDError, OSError
        As `cid_of_file` and `cid_of_tree` do.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/
    """
    if is_tree(path, symlinks):
        return cid_of_tree(path, profile, threads, symlinks, progress).cid
    return file_node(path, profile, threads=threads, progress=progress).cid


def is_tree(path: StrPath, symlinks: Symlinks = "refuse") -> bool:
    """Tell a directory from a file; `CIDError` for special files, and for symlinks unless they are followed."""
    mode = _status(os.fsdecode(path), symlinks).st_mode
    if not stat.S_ISDIR(mode):
        refuse_special(path, mode)
    return stat.S_ISDIR(mode)


def cid_of_tree(
    path: StrPath,
    profile: CIDProfile = KUBO,
    threads: int = 1,
    symlinks: Symlinks = "refuse",
    progress: Progress | None = None,
) -> Tree:
    """Name a directory and everything in it, hidden files included.

    Parameters
    ----------
    path
        The directory.
    profile
        Decides chunk size, tree shape and from which size on directories are sharded.
    threads
        How many threads read and hash; the CID does not depend on it.
    symlinks
        ``"refuse"``: a symlink is an error; ``"follow"``: it stands for what it points at, and a loop is an error.
    progress
        Called with the number of bytes just hashed.

    Returns
    -------
    Tree
        What ``ipfs add -r --hidden --cid-version=1`` gives for the default profile, with all names on the way.

    Raises
    ------
    CIDError
        If it holds a symlink, a special file or a name that is not UTF-8, or a file changed while it was read.
    OSError
        If something cannot be read.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/
    """
    scanned = list(_scan(os.fsdecode(path), symlinks))
    files = dict(sorted(_files(scanned, profile, threads, progress), key=lambda item: item[0]))
    blocks: dict[str, bytes] = {}
    roots: dict[str, Entry] = {}
    for directory in reversed(scanned):
        entries = [roots.pop(join(directory.below, name)) for name in directory.directories]
        for name in directory.files:
            node = files[join(directory.below, name)]
            entries.append(Entry(name, node.cid, node.dag_size))
        root = directory_node(entries, profile)
        blocks.update(root.blocks)
        roots[directory.below] = Entry(os.path.basename(directory.below), root.cid, root.tsize)
    return Tree(roots[""].cid, sum(node.size for node in files.values()), roots[""].size, files, blocks)


def _scan(root: str, symlinks: Symlinks) -> Iterator[_Directory]:
    """Yield every directory before those in it."""
    waiting = [_Directory(root, "", _chain((), root, _status(root, symlinks), symlinks))]
    while waiting:
        directory = waiting.pop()
        with os.scandir(directory.path) as entries:
            for entry in entries:
                status = _status(entry.path, symlinks)
                name = _name(entry)
                if stat.S_ISDIR(status.st_mode):
                    directory.directories.append(name)
                    chain = _chain(directory.chain, entry.path, status, symlinks)
                    waiting.append(_Directory(entry.path, join(directory.below, name), chain))
                else:
                    refuse_special(entry.path, status.st_mode)
                    directory.files[name] = status.st_size
        yield directory


def _name(entry: os.DirEntry[str]) -> str:
    try:
        return os.fsencode(entry.name).decode()
    except UnicodeDecodeError:
        raise CIDError(f"the name of {entry.path!r} is not UTF-8, and names in a CID are; rename it") from None


def _status(path: str, symlinks: Symlinks) -> os.stat_result:
    status = os.lstat(path)
    if not stat.S_ISLNK(status.st_mode):
        return status
    if symlinks != "follow":
        raise CIDError(
            f"{path!r} is a symlink to {os.readlink(path)!r}: copy what it points at, or ask to follow symlinks"
        )
    try:
        return os.stat(path)
    except OSError as error:
        why = "runs in a loop" if error.errno == errno.ELOOP else "points at nothing that can be read"
        raise CIDError(f"the symlink {path!r} to {os.readlink(path)!r} {why}: mend it or remove it") from error


def _chain(
    above: tuple[tuple[int, int], ...], path: str, status: os.stat_result, symlinks: Symlinks
) -> tuple[tuple[int, int], ...]:
    if symlinks != "follow":
        return ()
    here = (status.st_dev, status.st_ino)
    if here in above:
        raise CIDError(f"{path!r} leads back to a directory above it: a symlink runs in a loop; remove it")
    return (*above, here)


def _files(
    scanned: list[_Directory], profile: CIDProfile, threads: int, progress: Progress | None
) -> Iterator[tuple[str, FileNode]]:
    found = [(join(d.below, name), os.path.join(d.path, name), size) for d in scanned for name, size in d.files.items()]
    apart = threads == 1
    for below, path, size in found:
        if apart or size >= LARGE:
            yield below, file_node(path, profile, threads=threads, progress=progress)
    small = [] if apart else [(below, path) for below, path, size in found if size < LARGE]
    if small:
        yield from _small_files(small, profile, threads, progress)


def _small_files(
    small: list[tuple[str, str]], profile: CIDProfile, threads: int, progress: Progress | None
) -> Iterator[tuple[str, FileNode]]:
    from concurrent.futures import ThreadPoolExecutor

    def name(group: list[tuple[str, str]]) -> list[tuple[str, FileNode]]:
        return [(below, file_node(path, profile)) for below, path in group]

    with ThreadPoolExecutor(threads, "stargazer-cid") as pool:
        for start in range(0, len(small), BATCH):
            batch = small[start : start + BATCH]
            for named in pool.map(name, [batch[at : at + GROUP] for at in range(0, len(batch), GROUP)]):
                if progress:
                    progress(sum(node.size for _, node in named))
                yield from named
