"""``/v1/materialize`` and ``/v1/builds``: what is known at once, what is not as a build."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import anyio
from starlette.responses import Response, StreamingResponse

from stargazer.catalog.composite import given_paths
from stargazer.errors import ArgumentError, NotFound, StargazerError
from stargazer.ledger import Ledger
from stargazer.runs.planner import plan
from stargazer.service.answers import JSONAnswer
from stargazer.service.materializing import finished, named
from stargazer.service.problems import Refusal
from stargazer.service.shown import asset_json
from stargazer.service.transforms import SCAN, find_transform
from stargazer.service.wanted import Wanted, bind, read_transform
from stargazer.store.references import SCHEME, find_assets, read_reference
from stargazer.tables import is_table_uri

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from stargazer.service.artifact import Artifact
    from stargazer.service.builds import Build
    from stargazer.service.visit import Visit
    from stargazer.store import Store

__all__ = ["build", "builds", "cancel", "materialize"]

WAIT, LONGEST_WAIT = 30, 45
"""Seconds that one request waits; clients and proxies give up after a minute."""

MEMBERS = ("inputs", "transform", "name", "refresh", "explain", "wait", "priority")
FIRST_LOOK, LONGEST_LOOK, HEARTBEAT = 0.005, 0.2, 15.0


async def materialize(visit: Visit) -> Response:
    """Return what a transform makes of its inputs: 200 where it is known or ends in time, else 202 with a build."""
    body = await visit.json(MEMBERS)
    name, wait, priority, refresh, explain = _read(visit, body)
    wanted = await visit.in_thread(lambda: _bound(visit, body))
    if explain:
        return JSONAnswer(await visit.in_thread(lambda: {"key": wanted.key, **plan(wanted.wired).to_dict()}))
    known = None if refresh else await visit.in_thread(wanted.known)
    if known is not None:
        visit.engine.builds.note(visit.principal, "known")
        artifact = await visit.in_thread(
            lambda: finished(wanted, known[0], hit=True, name=name, user=visit.asked or None)
        )
        return JSONAnswer(await visit.in_thread(lambda: _ready(artifact, name)))
    started = await visit.in_thread(
        lambda: visit.engine.builds.start(wanted, visit.principal, name=name, refresh=refresh, priority=priority)
    )
    await _ended_within(started, wait)
    return await _answer(visit, started, name)


def _read(visit: Visit, body: dict[str, Any]) -> tuple[str | None, float, str, bool, bool]:
    name, wait, priority = body.get("name"), body.get("wait", WAIT), body.get("priority", "interactive")
    refresh, explain = body.get("refresh", False), body.get("explain", False)
    if name is not None and not isinstance(name, str):
        raise Refusal(422, "ArgumentError", "name is a text", "body.name")
    if name is not None:
        visit.check_name(name)
        if not visit.principal.may("write"):
            raise Refusal(
                403, "Forbidden", f"{visit.principal.name} may not write here, so not give names", "body.name"
            )
    if not isinstance(wait, (int, float)) or isinstance(wait, bool) or not wait >= 0:  # NaN neither
        raise Refusal(422, "ArgumentError", "wait is a number of seconds", "body.wait")
    if priority not in ("interactive", "bulk"):
        raise Refusal(422, "ArgumentError", "priority is interactive or bulk", "body.priority")
    if not isinstance(refresh, bool) or not isinstance(explain, bool):
        raise Refusal(422, "ArgumentError", "refresh and explain are true or false", "body")
    return name, float(min(wait, LONGEST_WAIT)), str(priority), refresh, explain


def _bound(visit: Visit, body: dict[str, Any]) -> Wanted:
    inputs, transform = body.get("inputs", []), body.get("transform", "")
    if not isinstance(inputs, list) or not all(isinstance(each, (str, dict, list)) for each in inputs):
        raise Refusal(422, "ArgumentError", "inputs is a list of what names assets and tables", "body.inputs")
    if "transform" not in body:
        raise Refusal(422, "ArgumentError", 'transform is missing: {"executor": "scan@v1", "params": {…}}', "body")
    if not visit.may_code:
        _check_paths(transform)
    try:
        return bind(inputs, transform, visit.store, own_code=visit.may_code, asked=visit.asked)
    except ArgumentError as error:
        if any(_is_absent(visit.store, text) for text in _texts([inputs, transform])):
            raise NotFound(str(error)) from error
        raise


def _is_absent(store: Store, text: str) -> bool:
    """Whether a text names an asset, without a doubt, and the store has none: what another tenant has is not there."""
    try:
        if read_reference(text).kind == "part":
            return False
        find_assets(store, text)
    except NotFound:
        return True
    except StargazerError:
        return False
    return False


def _check_paths(transform: Any) -> None:
    """Refuse paths of this machine: who asks from elsewhere reads what is in the store, and nothing beside it."""
    ref, params = read_transform(transform)
    taken = [] if ref == SCAN else find_transform(ref, own_code=False).params
    named_paths = [each.name for each in taken for _ in given_paths(each.kind, params.get(each.name))]
    named_paths += [name for name, value in params.items() if any(map(_looks_like_path, _texts(value)))]
    if named_paths:
        told = "paths of the server may not be named here: upload the file, and give its CID as an input"
        raise Refusal(422, "ArgumentError", f"{', '.join(dict.fromkeys(named_paths))}: {told}", "body.transform.params")


def _looks_like_path(text: str) -> bool:
    if text.startswith(SCHEME):
        return False
    return (
        text.startswith(("/", "~", "file:")) or ".." in text.split("/") or os.path.lexists(text) or is_table_uri(text)
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for each in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _texts(each)


def _ready(artifact: Artifact, name: str | None) -> dict[str, Any]:
    told: dict[str, Any] = {"state": "ready", "hit": artifact.hit, "key": artifact.key, "record": artifact.record}
    told |= {"cid": artifact.cid, "id": artifact.asset.id, "uri": artifact.uri, "asset": asset_json(artifact.asset)}
    told["name"] = {"name": name, "version": artifact.version} if name else None
    return {**told, "others": [asset_json(other) for other in artifact.others]}


async def _ended_within(started: Build, seconds: float) -> None:
    """Wait for a build without holding a thread."""
    look = FIRST_LOOK
    with anyio.move_on_after(seconds):
        while not started.ended.is_set():
            await anyio.sleep(look)
            look = min(LONGEST_LOOK, look * 2)


async def _answer(visit: Visit, started: Build, name: str | None = None) -> Response:
    """What is said of a build: its artifact, its failure, or how far it is."""
    if started.error is not None and started.state == "failed":
        raise started.error
    if started.state != "ready" or started.artifact is None:
        headers = {"Location": f"/v1/builds/{started.key}", "Retry-After": "1"}
        return JSONAnswer(started.told(), 202 if started.state == "building" else 200, headers)
    artifact = started.artifact
    told = await visit.in_thread(lambda: _ready(artifact, None))
    if name:
        version = await visit.in_thread(lambda: named(started.wanted, artifact.asset, name, visit.asked or None))
        told["name"] = {"name": name, "version": version.version}
    return JSONAnswer({**told, "build": started.key, "progress": started.progress()})


async def builds(visit: Visit) -> Response:
    """List the builds of the tenant that go on."""
    found = visit.engine.builds.active(tenant=visit.principal.tenant)
    return JSONAnswer({"builds": [each.told() for each in found]})


async def build(visit: Visit) -> Response:
    """Say how far a build is, waiting for its end for some seconds; as events where the client takes these."""
    key = visit.path("key")
    found = visit.engine.builds.find(visit.principal, key)
    if found is None:
        return await _from_ledger(visit, key)
    if "text/event-stream" in visit.request.headers.get("accept", ""):
        return StreamingResponse(
            _events(visit, found), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )
    await _ended_within(found, min(visit.number("wait", 0, 3600), LONGEST_WAIT))
    if found.state in ("building", "cancelled", "failed"):
        return JSONAnswer(found.told(), headers={"Retry-After": "1"} if found.state == "building" else {})
    return await _answer(visit, found)


async def _from_ledger(visit: Visit, key: str) -> Response:
    """A build of another process, or of long ago: what it made is known."""
    ledger = Ledger(visit.store.records)
    is_key = len(key) == 64 and set(key) <= set("0123456789abcdef")
    record = await visit.in_thread(lambda: ledger.find(key)) if is_key else None
    if record is None:
        raise Refusal(404, "NotFound", "there is no build of that key; materialize again: what is known is not lost")
    result = await visit.in_thread(lambda: ledger.results(record))
    artifact = finished(Wanted(record.task, None, visit.store, {"inputs": []}), result, hit=True)
    told = await visit.in_thread(lambda: _ready(artifact, None))
    return JSONAnswer({**told, "key": key, "build": key})


async def _events(visit: Visit, found: Build) -> AsyncIterator[str]:
    """Events of a build: each change of its progress, and its end."""
    last, silent = "", 0.0
    while not found.ended.is_set():
        now = found.progress()
        text = json.dumps({name: value for name, value in now.items() if name != "seconds"})
        if text != last:
            yield _event("progress", found.told())
            last, silent = text, 0.0
        elif silent >= HEARTBEAT:
            yield ": still here\n\n"
            silent = 0.0
        await anyio.sleep(LONGEST_LOOK)
        silent += LONGEST_LOOK
    told = found.told()
    if found.state == "ready" and found.artifact is not None:
        artifact = found.artifact
        told |= await visit.in_thread(lambda: _ready(artifact, None))
    yield _event(found.state, told)


def _event(kind: str, members: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps(members)}\n\n"


async def cancel(visit: Visit) -> Response:
    """Cancel a build for whoever asks; it ends when nobody else wants it."""
    found = visit.engine.builds.find(visit.principal, visit.path("key"))
    if found is None or (visit.principal.name not in found.askers and not visit.principal.may("admin")):
        raise Refusal(404, "NotFound", "there is no build of that key that is yours")
    ends = await visit.in_thread(lambda: found.leave(visit.principal))
    if ends:
        await _ended_within(found, LONGEST_WAIT)
    return JSONAnswer({**found.told(), "cancelled": ends})
