"""The home page: four sections of notebooks, and what can be done with each."""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from starlette.responses import FileResponse, JSONResponse, RedirectResponse
from starlette.routing import Route

from stargazer.app.desk import body_of, desk_of, page
from stargazer.app.frozen import remotes, snapshot_of
from stargazer.app.kernels import uv_here
from stargazer.app.shelf import TEMPLATES
from stargazer.app.tiles import SECTIONS
from stargazer.app.versions import changed
from stargazer.errors import ArgumentError, Conflict, NotFound, StargazerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from stargazer.app.desk import Desk
    from stargazer.app.kernels import Kernel
    from stargazer.app.tiles import Section, Tile
    from stargazer.notebook.snapshots import Snapshot

__all__ = ["routes"]

FREEZE = "Runs it to its end, keeps all of it under one CID, and moves it to the snapshots, where it never changes"
PROMOTE = "Moves a task of a cell to a module beside the notebook, which imports it then"
GRADUATE = "Moves it to the workflows, its tasks to a module beside it, and says what is left to do before"
AGAIN = "Runs all of it once more, in a process of its own, and says whether it comes to the same"
NUMBERS = {"order": float, "cpus": int}


def routes() -> list[Route]:
    """Paths of the home page and of what its buttons do."""
    one = "/api/notebooks/{section}/{name}"
    return [
        Route("/", home),
        Route("/open/{section}/{name}/{mode}", open_page),
        Route("/notebooks/{section}/{name}", settings_page),
        Route("/download/notebook/{section}/{name}", download),
        Route("/api/notebooks", state),
        Route("/api/notebooks", create, methods=["POST"]),
        Route(f"{one}/start", start, methods=["POST"]),
        Route(f"{one}/stop", stop, methods=["POST"]),
        Route(f"{one}/copy", copy, methods=["POST"]),
        Route(f"{one}/rename", rename, methods=["POST"]),
        Route(f"{one}/settings", write_settings, methods=["POST"]),
        Route(f"{one}/delete", delete, methods=["POST"]),
    ]


async def home(request: Request) -> Response:
    """The four sections."""
    desk = desk_of(request)
    sections, differing = await asyncio.to_thread(lambda: (_sections(desk), changed(desk)))
    return page(
        request, "home", sections=sections, templates=list(TEMPLATES), root=str(desk.shelf.root), changed=differing
    )


def _sections(desk: Desk) -> list[tuple[Section, list[tuple[Tile, dict[str, Any]]]]]:
    return [
        (section, [(tile, _state(desk, *tile.key)) for tile in desk.shelf.tiles(section.name)])
        for section in SECTIONS.values()
    ]


def _state(desk: Desk, section: str, name: str) -> dict[str, Any]:
    """What is told of a notebook's process."""
    kernel = desk.kernels.find(section, name)
    if kernel is None:
        return {"state": "closed", "mode": "", "since": "", "memory": 0, "cpu": 0.0, "why": "", "viewers": 0}
    return {
        "state": kernel.state, "mode": kernel.mode, "since": kernel.started.isoformat(timespec="seconds"),
        "memory": kernel.memory, "cpu": round(kernel.cpu, 2), "why": kernel.why, "viewers": kernel.viewers,
    }  # fmt: skip


async def state(request: Request) -> Response:
    """What runs, for the page that is open."""
    desk = desk_of(request)
    return JSONResponse({"notebooks": {"/".join(key): _state(desk, *key) for key in desk.kernels.told()}})


def _tile(request: Request) -> Tile:
    return desk_of(request).shelf.find(request.path_params["section"], request.path_params["name"])


async def start(request: Request) -> Response:
    """Open a notebook in one mode."""
    mode = (await body_of(request)).get("mode")
    if mode not in ("edit", "run"):
        raise ArgumentError("mode is edit or run")
    kernel = await desk_of(request).kernels.open(await asyncio.to_thread(_tile, request), mode)
    return JSONResponse({"url": _open_path(request, kernel)})


def _open_path(request: Request, kernel: Kernel) -> str:
    tile = kernel.tile
    return f"{desk_of(request).access.base}/open/{quote(tile.section)}/{quote(tile.name)}/{kernel.mode}"


async def open_page(request: Request) -> Response:
    """Lead the browser to a notebook that is open."""
    desk, params = desk_of(request), request.path_params
    kernel = desk.kernels.find(params["section"], params["name"])
    if kernel is None or kernel.state != "ready" or kernel.mode != params["mode"]:
        raise NotFound(f"{params['name']} is not open; open it from the home page")
    return RedirectResponse(desk.access.notebook_url(request.headers["host"], f"{kernel.base}/"), 303)


async def stop(request: Request) -> Response:
    """End a notebook's process."""
    await desk_of(request).kernels.stop(request.path_params["section"], request.path_params["name"])
    return JSONResponse({})


async def create(request: Request) -> Response:
    """Make a notebook in the workspace."""
    given = await body_of(request)
    name, template = str(given.get("name", "")).strip(), str(given.get("template", "blank"))
    tile = await asyncio.to_thread(desk_of(request).shelf.create, name, template)
    return JSONResponse({"name": tile.name}, 201)


async def copy(request: Request) -> Response:
    """Copy a notebook to the workspace."""
    tile = await asyncio.to_thread(lambda: desk_of(request).shelf.copy(_tile(request)))
    return JSONResponse({"name": tile.name}, 201)


def _must_be_closed(request: Request) -> None:
    kernel = desk_of(request).kernels.find(request.path_params["section"], request.path_params["name"])
    if kernel is not None and kernel.state != "ended":
        raise Conflict(f"{kernel.tile.name} is open; stop it first")


async def rename(request: Request) -> Response:
    """Give a notebook another name."""
    name = str((await body_of(request)).get("name", "")).strip()
    _must_be_closed(request)
    tile = await asyncio.to_thread(lambda: desk_of(request).shelf.rename(_tile(request), name))
    return JSONResponse({"name": tile.name})


async def write_settings(request: Request) -> Response:
    """Write what a tile shows into the notebook's header."""
    given = await body_of(request)
    changes: dict[str, str | int | float] = {}
    for name in ("title", "description", "order", "cpus", "memory"):
        if name in given:
            text = " ".join(str(given[name]).split())
            try:
                changes[name] = NUMBERS[name](text) if text and name in NUMBERS else text
            except ValueError:
                raise ArgumentError(f"{name} is a number, not {text!r}") from None
    _must_be_closed(request)
    await asyncio.to_thread(lambda: desk_of(request).shelf.write_settings(_tile(request), changes))
    return JSONResponse({})


async def delete(request: Request) -> Response:
    """Move a notebook to the trash."""
    _must_be_closed(request)
    place = await asyncio.to_thread(lambda: desk_of(request).shelf.delete(_tile(request)))
    return JSONResponse({"trash": str(place.relative_to(desk_of(request).shelf.root))})


async def download(request: Request) -> Response:
    """The notebook as a file."""
    tile = await asyncio.to_thread(_tile, request)
    return FileResponse(tile.path, media_type="text/x-python", filename=tile.path.name)


class Action(NamedTuple):
    """A button of a notebook's page.

    Parameters
    ----------
    name
        Of what it does, below the notebook's path.
    title, told
        What people read.
    ask
        A question before it is done.
    fields
        What is asked for before.
    choices
        What a field may be, by its name; anything where it has none.
    """

    name: str
    title: str
    told: str
    ask: str = ""
    fields: tuple[str, ...] = ()
    choices: Mapping[str, Sequence[str]] = MappingProxyType({})


async def settings_page(request: Request) -> Response:
    """What a tile says, to be read and changed; of the notebook itself nothing runs."""
    return page(request, "notebook", **await asyncio.to_thread(_page, request))


def _page(request: Request) -> dict[str, Any]:
    desk, tile = desk_of(request), _tile(request)
    snapshot, told = _snapshot(desk, tile)
    return {
        "tile": tile, "text": tile.path.read_text("utf-8", "replace"), "state": _state(desk, *tile.key),
        "actions": _actions(desk, tile, snapshot), "remarks": [*_remarks(tile), *told], "snapshot": snapshot,
    }  # fmt: skip


def _snapshot(desk: Desk, tile: Tile) -> tuple[Snapshot | None, list[str]]:
    """The snapshot of a tile, and why there is none where there should be."""
    if tile.section != "snapshots":
        return None, []
    try:
        return snapshot_of(desk, tile), []
    except StargazerError as error:
        return None, [str(error)]


def _actions(desk: Desk, tile: Tile, snapshot: Snapshot | None) -> list[Action]:
    """What can be done with a notebook, where it is now."""
    found = []
    differing = changed(desk)
    if differing and tile.path.resolve() in differing:
        found.append(Action("save", "Save", "Commits this notebook, and nothing else", fields=("message",)))
    if tile.is_own and tile.section == "workspace":
        ask = f"Run {tile.name} to its end and freeze it?"
        found.append(Action("freeze", "Freeze", FREEZE, ask=ask))
        found.append(Action("promote", "Promote a task", PROMOTE, fields=("task", "to")))
        found.append(Action("graduate", "Graduate", GRADUATE, ask=f"Move {tile.name} to the workflows?"))
    if snapshot is not None:
        whose = {"yours": "your own code"}.get(snapshot.whose, f"code that is {snapshot.whose}")
        found.append(Action("again", "Run again", AGAIN, ask=f"This runs {whose}, with all that you may do. Run it?"))
        if there := remotes():
            told = f"Sends it with all that led to it to one of: {', '.join(there)}"
            found.append(Action("share", "Share", told, fields=("remote",), choices={"remote": there}))
    return found


def _remarks(tile: Tile) -> list[str]:
    """What a person should know before they open it."""
    how = "uv brings them when it is opened" if uv_here() else "install them, or uv, which brings them"
    lacking = f"Its header wants packages that are not installed here: {', '.join(tile.lacking)}; {how}"
    return [*([lacking] if tile.lacking else []), *([tile.facts.problem] if tile.facts.problem else [])]
