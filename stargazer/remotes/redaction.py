"""What is secret, cut out of whatever a library or a server says, before a message, a record or a log has it."""

from __future__ import annotations

import base64
import codecs
import functools
import html
import json
import logging
import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["LEAST", "cut", "guard", "quiet_logs"]

_CUT = "…"
_LEFT_OUT = "(what it says holds a secret, and is left out)"
_PIECE = 12
"""Characters of a secret that may stand nowhere, if it has so many."""
LEAST = 8
"""Characters of what may be a secret: what is shorter may be a common word."""
_LEAST_KNOWN = 4
"""The same of what is one: a password that somebody chose for a proxy."""
_ENCODED_PIECE = 16
"""The same of a secret in another alphabet."""
_MOST = 1 << 14
"""Characters of what somebody says that are read at all."""
_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]{0,40}://[^\s?#\"'<>\\]{0,1000})[?#][^\s\"'<>\\]*", re.IGNORECASE)
_USER = re.compile(r"(\b[a-z][a-z0-9+.-]{0,40}://)[^\s/?#@\"'<>]{0,1000}@", re.IGNORECASE)
_BARE_QUERY = re.compile(r"(?<=[\w/])\?[\w%.~\[\]-]{1,200}=[^\s\"'<>]*")
_NO_LETTER = re.compile(r"[^a-z0-9]+")
_ESCAPE = re.compile(r"\\u\{?([0-9a-f]{2,6})\}?|\\x([0-9a-f]{2})|=([0-9a-f]{2})", re.IGNORECASE)
_OCTAL = re.compile(r"\\([0-3][0-7]{2})")
_LOGGERS = (
    "httpx", "httpcore", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks",
)  # fmt: skip
_guarded: dict[str, None] = {}


def guard(secrets: Iterable[str]) -> None:
    """Have secrets cut out of whatever is told or logged from now on, by whomever; those of three letters are words."""
    _guarded.update(dict.fromkeys(each for each in _values(secrets) if len(each) >= _LEAST_KNOWN))


def cut(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without secrets, however they are spelt in it, and without the queries of URLs.

    Parameters
    ----------
    text
        What somebody says.
    secrets
        Values of headers, passwords; those of `guard` are cut in any case.
    """
    text = text if len(text) <= _MOST else f"{text[:_MOST]}{_CUT}"
    found = list(dict.fromkeys([*_values(secrets), *_guarded]))
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


@functools.lru_cache(64)
def _spellings(secret: str) -> list[str]:
    """A secret as it may stand in a text, the longest first."""
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
        secret[::-1],
        *_encoded(raw),
    }
    return sorted((each for each in spelt if each), key=len, reverse=True)


def _encoded(raw: bytes) -> Iterator[str]:
    """A secret in other alphabets; base64 of it within something longer, and base64 of that."""
    yield raw.hex()
    yield base64.b32encode(raw).rstrip(b"=").decode()
    yield base64.b85encode(raw).decode()
    yield base64.a85encode(raw).decode()
    yield codecs.encode(raw.decode("latin-1"), "rot13")
    yield ", ".join(map(str, raw))
    for once in _base64(raw):
        yield once
        yield from _base64(once.encode())


def _base64(raw: bytes) -> Iterator[str]:
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + raw).rstrip(b"=").decode()
        start, end = (0, 2, 3)[shift], len(encoded) - (1 if (len(raw) + shift) % 3 else 0)
        yield encoded[start:end]
        yield encoded[start:end].replace("+", "-").replace("/", "_")


def _shines_through(text: str, secret: str) -> bool:
    """Whether a piece of a secret is left, in whatever percent-encoding, escapes, alphabet or line breaks."""
    size = min(_PIECE, len(secret))
    if size < 4:
        return False
    plain, letters, encoded = _pieces(secret)
    seen = text.lower()
    for _ in range(4):
        bare = _NO_LETTER.sub("", seen)
        if _has(seen, plain, size) or _has(bare, letters, _PIECE) or _has(bare, encoded, _ENCODED_PIECE):
            return True
        seen = _unescaped(seen)
    return False


@functools.lru_cache(64)
def _pieces(secret: str) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Pieces of a secret; of its letters and digits alone; and of those in other alphabets."""
    encoded = [_NO_LETTER.sub("", each.lower()) for each in (secret[::-1], *_encoded(secret.encode()))]
    return (
        _cut_up(secret.lower(), min(_PIECE, len(secret))),
        _cut_up(_NO_LETTER.sub("", secret.lower()), _PIECE),
        frozenset().union(*(_cut_up(each, _ENCODED_PIECE) for each in encoded)),
    )


def _cut_up(text: str, size: int) -> frozenset[str]:
    return frozenset(text[at : at + size] for at in range(len(text) - size + 1))


def _has(text: str, pieces: frozenset[str], size: int) -> bool:
    return bool(pieces) and any(text[at : at + size] in pieces for at in range(len(text) - size + 1))


def _unescaped(text: str) -> str:
    """A text with one layer of escapes less: those of URLs, HTML, JSON, Python, mail; wide letters are plain ones."""
    text = unicodedata.normalize("NFKC", html.unescape(unquote_plus(text)))
    text = _ESCAPE.sub(lambda found: _letter(int(next(filter(None, found.groups())), 16)), text)
    return _OCTAL.sub(lambda found: _letter(int(found[1], 8)), text).lower()


def _letter(number: int) -> str:
    return chr(number) if number < 0x110000 else ""


# httpx notes every URL that it asks for in its log, and httpcore the headers of answers: signed URLs stand in both, and
# whatever a server repeats of what it was sent.


def quiet_logs() -> None:
    """Keep secrets and queries of URLs out of the logs of the libraries that talk HTTP."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if _without_secrets not in logger.filters:
            logger.addFilter(_without_secrets)


def _without_secrets(record: logging.LogRecord) -> bool:
    record.msg, record.args = cut(record.getMessage()), ()
    return True
