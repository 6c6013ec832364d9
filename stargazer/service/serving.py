"""The service on a port: where it may listen, and what it says first."""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import TYPE_CHECKING, Any

from stargazer.errors import ConfigError, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.service.settings import Settings

__all__ = ["check_host", "listening", "open_port", "serve"]

BACKLOG = 2048


def check_host(host: str, settings: Settings) -> None:
    """Refuse to listen beyond this machine where anybody would be let in.

    Raises
    ------
    ConfigError
        There are neither tokens nor a proxy.
    """
    if settings.is_open and not _is_loopback(host):
        raise ConfigError(
            f"{host} is seen by other machines, and anybody there could run what they like as you: "
            "make a token (stargazer serve --new-token NAME), and put it into stargazer.service.tokens"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises
    ------
    ConfigError
        The port is taken, or the host is not this machine's.
    """
    try:
        return open_port(host.strip("[]"), port, BACKLOG)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}; try another --port") from error


def open_port(host: str, port: int, backlog: int = 128) -> socket.socket:
    """Return a socket that listens, of any of our servers.

    Parameters
    ----------
    host, port
        Where; port 0 for any that is free.
    backlog
        Connections that may wait to be taken.

    Raises
    ------
    OSError
        The port is taken, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    try:
        if sys.platform != "win32":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # asyncio sees to that for sockets that it makes itself; without it an answer in two pieces takes 40 ms.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.bind((host, port))
        made.listen(backlog)
    except OSError:
        made.close()
        raise
    return made


def serve(app: Any, host: str, port: int, told: Callable[[str], None], *, own: bool = False) -> None:
    """Serve an application until it is interrupted.

    Parameters
    ----------
    app
        From `application`.
    host, port
        Where; port 0 for any that is free.
    told
        Called with the address before anything is served.
    own
        Only connections of this user are let in; see `stargazer.service.peers`.
    """
    try:
        import uvicorn
    except ImportError:
        raise ToolMissing("the service wants uvicorn: pip install 'stargazer-dask[service]'") from None
    from stargazer.service.peers import own_alone

    opened = listening(host, port)
    shown = f"[{host.strip('[]')}]" if ":" in host else host
    told(f"http://{shown}:{opened.getsockname()[1]}")
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=10, server_header=False,
        http=own_alone() if own else "auto",
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[opened])
