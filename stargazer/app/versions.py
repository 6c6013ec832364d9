"""Notebooks under control of git: which changed, saved one by one, pushed; what the remote said is told as it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.routing import Route

from stargazer.app.desk import body_of, desk_of
from stargazer.errors import NotebookError
from stargazer.tools.working_copy import changed_files, save_file, send, working_copy_of

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from stargazer.app.desk import Desk
    from stargazer.tools.working_copy import Sent

__all__ = ["changed", "routes"]

LONGEST = 500


def routes() -> list[Route]:
    """Paths of what git does."""
    return [
        Route("/api/notebooks/{section}/{name}/save", save, methods=["POST"]),
        Route("/api/push", push, methods=["POST"]),
    ]


def changed(desk: Desk) -> set[Path] | None:
    """Return the files that differ from the last commit; None where the root is under no control."""
    root = desk.shelf.root
    return {each.resolve() for each in changed_files(root)} if working_copy_of(root) is not None else None


async def save(request: Request) -> Response:
    """Commit one notebook, and nothing else."""
    message = str((await body_of(request)).get("message", "")).strip()[:LONGEST]
    desk, params = desk_of(request), request.path_params

    def saved() -> str:
        _controlled(desk)
        tile = desk.shelf.find(params["section"], params["name"])
        if not tile.path.is_relative_to(desk.shelf.root):
            raise NotebookError(f"{tile.name} is not yours to save; copy it to the workspace")
        return save_file(tile.path, message or f"Notebook {tile.name}")

    return JSONResponse({"said": f"committed as {await asyncio.to_thread(saved)}"})


def _controlled(desk: Desk) -> None:
    if working_copy_of(desk.shelf.root) is None:
        raise NotebookError(f"{desk.shelf.root} is no git work tree: git init makes it one")


async def push(request: Request) -> Response:
    """Push the branch, and tell what the remote said."""
    desk = desk_of(request)

    def pushed() -> Sent:
        _controlled(desk)
        return send(desk.shelf.root)

    sent = await asyncio.to_thread(pushed)
    return JSONResponse({"said": f"{'pushed' if sent.taken else 'the remote refused it'}:\n{sent.told}"})
