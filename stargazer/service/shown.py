"""What a service says of assets, records and versions, as JSON values."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stargazer import catalog
from stargazer.assets import Asset
from stargazer.service.problems import without
from stargazer.store.references import SCHEME
from stargazer.tables import is_table_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stargazer.ledger import Record
    from stargazer.runs.history import Note
    from stargazer.store.names import Version

__all__ = ["asset_json", "asset_of", "note_json", "record_json", "uri_of", "version_json"]


HIDDEN = "a table that you may not read"
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9]{1,9}://[^\s'\"]*[^\s'\".,:;)]")
"""An address in a sentence, without what ends it."""


def uri_of(asset: Asset) -> str:
    """The URI of an asset: by its id, for two assets may share their bytes."""
    return f"{SCHEME}asset/{asset.id}"


def asset_json(asset: Asset) -> dict[str, Any]:
    """An asset as JSON values, with what lies beside it; never a path of this machine."""
    return catalog.asset_json(asset, companions=True)


def asset_of(members: Mapping[str, Any]) -> Asset:
    """The asset that `asset_json` wrote."""
    return Asset.from_dict(_encoded(members))


def _encoded(members: Mapping[str, Any]) -> dict[str, Any]:
    companions = [_encoded(each) for each in members.get("companions", ())]
    kept = {name: members[name] for name in ("cid", "name", "facts") if name in members}
    return {"asset": members["type"], **kept, "companions": companions}


def record_json(
    record: Record, may_name: Callable[[str], bool], may_read_table: Callable[[str], bool]
) -> dict[str, Any]:
    """A record as JSON values, without the names and tables that whoever reads it may not know."""
    named = {asset: name for asset, name in record.named.items() if may_name(name.rpartition("@")[0])}
    told = {**record._asdict(), "named": named, "parts": record.parts()}
    return {**told, "parameters": _without_tables(record.parameters, may_read_table)}


def _without_tables(value: Any, may_read_table: Callable[[str], bool]) -> Any:
    """Parameters as they are, but for the addresses of tables and of their files that somebody may not read."""
    if isinstance(value, str):
        return HIDDEN if is_table_uri(value) and not may_read_table(value) else value
    if isinstance(value, dict):
        return {name: _without_tables(each, may_read_table) for name, each in value.items()}
    return [_without_tables(each, may_read_table) for each in value] if isinstance(value, (list, tuple)) else value


def note_json(note: Note, hidden: Mapping[str, str], may_read_table: Callable[[str], bool]) -> dict[str, Any]:
    """What is noted of a run as JSON values, without the places and tables that whoever reads it may not know."""
    failures = {
        label: ADDRESS.sub(lambda found: _without_tables(found[0], may_read_table), without(why, hidden))
        for label, why in note.failures.items()
    }
    return {**asdict(note), "failures": failures}


def version_json(version: Version) -> dict[str, Any]:
    """A version of a name as JSON values."""
    told = {"name": version.name, "version": version.version, "time": version.time, "user": version.user}
    uri = f"{SCHEME}name/{version.name}@{version.version}"
    return {**told, "uri": uri, "asset": asset_json(version.asset), "made": version.made}
