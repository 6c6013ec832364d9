"""Whole assets to and from remotes: the file, its companions, and what is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.errors import NotFound
from stargazer.remotes.fetching import fetch_into
from stargazer.store.staging import members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stargazer.assets import Asset
    from stargazer.remotes.protocol import Progress, Remote
    from stargazer.store import Store

__all__ = ["fetch_asset", "push"]


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
