"""Connections that are kept, and lent to one request at a time.

httpcore's own pool looks at each idle connection, under one lock, whenever one is taken or given back. Sixteen threads
that read small blocks then wait for that lock most of the time. Here who wants a connection takes the one that was used
last and looks at that one alone.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from threading import Semaphore
from typing import TYPE_CHECKING, Any

import httpcore

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["KEPT", "Connections"]

KEPT = 5.0
"""Seconds for which an idle connection is kept."""


class Connections:
    """Connections to servers, directly or through one proxy.

    Parameters
    ----------
    pool
        Makes them; it never holds one itself.
    most
        How many are lent at once; half as many of each server are kept idle.
    """

    def __init__(self, pool: httpcore.ConnectionPool, most: int) -> None:
        self._pool, self._most_idle = pool, most // 2
        self._room = Semaphore(most)
        self._idle: dict[tuple[bytes, bytes, int], deque[tuple[float, httpcore.ConnectionInterface]]] = {}

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request over a connection that is its own until the answer is closed."""
        if request.url.scheme not in (b"http", b"https"):
            raise httpcore.UnsupportedProtocol("the URL is neither http nor https")
        if not self._room.acquire(timeout=request.extensions.get("timeout", {}).get("pool")):
            raise httpcore.PoolTimeout("all connections are in use")
        origin = request.url.origin
        place = origin.scheme, origin.host, origin.port
        connection = None
        try:
            connection = self._kept(place) or self._pool.create_connection(origin)
            answer = connection.handle_request(request)
        except BaseException:
            self._end(connection)
            raise
        body = _Lent(answer.stream, lambda: self._give_back(place, connection))
        return httpcore.Response(answer.status, headers=answer.headers, content=body, extensions=answer.extensions)

    def _kept(self, place: tuple[bytes, bytes, int]) -> httpcore.ConnectionInterface | None:
        """The connection to a place that was used last, if it still stands."""
        idle = self._idle.get(place)
        while idle:
            try:
                _, connection = idle.pop()
            except IndexError:  # another thread took the last one
                return None
            if connection.is_available() and not connection.has_expired():
                return connection
            connection.close()
        return None

    def _give_back(self, place: tuple[bytes, bytes, int], connection: httpcore.ConnectionInterface) -> None:
        """Keep a connection for the next request, if it can have one; end those that nobody wanted for long."""
        if not connection.is_idle():
            self._end(connection)
            return
        self._idle.setdefault(place, deque()).append((time.monotonic(), connection))
        self._room.release()
        for idle in list(self._idle.values()):
            with contextlib.suppress(IndexError):  # there is none, or another thread took the last one
                while len(idle) > self._most_idle or time.monotonic() - idle[0][0] > KEPT:
                    idle.popleft()[1].close()

    def _end(self, connection: httpcore.ConnectionInterface | None) -> None:
        try:
            if connection is not None:
                connection.close()
        finally:
            self._room.release()

    def close(self) -> None:
        """Close those that are idle."""
        for idle in list(self._idle.values()):
            with contextlib.suppress(IndexError):  # there is none left
                while True:
                    idle.pop()[1].close()


class _Lent:
    """The body of an answer, which gives its connection back when it is closed, once."""

    def __init__(self, stream: Any, give_back: Any) -> None:
        self._stream, self._give_back = stream, give_back

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is None:
            return
        try:
            if hasattr(self._stream, "close"):
                self._stream.close()
        finally:
            give_back()
