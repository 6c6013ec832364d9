"""What this process owns: the tools that it runs, and the reaper that ends them when it dies."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.workdir.reaper import GOODBYE

if TYPE_CHECKING:
    from stargazer.workdir.process import Tool

__all__ = ["OWNER", "Reaper", "reaper", "running"]

OWNER = "STARGAZER_OWNER"


class Reaper:
    """The process that ends this process's tools when this process dies."""

    def __init__(self) -> None:
        self.running: set[Tool] = set()
        self._token, self._serial = uuid.uuid4().hex, itertools.count()
        script = str(Path(__file__).with_name("reaper.py"))
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", script, f"{OWNER}={self._token}", str(os.getpid())],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def new_token(self) -> str:
        """What the environment of one tool, and of all that it starts, is marked with."""
        return f"{self._token}.{next(self._serial)}"

    def watch(self, tool: Tool) -> None:
        """Take a tool's process group into care."""
        self.running.add(tool)
        self._tell(f"+{tool.process.pid}")

    def forget(self, tool: Tool) -> None:
        """The tool has ended."""
        self.running.discard(tool)
        self._tell(f"-{tool.process.pid}")

    def is_alive(self) -> bool:
        """Whether nobody killed it."""
        return self._watcher.poll() is None

    def leave(self, *, silently: bool = False) -> None:
        """Let it go: it has nothing to do any more if no tool runs, or if this is a forked child."""
        if not (self.running or silently):
            self._tell(GOODBYE)
        assert self._watcher.stdin is not None
        self._watcher.stdin.close()
        self._watcher.returncode = 0  # nobody waits for it

    def _tell(self, line: str) -> None:
        assert self._watcher.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            os.write(self._watcher.stdin.fileno(), f"{line}\n".encode())


_lock = threading.Lock()
_reapers: dict[int, Reaper] = {}


def reaper() -> Reaper:
    """The reaper of this process; one that was killed is replaced, and a forked child makes its own."""
    with _lock:
        found = _reapers.get(os.getpid())
        if found is None or not found.is_alive():
            if not _reapers:
                atexit.register(_leave)
                os.register_at_fork(after_in_child=_forget_parent)
            made = _reapers[os.getpid()] = Reaper()
            for tool in tuple(found.running) if found else ():
                made.watch(tool)
        return _reapers[os.getpid()]


def running() -> tuple[Tool, ...]:
    """The tools that this process has running."""
    found = _reapers.get(os.getpid())
    return tuple(found.running) if found else ()


def _leave() -> None:
    found = _reapers.pop(os.getpid(), None)
    if found is not None:
        found.leave()


def _forget_parent() -> None:
    """A forked child holds nothing of its parent's, whose lock another thread may have held."""
    global _lock
    _lock = threading.Lock()
    while _reapers:
        _reapers.popitem()[1].leave(silently=True)
