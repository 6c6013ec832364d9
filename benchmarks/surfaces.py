"""What do the surfaces cost beside what they stand on: the app beside marimo, the MCP server beside a bare one?

The app: launch to ready of a notebook, a request and a large download through the proxy, the first page where there
are many files and notebooks. Agents: a workflow that is known, and start to first answer. Aims: launch at most 1.3 ×
``marimo edit``; a request at most 3 ms more than direct; a download at 0.4 × direct or more; the first page within
300 ms; a known workflow within 30 ms; the first answer within 1.2 s. Each server is a process of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
from mcp import Client, StdioServerParameters

import stargazer as sg
from benchmarks.rounds import PROGRAMS, Ratio, clock, compare, in_turns, temporary
from stargazer.app.kernels import Kernels
from stargazer.app.shelf import BLANK, Shelf

__all__ = ["measure"]

AIM_LAUNCH, AIM_REQUEST, AIM_DOWNLOAD, AIM_PAGE, AIM_KNOWN, AIM_START = 1.3, 3.0, 0.4, 300.0, 30.0, 1.2
BASE = "/nb/workspace/x/run"
PATIENCE = 120.0
BARE = str(PROGRAMS / "surfaces_bare.py")


def measure(quick: bool = False) -> Iterator[Ratio]:
    """Yield each ratio as it is known.

    Parameters
    ----------
    quick
        Few files and rounds: for trying out, not for quoting.
    """
    with temporary() as directory:
        yield launch(directory, 2 if quick else 9)
        yield from proxied(directory, 50 if quick else 500, 64 if quick else 1024)
        yield first_page(directory, *((500, 50) if quick else (10_000, 500)), rounds=5 if quick else 30)
        yield from agents(directory, 2 if quick else 9, 10 if quick else 100)


# The app.


def launch(directory: Path, rounds: int) -> Ratio:
    """A notebook from the click to its first answer, beside ``marimo edit``."""
    shelf = Shelf(directory / "launch")
    tile = shelf.create("empty")

    def ours() -> float:
        async def opened() -> float:
            kernels, start = Kernels(folder=directory), time.perf_counter()
            try:
                await kernels.open(tile, "edit")
                return time.perf_counter() - start
            finally:
                await kernels.stop_all()

        return anyio.run(opened)

    found = in_turns({"ours": ours, "marimo": lambda: _marimo(tile.path)}, rounds)
    return compare(
        "surfaces", "launch to ready", "marimo edit", found["ours"], found["marimo"], "s", aim=AIM_LAUNCH
    )  # fmt: skip


def _marimo(notebook: Path) -> float:
    port = _free_port()
    argv = [sys.executable, "-m", "marimo", "-q", "-y", "edit", notebook.name, "--headless", "--no-token"]
    argv += ["--host", "127.0.0.1", "-p", str(port), "--no-sandbox", "--skip-update-check"]
    start = time.perf_counter()
    nothing = subprocess.DEVNULL
    with subprocess.Popen(argv, cwd=notebook.parent, stdin=nothing, stdout=nothing, stderr=nothing) as process:
        try:
            while time.perf_counter() - start < PATIENCE:
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5, trust_env=False).status_code == 200:
                        return time.perf_counter() - start
                time.sleep(0.05)
            raise RuntimeError(f"marimo did not answer within {PATIENCE:.0f} s")
        finally:
            process.terminate()


def proxied(directory: Path, requests: int, size: int) -> Iterator[Ratio]:
    """A request, and a download of `size` MiB, through the app's proxy and without it."""
    with (
        _server("upstream", str(size)) as (behind, _),
        _server("app", str(directory / "proxied"), str(behind)) as (port, cookies),
        httpx.Client(trust_env=False, headers={"Cookie": cookies}) as client,
    ):
        places = {"ours": f"http://localhost:{port}{BASE}", "direct": f"http://127.0.0.1:{behind}{BASE}"}

        def asked(url: str) -> float:
            return _milliseconds(lambda: client.get(f"{url}/small").raise_for_status())

        def fetched(url: str) -> float:
            start, got = time.perf_counter(), 0
            with client.stream("GET", f"{url}/large") as answer:
                for piece in answer.iter_raw():
                    got += len(piece)
            if got != size << 20:
                raise RuntimeError(f"{url} sent {got} bytes")
            return got / (time.perf_counter() - start) / 1e6

        found = in_turns({name: lambda url=url: asked(url) for name, url in places.items()}, requests)
        more = [max(mine - other, 0.0) for mine, other in zip(found["ours"], found["direct"], strict=True)]
        yield compare(
            "surfaces", "what the proxy adds to a request", "the request direct", more, found["direct"], "ms",
            aim=AIM_REQUEST, of="ours",
        )  # fmt: skip
        found = in_turns({name: lambda url=url: fetched(url) for name, url in places.items()}, 3)
        yield compare(
            "surfaces", f"a download of {size} MiB", "direct", found["ours"], found["direct"], "MB/s",
            aim=AIM_DOWNLOAD, better="higher",
        )  # fmt: skip


def first_page(directory: Path, files: int, notebooks: int, *, rounds: int) -> Ratio:
    """The home page of an app with many files and notebooks, beside a request for a picture of it."""
    root = directory / "many"
    shelf = Shelf(root)
    shelf.create("n0")
    for number in range(1, notebooks):
        text = f"# /// script\n# [tool.stargazer]\n# title = 'Notebook {number}'\n# ///\n{BLANK}"
        (root / "workspace" / f"n{number}.py").write_text(text)
    (directory / "one.txt").write_text("one")
    with sg.active_store() as store:
        one = store.add(directory / "one.txt", sg.Asset(), name="0.txt")
        for number in range(1, files):
            store.put(sg.Asset(cid=one.cid, name=f"{number}.txt"))
    with _server("app", str(root)) as (port, cookies), httpx.Client(trust_env=False, timeout=PATIENCE) as client:

        def asked(path: str) -> float:
            url = f"http://127.0.0.1:{port}{path}"
            return _milliseconds(lambda: client.get(url, headers={"Cookie": cookies}).raise_for_status())

        found = in_turns({"ours": lambda: asked("/"), "picture": lambda: asked("/static/star.svg")}, rounds)
    case = f"first page, {files:,} files, {notebooks:,} notebooks"
    return compare(
        "surfaces", case, "a picture of it", found["ours"], found["picture"], "ms", aim=AIM_PAGE, of="ours"
    )  # fmt: skip


# Agents.


def agents(directory: Path, starts: int, calls: int) -> Iterator[Ratio]:
    """A workflow that is known, and the first answer of a server, beside a server of the SDK alone."""
    catalog = directory / "surfaces_flows.py"
    shutil.copyfile(PROGRAMS / "surfaces_flows.py", catalog)
    env = {**os.environ, "DASK_STARGAZER__CATALOG": f"['{catalog}']"}
    own = ["-c", "from stargazer.cli import main; main()", "mcp"]
    servers = {
        "ours": StdioServerParameters(command=sys.executable, args=own, env=env, cwd=directory),
        "bare": StdioServerParameters(command=sys.executable, args=[BARE], env=env, cwd=directory),
    }
    questions = {"ours": ("run_workflow", {"workflow_name": "known", "inputs": {"n": 3}}), "bare": ("known", {"n": 3})}
    asked = {name: anyio.run(_asked, servers[name], *questions[name], calls) for name in servers}
    yield compare(
        "surfaces", "a known workflow, asked by an agent", "a bare SDK server", asked["ours"], asked["bare"], "ms",
        aim=AIM_KNOWN, of="ours",
    )  # fmt: skip
    first = {"ours": ("list_runs", {}), "bare": questions["bare"]}
    work: dict[str, Callable[[], float]] = {
        name: lambda name=name: anyio.run(_first, servers[name], *first[name])  # type: ignore[misc]
        for name in servers
    }
    found = in_turns(work, starts)
    yield compare(
        "surfaces", "start to first answer", "a bare SDK server", found["ours"], found["bare"], "s", aim=AIM_START,
        of="ours",
    )  # fmt: skip


async def _asked(server: StdioServerParameters, tool: str, arguments: dict[str, Any], calls: int) -> list[float]:
    """Milliseconds that each call took, after one that does not count."""
    found = []
    async with Client(server) as client:
        for _ in range(calls + 1):
            start = time.perf_counter()
            await _told(client.call_tool(tool, arguments), tool)
            found.append((time.perf_counter() - start) * 1e3)
    return found[1:]


async def _first(server: StdioServerParameters, tool: str, arguments: dict[str, Any]) -> float:
    start = time.perf_counter()
    async with Client(server) as client:
        await _told(client.call_tool(tool, arguments), tool)
        return time.perf_counter() - start


async def _told(call: Coroutine[Any, Any, Any], tool: str) -> None:
    answer = await call
    if answer.is_error:
        raise RuntimeError(f"{tool}: {answer.content}")


# What is needed for that.


@contextlib.contextmanager
def _server(*argv: str) -> Iterator[tuple[int, str]]:
    """Start one of the servers; yield its port, and the cookies that let in."""
    command = [sys.executable, str(PROGRAMS / "surfaces_servers.py"), *argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            told = process.stdout.readline()
            if not told:
                raise RuntimeError(f"{command} did not start")
            port, _, cookies = told.strip().partition(" ")
            yield int(port), cookies
        finally:
            process.terminate()


def _milliseconds(work: Callable[[], object]) -> float:
    return clock(work).wall * 1e3


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
