"""Assets as they are given from outside: by CID, id or URI, or by what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset, asset_types
from stargazer.calls import Call
from stargazer.catalog.kinds import Defs, Kind, Unfit, named, shown
from stargazer.errors import StargazerError
from stargazer.store.references import find_assets, is_reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.store import Store

__all__ = ["AssetKind", "AssetList", "Finder"]

SHOWN = 5
MEMBERS = ("id", "cid", "type", "name", "facts", "keyvalues", "size", "uri", "path", "asset", "companions")
"""What the JSON of an asset has: what was given out is taken back."""


class Finder:
    """Finds in one store the assets that arguments name.

    Parameters
    ----------
    store
        Where to look.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def named(self, text: str, kind: type[Asset], place: str) -> Asset:
        """The asset of a type that a text names."""
        try:
            found = find_assets(self.store, text)
        except StargazerError as error:
            raise Unfit(f"{place}: {error}") from None
        fitting = [asset for asset in found if isinstance(asset, kind)]
        if not fitting:
            raise Unfit(f"{place}: {found[0]!r} is no {kind.__name__}")
        return _only(fitting, place, f"{text} is the CID of")

    def fitting(self, filters: Mapping[str, Any], kind: type[Asset], place: str) -> list[Asset]:
        """The assets of a type that fit what is known of them."""
        asked = {"asset": kind.asset_key, **filters} if kind is not Asset else dict(filters)
        try:
            return self.store.assemble(**asked)
        except StargazerError as error:
            raise Unfit(f"{place}: {error}") from None

    def one_fitting(self, filters: Mapping[str, Any], kind: type[Asset], place: str) -> Asset:
        """The only one of them."""
        found = self.fitting(filters, kind, place)
        if not found:
            raise Unfit(f"{place}: nothing in {self.store.url} fits {shown(dict(filters))}")
        return _only(found, place, "what was asked for fits")


def _only(found: list[Asset], place: str, told: str) -> Asset:
    if len(found) == 1:
        return found[0]
    lines = "".join(f"\n  {asset.id[:12]}  {asset!r}" for asset in found[:SHOWN])
    more = f"\n  and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    raise Unfit(f"{place}: {told} {len(found)} assets; give one by its id:{lines}{more}")


class AssetKind(Kind):
    """An asset of a type.

    Parameters
    ----------
    type
        The type; a subclass will do.
    kind_of
        Gives the kind of an annotation.
    """

    names_assets = True

    def __init__(self, type: type[Asset], kind_of: Callable[[Any], Kind]) -> None:
        self.type, self._kind_of = type, kind_of

    def __str__(self) -> str:
        return self.type.__name__

    @property
    def keys(self) -> list[str]:
        """Asset keys of the type and its subclasses."""
        return sorted(key for key, each in asset_types().items() if issubclass(each, self.type))

    def schema(self, defs: Defs) -> dict[str, Any]:
        """A reference to its definition."""
        name = named(defs, self.type)
        if name not in defs:
            defs[name] = {"x-class": f"{self.type.__module__}.{self.type.__qualname__}"}
            defs[name] |= {
                "description": f"{self}: a CID, the id of an asset, or a URI; or what is known of it.",
                "x-asset": self.type.asset_key,
                "anyOf": [{"type": "string", "minLength": 1}, self._stored(), self.filters(defs)],
            }
        return {"$ref": f"#/$defs/{name}"}

    def _stored(self) -> dict[str, Any]:
        properties: dict[str, Any] = dict.fromkeys(MEMBERS, True) | {"id": {"type": "string", "minLength": 1}}
        told = "An asset as it was given out."
        return {"type": "object", "description": told, "properties": properties, "required": ["id"],
                "additionalProperties": False}  # fmt: skip

    def filters(self, defs: Defs) -> dict[str, Any]:
        """The schema of what may be known of it: a reference to its definition."""
        name = f"{named(defs, self.type)}_facts"
        if name not in defs:
            columns: dict[str, Any] = {column: _or_several({"type": "string"}) for column in ("name", "cid")}
            facts = {fact: _or_several(kind.schema(defs)) for fact, kind in self._facts.items()}
            asset = {"type": "string"} if self.type is Asset else {"enum": self.keys}
            defs[name] = {
                "description": f"Facts of one {self}, or of several where a list is wanted; a list holds alternatives.",
                "type": "object", "minProperties": 1, "properties": {"id": False, "asset": asset, **columns, **facts},
                "additionalProperties": self.type is Asset,
            }  # fmt: skip
        return {"$ref": f"#/$defs/{name}"}

    @cached_property
    def _facts(self) -> dict[str, Kind]:
        from stargazer.catalog.hints import annotations_of

        hints = annotations_of(self.type)
        return {name: self._kind_of(hints.get(name, Any)) for name in self.type().declared}

    def read(self, value: Any, place: str, finder: Finder) -> Any:
        """The stored asset."""
        if isinstance(value, str) and value:
            return finder.named(value, self.type, place)
        if isinstance(value, Call):
            return value
        if isinstance(value, Asset):
            if isinstance(value, self.type):
                return value
            raise Unfit(f"{place}: {value!r} is no {self}")
        if isinstance(value, Mapping) and "id" in value:
            return finder.named(self._id(value, place), self.type, place)
        if isinstance(value, Mapping):
            return finder.one_fitting(self.read_filters(value, place, finder), self.type, place)
        raise Unfit(f"{place}: {shown(value)} names no {self}")

    def _id(self, members: Mapping[str, Any], place: str) -> str:
        if unknown := [name for name in members if name not in MEMBERS]:
            raise Unfit(f"{place}: an asset has no {', '.join(map(repr, unknown))}")
        if not isinstance(members["id"], str) or not members["id"]:
            raise Unfit(f"{place}: {shown(members['id'])} is no id")
        return members["id"]

    def read_filters(self, value: Mapping[str, Any], place: str, finder: Finder) -> dict[str, Any]:
        """What is known of it, checked."""
        if not value:
            raise Unfit(f"{place}: an object without members names no {self}")
        text, read = _Words(), {}
        known = {"name": text, "cid": text, **self._facts}
        for name, each in value.items():
            if name == "asset":
                if not isinstance(each, str) or (self.type is not Asset and each not in self.keys):
                    raise Unfit(f"{place}.asset: {shown(each)} is no {self}")
                read[name] = each
            elif name in known:
                read[name] = _read_several(known[name], each, f"{place}.{name}", finder)
            elif self.type is Asset:
                read[name] = each
            else:
                raise Unfit(f"{place}: {self} has no fact {name!r}; it has {', '.join(known)}")
        return read

    def parse_one(self, text: str) -> Any:
        """The text, if it has the form of what names an asset."""
        if text.startswith("{"):
            from stargazer.catalog.composite import json_of

            return json_of(text, 'an object, as {"sample_id": …}')
        if is_reference(text):
            return text
        import os

        if os.path.exists(text):
            raise ValueError(f"{text} is a file that is not in the store: stargazer add {text} --as "
                             f"{self.type.asset_key}, and give the CID that this prints; or --add")  # fmt: skip
        raise ValueError(f"{text!r} is neither a CID nor the id of an asset, and no file either")


class _Words(Kind):
    """A text."""

    def read(self, value: Any, place: str, finder: Finder) -> Any:
        if not isinstance(value, str):
            raise Unfit(f"{place}: {shown(value)} is no text")
        return value


def _or_several(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "array", "items": schema}]}


def _read_several(kind: Kind, value: Any, place: str, finder: Finder) -> Any:
    try:
        return kind.read(value, place, finder)
    except Unfit:
        if not isinstance(value, (list, tuple)):
            raise
    return [kind.read(each, place, finder) for each in value]


class AssetList(Kind):
    """A list of assets: each by itself, or all that fit.

    Parameters
    ----------
    items
        The kind of a list of them.
    each
        The kind of one.
    """

    flat = False

    def __init__(self, items: Kind, each: AssetKind) -> None:
        self.items, self.each = items, each

    def __str__(self) -> str:
        return str(self.items)

    def schema(self, defs: Defs) -> dict[str, Any]:
        """An array, or what is known of all."""
        return {"anyOf": [self.items.schema(defs), self.each.filters(defs)]}

    def read(self, value: Any, place: str, finder: Finder) -> Any:
        """The stored assets."""
        if not isinstance(value, Mapping):
            return self.items.read(value, place, finder)
        if "id" in value:
            raise Unfit(f"{place}: one asset stands where a list is wanted: write [ ] around it")
        filters = self.each.read_filters(value, place, finder)
        found = finder.fitting(filters, self.each.type, place)
        if not found:
            raise Unfit(f"{place}: nothing in {finder.store.url} fits {shown(dict(value))}")
        return found

    def parse(self, texts: Any) -> Any:
        """Several with commas; or a JSON object of what is known of all."""
        if len(texts) == 1 and texts[0].startswith("{"):
            return self.each.parse_one(texts[0])
        return self.items.parse(texts)

    def parse_one(self, text: str) -> Any:
        """As `parse`."""
        return self.parse([text])
