"""Pages of files: found by type and facts, looked at, added, and what was made of what."""

from __future__ import annotations

import asyncio
import shlex
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

from stargazer import api
from stargazer.app.desk import body_of, desk_of, page
from stargazer.app.graph import AT_ONCE, graph_around
from stargazer.app.uploads import Uploads
from stargazer.assets import asset_types
from stargazer.assets.fields import schema_of
from stargazer.catalog.arguments import read_filters
from stargazer.errors import ArgumentError, AssetError, NotFound, StargazerError
from stargazer.ledger import Ledger
from stargazer.ledger.signatures import whose
from stargazer.mcp.previews import Preview, check_near, preview

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from stargazer.assets import Asset
    from stargazer.store import Store

__all__ = ["routes"]

AT_A_TIME = 50
MOST_NODES = 5000


def routes() -> list[Route]:
    """Paths of the pages of files."""
    return [
        Route("/files", table),
        Route("/files/add", add_page),
        Route("/files/{id}", card),
        Route("/download/file/{id}", download),
        Route("/api/files/{id}/facts", write_facts, methods=["POST"]),
        Route("/api/files/{id}/pin", pin, methods=["POST"]),
        Route("/api/files/{id}/delete", delete, methods=["POST"]),
        Route("/api/uploads", begin_upload, methods=["POST"]),
        Route("/api/uploads/{number}", take_bytes, methods=["PUT"]),
        Route("/api/uploads/{number}", drop_upload, methods=["DELETE"]),
        Route("/api/uploads/{number}/finish", finish_upload, methods=["POST"]),
    ]


async def table(request: Request) -> Response:
    """Files of a type, with facts, a page at a time."""
    kind, words = request.query_params.get("type", ""), request.query_params.get("facts", "")
    start, told = _number(request, "start"), ""
    try:
        total, found = await asyncio.to_thread(_found, desk_of(request).store, kind, words, start)
    except (AssetError, ArgumentError) as error:
        total, found, told = 0, [], str(error)
    asked = {name: value for name, value in (("type", kind), ("facts", words)) if value}
    places = {"before": start - AT_A_TIME, "after": start + AT_A_TIME}
    links = {
        name: f"?{urlencode({**asked, 'start': place})}" if 0 <= place < total else "" for name, place in places.items()
    }
    return page(
        request, "files", found=found, total=total, start=start, kind=kind, words=words, links=links, told=told,
        kinds=sorted(asset_types()),
    )  # fmt: skip


def _found(store: Store, kind: str, words: str, start: int) -> tuple[int, list[Asset]]:
    try:
        filters = read_filters(shlex.split(words))
    except ValueError as error:
        raise ArgumentError(f"{words!r}: {error}") from None
    return store.queries.page({**filters, **({"asset": kind} if kind else {})}, start, AT_A_TIME)


def _number(request: Request, name: str, default: int = 0, most: int = 1 << 40) -> int:
    text = request.query_params.get(name, "")
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 15 else default


async def card(request: Request) -> Response:
    """All that is known of a file."""
    nodes = max(1, _number(request, "nodes", AT_ONCE, MOST_NODES))
    return page(request, "file", **await asyncio.to_thread(_card, request, nodes))


def _card(request: Request, nodes: int) -> dict[str, Any]:
    store = desk_of(request).store
    asset = _asset(request)
    ledger = Ledger(store.records)
    records = ledger.producers(str(asset.cid))
    graph = graph_around(store, asset, nodes)
    size = store.size(str(asset.cid))
    return {
        "asset": asset, "size": size, "facts": asset.declared, "records": records,
        "whose": whose(store.records, records), "older": [each for each in store.history(asset) if each.id != asset.id],
        "pins": [name for name, kept in store.pins().items() if any(each.cid == asset.cid for each in kept)],
        "names": store.names.called(str(asset.cid)),
        "graph": graph, "drawing": graph.svg(desk_of(request).access.base), "nodes": nodes, "most": MOST_NODES,
        "preview": _preview(store, asset, size), "is_folder": size is None or store.is_directory(str(asset.cid)),
    }  # fmt: skip


def _preview(store: Store, asset: Asset, size: int | None) -> Preview:
    if size is None:
        return Preview("none", "its bytes are not in this store; `stargazer get` takes them from a remote")
    try:
        check_near(store, asset)
        return preview(asset)
    except (StargazerError, OSError) as error:
        return Preview("none", str(error))


def _asset(request: Request) -> Asset:
    identifier = request.path_params["id"]
    found = desk_of(request).store.get(identifier) if identifier.isascii() and identifier.isalnum() else None
    if found is None:
        raise NotFound(f"there is no file {identifier!r}")
    return found


async def download(request: Request) -> Response:
    """The bytes of a file."""
    asset = await asyncio.to_thread(_asset, request)
    path = await asyncio.to_thread(api.fetch, asset, store=desk_of(request).store, progress=False)
    if path.is_dir():
        raise ArgumentError(f"{asset.name} is a folder; take it with: stargazer get {asset.cid} --out .")
    return FileResponse(path, media_type="application/octet-stream", filename=asset.name or str(asset.cid))


async def write_facts(request: Request) -> Response:
    """Give a file other facts: a newer record."""
    given = {name: str(value) for name, value in (await body_of(request)).items()}

    def written() -> Asset:
        asset = _asset(request)
        now = asset.to_keyvalues()
        changed = {name: value for name, value in given.items() if value != str(now.get(name, ""))}
        texts = type(asset).from_keyvalues({"asset": asset.asset_key, **{n: v for n, v in changed.items() if v}})
        facts = {name: getattr(texts, name) if value else None for name, value in changed.items()}
        return api.update(asset, store=desk_of(request).store, **facts) if facts else asset

    return JSONResponse({"go": f"/files/{(await asyncio.to_thread(written)).id}"})


async def pin(request: Request) -> Response:
    """Keep a file through every garbage collection."""
    name = str((await body_of(request)).get("name", "")).strip()
    store = desk_of(request).store

    def pinned() -> None:
        kept = store.pins().get(name, [])
        asset = _asset(request)
        api.pin(name, *[each for each in kept if each.id != asset.id], asset, store=store)

    await asyncio.to_thread(pinned)
    return JSONResponse({"said": f"kept under the pin {name}"})


async def delete(request: Request) -> Response:
    """Forget a file; its bytes go with the next garbage collection, where nothing else needs them."""
    asset = await asyncio.to_thread(lambda: api.delete(_asset(request), store=desk_of(request).store))
    return JSONResponse({"go": "/files", "said": f"{asset.name} is forgotten"})


# Files from the browser.


async def add_page(request: Request) -> Response:
    """The form for files, made from what each type says of its facts."""
    return page(request, "add", kinds=await asyncio.to_thread(_kinds))


def _kinds() -> dict[str, list[dict[str, str]]]:
    return {
        key: [
            {"name": name, "label": kind.expected}
            for name, kind in schema_of(cls).kinds.items()
            if not name.endswith("_cid")
        ]
        for key, cls in sorted(asset_types().items())
    }


def _uploads(request: Request) -> Uploads:
    return Uploads(desk_of(request).uploads)


async def begin_upload(request: Request) -> Response:
    """Begin an upload, or go on with one."""
    given = await body_of(request)
    facts, size = given.get("facts", {}), given.get("size")
    if not isinstance(facts, dict) or not isinstance(size, int) or isinstance(size, bool):
        raise ArgumentError("give name, size, type, facts and key")
    texts = {str(name): str(value) for name, value in facts.items() if str(value)}
    name, kind, key = (str(given.get(each, "")) for each in ("name", "type", "key"))
    return JSONResponse(await asyncio.to_thread(_uploads(request).begin, name, size, kind or "asset", texts, key))


async def take_bytes(request: Request) -> Response:
    """Take the next bytes of an upload."""
    number, offset = request.path_params["number"], _number(request, "offset")
    try:
        return JSONResponse(await _uploads(request).take(number, offset, request.stream()))
    except ClientDisconnect:  # what has arrived stays; nobody reads this answer
        return JSONResponse({"error": "the connection broke"}, 400)


async def drop_upload(request: Request) -> Response:
    """Remove an upload."""
    await asyncio.to_thread(_uploads(request).drop, request.path_params["number"])
    return JSONResponse({})


async def finish_upload(request: Request) -> Response:
    """Put an upload into the store."""
    made = await asyncio.to_thread(_uploads(request).finish, request.path_params["number"], desk_of(request).store)
    return JSONResponse({"id": made.id, "cid": made.cid, "name": made.name, "type": made.asset_key}, 201)
