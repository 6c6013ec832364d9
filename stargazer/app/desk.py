"""What one process of the app has at hand, and how its answers are made."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse

from stargazer.app.access import KNOWS
from stargazer.app.jobs import unforeseen_text
from stargazer.display import seconds_text, size_text
from stargazer.display.html import short
from stargazer.errors import ArgumentError, Conflict, NotFound, StargazerError, UnknownName
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response

    from stargazer.app.access import Access
    from stargazer.app.jobs import Jobs
    from stargazer.app.kernels import Kernels
    from stargazer.app.proxy import Proxy
    from stargazer.app.shelf import Shelf
    from stargazer.store import Store

__all__ = ["Desk", "body_of", "desk_of", "error_answer", "page", "unforeseen"]

LARGEST_BODY = 1 << 20
LONGEST_ERROR = 4000
SECTIONS = (("", "Notebooks"), ("files", "Files"), ("runs", "Runs"), ("catalog", "Catalog"), ("settings", "Settings"))


@dataclass
class Desk:
    """What one process of the app works with.

    Parameters
    ----------
    shelf
        The notebooks.
    kernels, proxy
        Those that are open, and the way to them.
    access
        Who may come in.
    store
        Of the files and runs.
    uploads
        Folder of uploads that are not complete.
    jobs
        What takes longer than a page waits.
    profile
        Where new runs take place; empty for what the settings say.
    """

    shelf: Shelf
    kernels: Kernels
    proxy: Proxy
    access: Access
    store: Store
    uploads: Path
    jobs: Jobs
    profile: str = ""


def desk_of(request: HTTPConnection) -> Desk:
    """The desk of the app that a request came to."""
    desk: Desk = request.app.state.desk
    return desk


@functools.cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("stargazer.app"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=_finalized,
    )  # fmt: skip
    made.filters.update(size=size_text, duration=seconds_text, short=short)
    return made


def _finalized(value: Any) -> Any:
    """Texts of files and people are shown, controls and all; HTML that we made stays."""
    return visible(value, lines=True) if type(value) is str else value


def page(request: Request, name: str, *, status: int = 200, **values: Any) -> Response:
    """Return a page made of a template.

    Parameters
    ----------
    request
        That asks for it.
    name
        Of the template; the first part of the path is what the navigation marks.
    status
        Of the answer.
    **values
        What the template shows.
    """
    desk = desk_of(request)
    here = request.url.path.removeprefix(desk.access.base).strip("/").partition("/")[0]
    common: Mapping[str, Any] = {
        "base": desk.access.base, "page_token": request.scope.get(KNOWS, ""), "navigation": SECTIONS, "here": here,
        "store": desk.store.url,
    }  # fmt: skip
    return HTMLResponse(_templates().get_template(f"{name}.html").render(**common, **values), status)


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that a page sent.

    Raises
    ------
    ArgumentError
        It is none, or larger than a form can be, or the connection broke before all of it came.
    """
    import json

    data = b""
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > LARGEST_BODY:
                raise ArgumentError("a form holds at most 1 MiB; upload files instead")
    except ClientDisconnect:
        raise ArgumentError("the connection broke before all of it had come") from None
    try:
        found = json.loads(data or b"{}")
        # Half a character has no bytes: no file, log or page could hold it.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ArgumentError("send a JSON object, its texts in Unicode")
    return found


def error_answer(request: Request, error: Exception) -> Response:
    """What is said of an error: JSON to the app's scripts, a page to people."""
    lookup = isinstance(error, (NotFound, UnknownName))
    status = 404 if lookup else 409 if isinstance(error, Conflict) else 400
    path = request.url.path.removeprefix(desk_of(request).access.base)
    told = _told(error)
    if path.startswith("/api/"):
        return JSONResponse({"error": told}, status)
    return page(request, "error", status=status, error=told)


def unforeseen(request: Request, error: Exception) -> Response:
    """What is said of an error that is none of ours: little, for perhaps nobody was let in yet."""
    told = unforeseen_text(error)
    if request.url.path.removeprefix(desk_of(request).access.base).startswith("/api/"):
        return JSONResponse({"error": told}, 500)
    return PlainTextResponse(f"{told}\n", 500, headers={"X-Content-Type-Options": "nosniff"})


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, StargazerError) and error.filename is not None:
        return f"{Path(error.filename).name}: {error.strerror}"
    told = visible(str(error) or type(error).__name__, lines=True)
    return told if len(told) <= LONGEST_ERROR else f"{told[:LONGEST_ERROR]}… (cut)"
