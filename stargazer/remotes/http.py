"""HTTP with patience and with bounds: retries where that may help, and an end to everything."""

from __future__ import annotations

import contextlib
import re
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from stargazer import config
from stargazer.bounded import is_count
from stargazer.encodings import ENCODINGS, PLAIN, Malformed, decoded
from stargazer.errors import RemoteCannot, RemoteError, RemoteLacks, RemoteRefused, StargazerError, TokenMissing
from stargazer.remotes.base import ATTEMPTS, MOST_REDIRECTS, TIMEOUT
from stargazer.remotes.patience import PASSING, Passing, persistently, wait_asked
from stargazer.remotes.redaction import LEAST, cut, guard, quiet_logs
from stargazer.remotes.transport import Exchange, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from stargazer.remotes.base import Piece

__all__ = ["PASSING", "Passing", "Web", "bearer", "download"]

T = TypeVar("T")

_LACKING = {404, 410}
_CONNECT = 10.0
_SAID = 200
_HEARD = 1 << 14
_CUT_OFF = ("peer closed", "disconnected", "without sending", "incomplete")
"""How h11 speaks of a connection that ended; all else that it says is about answers that will be so again."""
_NO_TLS = re.compile("WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|UNKNOWN_PROTOCOL")


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
        How often a request is made at most that fails for reasons which pass.
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
        self.answered = self.proven = False

    @cached_property
    def client(self) -> httpx.Client:
        """Connections, opened when they are needed and kept."""
        quiet_logs()
        secret = self._headers()
        guard(secret.values())
        return httpx.Client(
            headers={"Accept-Encoding": "identity", "User-Agent": "stargazer", **secret},
            timeout=httpx.Timeout(self.timeout, connect=min(_CONNECT, self.timeout)),
            transport=Transport(),
            event_hooks={"request": [self._stay_honest]},
        )

    def _stay_honest(self, request: httpx.Request) -> None:
        """Keep a redirect from leading to the files or the plain text of another scheme."""
        if request.url.scheme not in ("http", "https"):
            raise RemoteRefused(f"{self.name} redirects to what is neither http nor https")
        if request.url.scheme != "https" and not self.base.startswith(f"{request.url.scheme}:"):
            raise RemoteRefused(f"{self.name} redirects from https to {request.url.scheme}")

    def get(self, path: str, most: int, **options: Any) -> bytes:
        """The body of an answer of at most so many bytes.

        Raises
        ------
        RemoteLacks
            The remote says that there is none.
        RemoteRefused
            The body is longer than that.
        Passing
            It failed in a way that may pass, or came too slowly, again and again.
        RemoteError
            The remote cannot be reached, or says no.
        """
        return self.retried(lambda: self.get_once(path, most, **options))

    def get_once(self, path: str, most: int, **options: Any) -> bytes:
        """The same without another attempt."""
        with self.opened(**{"method": "GET", "path": path, "whole": True, **options}) as answer:
            return self.read(answer, most)

    def read(self, answer: httpx.Response, most: int) -> bytes:
        """The body of an answer, of at most so many bytes, which must come in time."""
        if not encoded(answer) and (length_of(answer) or 0) > most:
            raise RemoteRefused(f"{self.name} announces {length_of(answer)} bytes, not {most}")
        body = bytearray()
        for part in self.parts(answer):
            body += part
            if len(body) > most:
                raise RemoteRefused(f"{self.name} sent more than the {most} bytes that this may have")
        return bytes(body)

    def json(self, method: str, path: str, **options: Any) -> Any:
        """The JSON that a request is answered with; None for an empty answer."""
        return self.decoded(self.retried(lambda: self.get_once(path, 64 << 20, **{**options, "method": method})))

    def decoded(self, body: bytes) -> Any:
        """A body as JSON; None if it is empty."""
        import json

        try:
            return json.loads(body) if body.strip() else None
        except (ValueError, RecursionError):
            said = self.quoted(body[:_HEARD].decode("utf-8", "replace"))
            raise RemoteError(f"{self.name} answered with something that is no JSON: {said!r}") from None

    def headers(self, method: str, path: str, **options: Any) -> httpx.Headers:
        """Headers of an answer, of which the body does not matter."""
        return self.retried(lambda: self.headers_once(method, path, **options))

    def headers_once(self, method: str, path: str, **options: Any) -> httpx.Headers:
        """The same without another attempt."""
        with self.opened(method, path, **options) as answer:
            return answer.headers

    def retried(self, attempt: Callable[[], T]) -> T:
        """Try, wait and try again while failures are such as pass; a wait that the remote asks for is honoured."""
        return persistently(attempt, self.attempts, self)

    @contextlib.contextmanager
    def opened(
        self,
        method: str,
        path: str,
        *,
        whole: bool = False,
        patience: float | None = None,
        lent: bool = False,
        **options: Any,
    ) -> Iterator[httpx.Response]:
        """An answer of which the body is still to be read, once its status says that it is one.

        Parameters
        ----------
        method, path
            Of the request.
        whole
            The answer must come whole in the time of one block.
        patience
            Seconds until the answer must begin, where it takes the other side longer.
        lent
            The pieces of its body may be views of memory that is used again once they are gone.
        **options
            Of the request, as httpx takes them.
        """
        url = path if "://" in path else f"{self.base}{path}"
        exchange = Exchange(patience or self.timeout, whole=whole)
        exchange.lent = lent
        with self._named(exchange):
            request = self._request(method, url, options)
            if patience:
                request.extensions["timeout"] = {**request.extensions["timeout"], "read": patience}
            answer = self._followed(request, exchange)
            exchange.timeout = self.timeout
            try:
                self.answered = True
                if answer.status_code >= 400:
                    ours = answer.request is request and "://" not in path
                    raise self._refusal(answer, () if ours else _values_of(answer.request.url))
                if answer.status_code not in (200, 201, 202, 204, 206):
                    raise RemoteError(f"{self.name} answered {answer.status_code}, which is no answer to this")
                yield answer
                self.proven = True
            finally:
                answer.close()

    def _request(self, method: str, url: str, options: dict[str, Any]) -> httpx.Request:
        try:
            return self.client.build_request(method, url, **options)
        except (UnicodeError, ValueError) as error:
            if isinstance(error, StargazerError):
                raise
            raise RemoteError(f"{self.name} has no address that can be asked ({type(error).__name__})") from None

    def _followed(self, request: httpx.Request, exchange: Exchange) -> httpx.Response:
        """The answer behind redirects, none of whose bodies is read; a token does not go to another host."""
        for _ in range(MOST_REDIRECTS + 1):
            request.extensions["exchange"] = exchange
            answer = self.client.send(request, stream=True)
            if answer.next_request is None:
                return answer
            answer.close()
            request = answer.next_request
        raise RemoteRefused(f"{self.name} redirects in a loop (more than {MOST_REDIRECTS} times)")

    @contextlib.contextmanager
    def _named(self, exchange: Exchange) -> Iterator[None]:
        """Failures of HTTP as errors that name the remote, with nothing secret in them."""
        try:
            yield
        except httpx.ConnectTimeout:
            told = f"{self.name} did not answer within {min(_CONNECT, self.timeout):g} s"
            raise Passing(told, unreached=True) from None
        except httpx.TimeoutException:
            told = f"{self.name} is too slow: its answer did not come within {exchange.timeout:g} s"
            raise (RemoteError(told) if exchange.heard else Passing(told)) from None
        except httpx.RemoteProtocolError as error:
            if "location" in str(error).lower():
                raise RemoteRefused(f"{self.name} redirects to what is no address") from None
            told = f"{self.name} ended its answer early ({self._plain(error)})"
            raise (Passing(told) if any(word in told for word in _CUT_OFF) else RemoteError(told)) from None
        except httpx.UnsupportedProtocol:
            raise RemoteRefused(f"{self.name} redirects to what is neither http nor https") from None
        except httpx.TransportError as error:
            if told := _untrusted(str(error)):
                raise RemoteError(f"{self.name} {told} ({self._plain(error)})") from None
            unreached = isinstance(error, httpx.ConnectError)
            raise Passing(f"{self.name} cannot be reached ({self._plain(error)})", unreached=unreached) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RemoteError(f"{self.name} failed ({type(error).__name__})") from None

    def _refusal(self, answer: httpx.Response, secrets: Sequence[str]) -> RemoteError:
        status = answer.status_code
        said = self._said(answer, secrets)
        reason = self.quoted(answer.reason_phrase, secrets)
        message = f"{self.name} answered {status} {reason}".rstrip() + (f": {said}" if said else "")
        asked = answer.headers.get("Retry-After")
        if status in self._passing or (status in _LACKING and asked):
            return Passing(message, wait_asked(asked or ""))
        return RemoteLacks(message) if status in _LACKING else RemoteError(message)

    def _said(self, answer: httpx.Response, secrets: Sequence[str]) -> str:
        body = b""
        with contextlib.suppress(httpx.HTTPError, RemoteError):  # what it says does not matter as much as its status
            for part in self.parts(answer):
                body += part
                if len(body) > _HEARD:
                    break
        return self.quoted(body[:_HEARD].decode("utf-8", "replace"), secrets)

    def quoted(self, text: str, secrets: Sequence[str] = ()) -> str:
        """The beginning of what the remote says, without secrets: those of its headers, and others."""
        return self.cut(" ".join(text.split()), secrets)[:_SAID]

    def cut(self, text: str, secrets: Sequence[str] = ()) -> str:
        """A text of which the remote told a part, without secrets."""
        return cut(text, [*self._headers().values(), *secrets])

    def _plain(self, error: Exception) -> str:
        return self.quoted(str(error)) or type(error).__name__

    def parts(self, answer: httpx.Response) -> Iterator[bytes]:
        """The pieces of a body, decoded; what drips, or does not come whole in time, ends with the exchange."""
        encoding = _encoding_of(answer)
        if encoding not in ENCODINGS:
            raise RemoteCannot(f"{self.name} encodes what it sends in a way that we cannot read")
        exchange: Exchange = answer.request.extensions["exchange"]
        try:
            for part in decoded(_moving(answer, exchange), encoding):
                given = time.monotonic()
                yield part
                exchange.rested(time.monotonic() - given)
        except Malformed as error:
            raise RemoteError(f"{self.name} sends what cannot be read: {error}") from None


def _moving(answer: httpx.Response, exchange: Exchange) -> Iterator[bytes]:
    """The pieces of a body as they come; each is noted by its own length, for a few bytes may stand for millions."""
    for part in answer.iter_raw():
        exchange.moved(len(part))
        yield part


def _encoding_of(answer: httpx.Response) -> str:
    return str(answer.headers.get("Content-Encoding", "")).strip().lower()


def _untrusted(text: str) -> str:
    """What is wrong with TLS and will be so again; empty of other failures."""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "has a certificate that this host does not trust; an authority of your own is named by SSL_CERT_FILE"
    return "does not speak TLS: is it http, or another port?" if _NO_TLS.search(text) else ""


def _values_of(url: httpx.URL) -> list[str]:
    """What may be a signature in the query of a URL that somebody gave us: servers repeat it where it has expired."""
    return [value for _, value in url.params.multi_items() if len(value) >= LEAST]


def encoded(answer: httpx.Response) -> bool:
    """Whether a body is compressed although nobody asked for that: its length and ranges are of other bytes then."""
    return _encoding_of(answer) not in PLAIN


def length_of(answer: httpx.Response) -> int | None:
    """Bytes of a body, as they were announced; None where that is no number."""
    text = answer.headers.get("Content-Length", "")
    return int(text) if is_count(text) else None


def is_page(answer: httpx.Response) -> bool:
    """Whether an answer is a page for people: a login, a notice, a service worker."""
    return str(answer.headers.get("Content-Type", "")).strip().lower().startswith("text/html")


def bearer(token: str | None, remote: str) -> dict[str, str]:
    """The header with the token that an environment variable holds; none where no variable is named.

    Raises
    ------
    TokenMissing
        The variable is not set, or holds what no header may have. What it holds is not shown.
    """
    if token is None:
        return {}
    value = config.secret(token)
    if value is None:
        raise TokenMissing(f"the environment variable {token} is not set; it must hold the token of {remote}")
    odd = next((at for at, sign in enumerate(value) if not "!" <= sign <= "~"), None)
    if odd is not None:
        what = (
            "a line break"
            if value[odd] in "\r\n"
            else "a blank"
            if value[odd].isspace()
            else "a letter that no token has"
        )
        raise TokenMissing(
            f"the environment variable {token} holds {what} (character {odd + 1} of {len(value)}); it must hold the "
            f"token of {remote}, in one line: copy it once more"
        )
    return {"Authorization": f"Bearer {value}"}


# Whole files over HTTP, continued where a connection was lost.


_AT_THE_END = "answered 416"
_SMALL = 64 << 20
"""Bytes of which a server is believed that the file has so many; of more, whoever knows is asked first."""


def download(
    web: Web,
    address: Callable[[], str],
    start: int = 0,
    most: Callable[[], int | None] | None = None,
    attempts: int = ATTEMPTS,
) -> Iterator[Piece]:
    """Bytes of a file from `start` on, unchecked.

    Parameters
    ----------
    web
        The server.
    address
        Gives the file's URL; asked again after a failure, for it may expire.
    start
        The first byte that is wanted.
    most
        Gives the bytes that the file may have where the server announces no length; None: whoever takes them knows.
    attempts
        How often in a row it may fail in ways that pass.

    Raises
    ------
    RemoteRefused
        The server sends another range than it was asked for, or more than the file may have.
    RemoteError
        It failed, again and again.
    """
    at = start

    def attempt() -> tuple[Piece | None, Iterator[Piece]]:
        pieces = _pieces(web, address(), at, most)
        return next(pieces, None), pieces

    while True:
        first, pieces = persistently(attempt, min(attempts, web.attempts), web)
        try:
            while first is not None:
                at += len(first)
                yield first
                first = next(pieces, None)
            return
        except Passing:
            if web.attempts == 1:
                raise


def _pieces(web: Web, url: str, start: int, most: Callable[[], int | None] | None) -> Iterator[Piece]:
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        with web.opened("GET", url, headers=headers, lent=True) as answer:
            if is_page(answer):
                raise RemoteCannot(f"{web.name} sends a page of HTML instead of the file")
            at = _first(web, answer)
            end = _bound(web, answer, at, most)
            for piece in web.parts(answer):
                if at + len(piece) > start:
                    yield piece[max(0, start - at) :]
                at += len(piece)
                if end is not None and at > end:
                    raise RemoteRefused(f"{web.name} sends more than the {end} bytes that the file has")
    except RemoteError as error:
        if not (start and _AT_THE_END in str(error)):
            raise


def _bound(web: Web, answer: httpx.Response, at: int, most: Callable[[], int | None] | None) -> int | None:
    """The byte after the last that may come; None where the answer itself ends soon, or whoever reads it knows."""
    announced = None if encoded(answer) else length_of(answer)
    if most is None or (announced is not None and announced <= _SMALL):
        return None
    end = most()
    if end is None:
        if announced is not None:  # nobody knows better
            return None
        raise RemoteRefused(f"{web.name} does not say how long the file is")
    if announced is not None and at + announced > end:
        raise RemoteRefused(f"{web.name} announces {at + announced} bytes of a file that has {end}")
    return end


def _first(web: Web, answer: httpx.Response) -> int:
    """The byte of the file with which an answer begins."""
    if answer.status_code != 206:
        return 0
    unit, _, rest = answer.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    if unit != "bytes" or not is_count(first):
        raise RemoteRefused(f"{web.name} sends a range without saying which")
    return int(first)
