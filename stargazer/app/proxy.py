"""Requests and sockets of a notebook's page, passed on to its process."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import httpcore
import websockets
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.websockets import WebSocketDisconnect, WebSocketState
from websockets.asyncio.client import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

    from stargazer.app.access import Access
    from stargazer.app.kernels import Kernel, Kernels

__all__ = ["Proxy"]

HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade",
}  # fmt: skip
"""Headers that are about one connection, and not about what is sent over it."""

WIDER = {"service-worker-allowed"}
"""Headers with which a notebook's page would come to stand before pages that are not its own."""

OURS = {"host", "authorization", "origin", "cookie", "x-stargazer", "x-stargazer-proxy", "x-stargazer-user"}
SOCKET = "sec-websocket-"
BODILESS = ("GET", "HEAD", "OPTIONS")
"""Methods of requests that are sent on without a body."""


BROKEN = httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException
READ = 1 << 20
"""Bytes that are read at once at most: httpcore's 64 KiB cut in pieces, and copy, what the system gave in one."""


class _Network(httpcore.AnyIOBackend):
    """Connections of which as much is read as there is."""

    async def connect_tcp(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await super().connect_tcp(*args, **options))


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self.write, self.aclose = inner.write, inner.aclose  # type: ignore[method-assign]
        self.get_extra_info = inner.get_extra_info  # type: ignore[method-assign]

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max(max_bytes, READ), timeout)


class Proxy:
    """Passes on what pages of notebooks ask for.

    Parameters
    ----------
    kernels
        The open notebooks.
    access
        Whose cookies notebooks must not see.
    """

    def __init__(self, kernels: Kernels, access: Access) -> None:
        self.kernels, self.access = kernels, access
        self.connections = httpcore.AsyncConnectionPool(
            max_connections=None, max_keepalive_connections=64, keepalive_expiry=5.0, network_backend=_Network()
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self.connections.aclose()

    async def http(self, request: Request) -> Response:
        """Answer a request by the notebook's process, as the answer comes in."""
        kernel = self._kernel(request.path_params)
        if kernel is None:
            return PlainTextResponse("this notebook is not open; open it from the home page\n", 404)
        try:
            answer = await self.connections.handle_async_request(self._asked(request, kernel))
        except ClientDisconnect:  # nobody reads this answer
            return PlainTextResponse("the connection broke\n", 400)
        except httpcore.LocalProtocolError:
            return PlainTextResponse("no notebook has such an address\n", 400)
        except BROKEN as error:
            return PlainTextResponse(f"the notebook's process does not answer: {type(error).__name__}\n", 502)
        passed = StreamingResponse(_chunks(answer, kernel), answer.status)
        told = [(name.lower(), value) for name, value in answer.headers]
        named = {each.strip().lower() for name, value in told if name == b"connection" for each in value.split(b",")}
        dropped = {name.encode() for name in HOP | WIDER} | named
        passed.raw_headers = [(name, value) for name, value in told if name not in dropped]
        return passed

    def _asked(self, request: Request, kernel: Kernel) -> httpcore.Request:
        """The request for the notebook's process; headers byte by byte as they came, for one may be no ASCII."""
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._headers(request, kernel)]
        body = None if request.method in BODILESS else request.stream()
        if body is not None and not any(name == b"content-length" for name, _ in headers):
            headers.append((b"transfer-encoding", b"chunked"))
        url = httpcore.URL(scheme=b"http", host=b"127.0.0.1", port=kernel.port, target=_raw_path(request))
        return httpcore.Request(request.method, url, headers=headers, content=body)

    async def socket(self, socket: WebSocket) -> None:
        """Join a socket of the page with one of the notebook's process."""
        kernel = self._kernel(socket.path_params)
        if kernel is None:
            await socket.close(4404)
            return
        url = f"ws://127.0.0.1:{kernel.port}{_raw_path(socket).decode('ascii', 'replace')}"
        headers = [each for each in self._headers(socket, kernel) if not each[0].startswith((SOCKET, "host", "origin"))]
        wanted: Any = socket.scope.get("subprotocols") or None
        try:
            async with connect(
                url, additional_headers=headers, subprotocols=wanted, max_size=None, compression=None, proxy=None,
                origin=f"http://127.0.0.1:{kernel.port}",  # type: ignore[arg-type]
            ) as upstream:  # fmt: skip
                await socket.accept(upstream.subprotocol)
                await self._joined(socket, upstream, kernel)
        except (OSError, websockets.WebSocketException):
            if socket.client_state is not WebSocketState.DISCONNECTED:
                with contextlib.suppress(RuntimeError):
                    await socket.close(1011)

    async def _joined(self, socket: WebSocket, upstream: Any, kernel: Kernel) -> None:
        kernel.viewers += 1
        directions = [asyncio.create_task(_up(socket, upstream)), asyncio.create_task(_down(socket, upstream))]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            kernel.viewers -= 1
            for each in directions:
                each.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
        if socket.client_state is WebSocketState.CONNECTED:
            code = upstream.close_code
            with contextlib.suppress(RuntimeError):
                await socket.close(code if code and code not in (1005, 1006, 1015) else 1011)

    def _kernel(self, params: dict[str, Any]) -> Kernel | None:
        found = self.kernels.find(params["section"], params["name"])
        return found if found is not None and found.mode == params["mode"] and found.state == "ready" else None

    def _headers(self, request: Request | WebSocket, kernel: Kernel) -> list[tuple[str, str]]:
        """All that the browser sent, as often as it did, without what is between it and us."""
        named = {name.strip().lower() for name in request.headers.get("connection", "").split(",")}
        if request.scope.get("method") in BODILESS or "transfer-encoding" in request.headers:
            named.add("content-length")  # nothing of that length is sent on
        found = [each for each in request.headers.items() if each[0] not in HOP | OURS | named]
        cookies = self._cookies(request.headers.getlist("cookie"))
        found += [("cookie", cookies)] if cookies else []
        found += [("origin", f"http://127.0.0.1:{kernel.port}")] if "origin" in request.headers else []
        return [*found, ("host", f"127.0.0.1:{kernel.port}"), ("authorization", kernel.authorization)]

    def _cookies(self, lines: Iterable[str]) -> str:
        ours = (self.access.cookie_name("app"), self.access.cookie_name("notebooks"))
        each = (part.strip() for line in lines for part in line.split(";"))
        return "; ".join(part for part in each if part and part.partition("=")[0] not in ours)


def _raw_path(request: Request | WebSocket) -> bytes:
    """Path and query as they were sent, with every parameter as often as it was given."""
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    return path.partition(b"?")[0] + (b"?" + query if query else b"")


async def _chunks(answer: httpcore.Response, kernel: Kernel) -> AsyncIterator[bytes]:
    # Who downloads for long looks at it.
    kernel.viewers += 1
    try:
        async for chunk in answer.aiter_stream():
            yield chunk
    finally:
        kernel.viewers -= 1
        await answer.aclose()


async def _up(socket: WebSocket, upstream: Any) -> None:
    with contextlib.suppress(WebSocketDisconnect, websockets.ConnectionClosed):
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            await upstream.send(text if text is not None else message["bytes"])


async def _down(socket: WebSocket, upstream: Any) -> None:
    with contextlib.suppress(websockets.ConnectionClosed, WebSocketDisconnect, RuntimeError):
        async for message in upstream:
            await (socket.send_text(message) if isinstance(message, str) else socket.send_bytes(message))
