"""Files from the browser, in pieces: what has arrived stays, and a reload goes on from there."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from stargazer.catalog.arguments import draft
from stargazer.errors import ArgumentError, Conflict, NotFound, StoreFull

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stargazer.assets import Asset
    from stargazer.store import Store

__all__ = ["Uploads"]

ID = re.compile(r"[0-9a-f]{32}")
LARGEST = 1 << 46
MADE = "made"
"""Where the id of what an upload made is kept: an answer may be lost, and nobody wants to send all of it again."""

KEPT = 7 * 86400.0
"""Seconds after which an upload that nobody went on with is removed."""

MARGIN = 1 << 28
"""Bytes of the disk that an upload leaves free."""


class Uploads:
    """Uploads that are under way, each a folder with what has arrived.

    Parameters
    ----------
    folder
        Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, name: str, size: int, kind: str, facts: dict[str, str], key: str) -> dict[str, Any]:
        """Begin an upload, or find the one that a page began before its reload.

        Parameters
        ----------
        name, size
            Of the file; bytes.
        kind, facts
            Asset type and facts, as texts.
        key
            What the page knows the file by: the same file and facts go on where they were.

        Raises
        ------
        ArgumentError
            A name, size, type or fact that no file has.
        StoreFull
            There is no room for it.
        """
        _checked(name, size)
        draft(kind, [f"{fact}={value}" for fact, value in facts.items()])
        told = {"name": name, "size": size, "kind": kind, "facts": facts}
        number = hashlib.sha256(json.dumps([told, key], sort_keys=True).encode()).hexdigest()[:32]
        place = self.folder / number
        self._tidy()
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        (place / MADE).unlink(missing_ok=True)  # who chooses it once more may have another file of that name and size
        if shutil.disk_usage(place).free < size + MARGIN:
            raise StoreFull(28, f"there is no room for {size:,} bytes where uploads are kept", os.fspath(self.folder))
        (place / "about.json").write_text(json.dumps(told), "utf-8")
        (place / "bytes").touch()
        return self.state(number)

    def state(self, number: str) -> dict[str, Any]:
        """How much of an upload has arrived.

        Raises
        ------
        NotFound
            There is no such upload.
        """
        place = self._place(number)
        return {"id": number, "offset": (place / "bytes").stat().st_size, **self._about(place)}

    async def take(self, number: str, offset: int, pieces: AsyncIterator[bytes]) -> dict[str, Any]:
        """Take bytes from an offset on; those that came before a connection broke stay.

        Raises
        ------
        Conflict
            Another number of bytes has arrived: the state tells how many.
        """
        place = self._place(number)
        size = self._about(place)["size"]
        with open(place / "bytes", "ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict("another page sends the same file just now; wait for it, or close that page") from None
            file.seek(0, os.SEEK_END)
            if file.tell() != offset:
                raise Conflict(f"{file.tell():,} bytes have arrived, not {offset:,}; go on from there")
            async for piece in pieces:
                if file.tell() + len(piece) > size:
                    raise ArgumentError(f"more than the {size:,} bytes that were announced")
                file.write(piece)
        return self.state(number)

    def finish(self, number: str, store: Store) -> Asset:
        """Put a whole upload into the store; one that was put there, and whose answer was lost, is told again.

        Raises
        ------
        Conflict
            Not all of it has arrived.
        """
        place = self._place(number)
        with open(place / "bytes", "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # a page that was reloaded asks while the first answer is being made
            state = self.state(number)
            if (made := self._made(place)) and (found := store.get(made)) is not None:
                return found
            if state["offset"] != state["size"]:
                raise Conflict(f"{state['offset']:,} of {state['size']:,} bytes have arrived")
            facts = [f"{name}={value}" for name, value in state["facts"].items()]
            asset = store.add(place / "bytes", draft(state["kind"], facts), name=state["name"])
            (place / MADE).write_text(asset.id, "utf-8")
            file.truncate(0)
            return asset

    def drop(self, number: str) -> None:
        """Remove an upload that nobody goes on with."""
        shutil.rmtree(self._place(number))

    def _place(self, number: str) -> Path:
        place = self.folder / number
        if not ID.fullmatch(number) or not (place / "about.json").is_file():
            raise NotFound("there is no such upload; begin it again")
        return place

    @staticmethod
    def _about(place: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((place / "about.json").read_text("utf-8"))
        return found

    @staticmethod
    def _made(place: Path) -> str:
        """The id of what an upload made; empty where it has not."""
        with contextlib.suppress(FileNotFoundError):
            return (place / MADE).read_text("utf-8")
        return ""

    def _tidy(self) -> None:
        for place in self.folder.glob("*/bytes"):
            with contextlib.suppress(FileNotFoundError):  # another page ended it just now
                if time.time() - place.stat().st_mtime > KEPT:
                    shutil.rmtree(place.parent, ignore_errors=True)


def _checked(name: str, size: int) -> None:
    if not name or len(name.encode()) > 255 or PurePosixPath(name).name != name or name in (".", "..") or "\0" in name:
        raise ArgumentError(f"{name!r} cannot be the name of a file")
    if not 0 <= size <= LARGEST:
        raise ArgumentError(f"{size} cannot be the size of a file")
