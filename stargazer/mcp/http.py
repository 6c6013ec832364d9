"""The server over HTTP, alone or mounted in another app: who may ask, from where, and how much."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from stargazer.errors import ArgumentError
from stargazer.mcp.admission import LOOPBACK, Admission, verb_of
from stargazer.mcp.place import Place
from stargazer.mcp.server import PATIENCE, make_server
from stargazer.mcp.token import verifier
from stargazer.mcp.transfers import Transfers
from stargazer.service.serving import open_port
from stargazer.store import Store, active_store

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["LOOPBACK", "HttpApp", "http_app", "serve_http"]

LARGEST_MESSAGE = 4 << 20
GRACE = 3


class HttpApp:
    """The server as an ASGI app; made by `http_app`.

    It answers at its root, and at ``/mcp`` where it stands alone. Mounted, its lifespan is entered by the app around
    it: ``async with app.lifespan():``.

    Parameters
    ----------
    place
        What it works on.
    verify
        Says whether a bearer token is right.
    hosts
        Names under which it may be reached, with any port.
    """

    def __init__(self, place: Place, verify: Callable[[str], Any], hosts: Iterable[str]) -> None:
        self.place, self._admission = place, Admission(verify, hosts)
        self.server = make_server(place)
        # Host and Origin are checked here, for files too.
        unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        self._starlette = self.server.streamable_http_app(
            streamable_http_path="/", transport_security=unchecked, max_request_body_size=LARGEST_MESSAGE
        )
        self._mcp: ASGIApp = self.server.session_manager.asgi_app

    @contextlib.asynccontextmanager
    async def lifespan(self, _: object = None) -> AsyncIterator[None]:
        """Run it; at the end its runs and their tools end. It can be entered once."""
        async with self.server.session_manager.run():
            try:
                yield
            finally:
                await to_thread.run_sync(self.place.flights.end_all, PATIENCE)
                await to_thread.run_sync(self.place.flights.close)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._alone(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    async def _alone(self, receive: Receive, send: Send) -> None:
        """The lifespan of an app that is not mounted."""
        await receive()
        try:
            async with self.lifespan():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        verb, secret = verb_of(scope)
        if refusal := self._admission.stranger(request):
            await refusal(scope, receive, send)
        elif verb in ("upload", "download") and secret and self.place.transfers is not None:
            transfers = self.place.transfers
            answer = await (transfers.receive if verb == "upload" else transfers.send)(request, secret)
            await answer(scope, receive, send)
        elif verb:
            await PlainTextResponse("there is nothing at this address\n", 404)(scope, receive, send)
        elif refusal := await self._admission.unknown(request):
            await refusal(scope, receive, send)
        else:
            await self._mcp(scope, receive, send)


def http_app(
    store: Store | str | None = None,
    token: str | Callable[[str], Any] | None = None,
    *,
    hosts: Iterable[str] = LOOPBACK,
    on: str | None = None,
    folder: Path | None = None,
) -> HttpApp:
    """Return the MCP server as an ASGI app, to be served or mounted.

    Parameters
    ----------
    store
        A store or its URL; the active one by default.
    token
        The bearer token that is asked for, or a function, perhaps a coroutine function, that says whether one is right.
        By default that of the settings, else this user's own, made at the first start.
    hosts
        Names under which it may be reached: of the Host and Origin of each request.
    on
        Profile on which runs take place; threads of this process by default.
    folder
        Of notebooks, where the settings name none; that in which this process was started by default.

    Examples
    --------
    >>> app = http_app(token="kept elsewhere")
    >>> async def lifespan(_):
    ...     async with app.lifespan():
    ...         yield
    >>> routes = [Route("/mcp", app), Mount("/mcp", app)]  # doctest: +SKIP
    """
    opened = store if isinstance(store, Store) else Store.open(store) if store else active_store()
    return HttpApp(Place(opened, Transfers(opened), on, folder), verifier(token), hosts)


def serve_http(
    store: Store | str | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    on: str | None = None,
    ready: Callable[[str], object] = lambda url: None,
) -> None:
    """Serve over HTTP until somebody stops it.

    Parameters
    ----------
    store, on
        As for `http_app`.
    host, port
        Where to listen; any free port by default.
    ready
        Called with the address when it is known.

    Raises
    ------
    ArgumentError
        Nobody can listen there.
    """
    import uvicorn

    app = http_app(store, hosts=(*LOOPBACK, f"[{host}]".lower() if ":" in host else host.lower()), on=on)
    shown = f"[{host}]" if ":" in host else host
    with listening_at(host, port) as listening:
        ready(f"http://{shown}:{listening.getsockname()[1]}/mcp")
        options = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE, server_header=False
        )
        uvicorn.Server(options).run(sockets=[listening])


def listening_at(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises
    ------
    ArgumentError
        Nobody can listen there.
    """
    try:
        return open_port(host, port)
    except OSError as error:
        raise ArgumentError(f"nothing can listen at {host}:{port}: {error.strerror}") from error
