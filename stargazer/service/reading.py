"""``/v1/assets``, ``/names``, ``/query``, ``/catalog``, ``/runs``, ``/gc``: one verb of the engine each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from stargazer import api, catalog
from stargazer.assets.table import Table
from stargazer.ledger import Ledger
from stargazer.runs.history import find_run, noted_runs
from stargazer.service.access import check_references
from stargazer.service.answers import JSONAnswer
from stargazer.service.materializing import is_stale
from stargazer.service.problems import Refusal, hidden_from, without
from stargazer.service.shown import asset_json, note_json, record_json, version_json
from stargazer.service.streams import ARROW, arrow_response, bytes_response, file_headers, is_known_to, tar_response
from stargazer.service.transforms import find_transform, transforms
from stargazer.store.references import find_asset, find_assets

if TYPE_CHECKING:
    from starlette.responses import Response

    from stargazer.assets import Asset
    from stargazer.ledger.lineage import Direction
    from stargazer.runs.history import Note
    from stargazer.service.visit import Visit
    from stargazer.store.names import Version

__all__ = [
    "asset", "catalog_entry", "catalog_list", "data", "dependents", "gc", "lineage", "name", "names", "query",
    "records", "run", "runs", "set_name",
]  # fmt: skip

MOST = 10_000
NO_FACTS = {"self", "missing"}
"""Words of the verb behind ``/v1/query`` that are no facts."""
HOUR = 3600.0


async def asset(visit: Visit) -> Response:
    """Say what is known of an asset."""
    text = visit.path("ref")
    check_references(visit.principal, text)
    found = await visit.in_thread(lambda: find_assets(visit.store, text))
    told = await visit.in_thread(lambda: asset_json(found[0]))
    return JSONAnswer({**told, "also": [other.id for other in found[1:]]})


async def data(visit: Visit) -> Response:
    """Return the bytes of an asset or in it: files with ranges, tables as Arrow streams, folders as tar."""
    found, inside = await visit.asset(), visit.request.path_params.get("inside", "").strip("/")
    cid = await visit.in_thread(lambda: visit.store.resolve(f"{found.cid}/{inside}" if inside else found.cid))
    name = inside.rpartition("/")[2] or found.name
    is_folder = await visit.in_thread(lambda: visit.store.is_directory(cid))
    wanted = visit.query("format") or ("arrow" if ARROW in visit.request.headers.get("accept", "") else "")
    if wanted not in ("", "arrow", "tar", "raw"):
        raise Refusal(406, "ArgumentError", f"format={wanted!r}: there are raw, arrow and tar", "query format")
    if wanted == "raw" and is_folder:
        told = f"{name} is a folder: it comes as format=tar, and what lies in it by its path"
        raise Refusal(406, "ArgumentError", f"format=raw: {told}", "query format")
    as_arrow = wanted == "arrow" or (not wanted and is_folder and isinstance(found, Table) and not inside)
    as_tar = wanted == "tar" or (is_folder and not as_arrow)
    headers = file_headers(cid, name, tag=f"{cid}.arrow" if as_arrow else f"{cid}.tar" if as_tar else cid)
    headers |= {"Vary": "Accept"}
    if known := is_known_to(visit.request, headers):
        return known
    if as_arrow:
        return await visit.in_thread(lambda: arrow_response(_path(visit, found, inside), headers))
    if as_tar:
        return tar_response(visit.store, cid, name, headers)
    return await visit.in_thread(lambda: bytes_response(visit.store, cid, name, headers))


def _path(visit: Visit, found: Asset, inside: str) -> Any:
    path = visit.store.fetch(found)
    return path / inside if inside else path


async def lineage(visit: Visit) -> Response:
    """Say where an asset came from."""
    return await _traced(visit, "up")


async def dependents(visit: Visit) -> Response:
    """Say what was made of an asset."""
    return await _traced(visit, "down")


async def _traced(visit: Visit, direction: Direction) -> Response:
    found = await visit.asset()

    def told() -> dict[str, Any]:
        traced = api.trace(found, direction=direction, store=visit.store)
        recorded = {record.id: record_json(record, visit.may_name, visit.may_read_table) for record in traced.records}
        return {"direction": direction, "roots": traced.to_dict(), "records": recorded}

    return JSONAnswer(await visit.in_thread(told))


async def records(visit: Visit) -> Response:
    """List the records of the calls that made an asset, the newest first."""
    found = await visit.asset()
    made = await visit.in_thread(lambda: Ledger(visit.store.records).producers(found.cid))
    return JSONAnswer({"records": [record_json(each, visit.may_name, visit.may_read_table) for each in made]})


async def query(visit: Visit) -> Response:
    """Find assets by their facts, with the companions that belong beside them."""
    body = await visit.json()
    limit = body.pop("limit", 1000)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MOST:
        raise Refusal(422, "ArgumentError", f"limit is a number up to {MOST}", "body.limit")
    if unknown := sorted(NO_FACTS & body.keys()):
        raise Refusal(
            422, "ArgumentError", f"no member {', '.join(unknown)}; there are asset, name, cid, facts, limit", "body"
        )
    found, missed = await visit.in_thread(lambda: visit.store.answer(body))
    told = await visit.in_thread(lambda: [asset_json(each) for each in found[:limit]])
    missing = without(missed, hidden_from(visit.principal, visit.store))
    return JSONAnswer({"assets": told, "total": len(found), "missing": missing})


# Names.


async def names(visit: Visit) -> Response:
    """List the names, each with the number of its newest version."""
    found = await visit.in_thread(visit.store.names.newest)
    return JSONAnswer({"names": {name: newest for name, newest in found.items() if visit.may_name(name)}})


async def name(visit: Visit) -> Response:
    """Say what a name stands for: ``version``, ``history``, and whether it is ``stale``."""
    wanted = visit.path("name")
    visit.check_name(wanted)
    number = None if visit.query("version") is None else visit.number("version", 0, 999_999_999)
    if visit.flag("history"):
        versions = await visit.in_thread(lambda: visit.store.names.history(wanted))
        return JSONAnswer({"versions": await visit.in_thread(lambda: [_version(visit, each) for each in versions])})
    version = await visit.in_thread(lambda: visit.store.names.get_version(wanted, number))
    told = await visit.in_thread(lambda: _version(visit, version))
    if visit.flag("stale"):
        newest = await visit.in_thread(lambda: visit.store.names.get_version(wanted))
        if not _may_know(visit, newest.made):
            raise Refusal(404, "NotFound", "what its newest version was made of is not there")
        told["stale"] = await visit.in_thread(lambda: is_stale(wanted, store=visit.store, own_code=visit.may_code))
    return JSONAnswer(told)


def _version(visit: Visit, version: Version) -> dict[str, Any]:
    """A version of a name; what was asked for stands beside it, unless it names what its reader may not know of."""
    told = version_json(version)
    return told if _may_know(visit, told["made"]) else {**told, "made": None}


def _may_know(visit: Visit, made: Any) -> bool:
    """Whether who asks may know of all that something was made of."""
    try:
        check_references(visit.principal, made)
    except Refusal:
        return False
    return True


async def set_name(visit: Visit) -> Response:
    """Let a name stand for an asset: the next version of it."""
    wanted = visit.path("name")
    visit.check_name(wanted)
    body = await visit.json(("asset",))
    if not isinstance(body.get("asset"), str):
        raise Refusal(422, "ArgumentError", "asset is a CID, an id or a URI", "body.asset")

    def given() -> dict[str, Any]:
        found = find_asset(visit.store, body["asset"])
        return _version(visit, visit.store.names.set(wanted, found, user=visit.asked or None))

    return JSONAnswer(await visit.in_thread(given))


# What can be asked for, what ran, and what nothing needs.


async def catalog_list(visit: Visit) -> Response:
    """List tasks, workflows and transforms."""
    word = visit.query("word")
    entries = await visit.in_thread(lambda: [*transforms(), *catalog.list(word=word)])
    return JSONAnswer({"entries": [each.to_dict() for each in entries]})


async def catalog_entry(visit: Visit) -> Response:
    """Describe a task, workflow or transform, with the JSON Schema of what it takes."""
    entry = await visit.in_thread(lambda: find_transform(visit.path("ref"), own_code=False))
    return JSONAnswer({**entry.to_dict(), "schema": entry.schema()})


async def runs(visit: Visit) -> Response:
    """List the newest runs of the store."""
    found = await visit.in_thread(lambda: noted_runs(visit.store, visit.number("limit", 20, MOST)))
    return JSONAnswer({"runs": [_note(visit, each) for each in found]})


async def run(visit: Visit) -> Response:
    """Say how a run went."""
    return JSONAnswer(_note(visit, await visit.in_thread(lambda: find_run(visit.store, visit.path("run")))))


def _note(visit: Visit, note: Note) -> dict[str, Any]:
    return note_json(note, hidden_from(visit.principal, visit.store), visit.may_read_table)


async def gc(visit: Visit) -> Response:
    """Say what nothing needs; remove it where ``dry_run`` is false."""
    body = await visit.json(("dry_run", "grace", "recent", "budget"))
    dry = body.pop("dry_run", True)
    numbers = {key: value for key, value in body.items() if value is not None}
    if not isinstance(dry, bool) or not all(map(_is_amount, numbers.values())):
        told = "dry_run is true or false; grace, recent and budget are numbers that are not negative"
        raise Refusal(422, "ArgumentError", told, "body")
    if numbers.get("grace", HOUR) < HOUR:
        raise Refusal(422, "ArgumentError", "grace is an hour at least: others write to this store", "body.grace")
    swept = await visit.in_thread(lambda: visit.store.gc(dry_run=dry, **numbers))
    counts = {"removed": len(swept.removed), "leftovers": len(swept.leftovers)}
    return JSONAnswer({**swept._asdict(), **counts, "results": list(swept.results)})


def _is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
