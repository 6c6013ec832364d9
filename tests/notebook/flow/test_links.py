"""``nb lab`` starts Jupyter Lab, or marimo, where the notebooks are: the real ones, asked over HTTP, and ended."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from flow_desk import ENTRY, Desk

pytest.importorskip("jupytext")

MARIMO = "import marimo\n\napp = marimo.App()\n\n\n@app.cell\ndef _():\n    n = 4\n    return (n,)\n"
ADDRESS = re.compile(r"https?://(?:127\.0\.0\.1|localhost|0\.0\.0\.0):\d+[^\s\x1b]*")
PATIENCE = 240
TOKEN = "token-of-this-test"


@contextmanager
def started(desk: Desk, home: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The command, as it is typed, and the address that it prints."""
    config = home / "jupyter"
    config.mkdir(parents=True)
    server = {"allow_root": True, "open_browser": False, "port": 0, "ip": "127.0.0.1"}
    settings = {"ServerApp": server, "IdentityProvider": {"token": TOKEN}}
    (config / "jupyter_server_config.json").write_text(json.dumps(settings))
    env = {**os.environ, "JUPYTER_CONFIG_DIR": str(config), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    env |= {"JUPYTER_DATA_DIR": str(home / "data"), "XDG_CONFIG_HOME": str(home / "config"), "BROWSER": "true"}
    env |= {"PYTHONUNBUFFERED": "1", "IPYTHONDIR": str(home / "ipython")}
    argv = [sys.executable, "-c", "from stargazer.cli import main; main()", "nb", "lab", *options]
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            argv, cwd=desk.root, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield process, _address(process, out.fileno())
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _address(process: subprocess.Popen[bytes], out: int) -> str:
    end = time.monotonic() + PATIENCE
    while True:
        told = os.pread(out, 1 << 20, 0).decode("utf-8", "replace")
        if found := ADDRESS.search(told):
            return found[0]
        assert process.poll() is None, told
        assert time.monotonic() < end, told
        time.sleep(0.1)


def _asked(address: str, path: str) -> httpx.Response:
    base, _, query = address.partition("?")
    url = f"{'/'.join(base.split('/')[:3])}{path}?{query}"
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return httpx.get(url, timeout=60, follow_redirects=True)
        except httpx.TransportError:
            assert time.monotonic() < end, "it does not answer"
            time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jupyterlab") is None, reason="jupyterlab is not installed")
def test_jupyter_lab_shows_the_links_and_their_notebooks(desk: Desk, tmp_path: Path) -> None:
    desk.begin(entry=f"{ENTRY}    status: active\n").sync()
    with started(desk, tmp_path / "home") as (_, said):
        address = f"{said.partition('?')[0]}?token={TOKEN}"  # what is logged has no token
        listed = _asked(address, "/api/contents").json()
        assert [each["path"] for each in listed["content"]] == ["noise.ipynb"]
        shown = _asked(address, "/api/contents/noise.ipynb").json()
        assert [cell["source"] for cell in shown["content"]["cells"]] == desk.sources()
        assert "jupyter" in _asked(address, "/lab").text.lower()


@pytest.mark.slow
def test_marimo_shows_the_folder_of_its_notebooks(desk: Desk, tmp_path: Path) -> None:
    pytest.importorskip("marimo")
    desk.begin(entry="  - path: notebooks/explore/live.py\n    kind: explore\n    status: active\n")
    (desk.root / "notebooks/explore/live.py").write_text(MARIMO)
    with started(desk, tmp_path / "home", "--marimo") as (_, address):
        assert _asked(address, "/health").status_code == 200
        assert "marimo" in _asked(address, "/").text
