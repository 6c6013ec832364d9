"""Notebooks under control of git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from stargazer.app import make_app
from stargazer.app.access import PAGE_HEADER, Access
from stargazer.app.shelf import BLANK
from stargazer.store import Store
from stargazer.tools.working_copy import changed_files, save_file, send, working_copy_of


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "Anna")
        monkeypatch.setenv(f"{name}_EMAIL", "anna@example.org")
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "origin.git"], check=True)
    subprocess.run(["git", "clone", "-q", tmp_path / "origin.git", tmp_path / "root"], check=True, capture_output=True)
    workspace = tmp_path / "root" / "workspace"
    workspace.mkdir()
    for name in ("one", "two"):
        (workspace / f"{name}.py").write_text(BLANK)
    git(tmp_path / "root", "add", ".")
    git(tmp_path / "root", "commit", "-q", "-m", "begin")
    git(tmp_path / "root", "push", "-q", "-u", "origin", "HEAD")
    return tmp_path / "root"


def test_one_file_is_committed_and_nothing_else(root: Path) -> None:
    one, two, new = (root / "workspace" / f"{name}.py" for name in ("one", "two", "new"))
    assert working_copy_of(root / "workspace") == root.resolve()
    for each in (one, two, new):
        each.write_text("x = 1\n")
    git(root, "add", str(two))
    assert changed_files(root) == {path.resolve() for path in (one, two, new)}
    commit = save_file(new, "a new one")
    assert git(root, "show", "--format=%s", "--name-only", commit).split() == ["a", "new", "one", "workspace/new.py"]
    assert changed_files(root) == {one.resolve(), two.resolve()}
    assert "two.py" in git(root, "diff", "--cached", "--name-only"), "what was staged stays staged"


def test_a_push_says_what_the_remote_said(root: Path, tmp_path: Path) -> None:
    assert send(root).taken
    (root / "workspace" / "one.py").write_text("x = 1\n")
    save_file(root / "workspace" / "one.py", "change")
    hook = tmp_path / "origin.git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'no notebooks on Mondays' >&2\nexit 1\n")
    hook.chmod(0o755)
    refused = send(root)
    assert not refused.taken
    assert "no notebooks on Mondays" in refused.told
    hook.unlink()
    assert send(root).taken
    git(root, "remote", "set-url", "origin", "https://me:s3cret@127.0.0.1:1/x.git")
    assert "s3cret" not in send(root).told


def test_a_folder_that_nobody_controls(tmp_path: Path) -> None:
    assert working_copy_of(tmp_path) is None
    assert changed_files(tmp_path) == set()


def test_tiles_are_marked_and_saved(root: Path, store: Store, tmp_path: Path) -> None:
    access = Access("token")
    app = make_app(root, access, store, folder=tmp_path / "private")
    with TestClient(app, base_url="http://127.0.0.1:8000") as pages:
        pages.get("/?token=token")
        pages.headers[PAGE_HEADER] = access.page_token
        assert "not committed" not in pages.get("/").text
        (root / "workspace" / "one.py").write_text("x = 1\n")
        assert pages.get("/").text.count("not committed") == 1
        assert 'data-dialog="d-save"' in pages.get("/notebooks/workspace/one").text
        assert 'data-dialog="d-save"' not in pages.get("/notebooks/workspace/two").text
        assert "committed as" in pages.post("/api/notebooks/workspace/one/save", json={"message": "m"}).json()["said"]
        assert "not committed" not in pages.get("/").text
        assert pages.post("/api/notebooks/workspace/one/save", json={}).status_code == 400
        assert pages.post("/api/push", json={}).json()["said"].startswith("pushed")
