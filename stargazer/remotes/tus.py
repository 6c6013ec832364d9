"""Uploads in parts that go on where they were, after a kill too.

Source: https://tus.io/protocols/resumable-upload, version 1.0.0
"""

from __future__ import annotations

import base64
import contextlib
import os
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from stargazer.bounded import is_count
from stargazer.errors import RemoteError, RemoteLacks, RemoteRefused
from stargazer.remotes.patience import Passing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import BinaryIO

    import httpx

    from stargazer.remotes.base import Progress
    from stargazer.remotes.http import Web

__all__ = ["PART", "read_offset", "remember", "upload"]

PART = 48_000_000
"""Bytes of a part."""
_VERSION = {"Tus-Resumable": "1.0.0"}
_TAKING = 600.0
"""Seconds until the server must have answered to a part that it has: the last one it may have to hash and to copy."""
_AGAIN = (409, 423)


def upload(
    web: Web,
    path: str,
    file: BinaryIO,
    about: Mapping[str, str],
    note: Path,
    progress: Progress | None = None,
    part: int = PART,
) -> httpx.Headers | None:
    """Send a file in parts.

    Parameters
    ----------
    web, path
        Where uploads are made.
    file
        What is sent.
    about
        Metadata of the upload.
    note
        File of this host that remembers the upload until it is done.
    progress
        Called with the number of bytes that were just sent.
    part
        Bytes of a part.

    Returns
    -------
    httpx.Headers or None
        Of the answer to the last part; None where that was lost, and the server has all of it.

    Raises
    ------
    RemoteError
        It failed; the next call goes on with it.
    """
    size = file.seek(0, 2)
    place, at = _resumed(web, note, size)
    begun = 0
    while True:
        if place is None:
            place, at, begun = _created(web, path, size, about), 0, begun + 1
            remember(note, place)
        file.seek(at)
        before = at
        try:
            at, headers = _sent(web, note, place, at, size, file.read(min(part, size - at)))
        except RemoteLacks:  # it expired; begun anew once, for what never lasts would be sent for ever
            if begun > 1:
                raise
            place = None
            continue
        if progress and at > before:
            progress(at - before)
        if at >= size:
            with contextlib.suppress(FileNotFoundError):
                note.unlink()
            return headers


def _created(web: Web, path: str, size: int, about: Mapping[str, str]) -> str:
    metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in about.items())
    headers = {**_VERSION, "Upload-Length": str(size), "Upload-Metadata": metadata}
    answer = web.headers("POST", path, headers=headers)
    try:
        place: str = urljoin(f"{web.base}{path}", answer.get("Location", ""))
        elsewhere = urlsplit(place)[:2] != urlsplit(web.base)[:2] or "Location" not in answer
    except ValueError:  # it is no address at all
        elsewhere = True
    if elsewhere:
        raise RemoteRefused(f"{web.name} wants the upload sent to another server than its own")
    return place


def _resumed(web: Web, note: Path, size: int) -> tuple[str | None, int]:
    """Where an upload that was begun goes on, and from which byte; None if there is none any more.

    Only who says that there is none is believed: after other failures the upload must not be begun anew.
    """
    try:
        place = note.read_text("utf-8").strip()
    except FileNotFoundError:
        return None, 0
    if not place.startswith(f"{web.base}/"):
        return None, 0
    try:
        answer = web.retried(lambda: _asked(web, place))
    except RemoteLacks:
        return None, 0
    at = read_offset(web.name, answer.get("Upload-Offset", ""))
    fits = at <= size and answer.get("Upload-Length", str(size)) == str(size)
    return (place, at) if fits else (None, 0)


def _asked(web: Web, place: str) -> httpx.Headers:
    try:
        return web.headers_once("HEAD", place, headers=_VERSION)
    except RemoteError as error:
        raise _passing(error) from None


def _sent(web: Web, note: Path, place: str, at: int, size: int, data: bytes) -> tuple[int, httpx.Headers | None]:
    """How far the upload is after another part, and the answer to it, if there was one."""
    headers = {**_VERSION, "Upload-Offset": str(at), "Content-Type": "application/offset+octet-stream"}
    failed: list[Passing] = []

    def attempt() -> tuple[int, httpx.Headers | None]:
        if failed:  # the part, or some of it, may have come all the same
            found, reached = _resumed(web, note, size)
            if found is None:
                raise RemoteLacks(f"{web.name} has no longer the upload that was begun")
            if reached != at:
                return reached, None
        try:
            return _patched(web, place, at, size, len(data), headers, data)
        except RemoteError as error:
            failure = _passing(error)
            if isinstance(failure, Passing):
                failed.append(failure)
            raise failure from None

    return web.retried(attempt)


def _patched(
    web: Web, place: str, at: int, size: int, sent: int, headers: Mapping[str, str], data: bytes
) -> tuple[int, httpx.Headers]:
    with web.opened("PATCH", place, headers=headers, content=data, patience=_TAKING) as opened:
        answer = opened.headers
    reached = read_offset(web.name, answer.get("Upload-Offset", str(at + sent)))
    if reached <= at < size or reached > size:
        raise RemoteRefused(f"{web.name} says that it has {reached} bytes of {size}, after {at} and a part")
    return reached, answer


def _passing(error: RemoteError) -> RemoteError:
    """A failure as one that may pass, where another request may still hold the upload, or has just moved it on."""
    again = any(f"answered {status}" in str(error) for status in _AGAIN)
    return Passing(str(error)) if again and not isinstance(error, Passing) else error


def remember(note: Path, place: str) -> None:
    """Note where the upload goes on, for nobody else to read."""
    note.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(place)


def read_offset(who: str, text: str, most: int | None = None) -> int:
    """Return the bytes that a server has of an upload, as its ``Upload-Offset`` says.

    Parameters
    ----------
    who
        The server, for the message.
    text
        What it says; empty where it says nothing.
    most
        Bytes of the upload; more are nonsense.

    Raises
    ------
    RemoteError
        That is no such number.
    """
    if not is_count(text) or (most is not None and int(text) > most):
        raise RemoteError(f"{who} does not say how much of the upload it has")
    return int(text)
