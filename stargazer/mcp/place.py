"""What one server works on: a store, the folders that it may touch, the runs that it started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.catalog import marshal
from stargazer.errors import StargazerError
from stargazer.ledger.record import walk_assets
from stargazer.mcp.flights import Flights
from stargazer.mcp.folders import Folders
from stargazer.store import Store, active_store

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.assets import Asset
    from stargazer.mcp.transfers import Transfers

__all__ = ["Place"]

MOST_PATHS = 50
"""Results with more files than that are told without paths; download_file tells them."""


class Place:
    """What the tools of a server share.

    Parameters
    ----------
    store
        A store or its URL; the active one by default.
    transfers
        One-time addresses of files, where clients are elsewhere (HTTP); None where they are on this machine (stdio).
    on
        Profile on which runs take place; threads of this process by default.
    folder
        Of notebooks, where the settings name none; that in which this process was started by default.
    """

    def __init__(
        self,
        store: Store | str | None = None,
        transfers: Transfers | None = None,
        on: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.store = store if isinstance(store, Store) else Store.open(store) if store else active_store()
        self.transfers = transfers
        self.folders = Folders(folder)
        self.flights = Flights(self.store, on)

    @property
    def is_remote(self) -> bool:
        """Whether clients may be on another machine: then no path of this one is told or taken."""
        return self.transfers is not None

    @property
    def is_local(self) -> bool:
        """Whether the store's files are on this machine: then a path of one costs nothing."""
        return self.store.url.startswith("file:")

    def shown(self, value: Any) -> Any:
        """A result as JSON; with paths where the client can read them."""
        if self.is_remote or not self.is_local or len(list(walk_assets(value))) > MOST_PATHS:
            return marshal(value)
        try:
            return marshal(value, path=True)
        except StargazerError:  # bytes that are not here have no path
            return marshal(value)

    def shown_asset(self, asset: Asset) -> dict[str, Any]:
        """As `shown`, of one asset."""
        found: dict[str, Any] = self.shown(asset)
        return found
