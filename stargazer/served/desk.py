"""At the scheduler: where workers that do not see the store ask for it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from distributed import SchedulerPlugin

from stargazer.served.home import Home
from stargazer.served.messages import HOME

if TYPE_CHECKING:
    from stargazer.served.messages import Comm

__all__ = ["OFFER", "Desk"]

OFFER = "stargazer-offer"
"""Name of the handler by which clients offer to answer, where the scheduler sees no store."""

PATIENCE = 10.0
"""Seconds in which a client answers, or has another connection to wait here."""


class Desk(SchedulerPlugin):
    """Answers workers where the scheduler's process sees their store, and passes the others on to clients that do.

    Clients dial in, since a cluster cannot call a laptop: each leaves some connections here to wait.
    """

    name = "stargazer-desk"
    idempotent = True

    async def start(self, scheduler: Any) -> None:
        """Take calls."""
        self.home = Home()
        self._waiting: dict[str, list[Comm]] = {}
        scheduler.handlers[HOME] = self._called
        scheduler.handlers[OFFER] = self._offered

    async def close(self) -> None:
        """The scheduler ends."""
        self.home.close()
        for comm in [comm for comms in self._waiting.values() for comm in comms]:
            comm.abort()

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Hang up on a client that is gone."""
        for comm in self._waiting.pop(client, ()):
            comm.abort()

    async def _called(self, comm: Comm, url: str, identifier: str) -> Any:
        """Serve a worker, or pass it on."""
        from distributed.core import Status

        with contextlib.suppress(OSError):
            if await self.home.sees(url, identifier):
                await self.home.serve(comm, url)
            elif (other := await self._passed_on(url, identifier)) is not None:
                await comm.write({"home": True})
                await _join(comm, other)
            else:
                await comm.write({"home": False})
        comm.abort()
        return Status.dont_reply

    async def _offered(self, comm: Comm, client: str) -> Any:
        """Let a client's connection wait for a worker."""
        from distributed.core import Status

        await comm.write({"noted": True})
        self._waiting.setdefault(client, []).append(comm)
        while not comm.closed():
            await asyncio.sleep(_LOOKS)
        return Status.dont_reply

    async def _passed_on(self, url: str, identifier: str) -> Comm | None:
        """A connection to a client that sees the store; one whose connections are all taken soon has others."""
        refused: set[str] = set()
        for _ in range(int(PATIENCE / _PAUSE)):
            for client in self._waiting.keys() - refused:
                while self._waiting.get(client):
                    comm = self._waiting[client].pop()
                    with contextlib.suppress(OSError):
                        if await _agrees(comm, url, identifier):
                            return comm
                        refused.add(client)
                        break
            if self._waiting.keys() <= refused:
                break
            await asyncio.sleep(_PAUSE)
        return None


_LOOKS = 1.0
_PAUSE = 0.05


async def _agrees(comm: Comm, url: str, identifier: str) -> bool:
    """Whether the client at the other end sees a store; hangs up if it does not, or does not answer."""
    agrees = False
    try:
        await comm.write({"url": url, "identifier": identifier})
        agrees = bool((await asyncio.wait_for(comm.read(), PATIENCE)).get("home"))
    finally:
        if not agrees:
            comm.abort()
    return agrees


async def _join(one: Comm, other: Comm) -> None:
    """Pass messages on both ways, one at a time each, until an end hangs up."""
    ways = [asyncio.create_task(_pump(one, other)), asyncio.create_task(_pump(other, one))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        one.abort()
        other.abort()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pump(source: Comm, target: Comm) -> None:
    while True:
        await target.write(await source.read())
