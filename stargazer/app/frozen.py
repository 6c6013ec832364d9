"""Snapshots in the app: frozen, added, shown as they were stored, run again and compared, shared."""

from __future__ import annotations

import asyncio
import json
import os
import re
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from stargazer import api
from stargazer.app.desk import body_of, desk_of
from stargazer.app.jobs import CommandFailed, command
from stargazer.errors import ArgumentError, Conflict, NotebookError, NotFound, NotPublic
from stargazer.notebook.snapshots import fetch_snapshot, find_snapshot
from stargazer.remotes.settings import configured

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from stargazer.app.desk import Desk
    from stargazer.app.tiles import Tile
    from stargazer.notebook.snapshots import Snapshot

__all__ = ["routes", "snapshot_of"]

STORED = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""A stored page is of an origin of its own, and reaches nothing: somebody else may have made it."""


OPTION = re.compile(r": give --(title|description)\b")
"""What the command line advises, and a page has fields for."""

LONGEST = 2000
"""Characters of what names somebody's snapshot."""


def routes() -> list[Route]:
    """Paths of snapshots."""
    one = "/api/notebooks/{section}/{name}"
    return [
        Route("/api/jobs/{id}", job),
        Route("/api/snapshots", add, methods=["POST"]),
        Route(f"{one}/freeze", freeze, methods=["POST"]),
        Route(f"{one}/again", again, methods=["POST"]),
        Route(f"{one}/share", share, methods=["POST"]),
        Route(f"{one}/graduate", graduate, methods=["POST"]),
        Route(f"{one}/promote", promote, methods=["POST"]),
        Route("/page/{section}/{name}", page_of),
        Route("/stored/{section}/{name}", stored),
    ]


async def job(request: Request) -> Response:
    """How something stands that takes long."""
    return JSONResponse(desk_of(request).jobs.find(request.path_params["id"]).to_dict())


async def _closed_tile(request: Request) -> Tile:
    desk, params = desk_of(request), request.path_params
    tile = await asyncio.to_thread(desk.shelf.find, params["section"], params["name"])
    kernel = desk.kernels.find(*tile.key)
    if kernel is not None and kernel.state != "ended":
        raise Conflict(f"{tile.name} is open; stop it first")
    return tile


def _called(tile: Tile) -> str:
    """What a notebook is called where two sections may have one of that name: a job is known by its name."""
    return tile.name if tile.section == "workspace" else f"{tile.section}/{tile.name}"


def snapshot_of(desk: Desk, tile: Tile) -> Snapshot:
    """Return the snapshot that a tile stands for.

    Raises
    ------
    NotFound
        The file was not frozen here, nor added.
    """
    try:
        said = json.loads(tile.path.with_suffix(".json").read_text("utf-8"))
        cid = str(said["cid"])
    except (OSError, ValueError, KeyError, TypeError):
        raise NotFound(f"{tile.name} has no stored page: it was put there by hand, not frozen") from None
    return find_snapshot(cid, desk.store)


def _keep(desk: Desk, name: str, snapshot: Snapshot) -> Path:
    """Put a snapshot among those of the root; none is ever replaced."""
    folder = desk.shelf.root / "snapshots"
    folder.mkdir(parents=True, exist_ok=True)
    file, told = folder / f"{name}.py", folder / f"{name}.json"
    if snapshot.source.suffix != ".py":
        raise NotebookError(
            f"{snapshot.content['notebook']} is no .py notebook; see it with: stargazer get {snapshot.cid}"
        )
    try:
        with open(file, "xb") as made:
            made.write(snapshot.source.read_bytes())
    except FileExistsError:
        raise Conflict(
            f"there is a snapshot {name!r} already, and snapshots never change; rename the notebook"
        ) from None
    told.write_text(json.dumps({"cid": snapshot.cid, "title": snapshot.content.get("title", "")}) + "\n", "utf-8")
    for each in (file, told):
        os.chmod(each, 0o444)
    return file


async def freeze(request: Request) -> Response:
    """Run a notebook to its end, keep all of it under one CID, and move it to the snapshots."""
    tile, desk = await _closed_tile(request), desk_of(request)
    if not tile.is_own or tile.section == "snapshots":
        raise NotebookError(f"{tile.name} is not yours to freeze; copy it to the workspace")
    if (desk.shelf.root / "snapshots" / f"{tile.name}.py").exists():
        raise Conflict(f"there is a snapshot {tile.name!r} already, and snapshots never change; rename the notebook")

    async def work() -> tuple[str, str]:
        before = tile.path.read_bytes()
        asked = ["nb", "freeze", tile.path.name, "--store", desk.store.url]
        answer = await command(asked, cwd=tile.path.parent, profile=desk.profile)
        snapshot = await asyncio.to_thread(find_snapshot, str(answer["cid"]), desk.store)
        await asyncio.to_thread(_keep, desk, tile.name, snapshot)
        if tile.path.read_bytes() != before:
            return f"frozen as {snapshot.cid}; the notebook was changed meanwhile, and stays in the workspace", "/"
        tile.path.unlink()
        return f"{tile.name} is frozen as {snapshot.cid}", "/"

    return JSONResponse(desk.jobs.begin(f"freeze {_called(tile)}", work).to_dict(), 202)


async def again(request: Request) -> Response:
    """Run a snapshot once more, in a process of its own, and tell whether all results are the same."""
    tile, desk = await _closed_tile(request), desk_of(request)
    snapshot = await asyncio.to_thread(snapshot_of, desk, tile)

    async def work() -> tuple[str, str]:
        try:
            asked = ["nb", "verify", snapshot.cid, "--store", desk.store.url]
            found = await command(asked, cwd=desk.shelf.root, profile=desk.profile)
        except CommandFailed as error:
            if not isinstance(error.answer, dict) or "checked" not in error.answer:
                raise
            found = error.answer
        return _compared(found), ""

    return JSONResponse(desk.jobs.begin(f"run {tile.name} again", work).to_dict(), 202)


def _compared(found: dict[str, Any]) -> str:
    differences = [f"{each['what']}: was {each['then']}, is {each['now']}" for each in found["differences"]]
    versions = (
        [f"{each['what']} was {each['then']}, is {each['now']}" for each in found["versions"]] if differences else []
    )
    return "\n".join(
        [f"the same: {found['checked'] - len(differences)} of {found['checked']}", *differences, *versions]
    )


async def add(request: Request) -> Response:
    """Put somebody's published snapshot among the snapshots."""
    what = str((await body_of(request)).get("what", "")).strip()
    if not what or len(what) > LONGEST:
        raise ArgumentError(f"give a CID, a URL or a bundle, of {LONGEST:,} characters at most")
    desk = desk_of(request)

    def added() -> str:
        snapshot = fetch_snapshot(what, store=desk.store)
        stem = snapshot.source.stem
        _keep(desk, stem, snapshot)
        return f"{stem} is among the snapshots now; it is {snapshot.whose}"

    async def work() -> tuple[str, str]:
        return await asyncio.to_thread(added), "/"

    return JSONResponse(desk.jobs.begin(f"add {what}", work).to_dict(), 202)


async def share(request: Request) -> Response:
    """Publish a snapshot with all that led to it at a remote, where others find it by its CID."""
    remote = str((await body_of(request)).get("remote", "")).strip()
    tile, desk = await _closed_tile(request), desk_of(request)
    snapshot = await asyncio.to_thread(snapshot_of, desk, tile)
    if remote not in remotes():
        raise ArgumentError(f"there is no remote {remote!r} in the settings")

    def sent() -> str:
        try:
            done = api.publish(snapshot.asset, to=remote, title=tile.title, store=desk.store, progress=False)
        except NotPublic as error:
            told = f"stargazer publish {snapshot.cid} --to {remote} --public"
            raise NotPublic(f"{str(error).partition(': nobody')[0]}; where they may be public, say: {told}") from None
        api.push(snapshot.asset, to=remote, lineage=True, store=desk.store, progress=False)
        kept = "" if done.pinned else f"\n{remote} does not say that it keeps it"
        pages = "".join(f"\npage: {link}" for link in done.links)
        return f"{remote} has it now; others add it by {snapshot.cid}{pages}{kept}"

    async def work() -> tuple[str, str]:
        return await asyncio.to_thread(sent), ""

    return JSONResponse(desk.jobs.begin(f"share {tile.name} at {remote}", work).to_dict(), 202)


def remotes() -> list[str]:
    """Names of the remotes of the settings."""
    return [each.name for each in configured()]


async def graduate(request: Request) -> Response:
    """Move a notebook to the workflows, its tasks to a module beside it; say what is left to do before."""
    tile, desk = await _closed_tile(request), desk_of(request)
    if not tile.is_own:
        raise NotebookError(f"{tile.name} is not yours to move; copy it to the workspace")

    async def work() -> tuple[str, str]:
        asked = ["nb", "graduate", tile.path.name, "--to", os.fspath(desk.shelf.root / "workflows"), "--store"]
        try:
            await command([*asked, desk.store.url], cwd=tile.path.parent)
        except CommandFailed as error:
            raise NotebookError(OPTION.sub("; write one into its header", str(error))) from None
        return f"{tile.name} is among the workflows now", "/"

    return JSONResponse(desk.jobs.begin(f"graduate {_called(tile)}", work).to_dict(), 202)


async def promote(request: Request) -> Response:
    """Move a task of a notebook to a module."""
    given = await body_of(request)
    task, module = (str(given.get(name, "")).strip() for name in ("task", "to"))
    tile, desk = await _closed_tile(request), desk_of(request)
    if not tile.is_own or not task.isidentifier() or not module.removesuffix(".py").isidentifier():
        raise ArgumentError("name a task of a notebook of yours, and the module beside it that it goes to, as tasks.py")

    async def work() -> tuple[str, str]:
        target = tile.path.with_name(f"{module.removesuffix('.py')}.py")
        asked = ["nb", "promote", tile.path.name, task, "--to", os.fspath(target), "--store", desk.store.url]
        await command(asked, cwd=tile.path.parent)
        return f"{task} is in {target.name} now, and the notebook imports it", ""

    return JSONResponse(desk.jobs.begin(f"promote {task} of {_called(tile)} to {module}", work).to_dict(), 202)


# The stored page: under the notebooks' address, in a sandbox.


async def page_of(request: Request) -> Response:
    """Lead the browser to the stored page of a snapshot."""
    desk, params = desk_of(request), request.path_params
    tile = await asyncio.to_thread(desk.shelf.find, params["section"], params["name"])
    await asyncio.to_thread(snapshot_of, desk, tile)
    path = f"{desk.access.base}/stored/{tile.section}/{tile.name}"
    return RedirectResponse(desk.access.notebook_url(request.headers["host"], path), 303)


async def stored(request: Request) -> Response:
    """The page as it was stored; nothing of it is run but what stands in it."""
    desk, params = desk_of(request), request.path_params

    def read() -> bytes:
        return snapshot_of(desk, desk.shelf.find(params["section"], params["name"])).page.read_bytes()

    headers = {"Content-Security-Policy": STORED, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
    return Response(await asyncio.to_thread(read), media_type="text/html", headers=headers)
