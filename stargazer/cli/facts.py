"""Facts, filters and companions as they are written on the command line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import typer

from stargazer.errors import AssetError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.assets import Asset

__all__ = ["draft", "drafts_beside", "read_filters", "split_pair"]


def split_pair(text: str, what: str = "a fact") -> tuple[str, str]:
    """``name=value`` as two strings."""
    name, equals, value = text.partition("=")
    if not equals or not all(part.isidentifier() for part in name.split(".")):
        raise typer.BadParameter(f"{text!r}: {what} is written name=value")
    return name, value


def draft(kind: str, facts: Iterable[str], **base: Any) -> Asset:
    """An asset of a type with facts read from text."""
    from stargazer.assets import Asset, asset_types

    known = asset_types()
    if kind not in known:
        raise typer.BadParameter(f"there is no asset type {kind!r}; there are {', '.join(known)}")
    texts = dict(split_pair(fact) for fact in facts)
    if reserved := texts.keys() & {"asset", "name", "cid", "path"}:
        raise typer.BadParameter(f"{', '.join(reserved)} cannot be a fact; use --as and --name")
    try:
        return Asset.from_keyvalues({"asset": kind, **texts}, **base)
    except AssetError as error:
        raise typer.BadParameter(str(error)) from None


def drafts_beside(companions: Iterable[str]) -> list[Asset]:
    """Companions, each ``type=path`` or a path alone."""
    found = []
    for text in companions:
        kind, equals, path = text.partition("=")
        if not os.path.exists(path if equals and kind.isidentifier() else text):
            raise typer.BadParameter(f"{text!r}: a companion is a file, or TYPE=FILE, but there is no such file")
        found.append(draft(kind, [], path=path) if equals and kind.isidentifier() else draft("asset", [], path=text))
    return found


def read_filters(filters: Iterable[str]) -> dict[str, Any]:
    """Filters for `assemble`, checked; a name that is repeated has several values."""
    from stargazer.assets import asset_types
    from stargazer.store.filters import Filters

    wanted: dict[str, list[str]] = {}
    for text in filters:
        name, value = split_pair(text, "a filter")
        wanted.setdefault(name, []).append(value)
    for kind in wanted.get("asset", []):
        if kind not in asset_types():
            raise typer.BadParameter(f"there is no asset type {kind!r}; there are {', '.join(asset_types())}")
    try:
        Filters.read(wanted)
    except AssetError as error:
        raise typer.BadParameter(str(error)) from None
    return wanted
