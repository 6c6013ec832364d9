"""Tasks and workflows in the browser: a form made from the schema, the plan before, and the run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.responses import JSONResponse
from starlette.routing import Route

from stargazer import catalog
from stargazer.app.desk import body_of, desk_of, page
from stargazer.catalog.arguments import parsed
from stargazer.catalog.catalog import bind_entry
from stargazer.catalog.kinds import as_json
from stargazer.catalog.outline import outline
from stargazer.errors import ArgumentError
from stargazer.runs import run
from stargazer.runs.planner import plan

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from stargazer.catalog import Entry, Param
    from stargazer.store import Store

__all__ = ["Field", "fields_of", "routes"]

OFFERED = 100


class Field(NamedTuple):
    """One line of a form.

    Parameters
    ----------
    name, type, text
        Of the parameter.
    required
        Whether it must be given.
    default
        As text; empty where there is none.
    choices
        What it may be; empty where that is not a fixed number of values.
    offered
        Files that fit: what is written, and what is shown.
    """

    name: str
    type: str
    text: str
    required: bool
    default: str = ""
    choices: tuple[str, ...] = ()
    offered: tuple[tuple[str, str], ...] = ()


def routes() -> list[Route]:
    """Paths of the catalog."""
    return [
        Route("/catalog", table),
        Route("/catalog/{name}", form),
        Route("/api/catalog/{name}/plan", planned, methods=["POST"]),
        Route("/api/catalog/{name}/run", started, methods=["POST"]),
    ]


async def table(request: Request) -> Response:
    """Tasks and workflows, all or those with a word; their libraries are imported when one is opened."""
    word = request.query_params.get("word", "").strip()
    entries = await asyncio.to_thread(outline, None, word or None)
    groups = [(title, [each for each in entries if each.category == kind])
              for kind, title in (("workflow", "Workflows"), ("task", "Tasks"))]  # fmt: skip
    return page(request, "catalog", groups=groups, word=word)


async def form(request: Request) -> Response:
    """The form of a task or workflow."""
    entry = await asyncio.to_thread(catalog.get, request.path_params["name"])
    fields = await asyncio.to_thread(fields_of, entry, desk_of(request).store)
    profile = desk_of(request).profile
    return page(request, "form", entry=entry, fields=fields, profile=profile)


def fields_of(entry: Entry, store: Store) -> list[Field]:
    """Return the lines of the form of a task or workflow."""
    return [_field(param, store) for param in entry.params]


def _field(param: Param, store: Store) -> Field:
    defs: dict[str, Any] = {}
    schema = param.schema(defs)
    found = Field(param.name, param.type, param.text, param.required, _default(param))
    if (choices := _choices(schema)) is not None:
        return found._replace(choices=choices)
    kinds = (
        {str(each["x-asset"]) for each in defs.values() if "x-asset" in each} if _names_assets(schema, defs) else set()
    )
    return found._replace(offered=tuple(_offered(store, kinds)))


def _default(param: Param) -> str:
    value = None if param.required else as_json(param.default)
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _choices(schema: dict[str, Any]) -> tuple[str, ...] | None:
    """Values of an enumeration or a truth, also of one that may be left out."""
    options = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    if len(options) != 1:
        return None
    if options[0].get("type") == "boolean":
        return ("true", "false")
    values = options[0].get("enum")
    return tuple(str(each) for each in values if each is not None) if values else None


def _names_assets(schema: Any, defs: dict[str, Any]) -> bool:
    if isinstance(schema, dict):
        named = str(schema.get("$ref", "")).rpartition("/")[2]
        return "x-asset" in defs.get(named, {}) or any(_names_assets(each, defs) for each in schema.values())
    return isinstance(schema, list) and any(_names_assets(each, defs) for each in schema)


def _offered(store: Store, kinds: set[str]) -> list[tuple[str, str]]:
    if not kinds or "asset" in kinds:
        return []
    _, found = store.queries.page({"asset": sorted(kinds)}, 0, OFFERED)
    return [(each.id[:16], f"{each.name} {each.declared.get('sample_id') or ''}".strip()) for each in found]


async def _calls(request: Request) -> tuple[Entry, Any]:
    """The entry, and the calls that the form asks for."""
    given = await body_of(request)
    if wrong := [name for name, value in given.items() if not isinstance(value, str)]:
        raise ArgumentError(f"{wrong[0]}: a form sends texts, as they are typed")

    def wired() -> tuple[Entry, Any]:
        entry = catalog.get(request.path_params["name"])
        pairs = [f"{name}={value}" for name, value in given.items() if value.strip()]
        return entry, bind_entry(entry, parsed(entry, pairs), store=desk_of(request).store).wire()

    return await asyncio.to_thread(wired)


async def planned(request: Request) -> Response:
    """What would run, and why."""
    _, calls = await _calls(request)
    made = await asyncio.to_thread(plan, calls)
    html = await asyncio.to_thread(made._repr_html_)
    return JSONResponse({"html": html, "to_run": len(made.to_run), "known": len(made.known)})


async def started(request: Request) -> Response:
    """Begin a run of its own, which outlives the app."""
    entry, calls = await _calls(request)
    profile = desk_of(request).profile or None
    made = await asyncio.to_thread(lambda: run(calls, detach=True, on=profile, name=entry.bare))
    return JSONResponse({"go": f"/runs/{made.id}"}, 201)
