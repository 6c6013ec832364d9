"""At the client: the store is served to workers that do not see it."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Any

from stargazer.relay.scheduler import OFFER, Placement, RelayScheduler
from stargazer.relay.server import RelayServer
from stargazer.relay.worker import Mode

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from distributed import Client

    from stargazer.relay.protocol import Comm

__all__ = ["serve"]

OFFERED = 2
"""Connections that wait at a scheduler elsewhere; each that is taken is replaced."""

AGAIN = 2.0
"""Seconds after which a lost connection is made again."""

NOTED_WITHIN = 10.0
"""Seconds in which a scheduler answers an offer."""

_served: weakref.WeakSet[Any] = weakref.WeakSet()


def serve(client: Client, mode: str = "auto") -> None:
    """Answer workers that do not see the store of their calls, as long as the client lives.

    Where the scheduler runs in this process, or sees the store, it answers; else this process does, through it.

    Parameters
    ----------
    client
        A synchronous client. Told a second time, nothing happens.
    mode
        ``"auto"``: those that do not see it. ``"served"``: all. ``"shared"``: none, which is an error there.
    """
    from distributed import Scheduler

    if client in _served:
        return
    for plugin in (RelayScheduler(), Placement()):
        client.register_plugin(plugin)
    if mode != "auto":
        client.register_plugin(Mode(mode))
    _served.add(client)
    if not isinstance(getattr(client.cluster, "scheduler", None), Scheduler):  # some clusters keep it on another host
        client.sync(_offer, client)


async def _offer(client: Client) -> None:
    """Begin to offer; no call is sent before the scheduler knows."""
    home, noted = RelayServer(), asyncio.Event()
    weakref.finalize(client, home.close)
    _begin(_offered(client, home, noted))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(noted.wait(), NOTED_WITHIN)


async def _offered(client: Client, home: RelayServer, noted: asyncio.Event) -> None:
    try:
        await asyncio.gather(*(_wait_for_workers(client, home, noted) for _ in range(OFFERED)))
    finally:
        home.close()


_tasks: set[asyncio.Task[None]] = set()


def _begin(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _wait_for_workers(client: Any, home: RelayServer, noted: asyncio.Event) -> None:
    """Let a connection wait at the scheduler; when a worker takes it, let another wait in its place."""
    while client.status in ("running", "connecting"):
        with contextlib.suppress(OSError, TimeoutError):
            await _wait_for_worker(client, home, noted)
            continue
        await asyncio.sleep(AGAIN)


async def _wait_for_worker(client: Any, home: RelayServer, noted: asyncio.Event) -> None:
    from distributed.comm.core import connect

    comm: Comm = await connect(client.scheduler.address, **client.connection_args)
    try:
        await comm.write({"op": OFFER, "client": client.id})
        await comm.read()
        noted.set()
        asked = await comm.read()
        if not await home.sees(**asked):
            await comm.write({"home": False})
            return
    except BaseException:
        comm.abort()
        raise
    _begin(_answer(comm, home, asked["url"]))


async def _answer(comm: Comm, home: RelayServer, url: str) -> None:
    try:
        await home.serve(comm, url)
    finally:
        comm.abort()
