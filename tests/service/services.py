"""A real service on a port of its own, and transforms that it knows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

import stargazer as sg
from stargazer.service.application import application
from stargazer.service.serving import listening
from stargazer.service.settings import Principal, Settings, Token, digest_of

PATIENCE = 300.0


@sg.transform("except@v1")
@sg.task
def except_(work: sg.Workdir, left: sg.Asset, right: sg.Asset) -> sg.Asset:
    """Letters of the left file that the right one lacks."""
    out = work.file("letters.txt")
    out.write_text("".join(sorted(set(left.path.read_text()) - set(right.path.read_text()))))
    return sg.Asset(path=out)


@sg.transform("wait@v1")
@sg.task
def wait(work: sg.Workdir, flag: sg.Asset, *, until: str) -> sg.Asset:
    """Wait until a file is there."""
    work.run(["sh", "-c", f"while [ ! -e '{until}' ]; do sleep 0.05; done"])
    out = work.file("waited.txt")
    out.write_text(flag.path.read_text())
    return sg.Asset(path=out)


@sg.transform("fail@v1")
@sg.task
def fail(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
    """Fail."""
    raise sg.errors.DataError(f"{words.path.name} has no columns")


@sg.transform("copy@v1")
@sg.task
def copy(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
    """Copy a file."""
    out = work.file("copy.txt")
    out.write_text(words.path.read_text())
    return sg.Asset(path=out)


class Served:
    """A service that runs, and how to ask it."""

    def __init__(self, url: str, app: Any) -> None:
        self.url, self.app = url, app
        self._http = self.client()

    def client(self, token: str | None = None, **headers: str) -> httpx.Client:
        """A client; it loads no certificates, for which each would take longer than for its requests."""
        told = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers={**told, **headers}, timeout=PATIENCE, verify=False)

    def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        """Ask once, on a connection that is kept."""
        told = {"Authorization": f"Bearer {token}"} if token else {}
        return self._http.request(method, path, headers={**told, **options.pop("told", {})}, **options)


def until(condition: Callable[[], Any]) -> Any:
    """Wait for something, with patience."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not come to that")


@contextmanager
def listen(app: Any) -> Iterator[str]:
    """Serve an application on a free port; give its address."""
    opened = listening("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        opened.close()


@contextmanager
def serving(settings: Settings) -> Iterator[Served]:
    """Serve on a free port."""
    app = application(settings)
    with listen(app) as url:
        yield Served(url, app)


def person(name: str, tenant: str, *scopes: str, **more: Any) -> Token:
    return Token(digest_of(f"{name}-token"), Principal(name, tenant, frozenset(scopes), **more))
