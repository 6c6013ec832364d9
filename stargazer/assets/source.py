"""Where the bytes of a stored asset are, as far as an asset knows."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.assets.asset import Asset

__all__ = ["Source"]


class Source(Protocol):
    """What a store gives to the assets that it hands out. It must pickle."""

    @property
    def url(self) -> str:
        """Address of the store."""

    @property
    def record(self) -> str | None:
        """Id of the ledger record that the asset came from."""

    def fetch(self, asset: Asset) -> Path:
        """A local path of the asset under its real name, its companions beside it."""

    def open(self, asset: Asset, mode: str = "rb") -> IO[Any]:
        """The asset's bytes (``"rb"``) or text (``"r"``) as an open file."""
