"""What a CID names, from remotes into a store: whole, checked, and continued where it was left off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.cid import parse
from stargazer.errors import RemoteError
from stargazer.remotes.blocks import Blocks, Complaints
from stargazer.remotes.protocol import BlockRemote, FileRemote
from stargazer.remotes.walk import resolve
from stargazer.remotes.walking import FromBlocks, FromFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stargazer.remotes.protocol import Progress, Remote
    from stargazer.remotes.walking import Fetching
    from stargazer.store import Store

__all__ = ["fetch_into", "grouped"]


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
