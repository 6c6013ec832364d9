"""Who is asked for what a store lacks: remotes, where the settings name some.

Remotes are written on top of the store and the ledger, and what notices that something is missing stands below them.
So they are imported by name, here alone, and only where some are configured.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from stargazer import config
from stargazer.errors import BlobLost, RemoteError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from stargazer.assets import Asset
    from stargazer.ledger import Record
    from stargazer.store.store import Store

__all__ = ["Fallback", "Known", "fallback", "fetch_missing", "mark_unavailable"]

_REMOTES = "stargazer.remotes.fallback"


class Known(NamedTuple):
    """A record that another store has, and the name of that remote."""

    record: Record
    where: str


class Fallback(Protocol):
    """What remotes do for a store."""

    def find(self, store: Store, keys: Collection[str]) -> Mapping[str, Known]:
        """Believed records behind those of many keys that some remote knows, with their results; nothing is taken."""

    def take(self, store: Store, keys: Collection[str], *, with_outputs: bool) -> Mapping[str, Record]:
        """The same, and take them into the store with their lineages; results' bytes too if `with_outputs`."""

    def fetch_assets(self, store: Store, assets: Iterable[Asset], *, shown: bool) -> None:
        """Have the bytes of assets in the store; `RemoteError` if nobody gives them."""

    def mark_unavailable(self, cid: str) -> None:
        """Believe no more that anybody has some bytes: they were promised, and did not come."""


def fallback() -> Fallback | None:
    """The remotes; None where none is configured, which costs a look at the settings."""
    return cast("Fallback", importlib.import_module(_REMOTES)) if config.remotes() else None


def fetch_missing(store: Store, assets: Collection[Asset]) -> None:
    """Have assets in a store on which a task relies, if remotes have them.

    Raises
    ------
    BlobLost
        None gives some of it.
    """
    others = fallback() if assets else None
    if others is None:
        return
    for asset in store.assets.missing(assets):
        try:
            others.fetch_assets(store, [asset], shown=False)
        except RemoteError as error:
            raise BlobLost(str(asset.cid), f"missing, and did not come from elsewhere either ({error}),") from error


def mark_unavailable(lost: BlobLost) -> None:
    """Note that bytes which a plan relied on could not be had, so that the next plan does not."""
    others = fallback()
    if others is not None:
        others.mark_unavailable(lost.cid)
