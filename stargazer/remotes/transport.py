"""Connections with one end to a whole exchange, and proxies that are named where they cannot be used.

A timeout of httpx is one of each read: whoever sends a byte now and then holds a client for ever, in headers, in
``102 Processing``, in chunk extensions and in trailers. So every read here also ends when the exchange does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import httpcore
import httpx

from stargazer.errors import RemoteError
from stargazer.remotes.connections import KEPT, Connections
from stargazer.remotes.redaction import guard

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator

__all__ = ["Exchange", "Transport", "exchange_of", "proxy_for"]

_LOCAL = threading.local()
SLOWEST = 1 << 16
"""Bytes that must come, or go, within the timeout."""
_LONGEST_STEP = 1 << 16
_READ = 1 << 19
"""Bytes that are asked of a socket at once: what httpcore asks for, 64 KiB, costs more than its bytes."""


class Exchange:
    """One request with its answer and the redirects between: until when all of it must be done.

    Parameters
    ----------
    timeout
        Seconds from now; they begin anew whenever enough of a body has come or gone, unless it must come `whole`.
    whole
        It must be over in that time, whatever comes.

    Attributes
    ----------
    heard
        Whether anything has come: who says nothing may answer the next time, who drips will drip.
    """

    def __init__(self, timeout: float, *, whole: bool = False) -> None:
        self.timeout, self.whole = timeout, whole
        self.until = time.monotonic() + timeout
        self.heard = False
        self._since = 0

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    def moved(self, size: int) -> None:
        """Note bytes of a body."""
        self._since += size
        if self._since >= SLOWEST and not self.whole:
            self.until, self._since = time.monotonic() + self.timeout, 0

    def alive(self) -> None:
        """Note that the other side works, and says so."""
        self.until, self._since = time.monotonic() + self.timeout, 0

    def rested(self, seconds: float) -> None:
        """Do not count time in which we did something else."""
        self.until += seconds


def exchange_of(request: httpx.Request) -> Exchange | None:
    """Return the exchange with a server to which a request belongs; None for a request of another client."""
    return request.extensions.get("exchange")


@contextlib.contextmanager
def _during(exchange: Exchange | None) -> Iterator[None]:
    before = getattr(_LOCAL, "exchange", None)
    _LOCAL.exchange = exchange
    try:
        yield
    finally:
        _LOCAL.exchange = before


def _bounded(timeout: float | None, error: type[Exception]) -> float | None:
    exchange: Exchange | None = getattr(_LOCAL, "exchange", None)
    if exchange is None:
        return timeout
    left = exchange.left  # asked once: a moment later there may be none, and sockets take no less than that
    if left <= 0:
        raise error("the exchange takes too long")
    return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    """A connection of which every step ends when the exchange does."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._inner.read(max(max_bytes, _READ), _bounded(timeout, httpcore.ReadTimeout))
        exchange: Exchange | None = getattr(_LOCAL, "exchange", None)
        if exchange is not None and data:
            exchange.heard = True
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        exchange: Exchange | None = getattr(_LOCAL, "exchange", None)
        view = memoryview(buffer)
        while view:
            step = view[:_LONGEST_STEP]
            self._inner.write(bytes(step), _bounded(timeout, httpcore.WriteTimeout))
            if exchange is not None:
                exchange.moved(len(step))
            view = view[len(step) :]

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        bound = _bounded(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, bound))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Network(httpcore.NetworkBackend):
    """Makes such connections. Names below ``localhost`` are this host, whatever its resolver knows of them."""

    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        names = ("127.0.0.1", "::1") if host == "localhost" or host.endswith(".localhost") else (host,)
        for name in names:
            try:
                bound = _bounded(timeout, httpcore.ConnectTimeout)
                return _Stream(self._inner.connect_tcp(name, port, bound, local_address, socket_options))
            except httpcore.ConnectError:
                if name == names[-1]:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class _Body(httpx.SyncByteStream):
    def __init__(self, inner: Any, exchange: Exchange | None) -> None:
        self._inner, self._exchange = inner, exchange

    def __iter__(self) -> Iterator[bytes]:
        parts = iter(self._inner)
        while True:
            with _during(self._exchange), _translated():
                part = next(parts, None)
            if part is None:
                return
            yield part

    def close(self) -> None:
        if hasattr(self._inner, "close"):
            self._inner.close()


class Transport(httpx.BaseTransport):
    """Requests to one place, through the proxy that the environment names for it.

    Parameters
    ----------
    connections
        How many there may be at once.
    """

    def __init__(self, connections: int = 64) -> None:
        self._most = connections
        self._pools: dict[tuple[int, str, str], Connections] = {}
        self._proxies: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its body, the answer's headers and later its body within the exchange."""
        exchange = exchange_of(request)
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions={"timeout": request.extensions.get("timeout", {})},
        )
        with _during(exchange), _translated():
            answer = self._pool(request.url).handle_request(asked)
        body = _Body(answer.stream, exchange)
        told = {key: answer.extensions[key] for key in ("reason_phrase", "http_version") if key in answer.extensions}
        return httpx.Response(answer.status, headers=answer.headers, stream=body, extensions=told)

    def _pool(self, url: httpx.URL) -> Connections:
        place = url.scheme, url.host
        proxy = self._proxies.get(place)
        if proxy is None:  # the environment is asked once a host: it takes longer than the rest of a small request
            proxy = self._proxies[place] = proxy_for(f"{url.scheme}://{url.netloc.decode()}")
        of = os.getpid(), url.scheme, proxy  # a fork on connections of its parent would read its answers
        with self._lock:
            if of not in self._pools:
                secure = url.scheme == "https" or proxy.startswith("https:")
                self._pools[of] = Connections(self._made(proxy, secure=secure), self._most)
            return self._pools[of]

    def _made(self, proxy: str, *, secure: bool) -> httpcore.ConnectionPool:
        options: dict[str, Any] = {
            "ssl_context": httpx.create_ssl_context() if secure else None,  # to read certificates takes 30 ms
            "keepalive_expiry": KEPT,
            "network_backend": _Network(),
        }
        if not proxy:
            return httpcore.ConnectionPool(**options)
        parts = urlsplit(proxy)
        auth = (unquote(parts.username or ""), unquote(parts.password or "")) if parts.username else None
        guard(auth[1:] if auth else ())
        bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        if parts.scheme == "https":
            options["proxy_ssl_context"] = options["ssl_context"]
        return httpcore.HTTPProxy(bare, proxy_auth=auth, **options)

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.close()


def proxy_for(url: str) -> str:
    """URL of the proxy that the environment names for a URL; empty if there is none.

    Raises
    ------
    RemoteError
        It is of a kind that we cannot use; the message names the variable, not what it holds.
    """
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxies = getproxies()
    variable = parts.scheme if proxies.get(parts.scheme) else "all"
    proxy = proxies.get(variable, "")
    if not proxy or proxy_bypass(parts.hostname or ""):
        return ""
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    kind = urlsplit(proxy).scheme
    if kind not in ("http", "https") or not urlsplit(proxy).hostname:
        where = f"{variable.upper()}_PROXY"
        raise RemoteError(
            f"the proxy of the environment variable {where} ({kind}://…) cannot be used: http and https proxies can; "
            f"set another one, or name {parts.hostname} in NO_PROXY"
        )
    return proxy


_TRANSLATED: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.ProxyError, httpx.ProxyError),
    (httpcore.RemoteProtocolError, httpx.RemoteProtocolError),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Failures of httpcore as httpx knows them."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
        kind = next((ours for theirs, ours in _TRANSLATED if isinstance(error, theirs)), httpx.ReadError)
        raise kind(str(error)) from None
    except httpcore.UnsupportedProtocol as error:
        raise httpx.UnsupportedProtocol(str(error)) from None
    except (socket.gaierror, OverflowError, UnicodeError) as error:
        raise httpx.ConnectError(str(error)) from None
