"""Whole files over HTTP, continued where a connection was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.errors import RemoteError, RemoteRefused
from stargazer.remotes.web import Passing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from stargazer.remotes.web import Web

__all__ = ["download"]

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
