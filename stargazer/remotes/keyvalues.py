"""Facts of assets as the few flat strings that a pinning service keeps with a file, and back."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset
from stargazer.errors import AssetError, RemoteCannot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MOST", "asset_of", "keyvalues_of", "question", "suits"]

MOST = 10
"""Keys that a file may have."""


def keyvalues_of(asset: Asset) -> dict[str, str]:
    """The asset's key and those facts that say something; its name and CID have places of their own.

    Raises
    ------
    RemoteCannot
        There are more than a file may have.
    """
    plain = type(asset)().to_keyvalues() if type(asset) is not Asset else {}
    facts = {key: text for key, text in asset.to_keyvalues().items() if key == "asset" or text != plain.get(key)}
    facts.pop("name", None)
    if len(facts) > MOST:
        raise RemoteCannot(
            f"{asset.name or asset.cid} has {len(facts)} facts ({', '.join(facts)}); Pinata keeps {MOST} with a file: "
            "leave some empty, or push it with fewer (store.update)"
        )
    return facts


def asset_of(file: Mapping[str, Any]) -> Asset:
    """The asset that a service's entry tells of; a bare one where its keyvalues are not ours."""
    from stargazer.cid import parse

    cid, name = parse(str(file["cid"])).text, str(file.get("name") or "")
    facts = {str(key): str(value) for key, value in (file.get("keyvalues") or {}).items() if key != "name"}
    try:
        return Asset.from_keyvalues({**facts, "name": name}, cid=cid)
    except AssetError:
        return Asset(cid=cid)


def question(facts: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Parameters of the requests that ask for facts: one for each choice of alternatives."""
    choices = {key: value if isinstance(value, (list, tuple)) else [value] for key, value in facts.items()}
    for chosen in product(*choices.values()):
        asked = dict(zip(choices, chosen, strict=True))
        sent = {key: _text(value) for key, value in asked.items() if value not in ("", None, False, 0)}
        yield {key if key in ("cid", "name") else f"metadata[{key}]": text for key, text in sent.items()}


def suits(asset: Asset, facts: Mapping[str, Any]) -> bool:
    """Whether an asset has these facts; a service is not believed that it has."""
    return all(_suits(asset, key, value) for key, value in facts.items())


def _suits(asset: Asset, key: str, value: Any) -> bool:
    alternatives = value if isinstance(value, (list, tuple)) else [value]
    if key == "asset":
        keys = [each if isinstance(each, str) else each.asset_key for each in alternatives]
        return asset.asset_key in keys or asset.declared.get("asset") in keys
    found = {"cid": asset.cid, "name": asset.name}.get(key, asset.declared.get(key))
    return any(found == each or _text(found) == _text(each) for each in alternatives)


def _text(value: Any) -> str:
    if isinstance(value, type) and issubclass(value, Asset):
        return value.asset_key
    return str(value).lower() if isinstance(value, bool) else str(value)
