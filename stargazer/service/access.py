"""Who asks: by a token, by a proxy's word, or as the user of this machine."""

from __future__ import annotations

import hmac
import re
import threading
import time
from collections import deque
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from stargazer import config
from stargazer.errors import NotAReference
from stargazer.service.problems import Refusal
from stargazer.service.settings import SCOPES, Limits, Principal, Settings, digest_of
from stargazer.store import Store
from stargazer.store.references import SCHEME, VERSIONED, read_reference
from stargazer.tables import is_table_uri

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

__all__ = ["Gate", "Meter", "check_references", "may_name", "may_read_table"]

PROXY, PRINCIPAL, TENANT, ASKED_SCOPES = (
    "x-stargazer-proxy-token", "x-stargazer-principal", "x-stargazer-tenant", "x-stargazer-scopes",
)  # fmt: skip
NAMES, TABLES = "x-stargazer-names", "x-stargazer-tables"
OF_PROXY = (PROXY, PRINCIPAL, TENANT, ASKED_SCOPES, NAMES, TABLES)
LOOPBACK = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", re.IGNORECASE)
SHOWN_NAME = re.compile(r"[^\s\x00-\x1f\x7f]{1,200}")
HOUR = 3600.0


class Gate:
    """Lets requests in, each to the store of its tenant.

    Parameters
    ----------
    settings
        Of the service.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._tokens = {token.sha256: token.principal for token in settings.tokens}

    def principal(self, request: Request) -> Principal:
        """Return who asks.

        Raises
        ------
        Refusal
            401 where nobody knows, 403 where a web page asks that may not, 404 where there is no such tenant.
        """
        self._check_origin(request)
        if self.settings.is_open:
            self._check_host(request)
            tenant = next(iter(self.settings.stores))
            return Principal(config.user_name(), tenant, frozenset(SCOPES), tables=("*",), local=True)
        if self.settings.proxy is not None and PROXY in request.headers:
            return self._of_proxy(request)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        # Digests are looked up, not tokens: how long that takes says nothing of any token.
        found = self._tokens.get(digest_of(token.strip())) if kind.lower() == "bearer" else None
        if found is None:
            raise _unknown()
        return found

    def _of_proxy(self, request: Request) -> Principal:
        given = request.headers[PROXY].encode("latin-1")
        if any(len(request.headers.getlist(each)) > 1 for each in OF_PROXY):  # who asks may have sent one of them
            raise Refusal(401, "Unauthorized", "a header of the proxy came twice: let it replace what clients send")
        if not hmac.compare_digest(given, str(self.settings.proxy).encode()):
            raise _unknown()
        name, tenant = request.headers.get(PRINCIPAL, "").strip(), request.headers.get(TENANT, "").strip()
        if not SHOWN_NAME.fullmatch(name):
            raise Refusal(401, "Unauthorized", f"the proxy says not who asks: {PRINCIPAL} is missing")
        if tenant not in self.settings.stores:
            raise Refusal(404, "NotFound", "there is nothing of that name")
        scopes = frozenset(request.headers.get(ASKED_SCOPES, "").split()) & set(SCOPES)
        names = tuple(request.headers.get(NAMES, "*").split())
        return Principal(name, tenant, scopes, names, tuple(request.headers.get(TABLES, "").split()))

    def _check_host(self, request: Request) -> None:
        """Refuse names that lead to this machine by a trick: any web page may have one that does."""
        host = request.headers.get("host", "")
        if not LOOPBACK.fullmatch(host):
            raise Refusal(
                403, "Forbidden", f"{host!r:.200} is not this machine; without tokens only localhost is served"
            )

    def _check_origin(self, request: Request) -> None:
        origin = request.headers.get("origin")
        own = f"{request.url.scheme}://{request.headers.get('host', '')}"
        if origin is not None and origin != own and origin.rstrip("/") not in self.settings.origins:
            raise Refusal(
                403, "Forbidden", f"pages of {origin:.200} may not ask: the setting stargazer.service.origins"
            )

    def admit(self, request: Request, scope: str) -> tuple[Principal, Store]:
        """Return who asks, and the store that is theirs.

        Raises
        ------
        Refusal
            As `principal`; 403 where they lack the scope.
        """
        found = self.principal(request)
        if not found.may(scope):
            raise Refusal(
                403, "Forbidden", f"{found.name} may not {scope} here; it has {', '.join(sorted(found.scopes))}"
            )
        return found, Store.open(self.settings.stores[found.tenant])


def _unknown() -> Refusal:
    told = "say who you are: Authorization: Bearer TOKEN"
    return Refusal(401, "Unauthorized", told, headers={"WWW-Authenticate": 'Bearer realm="stargazer"'})


# What one may name.


def may_name(principal: Principal, name: str) -> bool:
    """Whether somebody may read and set a name."""
    return any(fnmatchcase(name, pattern) for pattern in principal.names)


def may_read_table(principal: Principal, uri: str) -> bool:
    """Whether somebody may read a table; a way up and down again would lead around the patterns."""
    if not principal.local and (".." in re.split(r"[/#?]", unquote(uri)) or not uri.isprintable()):
        return False
    return any(fnmatchcase(uri, pattern) for pattern in principal.tables)


def check_references(principal: Principal, value: Any) -> None:
    """Refuse names and tables that somebody may not know of, wherever in a request they stand.

    Raises
    ------
    Refusal
        404: as if they were not there.
    """
    for text in _texts(value):
        if is_table_uri(text) and not may_read_table(principal, text):
            raise Refusal(404, "NotFound", f"there is no table {text}")
        if not (text.startswith(f"{SCHEME}name/") or VERSIONED.fullmatch(text)):
            continue
        try:
            name = read_reference(text).text
        except NotAReference:
            continue
        if not may_name(principal, name):
            raise Refusal(404, "NotFound", f"there is no name {name!r}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _texts(name)
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


class Meter:
    """Counts the bytes that each principal sent and received in the last hour.

    Parameters
    ----------
    limits
        Of one principal.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._moved: dict[tuple[str, str], deque[tuple[float, int]]] = {}

    def used(self, principal: Principal) -> int:
        """Bytes of the last hour."""
        with self._lock:
            return sum(size for _, size in self._of(principal))

    def add(self, principal: Principal, size: int) -> None:
        """Count bytes that were sent or received."""
        with self._lock:
            self._of(principal).append((time.monotonic(), size))

    def check(self, principal: Principal) -> None:
        """Refuse more where the limit is reached.

        Raises
        ------
        Refusal
            429, with the seconds after which there is room again.
        """
        with self._lock:
            moved = self._of(principal)
            if sum(size for _, size in moved) < self.limits.bytes:
                return
            seconds = max(1, int(moved[0][0] + HOUR - time.monotonic()) + 1)
        told = f"{principal.name} moved {self.limits.bytes} bytes in an hour, which is the limit here"
        raise Refusal(429, "TooMany", told, headers={"Retry-After": str(seconds)})

    def _of(self, principal: Principal) -> deque[tuple[float, int]]:
        moved = self._moved.setdefault((principal.tenant, principal.name), deque())
        while moved and moved[0][0] < time.monotonic() - HOUR:
            moved.popleft()
        return moved
