"""Connections with one end to a whole exchange, and proxies that are named where they cannot be used.

A timeout of httpx is one of each read: whoever sends a byte now and then holds a client for ever, in headers, in
``102 Processing``, in chunk extensions and in trailers. So every read here also ends when the exchange does.
"""

from __future__ import annotations

import base64
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
from stargazer.remotes.lent import Lent
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
_LONG = 1 << 20
"""Bytes of a body of which it is worth a new connection to read them without a copy."""


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
    lent
        Whether who reads the body can do with views of memory that is used again once they are gone.
    heard
        Whether anything has come: who says nothing may answer the next time, who drips will drip.
    """

    def __init__(self, timeout: float, *, whole: bool = False) -> None:
        self.timeout, self.whole = timeout, whole
        self.until = time.monotonic() + timeout
        self.heard = self.lent = False
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

    def read_into(self, view: memoryview, timeout: float | None = None) -> int:
        """Read into memory that is there, past httpcore; how many bytes came."""
        connected: socket.socket = self._inner.get_extra_info("socket")
        try:
            connected.settimeout(_bounded(timeout, httpcore.ReadTimeout))
            return connected.recv_into(view)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from None
        except OSError as error:
            raise httpcore.ReadError(str(error)) from None

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
    """The body of an answer, within its exchange.

    What is left of a long one, once its first piece came, is read from the connection itself where the exchange allows
    it: h11 copies each byte three times on its way. The connection ends with such a body: h11 lost its place.
    """

    def __init__(self, answer: httpcore.Response, request: httpx.Request) -> None:
        self._inner: Any = answer.stream
        self._exchange = exchange_of(request)
        self._timeout: float | None = request.extensions.get("timeout", {}).get("read")
        self._connection = _direct(answer) if self._exchange and self._exchange.lent else None
        self._size = _plain_length(answer.headers)

    def __iter__(self) -> Iterator[bytes]:
        parts, came = iter(self._inner), 0
        while True:
            with _during(self._exchange), _translated():
                part = next(parts, None)
            if part is None:
                return
            yield part
            came += len(part)
            if self._connection is not None and self._size - came >= _LONG:
                yield from self._rest(self._connection, came)  # type: ignore[misc] # views: who asked for this knows
                return

    def _rest(self, connection: _Stream, came: int) -> Iterator[memoryview]:
        lent = Lent()
        while came < self._size:
            with _during(self._exchange), _translated():
                part = lent.read(lambda view: connection.read_into(view, self._timeout), self._size - came)
                if not part:
                    told = f"received {came} bytes, expected {self._size}"
                    raise httpcore.RemoteProtocolError(f"peer closed connection without sending complete body ({told})")
            came += len(part)
            yield part
            del part  # what is seen here would not be free

    def close(self) -> None:
        if hasattr(self._inner, "close"):
            self._inner.close()


def _direct(answer: httpcore.Response) -> _Stream | None:
    """The connection of an answer, if it can be read without httpcore: in plain text, for TLS sends small pieces."""
    stream = answer.extensions.get("network_stream")
    plain = isinstance(stream, _Stream) and stream.get_extra_info("ssl_object") is None
    return stream if plain else None


def _plain_length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Bytes of a body that comes as it is, by headers that h11 has checked; 0 of one that comes in other ways."""
    told = {name.lower(): value for name, value in headers}
    length = told.get(b"content-length", b"")
    return int(length) if length.isdigit() and b"transfer-encoding" not in told else 0


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
        body = _Body(answer, request)
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
        guard([auth[1], base64.b64encode(":".join(auth).encode()).decode()] if auth else ())  # a proxy may repeat both
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
