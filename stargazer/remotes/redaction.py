"""What is secret, cut out of whatever a library or a server says, before a message, a record or a log has it."""

from __future__ import annotations

import base64
import json
import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["cut", "quiet_logs"]

_CUT = "…"
_LEFT_OUT = "(what it says holds a secret, and is left out)"
_PIECE = 12
"""Characters of a secret that may stand nowhere, if it has so many."""
_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]{0,40}://[^\s?#\"'<>\\]*)[?#][^\s\"'<>\\]*", re.IGNORECASE)
_USER = re.compile(r"(\b[a-z][a-z0-9+.-]{0,40}://)[^\s/?#@\"'<>]*@", re.IGNORECASE)
_BARE_QUERY = re.compile(r"(?<=[\w/])\?[\w%.~\[\]-]+=[^\s\"'<>]*")
_LOGGERS = (
    "httpx", "httpcore", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks",
)  # fmt: skip


def cut(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without secrets, however they are spelt in it, and without the queries of URLs.

    Parameters
    ----------
    text
        What somebody says.
    secrets
        Values of headers, passwords.
    """
    found = list(dict.fromkeys(_values(secrets)))
    for secret in found:
        for spelt in _spellings(secret):
            text = re.sub(re.escape(spelt), _CUT, text, flags=re.IGNORECASE)
    text = _USER.sub(rf"\1{_CUT}@", _QUERY.sub(rf"\1?{_CUT}", text))
    text = _BARE_QUERY.sub(f"?{_CUT}", text)
    return _LEFT_OUT if any(_shines_through(text, secret) for secret in found) else text


def _values(secrets: Iterable[str]) -> Iterator[str]:
    """The values themselves, also without the word in front; longest first is not needed, all are cut."""
    for value in secrets:
        bare = value.removeprefix("Bearer ").removeprefix("Basic ").strip()
        if bare:
            yield bare


def _spellings(secret: str) -> list[str]:
    raw = secret.encode()
    spelt = {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        quote(quote(secret, safe=""), safe=""),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        raw.hex(),
        secret[::-1],
    }
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + raw).rstrip(b"=").decode()
        start, end = (0, 2, 3)[shift], len(encoded) - (1 if (len(raw) + shift) % 3 else 0)
        spelt |= {encoded[start:end], encoded[start:end].replace("+", "-").replace("/", "_")}
    return sorted((each for each in spelt if each), key=len, reverse=True)


def _shines_through(text: str, secret: str) -> bool:
    """Whether a piece of a secret is left, in whatever percent-encoding or line breaks."""
    size = min(_PIECE, len(secret))
    if size < 4:
        return False
    pieces = {secret[at : at + size].lower() for at in range(len(secret) - size + 1)}
    seen = text.lower()
    for _ in range(3):
        plain = re.sub(r"[\s\\\"']+", "", seen)
        if any(piece in seen or piece in plain for piece in pieces):
            return True
        seen = unquote_plus(seen)
    return False


# httpx notes every URL that it asks for in its log, and httpcore the headers of answers: signed URLs stand in both.


def quiet_logs() -> None:
    """Keep queries of URLs out of the logs of the libraries that talk HTTP."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if _without_queries not in logger.filters:
            logger.addFilter(_without_queries)


def _without_queries(record: logging.LogRecord) -> bool:
    record.msg, record.args = cut(record.getMessage()), ()
    return True
