"""The app, put together: one process a user, one port."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from stargazer import config
from stargazer.app import files, flights, forms, frozen, home, versions
from stargazer.app.access import APP_HOST, Access, Guard, ProxyTrust
from stargazer.app.agents import Agents
from stargazer.app.desk import Desk, error_answer, page, unforeseen
from stargazer.app.jobs import Jobs
from stargazer.app.kernels import Kernels
from stargazer.app.proxy import Proxy
from stargazer.app.rest import Rest
from stargazer.app.shelf import Shelf
from stargazer.errors import ConfigError, Conflict, StargazerError
from stargazer.service.serving import open_port
from stargazer.store import active_store

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from stargazer.store import Store

__all__ = ["make_app", "read_secret", "serve"]

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
NOTEBOOK = "/nb/{section}/{name}/{mode}/{rest:path}"
FIRST_PORT = 8765
TRIES = 50


def make_app(root: Path, access: Access, store: Store, *, idle: float = 0.0, folder: Path | None = None) -> Starlette:
    """Make the app.

    Parameters
    ----------
    root
        Folder of the notebooks.
    access
        Who may come in.
    store
        Of the files and runs.
    idle
        Seconds without a viewer after which a notebook is stopped; 0 for never.
    folder
        Of what only lasts as long as the app: tokens, logs, scratch copies.

    Returns
    -------
    Starlette
        An ASGI application that ends all notebooks when it is shut down.
    """
    place = folder or config.cache_dir() / "app"
    place.mkdir(parents=True, exist_ok=True)
    kernels = Kernels(access.base, idle, place)
    proxy, jobs, agents, rest = Proxy(kernels, access), Jobs(), Agents(store, root), Rest(store, access.token)

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(kernels.watch())
        try:
            yield
        finally:
            watching.cancel()
            await jobs.stop()
            await agents.stop()
            await rest.stop()
            await kernels.stop_all()
            await proxy.close()

    own: list[BaseRoute] = [
        *home.routes(),
        *files.routes(),
        *forms.routes(),
        *flights.routes(),
        *versions.routes(),
        *frozen.routes(),
    ]
    own += [Mount("/static", StaticFiles(packages=[("stargazer.app", "static")]))]
    own += [WebSocketRoute(NOTEBOOK, proxy.socket), Route(NOTEBOOK, proxy.http, methods=METHODS)]
    if access.proxy is None:  # agents and programs do not come through it
        own += [Route("/mcp", agents), Mount("/mcp", agents), Route("/v1/{rest:path}", rest)]
    handlers: Any = {StargazerError: error_answer, OSError: error_answer, HTTPException: _not_there,
                     Exception: unforeseen}  # fmt: skip
    app = Starlette(
        routes=[Mount(access.base, routes=own)] if access.base else own,
        middleware=[Middleware(Guard, access)],
        exception_handlers=handlers,
        lifespan=life,
    )
    app.state.desk = Desk(Shelf(root), kernels, proxy, access, store, config.cache_dir() / "uploads", jobs)
    return app


def _not_there(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = "there is nothing here" if error.status_code == 404 else str(error.detail)
    return page(request, "error", status=error.status_code, error=told)


def serve(
    root: Path,
    *,
    port: int | None = None,
    host: str = APP_HOST,
    base_url: str = "",
    trust_proxy: Path | None = None,
    idle: float = 0.0,
    store: Store | None = None,
    said: Callable[[str], object] = print,
    opened: Callable[[str], object] | None = None,
) -> None:
    """Serve the app until it is interrupted.

    Parameters
    ----------
    root
        Folder of the notebooks.
    port
        Where it listens; the first free one from 8765 on by default.
    host
        Where it listens. Whatever that is, it answers to ``127.0.0.1`` and ``localhost`` only.
    base_url
        Path below which a proxy shows it.
    trust_proxy
        File, readable by nobody else, with the secret that a proxy sends which lets in the owner only.
    idle
        Seconds without a viewer after which a notebook is stopped; 0 for never.
    store
        Of the files and runs; the active one by default.
    said
        Told the address.
    opened
        Called with the address once the app answers, as by `webbrowser.open`.

    Raises
    ------
    Conflict
        Another app serves that folder, the port is taken, or nobody can listen there.
    ConfigError
        The path or the secret's file is wrong.
    """
    base = _base(base_url)
    proxy = ProxyTrust(read_secret(trust_proxy), config.user_name()) if trust_proxy else None
    access = Access(secrets.token_urlsafe(24), base, proxy)
    root.mkdir(parents=True, exist_ok=True)
    with _alone(root) as folder, _listening(port, host) as (number, sockets):
        app = make_app(root, access, store or active_store(), idle=idle, folder=folder)
        address = f"http://{APP_HOST}:{number}{base}/" + ("" if proxy else f"?token={access.token}")
        options: Any = {"ws": "websockets-sansio", "ws_max_size": 1 << 30, "timeout_graceful_shutdown": 2}
        server = _Server(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, **options))
        server.ready = lambda: [tell(address) for tell in (said, opened) if tell is not None]
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
            server.run(sockets)


class _Server(uvicorn.Server):
    """Tells when it answers."""

    ready: Callable[[], object] = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            await asyncio.to_thread(self.ready)


def read_secret(path: Path) -> str:
    """Read the secret that a proxy sends.

    Raises
    ------
    ConfigError
        Others can read it, or there is none.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"{path} can be read by others; chmod 600 {path}")
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(secret) < 16:
        raise ConfigError(f"{path} holds no secret of 16 characters or more")
    return secret


def _base(url: str) -> str:
    path = url.rstrip("/")
    if path and (not path.startswith("/") or any(part in ("", ".", "..") for part in path[1:].split("/"))):
        raise ConfigError(f"--base-url {url!r}: give a path that begins with a slash, as /user/anna/stargazer")
    return path


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[Path]:
    """Keep a second app from opening the same notebooks; yield a private folder for as long as this one lasts."""
    place = config.cache_dir() / "app" / hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(place / "lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise Conflict(f"another `stargazer app` serves {root}; stop that one, or use it") from None
        for left in place.glob("notebook-*"):  # of an app that was killed: its processes are gone
            shutil.rmtree(left, ignore_errors=True)
        yield place


@contextlib.contextmanager
def _listening(port: int | None, host: str = APP_HOST) -> Iterator[tuple[int, list[socket.socket]]]:
    """Listen on one port, by default of both loopback addresses: ``localhost`` may be either."""
    numbers = range(FIRST_PORT, FIRST_PORT + TRIES) if port is None else [port]
    for number in numbers:
        sockets: list[socket.socket] = []
        try:
            sockets.append(open_port(host, number))
            found = sockets[0].getsockname()[1]
            if host == APP_HOST and _has_ipv6():
                sockets.append(open_port("::1", found))
        except OSError as error:
            for each in sockets:
                each.close()
            if error.errno != errno.EADDRINUSE or number == numbers[-1]:
                place = f"port {number}" + ("" if host == APP_HOST else f" of {host}")
                told = f"{place} cannot be had: {error.strerror or error}; choose another: --port, --host"
                raise Conflict(told) from None
            continue
        try:
            yield found, sockets
        finally:
            for each in sockets:
                each.close()
        return


def _has_ipv6() -> bool:
    try:
        open_port("::1", 0).close()
    except OSError:
        return False
    return True
