"""A Kubo node, through its RPC.

Source: https://docs.ipfs.tech/reference/kubo/rpc/
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from stargazer.errors import RemoteError, RemoteLacks
from stargazer.remotes.base import MOST_BLOCK, TIMEOUT, BlockRemote
from stargazer.remotes.car import car_header, car_section
from stargazer.remotes.entries import SECONDS, VARIABLE, at_address
from stargazer.remotes.gateway import Gateway, car_blocks
from stargazer.remotes.http import PASSING, Passing, Web, bearer
from stargazer.remotes.push import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stargazer.assets import Asset
    from stargazer.remotes.base import Piece, Progress, Remote
    from stargazer.remotes.entries import Entry
    from stargazer.remotes.push import Batch
    from stargazer.store import Store

__all__ = ["Kubo"]

T = TypeVar("T")

_TOLD = 1 << 12
_API = "/api/v0"
_HERE = ("127.0.0.1", "localhost", "::1")
_LACKING = ("not found", "could not find", "not pinned", "no providers")
_GAVE_UP = ("context deadline exceeded", "timeout")
_SHARE = 0.8
"""Of our patience, after which a node that asks others gives up, before we do."""
_IMPORTING = 300.0
"""Seconds in which a node must have taken some MiB of blocks."""
_PINNING = 3600.0
"""Seconds that a pin may take which tells of no progress."""


class Kubo(BlockRemote):
    """A Kubo node that lets us in: it gives, takes, pins and unpins.

    Parameters
    ----------
    name, url, timeout, token
        As for `Gateway`; the URL is that of the RPC, such as ``http://127.0.0.1:5001``.
    """

    kind = "Kubo node"
    offers = ("has", "fetch", "push", "pin", "unpin")
    options: ClassVar[Mapping[str, Any]] = {"timeout": SECONDS, "token": VARIABLE}

    def __init__(
        self,
        name: str,
        url: str,
        *,
        timeout: float = TIMEOUT,
        token: str | None = None,
    ) -> None:
        super().__init__(name, url)
        base = url.rstrip("/").removesuffix(_API)
        self.web = Web(name, base, timeout, lambda: bearer(token, name), passing=PASSING - {500})

    @classmethod
    def read(cls, entry: Entry) -> Remote:
        """Make a node of the address of its RPC."""
        return super().read(at_address(entry))

    @cached_property
    def gateway(self) -> Gateway | None:
        """The node's own gateway, if it is on this host: it sends the same bytes at a third of the effort."""
        parts = urlsplit(self.web.base)
        if parts.scheme != "http" or parts.hostname not in _HERE:
            return None
        try:
            told = self._call("config", arg="Addresses.Gateway")
        except RemoteError:
            return None
        port = re.search(r"/tcp/([1-9]\d*)", str((told or {}).get("Value")))
        host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
        made = Gateway(self.name, f"http://{host}:{port[1]}", timeout=self.web.timeout) if port else None
        return made if made and made.answers() else None

    @property
    def attempts(self) -> int:
        """How often a block is asked for at most that fails for reasons which pass."""
        return self.web.attempts

    @property
    def answered(self) -> bool:
        """Whether it has ever answered."""
        return self.web.answered

    @property
    def proven(self) -> bool:
        """Whether it has ever given anything."""
        return self.web.proven

    @property
    def timeout(self) -> float:
        """Seconds in which it must answer."""
        return self.web.timeout

    def has(self, cid: str) -> bool:
        """Whether the node itself has the root block; it does not ask other nodes."""
        try:
            self._call("block/stat", arg=cid, offline="true")
        except RemoteLacks:
            return False
        return True

    def block(self, cid: str) -> bytes:
        """A block, unchecked; the node may get it from other nodes."""
        query = {"arg": cid, "timeout": f"{_SHARE * self.web.timeout:.3g}s"}
        place = f"{_API}/block/get"
        found: bytes = self._lacking(lambda: self.web.get_once(place, MOST_BLOCK, method="POST", params=query))
        return found

    def blocks(self, cid: str) -> Iterator[tuple[str, bytes]]:
        """Everything below a CID, as a CAR, unchecked."""
        if not self.has(cid):
            raise RemoteLacks(f"{self.name} does not have {cid} itself")
        query = f"{_API}/dag/export?arg={cid}&progress=false"
        ways = [self.gateway.blocks(cid)] if self.gateway else []
        yield from _first_that_answers(*ways, car_blocks(self.web, "POST", query, {}))

    def body(self, cid: str, start: int = 0) -> Iterator[Piece]:
        """Bytes of a file from `start` on, unchecked."""
        if not self.has(cid):
            raise RemoteLacks(f"{self.name} does not have {cid} itself")
        ways = [self.gateway.body(cid, start)] if self.gateway else []
        yield from _first_that_answers(*ways, self._cat(cid, start))

    def _cat(self, cid: str, start: int) -> Iterator[Piece]:
        with self.web.opened("POST", f"{_API}/cat", params={"arg": cid, "offset": str(start)}) as answer:
            yield from self.web.parts(answer)

    def push(self, cid: str, store: Store, progress: Progress | None = None, *, asset: Asset | None = None) -> None:
        """Send a file or directory block by block, then pin it; what the node has of it already is not sent again."""
        if self.is_pinned(cid):
            return
        self._send(cid, store, self.has, progress)
        try:
            self.pin(cid)
        except RemoteError:  # its garbage collection took some of what it had
            self._send(cid, store, lambda _: False, None)
            self.pin(cid)

    def _send(self, cid: str, store: Store, has: Callable[[str], bool], progress: Progress | None) -> None:
        for batch in batches(store, cid, has):
            self._import(batch)
            if progress:
                progress(batch.size)

    def pin(self, cid: str) -> None:
        """Have the node keep everything below a CID; `RemoteLacks` if it lacks some of it."""
        self._lacking(lambda: self._pinned(cid))

    def _pinned(self, cid: str) -> None:
        """Wait for a pin, which tells line by line how far it is; it is asked for once, however long it takes."""
        query = {"arg": cid, "recursive": "true", "progress": "true"}
        told = b""
        with self.web.opened("POST", f"{_API}/pin/add", params=query, patience=_PINNING) as answer:
            exchange = answer.request.extensions["exchange"]
            for part in self.web.parts(answer):
                exchange.alive()
                told = (told + part)[-_TOLD:]
        if b'"Pins"' not in told:
            said = self.web.quoted(told.rpartition(b"\n")[2].decode("utf-8", "replace"))
            raise RemoteError(f"{self.name} did not pin {cid}: {said or 'it said nothing'}")

    def unpin(self, cid: str) -> None:
        """Let the node forget what a CID names, at its next garbage collection."""
        self._call("pin/rm", arg=cid, recursive="true")

    def keeps(self, cid: str) -> bool:
        """Whether something is pinned: its garbage collection takes what is not."""
        return self.is_pinned(cid)

    def pages(self, cid: str) -> Iterator[str]:
        """Where the node's own gateway shows something, if it is on this host."""
        if self.gateway is not None:
            yield f"{self.gateway.web.base}/ipfs/{cid}/"

    def is_pinned(self, cid: str) -> bool:
        """Whether the node has everything below a CID, and keeps it."""
        try:
            self._call("pin/ls", arg=cid, type="recursive")
        except RemoteLacks:
            return False
        return True

    def _import(self, batch: Batch) -> None:
        body = b"".join((car_header(batch.blocks[-1][0]), *(car_section(*block) for block in batch.blocks)))
        files = {"file": ("blocks.car", body, "application/vnd.ipld.car")}
        self._lacking(lambda: self.web.retried(lambda: self._sent(files)))

    def _sent(self, files: dict[str, Any]) -> None:
        query = {"pin-roots": "false"}
        with self.web.opened("POST", f"{_API}/dag/import", params=query, files=files, patience=_IMPORTING) as answer:
            self.web.read(answer, 1 << 20)

    def _call(self, command: str, **query: str) -> Any:
        return self._lacking(lambda: self.web.json("POST", f"{_API}/{command}", params=query))

    def _lacking(self, request: Any) -> Any:
        """Kubo answers 500 to everything that goes wrong; what it says tells the rest."""
        try:
            return request()
        except (RemoteLacks, Passing):
            raise
        except RemoteError as error:
            if any(word in str(error) for word in (*_LACKING, *_GAVE_UP)):
                raise RemoteLacks(str(error)) from None
            raise


def _first_that_answers(*ways: Iterator[T]) -> Iterator[T]:
    """What comes on the first way on which anything comes; only the last may fail before that."""
    for way in ways[:-1]:
        try:
            began = next(way)
        except (RemoteError, StopIteration):
            continue
        yield began
        yield from way
        return
    yield from ways[-1]
