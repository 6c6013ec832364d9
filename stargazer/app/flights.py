"""Pages of runs: which there are, how each goes, what failed and why; and how to end one."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse
from starlette.routing import Route

from stargazer import runs
from stargazer.app.desk import body_of, desk_of, page
from stargazer.errors import BlobLost, ConfigError
from stargazer.ledger import Ledger
from stargazer.ledger.logs import find_record, log_of
from stargazer.ledger.record import walk_assets
from stargazer.ledger.signatures import whose
from stargazer.profiles.settings import check_settings, find_profiles, profile_names
from stargazer.runs.history import Timeline
from stargazer.runs.kept import ENDED

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from stargazer.runs import KeptRun

__all__ = ["routes"]

SHOWN = 100
EVENTS = 500


def routes() -> list[Route]:
    """Paths of the pages of runs and settings."""
    return [
        Route("/runs", table),
        Route("/runs/calls/{record}", call),
        Route("/runs/{id}", one),
        Route("/settings", settings),
        Route("/api/runs", states),
        Route("/api/runs/{id}/cancel", cancel, methods=["POST"]),
        Route("/api/settings/profile", choose_profile, methods=["POST"]),
    ]


def _row(each: KeptRun) -> dict[str, Any]:
    note, state = each.note, each.state
    counts = each.counts
    return {
        "id": each.id, "workflow": each.workflow, "state": state, "started": note.started[:16].replace("T", " "),
        "seconds": note.seconds, "calls": note.calls, "known": note.known, "counts": counts, "where": note.where,
        "host": note.host, "whose": note.whose, "failures": note.failures, "records": note.records, "lost": note.lost,
        "progress": each.progress, "ended": state in ENDED, "told": _told(counts, note.calls),
    }  # fmt: skip


def _told(counts: dict[str, int], calls: int) -> str:
    said = [f"{number} {state}" for state, number in counts.items() if number and state != "known"]
    known = [f"{counts['known']} known"] if counts.get("known") else []
    return ", ".join(said + known) or f"{calls} calls"


async def table(request: Request) -> Response:
    """Runs, the newest first."""
    return page(request, "runs", runs=await asyncio.to_thread(_rows, request))


def _rows(request: Request) -> list[dict[str, Any]]:
    return [_row(each) for each in runs.list(desk_of(request).store, SHOWN)]


async def states(request: Request) -> Response:
    """How runs stand, for the page that is open."""
    wanted = request.query_params.get("id")
    if wanted:
        rows = [await asyncio.to_thread(lambda: _row(runs.get(wanted, desk_of(request).store)))]
    else:
        rows = await asyncio.to_thread(_rows, request)
    return JSONResponse(
        {"runs": {row["id"]: {n: row[n] for n in ("state", "told", "seconds", "ended")} for row in rows}}
    )


async def one(request: Request) -> Response:
    """How one run goes."""
    return page(request, "run", **await asyncio.to_thread(_one, request))


def _one(request: Request) -> dict[str, Any]:
    store = desk_of(request).store
    found = runs.get(request.path_params["id"], store)
    events = found.events()
    began = datetime.datetime.fromisoformat(found.started).timestamp()
    timeline = Timeline(store, {each.key for each in events if each.what == "made"}, began)
    made = list(dict.fromkeys(cid for each in events if each.what == "made" for cid in each.outputs))
    return {"run": _row(found), "events": events[-EVENTS:], "timeline": timeline.svg if timeline.bars else "",
            "made": [store.get(cid) for cid in made[-EVENTS:] if store.has(cid)]}  # fmt: skip


async def cancel(request: Request) -> Response:
    """Ask a run to end, wherever it is."""
    found = await asyncio.to_thread(runs.get, request.path_params["id"], desk_of(request).store)
    await asyncio.to_thread(found.cancel)
    return JSONResponse({"said": "it was asked to end; that takes a few seconds"})


async def call(request: Request) -> Response:
    """What one call did, with its log."""
    return page(request, "call", **await asyncio.to_thread(_call, request))


def _call(request: Request) -> dict[str, Any]:
    store = desk_of(request).store
    ledger = Ledger(store.records)
    record = find_record(ledger, request.path_params["record"])
    try:
        log = log_of(ledger, record)
    except BlobLost as error:
        log = str(error)
    names = [(name, each) for name, value in record.inputs.items() for each in _ids(value)]
    known = store.records.assets.read([each for _, each in names])
    inputs = [(name, known[each]) for name, each in names if each in known]
    made = list(walk_assets(ledger.results(record))) if record.status == "ok" else []
    told = whose(store.records, [record]).get(record.id, "")
    return {"record": record, "log": log, "inputs": inputs, "made": made, "whose": told}


def _ids(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [each for inner in value.values() for each in _ids(inner)]
    if isinstance(value, list):
        return [each for inner in value for each in _ids(inner)]
    return [value] if isinstance(value, str) else []


# What is in force, and the one switch: where new runs take place.


async def settings(request: Request) -> Response:
    """Settings in force, and where new runs take place."""
    return page(request, "settings", **await asyncio.to_thread(_settings, request))


def _settings(request: Request) -> dict[str, Any]:
    from stargazer.config import is_secret, token_file
    from stargazer.config import settings as defaults
    from stargazer.origins import in_force

    wrong = ""
    try:
        check_settings()
    except ConfigError as error:
        wrong = str(error)
    found = [each._replace(value="…") if is_secret(each.key) and each.value else each for each in in_force(defaults())]
    return {
        "found": found,
        "wrong": wrong,
        "profiles": profile_names(),
        "chosen": desk_of(request).profile,
        "token_file": str(token_file()),
    }


async def choose_profile(request: Request) -> Response:
    """Let new runs, and notebooks that are opened from now on, take another profile."""
    name, desk = str((await body_of(request)).get("profile", "")), desk_of(request)
    if name:
        await asyncio.to_thread(find_profiles, name)
    desk.profile = desk.kernels.profile = name
    return JSONResponse(
        {"said": f"new runs take {name or 'threads of their own process'}; open notebooks stay as they are"}
    )
