"""Snapshots: frozen from a tile, shown in a sandbox, run again, added by somebody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dask.config
import httpx
import pytest
from apps import until
from starlette.testclient import TestClient

import stargazer as sg
from stargazer.app import make_app
from stargazer.app.access import PAGE_HEADER, Access
from stargazer.store import Store

BOOK = """import marimo

app = marimo.App()


@app.cell
def _():
    x = 20
    return (x,)


@app.cell
def _(x):
    y = x + 22
    print("<b>made</b>", y)
    return (y,)


if __name__ == "__main__":
    app.run()
"""

BROKEN = BOOK.replace("x + 22", "x / 0")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    workspace = tmp_path / "root" / "workspace"
    workspace.mkdir(parents=True)
    (workspace / "sums.py").write_text(BOOK)
    (workspace / "broken.py").write_text(BROKEN)
    return tmp_path / "root"


@pytest.fixture
def pages(store: Store, root: Path, tmp_path: Path) -> Iterator[TestClient]:
    access = Access("token")
    app = make_app(root, access, store, folder=tmp_path / "private")
    with TestClient(app, base_url="http://127.0.0.1:8000", follow_redirects=False) as client:
        client.get("/?token=token")
        client.headers[PAGE_HEADER] = access.page_token
        yield client


def _ended(pages: TestClient, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    job = answer.json()["job"]
    until(lambda: pages.get(f"/api/jobs/{job}").json()["state"] != "running", 240)
    return dict(pages.get(f"/api/jobs/{job}").json())


@pytest.mark.slow
def test_freeze_show_run_again_copy(pages: TestClient, store: Store, root: Path) -> None:
    job = _ended(pages, pages.post("/api/notebooks/workspace/sums/freeze", json={}))
    assert job["state"] == "done", job
    file = root / "snapshots" / "sums.py"
    assert file.read_text() == BOOK
    assert not (root / "workspace" / "sums.py").exists()
    cid = json.loads((root / "snapshots" / "sums.json").read_text())["cid"]
    assert cid in job["said"]
    (kept,) = [assets for assets in store.pins().values() if any(each.cid == cid for each in assets)]
    assert kept
    card = pages.get("/notebooks/snapshots/sums").text
    assert cid in card
    assert "Run again" in card
    there = urlsplit(pages.get("/page/snapshots/sums").headers["location"])
    assert there.netloc.startswith("localhost")
    visitor = TestClient(pages.app, base_url=f"http://{there.netloc}", follow_redirects=False)
    assert visitor.get(there.path).status_code == 401
    assert visitor.get(f"{there.path}?{there.query}").status_code == 200
    shown = visitor.get(there.path)
    assert shown.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
    assert "&lt;b&gt;made&lt;/b&gt; 42" in shown.text
    again = _ended(pages, pages.post("/api/notebooks/snapshots/sums/again", json={}))
    assert again["state"] == "done", again
    assert again["said"].startswith("the same: ")
    number, _, of = again["said"].removeprefix("the same: ").partition(" of ")
    assert number == of
    assert pages.post("/api/notebooks/snapshots/sums/copy", json={}).status_code == 201
    (root / "workspace" / "sums.py").write_text(BOOK.replace("20", "30"))
    refused = pages.post("/api/notebooks/workspace/sums/freeze", json={})
    assert refused.status_code == 409
    assert "never change" in refused.json()["error"]
    assert file.read_text() == BOOK


def test_two_wishes_are_two_jobs(pages: TestClient, root: Path) -> None:
    (root / "workflows").mkdir()
    (root / "workflows" / "sums.py").write_text(BOOK)
    asked = [
        pages.post(f"/api/notebooks/{where}", json=body).json()["job"]
        for where, body in (
            ("workspace/sums/promote", {"task": "t", "to": "one.py"}),
            ("workspace/sums/promote", {"task": "t", "to": "two.py"}),
            ("workflows/sums/promote", {"task": "t", "to": "one.py"}),
            ("workspace/sums/promote", {"task": "t", "to": "one.py"}),
        )
    ]  # fmt: skip
    assert len(set(asked)) == 3
    assert asked[0] == asked[3], "a second click is the same wish"


@pytest.mark.slow
def test_what_fails_is_not_frozen_and_says_why(pages: TestClient, root: Path) -> None:
    job = _ended(pages, pages.post("/api/notebooks/workspace/broken/freeze", json={}))
    assert job["state"] == "failed"
    assert "ZeroDivisionError" in job["said"] or "division" in job["said"], job
    assert (root / "workspace" / "broken.py").read_text() == BROKEN
    assert not (root / "snapshots" / "broken.py").exists()
    assert pages.post("/api/notebooks/snapshots/none/again", json={}).status_code == 404
    assert pages.get("/api/jobs/none").status_code == 404


def test_somebodys_snapshot_is_added_by_its_cid(pages: TestClient, store: Store, root: Path) -> None:
    from stargazer.notebook.snapshots import freeze

    made = freeze(root / "workspace" / "sums.py", store=store)
    job = _ended(pages, pages.post("/api/snapshots", json={"what": made.cid}))
    assert job["state"] == "done", job
    assert (root / "snapshots" / "sums.py").read_text() == BOOK
    assert "sums" in pages.get("/").text
    twice = _ended(pages, pages.post("/api/snapshots", json={"what": made.cid}))
    assert "never change" in twice["said"]
    other = sg.add(root / "workspace" / "sums.py")
    assert _ended(pages, pages.post("/api/snapshots", json={"what": str(other.cid)}))["state"] == "failed"
    assert pages.post("/api/snapshots", json={}).status_code == 400
    (root / "snapshots" / "hand.py").write_text(BOOK)
    assert "put there by hand" in pages.get("/notebooks/snapshots/hand").text


def test_to_share_is_to_publish(pages: TestClient, store: Store, root: Path, tmp_path: Path) -> None:
    from stargazer.notebook.snapshots import freeze

    made = freeze(root / "workspace" / "sums.py", store=store)
    assert _ended(pages, pages.post("/api/snapshots", json={"what": made.cid}))["state"] == "done"
    with dask.config.set({"stargazer.remotes": [{"name": "lab", "store": str(tmp_path / "lab")}]}):
        shared = _ended(pages, pages.post("/api/notebooks/snapshots/sums/share", json={"remote": "lab"}))
    assert shared["state"] == "done", shared
    (link,) = [line.removeprefix("page: cid://") for line in shared["said"].splitlines() if line.startswith("page: ")]
    lab = Store(str(tmp_path / "lab"))
    assert lab.has(made.cid), "others add it by its CID"
    names = {path for path, _ in lab.walk(link.partition("/")[0])}
    assert {"index.html", "result"} <= names
    assert any(path.endswith((".yaml", ".yml")) for path in names)
    assert lab.find(cid=made.cid), "its facts and records went along"
