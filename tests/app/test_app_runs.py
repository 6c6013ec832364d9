"""Tasks from a form, with the plan before; runs, failures with their logs, and how one is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dask.config
import pytest
from apps import until
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import stargazer as sg
from stargazer.app import make_app
from stargazer.app.access import PAGE_HEADER, Access
from stargazer.app.agents import _made
from stargazer.app.forms import fields_of
from stargazer.mcp.token import kept_token
from stargazer.store import Store
from stargazer.tools.apart import is_alive

TASKS = str(Path(__file__).with_name("app_tasks.py"))


@pytest.fixture
def pages(store: Store, tmp_path: Path) -> Iterator[TestClient]:
    access = Access("token")
    app = make_app(tmp_path / "root", access, store, folder=tmp_path / "private")
    with (
        dask.config.set({"stargazer.catalog": [TASKS]}),
        TestClient(app, base_url="http://127.0.0.1:8000") as client,
    ):
        client.get("/?token=token")
        client.headers[PAGE_HEADER] = access.page_token
        yield client
        for run in sg.runs.list(store):
            pid = run.where["pid"]
            if pid and pid != os.getpid() and is_alive(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def test_a_form_says_what_the_schema_says(pages: TestClient, store: Store, tmp_path: Path) -> None:
    (tmp_path / "ref.fa").write_text(">1\nACGT\n")
    ref = sg.add(tmp_path / "ref.fa", sg.Reference(build="b37"))
    fields = {each.name: each for each in fields_of(sg.catalog.get("greet"), store)}
    assert fields["text"].required
    assert (fields["loud"].choices, fields["loud"].default) == (("true", "false"), "false")
    assert fields["by"].choices == ("a", "b")
    assert (fields["times"].default, fields["times"].text) == ("1", "How often.")
    (offered,) = fields_of(sg.catalog.get("samtools_faidx"), store)[0].offered
    assert offered == (ref.id[:16], "ref.fa")
    for entry in sg.catalog.list():
        if entry.function is not None:
            assert fields_of(entry, store) is not None
    assert "greet" in pages.get("/catalog?word=greet").text
    assert pages.get("/catalog/no_such_task").status_code == 404


@pytest.mark.parametrize("value", [3, None, ["3"], True])
def test_a_value_that_is_no_text_is_not_passed_over(pages: TestClient, value: object) -> None:
    answer = pages.post("/api/catalog/greet/plan", json={"text": "x", "times": value})
    assert answer.status_code == 400
    assert "times: a form sends texts" in answer.json()["error"]


def test_plan_then_run_then_its_page(pages: TestClient, store: Store, tmp_path: Path) -> None:
    (tmp_path / "who.txt").write_text("you")
    who = sg.add(tmp_path / "who.txt")
    wrong = pages.post("/api/catalog/greet/plan", json={"text": "nobody", "times": "x"})
    assert wrong.status_code == 400
    assert "times" in wrong.json()["error"]
    given = {"text": who.id[:16], "times": "2", "loud": "true"}
    plan = pages.post("/api/catalog/greet/plan", json=given).json()
    assert plan["to_run"] == 1
    assert "greet" in plan["html"]
    assert sg.runs.list(store) == []
    begun = pages.post("/api/catalog/greet/run", json=given)
    assert begun.status_code == 201, begun.text
    name = begun.json()["go"].removeprefix("/runs/")
    until(lambda: pages.get(f"/api/runs?id={name}").json()["runs"][name]["ended"])
    shown = pages.get(f"/runs/{name}").text
    assert "greeting.txt" in shown, shown
    (run,) = sg.runs.list(store)
    assert run.state == "done"
    (made,) = sg.assemble(name="greeting.txt")
    assert made.fetch().read_text() == "HELLO YOU\n" * 2
    record = next(each.record for each in run.events() if each.record)
    assert "ended well" in pages.get(f"/runs/calls/{record}").text
    assert name in pages.get("/runs").text
    assert pages.post("/api/catalog/greet/plan", json=given).json()["known"] == 1


def test_a_failure_with_its_log_and_a_run_that_is_cancelled(pages: TestClient, store: Store, tmp_path: Path) -> None:
    script = "echo why <b>it</b> fell >&2; exit 3"
    name = pages.post("/api/catalog/shell/run", json={"script": script}).json()["go"].removeprefix("/runs/")
    until(lambda: pages.get(f"/api/runs?id={name}").json()["runs"][name]["ended"])
    shown = pages.get(f"/runs/{name}").text
    assert "exit code 3" in shown
    (record,) = sg.runs.get(name, store).note.records.values()
    assert f"/runs/calls/{record}" in shown
    log = pages.get(f"/runs/calls/{record}").text
    assert "why &lt;b&gt;it&lt;/b&gt; fell" in log
    flag = tmp_path / "flag"
    name = pages.post("/api/catalog/shell/run", json={"script": f"touch {flag}; sleep 300"}).json()["go"][6:]
    until(flag.exists)
    assert pages.post(f"/api/runs/{name}/cancel", json={}).status_code == 200
    until(lambda: sg.runs.get(name, store).state == "cancelled")
    assert pages.get("/runs/no-such-run").status_code == 404
    assert pages.get("/runs/calls/ffff").status_code == 404


def test_settings_and_the_one_switch(pages: TestClient) -> None:
    shown = pages.get("/settings").text
    assert "stargazer.store" in shown
    assert "local" in shown
    assert pages.post("/api/settings/profile", json={"profile": "nowhere"}).status_code == 400
    assert "local" in pages.post("/api/settings/profile", json={"profile": "local"}).json()["said"]
    assert "<option selected>local" in pages.get("/settings").text
    assert "the profile local" in pages.get("/catalog/greet").text


INITIALIZE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}  # fmt: skip


def test_programs_show_the_token_of_the_app(pages: TestClient, store: sg.Store, tmp_path: Path) -> None:
    assert pages.get("/v1/runs").status_code == 401, "a browser's cookie is none"
    told = {"Authorization": "Bearer token"}
    added = pages.post("/v1/assets?name=words.txt&type=asset", content=b"words", headers=told)
    assert added.status_code == 201, added.text
    assert store.has(added.json()["cid"])
    assert pages.get(f"/v1/assets/{added.json()['id']}/data", headers=told).content == b"words"
    body = {"inputs": [], "transform": {"executor": "no-such-task"}}
    assert pages.post("/v1/materialize", json=body, headers=told).json()["type"].endswith("UnknownName")
    assert pages.get("/v1/runs", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert pages.get("/v1/runs", headers={**told, "Origin": "http://evil.example"}).status_code == 403
    assert pages.get("/v1/runs", headers={**told, "Host": "evil.example"}).status_code == 403


def test_agents_show_a_token_of_their_own(pages: TestClient) -> None:
    accept = {"Accept": "application/json, text/event-stream"}
    assert pages.post("/mcp", json=INITIALIZE, headers=accept).status_code == 401
    wrong = {**accept, "Authorization": "Bearer wrong"}
    assert pages.post("/mcp", json=INITIALIZE, headers=wrong).status_code == 401
    right = {**accept, "Authorization": f"Bearer {kept_token()[0]}"}
    answer = pages.post("/mcp", json=INITIALIZE, headers=right)
    assert answer.status_code == 200, answer.text
    assert '"serverInfo"' in answer.text
    evil = pages.post("/mcp", json=INITIALIZE, headers={**right, "Origin": "http://evil.example"})
    assert evil.status_code == 403


def test_agents_see_the_folder_of_the_app(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root").mkdir()
    assert _made(store, tmp_path / "root").place.folders.allowed == (tmp_path / "root",)
    with dask.config.set({"stargazer.mcp": {"folders": [str(tmp_path / "other")]}}):
        assert _made(store, tmp_path / "root").place.folders.allowed == (tmp_path / "other",)


def test_who_is_refused_costs_the_app_no_modules(pages: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """To load what answers agents takes seconds, which anybody on this machine could ask for."""
    monkeypatch.setattr("stargazer.app.agents._made", None)
    right = {"Authorization": f"Bearer {kept_token()[0]}"}
    assert pages.post("/mcp", json=INITIALIZE).status_code == 401
    assert pages.post("/mcp", json=INITIALIZE, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert pages.post("/mcp", json=INITIALIZE, headers={**right, "Origin": "http://evil.example"}).status_code == 403
    assert pages.get("/mcp/download/secret", headers=right).status_code == 404
    with pytest.raises(WebSocketDisconnect), pages.websocket_connect("/mcp", headers=right):
        pass
    with pytest.raises(TypeError):  # only this one is made a server for
        pages.post("/mcp", json=INITIALIZE, headers=right)


def test_refusals_load_nothing_of_the_server() -> None:
    code = "import sys, stargazer.app.agents; sys.exit('mcp' in sys.modules or 'stargazer.mcp.http' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
