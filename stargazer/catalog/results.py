"""Results as JSON: assets with what programs need of them, and the shapes that tasks and workflows return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset
from stargazer.catalog.kinds import as_json, shown
from stargazer.errors import StargazerError
from stargazer.store.references import SCHEME
from stargazer.visible import finite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.assets.asset import Source

__all__ = ["asset_json", "marshal"]


def asset_json(asset: Asset, *, path: bool = False, companions: bool = False) -> dict[str, Any]:
    """Return an asset as programs see it, wherever they ask; `bind` takes it back.

    Parameters
    ----------
    asset
        A stored asset.
    path
        Whether to name a local path of it too: for who may read it.
    companions
        Whether to tell of what lies beside it, too, each in the same shape.

    Examples
    --------
    >>> import stargazer as sg
    >>> told = asset_json(sg.add("s1_R1.fq.gz", sg.R1(sample_id="s1")))
    >>> told["type"], told["facts"]["sample_id"], told["uri"].startswith("stargazer://asset/baf")
    ('r1', 's1', True)
    """
    found = _told(asset, asset.source, companions)
    return found | ({"path": str(asset.fetch())} if path else {})


def _told(asset: Asset, source: Source | None, companions: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"cid": asset.cid, "id": asset.id, "type": asset.asset_key, "name": asset.name}
    found |= {"facts": finite(asset.to_dict()["facts"]), "keyvalues": asset.to_keyvalues()}
    found |= {"size": _size(asset, source), "uri": f"{SCHEME}asset/{asset.cid}"}
    beside = [_told(each, source, companions) for each in asset.companions] if companions else []
    return {**found, "companions": beside} if companions else found


def _size(asset: Asset, source: Source | None) -> int | None:
    """Its bytes; None where the store knows the asset and does not have it. A type may have a fact of that name."""
    if source is None:
        return None
    try:
        return source.size(asset)
    except (StargazerError, OSError):
        return None


def marshal(value: Any, *, path: bool = False) -> Any:
    """Return what a task or workflow gave as JSON: named tuples by field, others as ``o0``, ``o1``, and so on.

    Parameters
    ----------
    value
        A result.
    path
        As for `asset_json`.

    Examples
    --------
    >>> marshal((1, [2.5, float("nan")]))
    {'o0': 1, 'o1': [2.5, None]}
    """
    if isinstance(value, Asset):
        return asset_json(value, path=path)
    if isinstance(value, tuple):
        names: Iterable[str] = getattr(value, "_fields", None) or [f"o{place}" for place in range(len(value))]
        return {name: marshal(each, path=path) for name, each in zip(names, value, strict=True)}
    if isinstance(value, list):
        return [marshal(each, path=path) for each in value]
    if isinstance(value, dict):
        return {str(name): marshal(each, path=path) for name, each in value.items()}
    plain = as_json(value)
    return shown(value) if plain is None and value is not None else finite(plain)
