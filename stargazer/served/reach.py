"""On a worker: the store of a call, seen or served."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from stargazer.errors import StoreUnseen
from stargazer.served.home import sees
from stargazer.served.line import Line
from stargazer.served.store import ServedStore
from stargazer.store.store import stand_in

if TYPE_CHECKING:
    from stargazer.served.messages import Comm

__all__ = ["MODE", "reach"]

MODE = "stargazer_store"
"""Attribute of a Dask worker: ``"shared"``, ``"served"`` or ``"auto"``."""

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


def _reach(worker: Any, url: str, identifier: str) -> None:
    mode = getattr(worker, MODE, "auto")
    if mode != "served" and sees(url, identifier):
        return
    if mode == "shared":
        raise StoreUnseen(
            f"this worker does not see {url}, which the profile says it shares; see `store` in its options"
        )
    line = Line(url, identifier, _dial(worker), worker.loop.asyncio_loop)
    if not line.is_answered():
        raise StoreUnseen(
            f"this worker does not see {url}, and nobody serves it: connect with sg.connect, or use sg.run; the client "
            "must be there while calls run"
        )
    stand_in(url, ServedStore(line))


def _dial(worker: Any) -> Any:
    async def dial() -> Comm:
        from distributed.comm.core import connect

        comm: Comm = await connect(worker.scheduler.address, **worker.connection_args)
        return comm

    return dial
