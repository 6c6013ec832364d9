"""Who is let in: each row of the table is a request that somebody might try."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from apps import PATIENCE, App, serving
from starlette.datastructures import Headers
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from stargazer.app import make_app
from stargazer.app.access import Access, ProxyTrust
from stargazer.app.server import _base, _listening, read_secret
from stargazer.config import user_name
from stargazer.errors import ConfigError, Conflict
from stargazer.store import Store


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("access")
    root = folder / "notebooks"
    root.mkdir()
    places = {"DASK_STARGAZER__STORE": str(folder / "store"), "DASK_STARGAZER__CACHE": str(folder / "cache")}
    with serving(root, **places) as found:
        yield found


def test_the_first_line_is_an_address_and_the_token_in_it_counts_once_shown(app: App) -> None:
    assert app.address.startswith("http://127.0.0.1:")
    assert len(app.token) >= 32
    assert httpx.get(app.url, timeout=PATIENCE).status_code == 401
    assert httpx.get(f"{app.url}/?token=wrong", timeout=PATIENCE).status_code == 401
    cookie = httpx.get(app.address, timeout=PATIENCE).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert app.token not in cookie
    assert app.get("/").status_code == 200


HOSTILE = [
    ("GET", "/", {"Host": "evil.example"}, 403),
    ("GET", "/", {"Host": "127.0.0.1.evil.example:80"}, 403),
    ("GET", "/", {"Host": "127.0.0.1:port"}, 403),
    ("GET", "/", {"Host": ""}, 403),
    ("GET", "/", {"Origin": "http://evil.example"}, 403),
    ("GET", "/", {"Origin": "null"}, 403),
    ("GET", "/", {"Origin": "http://[::1"}, 403),
    ("GET", "/", {"Sec-Fetch-Dest": "iframe"}, 403),
    ("GET", "/", {"Sec-Fetch-Dest": "empty"}, 403),
    ("GET", "/", {"Cookie": "stargazer_app=1"}, 401),
    ("POST", "/api/notebooks", {}, 403),
    ("POST", "/api/notebooks", {"X-Stargazer": "guess"}, 403),
    ("POST", "/api/notebooks", {"X-Stargazer": "right", "Origin": "http://evil.example"}, 403),
    ("POST", "/api/notebooks", {"X-Stargazer": "right", "Origin": "http://127.0.0.1:1"}, 403),
    ("GET", "/api/notebooks", {}, 403),
    ("GET", "/nb/workspace/x/edit/", {}, 403),
    ("GET", "/nb/workspace/x/edit/", {"Host": "localhost"}, 401),
    ("GET", "/static/../server.py", {"X-Stargazer": "right"}, 404),
    ("GET", "/static/%2e%2e/server.py", {"X-Stargazer": "right"}, 404),
    ("GET", "/notebooks/workspace/..%2f..%2fetc%2fpasswd", {}, 404),
    ("GET", "/download/notebook/workspace/%2e%2e", {}, 404),
    ("GET", "/download/notebook/..%2f/x", {}, 404),
    ("GET", "/notebooks/workspace/a%00b", {}, 404),
    ("POST", "/api/notebooks/workspace/..%2fx/copy", {"X-Stargazer": "right"}, 404),
    ("DELETE", "/", {"X-Stargazer": "right"}, 405),
    ("GET", "/no/such/page", {}, 404),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), HOSTILE)
def test_hostile_requests(app: App, method: str, path: str, headers: dict[str, str], status: int) -> None:
    given = {name: app.page_token if value == "right" else value for name, value in headers.items()}
    answer = app.client.request(method, app.url + path, headers=given)
    assert answer.status_code == status, answer.text
    assert app.token not in answer.text
    assert "Traceback" not in answer.text


BODIES = {
    "half a character as a name": ("POST", "/api/notebooks", {"name": "\ud800"}, 400),
    "half a character as a file": ("POST", "/api/uploads", {"name": "\ud800", "size": 1}, 400),
    "half a character as a fact": ("POST", "/api/uploads", {"name": "a", "size": 1, "facts": {"x": "\ud800"}}, 400),
    "half a character as an address": ("POST", "/api/snapshots", {"what": "\ud800"}, 400),
    "an address without end": ("POST", "/api/snapshots", {"what": "x" * 100_000}, 400),
    "a name without end": ("POST", "/api/notebooks", {"name": "x" * 100_000}, 400),
    "a list": ("POST", "/api/notebooks", ["name"], 400),
    "a size that is a truth": ("POST", "/api/uploads", {"name": "a", "size": True}, 400),
    "a path as a name": ("POST", "/api/uploads", {"name": "../x", "size": 1}, 400),
    "an upload of nobody": ("PUT", f"/api/uploads/{'0' * 32}?offset=0", {}, 404),
    "a module elsewhere": ("POST", "/api/notebooks/workspace/odd/promote", {"task": "f", "to": "../x"}, 400),
    "an option as a task": ("POST", "/api/notebooks/workspace/odd/promote", {"task": "--help", "to": "x"}, 400),
    "a mode that is a list": ("POST", "/api/notebooks/workspace/odd/start", {"mode": ["edit"]}, 400),
    "no git": ("POST", "/api/push", {}, 400),
    "a commit without git": ("POST", "/api/notebooks/workspace/odd/save", {"message": "x"}, 400),
    "a profile that is a path": ("POST", "/api/settings/profile", {"profile": "../x"}, 400),
    "a run that is a path": ("POST", "/api/runs/..%2fx/cancel", {}, 404),
}


def test_hostile_bodies(app: App) -> None:
    (app.root / "workspace").mkdir(exist_ok=True)
    (app.root / "workspace" / "odd.py").write_text("# /// script\n# [tool.stargazer]\n# cpus = inf\n# ///\n")
    for name, (method, path, body, status) in BODIES.items():
        answer = app.client.request(method, app.url + path, content=json.dumps(body), headers=app.headers)
        assert answer.status_code == status, (name, answer.text)
        assert len(answer.text) < 8000, name
        assert app.token not in answer.text
    assert "git init" in app.ask("/api/push", 400)["error"]
    assert app.get("/").status_code == 200, "one odd header is no reason to show no notebook"


def test_a_form_that_breaks_off_does_no_harm(app: App) -> None:
    port = int(app.url.rpartition(":")[2])
    cookie = "; ".join(f"{each.name}={each.value}" for each in app.client.cookies.jar)
    head = (
        f"Host: 127.0.0.1:{port}\r\nCookie: {cookie}\r\nX-Stargazer: {app.page_token}\r\nContent-Length: 50\r\n\r\n{{"
    )
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"POST /api/notebooks HTTP/1.1\r\n" + head.encode())
    assert app.get("/").status_code == 200


def test_two_hosts_in_one_request_are_refused(app: App) -> None:
    port = int(app.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        assert raw.recv(64).split()[1] in (b"400", b"403")


def test_pages_say_what_browsers_must_know(app: App) -> None:
    headers = app.get("/").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "script-src 'self'" in headers["content-security-policy"]
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_who_types_localhost_comes_to_the_app(app: App) -> None:
    answer = httpx.get(app.address.replace("127.0.0.1", "localhost"), timeout=PATIENCE)
    assert answer.status_code == 303
    assert answer.headers["location"] == app.address


def test_another_port_before_a_tunnel_is_fine(app: App) -> None:
    headers = {"Host": "127.0.0.1:9999", "Origin": "http://127.0.0.1:9999", "X-Stargazer": app.page_token}
    cookie = "; ".join(f"{each.name}={each.value}" for each in app.client.cookies.jar)
    answer = httpx.get(f"{app.url}/api/notebooks", headers={**headers, "Cookie": cookie}, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text


def test_a_second_app_of_one_folder_is_refused(app: App, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "from stargazer.cli import main; main()", "app", str(app.root), "--no-open"]
    env = {**os.environ, "DASK_STARGAZER__CACHE": str(app.root.parent / "cache")}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == 1
    assert "another `stargazer app` serves" in done.stderr


def test_listening_for_a_container_lets_nobody_in_by_another_name(tmp_path: Path) -> None:
    root = tmp_path / "notebooks"
    root.mkdir()
    places = {"DASK_STARGAZER__STORE": str(tmp_path / "store"), "DASK_STARGAZER__CACHE": str(tmp_path / "cache")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving(root, "--host", "0.0.0.0", "--port", str(port), **places) as found:
        assert found.address.startswith(f"http://127.0.0.1:{port}/?token=")
        assert found.get("/").status_code == 200
        # Whoever comes by another address of the machine, as 127.0.0.2 is one, has no name of it.
        other = f"http://127.0.0.2:{port}/?token={found.token}"
        assert httpx.get(other, timeout=PATIENCE).status_code == 403
        assert httpx.get(other, timeout=PATIENCE, headers={"Host": f"127.0.0.1:{port}"}).status_code == 200


def test_an_address_that_is_not_of_this_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match=r"port 8765 of 192\.0\.2\.1 cannot be had"), _listening(8765, "192.0.2.1"):
        raise AssertionError("it listens there")


def test_the_page_after_the_token_leads_nowhere_else(app: App) -> None:
    page = httpx.get(f"{app.url}//evil.example/?token={app.token}&x=%22%3E", timeout=PATIENCE).text
    assert 'content="0;url=/evil.example/?x=%22%3E"' in page


def test_tickets_count_once_and_for_one_path() -> None:
    access = Access("t")
    ticket = access.ticket("/nb/a")
    assert not access.redeem(ticket, "/nb/b")
    assert not access.redeem(ticket, "/nb/a")
    assert access.redeem(access.ticket("/nb/a"), "/nb/a")


def test_a_proxy_lets_in_its_owner_only() -> None:
    trust = ProxyTrust("s" * 32, "anna")
    good = {"x-stargazer-proxy": "s" * 32, "x-stargazer-user": "anna"}
    assert trust.admits(Headers(good))
    for change in ({"x-stargazer-user": "eve"}, {"x-stargazer-proxy": "t" * 32}, {"x-stargazer-user": ""}):
        assert not trust.admits(Headers({**good, **change}))
    assert not trust.admits(Headers({}))


def test_behind_a_proxy(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123")
    secret.chmod(0o600)
    root = tmp_path / "notebooks"
    root.mkdir()
    with serving(root, "--base-url", "/user/anna/stargazer", "--trust-proxy", str(secret)) as app:
        assert "token" not in app.address
        headers = {"X-Stargazer-Proxy": "0123456789abcdef0123", "X-Stargazer-User": user_name(), "Host": "hub.example"}
        assert httpx.get(app.url + "/", headers=headers, timeout=PATIENCE).status_code == 200
        assert httpx.get(app.url + "/static/app.css", headers=headers, timeout=PATIENCE).status_code == 200
        assert httpx.get(app.url + "/", timeout=PATIENCE).status_code == 403
        assert (
            httpx.get(app.url + "/", headers={**headers, "X-Stargazer-User": "eve"}, timeout=PATIENCE).status_code
            == 403
        )
        assert (
            httpx.get(
                app.url + "/", headers={**headers, "Origin": "https://evil.example"}, timeout=PATIENCE
            ).status_code
            == 403
        )


@pytest.mark.parametrize(
    "path",
    ["/mcp", "/mcp/x", "/v1/x", "/nb", "/nb/x", "/nb/x/y/edit/", "/stored/x", "/stored/workspace/x", "/static/none.js",
     "/static/", "/", "/files", "/none", "/notebooks/workspace/x"],
)  # fmt: skip
@pytest.mark.parametrize("base", ["", "/user/anna/stargazer"])
def test_no_answer_to_a_page_of_a_notebook_says_what_pages_of_the_app_know(
    store: Store, tmp_path: Path, path: str, base: str
) -> None:
    proxy = ProxyTrust("s" * 32, "anna") if base else None
    access = Access("token", base, proxy)
    app = make_app(tmp_path / "root", access, store, folder=tmp_path / "private")
    cookie = f"{access.cookie_name('notebooks')}={access.cookie_value('notebooks')}"
    asks = {"Sec-Fetch-Dest": "empty", "Cookie": cookie}
    opens = {"Sec-Fetch-Dest": "document"}
    if proxy:
        asks, opens = ({**each, "X-Stargazer-Proxy": "s" * 32, "X-Stargazer-User": "anna"} for each in (asks, opens))
    with TestClient(app, base_url="http://localhost:8000", follow_redirects=False) as client:
        assert access.page_token not in client.get(base + path, headers=asks).text
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        if not proxy:
            client.get("/?token=token")
        assert access.page_token in client.get(f"{base}/", headers=opens).text
        assert access.page_token in client.get(f"{base}/none", headers=opens).text, "an error of the app's own"


def test_a_socket_behind_a_proxy_says_whose_it_is(store: Store, tmp_path: Path) -> None:
    access = Access("token", "/user/anna/stargazer", ProxyTrust("s" * 32, "anna"))
    app = make_app(tmp_path / "root", access, store, folder=tmp_path / "private")
    let_in = {"X-Stargazer-Proxy": "s" * 32, "X-Stargazer-User": "anna", "X-Forwarded-Host": "hub.example"}
    path = "/user/anna/stargazer/nb/workspace/x/edit/ws"
    with TestClient(app, base_url="http://hub.example") as client:
        for headers, code in (
            (let_in, 4403), ({**let_in, "Origin": "http://evil.example"}, 4403),
            ({**let_in, "Origin": "http://hub.example"}, 4404),
        ):  # fmt: skip
            with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect(path, headers=headers):
                pass
            assert caught.value.code == code, "4404: nothing is open there, for who is let in"


def test_what_jupyter_is_told() -> None:
    from stargazer.app.jupyter import setup

    told = setup()
    (file,) = [Path(word) for word in told["command"] if "proxy-" in word]
    assert told["request_headers_override"]["X-Stargazer-Proxy"] == read_secret(file)
    assert not any(read_secret(file) in word for word in told["command"])
    assert told["command"][-3:-1] == ["{base_url}stargazer", "--trust-proxy"]
    assert told["command"][1] == "-P", "Jupyter starts it in a folder of the user's, which shadows nothing"


@pytest.mark.parametrize("path", ["x", "/a//b", "/../b", "/a/./b"])
def test_wrong_bases(path: str) -> None:
    with pytest.raises(ConfigError, match="begins with a slash"):
        _base(path)


def test_the_secret_of_a_proxy_is_nobody_elses(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("0123456789abcdef")
    file.chmod(stat.S_IRUSR | stat.S_IRGRP)
    with pytest.raises(ConfigError, match="read by others"):
        read_secret(file)
    file.chmod(0o600)
    assert read_secret(file) == "0123456789abcdef"
    file.write_text("short")
    with pytest.raises(ConfigError, match="no secret"):
        read_secret(file)
