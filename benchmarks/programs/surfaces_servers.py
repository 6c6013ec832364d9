"""The servers of the benchmark `surfaces`: ``upstream SIZE``, or ``app ROOT [PORT]``; prints port and cookies."""

from __future__ import annotations

import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from stargazer.app import make_app
from stargazer.app.access import Access
from stargazer.app.kernels import Kernel
from stargazer.app.shelf import Shelf
from stargazer.store import active_store

BASE = "/nb/workspace/x/run"
PIECE = bytes(1 << 20)


class StandIn(Kernel):
    """A notebook's process that somebody else started."""

    def stop(self, why: str = "") -> None:
        self.state = "ended"

    def look(self, idle: float) -> None:
        """Nothing is measured of it."""


def upstream(size: int) -> Starlette:
    """Stands for a notebook's process: a small answer, and a large one of so many MiB."""

    async def small(_: Request) -> Response:
        return PlainTextResponse("small")

    async def large(_: Request) -> Response:
        async def pieces() -> Any:
            for _ in range(size):
                yield PIECE

        return StreamingResponse(pieces())

    return Starlette(routes=[Route(f"{BASE}/small", small), Route(f"{BASE}/large", large)])


def home(root: Path, port: int) -> tuple[Starlette, str]:
    """The app, with one notebook open where a port is given; and the cookies that let in."""
    access, folder = Access("benchmark"), Path(tempfile.mkdtemp(dir=root.parent))
    app = make_app(root, access, active_store(), folder=folder)
    if port:
        tile, nothing = Shelf(root).create("x"), None
        app.state.desk.kernels._open[tile.key] = StandIn(
            tile, "run", BASE, tile.path, folder, port, "secret", nothing, state="ready"  # type: ignore[arg-type]
        )  # fmt: skip
    return app, "; ".join(f"{access.cookie_name(each)}={access.cookie_value(each)}" for each in ("app", "notebooks"))


def main(kind: str, what: str, port: int = 0) -> None:
    """Serve until somebody stops it."""
    app, cookies = (upstream(int(what)), "") if kind == "upstream" else home(Path(what), port)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as of servers that open their port themselves
    print(listening.getsockname()[1], cookies, flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[listening])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
