"""``/ipfs/<cid>``: what a store has, by CID, for IPFS tools, browsers and programs that read ranges.

Source: https://specs.ipfs.tech/http-gateways/trustless-gateway/ and path-gateway/.
"""

from __future__ import annotations

import functools
import html
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from stargazer.cid import parse
from stargazer.cid.dagpb import DIRECTORY, SHARD
from stargazer.cid.parts import Part as FilePart
from stargazer.cid.parts import inline_of, is_raw, node_of, parts_of, size_of
from stargazer.errors import CIDError, NotFound
from stargazer.remotes.dag import car_header, car_section, find
from stargazer.service.blocks import Blocks
from stargazer.service.problems import Refusal
from stargazer.service.streams import FOREVER, bytes_response, file_headers, is_known_to, tar_response
from stargazer.store.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.service.visit import Visit
    from stargazer.store import Store

__all__ = ["ipfs"]

RAW, CAR, TAR = "application/vnd.ipld.raw", "application/vnd.ipld.car", "application/x-tar"
FORMATS = {"raw": RAW, "car": CAR, "tar": TAR}
SCOPES = ("block", "entity", "all")


@functools.lru_cache(maxsize=64)
def _blocks(url: str) -> Blocks:
    return Blocks(open_store(url))


async def ipfs(visit: Visit) -> Response:
    """Return what a CID names: a file or a part of it, a listing, a block (``format=raw``), a CAR (``format=car``)."""
    path = visit.path("path")
    root, _, inside = path.partition("/")
    try:
        root = parse(root).text
    except CIDError as error:
        raise Refusal(400, "CIDError", str(error), "path") from error
    wanted = _format(visit)
    blocks = _blocks(visit.store.url)
    trail = await visit.in_thread(lambda: _trail(blocks, root, inside))
    if trail is None:
        status, told = (412, "only what is here is served") if _only_cached(visit) else (404, "the store has not")
        raise Refusal(status, "NotFound", f"{told}: {path}", "path")
    if wanted == RAW:
        return await _raw(visit, blocks, trail)
    if wanted == CAR:
        return await _car(visit, blocks, trail)
    return await visit.in_thread(lambda: _plain(visit, trail, inside, wanted == TAR))


def _only_cached(visit: Visit) -> bool:
    return "only-if-cached" in visit.request.headers.get("cache-control", "")


def _format(visit: Visit) -> str:
    """The form that is wanted; empty for the plain bytes."""
    text = visit.query("format")
    if text is not None:
        if text not in FORMATS:
            raise Refusal(406, "ArgumentError", f"format={text!r}: there are {', '.join(FORMATS)}", "query format")
        return FORMATS[text]
    kinds = [each.partition(";")[0].strip().lower() for each in visit.request.headers.get("accept", "").split(",")]
    found = next((kind for kind in kinds if kind in FORMATS.values()), "")
    foreign = [kind for kind in kinds if kind.startswith(("application/vnd.ipld.", "application/vnd.ipfs."))]
    if not found and foreign:
        raise Refusal(406, "ArgumentError", f"{foreign[0]} is not served", "header Accept")
    return found


def _trail(blocks: Blocks, root: str, inside: str) -> list[str] | None:
    """CIDs from the root of a path to what it names; None where the store lacks one."""
    trail = [root]
    for name in filter(None, inside.split("/")):
        block = blocks.get(trail[-1])
        child = None if block is None or is_raw(trail[-1]) else find(name, trail[-1], lambda cid: _must(blocks, cid))
        if child is None:
            return None
        trail.append(child)
    return trail if inline_of(trail[-1]) is not None or blocks.has(trail[-1]) else None


def _must(blocks: Blocks, cid: str) -> bytes:
    block = blocks.get(cid)
    if block is None:
        raise NotFound(f"a block of a directory is missing: {cid}")
    return block


def _block(blocks: Blocks, cid: str) -> bytes:
    inline = inline_of(cid)
    return inline if inline is not None else _must(blocks, cid)


def _headers(trail: list[str], path: str, tag: str) -> dict[str, str]:
    """Headers of every answer: which bytes they are, and by which way they were found."""
    headers = file_headers(trail[-1], "", tag=tag)
    return {**headers, "X-Ipfs-Path": f"/ipfs/{quote(path)}", "X-Ipfs-Roots": ",".join(trail), "Vary": "Accept"}


async def _raw(visit: Visit, blocks: Blocks, trail: list[str]) -> Response:
    headers = _headers(trail, visit.path("path"), f"{trail[-1]}.raw")
    headers["Content-Disposition"] = f'attachment; filename="{trail[-1]}.bin"'
    if known := is_known_to(visit.request, headers):
        return known
    block = await visit.in_thread(lambda: _block(blocks, trail[-1]))
    return Response(block, headers=headers, media_type=RAW)


async def _car(visit: Visit, blocks: Blocks, trail: list[str]) -> Response:
    scope, part = visit.query("dag-scope") or "all", visit.query("entity-bytes")
    if scope not in SCOPES:
        raise Refusal(400, "ArgumentError", f"dag-scope={scope!r}: there are {', '.join(SCOPES)}", "query dag-scope")
    _check_car(visit)
    span = _span(part) if part else None
    tag = ".".join(filter(None, [trail[-1], "car", scope, part]))
    headers = _headers(trail, visit.path("path"), tag)
    headers["Content-Disposition"] = f'attachment; filename="{trail[-1]}.car"'
    if known := is_known_to(visit.request, headers):
        return known
    kind = f"{CAR}; version=1; order=dfs; dups=n"
    if visit.request.method == "HEAD":  # whoever asks whether it is there need not wait until it is hashed
        return Response(headers=headers, media_type=kind)
    await visit.in_thread(lambda: _block(blocks, trail[-1]))
    return StreamingResponse(_sections(blocks, trail, scope, span), headers=headers, media_type=kind)


def _check_car(visit: Visit) -> None:
    """Refuse a CAR of another version or order; each block comes once whatever is asked for, and the answer says so."""
    accept = next((each for each in visit.request.headers.get("accept", "").split(",") if CAR in each), "")
    asked = (
        dict(each.strip().partition("=")[::2] for each in accept.split(";")[1:])
        if visit.query("format") is None
        else {}
    )
    for name, known in (("version", ("1",)), ("order", ("dfs", "unk")), ("dups", ("y", "n"))):
        wanted = visit.query(f"car-{name}") or asked.get(name, known[0])
        if wanted not in known:
            raise Refusal(
                400, "ArgumentError", f"car-{name}={wanted!r:.40}: there are {', '.join(known)}", f"query car-{name}"
            )


def _span(text: str) -> tuple[int, int | None]:
    """First byte and last byte (or None for the end) of an entity; both may be counted from its end."""
    first, _colon, last = text.partition(":")
    try:
        return int(first), None if last == "*" else int(last)
    except ValueError:
        raise Refusal(400, "ArgumentError", f"entity-bytes={text!r} is not FROM:TO", "query entity-bytes") from None


def _sections(blocks: Blocks, trail: list[str], scope: str, span: tuple[int, int | None] | None) -> Iterator[bytes]:
    """A CAR: the nodes that lead to what is named, and of that as much as is wanted."""
    yield car_header(trail[0])
    sent = set[str]()
    for cid, block in _wanted(blocks, trail, scope, span, sent):
        if inline_of(cid) is None:
            yield car_section(cid, block)


def _wanted(
    blocks: Blocks, trail: list[str], scope: str, span: tuple[int, int | None] | None, sent: set[str]
) -> Iterator[tuple[str, bytes]]:
    for cid in trail[:-1]:
        yield from _on_the_way(blocks, cid, sent)
    last = trail[-1]
    if inline_of(last) is not None:
        return
    block = _must(blocks, last)
    kind = "" if is_raw(last) else node_of(last, block).kind
    if scope == "block":
        yield last, block
    elif scope == "all" and span is None:
        yield from blocks.below(last, sent)
    elif kind in (DIRECTORY, SHARD):
        # An entity that is a directory is the list of what lies in it.
        yield from _on_the_way(blocks, last, sent)
    elif span is not None and not is_raw(last):
        yield from _of_span(blocks, last, block, span)
    else:
        yield from blocks.below(last, sent)


def _on_the_way(blocks: Blocks, cid: str, sent: set[str]) -> Iterator[tuple[str, bytes]]:
    """A directory with all its shards, and nothing that lies in it."""
    from stargazer.store.directories import links

    todo = [cid]
    while todo:
        name = todo.pop()
        if name in sent:
            continue
        sent.add(name)
        block = _must(blocks, name)
        yield name, block
        if node_of(name, block).kind == SHARD:
            todo += reversed(links(block, shards_only=True))


def _of_span(blocks: Blocks, cid: str, block: bytes, span: tuple[int, int | None]) -> Iterator[tuple[str, bytes]]:
    """The blocks of a file in which some of its bytes lie, and the nodes above them."""
    size = size_of(cid, block)
    first, last = span[0], size - 1 if span[1] is None else span[1]
    first, last = (first + size if first < 0 else first), (last + size if last < 0 else last)
    todo = [FilePart(cid, 0, size, 0)]
    while todo:
        part = todo.pop()
        if part.cid != cid and (part.start > last or part.start + part.size <= first):
            continue
        found = _must(blocks, part.cid)
        yield part.cid, found
        if not is_raw(part.cid):
            todo += reversed(parts_of(part, found)[1])


# Plain bytes and listings.


def _plain(visit: Visit, trail: list[str], inside: str, as_tar: bool) -> Response:
    store, cid = visit.store, trail[-1]
    name = (visit.query("filename") or "").rpartition("/")[2].strip(".") or inside.rstrip("/").rpartition("/")[2]
    if inline_of(cid) is not None and is_raw(cid):
        return Response(inline_of(cid), headers=_headers(trail, visit.path("path"), cid))
    if as_tar and (store.is_directory(cid) or store.size(cid) is not None):
        headers = _headers(trail, visit.path("path"), f"{cid}.tar")
        return is_known_to(visit.request, headers) or tar_response(store, cid, name, headers)
    if store.is_directory(cid):
        headers = _headers(trail, visit.path("path"), f"{cid}.listing")
        return is_known_to(visit.request, headers) or _listing(visit, store, cid, inside, headers)
    if store.size(cid) is None:
        raise Refusal(406, "ArgumentError", f"{cid} is a part of a file: ask for it as format=raw", "path")
    headers = {**file_headers(cid, name), **_headers(trail, visit.path("path"), cid)}
    return is_known_to(visit.request, headers) or bytes_response(store, cid, name, headers)


def _listing(visit: Visit, store: Store, cid: str, inside: str, headers: dict[str, str]) -> Response:
    entries = store.dirs.entries(cid)
    path = visit.request.url.path
    if not path.endswith("/"):
        query = visit.request.url.query
        return RedirectResponse(f"{path}/" + (f"?{query}" if query else ""), 301)
    index = next((entry for entry in entries if entry.name == "index.html"), None)
    if index is not None and store.size(index.cid) is not None:
        return bytes_response(store, index.cid, "index.html", {**headers, "ETag": f'"{index.cid}"'})
    names = "\n".join(_row(entry.name, entry.cid, store.size(entry.cid)) for entry in entries)
    title = html.escape(f"/ipfs/{visit.path('path')}")
    up = '<tr><td><a href="../">..</a></td><td></td><td></td></tr>' if inside else ""
    page = f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>"
    return HTMLResponse(f"{page}<table>{up}{names}</table>", headers={**headers, "Cache-Control": FOREVER})


STYLE = (
    "body{font:15px sans-serif;margin:2rem}td{padding:.2rem 1rem .2rem 0}"
    "td:nth-child(2){text-align:right}code{color:#666}"
)


def _row(name: str, cid: str, size: int | None) -> str:
    slash = "/" if size is None else ""
    shown = "" if size is None else f"{size:,}"
    link = f'<a href="{quote(name)}{slash}">{html.escape(name)}{slash}</a>'
    return f"<tr><td>{link}</td><td>{shown}</td><td><code>{cid}</code></td></tr>"
