"""``cid://`` for fsspec: what the store has, and what remotes have, by its CID.

``fsspec.open("cid://bafy…/x/y")`` and ``zarr.open("cid://bafy…")`` read from the active store, or from that of
``store=``; what it lacks is read from the remotes of the settings, a few blocks at a time. Bytes are checked before
they are given.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from fsspec.asyn import sync  # type: ignore[import-untyped]
from fsspec.spec import AbstractFileSystem  # type: ignore[import-untyped]

from stargazer.errors import CIDError, NotFound, RemoteError, RemoteLacks, RemoteRefused, ToolMissing
from stargazer.remotes.base import MOST_BLOCK, TIMEOUT, BlockRemote
from stargazer.remotes.read import View, first_view
from stargazer.remotes.settings import configured
from stargazer.store.filesystem import CIDFileSystem as StoreFileSystem

__all__ = ["CIDFileSystem", "VerifiedIPFSFileSystem", "listed", "shown", "verify_ipfs"]


class CIDFileSystem(StoreFileSystem):
    """Files and directories of a store and of remotes, for reading.

    Parameters
    ----------
    store
        URL or path of the store; the active one when the file system is made, by default.
    """

    def _elsewhere(self, path: str, missing: FileNotFoundError) -> tuple[View, str]:
        """A remote's view of what the store lacks, and the CID of it; `missing` if no remote is configured."""
        remotes = configured()
        name: str = self._strip_protocol(path)
        if not remotes:
            raise missing
        try:
            return first_view(name, remotes)
        except (RemoteError, NotFound, CIDError) as error:
            raise FileNotFoundError(f"cid://{name}: {error}") from error

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Name, size in bytes, type and CID of a path."""
        try:
            return super().info(path, **options)
        except FileNotFoundError as missing:
            view, cid = self._elsewhere(path, missing)
            return shown(self._strip_protocol(path), cid, view)

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """What lies in a directory."""
        try:
            return super().ls(path, detail, **options)
        except FileNotFoundError as missing:
            view, cid = self._elsewhere(path, missing)
            return listed(self._strip_protocol(path), view, cid, detail=detail)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> BinaryIO:
        try:
            return super()._open(path, mode, **options)
        except FileNotFoundError as missing:
            view, cid = self._elsewhere(path, missing)
            if view.is_directory(cid):
                raise IsADirectoryError(f"cid://{path} is a directory") from None
            return view.open(cid)


def shown(name: str, cid: str, view: View) -> dict[str, Any]:
    """What fsspec shows of a file or directory."""
    if view.is_directory(cid):
        return {"name": name, "size": 0, "type": "directory", "cid": cid}
    return {"name": name, "size": view.size(cid), "type": "file", "cid": cid}


def listed(name: str, view: View, cid: str, *, detail: bool) -> list[Any]:
    """What lies in a directory, or a file itself."""
    if not view.is_directory(cid):
        return [shown(name, cid, view) if detail else name]
    below = ((f"{name}/{entry.name}", entry.cid) for entry in view.entries(cid))
    return [shown(path, child, view) if detail else path for path, child in below]


# ``ipfs://`` as ipfsspec has it, but verified: ipfsspec finds the gateway and talks to it, every block is checked.
#
# ipfsspec alone checks no contents of files and reads them whole. Sharded directories and ranges work here as well.


_PIECE = 1 << 16


def verify_ipfs() -> None:
    """Have all that opens ``ipfs://`` through fsspec in this process use `VerifiedIPFSFileSystem`."""
    import fsspec  # type: ignore[import-untyped]

    fsspec.register_implementation("ipfs", VerifiedIPFSFileSystem, clobber=True)


class IPFSSpecGateway(BlockRemote):
    """The gateway that ipfsspec is set to, asked through ipfsspec.

    Parameters
    ----------
    inner
        ipfsspec's file system.
    timeout
        Seconds in which a block must come.
    """

    kind = "gateway of ipfsspec"
    offers = ("has", "fetch")

    def __init__(self, inner: Any, timeout: float = TIMEOUT) -> None:
        super().__init__(str(inner.gateway), inner.gateway.url)
        self._inner, self._timeout = inner, timeout

    def block(self, cid: str) -> bytes:
        """A block, unchecked."""
        try:
            return bytes(sync(self._inner.loop, self._block, cid, timeout=self._timeout))
        except FileNotFoundError:
            raise RemoteLacks(f"{self.name} does not have {cid}") from None
        except TimeoutError:
            raise RemoteRefused(f"{self.name} is too slow: no block in {self._timeout:g} s") from None
        except (OSError, ValueError, RuntimeError) as error:
            raise RemoteError(f"{self.name} failed ({type(error).__name__})") from None

    async def _block(self, cid: str) -> bytes:
        session = await self._inner.set_session()
        raw = {"Accept": "application/vnd.ipld.raw"}
        answer = await self._inner.gateway.get(cid, session, headers=raw, params={"format": "raw"})
        async with answer:
            if answer.status in (400, 404, 410):
                raise FileNotFoundError(cid)
            if answer.status >= 400:
                raise OSError(f"status {answer.status}")
            body = bytearray()
            async for piece in answer.content.iter_chunked(_PIECE):
                body += piece
                if len(body) > MOST_BLOCK:
                    break
            return bytes(body)


class VerifiedIPFSFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Files and directories of IPFS, for reading; every byte is checked.

    Parameters
    ----------
    gateway_addr
        URL of a gateway; by default the one that ipfsspec finds (``IPFS_GATEWAY``, ``~/.ipfs/gateway``, …).
    timeout
        Seconds in which a block must come.
    **options
        As for ipfsspec.

    Raises
    ------
    ToolMissing
        ipfsspec is not installed.
    """

    protocol = "ipfs"
    root_marker = ""
    cachable = False

    def __init__(self, gateway_addr: str | None = None, timeout: float = TIMEOUT, **options: Any) -> None:
        super().__init__(gateway_addr=gateway_addr, timeout=timeout, **options)
        try:
            from ipfsspec import AsyncIPFSFileSystem  # type: ignore[import-untyped]
        except ImportError as error:
            raise ToolMissing("ipfs:// needs ipfsspec: pip install 'stargazer-dask[ipfs]'") from error
        inner = AsyncIPFSFileSystem(gateway_addr=gateway_addr, **options)
        self.gateway = IPFSSpecGateway(inner, timeout)

    def _view(self, path: str) -> tuple[str, View, str]:
        name: str = self._strip_protocol(path)
        try:
            return (name, *first_view(name, [self.gateway]))
        except (NotFound, RemoteLacks, CIDError) as error:
            raise FileNotFoundError(f"ipfs://{name}: {error}") from error

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size in bytes, type and CID of a path."""
        name, view, cid = self._view(path)
        return shown(name, cid, view)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What lies in a directory."""
        return listed(*self._view(path), detail=detail)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> BinaryIO:
        if mode != "rb":
            raise ValueError(f"mode {mode!r}: what a CID names never changes; open it with 'rb'")
        name, view, cid = self._view(path)
        if view.is_directory(cid):
            raise IsADirectoryError(f"ipfs://{name} is a directory")
        return view.open(cid)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Bytes of a file, or of a range of it."""
        with self._open(path) as file:
            first, last, _step = slice(start, end).indices(file.seek(0, 2))
            file.seek(first)
            return file.read(max(0, last - first))
