"""The server over HTTP: who may ask, from where, and files by one-time addresses."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_agents import asked, refused, sleeping, until
from starlette.requests import Request

import stargazer as sg
from stargazer.mcp import http_app
from stargazer.mcp.transfers import Transfers

TOKEN = "token-of-this-test-0123456789"
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ACCEPT = {"Accept": "application/json, text/event-stream"}


class Served:
    """A server in a process of its own."""

    def __init__(self, url: str, token: str, process: subprocess.Popen[str]) -> None:
        self.url, self.token, self.process = url, token, process

    def post(self, **headers: str) -> httpx.Response:
        return httpx.post(self.url, json=PING, headers=ACCEPT | headers, timeout=60)

    def run(self, work: Any, mode: Any = "auto") -> Any:
        async def go() -> Any:
            headers = {"Authorization": f"Bearer {self.token}"}
            with anyio.fail_after(240):
                async with (
                    httpx.AsyncClient(headers=headers, timeout=120, follow_redirects=True) as client,
                    Client(streamable_http_client(self.url, http_client=client), mode=mode) as opened,
                ):
                    return await work(opened)

        return anyio.run(go)


@contextlib.contextmanager
def serving(store: sg.Store) -> Iterator[Served]:
    argv = [sys.executable, "-c", "from stargazer.cli import main; main()", "mcp", "--http", "--store", store.url]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        token = Path(os.environ["DASK_STARGAZER__KEY"]).with_name("mcp-token").read_text().strip()
        try:
            yield Served(url, token, process)
        finally:
            process.terminate()
            assert process.stderr is not None
            process.stderr.read()
            process.wait(60)


@pytest.fixture
def served(store: sg.Store, folder: Path) -> Iterator[Served]:
    with serving(store) as found:
        yield found


def test_over_http_in_one_go(served: Served, store: sg.Store, folder: Path) -> None:
    """One server for all of it: starting one takes the longest."""
    file = Path(os.environ["DASK_STARGAZER__KEY"]).with_name("mcp-token")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    bearer = {"Authorization": f"Bearer {served.token}"}
    refusals = [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Basic {served.token}"}, 401),
        ({**bearer, "Host": "evil.example"}, 421),
        ({**bearer, "Host": "127.0.0.1.evil.example:80"}, 421),
        ({**bearer, "Host": "evil@127.0.0.1"}, 421),
        ({**bearer, "Origin": "http://evil.example"}, 403),
        ({**bearer, "Origin": "null"}, 403),
        ({**bearer, "Origin": "file://localhost"}, 403),
        ({**bearer, "Origin": "http://localhost.evil.example"}, 403),
    ]
    for headers, status in refusals:
        answer = served.post(**headers)
        assert answer.status_code == status, headers
        assert served.token not in answer.text
    large = httpx.post(served.url, content=b"x" * (5 << 20), headers=ACCEPT | bearer, timeout=60)
    assert large.status_code == 413
    for mode in ("legacy", "auto"):
        served.run(lambda client: _work(client, served, store, folder), mode)


async def _work(client: Client, served: Served, store: sg.Store, folder: Path) -> None:
    done = await asked(client, "run_workflow", workflow_name="adding", inputs={"n": 2})
    assert done["state"] == "done"
    assert "path" not in done["result"]
    assert "over HTTP" in await refused(client, "upload_file", path="/etc/passwd", keyvalues={"asset": "asset"})
    facts = {"asset": "r1", "sample_id": "s1", "name": "s1.fq"}
    ticket = await asked(client, "begin_upload", keyvalues=facts)
    async with httpx.AsyncClient(timeout=60) as web:
        assert (await web.get(ticket["url"])).status_code == 405
        evil = await web.put(ticket["url"], content=b"ACGT", headers={"Origin": "http://evil.example"})
        assert evil.status_code == 403
        sent = await web.put(ticket["url"], content=b"ACGT")
        assert sent.status_code == 201, sent.text
        assert sent.json()["facts"]["sample_id"] == "s1"
        assert "path" not in sent.json()
        assert (await web.put(ticket["url"], content=b"ACGT")).status_code == 404
        down = await asked(client, "download_file", cid=sent.json()["cid"])
        got = await web.get(down["url"])
        assert (got.status_code, got.content) == (200, b"ACGT")
        assert (await web.get(down["url"])).status_code == 404
        assert (await web.get(down["url"].replace("download", "upload"))).status_code == 405
        await _directories(client, web, store)
    assert str(folder) not in str(await asked(client, "describe_file", cid=sent.json()["cid"]))


async def _directories(client: Client, web: httpx.AsyncClient, store: sg.Store) -> None:
    """A directory is sent as a tar, and is the same as one that was added."""
    ticket = await asked(client, "begin_upload", keyvalues={"name": "cells.zarr"}, directory=True)
    assert "tar -c" in ticket["how"]
    sent = await web.put(ticket["url"], content=_tar({"d/a.txt": b"a", "d/sub/b.txt": b"b"}))
    assert sent.status_code == 201, sent.text
    assert dict(store.walk(sent.json()["cid"])).keys() >= {"a.txt", "sub/b.txt"}
    for members, link in (({"../out": b"x"}, ""), ({"d/a": b"x"}, "d/link"), ({}, "")):
        wrong = await asked(client, "begin_upload", keyvalues={"name": "x"}, directory=True)
        refused = await web.put(wrong["url"], content=_tar(members, link))
        assert refused.status_code == 422, refused.text
        assert "/tmp" not in refused.text


def _tar(members: dict[str, bytes], link: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info)
    return out.getvalue()


def test_a_client_that_goes_ends_its_request(served: Served) -> None:
    async def work(client: Client) -> None:
        async with anyio.create_task_group() as group:
            arguments = {"workflow_name": "adding", "inputs": {"n": 1, "seconds": 88.5}}
            group.start_soon(client.call_tool, "run_workflow", arguments)
            await until(lambda: sleeping(88.5) == 1)
            group.cancel_scope.cancel()
        await until(lambda: sleeping(88.5) == 0)

    async def keep(client: Client) -> None:
        arguments = {"workflow_name": "adding", "inputs": {"n": 1, "seconds": 89.5}, "wait": 0}
        await client.call_tool("run_workflow", arguments)
        await until(lambda: sleeping(89.5) == 1)

    served.run(work)
    served.run(keep, "legacy")
    anyio.run(until, lambda: sleeping(89.5) == 0)


def asgi(app: Any, **headers: str) -> httpx.AsyncClient:
    base = "http://127.0.0.1"
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base, headers=headers)


def test_mounted_in_another_app(store: sg.Store, folder: Path) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    async def knows(token: str) -> bool:
        return token == TOKEN

    app = http_app(store, token=knows)
    outer = Starlette(routes=[Route("/mcp", app), Mount("/mcp", app)], lifespan=app.lifespan)
    bearer = {"Authorization": f"Bearer {TOKEN}"}

    async def go() -> None:
        async with outer.router.lifespan_context(outer), asgi(outer) as web:
            assert (await web.post("/mcp", json=PING, headers=ACCEPT)).status_code == 401
            async with asgi(outer, **bearer) as inner:
                transport = streamable_http_client("http://127.0.0.1/mcp", http_client=inner)
                async with Client(transport, mode="legacy") as client:
                    assert (await asked(client, "list_tasks", limit=1))["tasks"]
                    ticket = await asked(client, "begin_upload", keyvalues={"name": "a.txt"})
                assert (await web.put(ticket["url"], content=b"a")).status_code == 201
            assert (await web.get("/mcp/etc/passwd")).status_code == 404

    anyio.run(go)


def test_addresses_end(store: sg.Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dask.config

    app = http_app(store, token=TOKEN)

    async def go() -> None:
        async with app.lifespan(), asgi(app, Authorization=f"Bearer {TOKEN}") as web:
            transport = streamable_http_client("http://127.0.0.1/mcp", http_client=web)
            async with Client(transport, mode="legacy") as client:
                late = await asked(client, "begin_upload", keyvalues={"name": "a.txt"})
                now = time.time()
                monkeypatch.setattr(time, "time", lambda: now + 601)
                assert (await web.put(late["url"], content=b"a")).status_code == 410
                monkeypatch.undo()
                with dask.config.set({"stargazer.mcp": {"largest-upload": 10}}):
                    small = await asked(client, "begin_upload", keyvalues={"name": "a.txt"})
                assert (await web.put(small["url"], content=b"x" * 11)).status_code == 413

                async def pieces() -> Any:
                    for _ in range(11):
                        yield b"x"

                with dask.config.set({"stargazer.mcp": {"largest-upload": 10}}):
                    small = await asked(client, "begin_upload", keyvalues={"name": "a.txt"})
                assert (await web.put(small["url"], content=pieces())).status_code == 413
                wrong = await asked(client, "begin_upload", keyvalues={"asset": "anndata", "name": "a.h5ad"})
                answer = await web.put(wrong["url"], content=b"no cells")
                assert answer.status_code == 422
                assert "/tmp" not in answer.text

    anyio.run(go)


def test_an_upload_that_breaks_off_leaves_nothing(store: sg.Store, folder: Path) -> None:
    transfers = Transfers(store)
    scope = {
        "type": "http",
        "method": "PUT",
        "scheme": "http",
        "path": "/mcp",
        "query_string": b"",
        "headers": [(b"host", b"x")],
    }
    context: Any = SimpleNamespace(request_context=SimpleNamespace(request=Request(scope)))
    ticket = transfers.upload(sg.Asset(), "a.txt", context)
    pieces = iter([{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(pieces)

    answer = anyio.run(transfers.receive, Request(scope, receive), ticket.url.rpartition("/")[2])
    assert (answer.status_code, store.find()) == (400, [])
    assert anyio.run(transfers.receive, Request(scope, receive), ticket.url.rpartition("/")[2]).status_code == 404


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    from stargazer.errors import ConfigError
    from stargazer.mcp.token import kept_token

    token, is_new = kept_token()
    assert (kept_token(), is_new) == ((token, False), True)
    (tmp_path / "mcp-token").chmod(0o644)
    with pytest.raises(ConfigError, match="others can read it"):
        kept_token()


def test_a_function_of_the_settings_judges_tokens(store: sg.Store, folder: Path) -> None:
    import dask.config

    from stargazer.errors import ConfigError
    from stargazer.mcp.token import verifier

    with dask.config.set({"stargazer.mcp": {"verify": "operator:truth"}}):
        assert anyio.run(verifier(None), "anything")
    with (
        dask.config.set({"stargazer.mcp": {"verify": "operator:nothing"}}),
        pytest.raises(ConfigError, match="operator"),
    ):
        verifier(None)


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_who_cannot_be_judged_is_not_let_in_and_not_told(is_coroutine: bool, caplog: pytest.LogCaptureFixture) -> None:
    from stargazer.mcp.token import verifier

    def judge(token: str) -> bool:
        raise ValueError(f"no such token: {token}")

    async def ask(token: str) -> bool:
        return judge(token)

    assert anyio.run(verifier(ask if is_coroutine else judge), "secret-of-somebody") is False
    assert "failed with ValueError" in caplog.text
    assert "secret-of-somebody" not in caplog.text
