"""The verbs that act on the active store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.store import Store, active_store

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path

    from stargazer.assets import Asset
    from stargazer.ledger.trace import Direction, Lineage

__all__ = ["add", "assemble", "fetch", "trace"]


def add(path: str | os.PathLike[str], asset: Asset | None = None, *, companions: Iterable[Asset] = ()) -> Asset:
    """Make a file or directory an asset of the active store; see `stargazer.Store.add`.

    Examples
    --------
    >>> add("reads_R1.fq.gz", R1(sample_id="s1"))  # doctest: +SKIP
    """
    from stargazer.display import path_progress

    with path_progress("add", path) as progress:
        return active_store().add(path, asset, companions=tuple(companions), progress=progress)


def assemble(**filters: Any) -> list[Asset]:
    """Find assets of the active store by their facts; see `stargazer.Store.assemble`.

    Examples
    --------
    >>> assemble(asset="r1", sample_id=["s1", "s2"])  # doctest: +SKIP
    """
    return active_store().assemble(**filters)


def fetch(asset: Asset | str) -> Path:
    """Return a real path of an asset, its companions beside it, or of what a CID names."""
    return asset.fetch() if not isinstance(asset, str) else active_store().fetch(asset)


def trace(asset: Asset | str, *, direction: Direction = "up") -> Lineage:
    """Tell where an asset came from (``"up"``) or what was made of it (``"down"``).

    Parameters
    ----------
    asset
        A stored asset: the record that this handle came from is followed. Or a bare CID: all its producers are
        listed, newest first.
    direction
        ``"up"`` or ``"down"``.

    Raises
    ------
    NotFound
        The store knows nothing of that CID.
    """
    from stargazer.ledger.trace import trace as follow

    known = asset.source if not isinstance(asset, str) else None
    return follow(Store.open(known.url) if known is not None else active_store(), asset, direction)
