"""Trustless IPFS gateways: blocks and CARs over HTTP.

Source: https://specs.ipfs.tech/http-gateways/trustless-gateway/
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from stargazer.cid import parse
from stargazer.errors import RemoteCannot, RemoteError, RemoteLacks, RemoteRefused
from stargazer.remotes.base import ATTEMPTS_OF_A_WAY, MOST_BLOCK, TIMEOUT, BlockRemote
from stargazer.remotes.blocks import check_block
from stargazer.remotes.car import MalformedCAR, read_car
from stargazer.remotes.entries import SECONDS, VARIABLE, at_address
from stargazer.remotes.http import Web, bearer, download, is_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stargazer.remotes.base import Piece, Remote
    from stargazer.remotes.entries import Entry

__all__ = ["Gateway", "car_blocks"]

_RAW = "application/vnd.ipld.raw"
_PATIENCE = 2.0
_NOTHING = "bafkqaaa"
_CAR = "application/vnd.ipld.car"
_CARS = (_CAR, "application/car", "application/x-car")
_NO_CARS = (400, 403, 405, 406, 415, 500, 501)


class Gateway(BlockRemote):
    """An IPFS gateway that gives raw blocks, and CARs if it can.

    Parameters
    ----------
    name, url
        As for `Remote`; the URL is what stands before ``/ipfs/<cid>``.
    timeout
        Seconds in which a block must come.
    token
        Name of the environment variable that holds a token, if it wants one.
    """

    kind = "gateway"
    offers = ("has", "fetch")
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
        self.web = Web(name, url.rstrip("/").removesuffix("/ipfs"), timeout, lambda: bearer(token, name))

    @classmethod
    def read(cls, entry: Entry) -> Remote:
        """Make a gateway of its address."""
        return super().read(at_address(entry))

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
        """Whether it gives the root block, or says that it would; one that knows no HEAD is asked for the block."""
        try:
            self.web.retried(lambda: self._head(cid))
        except RemoteLacks:
            return False
        except RemoteError:
            return self._gives(cid)
        return True

    def _head(self, cid: str) -> None:
        with self.web.opened("HEAD", f"/ipfs/{cid}?format=raw", headers={"Accept": _RAW}):
            return

    def _gives(self, cid: str) -> bool:
        try:
            check_block(cid, self.web.retried(lambda: self.block(cid)), self.name)
        except RemoteLacks:
            return False
        return True

    def answers(self) -> bool:
        """Whether it is a gateway, and there: each gives the CID of no bytes, which names itself."""
        try:
            return Web(self.name, self.web.base, _PATIENCE, attempts=1).get(f"/ipfs/{_NOTHING}?format=raw", 0) == b""
        except RemoteError:
            return False

    def block(self, cid: str) -> bytes:
        """A block, unchecked."""
        with self.web.opened("GET", f"/ipfs/{cid}?format=raw", whole=True, headers={"Accept": _RAW}) as answer:
            block = self.web.read(answer, MOST_BLOCK)
            if is_page(answer) and sha256(block).digest() != parse(cid).digest:
                raise RemoteError(f"{self.name} sends a page of HTML instead of a block: is it a gateway, and open?")
            return block

    def blocks(self, cid: str) -> Iterator[tuple[str, bytes]]:
        """Everything below a CID, as a CAR, unchecked."""
        accepted = {"Accept": f"{_CAR}; version=1; order=dfs; dups=y"}
        yield from car_blocks(self.web, "GET", f"/ipfs/{cid}?format=car&dag-scope=all", accepted)

    def body(self, cid: str, start: int = 0) -> Iterator[Piece]:
        """Bytes of a file from `start` on, unchecked; many gateways give blocks only."""
        yield from download(self.web, lambda: f"/ipfs/{cid}", start, attempts=ATTEMPTS_OF_A_WAY)


def car_blocks(web: Web, method: str, path: str, headers: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Blocks of the CAR that a request is answered with, unchecked.

    Raises
    ------
    RemoteCannot
        The answer is no CAR.
    RemoteError
        It is malformed, ends early or comes too slowly.
    """
    try:
        with web.opened(method, path, headers=headers) as answer:
            if not answer.headers.get("Content-Type", "").strip().lower().startswith(_CARS):
                raise RemoteCannot(f"{web.name} gives no CARs")
            yield from read_car(web.parts(answer))
    except MalformedCAR as error:
        raise RemoteRefused(f"{web.name}: {error}") from None
    except RemoteLacks as error:
        raise RemoteCannot(f"{web.name} gives no CAR of this ({error})") from None
    except RemoteError as error:
        if any(f"answered {status}" in str(error) for status in _NO_CARS):
            raise RemoteCannot(f"{web.name} gives no CARs ({error})") from None
        raise
