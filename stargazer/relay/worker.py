"""On a worker: the store of a call, seen or served."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import uuid
from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin

from stargazer.errors import StoreError, StoreUnseen
from stargazer.relay.connection import Connection
from stargazer.relay.scheduler import FILES, WORTH
from stargazer.relay.server import sees
from stargazer.relay.store import RelayBlobs, relay_store
from stargazer.store import Store
from stargazer.store.blobs.cached import CachedBlobs
from stargazer.store.staging import members
from stargazer.store.store import stand_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.assets import Asset
    from stargazer.relay.protocol import Comm

__all__ = ["MODE", "Mode", "note_files", "reach", "written"]

MODE = "stargazer_store"
"""Attribute of a Dask worker: ``"shared"``, ``"served"`` or ``"auto"``."""

MOST_FILES = 1000
"""Files of a directory that are looked at."""

_reached: set[tuple[str, str]] = set()
_reaching = threading.Lock()


def reach(worker: Any, url: str, identifier: str) -> None:
    """Make ``Store.open(url)`` on this worker the store that a call was made with.

    Parameters
    ----------
    worker
        The Dask worker.
    url, identifier
        Of the store, as the client sees it.

    Raises
    ------
    StoreUnseen
        It cannot be seen from here, and nobody serves it.
    """
    if (url, identifier) in _reached:
        return
    with _reaching:
        if (url, identifier) not in _reached:
            _reach(worker, url, identifier)
            _reached.add((url, identifier))


def written(worker: Any, url: str, identifier: str) -> tuple[bool, str]:
    """Write something small into the store, as a task would: whether it is served, and the CID.

    Parameters
    ----------
    worker, url, identifier
        As for `reach`.
    """
    reach(worker, url, identifier)
    store = Store.open(url)
    cid = store.blobs.put_bytes(f"written by a worker: {uuid.uuid4().hex}\n".encode())
    return isinstance(store.blobs, RelayBlobs), cid


class Mode(WorkerPlugin):
    """Tells workers whether they share the store, or are served whether they see it or not.

    Parameters
    ----------
    mode
        ``"shared"`` or ``"served"``.
    """

    name = "stargazer-store"

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def setup(self, worker: Any) -> None:
        """Note it."""
        setattr(worker, MODE, self.mode)


def note_files(worker: Any, key: Any, url: str, assets: Iterable[Asset]) -> None:
    """Let the scheduler know which files of a store lie on this worker now, if they had to be brought there.

    Parameters
    ----------
    worker, key
        The Dask worker, and the key of the task that it ran.
    url
        Of the store.
    assets
        Inputs and outputs of the task.
    """
    store = Store.open(url)
    task = worker.state.tasks.get(key)
    if task is None or not isinstance(store.blobs, CachedBlobs):
        return
    cids = {str(member.cid) for asset in assets for member in members(asset)}
    sizes = {cid: _size(store, cid) for cid in cids}
    lie = task.metadata.setdefault(FILES, {})  # a task may be several calls
    lie.update({cid: size for cid, size in sizes.items() if size >= WORTH})


def _size(store: Store, cid: str) -> int:
    """Bytes of a file or directory that lie on this host."""
    with contextlib.suppress(OSError):
        return os.stat(store.blobs.file(cid)).st_size
    try:
        if not store.dirs.load_nodes([cid]):
            return 0
        files = (child for _, child in store.walk(cid) if child is not None)
        return sum(os.stat(store.blobs.file(child)).st_size for child in itertools.islice(files, MOST_FILES))
    except (OSError, StoreError):
        return 0


def _reach(worker: Any, url: str, identifier: str) -> None:
    mode = "auto" if worker.address.startswith("inproc:") else getattr(worker, MODE, "auto")
    if mode != "served" and sees(url, identifier):
        return
    if mode == "shared":
        raise StoreUnseen(f"this worker does not see {url}, though the profile says `store: shared`")
    line = Connection(url, identifier, _dial(worker), worker.loop.asyncio_loop)
    if not line.is_answered():
        raise StoreUnseen(
            f"this worker does not see {url}, and nobody serves it: connect with sg.connect, or use sg.run; the client "
            "must be there while calls run"
        )
    store = relay_store(line)
    if isinstance(store.blobs, CachedBlobs):
        store.blobs.cache.tidy()  # what killed workers left on this host a week ago
    stand_in(url, store)


def _dial(worker: Any) -> Any:
    async def dial() -> Comm:
        from distributed.comm.core import connect

        comm: Comm = await connect(worker.scheduler.address, **worker.connection_args)
        return comm

    return dial
