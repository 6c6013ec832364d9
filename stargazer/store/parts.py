"""What a store is put together from, for each place where one may lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stargazer import config, plugins
from stargazer.store.assets import Assets
from stargazer.store.backends.local import LocalBackend
from stargazer.store.blobs.local import LocalBlobs
from stargazer.store.context import StoreContext, check_url, local_path
from stargazer.store.directories import Directories
from stargazer.store.index import Index
from stargazer.store.records import StoredRecords

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.assets.asset import Source
    from stargazer.store.backends.base import TransferBackend
    from stargazer.store.blobs.base import Blobs
    from stargazer.store.records import Records

    MakeSource = Callable[[str, str | None], Source]

__all__ = ["Parts", "parts_at", "parts_of"]


@dataclass(frozen=True)
class Parts:
    """What a store is put together from, each given what it needs of the others.

    Parameters
    ----------
    context
        Where it is, its header, this host's cache of it.
    blobs
        Files by CID.
    dirs
        Directories, and the files in them.
    index
        Answers questions about all records.
    assets
        Asset records.
    records
        Ledger records and the keys that lead to them.
    """

    context: StoreContext
    blobs: Blobs
    dirs: Directories
    index: Index
    assets: Assets
    records: Records


def parts_of(context: StoreContext, blobs: Blobs, source: MakeSource) -> Parts:
    """Put the parts of a store together.

    Parameters
    ----------
    context
        The first of them.
    blobs
        How its files are had on this host.
    source
        Makes what a handle gets its bytes from, of the store's URL and the id of a ledger record.
    """
    dirs, index = Directories(context, blobs), Index(context)
    assets = Assets(context, dirs, index, source)
    return Parts(context, blobs, dirs, index, assets, StoredRecords(context, index, dirs, assets))


def parts_at(url: str, source: MakeSource, profile: str | None = None, durable: bool | None = None) -> Parts:
    """The parts of the store at a path or URL.

    Parameters
    ----------
    url, profile, durable
        As for `Store`.
    source
        As for `parts_of`.
    """
    check_url(url)
    durable = config.durable() if durable is None else durable
    path = local_path(url)
    if path is not None:
        local = LocalBackend(path, durable)
        context = StoreContext(local, profile=profile, durable=durable)
        return parts_of(context, LocalBlobs(context, local), source)
    from stargazer.store.blobs.objects import ObjectBlobs

    remote = _backend_at(url)
    context = StoreContext(remote, profile=profile, durable=durable)
    return parts_of(context, ObjectBlobs(context, remote), source)


def _backend_at(url: str) -> TransferBackend:
    """The backend for a URL: one that an installed package offers for its scheme, or else fsspec's."""
    made: TransferBackend
    if (make := plugins.find(plugins.BACKENDS, url.partition("://")[0])) is not None:
        made = make(url)
        return made
    from stargazer.store.backends.objects import ObjectBackend

    return ObjectBackend(url)
