"""Connections to remotes are kept and lent to one request at a time; who takes one looks at that one alone."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import httpcore
import httpx
import pytest
from gateways import Server

from stargazer.remotes.transport import Transport


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
        self.close_connection = self.path == "/last"


class Counting(Server):
    """Counts connections, and says when one of them has ended."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.connections, self.ended = 0, threading.Semaphore(0)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.ended.release()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Counting]:
    found = Counting()
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def client(most: int = 64, seconds: float = 10.0) -> httpx.Client:
    return httpx.Client(transport=Transport(most), timeout=seconds)


def at_once(web: httpx.Client, server: Counting, count: int) -> None:
    """Have so many answers begin before the first is read."""
    with ExitStack() as opened:
        answers = [opened.enter_context(web.stream("GET", server.url)) for _ in range(count)]
        assert {answer.read() for answer in answers} == {b"ok"}


def test_threads_share_as_many_connections_as_they_are(server: Counting) -> None:
    with client() as web, ThreadPoolExecutor(4) as pool:
        assert {each.text for each in pool.map(lambda _: web.get(server.url), range(60))} == {"ok"}
    assert server.connections <= 4


def test_one_that_the_server_ended_is_not_used(server: Counting) -> None:
    with client() as web:
        for _ in range(3):
            assert web.get(f"{server.url}/last").text == "ok"
            assert server.ended.acquire(timeout=10)
    assert server.connections == 3


def test_who_takes_one_looks_at_that_one_alone(server: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    expired = httpcore.HTTPConnection.has_expired
    monkeypatch.setattr(httpcore.HTTPConnection, "has_expired", lambda self: looks.append(self) or expired(self))
    with client() as web:
        at_once(web, server, 10)
        assert server.connections == 10
        looks.clear()
        assert web.get(server.url).text == "ok"
    assert len(looks) == 1
    assert server.connections == 10


def test_there_are_so_many_at_once_and_no_more(server: Counting) -> None:
    with client(2, seconds=0.2) as web, ExitStack() as opened:
        first = opened.enter_context(web.stream("GET", server.url))
        opened.enter_context(web.stream("GET", server.url))
        with pytest.raises(httpx.PoolTimeout):
            web.get(server.url)
        first.close()
        assert web.get(server.url).text == "ok"


def test_a_request_that_fails_holds_none(server: Counting) -> None:
    with client(2) as web:
        for _ in range(5):
            with pytest.raises(httpx.UnsupportedProtocol):
                web.get("ftp://127.0.0.1/")
            with pytest.raises(httpx.ConnectError):
                web.get("http://127.0.0.1:1/")
        assert web.get(server.url).text == "ok"


def test_half_of_a_body_ends_its_connection(server: Counting) -> None:
    with client(2) as web:
        for _ in range(5):
            with web.stream("GET", server.url):
                pass
        assert web.get(server.url).text == "ok"
    assert server.connections == 6


def test_a_few_idle_ones_are_kept(server: Counting) -> None:
    with client(8) as web:
        at_once(web, server, 8)
        for _ in range(4):
            assert server.ended.acquire(timeout=10)
        assert not server.ended.acquire(timeout=0)


def test_who_gives_one_back_while_another_takes_the_last_is_not_disturbed(
    server: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = Transport()

    def taken() -> float:
        for connections in transport._pools.values():
            for idle in connections._idle.values():
                idle.clear()
        return 0.0

    monkeypatch.setattr("stargazer.remotes.connections.time", SimpleNamespace(monotonic=taken))
    with httpx.Client(transport=transport) as web:
        assert web.get(server.url).text == "ok"


FORKS = """
import os, sys
import httpx
from stargazer.remotes.transport import Transport
web = httpx.Client(transport=Transport())
assert web.get(sys.argv[1]).text == "ok"
child = os.fork()
assert web.get(sys.argv[1]).text == "ok"
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_fork_uses_no_connection_of_its_parent(server: Counting) -> None:
    """Two processes that read from one connection get each other's answers."""
    subprocess.run([sys.executable, "-c", FORKS, server.url], check=True, timeout=60)
    assert server.connections == 2
