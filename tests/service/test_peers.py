"""A service without tokens answers its own user alone, whoever else reaches the port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("uvicorn")

from stargazer.service.peers import can_tell, is_own, own_alone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="another system does not tell whose a connection is")

STRANGER = """
import os, socket, sys
"x".encode("idna")  # what is imported late may lie where another user cannot read
os.setgroups([]); os.setgid(65534); os.setuid(65534)
line = socket.create_connection((sys.argv[1], int(sys.argv[2])))
line.sendall(b"GET /stranger HTTP/1.1\\r\\nHost: localhost\\r\\nX-Forwarded-For: 127.0.0.1\\r\\n\\r\\n")
if sys.argv[3] == "close":
    line.close()
else:
    print(line.recv(1000).decode().splitlines()[0])
"""


class Served:
    """A server of this process, and what it was asked."""

    def __init__(self, host: str) -> None:
        import uvicorn

        self.asked: list[str] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.create_server((host, 0), family=family)
        self.host, self.port = host, self.socket.getsockname()[1]
        self.server = uvicorn.Server(uvicorn.Config(self._app, log_level="warning", lifespan="off", http=own_alone()))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()

    @property
    def _app(self) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:  # uvicorn takes a method for an older kind
            await self.answer(scope, receive, send)

        return app

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def url(self, path: str) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}{path}"

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(60)


@pytest.fixture(params=["127.0.0.1", "::1"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    try:
        made = Served(request.param)
    except OSError as error:
        pytest.skip(f"{request.param}: {error}")
    yield made
    made.stop()


def ask(served: Served, how: str) -> str:
    told = [sys.executable, "-c", STRANGER, served.host, str(served.port), how]
    return subprocess.run(told, capture_output=True, text=True, check=True, cwd="/", timeout=60).stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_refused_before_anything_is_read(served: Served) -> None:
    assert httpx.get(served.url("/own")).text == "ok"
    assert ask(served, "read") == "HTTP/1.1 403 Forbidden"
    for _ in range(20):  # the kernel says of a closed socket that it is root's
        ask(served, "close")
    assert httpx.get(served.url("/own")).text == "ok"
    assert set(served.asked) == {"/own"}


def test_this_system_tells_whose_a_connection_is() -> None:
    assert can_tell()


def test_what_is_no_connection_is_nobodys() -> None:
    assert is_own(("127.0.0.1", 1), ("127.0.0.1", 2)) is False
    assert is_own(None, None) is None
    assert is_own("", "") is None
    assert is_own(("name", 1), ("name", 2)) is None


def test_a_socket_that_was_closed_is_nobodys(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        there, name = server.accept()
        with there:
            assert is_own(name, there.getsockname()) is True
            client.sendall(b"x")
            client.close()
            assert is_own(name, there.getsockname()) is False
