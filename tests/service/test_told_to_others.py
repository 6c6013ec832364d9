"""What a service says, and to whom: no route beside the table, no place of a store, no name that one may not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from services import Served, listen, serving, until
from starlette.routing import Route

import stargazer as sg
from stargazer.service.application import application
from stargazer.service.executor.worker import worker_application
from stargazer.service.routes import ROUTES
from stargazer.service.settings import Settings

Serve = Callable[[Settings], Served]
Pair = tuple[sg.Asset, sg.Asset]
OPEN = {("/health", "GET")}
"""What anybody may ask."""


@sg.transform("blab@v1")
@sg.task
def blab(work: sg.Workdir, words: sg.Asset, *, place: str) -> sg.Asset:
    """Fail, and say where."""
    raise sg.errors.DataError(f"{place[::-1]} is full")


def routes(app: Any) -> set[tuple[str, str]]:
    """Path and method of every route, HEAD aside."""
    found: set[tuple[str, str]] = set()
    for route in app.routes:
        assert isinstance(route, Route), route
        found |= {(route.path, method) for method in (route.methods or {"ANY"}) - {"HEAD"}}
    return found


def test_the_table_of_routes_has_all_of_them(lab: Settings) -> None:
    assert routes(application(lab)) == {(each.path, each.method) for each in ROUTES} | OPEN
    assert {each.scope for each in ROUTES} <= {"read", "run", "write", "admin"}


def test_every_route_of_an_executor_wants_its_token() -> None:
    app = worker_application("secret")
    with listen(app) as url:
        for path, method in routes(app) - OPEN:
            for told in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic secret"}):
                found = httpx.request(method, f"{url}{path}", headers={**told, "X-Strata-Executor-Protocol": "v1"})
                assert found.status_code == 401, (path, told)
        garbled = {"Authorization": "Bearer secret", "X-Strata-Executor-Protocol": "v1"}
        garbled["Content-Type"] = "multipart/form-data; boundary=x"
        found = httpx.post(f"{url}/v1/execute", headers=garbled, content=b"--y\r\nnothing")
        assert (found.status_code, found.headers["content-type"]) == (400, "application/problem+json")


def test_no_problem_says_where_a_store_lies(serve: Serve, lab: Settings, letters: Pair) -> None:
    service, place = serve(lab), lab.stores["lab"]
    # Turned round on its way in: paths of the server may not be named.
    wanted = {"inputs": [letters[0].id], "transform": {"executor": "blab@v1", "params": {"place": place[::-1]}}}
    found = service.ask("POST", "/v1/materialize", "anna-token", json=wanted)
    assert found.status_code == 500
    assert "the store is full" in next(iter(found.json()["failures"].values()))
    begun = service.ask("POST", "/v1/materialize", "anna-token", json={**wanted, "wait": 0, "refresh": True})
    texts = [found.text, begun.text]
    if begun.status_code == 202:
        path = begun.headers["location"]
        ended = until(lambda: (now := service.ask("GET", path, "anna-token")).json().get("state") == "failed" and now)
        texts.append(ended.text)
        assert "the store is full" in ended.text
    assert not [text for text in texts if place in text]


def test_what_was_asked_for_hides_names_that_its_reader_may_not_know(
    serve: Serve, lab: Settings, letters: Pair
) -> None:
    service = serve(lab)
    assert service.ask("PUT", "/v1/names/closed/a", "anna-token", json={"asset": letters[0].id}).status_code == 200
    wanted = {"inputs": ["closed/a@latest"], "transform": {"executor": "copy@v1"}, "name": "open/copy"}
    assert service.ask("POST", "/v1/materialize", "anna-token", json=wanted).status_code == 200
    for path in ("/v1/names/open/copy", "/v1/names/open/copy?history=1"):
        assert "closed/a" in service.ask("GET", path, "anna-token").text
        found = service.ask("GET", path, "dora-token")
        assert found.status_code == 200
        assert "closed" not in found.text


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/query", b'{"name": "\\ud800"}', 400),
        ("/v1/query", b'{"missing": "error"}', 422),
        ("/v1/query", b'{"self": 1}', 422),
        ("/v1/gc", b'{"recent": NaN}', 422),
        ("/v1/gc", b'{"budget": -1}', 422),
        ("/v1/gc", b'{"grace": 1e999}', 422),
    ],
    ids=["surrogate", "word", "self", "NaN", "negative", "infinite"],
)
def test_odd_bodies_are_the_clients_fault(serve: Serve, lab: Settings, path: str, body: bytes, status: int) -> None:
    found = serve(lab).ask("POST", path, "root-token", content=body, told={"Content-Type": "application/json"})
    assert (found.status_code, found.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("given", ["chars=1-2", "bytes=2-1", "bytes=x", "bytes=", "bytes=-", "bytes=0-0,x", "bytes=²-"])
def test_ranges_that_are_none_are_passed_over(lab: Settings, letters: Pair, given: str) -> None:
    with serving(lab) as service:
        path = f"/v1/assets/{letters[0].id}/data"
        found = service.ask("GET", path, "anna-token", told={"Range": given.encode("latin-1")})
        assert (found.status_code, found.text) == (200, "abc")
        part = service.ask("GET", path, "anna-token", told={"Range": "bytes=0-0, -1"})
        assert part.status_code == 206
