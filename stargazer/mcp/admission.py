"""Who may ask a server over HTTP, and under which names; nothing here loads what answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request
    from starlette.types import Scope

__all__ = ["LOOPBACK", "Admission", "verb_of"]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Names under which a server on this machine is reached."""


class Admission:
    """Says of each request why it is not answered, if it is not.

    Parameters
    ----------
    verify
        Says whether a bearer token is right.
    hosts
        Names under which the server may be reached, with any port.
    """

    def __init__(self, verify: Callable[[str], Any], hosts: Iterable[str] = LOOPBACK) -> None:
        self._verify, self._hosts = verify, frozenset(host.lower() for host in hosts)

    def stranger(self, request: Request) -> PlainTextResponse | None:
        """Refuse requests that a page of somebody else made a browser send."""
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or _name_of(f"//{hosts[0]}") not in self._hosts:
            return PlainTextResponse("this server is not reached under that name\n", 421)
        origins = request.headers.getlist("origin")
        if any(not _is_web(origin) or _name_of(origin) not in self._hosts for origin in origins):
            return PlainTextResponse("pages of that origin may not ask this server\n", 403)
        return None

    async def unknown(self, request: Request) -> PlainTextResponse | None:
        """Refuse those without the token."""
        given = request.headers.getlist("authorization")
        kind, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if kind.lower() == "bearer" and token.strip() and await self._verify(token.strip()):
            return None
        told = "a bearer token is needed: Authorization: Bearer …\n"
        return PlainTextResponse(told, 401, headers={"WWW-Authenticate": "Bearer"})


def verb_of(scope: Scope) -> tuple[str, str]:
    """What stands below the server's own address: ``upload`` or ``download``, and the secret behind it."""
    path = str(scope["path"]).removeprefix(str(scope.get("root_path", ""))).removeprefix("/mcp")
    verb, _, secret = path.strip("/").partition("/")
    return verb, secret


def _name_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port  # a port that is none makes the whole wrong
    except ValueError:
        return ""
    host = (parts.hostname or "").lower()
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return ""
    return f"[{host}]" if ":" in host else host


def _is_web(origin: str) -> bool:
    return origin.startswith(("http://", "https://"))
