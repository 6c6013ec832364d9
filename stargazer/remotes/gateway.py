"""Trustless IPFS gateways: blocks and CARs over HTTP.

Source: https://specs.ipfs.tech/http-gateways/trustless-gateway/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.errors import RemoteCannot, RemoteError, RemoteLacks, RemoteRefused
from stargazer.remotes.base import MOST_BLOCK, TIMEOUT, BlockRemote
from stargazer.remotes.dag import MalformedCAR, read_car
from stargazer.remotes.http import Passing, Web, bearer, download

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Gateway", "car_blocks"]

_RAW = "application/vnd.ipld.raw"
_PATIENCE = 2.0
_NOTHING = "bafkqaaa"
_CAR = "application/vnd.ipld.car"


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

    def has(self, cid: str) -> bool:
        """Whether it gives the root block, or says that it would."""
        try:
            with self.web.opened("HEAD", f"/ipfs/{cid}?format=raw", headers={"Accept": _RAW}):
                return True
        except RemoteLacks:
            return False

    def answers(self) -> bool:
        """Whether it is a gateway, and there: each gives the CID of no bytes, which names itself."""
        try:
            return Web(self.name, self.web.base, _PATIENCE, attempts=1).get(f"/ipfs/{_NOTHING}?format=raw", 0) == b""
        except RemoteError:
            return False

    def block(self, cid: str) -> bytes:
        """A block, unchecked."""
        return self.web.get(f"/ipfs/{cid}?format=raw", MOST_BLOCK, headers={"Accept": _RAW})

    def blocks(self, cid: str) -> Iterator[tuple[str, bytes]]:
        """Everything below a CID, as a CAR, unchecked."""
        accepted = {"Accept": f"{_CAR}; version=1; order=dfs; dups=y"}
        yield from car_blocks(self.web, "GET", f"/ipfs/{cid}?format=car&dag-scope=all", accepted)

    def body(self, cid: str, start: int = 0) -> Iterator[bytes]:
        """Bytes of a file from `start` on, unchecked; many gateways give blocks only."""
        try:
            yield from download(self.web, lambda: f"/ipfs/{cid}", start)
        except (RemoteLacks, RemoteRefused, Passing):
            raise
        except RemoteError as error:
            raise RemoteCannot(str(error)) from None


def car_blocks(web: Web, method: str, path: str, headers: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Blocks of the CAR that a request is answered with, unchecked.

    Raises
    ------
    RemoteCannot
        The answer is no CAR.
    RemoteRefused
        It is malformed, ends early or comes too slowly.
    """
    try:
        with web.opened(method, path, headers=headers) as answer:
            if not answer.headers.get("Content-Type", "").startswith(_CAR):
                raise RemoteCannot(f"{web.name} gives no CARs")
            yield from read_car(web.parts(answer))
    except MalformedCAR as error:
        raise RemoteRefused(f"{web.name}: {error}") from None
    except (RemoteLacks, RemoteRefused, RemoteCannot):
        raise
    except RemoteError as error:
        if any(f"answered {status}" in str(error) for status in (400, 406, 415, 501)):
            raise RemoteCannot(f"{web.name} gives no CARs ({error})") from None
        raise
