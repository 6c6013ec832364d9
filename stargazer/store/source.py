"""Where the bytes of a handle come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stargazer.errors import BlobLost
from stargazer.store.fallback import fallback

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO, Any

    from stargazer.assets import Asset

__all__ = ["StoreSource"]


class StoreSource(NamedTuple):
    """A store, and the ledger record that a handle came from.

    Parameters
    ----------
    url
        URL of the store.
    record
        Id of the record of the call that made the asset; None if a person added it.
    named
        Name and version by which the asset was asked for, if it was.
    """

    url: str
    record: str | None = None
    named: str = ""

    def fetch(self, asset: Asset) -> Path:
        """Path of the asset's file on this host, its companions beside it; what the store lacks, remotes bring."""
        from stargazer.store.store import Store

        store = Store.open(self.url)
        try:
            return store.fetch(asset)
        except BlobLost:
            others = fallback()
            if others is None:
                raise
            others.fetch_assets(store, [asset], shown=True)
            return store.fetch(asset)

    def open(self, asset: Asset, mode: str = "rb") -> IO[Any]:
        """The asset's bytes (``"rb"``) or text (``"r"``), checked, as an open file."""
        return self.fetch(asset).open(mode)

    def size(self, asset: Asset) -> int:
        """Bytes of the asset as it is stored; of a directory those of all files in it."""
        from stargazer.store.store import Store

        store, cid = Store.open(self.url), str(asset.cid)
        files = [file for _, file in store.walk(cid) if file] if store.is_directory(cid) else [cid]
        sizes = {file: store.size(file) for file in files}
        for file, size in sizes.items():
            if size is None:
                raise BlobLost(file)
        return sum(sizes[file] or 0 for file in files)
