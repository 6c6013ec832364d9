"""Sockets of our servers: an answer in two pieces does not wait until the first one was acknowledged."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from stargazer.app.server import _listening
from stargazer.mcp.http import listening_at
from stargazer.service.serving import listening


@contextlib.contextmanager
def of_the_app() -> Iterator[socket.socket]:
    with _listening(0) as (_, sockets):
        yield sockets[0]


OPENED: dict[str, Callable[[], AbstractContextManager[socket.socket]]] = {
    "app": of_the_app,
    "mcp": lambda: listening_at("127.0.0.1", 0),
    "service": lambda: listening("127.0.0.1", 0),
}


@pytest.mark.parametrize("opened", OPENED.values(), ids=OPENED)
def test_what_is_sent_goes_at_once(opened: Callable[[], AbstractContextManager[socket.socket]]) -> None:
    with opened() as server, socket.create_connection(server.getsockname()):
        taken, _ = server.accept()
        with taken:
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
