"""A home behind a real socket, and lines to it that can be spoilt."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import dask.config
from distributed.comm.core import connect
from distributed.core import Server, Status

from stargazer.relay.connection import Connection
from stargazer.relay.protocol import HOME
from stargazer.relay.server import RelayServer
from stargazer.relay.store import relay_store
from stargazer.store import Store

Spoil = Callable[[Any], Any]


class Spoilt:
    """A connection whose messages pass through a function; what that raises breaks the connection."""

    def __init__(self, comm: Any, reading: Spoil, writing: Spoil) -> None:
        self._comm, self._reading, self._writing = comm, reading, writing

    async def read(self) -> Any:
        return self._through(self._reading, await self._comm.read())

    async def write(self, message: Any) -> Any:
        return await self._comm.write(self._through(self._writing, message))

    def _through(self, spoil: Spoil, message: Any) -> Any:
        try:
            return spoil(message)
        except OSError:
            self._comm.abort()
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._comm, name)


def as_it_is(message: Any) -> Any:
    return message


class House:
    """A home in a thread of its own."""

    def __init__(self, store: Store, cache: Path) -> None:
        self.store, self.cache = store, cache
        self.loop = asyncio.new_event_loop()
        self.read: Spoil = as_it_is
        self.written: Spoil = as_it_is
        self.dialled = 0
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.server = self.run(self._start())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    async def _start(self) -> Server:
        self.home = RelayServer()
        server = Server({HOME: self._called})
        await server.listen("tcp://127.0.0.1:0")
        return server

    async def _called(self, comm: Any, url: str, identifier: str) -> Any:
        if await self.home.sees(url, identifier):
            await self.home.serve(comm, url)
        else:
            await comm.write({"home": False})
        return Status.dont_reply

    async def _dial(self) -> Any:
        self.dialled += 1
        return Spoilt(await connect(self.server.address), lambda m: self.read(m), lambda m: self.written(m))

    def line(self) -> Connection:
        return Connection(self.store.url, self.store.id, self._dial, self.loop)

    def worker(self) -> Store:
        """The store as a worker has it that does not see it."""
        with dask.config.set({"stargazer.cache": str(self.cache)}):
            served = relay_store(self.line())
            assert served.context.cache.is_relative_to(self.cache)
        return served

    def close(self) -> None:
        async def stop() -> None:
            await self.server.close()
            self.home.close()

        self.run(stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
