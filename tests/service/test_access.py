"""Every route, asked with no token, a wrong one, without its scope, and by another tenant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from services import Served, person

import stargazer as sg
from stargazer.errors import ConfigError
from stargazer.service.access import Gate
from stargazer.service.routes import ROUTES, Endpoint
from stargazer.service.serving import check_host
from stargazer.service.settings import Settings, digest_of, new_token, read_settings

Serve = Callable[[Settings], Served]
Pair = tuple[sg.Asset, sg.Asset]
PROXY = {"X-Stargazer-Proxy-Token": "proxy-secret", "X-Stargazer-Principal": "eve"}
ABSENT = "0" * 64
TENANTS_OWN = {"/v1/builds", "/v1/names", "/v1/catalog", "/v1/query", "/v1/runs", "/v1/gc", "/metrics", "/openapi.json",
               "/v1/assets", "/v1/catalog/{ref:path}"}  # fmt: skip
"""Routes that name nothing of a tenant: another one gets an answer, of its own store."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A service of two tenants, and the names of things that the first one has."""
    base = tmp_path_factory.mktemp("tenants")
    (base / "known-to-the-lab.txt").write_text("abc")
    with sg.Store(str(base / "lab")) as store:
        asset = sg.add(base / "known-to-the-lab.txt")
        sg.names.set("demo/a", asset)
        made = sg.materialize([asset], "copy@v1")
        run = next(iter(store.backend.names("runs")))
    stores = {"lab": str(base / "lab"), "clinic": str(base / "clinic")}
    people = [person(scope, "lab", scope) for scope in ("read", "run", "write", "admin")]
    people += [person("other", "clinic", "admin", tables=("*",)), person("nobody", "lab")]
    settings = Settings(stores, tuple(people), proxy="proxy-secret")
    return {"settings": settings, "asset": asset, "key": made.key, "run": run}


@pytest.fixture(scope="module")
def served(places: dict[str, Any]) -> Any:
    from services import serving

    with serving(places["settings"]) as found:
        begun = found.ask("POST", "/v1/assets", "write-token", told={"Tus-Resumable": "1.0.0", "Upload-Length": "5"})
        places["upload"] = begun.headers["location"].rpartition("/")[2]
        yield found


def request(endpoint: Endpoint, places: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Path and options that ask for something which the lab has."""
    asset = places["asset"]
    told = {
        "key": places["key"],
        "ref": asset.id,
        "name:path": "demo/a",
        "run": places["run"],
        "upload": places["upload"],
    }
    told |= {"path:path": asset.cid, "inside:path": "x", "ref:path": "copy@v1"}
    path = endpoint.path
    for name, value in told.items():
        path = path.replace(f"{{{name}}}", value)
    bodies: dict[str, Any] = {
        "/v1/materialize": {"inputs": [asset.id], "transform": {"executor": "copy@v1"}},
        "/v1/names/{name:path}": {"asset": asset.id},
    }
    if endpoint.body is not None:
        return path, {"json": bodies.get(endpoint.path, {})}
    tus = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    return path, {"content": b"", "told": tus} if endpoint.method == "PATCH" else {}


def ask(served: Served, endpoint: Endpoint, places: dict[str, Any], token: str | None, **told: str) -> Any:
    path, options = request(endpoint, places)
    headers = {**options.pop("told", {}), **told}
    return served.ask(endpoint.method, path, token, told=headers, **options)


@pytest.mark.parametrize("endpoint", ROUTES, ids=lambda each: f"{each.method} {each.path}")
def test_every_route(served: Served, places: dict[str, Any], endpoint: Endpoint) -> None:
    for token in (None, "guess", "READ-token", f"{digest_of('read-token')}"):
        found = ask(served, endpoint, places, token)
        assert (found.status_code, found.headers["www-authenticate"]) == (401, 'Bearer realm="stargazer"')
        assert found.json()["type"] == "urn:stargazer:error:Unauthorized"
    assert ask(served, endpoint, places, None, **{**PROXY, "X-Stargazer-Proxy-Token": "x"}).status_code == 401
    for scope in {"read", "run", "write"} - {endpoint.scope}:
        found = ask(served, endpoint, places, f"{scope}-token")
        assert (found.status_code, found.json()["type"]) == (403, "urn:stargazer:error:Forbidden"), scope
    assert ask(served, endpoint, places, "nobody-token").status_code == 403
    absent = {**PROXY, "X-Stargazer-Tenant": "nowhere", "X-Stargazer-Scopes": "admin"}
    assert ask(served, endpoint, places, None, **absent).status_code == 404
    others = [ask(served, endpoint, places, "other-token")]
    others.append(ask(served, endpoint, places, None, **{**absent, "X-Stargazer-Tenant": "clinic"}))
    for found in others:
        if endpoint.path not in TENANTS_OWN:
            assert found.status_code in (404, 422), found.text
            assert places["asset"].name not in found.text.replace(found.json().get("where", ""), "")
        assert found.status_code != 403
        assert places["asset"].cid not in found.text or endpoint.path == "/ipfs/{path:path}"
        assert "/clinic" not in found.text.replace(found.request.url.path, "")
        assert places["run"] not in found.text or endpoint.path == "/v1/runs/{run}"


def test_the_lab_itself_gets_what_it_asks_for(served: Served, places: dict[str, Any]) -> None:
    for endpoint in ROUTES:
        if endpoint.method == "GET" and "inside" not in endpoint.path and endpoint.scope == "read":
            assert ask(served, endpoint, places, "admin-token").status_code == 200, endpoint
            assert ask(served, endpoint, places, "read-token").status_code == 200, endpoint


def test_names_that_one_may_not_know_are_not_there(serve: Serve, lab: Settings, letters: Pair) -> None:
    service = serve(lab)
    for name in ("open/a", "closed/a"):
        assert service.ask("PUT", f"/v1/names/{name}", "anna-token", json={"asset": letters[0].id}).status_code == 200
    assert service.ask("GET", "/v1/names", "dora-token").json()["names"] == {"open/a": 1}
    for method, path, body in (
        ("GET", "/v1/names/closed/a", None),
        ("PUT", "/v1/names/closed/b", {"asset": letters[0].id}),
        ("PUT", "/v1/names/open/b", {"asset": "stargazer://name/closed/a@1"}),
        ("GET", "/v1/assets/closed%2Fa@1", None),
        ("POST", "/v1/materialize", {"inputs": ["closed/a@latest"], "transform": {"executor": "copy@v1"}}),
        (
            "POST",
            "/v1/materialize",
            {"inputs": [], "transform": {"executor": "copy@v1", "params": {"a": ["closed/a@1"]}}},
        ),
        ("POST", "/v1/materialize", {"inputs": ["file:///x#a.b"], "transform": {"executor": "scan@v1"}}),
        ("POST", "/v1/materialize", {"inputs": ["file:///open/..%2F#a.b"], "transform": {"executor": "scan@v1"}}),
    ):
        assert service.ask(method, path, "dora-token", json=body).status_code == 404, path
    allowed = {"inputs": ["open/a@1"], "transform": {"executor": "copy@v1"}, "name": "open/copy"}
    assert service.ask("POST", "/v1/materialize", "dora-token", json=allowed).status_code == 200


def test_without_tokens_only_this_machine_is_served(serve: Serve, tmp_path: Path) -> None:
    service = serve(Settings({"default": str(tmp_path / "own")}))
    assert service.ask("GET", "/v1/names").json() == {"names": {}}
    for told in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        found = service.ask("GET", "/v1/names", told=told)
        assert found.status_code == 403, told
        assert "access-control-allow-origin" not in found.headers
    with pytest.raises(ConfigError, match="anybody there could run"):
        check_host("0.0.0.0", service.app.state.engine.settings)
    for host in ("127.0.0.1", "::1", "localhost"):
        check_host(host, service.app.state.engine.settings)
    check_host("0.0.0.0", Settings({}, proxy="x"))


def test_pages_that_are_named_may_read(serve: Serve, lab: Settings) -> None:
    service = serve(lab._replace(origins=("https://igv.example",)))
    told = {"Origin": "https://igv.example"}
    found = service.ask("GET", "/v1/names", "ben-token", told=told)
    assert (found.status_code, found.headers["access-control-allow-origin"]) == (200, "https://igv.example")
    asked = {**told, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization,range"}
    assert service.ask("OPTIONS", "/v1/names", told=asked).status_code == 200


def test_settings_are_read_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dask

    token, line = new_token("anna", "lab")
    assert digest_of(token) in line
    assert token not in line
    good = {
        "stores": {"lab": str(tmp_path / "lab")},
        "tokens": [{"principal": "anna", "sha256": digest_of(token), "scopes": ["read"]}],
    }
    with dask.config.set({"stargazer.service": good}):
        settings = read_settings()
        assert settings.tokens[0].principal.tenant == "lab"
        assert not settings.is_open
        with pytest.raises(ConfigError, match="no other store"):
            read_settings("elsewhere")
    assert Gate(read_settings(str(tmp_path / "x"))).settings.is_open
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"token": []}, "has no token"),
        ({"tokens": [{"principal": "anna", "token": "x"}]}, "tokens themselves stand nowhere"),
        (
            {"tokens": [{"principal": "", "sha256": "x", "scopes": ["all"], "tenant": "no"}]},
            "sha256 must be.*principal must.*no tenant no.*scopes",
        ),
        ({"proxy": "NO_SUCH_SECRET"}, "is not set"),
        ({"stores": {"a": "/x", "b": "/x"}}, "one store"),
        ({"limits": {"runs": 0}}, "limits"),
        ({"allow-code": "yes"}, "allow-code"),
    ]
    for given, told in wrong:
        with dask.config.set({"stargazer.service": given}), pytest.raises(ConfigError, match=told):
            read_settings()
