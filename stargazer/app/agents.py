"""The MCP server at ``/mcp`` of the app: made when an agent first asks, for most people never do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import PlainTextResponse

from stargazer.mcp.admission import Admission, verb_of
from stargazer.mcp.token import verifier

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from stargazer.mcp.http import HttpApp
    from stargazer.store import Store

__all__ = ["Agents"]


class Agents:
    """Answers agents, who show a token of their own.

    Parameters
    ----------
    store
        On which they work.
    root
        Folder of the notebooks that they may read and write, where the settings name no other.
    """

    def __init__(self, store: Store, root: Path) -> None:
        self.store, self.root = store, root
        self._app: ASGIApp | None = None
        self._admission: Admission | None = None
        self._lock, self._ended = asyncio.Lock(), asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; one that would be refused is refused here, before seconds of modules are loaded for it."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        if self._app is None and (refusal := await self._refused(scope, receive)):
            await refusal(scope, receive, send)
            return
        app = await self._ready()
        await app(scope, receive, send)

    async def _refused(self, scope: Scope, receive: Receive) -> Response | None:
        request = Request(scope, receive)
        self._admission = self._admission or Admission(verifier(None))
        if any(verb_of(scope)):  # nobody can have been given the address of a file yet
            missing = PlainTextResponse("there is nothing at this address\n", 404)
            return self._admission.stranger(request) or missing
        return self._admission.stranger(request) or await self._admission.unknown(request)

    async def _ready(self) -> ASGIApp:
        async with self._lock:
            if self._app is None:
                ready: asyncio.Future[ASGIApp] = asyncio.get_running_loop().create_future()
                self._running = asyncio.create_task(self._run(ready))
                self._app = await ready
            return self._app

    async def _run(self, ready: asyncio.Future[ASGIApp]) -> None:
        """Keep the server for as long as the app lasts; its scopes are entered and left by one task."""
        try:
            made = await asyncio.to_thread(_made, self.store, self.root)
            async with made.lifespan():
                ready.set_result(made)
                await self._ended.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def stop(self) -> None:
        """End it, and the runs that it started."""
        self._ended.set()
        if self._running is not None:
            await self._running


def _made(store: Store, root: Path) -> HttpApp:
    from stargazer.mcp.http import http_app

    return http_app(store, folder=root)
