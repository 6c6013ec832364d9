"""``cid://`` for fsspec: what the store has, and what remotes have, by its CID.

``fsspec.open("cid://bafy…/x/y")`` and ``zarr.open("cid://bafy…")`` read from the active store, or from that of
``store=``; what it lacks is read from the remotes of the settings, a few blocks at a time. Bytes are checked before
they are given.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from stargazer.errors import CIDError, NotFound, RemoteError
from stargazer.remotes.reading import View, first_view
from stargazer.remotes.settings import configured
from stargazer.store.filesystem import CIDFileSystem as StoreFileSystem

__all__ = ["CIDFileSystem", "listed", "shown"]


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
