"""Where something is, and keeping a remote in step with the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stargazer.cid.parts import is_raw, node_of
from stargazer.errors import RemoteError, StoreError, StoreFull, StoreReadOnly
from stargazer.remotes.base import BlockRemote
from stargazer.remotes.blocks import check_block
from stargazer.remotes.push import push
from stargazer.store.staging import members

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stargazer.assets import Asset
    from stargazer.remotes.base import Progress, Remote
    from stargazer.store import Store

__all__ = ["Mirrored", "Place", "mirror", "where"]


class Place(NamedTuple):
    """What a place says of a CID.

    Parameters
    ----------
    name, kind
        Of the place.
    has
        Whether it has it; None where it could not be asked.
    pinned
        Whether it keeps it; None where that is not known.
    size
        Bytes of the file, or of a directory's files together, where they are told: remotes know no directory's, and the
        store knows those of what it has.
    told
        ``checked``: its root block came and is what the CID names; ``believed``: it says so; or what went wrong.
    """

    name: str
    kind: str
    has: bool | None
    pinned: bool | None
    size: int | None
    told: str


def where(cid: str, store: Store, remotes: Sequence[Remote]) -> list[Place]:
    """Ask the store and each remote for a CID; nothing is fetched but a root block."""
    own = store.has(cid)
    places = [Place(store.url, "store", own, None, _size(cid, store) if own else None, "believed" if own else "")]
    return places + [_asked(cid, remote) for remote in remotes]


def _size(cid: str, store: Store) -> int | None:
    if not store.is_directory(cid):
        return store.size(cid)
    sizes = [store.size(file) for _, file in store.walk(cid) if file is not None]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _asked(cid: str, remote: Remote) -> Place:
    try:
        return _told(cid, remote)
    except RemoteError as error:
        return Place(remote.name, remote.kind, None, None, None, str(error))


def _told(cid: str, remote: Remote) -> Place:
    if not remote.has(cid):
        return Place(remote.name, remote.kind, False, None, None, "")
    pinned, size = remote.is_pinned(cid), remote.size(cid)
    if not isinstance(remote, BlockRemote):
        return Place(remote.name, remote.kind, True, pinned, size, "believed")
    block = check_block(cid, remote.block(cid), remote.name)
    size = len(block) if is_raw(cid) else node_of(cid, block).filesize
    return Place(remote.name, remote.kind, True, pinned, size or None, "checked")


class Mirrored(NamedTuple):
    """What a remote has of a store now.

    Parameters
    ----------
    sent
        CIDs that it lacked, or had lost, and has now.
    there
        Those that it had.
    failed
        Those that it could not be sent, and why.
    """

    sent: tuple[str, ...]
    there: tuple[str, ...]
    failed: dict[str, str]


def mirror(store: Store, assets: Iterable[Asset], remote: Remote, progress: Progress | None = None) -> Mirrored:
    """Send what a remote lacks of some assets and their companions, and go on where something cannot be sent.

    Parameters
    ----------
    store
        Where they are.
    assets
        Stored assets.
    remote
        Where to.
    progress
        Called with the number of bytes that were just sent.
    """
    sent: list[str] = []
    there: list[str] = []
    failed: dict[str, str] = {}
    for asset in assets:
        cids = [str(member.cid) for member in members(asset)]
        try:
            lacking = [cid for cid in cids if not remote.keeps(cid)]
            if lacking:
                push(store, asset, remote, progress)
            else:
                remote.describe(asset)
            sent += lacking
            there += [cid for cid in cids if cid not in lacking]
        except (StoreFull, StoreReadOnly):
            raise
        except (RemoteError, StoreError) as error:
            failed[str(asset.cid)] = str(error)
    done = dict.fromkeys(sent)
    return Mirrored(tuple(done), tuple(cid for cid in dict.fromkeys(there) if cid not in done), failed)
