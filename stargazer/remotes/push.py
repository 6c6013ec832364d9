"""Blocks of what a store has, in the order in which they are sent: what a node links to goes before it.

So whoever has a node has all that lies below it, and a push that was cut off goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

from stargazer.cid import PROFILES, RAW, format_cid
from stargazer.cid.unixfs import Layout
from stargazer.errors import CIDError, NotFound
from stargazer.remotes.dag import is_raw
from stargazer.remotes.fetch import fetch_into
from stargazer.store.shapes import shape_of
from stargazer.store.staging import members

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from typing import BinaryIO

    from stargazer.assets import Asset
    from stargazer.cid import CIDProfile
    from stargazer.remotes.base import Progress, Remote
    from stargazer.store import Store

    Block = tuple[str, bytes]

__all__ = ["Batch", "batches", "fetch_asset", "file_blocks", "push"]

_BATCH = 8 << 20
_WHOLE = 1 << 20


class Batch(NamedTuple):
    """Blocks that are sent at once, and how many bytes of files they bring."""

    blocks: list[Block]
    size: int


def batches(store: Store, cid: str, has: Callable[[str], bool]) -> Iterator[Batch]:
    """Everything below a CID, in batches of bounded size.

    Parameters
    ----------
    store
        Where it is.
    cid
        Of a file or a directory.
    has
        Whether the other side has a node of a file, and so all below it; asked for those above some MiB only.
    """
    waiting: list[Block] = []
    size = 0
    for block in _below(store, cid, has):
        waiting.append(block)
        size += len(block[1])
        if size >= _BATCH:
            yield Batch(waiting, sum(len(data) for name, data in waiting if is_raw(name)))
            waiting, size = [], 0
    if waiting:
        yield Batch(waiting, sum(len(data) for name, data in waiting if is_raw(name)))


def _below(store: Store, cid: str, has: Callable[[str], bool]) -> Iterator[Block]:
    if not store.is_directory(cid):
        yield from _file(store, cid, has)
        return
    nodes = _nodes(store, cid)
    for child in store.dirs.below(cid):
        if child not in nodes:
            yield from _file(store, child, has)
    for node in reversed(nodes):
        block = store.dirs.node(node)
        if block is None:
            raise CIDError(f"the directory {node} of {store.url} is torn: run fsck, then add it again")
        yield node, block


def _nodes(store: Store, cid: str) -> dict[str, None]:
    """Nodes of directories and their shards, each before those below it."""
    from stargazer.store.directories import links

    found: dict[str, None] = {}
    level = [cid]
    while level:
        for each in level:
            found.pop(each, None)  # one that lies in several directories goes before all of them
            found[each] = None
        blocks = (store.dirs.node(each) for each in level)
        below = dict.fromkeys(child for block in blocks if block for child in links(block))
        level = [child for child in below if store.is_directory(child)]
    return found


def _file(store: Store, cid: str, has: Callable[[str], bool]) -> Iterator[Block]:
    size = store.size(cid)
    if size is not None and size > _WHOLE and has(cid):
        return
    shape = shape_of(store.backend, cid)
    with store.dirs.open(cid) as file:
        if shape is None:
            yield from file_blocks(file, cid, store.context.profile, has)
        else:
            yield from shape.blocks(cid, lambda start, size: os.pread(file.fileno(), size, start), file.seek(0, 2))


def file_blocks(file: BinaryIO, cid: str, first: CIDProfile, has: Callable[[str], bool]) -> Iterator[Block]:
    """Blocks of a file, leaves before their nodes; groups of leaves that the other side has are left out.

    Raises
    ------
    CIDError
        The file is cut into blocks as no profile that Stargazer knows does it.
    """
    if is_raw(cid):
        yield cid, file.read()
        return
    for profile in dict.fromkeys((first, *PROFILES)):
        file.seek(0)
        if (yield from _cut(file, profile, has)) == cid:
            return
    raise CIDError(f"{cid} is cut into blocks as no profile does that Stargazer knows; it cannot be sent as blocks")


def _cut(file: BinaryIO, profile: CIDProfile, has: Callable[[str], bool]) -> Generator[Block, None, str]:
    """Blocks of a file under one profile; returns its CID."""
    made: list[Block] = []
    leaves: list[tuple[str, int]] = []
    layout = Layout(profile, lambda cid, block: made.append((cid, block)))
    start = 0
    while data := file.read(profile.chunk):
        digest = hashlib.sha256(data).digest()
        leaves.append((format_cid(RAW, digest), len(data)))
        layout.add(digest, len(data))
        if made:
            yield from _group(file, start, leaves, made, has)
            start = file.tell()
    root = layout.finish()
    yield from _group(file, start, leaves, made, has)
    return root.cid


def _group(
    file: BinaryIO, start: int, leaves: list[tuple[str, int]], made: list[Block], has: Callable[[str], bool]
) -> Iterator[Block]:
    """Leaves, read once more since a node may have more of them than memory, and the nodes that they complete."""
    end = file.tell()
    known = bool(leaves and made) and has(made[0][0])
    file.seek(start)
    for cid, size in [] if known else leaves:
        yield cid, file.read(size)
    file.seek(end)
    yield from made
    leaves.clear()
    made.clear()


# Whole assets to and from remotes: the file, its companions, and what is known of them.


def fetch_asset(store: Store, asset: Asset, remotes: Sequence[Remote], progress: Progress | None = None) -> Asset:
    """Have an asset and its companions in a store.

    Parameters
    ----------
    store
        Where they shall be.
    asset
        A stored asset: it and its companions have CIDs.
    remotes
        Where to look for what the store does not have.
    progress
        Called with the number of bytes that just came.

    Returns
    -------
    Asset
        A handle of that store, which answers to `assemble` now.

    Raises
    ------
    RemoteError
        No remote gives some of it; then nothing of it is known to the store.
    """
    for member in members(asset):
        if member.cid is None:
            raise NotFound(f"{member} is a draft: it has no CID by which it could be fetched")
        fetch_into(store, member.cid, remotes, progress)
    return store.put(asset)


def push(store: Store, asset: Asset, remote: Remote, progress: Progress | None = None) -> None:
    """Send an asset of a store and its companions to a remote, under the CIDs that they have.

    Parameters
    ----------
    store
        Where they are.
    asset
        A stored asset.
    remote
        Where to.
    progress
        Called with the number of bytes that were just sent.

    Raises
    ------
    NotFound
        The store does not have some of it.
    RemoteError
        The remote failed, or gave it another CID.
    """
    if absent := [member for member in members(asset) if member.cid is None or not store.has(member.cid)]:
        raise NotFound(f"{store.url} does not have {absent[0]!r}, which was to be sent to {remote.name}")
    for member in members(asset):
        remote.push(str(member.cid), store, progress, asset=member)
    remote.describe(asset)
