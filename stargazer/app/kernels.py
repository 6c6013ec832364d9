"""Open notebooks: each a marimo process of its own, ended with the app however that ends."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import httpx

from stargazer import config
from stargazer.errors import Conflict, NotebookError, NotFound, ToolMissing
from stargazer.notebook.elsewhere import python_with
from stargazer.tools.identity import locate_tool
from stargazer.tools.memory import memory_of, processor_seconds
from stargazer.tools.process import Tool, end, start

if TYPE_CHECKING:
    from stargazer.app.tiles import Tile

__all__ = ["Kernel", "Kernels", "Mode", "scratch_copy", "uv_here"]

Mode = Literal["edit", "run"]

PATIENCE = 120.0
"""Seconds that marimo may take to answer first."""

BRINGING = 900.0
"""Seconds that it may take where packages are brought before."""

TICK = 2.0
"""Seconds between two looks at what runs."""

LOG_END = 4000


@dataclass(eq=False)
class Kernel:
    """One open notebook.

    Parameters
    ----------
    tile
        The notebook.
    mode
        ``"edit"`` or ``"run"``.
    base
        Path under which browsers find it.
    file
        What is edited: the notebook, or the scratch copy of one that must not change.
    folder
        Of its token, log and temporary files; nobody else can read it.
    port
        Where marimo listens.
    secret
        What marimo asks for.
    tool
        Its process.
    """

    tile: Tile
    mode: Mode
    base: str
    file: Path
    folder: Path
    port: int
    secret: str
    tool: Tool
    state: Literal["starting", "ready", "ended"] = "starting"
    why: str = ""
    viewers: int = 0
    started: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    seen: float = field(default_factory=time.monotonic)
    memory: int = 0
    cpu: float = 0.0
    _used: tuple[float, float] = (0.0, 0.0)

    @property
    def is_scratch(self) -> bool:
        """Whether edits go into a copy that ends with it."""
        return self.file != self.tile.path

    @property
    def authorization(self) -> str:
        """What the proxy sends to marimo."""
        return "Basic " + base64.b64encode(f"stargazer:{self.secret}".encode()).decode()

    @property
    def log(self) -> str:
        """The end of what the process wrote."""
        with contextlib.suppress(OSError):
            return (self.folder / "log").read_text("utf-8", "replace")[-LOG_END:]
        return ""

    def look(self, idle: float) -> None:
        """Measure it, and end it where it is over, too large, or nobody has looked at it for long."""
        if self.state != "ready":  # who opens it waits for it, and says what is wrong
            return
        if self.tool.poll():
            self._ended(f"it ended by itself\n{self.log}")
            return
        pid, now = self.tool.process.pid, time.monotonic()
        limit = self.tile.memory or sys.maxsize
        used, self.memory = processor_seconds([pid]), memory_of([pid], limit)
        before, then = self._used
        self.cpu = max(0.0, used - before) / (now - then) if then and now > then else 0.0
        self._used = (used, now)
        if self.viewers:
            self.seen = now
        if self.memory > limit:
            self._ended(f"it took more memory than the {limit / 2**30:.3g} GiB of its header, and was ended")
        elif idle and now - self.seen > idle:
            self._ended("nobody looked at it for long, and it was stopped")

    def stop(self, why: str = "") -> None:
        """End its processes, and remove what only it needed."""
        if self.state != "ended":
            self._ended(why)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ended(self, why: str) -> None:
        self.state, self.why = "ended", why
        end([self.tool])


class Kernels:
    """All open notebooks of an app, in one mode at a time.

    Parameters
    ----------
    base
        Path below which the app lies.
    idle
        Seconds without a viewer after which one is stopped; 0 for never.
    folder
        Where each keeps its token and log; that for temporary files by default.
    """

    def __init__(self, base: str = "", idle: float = 0.0, folder: Path | None = None) -> None:
        self.base, self.idle, self.folder = base, idle, folder
        self.profile = ""
        self._open: dict[tuple[str, str], Kernel] = {}

    def find(self, section: str, name: str) -> Kernel | None:
        """The kernel of a notebook, also one that ended and whose end nobody was told yet."""
        return self._open.get((section, name))

    def told(self) -> list[tuple[str, str]]:
        """Sections and names of those that are told of."""
        return list(self._open)

    def running(self) -> list[Kernel]:
        """Those that have not ended."""
        return [each for each in self._open.values() if each.state != "ended"]

    async def open(self, tile: Tile, mode: Mode) -> Kernel:
        """Start the process of a notebook, and wait until it answers.

        Raises
        ------
        Conflict
            It is open in the other mode.
        NotebookError
            It cannot be opened in that mode, or marimo ended; the message has its last words.
        """
        if mode not in tile.modes:
            raise NotebookError(f"{tile.name} is opened to {' or to '.join(tile.modes)}, not to {mode}")
        there = self._open.get(tile.key)
        if there is not None and there.state != "ended":
            if there.mode != mode:
                raise Conflict(f"{tile.name} is open to {there.mode} already; stop it first")
            await self._ready(there)
            return there
        if there is not None:
            there.stop()
        # No await between the look and the entry: two tabs share one process.
        made = self._open[tile.key] = _started(tile, mode, self)
        await self._ready(made)
        return made

    async def _ready(self, kernel: Kernel) -> None:
        until = time.monotonic() + (BRINGING if kernel.tile.lacking else PATIENCE)
        async with httpx.AsyncClient(trust_env=False) as client:
            while kernel.state == "starting":
                if kernel.tool.poll() or time.monotonic() > until:
                    told = kernel.log
                    await asyncio.to_thread(kernel.stop, "it did not start")
                    self._open.pop(kernel.tile.key, None)
                    raise NotebookError(f"marimo could not open {kernel.tile.name}; its last words:\n{told}")
                with contextlib.suppress(httpx.HTTPError):
                    answer = await client.get(f"http://127.0.0.1:{kernel.port}{kernel.base}/health", timeout=5)
                    if answer.status_code == 200 and kernel.state == "starting":
                        kernel.state = "ready"
                await asyncio.sleep(0.05)
        if kernel.state == "ended":
            raise NotebookError(f"{kernel.tile.name} was stopped while it started")

    async def stop(self, section: str, name: str) -> None:
        """End a notebook's process.

        Raises
        ------
        NotFound
            It is not open.
        """
        found = self._open.pop((section, name), None)
        if found is None:
            raise NotFound(f"{name} is not open")
        await asyncio.to_thread(found.stop)

    async def stop_all(self) -> None:
        """End all of them."""
        found = list(self._open.values())
        self._open.clear()
        await asyncio.gather(*(asyncio.to_thread(each.stop) for each in found))

    async def watch(self) -> None:
        """Look at them until cancelled."""
        while True:
            for each in self.running():
                try:
                    await asyncio.to_thread(each.look, self.idle)
                except OSError:  # it was stopped while it was looked at
                    logging.getLogger("stargazer").info("%s could not be looked at", each.tile.name, exc_info=True)
            await asyncio.sleep(TICK)


def _started(tile: Tile, mode: Mode, of: Kernels) -> Kernel:
    folder = Path(tempfile.mkdtemp(prefix="notebook-", dir=of.folder))
    secret, password = secrets.token_urlsafe(24), folder / "token"
    with open(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret)
    edited = tile.path if tile.is_own or tile.section == "snapshots" else scratch_copy(tile, folder / "scratch")
    port, place = _free_port(), f"{of.base}/nb/{tile.section}/{tile.name}/{mode}"
    argv = [*_python(tile), "-P", "-m", "stargazer.app.kernel", str(edited), str(tile.cpus)]
    argv += ["-q", "-y", mode, str(edited), "--headless", "--host", "127.0.0.1", "-p", str(port), "--base-url", place]
    argv += ["--token-password-file", str(password), "--no-sandbox"]
    argv += ["--include-code"] if mode == "run" else ["--skip-update-check"]
    with open(folder / "log", "wb") as log, open(os.devnull, "rb") as nothing:
        tool = start(
            argv, cwd=folder, env=_environment(tile, edited, of.profile), stdin=nothing, stdout=log, stderr=log
        )
    return Kernel(tile, mode, place, edited, folder, port, secret, tool)


def _python(tile: Tile) -> list[str]:
    """The Python of a notebook: this one, with what its header asks for laid over it where uv is there to bring it."""
    uv = uv_here() if tile.lacking else None
    return python_with(tile.lacking, uv) if uv else [sys.executable]


def uv_here() -> str | None:
    """Path of uv; None where it is not installed."""
    with contextlib.suppress(ToolMissing):
        return locate_tool("uv")
    return None


def scratch_copy(tile: Tile, folder: Path) -> Path:
    """Copy a notebook that came along, with those beside it that it may import; what it writes stays there too."""
    folder.mkdir()
    for path in tile.path.parent.glob("*.py"):
        shutil.copyfile(path, folder / path.name)
    return folder / tile.path.name


def _environment(tile: Tile, edited: Path, profile: str) -> dict[str, str]:
    """The user's own environment, as a terminal of theirs has it; libraries heed the processors of the header."""
    env = config.command_environment()
    env["PWD"] = str(edited.parent)  # where a terminal of the notebook begins
    if profile:
        env["DASK_STARGAZER__PROFILE"] = profile
    if tile.cpus:
        env |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(tile.cpus))
    return env


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
