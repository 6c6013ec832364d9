"""Sockets of our servers: an answer in two pieces does not wait until the first one was acknowledged."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from stargazer.app.server import _bound
from stargazer.mcp.http import listening_at
from stargazer.service.serving import listening

OPENED: dict[str, Callable[[], socket.socket]] = {
    "app": lambda: _bound(socket.AF_INET, "127.0.0.1", 0),
    "mcp": lambda: listening_at("127.0.0.1", 0),
    "service": lambda: listening("127.0.0.1", 0),
}


@pytest.mark.parametrize("opened", OPENED.values(), ids=OPENED)
def test_what_is_sent_goes_at_once(opened: Callable[[], socket.socket]) -> None:
    with opened() as server, socket.create_connection(server.getsockname()):
        taken, _ = server.accept()
        with taken:
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
