"""Assets as JSON and as flat strings, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stargazer.assets.registry import asset_type
from stargazer.assets.scalars import ANY, dumps
from stargazer.assets.schema import schema_of
from stargazer.assets.values import Mismatch, plain
from stargazer.errors import AssetError, InvalidField, UnknownField

if TYPE_CHECKING:
    from stargazer.assets.asset import Asset
    from stargazer.assets.source import Source

__all__ = ["FORMAT", "canonical", "decode", "encode", "identity", "parse_fact", "parse_keyvalues", "write_keyvalues"]

FORMAT = 1
_MEMBERS = frozenset(("format", "asset", "cid", "path", "name", "facts", "companions"))


def identity(asset: Asset) -> dict[str, Any]:
    """What makes the asset this one, as JSON values: no path, no source."""
    return {
        "asset": asset.asset_key,
        "cid": asset.cid,
        "name": asset.name,
        "facts": plain(asset.declared),
        "companions": [identity(companion) for companion in asset.companions],
    }


def canonical(asset: Asset) -> bytes:
    """The identity of a stored asset as the one JSON text that its id is the SHA-256 of.

    Parameters
    ----------
    asset
        A stored asset: it and its companions have CIDs.

    Raises
    ------
    AssetError
        The asset or a companion is a draft.
    """
    for part in (asset, *asset.companions):
        if part.cid is None:
            raise AssetError(f"{part!r} is a draft: it has an id only when it is in a store (sg.add, store.save)")
    return dumps({"format": FORMAT, **identity(asset)}).encode("ascii")


def encode(asset: Asset) -> dict[str, Any]:
    """The asset as JSON values, without its source."""
    members = identity(asset)
    if asset.path is not None:
        members["path"] = str(asset.path)
    members["companions"] = [encode(companion) for companion in asset.companions]
    return members


def decode(members: Mapping[str, Any], source: Source | None = None) -> Asset:
    """The asset that `encode` or `canonical` wrote; one of an unknown type becomes a bare asset."""
    if not isinstance(members, Mapping) or not isinstance(members.get("asset"), str):
        raise InvalidField(f"no asset: expected a dict with the asset's key under 'asset', got {members!r:.80}")
    if extra := members.keys() - _MEMBERS:
        raise UnknownField(
            f"an asset's dict has no {', '.join(sorted(map(str, extra)))}; it has {', '.join(sorted(_MEMBERS))}"
        )
    if members.get("format", FORMAT) != FORMAT:
        raise AssetError(f"this asset was written by another Stargazer (format {members['format']}, not {FORMAT})")
    base = {name: members[name] for name in ("cid", "path", "name") if name in members}
    companions = [decode(companion, source) for companion in members.get("companions", ())]
    return _make(members["asset"], members.get("facts", {}), companions=companions, source=source, **base)


def _make(key: str, facts: Mapping[str, Any], **base: Any) -> Asset:
    cls = asset_type(key)
    schema = schema_of(cls)
    if schema.bare:
        return cls(facts={**facts, "asset": key}, **base)
    if clash := facts.keys() - schema.kinds.keys():
        raise schema.unknown(map(str, clash))
    return cls(**facts, **base)


def write_keyvalues(asset: Asset) -> dict[str, str]:
    """The asset's key, name and facts as flat strings; its CID and companions are not among them."""
    kinds = schema_of(type(asset)).kinds
    facts = {name: kinds.get(name, ANY).write(value) for name, value in asset.declared.items()}
    return {"asset": asset.asset_key, **({"name": asset.name} if asset.name else {}), **facts}


def parse_keyvalues(keyvalues: Mapping[str, str], **base: Any) -> Asset:
    """The asset that `write_keyvalues` wrote; `base` gives what is not in the strings: cid, path, companions, source."""
    cls = asset_type(keyvalues.get("asset", "asset"))
    facts = {name: parse_fact(cls, name, text) for name, text in keyvalues.items() if name not in ("asset", "name")}
    return _make(keyvalues.get("asset", "asset"), facts, name=keyvalues.get("name", ""), **base)


def parse_fact(kind: type[Asset] | str, field: str, value: object) -> Any:
    """A fact in its true type: text is read (``"true"``, ``"3"``), other values are checked.

    Parameters
    ----------
    kind
        An asset type or its key. Where the key is unknown any value will do.
    field
        Name of the fact, or ``"name"`` or ``"cid"``.
    value
        A value, or its text as `Asset.to_keyvalues` writes it.

    Raises
    ------
    UnknownField
        The type declares no such fact.
    InvalidField
        The value is no value of that fact.
    """
    schema = schema_of(asset_type(kind) if isinstance(kind, str) else kind)
    try:
        if field in ("name", "cid"):
            return schema.checks[field](value)
        fact = ANY if schema.bare and not field.startswith("_") else schema.kind(field)
        return fact.read(value) if isinstance(value, str) else fact.check(value)
    except Mismatch as mismatch:
        raise schema.invalid(field, value, mismatch) from None
