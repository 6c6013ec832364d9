"""HTTP with patience and with bounds: retries where that may help, and an end to everything."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx
import tenacity

from stargazer import config
from stargazer.errors import RemoteError, RemoteLacks, RemoteRefused, TokenMissing
from stargazer.remotes.base import ATTEMPTS, MOST_REDIRECTS, TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["PASSING", "Passing", "Web", "bearer", "download", "hide"]

_LACKING = {404, 410}
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT = 60.0
_CONNECT = 10.0
_SLOWEST = 1 << 16
_SAID = 200


class Passing(RemoteError):
    """A failure that may be gone at the next attempt."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class Web:
    """Requests to one remote. Errors name the remote, never an address with its query: it may hold a signature.

    Parameters
    ----------
    name
        Of the remote, for messages.
    base
        URL before the paths of requests.
    timeout
        Seconds in which an answer, or each block of a long one, must come.
    headers
        Gives the headers that every request has, such as a token, when the first request is made.
    attempts
        How often a request is made that fails for reasons which pass.
    passing
        Statuses of answers that may be other ones at the next attempt.
    """

    def __init__(
        self,
        name: str,
        base: str,
        timeout: float = TIMEOUT,
        headers: Callable[[], Mapping[str, str]] = dict,
        attempts: int = ATTEMPTS,
        passing: frozenset[int] = PASSING,
    ) -> None:
        self.name, self.base, self.timeout, self.attempts = name, base.rstrip("/"), timeout, attempts
        self._headers, self._passing = headers, passing

    @cached_property
    def client(self) -> httpx.Client:
        """Connections, opened when they are needed and kept."""
        return httpx.Client(
            headers={"Accept-Encoding": "identity", "User-Agent": "stargazer", **self._headers()},
            timeout=httpx.Timeout(self.timeout, connect=min(_CONNECT, self.timeout)),
            follow_redirects=True,
            max_redirects=MOST_REDIRECTS,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=32),
            event_hooks={"request": [self._stay_honest]},
        )

    def _stay_honest(self, request: httpx.Request) -> None:
        """Keep a redirect from leading to the files or the plain text of another scheme."""
        if request.url.scheme != "https" and not self.base.startswith(f"{request.url.scheme}:"):
            raise RemoteRefused(f"{self.name} redirects from https to {request.url.scheme}")

    def get(self, path: str, most: int, **options: Any) -> bytes:
        """The body of an answer of at most so many bytes.

        Raises
        ------
        RemoteLacks
            The remote says that there is none.
        RemoteRefused
            The body is longer, shorter than it was announced, or comes too slowly.
        RemoteError
            The remote cannot be reached, or says no.
        """
        return self.retried(lambda: self._get(path, most, options))

    def _get(self, path: str, most: int, options: dict[str, Any]) -> bytes:
        with self.opened(**{"method": "GET", "path": path, **options}) as answer:
            return self.read(answer, most)

    def read(self, answer: httpx.Response, most: int) -> bytes:
        """The body of an answer, of at most so many bytes, which must come in time."""
        if int(answer.headers.get("Content-Length", 0)) > most:
            raise RemoteRefused(f"{self.name} announces {answer.headers['Content-Length']} bytes, not {most}")
        body = bytearray()
        for part in self.parts(answer, whole=True):
            body += part
            if len(body) > most:
                raise RemoteRefused(f"{self.name} sends more than the {most} bytes that this may have")
        return bytes(body)

    def json(self, method: str, path: str, **options: Any) -> Any:
        """The JSON that a request is answered with; None for an empty answer."""
        import json

        body = self.retried(lambda: self._get(path, 64 << 20, {**options, "method": method}))
        try:
            return json.loads(body) if body.strip() else None
        except (ValueError, RecursionError) as error:
            raise RemoteError(f"{self.name} answered with something that is no JSON: {body[:_SAID]!r}") from error

    def headers(self, method: str, path: str, **options: Any) -> httpx.Headers:
        """Headers of an answer, of which the body does not matter."""
        return self.retried(lambda: self.headers_once(method, path, **options))

    def headers_once(self, method: str, path: str, **options: Any) -> httpx.Headers:
        """The same without another attempt."""
        with self.opened(method, path, **options) as answer:
            return answer.headers

    @cached_property
    def retried(self) -> tenacity.Retrying:
        """Try, wait and try again while failures are such as pass; a wait that the remote asks for is honoured."""
        growing = tenacity.wait_exponential(multiplier=0.1, max=8.0) + tenacity.wait_random(0, 0.1)

        def wait(state: tenacity.RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome else None
            return max(growing(state), min(getattr(failure, "wait", 0.0), _LONGEST_WAIT))

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Passing),
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=wait,
            reraise=True,
        )

    @contextlib.contextmanager
    def opened(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """An answer of which the body is still to be read, once its status says that it is one."""
        url = path if "://" in path else f"{self.base}{path}"
        with self._named(), self.client.stream(method, url, **options) as answer:
            if answer.status_code >= 400:
                raise self._refusal(answer)
            yield answer

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Failures of HTTP as errors that name the remote and hold no address."""
        try:
            yield
        except httpx.TooManyRedirects:
            raise RemoteRefused(f"{self.name} redirects in a loop (more than {MOST_REDIRECTS} times)") from None
        except httpx.ConnectTimeout:
            raise RemoteRefused(f"{self.name} did not answer within {min(_CONNECT, self.timeout):g} s") from None
        except httpx.TimeoutException:
            raise RemoteRefused(f"{self.name} sent nothing for {self.timeout:g} s") from None
        except httpx.RemoteProtocolError as error:
            raise Passing(f"{self.name} ended its answer early ({_plain(error)})") from None
        except httpx.TransportError as error:
            raise Passing(f"{self.name} cannot be reached ({_plain(error)})") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RemoteError(f"{self.name} failed ({type(error).__name__})") from None

    def _refusal(self, answer: httpx.Response) -> RemoteError:
        status = answer.status_code
        said = self._said(answer)
        message = f"{self.name} answered {status} {answer.reason_phrase}" + (f": {said}" if said else "")
        if status in _LACKING:
            return RemoteLacks(message)
        if status in self._passing:
            return Passing(message, _seconds(answer.headers.get("Retry-After", "")))
        return RemoteError(message)

    def _said(self, answer: httpx.Response) -> str:
        body = b""
        for part in self.parts(answer):
            body += part
            if len(body) > _SAID:
                break
        text = " ".join(body.decode("utf-8", "replace")[:_SAID].split())
        for secret in self._headers().values():
            text = text.replace(secret, "…").replace(secret.removeprefix("Bearer "), "…")
        return text

    def parts(self, answer: httpx.Response, *, whole: bool = False) -> Iterator[bytes]:
        """The pieces of a body, with an end to patience: what drips is refused, or what does not come whole in time."""
        start, since = time.monotonic(), 0
        for part in answer.iter_raw():
            since += len(part)
            yield part
            now = time.monotonic()
            if now - start > self.timeout:
                if whole or since < _SLOWEST:
                    raise RemoteRefused(f"{self.name} is too slow: {since} bytes in {now - start:.0f} s")
                start, since = time.monotonic(), 0


def bearer(token: str | None, remote: str) -> dict[str, str]:
    """The header with the token that an environment variable holds; none where no variable is named.

    Raises
    ------
    TokenMissing
        The variable is not set.
    """
    if token is None:
        return {}
    value = config.secret(token)
    if value is None:
        raise TokenMissing(f"the environment variable {token} is not set; it must hold the token of {remote}")
    return {"Authorization": f"Bearer {value}"}


def _plain(error: Exception) -> str:
    return str(error) or type(error).__name__


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0


# Whole files over HTTP, continued where a connection was lost.


_AT_THE_END = "answered 416"


def download(web: Web, address: Callable[[], str], start: int = 0) -> Iterator[bytes]:
    """Bytes of a file from `start` on, unchecked; as many as the server announces, no more.

    Parameters
    ----------
    web
        The server.
    address
        Gives the file's URL; asked again after a failure, for it may expire.
    start
        The first byte that is wanted.

    Raises
    ------
    RemoteRefused
        The server announces no length, or sends another range than it was asked for.
    RemoteError
        It failed, again and again.
    """
    at, failures = start, 0
    while True:
        before = at
        try:
            for piece in _pieces(web, address(), at):
                at += len(piece)
                yield piece
            return
        except Passing:
            failures = 0 if at > before else failures + 1
            if failures >= web.attempts:
                raise


def _pieces(web: Web, url: str, start: int) -> Iterator[bytes]:
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        with web.opened("GET", url, headers=headers) as answer:
            skipped = start - _first(web, answer)
            if "Content-Length" not in answer.headers:
                raise RemoteRefused(f"{web.name} does not say how long the file is")
            for piece in web.parts(answer):
                if skipped < len(piece):
                    yield piece[max(0, skipped) :]
                skipped -= len(piece)
    except RemoteError as error:
        if not (start and _AT_THE_END in str(error)):
            raise


def _first(web: Web, answer: httpx.Response) -> int:
    """The byte of the file with which an answer begins."""
    if answer.status_code != 206:
        return 0
    unit, _, rest = answer.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    if unit != "bytes" or not first.isdigit():
        raise RemoteRefused(f"{web.name} sends a range without saying which")
    return int(first)


# Signed URLs, which are secrets while they are valid: httpx notes every URL in its log, these without signature.


_hidden: deque[str] = deque(maxlen=1000)


def hide(url: str) -> str:
    """Keep a signed URL out of the log in which httpx notes requests; the URL again."""
    _hidden.append(url)
    logging.getLogger("httpx").addFilter(_without_signature)
    return url


def _without_signature(record: logging.LogRecord) -> bool:
    """Cut signatures off the URLs that httpx notes."""
    if isinstance(record.args, tuple):
        shown = [str(arg).partition("?")[0] if str(arg) in _hidden else arg for arg in record.args]
        record.args = tuple(shown)
    return True
