"""Assets and stores as cards."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from stargazer.display.html import Markup, card, code, escape, facts_table, note, plural, short, table, value
from stargazer.errors import StargazerError
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["asset_html", "asset_line", "facts_text", "store_html", "table_html"]

NUMBER = re.compile(r"-?[\d,.]*%?")


def asset_html(asset: Any) -> str:
    """An asset: type, name, facts, CID and companions, and its picture if its type draws one; no bytes are fetched.

    Parameters
    ----------
    asset
        A draft or a stored asset.
    """
    source = asset.source
    rows = [*((name, _shown(name, fact)) for name, fact in _said(asset)), ("cid", code(asset.cid) if asset.cid else "")]
    rows += [("path", code(asset.path) if asset.path is not None else "")]
    rows += [("store", code(source.url) if source is not None else "")]
    rows += [("record", code(short(source.record)) if source is not None and source.record else "")]
    title = type(asset).__name__ if asset.asset_key != "asset" else "Asset"
    draft = "" if asset.cid else "draft, not stored yet"
    picture = asset.picture() if hasattr(asset, "picture") else ""
    parts = [Markup(picture), facts_table(rows), _companions(asset), note(draft) if draft else Markup("")]
    return card(title, *parts, subtitle=asset.name)


def asset_line(asset: Any) -> str:
    """An asset in a few words: its name, or else its CID or path."""
    return visible(asset.name or (short(asset.cid) if asset.cid else "") or asset.path or "?")


def facts_text(asset: Any) -> str:
    """Facts that say something, in one line; CIDs are cut short."""
    said = " ".join(f"{name}={short(fact) if name.endswith('_cid') else value(fact)}" for name, fact in _said(asset))
    return visible(said)


def store_html(store: Any) -> str:
    """A store: where it is and how it names files.

    Parameters
    ----------
    store
        A store; it is not made by being shown.
    """
    try:
        if not store.made:
            return card("Store", note("nothing is stored yet"), subtitle=store.url)
    except (StargazerError, OSError) as error:
        return card("Store", note(f"cannot be read: {error}"), subtitle=store.url)
    header = store.context.header
    durable = "every write is synced" if store.context.durable else ""
    rows = [("id", code(header.id)), ("CID profile", header.profile), ("format", header.format), ("durable", durable)]
    return card("Store", facts_table(rows), subtitle=store.url)


def table_html(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of a table, by the names of their columns; columns of numbers are set flush right.

    Parameters
    ----------
    rows
        All with the same columns.
    """
    if not rows:
        return ""
    heads = list(rows[0])
    numbers = [head for head in heads if all(NUMBER.fullmatch(row[head]) for row in rows)]
    shown = [name.replace("_", " ") for name in heads]
    return table(shown, [[row[head] for head in heads] for row in rows], [name.replace("_", " ") for name in numbers])


def _said(asset: Any) -> list[tuple[str, Any]]:
    """Facts that differ from what their type takes for granted."""
    defaults = {field.name: field.default for field in dataclasses.fields(asset)}
    return [(name, fact) for name, fact in asset.declared.items() if name not in defaults or fact != defaults[name]]


def _shown(name: str, fact: Any) -> Any:
    return code(fact) if name.endswith("_cid") else value(fact)


def _companions(asset: Any) -> Markup:
    if not asset.companions:
        return Markup("")
    rows = [(type(each).__name__, each.name, code(short(each.cid or "draft"))) for each in asset.companions]
    head = note(f"with {plural(len(rows), 'companion')}")
    return Markup(escape(head) + table(("type", "name", "cid"), rows))
