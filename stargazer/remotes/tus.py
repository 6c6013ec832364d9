"""Uploads in parts that go on where they were, after a kill too.

Source: https://tus.io/protocols/resumable-upload, version 1.0.0
"""

from __future__ import annotations

import base64
import contextlib
import os
import time
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from stargazer.errors import RemoteError, RemoteRefused
from stargazer.remotes.http import Passing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import BinaryIO

    import httpx

    from stargazer.remotes.base import Progress
    from stargazer.remotes.http import Web

__all__ = ["PART", "upload"]

PART = 48_000_000
"""Bytes of a part."""
_VERSION = {"Tus-Resumable": "1.0.0"}


def upload(
    web: Web,
    path: str,
    file: BinaryIO,
    about: Mapping[str, str],
    note: Path,
    progress: Progress | None = None,
    part: int = PART,
) -> httpx.Headers:
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
    httpx.Headers
        Of the answer to the last part.

    Raises
    ------
    RemoteError
        It failed; the next call goes on with it.
    """
    size = file.seek(0, 2)
    place, at = _resumed(web, note, size)
    if place is None:
        place, at = _created(web, path, size, about), 0
        _remember(note, place)
    while True:
        file.seek(at)
        before = at
        at, headers = _sent(web, note, place, at, size, file.read(min(part, size - at)))
        if progress and at > before:
            progress(at - before)
        if at >= size and headers is not None:
            with contextlib.suppress(FileNotFoundError):
                note.unlink()
            return headers


def _created(web: Web, path: str, size: int, about: Mapping[str, str]) -> str:
    metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in about.items())
    headers = {**_VERSION, "Upload-Length": str(size), "Upload-Metadata": metadata}
    answer = web.headers("POST", path, headers=headers)
    place: str = urljoin(f"{web.base}{path}", answer.get("Location", ""))
    if urlsplit(place)[:2] != urlsplit(web.base)[:2] or "Location" not in answer:
        raise RemoteRefused(f"{web.name} wants the upload sent to another server than its own")
    return place


def _resumed(web: Web, note: Path, size: int) -> tuple[str | None, int]:
    """Where an upload that was begun goes on, and from which byte; None if there is none any more."""
    try:
        place = note.read_text("utf-8").strip()
        answer = web.headers("HEAD", place, headers=_VERSION) if place.startswith(web.base) else {}
        at = _number(web, answer.get("Upload-Offset", ""))
    except (FileNotFoundError, RemoteError):
        return None, 0
    return (place, at) if at < size and answer.get("Upload-Length", str(size)) == str(size) else (None, 0)


def _sent(web: Web, note: Path, place: str, at: int, size: int, data: bytes) -> tuple[int, httpx.Headers | None]:
    """How far the upload is after another part, and the answer to it, if there was one."""
    headers = {**_VERSION, "Upload-Offset": str(at), "Content-Type": "application/offset+octet-stream"}
    for failures in range(web.attempts):
        try:
            answer = web.headers_once("PATCH", place, headers=headers, content=data)
        except Passing as error:
            time.sleep(max(error.wait, 0.1 * 2**failures))
            found = _resumed(web, note, size)
            if failures + 1 == web.attempts or found[0] is None:
                raise
            if found[1] != at:
                return found[1], None
        else:
            reached = _number(web, answer.get("Upload-Offset", str(at + len(data))))
            if reached <= at < size or reached > size:
                raise RemoteRefused(f"{web.name} says that it has {reached} bytes of {size}, after {at} and a part")
            return reached, answer
    raise RemoteError(f"{web.name} takes no more of the upload")


def _remember(note: Path, place: str) -> None:
    """Note where the upload goes on, for nobody else to read."""
    note.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(place)


def _number(web: Web, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RemoteError(f"{web.name} does not say how much of the upload it has") from None
