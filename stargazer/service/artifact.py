"""An artifact: what `materialize` gave, with where it came from and what was made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from stargazer.service.shown import uri_of

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.assets import Asset
    from stargazer.ledger.lineage import Direction, Lineage

__all__ = ["Artifact", "Home"]


class Home(Protocol):
    """Where an artifact is: a store of this process, or a service."""

    def fetch_file(self, asset: Asset) -> Path:
        """A real path of it, checked."""

    def trace(self, asset: Asset, direction: Direction) -> Lineage:
        """Where it came from, or what was made of it."""


@dataclass(frozen=True)
class Artifact:
    """What `materialize` gave.

    Parameters
    ----------
    asset
        The first asset of the result.
    record
        Id of the record of the call that made it; None of what nobody made.
    version
        Number of the version, where it was given a name.
    hit
        Whether it was known, so that nothing ran.
    key
        Identity of what was asked for.
    others
        The further assets of the result.
    """

    asset: Asset
    record: str | None
    version: int | None
    hit: bool
    key: str
    others: tuple[Asset, ...] = ()
    home: Home = field(repr=False, compare=False, kw_only=True)

    @property
    def cid(self) -> str:
        """Content identifier of its bytes."""
        return self.asset.cid

    @property
    def uri(self) -> str:
        """How it is named as an input, and fetched: ``stargazer://asset/…``."""
        return uri_of(self.asset)

    def fetch(self) -> Path:
        """Return a real path of it, its companions beside it."""
        return self.home.fetch_file(self.asset)

    def to_table(self) -> Any:
        """Return it as a `pyarrow.Table`.

        Raises
        ------
        AssetError
            It is no table that Arrow reads.
        """
        from stargazer.tables import read_table

        return read_table(self.fetch())

    def lineage(self) -> Lineage:
        """Return where it came from."""
        return self.home.trace(self.asset, "up")

    def dependents(self) -> Lineage:
        """Return what was made of it."""
        return self.home.trace(self.asset, "down")
