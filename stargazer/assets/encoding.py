"""Assets as JSON and as flat strings, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stargazer.assets.fact_types import ANY, Mismatch, encoder, plain
from stargazer.assets.fields import schema_of
from stargazer.assets.registry import asset_type
from stargazer.errors import AssetError, InvalidField, UnknownField

if TYPE_CHECKING:
    from stargazer.assets.asset import Asset, Source

__all__ = [
    "FORMAT",
    "as_record",
    "canonical",
    "decode",
    "encode",
    "identity",
    "parse_fact",
    "parse_keyvalues",
    "summary",
    "write_keyvalues",
]

FORMAT = 1
_MEMBERS = dict.fromkeys(("format", "asset", "cid", "path", "name", "facts", "companions"))


def identity(asset: Asset) -> dict[str, Any]:
    """What makes the asset this one, as JSON values: no path, no source."""
    return {
        "asset": asset.asset_key,
        "cid": asset.cid,
        "name": asset.name,
        "facts": plain(_written(asset)),
        "companions": [identity(companion) for companion in asset.companions],
    }


def _written(asset: Asset) -> Mapping[str, Any]:
    """The facts, those that a later version added only where they are not the default."""
    later = type(asset).later
    if not later:
        return asset.declared
    defaults = schema_of(type(asset)).defaults
    return {name: value for name, value in asset.declared.items() if name not in later or value != defaults.get(name)}


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
    _require_stored(asset)
    return encoder().encode({"format": FORMAT, **identity(asset)}).encode("ascii")


def as_record(asset: Asset) -> tuple[str, bytes]:
    """The id of a stored asset, which it keeps, and its canonical form, from one writing of it."""
    import hashlib

    data = canonical(asset)
    identifier = asset.__dict__["_id"] = hashlib.sha256(data).hexdigest()
    return identifier, data


def _require_stored(asset: Asset) -> None:
    if asset.cid is None:
        raise AssetError(f"{asset!r} is a draft: it has an id when it is in a store (sg.add puts it there)")
    for companion in asset.companions:
        _require_stored(companion)


def encode(asset: Asset) -> dict[str, Any]:
    """The asset as JSON values, without its source."""
    members = identity(asset)
    if asset.path is not None:
        members["path"] = str(asset.path)
    members["companions"] = [encode(companion) for companion in asset.companions]
    return members


def summary(asset: Asset) -> dict[str, Any]:
    """What to show of an asset: facts that say something, its name, its CID or path, the keys of its companions."""
    schema = schema_of(type(asset))
    key = {"asset": asset.asset_key} if schema.bare and "asset" in asset.facts else {}
    shown = {**key, **{name: value for name, value in asset.declared.items() if value != schema.defaults.get(name)}}
    shown = {name: _short(value) if name.endswith("_cid") else value for name, value in shown.items()}
    if asset.cid is not None:
        shown |= {"name": asset.name} if asset.name else {}
        shown["cid"] = _short(asset.cid)
    elif asset.path is not None:
        shown |= {"name": asset.name} if asset.name != asset.path.name else {}
        shown["path"] = str(asset.path)
    if asset.companions:
        shown["companions"] = tuple(companion.asset_key for companion in asset.companions)
    return shown


def _short(cid: Any) -> Any:
    return f"{cid[:4]}…{cid[-4:]}" if isinstance(cid, str) and len(cid) > 12 else cid


def decode(members: Mapping[str, Any], source: Source | None = None) -> Asset:
    """The asset that `encode` or `canonical` wrote; one of an unknown type becomes a bare asset."""
    if not isinstance(members, Mapping) or not isinstance(members.get("asset"), str):
        raise InvalidField(f"no asset: expected a dict with the asset's key under 'asset', got {members!r:.80}")
    if extra := members.keys() - _MEMBERS:
        raise UnknownField(f"an asset's dict has no {', '.join(map(str, extra))}; it has {', '.join(_MEMBERS)}")
    if members.get("format", FORMAT) != FORMAT:
        raise AssetError(f"this asset was written by another Stargazer (format {members['format']}, not {FORMAT})")
    base = {name: members[name] for name in ("cid", "path", "name") if name in members}
    companions, facts = members.get("companions", []), members.get("facts", {})
    if not isinstance(companions, (list, tuple)) or not isinstance(facts, Mapping):
        raise InvalidField("an asset's dict has a list under 'companions' and a dict under 'facts'")
    return _make(members["asset"], facts, companions=[decode(c, source) for c in companions], source=source, **base)


def _make(key: str, facts: Mapping[str, Any], **base: Any) -> Asset:
    cls = asset_type(key)
    schema = schema_of(cls)
    if schema.bare:
        return cls(facts={**facts, "asset": key}, **base)
    if undeclared := facts.keys() - schema.kinds.keys():
        raise schema.unknown(map(str, undeclared))
    return cls(**facts, **base)


def write_keyvalues(asset: Asset) -> dict[str, str]:
    """The asset's key, name and facts as flat strings; its CID and companions are not among them."""
    kinds = schema_of(type(asset)).kinds
    facts = {name: kinds.get(name, ANY).write(value) for name, value in _written(asset).items()}
    return {"asset": asset.asset_key, **({"name": asset.name} if asset.name else {}), **facts}


def parse_keyvalues(keyvalues: Mapping[str, str], **base: Any) -> Asset:
    """The asset that `write_keyvalues` wrote; `base` gives what strings do not: cid, path, companions, source."""
    key = keyvalues.get("asset", "asset")
    if not isinstance(key, str):
        raise InvalidField(f"the key 'asset' of an asset's keyvalues must be a string, got {key!r:.80}")
    cls = asset_type(key)
    facts = {name: parse_fact(cls, name, text) for name, text in keyvalues.items() if name not in ("asset", "name")}
    return _make(key, facts, name=keyvalues.get("name", ""), **base)


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
