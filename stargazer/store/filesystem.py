"""``cid://`` for fsspec: what a store has, by its CID.

``fsspec.open("cid://bafy…/x/y")`` and ``zarr.open("cid://bafy…")`` read from the active store, or from that of
``store=``. Bytes are checked before they are given.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from fsspec.spec import AbstractFileSystem  # type: ignore[import-untyped]

from stargazer.errors import BlobLost, CIDError, NotFound, StoreError
from stargazer.store.store import Store, active_store

__all__ = ["CIDFileSystem"]


class CIDFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Files and directories of a store, for reading.

    Parameters
    ----------
    store
        URL or path of the store; the active one when the file system is made, by default.
    """

    protocol = "cid"
    root_marker = ""
    cachable = False  # the active store may be another one the next time

    def __init__(self, store: str | None = None, **options: Any) -> None:
        self.source = Store.open(store) if store else active_store()
        super().__init__(store=self.source.url, **options)

    @property
    def storage_options(self) -> dict[str, Any]:
        """What makes the same file system in another process: the store is named."""
        return {**self._options, "store": self.source.url}

    @storage_options.setter
    def storage_options(self, options: dict[str, Any]) -> None:
        self._options = options

    def _resolve(self, path: str) -> str:
        name: str = self._strip_protocol(path)
        try:
            return self.source.resolve(name)
        except (NotFound, BlobLost, CIDError, StoreError) as error:
            raise FileNotFoundError(f"cid://{name}: {error}") from error

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size in bytes, type and CID of a path."""
        name: str = self._strip_protocol(path)
        return self._shown(name, self._resolve(path))

    def _shown(self, name: str, cid: str) -> dict[str, Any]:
        if self.source.is_directory(cid):
            return {"name": name, "size": 0, "type": "directory", "cid": cid}
        size = self.source.size(cid)
        if size is None:
            raise FileNotFoundError(f"cid://{name}: {self.source.url} does not have {cid}")
        return {"name": name, "size": size, "type": "file", "cid": cid}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What lies in a directory."""
        name: str = self._strip_protocol(path)
        cid = self._resolve(path)
        if not self.source.is_directory(cid):
            found = [self._shown(name, cid)]
        else:
            found = [self._shown(f"{name}/{entry.name}", entry.cid) for entry in self.source.dirs.entries(cid)]
        return found if detail else [each["name"] for each in found]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> BinaryIO:
        if mode != "rb":
            raise ValueError(f"mode {mode!r}: what is stored never changes; open it with 'rb'")
        cid = self._resolve(path)
        if self.source.is_directory(cid):
            raise IsADirectoryError(f"cid://{path} is a directory")
        try:
            return self.source.open(cid)
        except BlobLost as error:
            raise FileNotFoundError(f"cid://{path}: {error}") from error

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Bytes of a file, or of a range of it."""
        with self._open(path) as file:
            data = file.read() if start is None and end is None else None
            if data is not None:
                return data
            size = file.seek(0, 2)
            first, last, _step = slice(start, end).indices(size)
            file.seek(first)
            return file.read(max(0, last - first))
