"""How people name an asset: a CID, an id, the first digits of either, or a URI."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import CIDError, NotFound

if TYPE_CHECKING:
    import sqlite3

    from stargazer.assets import Asset
    from stargazer.store.query import Queries

__all__ = ["SCHEME", "Reference", "as_uri", "find_assets", "is_reference", "read_reference"]

ID = re.compile(r"[0-9a-f]{64}")
PART_OF_ID = re.compile(r"[0-9a-f]{6,63}(…[0-9a-f]+)?")
PART_OF_CID = re.compile(r"ba[fg][a-z2-7]{5,}(…[a-z2-7]+)?")
SCHEME = "stargazer://"
SHOWN = 5
MOST = 50


class Reference(NamedTuple):
    """What somebody wrote to name an asset.

    Parameters
    ----------
    kind
        ``"id"``, ``"cid"`` or ``"part"`` (of either).
    text
        The id, the CID as the store writes it, or its first digits, perhaps with ``…`` and its last ones.
    """

    kind: str
    text: str


def read_reference(text: str) -> Reference:
    """Read what names an asset.

    Raises
    ------
    CIDError
        It names none.
    """
    from stargazer.cid import parse

    name = text.removeprefix(f"{SCHEME}asset/")
    if ID.fullmatch(name):
        return Reference("id", name)
    try:
        return Reference("cid", parse(name).text)
    except CIDError as error:
        if PART_OF_CID.fullmatch(name) or PART_OF_ID.fullmatch(name):
            return Reference("part", name)
        raise CIDError(f"{text!r} is neither a CID nor the id of an asset: {error}") from None


def is_reference(text: str) -> bool:
    """Whether a text has the form of what names an asset."""
    try:
        read_reference(text)
    except CIDError:
        return False
    return True


def as_uri(name: Any) -> Any:
    """Write what names an asset so that it can be taken for nothing else; other than text is left as it is."""
    return f"{SCHEME}asset/{name}" if isinstance(name, str) and not name.startswith(SCHEME) else name


def find_assets(store: Queries, text: str) -> list[Asset]:
    """Return the assets that somebody named, with the companions that belong beside them.

    Several, where several records have the same bytes.

    Raises
    ------
    CIDError
        The text names none.
    NotFound
        The store does not have it, or has several that begin so.
    """
    reference = read_reference(text)
    if reference.kind == "part":
        reference = _completed(store, reference.text)
    if reference.kind == "id":
        return [store.get(reference.text)]
    return store.assemble(cid=reference.text, missing="skip") or [store.get(reference.text)]


def _completed(store: Queries, part: str) -> Reference:
    """The one CID or id of the store that begins so."""
    pattern = part.replace("…", "*") + ("" if "…" in part else "*")
    found = store.ask(lambda index: _matching(index, pattern), "assets")
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound(f"{store.url} has nothing whose CID or id begins with {part}")
    names = ", ".join(reference.text for reference in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    raise NotFound(f"{part} is not unique: {names}{more}; write more of it")


def _matching(index: sqlite3.Connection, pattern: str) -> list[Reference]:
    query = "SELECT DISTINCT {0} FROM assets WHERE {0} GLOB ? ORDER BY {0} LIMIT ?"
    cids = index.execute(query.format("cid"), (pattern, MOST)).fetchall()
    ids = index.execute(query.format("id"), (pattern, MOST)).fetchall()
    return [*(Reference("cid", row[0]) for row in cids), *(Reference("id", row[0]) for row in ids)]
