"""The fields that every asset has, and what they may hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from stargazer.assets.scalars import CID, STRING, link
from stargazer.assets.values import FrozenDict, Mismatch, freeze, is_asset

if TYPE_CHECKING:
    from stargazer.assets.asset import Asset

__all__ = ["BASE_CHECKS"]


def _path(value: Any) -> Path | None:
    if value is None or isinstance(value, Path):
        return value
    if isinstance(value, (str, PurePath)) and str(value):
        return Path(value)
    raise Mismatch("a path")


def _cid(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return str(_LINK(value)) or None
    except Mismatch as mismatch:
        raise Mismatch(CID.replace("''", "None"), *mismatch.args[1:]) from None


def _name(value: Any) -> str:
    name: str = STRING.check(value)
    if "/" in name or "\0" in name or name in (".", ".."):
        raise Mismatch("the name of a file", "It has no directories in it.")
    return name


def _companions(value: Any) -> tuple[Asset, ...]:
    if not isinstance(value, (tuple, list)) or not all(is_asset(item) for item in value):
        raise Mismatch("a tuple or list of assets")
    if len(value) < 2:
        return tuple(value)
    return tuple(sorted(value, key=lambda asset: (asset.asset_key, asset.name, asset.cid or "")))


def _facts(value: Any) -> FrozenDict:
    facts = value if type(value) is FrozenDict else freeze(value)
    if not isinstance(facts, FrozenDict):
        raise Mismatch("a dict of facts")
    key = facts.get("asset", "")
    if not isinstance(key, str):
        raise Mismatch("a string, the asset's key, under 'asset'")
    if "asset" in facts and key in ("", "asset"):
        return FrozenDict({name: fact for name, fact in facts.items() if name != "asset"})
    return facts


def _source(value: Any) -> Any:
    return value


_LINK = link(STRING).check
BASE_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "path": _path,
    "cid": _cid,
    "name": _name,
    "companions": _companions,
    "facts": _facts,
    "source": _source,
}
