"""The proxy, before a server of which every byte is known."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn
import websockets
from apps import PATIENCE, until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.sync.client import connect

from stargazer.app import make_app
from stargazer.app.access import Access
from stargazer.store import Store

BASE = "/nb/workspace/x/run"
PIECE = bytes(range(256)) * 4096


async def echo(request: Request) -> JSONResponse:
    answer = JSONResponse(
        {
            "query": request.url.query, "path": request.scope["raw_path"].decode(), "method": request.method,
            "headers": [[name, value] for name, value in request.headers.items()],
            "body": hashlib.sha256(await request.body()).hexdigest(),
        }
    )  # fmt: skip
    answer.raw_headers += [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2; Path=/"), (b"connection", b"x-hop")]
    answer.raw_headers += [(b"x-hop", b"1"), (b"x-kept", b"2"), (b"service-worker-allowed", b"/")]
    return answer


async def large(request: Request) -> StreamingResponse:
    async def pieces() -> Any:
        for _ in range(64):
            yield PIECE

    return StreamingResponse(pieces())


async def slow(request: Request) -> StreamingResponse:
    async def pieces() -> Any:
        yield b"first"
        await request.app.state.gate.wait()
        yield b"second"

    return StreamingResponse(pieces())


async def release(request: Request) -> PlainTextResponse:
    request.app.state.gate.set()
    return PlainTextResponse("")


async def sockets(socket: WebSocket) -> None:
    await socket.accept("chat" if "chat" in socket.scope["subprotocols"] else None)
    await socket.send_json({"query": socket.url.query, "cookie": socket.headers.get("cookie", "")})
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") == "close":
                await socket.close(4001)
                return
            if message.get("text") is not None:
                await socket.send_text(message["text"])
            else:
                await socket.send_bytes(message["bytes"])


@contextlib.contextmanager
def served(app: Any) -> Iterator[int]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            app, log_level="warning", ws="websockets-sansio", ws_max_size=1 << 30, timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        until(lambda: server.started)
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        listening.close()


@pytest.fixture
def proxied(tmp_path: Path, store: Store) -> Iterator[tuple[str, dict[str, str], Any]]:
    routes = [
        Route(f"{BASE}/large", large), Route(f"{BASE}/slow", slow), Route(f"{BASE}/release", release),
        WebSocketRoute(f"{BASE}/ws", sockets), Route(f"{BASE}/{{rest:path}}", echo, methods=["GET", "POST", "PUT"]),
    ]  # fmt: skip
    upstream = Starlette(routes=routes)
    upstream.state.gate = asyncio.Event()
    access = Access("token")
    app = make_app(tmp_path, access, store, folder=tmp_path)
    with served(upstream) as behind, served(app) as port:
        kernel = SimpleNamespace(
            port=behind, mode="run", state="ready", authorization="Basic x", viewers=0, base=BASE, stop=lambda: None,
            look=lambda idle: None,
        )  # fmt: skip
        app.state.desk.kernels._open["workspace", "x"] = kernel
        cookie = f"{access.cookie_name('notebooks')}={access.cookie_value('notebooks')}; other=1; other=2"
        yield f"localhost:{port}{BASE}", {"Cookie": cookie}, kernel


def test_requests_arrive_as_they_were_sent(proxied: tuple[str, dict[str, str], Any]) -> None:
    url, headers, _ = proxied
    path = f"http://{url}/a%2Fb/%C3%A9?x=1&x=2&y=%20"
    answer = httpx.put(path, headers=headers, content=PIECE, timeout=PATIENCE)
    told = answer.json()
    assert (told["query"], told["path"], told["method"]) == ("x=1&x=2&y=%20", f"{BASE}/a%2Fb/%C3%A9", "PUT")
    assert told["body"] == hashlib.sha256(PIECE).hexdigest()
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2; Path=/"]
    assert answer.headers["x-kept"] == "2"
    assert "x-hop" not in answer.headers
    assert "service-worker-allowed" not in answer.headers, "its scripts stand before its own pages alone"
    sent = dict(told["headers"])
    assert sent["cookie"] == "other=1; other=2", "the app's cookies are nobody else's"
    assert sent["authorization"] == "Basic x"


ODD = {
    "a header that is no ASCII": (b"GET", b"X-Odd: \xe9\xff\r\n", 200),
    "a body where none belongs": (b"GET", b"Content-Length: 2\r\n\r\n{}", 200),
    "two lengths": (b"PUT", b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200),
    "our secrets told to be dropped": (b"GET", b"Connection: authorization, host\r\n", 200),
    "a long header": (b"GET", b"X-Long: " + b"x" * 30_000 + b"\r\n", 200),
}


def test_odd_requests_are_passed_on(proxied: tuple[str, dict[str, str], Any]) -> None:
    url, headers, _ = proxied
    port = int(url.split(":")[1].split("/")[0])
    for name, (method, rest, status) in ODD.items():
        head = f" {BASE}/a HTTP/1.1\r\nHost: localhost:{port}\r\nCookie: {headers['Cookie']}\r\n".encode()
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw:
            raw.sendall(method + head + rest + (b"" if b"\r\n\r\n" in rest else b"\r\n"))
            assert int(raw.recv(1 << 16).split()[1]) == status, name


def test_a_request_gets_no_headers_that_nobody_sent(proxied: tuple[str, dict[str, str], Any]) -> None:
    """Who does not say that it reads gzip gets none."""
    url, headers, _ = proxied
    port = int(url.partition("/")[0].rpartition(":")[2])
    head = f"POST {BASE}/a HTTP/1.1\r\nHost: localhost:{port}\r\nCookie: {headers['Cookie']}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as asking:
        asking.sendall(f"{head}Content-Length: 2\r\nConnection: close\r\n\r\nok".encode())
        answer = b"".join(iter(lambda: asking.recv(1 << 16), b"")).decode()
    start = answer.index("{")
    told = json.JSONDecoder().raw_decode(answer[start:])[0]
    assert {name for name, _ in told["headers"]} == {"content-length", "host", "authorization", "cookie"}


def test_a_page_of_a_notebook_cannot_use_the_app(proxied: tuple[str, dict[str, str], Any]) -> None:
    url, headers, _ = proxied
    port = url.partition("/")[0].partition(":")[2]
    for name, host in (("localhost", "localhost"), ("127.0.0.1", "127.0.0.1")):
        asked = {**headers, "Origin": f"http://localhost:{port}", "Host": f"{host}:{port}"}
        for path in ("/api/notebooks", "/", "/api/notebooks/workspace/x/stop"):
            answer = httpx.post(f"http://{name}:{port}{path}", headers=asked, json={}, timeout=PATIENCE)
            assert answer.status_code in (401, 403), path
    assert httpx.get(f"http://127.0.0.1:{port}/", headers=headers, timeout=PATIENCE).status_code == 401


def test_large_downloads_stream(proxied: tuple[str, dict[str, str], Any]) -> None:
    url, headers, kernel = proxied
    found, size = hashlib.sha256(), 0
    with httpx.stream("GET", f"http://{url}/large", headers=headers, timeout=PATIENCE) as answer:
        for piece in answer.iter_raw():
            found.update(piece)
            size += len(piece)
    assert size == 64 * len(PIECE)
    assert found.hexdigest() == hashlib.sha256(PIECE * 64).hexdigest()
    until(lambda: kernel.viewers == 0)


def test_what_has_come_is_passed_on_at_once(proxied: tuple[str, dict[str, str], Any]) -> None:
    url, headers, kernel = proxied
    with httpx.stream("GET", f"http://{url}/slow", headers=headers, timeout=PATIENCE) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first"
        assert kernel.viewers == 1
        httpx.get(f"http://{url}/release", headers=headers, timeout=PATIENCE)
        assert b"".join(pieces) == b"second"


def test_sockets(proxied: tuple[str, dict[str, str], Any]) -> None:
    url, headers, kernel = proxied
    origin: Any = f"http://{url.partition('/')[0]}"
    options: dict[str, Any] = {"additional_headers": headers, "origin": origin, "max_size": None, "proxy": None}
    with connect(f"ws://{url}/ws?a=1&a=2", subprotocols=["chat"], **options) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "chat"
        assert '"query":"a=1&a=2","cookie":"other=1; other=2"' in str(socket.recv(PATIENCE))
        for sent in ("text é", b"\0\1", PIECE * 8):
            socket.send(sent)
            assert socket.recv(PATIENCE) == sent
        assert kernel.viewers == 1
        socket.send("close")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            socket.recv(PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4001
    until(lambda: kernel.viewers == 0)


STRANGE = [{"Cookie": "x=1"}, {"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Origin": ""}]


@pytest.mark.parametrize("change", STRANGE, ids=["cookie", "origin", "host", "no origin"])
def test_sockets_of_strangers_are_refused(proxied: tuple[str, dict[str, str], Any], change: dict[str, str]) -> None:
    url, headers, _ = proxied
    asked = {"Origin": f"http://{url.partition('/')[0]}", **headers, **change}
    origin: Any = asked.pop("Origin") or None
    host = asked.pop("Host", None)
    options: dict[str, Any] = {"origin": origin, "additional_headers": asked, "proxy": None}
    target = f"ws://{url}/ws" if host is None else f"ws://{host}:{url.split(':')[1].split('/')[0]}{BASE}/ws"
    if host is not None:
        options |= {"sock": socket.create_connection(("127.0.0.1", int(url.split(":")[1].split("/")[0])))}
    with pytest.raises(websockets.InvalidStatus), connect(target, **options):
        pass


def test_a_notebook_that_is_not_open(proxied: tuple[str, dict[str, str], Any]) -> None:
    url, headers, kernel = proxied
    kernel.state = "ended"
    assert httpx.get(f"http://{url}/", headers=headers, timeout=PATIENCE).status_code == 404
    kernel.state, kernel.port = "ready", 1
    assert httpx.get(f"http://{url}/", headers=headers, timeout=PATIENCE).status_code == 502
