"""One-time addresses of files, for clients on other machines: bytes never go through messages."""

from __future__ import annotations

import datetime
import hashlib
import secrets
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio import to_thread
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse

from stargazer import api, config
from stargazer.bounded import is_count
from stargazer.catalog import asset_json
from stargazer.errors import ConfigError, StargazerError
from stargazer.mcp.answers import told
from stargazer.mcp.archives import unpack

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context
    from starlette.requests import Request
    from starlette.responses import Response

    from stargazer.assets import Asset
    from stargazer.store import Store

__all__ = ["Ticket", "Transfers"]

LASTS = 600.0
"""Seconds in which an address must be used."""

PATIENCE = 60.0
"""Seconds that may pass between two pieces of an upload."""

MOST = 1000
"""Addresses that may be open at a time."""


@dataclass(frozen=True)
class Ticket:
    """A one-time address.

    Parameters
    ----------
    url
        The address: who has it may use it, once.
    until
        When it ends, in seconds since the epoch.
    asset
        What is downloaded; of an upload the draft.
    name
        Of the file that is sent; empty for a download.
    largest
        Bytes that may be sent.
    is_directory
        Whether what is sent is the tar of a directory.
    """

    url: str
    until: float
    asset: Asset
    name: str = ""
    largest: int = 0
    is_directory: bool = False

    @property
    def expires(self) -> str:
        """When it ends, as ISO 8601 in UTC."""
        return datetime.datetime.fromtimestamp(self.until, datetime.UTC).isoformat(timespec="seconds")


class Transfers:
    """Gives out one-time addresses, and answers them.

    Parameters
    ----------
    store
        Where files come from and go to.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tickets: dict[str, Ticket] = {}
        self._lock = threading.Lock()

    def upload(self, draft: Asset, name: str, ctx: Context[Any, Any], *, is_directory: bool = False) -> Ticket:
        """Return an address to which the bytes of one file, or the tar of one directory, may be sent once."""
        return self._given(ctx, "upload", draft, name, largest_upload(), is_directory)

    def download(self, asset: Asset, ctx: Context[Any, Any]) -> Ticket:
        """Return an address from which a file may be had once."""
        return self._given(ctx, "download", asset)

    def _given(
        self, ctx: Context[Any, Any], verb: str, asset: Asset, name: str = "", largest: int = 0,
        is_directory: bool = False,
    ) -> Ticket:  # fmt: skip
        request = cast("Request", ctx.request_context.request)
        secret = secrets.token_urlsafe(32)
        base = f"{request.url.scheme}://{request.headers['host']}{request.url.path.rstrip('/')}"
        ticket = Ticket(f"{base}/{verb}/{secret}", time.time() + LASTS, asset, name, largest, is_directory)
        with self._lock:
            now = time.time()
            self._tickets = {key: each for key, each in self._tickets.items() if each.until > now - LASTS}
            while len(self._tickets) >= MOST:
                self._tickets.pop(next(iter(self._tickets)))
            self._tickets[_digest(verb, secret)] = ticket
        return ticket

    def _taken(self, verb: str, secret: str) -> Ticket | Response:
        """The ticket of an address, which is used up by that; or why there is none."""
        with self._lock:
            ticket = self._tickets.pop(_digest(verb, secret), None)
        if ticket is None:
            return PlainTextResponse("there is no such address, or it was used; ask for a new one\n", 404)
        if ticket.until < time.time():
            return PlainTextResponse("this address has expired; ask for a new one\n", 410)
        return ticket

    async def receive(self, request: Request, secret: str) -> Response:
        """Take in the bytes of a file, and answer with its asset."""
        if request.method != "PUT":
            return PlainTextResponse("send the bytes with PUT\n", 405, headers={"Allow": "PUT"})
        ticket = self._taken("upload", secret)
        if not isinstance(ticket, Ticket):
            return ticket
        told_length = request.headers.get("content-length", "0")
        if not is_count(told_length) or int(told_length) > ticket.largest:
            return PlainTextResponse(f"a file may have {ticket.largest:,} bytes at most\n", 413)
        with tempfile.TemporaryDirectory(prefix="stargazer-upload-", dir=config.scratch_dir()) as folder:
            file = Path(folder, ticket.name)
            try:
                if not await self._written(request, file, ticket.largest):
                    return PlainTextResponse(f"a file may have {ticket.largest:,} bytes at most\n", 413)
                added = await to_thread.run_sync(self._added, ticket, file)
            except ClientDisconnect:  # nobody reads this answer, and nothing of the file is kept
                return PlainTextResponse("the connection broke; ask for a new address\n", 400)
            except TimeoutError:
                return PlainTextResponse(f"no bytes came for {PATIENCE:.0f} s; ask for a new address\n", 408)
            except (StargazerError, OSError) as error:
                return PlainTextResponse(f"{told(error, 'upload').replace(folder, '')}\n", 422)
        return JSONResponse(asset_json(added), 201)

    def _added(self, ticket: Ticket, file: Path) -> Asset:
        """Put what was sent into the store; a directory is unpacked before."""
        if ticket.is_directory:
            file = unpack(file, file.with_name(f"{ticket.name}.tree"), ticket.largest)
        return api.add(file, ticket.asset, name=ticket.name, store=self._store, progress=False)

    async def _written(self, request: Request, file: Path, largest: int) -> bool:
        """Write what comes into a file; False where it is more than it may be."""
        size = 0
        pieces = request.stream().__aiter__()
        async with await anyio.open_file(file, "wb") as opened:
            while True:
                try:
                    with anyio.fail_after(PATIENCE):
                        piece = await pieces.__anext__()
                except StopAsyncIteration:
                    return True
                size += len(piece)
                if size > largest:
                    return False
                await opened.write(piece)

    async def send(self, request: Request, secret: str) -> Response:
        """Send a file."""
        if request.method != "GET":
            return PlainTextResponse("ask with GET\n", 405, headers={"Allow": "GET"})
        ticket = self._taken("download", secret)
        if not isinstance(ticket, Ticket):
            return ticket
        try:
            path = await to_thread.run_sync(lambda: api.fetch(ticket.asset, store=self._store, progress=False))
        except (StargazerError, OSError) as error:
            return PlainTextResponse(f"{told(error, 'download')}\n", 404)
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        return FileResponse(path, filename=path.name, media_type="application/octet-stream", headers=headers)


def _digest(verb: str, secret: str) -> str:
    return hashlib.sha256(f"{verb}/{secret}".encode()).hexdigest()


def largest_upload() -> int:
    """Bytes that one file may have that is sent over HTTP, as the settings say.

    Raises
    ------
    ConfigError
        They say what is no size.
    """
    from stargazer.profiles.settings import bytes_of

    value = config.mcp_setting("largest-upload")
    try:
        found = bytes_of(value)
    except (ValueError, TypeError, StargazerError) as error:
        raise ConfigError(f"stargazer.mcp.largest-upload is {value!r}, but is a size as 50 GiB") from error
    return int(found or 0)
