"""How people name an asset: a CID, an id, the first digits of either, a name with its version, or a URI."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import AssetError, CIDError, NotAReference, NotFound
from stargazer.store.names import NAME, NUMBER

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from stargazer.assets import Asset
    from stargazer.store.index import Index
    from stargazer.store.store import Store

__all__ = [
    "SCHEME", "Reference", "as_uri", "cid_named", "find_asset", "find_assets", "full_name", "is_reference",
    "read_reference", "whole_cids",
]  # fmt: skip

ID = re.compile(r"[0-9a-f]{64}")
PART_OF_ID = re.compile(r"[0-9a-f]{6,63}|[0-9a-f]{4,}…[0-9a-f]{3,}")
PART_OF_CID = re.compile(r"ba[fg][a-z2-7]{5,}|ba[fg][a-z2-7]+…[a-z2-7]{3,}")
VERSIONED = re.compile(r"[^@:\s]+@(latest|(v=)?[1-9][0-9]{0,8})")
SCHEME = "stargazer://"
SHOWN = 5
MOST = 50


class Reference(NamedTuple):
    """What somebody wrote to name an asset.

    Parameters
    ----------
    kind
        ``"id"``, ``"cid"``, ``"part"`` (of either) or ``"name"``.
    text
        The id, the CID as the store writes it, or its first digits, perhaps with ``…`` and its last ones; or the name.
    version
        Of a name; None for the newest.
    """

    kind: str
    text: str
    version: int | None = None


def read_reference(text: str) -> Reference:
    """Read what names an asset.

    Raises
    ------
    NotAReference
        It names none.
    """
    from stargazer.cid import parse

    if text.startswith(f"{SCHEME}name/") or VERSIONED.fullmatch(text):
        return _read_name(text)
    name = text.removeprefix(f"{SCHEME}asset/")
    if ID.fullmatch(name):
        return Reference("id", name)
    try:
        return Reference("cid", parse(name).text)
    except CIDError as error:
        if PART_OF_CID.fullmatch(name) or PART_OF_ID.fullmatch(name):
            return Reference("part", name)
        raise NotAReference(f"{text!r} is neither a CID nor the id of an asset: {error}") from None


def _read_name(text: str) -> Reference:
    name, _, version = text.removeprefix(f"{SCHEME}name/").partition("@")
    number = version.removeprefix("v=")
    if not NAME.fullmatch(name) or not (number in ("", "latest") or NUMBER.fullmatch(number)):
        raise NotAReference(f"{text!r} names no asset: write NAME@3, or NAME@latest")
    return Reference("name", name, int(number) if number.isdigit() else None)


def is_reference(text: str) -> bool:
    """Whether a text has the form of what names an asset."""
    try:
        read_reference(text)
    except NotAReference:
        return False
    return True


def as_uri(name: Any) -> Any:
    """Write what names an asset so that it can be taken for nothing else; other than text is left as it is."""
    if not isinstance(name, str) or name.startswith(SCHEME):
        return name
    return f"{SCHEME}{'name' if VERSIONED.fullmatch(name) else 'asset'}/{name}"


def find_assets(store: Store, text: str) -> list[Asset]:
    """Return the assets that somebody named, with the companions that belong beside them.

    Several, where several records have the same bytes.

    Raises
    ------
    NotAReference
        The text names none.
    NotFound
        The store does not have it, or has several that begin so.
    """
    reference = read_reference(text)
    if reference.kind == "name":
        return [store.names.get(reference.text, reference.version)]
    if reference.kind == "part":
        reference = _completed(store.index, store.url, reference.text)
    if reference.kind == "id":
        return [store.get(reference.text)]
    return store.assemble(cid=reference.text, missing="skip") or [store.get(reference.text)]


def full_name(store: Store, text: str) -> str:
    """Return the CID or id that a text means: of one that is written in part, the whole; any other text is as it is."""
    reference = read_reference(text) if is_reference(text) else None
    if reference is None or reference.kind in ("id", "cid"):
        return text.removeprefix(f"{SCHEME}asset/")
    if reference.kind == "name":
        return find_asset(store, text).id
    if PART_OF_ID.fullmatch(text) and "…" not in text:
        return text  # of a record, it may be
    return _completed(store.index, store.url, reference.text).text


def cid_named(store: Store, text: str) -> str:
    """Return the CID that a text means, whether the store has it or not; of a part, an id or a name the asset's."""
    from stargazer.cid import address

    reference = read_reference(text) if is_reference(text) else None
    if reference is None:
        return address(text).partition("/")[0]
    return reference.text if reference.kind == "cid" else str(find_assets(store, text)[0].cid)


def whole_cids(index: Index, url: str, filters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is asked of a store with whole CIDs for those that are written in part.

    Parameters
    ----------
    index, url
        Of the store.
    filters
        Those of `Store.assemble`.

    Raises
    ------
    NotFound
        A part is not that of one CID alone; one of none is left as it is.
    """
    if "cid" not in filters:
        return filters
    given = filters["cid"]
    several = isinstance(given, (list, tuple, set, frozenset))
    whole = [_whole_cid(index, url, each) for each in (given if several else [given])]
    return {**filters, "cid": whole if several else whole[0]}


def _whole_cid(index: Index, url: str, part: Any) -> Any:
    if not isinstance(part, str) or not PART_OF_CID.fullmatch(part) or _is_cid(part):
        return part
    found = [each for each in _beginning(index, part) if each.kind == "cid"]
    return _only(url, part, found).text if found else part


def _is_cid(text: str) -> bool:
    return is_reference(text) and read_reference(text).kind == "cid"


def find_asset(store: Store, text: str) -> Asset:
    """Return the one asset that somebody named.

    Raises
    ------
    NotAReference, NotFound
        As `find_assets`.
    AssetError
        Several records have these bytes.
    """
    found = find_assets(store, text)
    if len(found) > 1:
        lines = "".join(f"\n  {asset.id[:12]}  {asset!r}" for asset in found[:SHOWN])
        raise AssetError(f"{text} is the CID of {len(found)} assets; give one by its id:{lines}")
    return found[0]


def _completed(index: Index, url: str, part: str) -> Reference:
    """The one CID or id of the store that begins so."""
    found = _beginning(index, part)
    if not found:
        raise NotFound(f"{url} has nothing whose CID or id begins with {part}")
    return _only(url, part, found)


def _beginning(index: Index, part: str) -> list[Reference]:
    pattern = part.replace("…", "*") + ("" if "…" in part else "*")
    return index.ask(lambda connection: _matching(connection, pattern), "assets")


def _only(url: str, part: str, found: list[Reference]) -> Reference:
    if len(found) == 1:
        return found[0]
    names = ", ".join(reference.text for reference in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    raise NotFound(f"{part} is not unique in {url}: {names}{more}; write more of it")


def _matching(index: sqlite3.Connection, pattern: str) -> list[Reference]:
    query = "SELECT DISTINCT {0} FROM assets WHERE {0} GLOB ? ORDER BY {0} LIMIT ?"
    cids = index.execute(query.format("cid"), (pattern, MOST)).fetchall()
    ids = index.execute(query.format("id"), (pattern, MOST)).fetchall()
    return [*(Reference("cid", row[0]) for row in cids), *(Reference("id", row[0]) for row in ids)]
