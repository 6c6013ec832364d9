"""``cid://`` for fsspec: what the store has, and what remotes have, by its CID.

``fsspec.open("cid://bafy…/x/y")`` and ``zarr.open("cid://bafy…")`` read from the active store, or from that of
``store=``; what it lacks is read from the remotes of the settings, a few blocks at a time. Bytes are checked before
they are given. Nodes of directories and sizes of files are remembered across opens: what a CID names never changes.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from fsspec.asyn import AsyncFileSystem  # type: ignore[import-untyped]

from stargazer.errors import CIDError, NotFound, RemoteError, RemoteLacks, ToolMissing
from stargazer.remotes.base import TIMEOUT
from stargazer.remotes.gateway import Gateway
from stargazer.remotes.read import View, first_view
from stargazer.remotes.settings import configured
from stargazer.store.filesystem import CIDFileSystem as StoreFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

__all__ = ["CIDFileSystem", "VerifiedIPFSFileSystem", "listed", "shown", "verify_ipfs"]

_AT_ONCE = 8
_ASYNC = 16
"""Reads of callers with an event loop that are under way at once."""


@functools.cache
def _readers(_process: int) -> ThreadPoolExecutor:
    """Threads in which those read who have an event loop; others after a fork."""
    return ThreadPoolExecutor(_ASYNC, "stargazer-read")


class SideBySide(AsyncFileSystem):  # type: ignore[misc]
    """Reads many paths, and many ranges, several at once.

    Who has an event loop, as zarr, reads in threads of our own: those that a loop has by itself are hardly more than
    the processor has cores, and most of the time each of them waits for a remote.
    """

    mirror_sync_methods = False  # what is called without a loop needs none

    async def _beside(self, read: Callable[..., T], *args: Any, **options: Any) -> T:
        called = functools.partial(contextvars.copy_context().run, read, *args, **options)
        return await asyncio.get_running_loop().run_in_executor(_readers(os.getpid()), called)

    async def _info(self, path: str, **options: Any) -> dict[str, Any]:
        return await self._beside(self.info, path, **options)

    async def _ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        return await self._beside(self.ls, path, detail, **options)

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        found: bytes = await self._beside(self.cat_file, path, start, end, **options)
        return found

    def cat(self, path: str | list[str], recursive: bool = False, on_error: str = "raise", **options: Any) -> Any:
        """Bytes of a file, or of several by their paths."""
        paths = self.expand_path(path, recursive=recursive)
        if len(paths) == 1 and isinstance(path, str) and paths[0] == self._strip_protocol(path):
            return self.cat_file(paths[0], **options)
        with ThreadPoolExecutor(_AT_ONCE, "stargazer-cat") as pool:
            flying = {each: pool.submit(self.cat_file, each, **options) for each in paths}
        failed = {each: error for each, one in flying.items() if (error := one.exception()) is not None}
        if failed and on_error == "raise":
            raise next(iter(failed.values()))
        found = {each: one.result() for each, one in flying.items() if each not in failed}
        return found | (failed if on_error == "return" else {})

    def cat_ranges(
        self, paths: list[str], starts: Any, ends: Any, max_gap: int | None = None, on_error: str = "return", **_: Any
    ) -> list[Any]:
        """Bytes of ranges of files, in order."""
        starts = starts if isinstance(starts, list) else [starts] * len(paths)
        ends = ends if isinstance(ends, list) else [ends] * len(paths)
        with ThreadPoolExecutor(_AT_ONCE, "stargazer-cat") as pool:
            flying = [pool.submit(self.cat_file, *each) for each in zip(paths, starts, ends, strict=True)]
        errors = [each.exception() for each in flying]
        if on_error != "return" and (failed := next(filter(None, errors), None)):
            raise failed
        return [error or each.result() for each, error in zip(flying, errors, strict=True)]


class CIDFileSystem(SideBySide, StoreFileSystem):
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

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Bytes of a file, or of a range of it."""
        with self._open(path) as file:
            return _range_of(file, start, end)


def _range_of(file: BinaryIO, start: int | None, end: int | None) -> bytes:
    if start is None and end is None:
        return file.read()
    first, last, _step = slice(start, end).indices(file.seek(0, 2))
    file.seek(first)
    return file.read(max(0, last - first))


def shown(name: str, cid: str, view: View) -> dict[str, Any]:
    """What fsspec shows of a file or directory."""
    if view.is_directory(cid):
        return {"name": name, "size": 0, "type": "directory", "cid": cid}
    return {"name": name, "size": view.size(cid), "type": "file", "cid": cid}


def listed(name: str, view: View, cid: str, *, detail: bool) -> list[Any]:
    """What lies in a directory, or a file itself."""
    if not view.is_directory(cid):
        return [shown(name, cid, view) if detail else name]
    below = [(f"{name}/{entry.name}", entry.cid) for entry in view.entries(cid)]
    if not detail:
        return [path for path, _ in below]
    view.prefetch([child for _, child in below])
    return [shown(path, child, view) for path, child in below if not view.is_symlink(child)]


# ``ipfs://`` as ipfsspec has it, but verified: ipfsspec finds the gateway, every block is checked.
#
# ipfsspec alone checks no contents of files and reads them whole. Sharded directories and ranges work here as well, and
# callers of any sort, since nothing here belongs to an event loop: zarr, xarray and Dask call it from threads.


def verify_ipfs() -> None:
    """Have all that opens ``ipfs://`` through fsspec in this process use `VerifiedIPFSFileSystem`."""
    import fsspec  # type: ignore[import-untyped]

    fsspec.register_implementation("ipfs", VerifiedIPFSFileSystem, clobber=True)


class VerifiedIPFSFileSystem(SideBySide):
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
            from ipfsspec.async_ipfs import get_gateway  # type: ignore[import-untyped]
        except ImportError as error:
            raise ToolMissing("ipfs:// needs ipfsspec: pip install 'stargazer-dask[ipfs]'") from error
        found = get_gateway("ipfs", gateway_addr)
        self.gateway = _gateway(str(found), str(found.url), timeout)

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
            return _range_of(file, start, end)


_gateways: dict[tuple[str, str, float], Gateway] = {}


def _gateway(name: str, url: str, timeout: float) -> Gateway:
    """One object a gateway, so that its connections, and what was read of it, are kept."""
    key = (name, url, timeout)
    if key not in _gateways:
        _gateways[key] = Gateway(name, url, timeout=timeout)
    return _gateways[key]
