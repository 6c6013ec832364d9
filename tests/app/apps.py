"""The real app, as `stargazer app` starts it, for tests that talk to it and for those that look at it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

PATIENCE = 60.0


def until(told: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait for a condition, and return what it gave."""
    end = time.monotonic() + seconds
    while not (found := told()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


def kernels_of(root: Path) -> list[int]:
    """Processes of the notebooks below a folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"stargazer.app.kernel" in words and any(word.startswith(os.fsencode(root)) for word in words):
            found.append(int(each.parent.name))
    return found


@dataclass
class App:
    """A running `stargazer app`, and somebody who is let in."""

    process: subprocess.Popen[str]
    address: str
    root: Path
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=PATIENCE))
    page_token: str = ""

    def __post_init__(self) -> None:
        self.url = self.address.split("?")[0].rstrip("/")
        self.token = self.address.split("token=")[-1]
        if "token=" in self.address:
            self.client.get(self.address)
            self.page_token = re.findall(r'stargazer-page" content="(\w+)"', self.get("/").text)[0]

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Stargazer": self.page_token}

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(self.url + path, **options)

    def ask(self, path: str, code: int = 200, **body: Any) -> Any:
        """What a page's script asks for."""
        answer = self.client.post(self.url + path, json=body, headers=self.headers)
        assert answer.status_code == code, answer.text
        return answer.json()

    def state(self) -> dict[str, Any]:
        answer = self.client.get(f"{self.url}/api/notebooks", headers=self.headers)
        return answer.json()["notebooks"]

    def visit(self, section: str, name: str, mode: str) -> tuple[httpx.Client, str]:
        """Open a notebook, and return a browser's client with its address."""
        url = self.ask(f"/api/notebooks/{section}/{name}/start", mode=mode)["url"]
        there = self.get(url).headers["location"]
        visitor = httpx.Client(timeout=PATIENCE)
        assert visitor.get(there).status_code == 200
        host, path = re.fullmatch(r"http://localhost(:\d+)(/[^?]*)\?.*", there).groups()
        cookie = "; ".join(f"{each.name}={each.value}" for each in visitor.cookies.jar)
        return httpx.Client(timeout=PATIENCE, headers={"Cookie": cookie}), f"http://localhost{host}{path}"


@contextmanager
def serving(root: Path, *options: str, **env: str) -> Iterator[App]:
    """Start the app as people do, and end it."""
    argv = [sys.executable, "-c", "from stargazer.cli import main; main()", "app", str(root), "--no-open", *options]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, **env}, cwd=root.parent)
    try:
        assert process.stdout is not None
        yield App(process, process.stdout.readline().strip(), root)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.stdout.close()
