"""Who may come in: a token once, then a cookie; Host and Origin of every request and every socket.

Notebooks run code of theirs in the browser too. They are served under another origin than the app's own pages, though
from the same port: the app is ``127.0.0.1``, notebooks are ``localhost``. So a notebook's page has neither the app's
cookie nor a way to read one of its pages.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["APP_HOST", "KNOWS", "NOTEBOOK_HOST", "PAGE_HEADER", "Access", "Guard", "ProxyTrust"]

APP_HOST, NOTEBOOK_HOST = "127.0.0.1", "localhost"
PAGE_HEADER = "x-stargazer"
"""What the app's own pages send with all that they ask for."""

TICKET_SECONDS = 60.0
KNOWS = "stargazer.page-token"
"""Where a request has what its page may know; one that is not for a page of the app has nothing there."""

READS = ("GET", "HEAD", "OPTIONS")
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

Place = Literal["app", "notebooks", "open"]
"""Whose a path is: the app's, the notebooks', or one whose own server asks for a token."""


@dataclass(frozen=True)
class ProxyTrust:
    """A proxy that has found out who somebody is.

    Parameters
    ----------
    secret
        What it sends in ``X-Stargazer-Proxy``.
    user
        The only user that it may let in, as ``X-Stargazer-User`` says.
    """

    secret: str
    user: str

    def admits(self, headers: Headers) -> bool:
        """Whether a request comes from the proxy, and from that user."""
        given, user = headers.get("x-stargazer-proxy", ""), headers.get("x-stargazer-user", "")
        return _same(given, self.secret) and _same(user, self.user)


@dataclass
class Access:
    """What lets people in.

    Parameters
    ----------
    token
        Of the address that is printed once.
    base
        Path below which everything lies; empty, or begins with a slash and does not end with one.
    proxy
        Where somebody else asks who comes; then the token counts for nothing.
    """

    token: str
    base: str = ""
    proxy: ProxyTrust | None = None
    _seed: str = field(default_factory=secrets.token_hex)
    _tickets: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def page_token(self) -> str:
        """What the app's pages know, and no other page."""
        return self._derived("page")

    def cookie_name(self, place: Place) -> str:
        """Cookies belong to a host and to all its ports: two apps must not take each other's."""
        return f"stargazer_{place}_{self._derived('name')[:12]}"

    def cookie_value(self, place: Place) -> str:
        """What the cookie must hold."""
        return self._derived(f"cookie {place}")

    def ticket(self, path: str) -> str:
        """Make what opens one path of the notebooks' host, once and soon."""
        now = time.monotonic()
        self._tickets = {name: each for name, each in self._tickets.items() if each[1] > now}
        made = secrets.token_urlsafe(24)
        self._tickets[made] = (path, now + TICKET_SECONDS)
        return made

    def redeem(self, ticket: str, path: str) -> bool:
        """Whether a ticket was made for a path, and not used yet."""
        wanted, until = self._tickets.pop(ticket, ("", 0.0))
        return wanted == path and time.monotonic() < until

    def notebook_url(self, host: str, path: str) -> str:
        """Address of a path of the notebooks' host, for a browser that reached the app under `host`."""
        if self.proxy is not None:
            return quote(path)
        _, colon, port = host.rpartition(":")
        return f"http://{NOTEBOOK_HOST}{colon}{port}{quote(path)}?{urlencode({'ticket': self.ticket(path)})}"

    def _derived(self, purpose: str) -> str:
        return hmac.new(self._seed.encode(), purpose.encode(), hashlib.sha256).hexdigest()


class Guard:
    """Lets in whom `Access` knows, and gives every answer the headers that keep pages apart.

    Parameters
    ----------
    app
        What it stands before.
    access
        Who may come in.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it through."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        place = self._place(scope)
        refusal = self._refusal(scope, place)
        if refusal is None:
            if place == "app" and not self._is_static(scope):
                scope[KNOWS] = self.access.page_token
            await self.app(scope, receive, _with_headers(send, place, shared=self.access.proxy is not None))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4403})
        else:
            await refusal(scope, receive, _with_headers(send, "app", shared=False))

    def _place(self, scope: Scope) -> Place:
        path = scope["path"].removeprefix(self.access.base)
        if path.startswith(("/nb/", "/stored/")):
            return "notebooks"
        return "open" if path == "/mcp" or path.startswith(("/mcp/", "/v1/")) else "app"

    def _refusal(self, scope: Scope, place: Place) -> Response | None:
        """What is answered instead; None where the request may pass."""
        headers = Headers(scope=scope)
        if (wrong := self._stranger(headers)) is not None:
            return wrong
        if place == "open":
            return None
        if self.access.proxy is None:
            name = _host_name(headers.get("host", ""))
            if name != (NOTEBOOK_HOST if place == "notebooks" else APP_HOST):
                return _elsewhere(scope, headers) if place == "app" else _denied(403, "notebooks have another address")
            if not self._has_cookie(headers, place):
                return self._entered(scope, place)
            if place == "app" and "token" in _query(scope):
                return self._entered(scope, place)
        if scope["type"] == "websocket" and "origin" not in headers:
            return _denied(403, "sockets are for pages, and pages say whose they are")
        return self._not_our_page(scope, headers) if place == "app" else None

    def _stranger(self, headers: Headers) -> Response | None:
        hosts, origin = headers.getlist("host"), headers.get("origin")
        host = hosts[0] if len(hosts) == 1 else ""
        if self.access.proxy is not None:
            if not self.access.proxy.admits(headers):
                return _denied(403, "this server is reached through its proxy, by its owner")
            host = headers.get("x-forwarded-host", host)
        elif _host_name(host) not in (APP_HOST, NOTEBOOK_HOST):
            return _denied(403, "this server does not go by that name")
        if origin is not None and (origin == "null" or _place_of(origin) != host):
            return _denied(403, "that page is not of this server")
        return None

    def _has_cookie(self, headers: Headers, place: Place) -> bool:
        found: SimpleCookie = SimpleCookie()
        try:
            found.load(headers.get("cookie", ""))
        except CookieError:
            return False
        morsel = found.get(self.access.cookie_name(place))
        return morsel is not None and _same(morsel.value, self.access.cookie_value(place))

    def _entered(self, scope: Scope, place: Place) -> Response | None:
        """The page that gives the cookie to who shows the token, or a ticket."""
        query = _query(scope)
        if scope["type"] == "http" and scope["method"] == "GET":
            if place == "app" and _same(query.get("token", ""), self.access.token):
                return self._cookie_page(scope, place, {n: v for n, v in query.items() if n != "token"})
            if place == "notebooks" and self.access.redeem(query.get("ticket", ""), scope["path"]):
                return self._cookie_page(scope, place, {n: v for n, v in query.items() if n != "ticket"})
        if place == "app" and self._has_cookie(Headers(scope=scope), place):
            return None  # a token of an earlier start, by who is in already
        told = "open the address that `stargazer app` printed" if place == "app" else "open it from the home page"
        return _denied(401, f"not let in: {told}")

    def _cookie_page(self, scope: Scope, place: Place, query: dict[str, str]) -> Response:
        # A redirect would be part of a navigation that began elsewhere, and SameSite=Strict would hold the cookie back.
        target = "/" + quote(scope["path"].lstrip("/")) + (f"?{urlencode(query)}" if query else "")
        page = HTMLResponse(
            f'<!doctype html><meta http-equiv="refresh" content="0;url={target}"><title>Stargazer</title>'
            '<link rel="icon" href="data:,">'
        )
        path = f"{self.access.base}/" if place == "app" else f"{self.access.base}/nb/"
        page.set_cookie(
            self.access.cookie_name(place), self.access.cookie_value(place), httponly=True, samesite="strict", path=path
        )
        if place == "notebooks" and "/stored/" in scope["path"]:
            page.set_cookie(
                self.access.cookie_name(place), self.access.cookie_value(place), httponly=True, samesite="strict",
                path=f"{self.access.base}/stored/",
            )  # fmt: skip
        return page

    def _is_static(self, scope: Scope) -> bool:
        """Whether a path is of what all pages show, and anybody who is let in may ask for."""
        return bool(scope["path"].removeprefix(self.access.base).startswith("/static/"))

    def _not_our_page(self, scope: Scope, headers: Headers) -> Response | None:
        """Refuse what no page of the app asks for: a form elsewhere, a frame, a script of a notebook."""
        if scope["type"] == "websocket":
            return _denied(403, "the app has no sockets")
        path = scope["path"].removeprefix(self.access.base)
        if self._is_static(scope):
            return None
        if _same(headers.get(PAGE_HEADER, ""), self.access.page_token):
            return None
        if scope["method"] not in READS or path.startswith("/api/"):
            return _denied(403, "only pages of the app may ask for that; reload the page")
        if headers.get("sec-fetch-dest", "document") != "document":
            return _denied(403, "pages of the app stand alone")
        return None


def _with_headers(send: Send, place: Place, *, shared: bool) -> Send:
    """Add what browsers must know of a page of the app."""
    added = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
    if place == "app":
        opener = b"noopener-allow-popups" if shared else b"same-origin"
        added += [
            (b"content-security-policy", PAGE_POLICY.encode()),
            (b"cross-origin-opener-policy", opener),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"x-frame-options", b"DENY"),
            (b"cache-control", b"no-store"),
        ]
    elif place == "notebooks":
        added = [(b"referrer-policy", b"same-origin")]

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(each for each in added if each[0] not in there)]
        await send(message)

    return sent


def _same(one: str, other: str) -> bool:
    """Compare in constant time; what cannot be encoded is nothing's secret."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _query(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


def _host_name(host: str) -> str:
    name, colon, port = host.partition(":")
    return name if not colon or (port.isascii() and port.isdigit()) else ""


def _place_of(origin: str) -> str | None:
    """Host and port of an origin; None where it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _elsewhere(scope: Scope, headers: Headers) -> Response:
    """Who typed ``localhost`` meant the app."""
    if scope["type"] == "websocket" or scope["method"] not in READS:
        return _denied(403, "the app has another address")
    host = headers["host"].replace(NOTEBOOK_HOST, APP_HOST, 1)
    query = scope["query_string"].decode("latin-1")
    return RedirectResponse(f"http://{host}{quote(scope['path'])}{'?' if query else ''}{query}", 303)


def _denied(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status) if status == 403 else PlainTextResponse(f"{text}\n", status)
