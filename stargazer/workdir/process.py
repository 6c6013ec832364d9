"""Start command-line tools so that none outlives its call."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.config import environment
from stargazer.errors import ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Tool", "end", "end_all", "interruption", "start", "wait"]

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL."""

POLL = 0.2
"""Seconds between two looks at whether the call was cancelled."""

OWNER = "STARGAZER_OWNER"
KIBIBYTE = 1024


@dataclass(eq=False)
class Tool:
    """One running or ended tool.

    Parameters
    ----------
    process
        Its process, the first of a session of its own.
    code
        Exit code, negative for a signal; None while it runs.
    cpu_seconds
        Processor time of it and the children that it waited for.
    peak_bytes
        Largest resident memory of it or one of those children.
    """

    process: subprocess.Popen[bytes]
    code: int | None = None
    cpu_seconds: float = 0.0
    peak_bytes: int = 0

    def poll(self) -> bool:
        """Collect it if it has ended; return whether it has."""
        if self.code is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                # Popen must not wait for a process that is already collected.
                self.code = self.process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_seconds = usage.ru_utime + usage.ru_stime
                self.peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else KIBIBYTE)
        return self.code is not None

    def signal_group(self, name: signal.Signals) -> None:
        """Send a signal to it and all its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, name)


class Reaper:
    """The process that ends this process's tools when this process dies."""

    def __init__(self) -> None:
        self.token = uuid.uuid4().hex
        self.running: set[Tool] = set()
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("reaper.py")), f"{OWNER}={self.token}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, tool: Tool) -> None:
        """Take a tool's process group into care."""
        self.running.add(tool)
        self._tell(f"+{tool.process.pid}\n")

    def forget(self, tool: Tool) -> None:
        """The tool has ended."""
        self.running.discard(tool)
        self._tell(f"-{tool.process.pid}\n")

    def _tell(self, line: str) -> None:
        pipe = self._watcher.stdin
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            os.write(pipe.fileno(), line.encode())


_lock = threading.Lock()
_reapers: dict[int, Reaper] = {}


def _reaper() -> Reaper:
    """The reaper of this process; a forked child makes its own."""
    with _lock:
        pid = os.getpid()
        if pid not in _reapers:
            _reapers.clear()
            _reapers[pid] = Reaper()
        return _reapers[pid]


def start(argv: Sequence[str], *, cwd: Path, stdin: Any, stdout: Any, stderr: Any) -> Tool:
    """Start one tool in a session of its own.

    Raises
    ------
    ToolMissing
        There is no such program on PATH.
    """
    reaper = _reaper()
    temporary = cwd / "tmp"
    temporary.mkdir(exist_ok=True)
    env = environment() | {OWNER: reaper.token, "TMPDIR": str(temporary)}
    try:
        process = subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
    except (FileNotFoundError, PermissionError) as error:
        raise ToolMissing(f"cannot start {argv[0]!r}: {error.strerror}; is it installed and on PATH?") from None
    tool = Tool(process)
    reaper.watch(tool)
    return tool


def wait(tools: Sequence[Tool], cancelled: Callable[[], bool]) -> bool:
    """Wait until all have ended well, one has failed, or the call is cancelled.

    Returns
    -------
    bool
        False where the call was cancelled.
    """
    pending = [tool for tool in tools if not tool.poll()]
    while pending:
        _sleep(pending, POLL)
        pending = [tool for tool in pending if not tool.poll()]
        if any(tool.code for tool in tools):
            # The other stages of a broken pipe end by themselves: their own last words tell more than a signal.
            _settle(pending)
            return True
        if pending and cancelled():
            return False
    return True


def _settle(pending: Sequence[Tool]) -> None:
    deadline = time.monotonic() + GRACE
    while (left := [tool for tool in pending if not tool.poll()]) and time.monotonic() < deadline:
        _sleep(left, deadline - time.monotonic())


def _sleep(pending: Sequence[Tool], seconds: float) -> None:
    """Sleep until one of `pending` ends, or the time is over."""
    if not hasattr(os, "pidfd_open"):
        time.sleep(min(seconds, 0.02))
        return
    with contextlib.ExitStack() as stack:
        descriptors = [os.pidfd_open(tool.process.pid) for tool in pending]
        for descriptor in descriptors:
            stack.callback(os.close, descriptor)
        poller = select.poll()
        for descriptor in descriptors:
            poller.register(descriptor, select.POLLIN)
        poller.poll(max(1, int(seconds * 1000)))


def end(tools: Sequence[Tool]) -> None:
    """End the tools with all their children, and collect them."""
    running = [tool for tool in tools if not tool.poll()]
    for tool in running:
        tool.signal_group(signal.SIGTERM)
    _settle(running)
    for tool in tools:
        # Also where the tool has ended: children that it left behind are still in its group.
        tool.signal_group(signal.SIGKILL)
    while left := [tool for tool in tools if not tool.poll()]:
        _sleep(left, POLL)
    for tool in tools:
        _reaper().forget(tool)


_interruptions = 0


def end_all() -> None:
    """End every tool that this process has running, and the calls that they belong to."""
    global _interruptions
    _interruptions += 1
    reaper = _reapers.get(os.getpid())
    for tool in tuple(reaper.running) if reaper else ():
        tool.signal_group(signal.SIGKILL)


def interruption() -> Callable[[], bool]:
    """Return a function that tells whether `end_all` was called since now."""
    before = _interruptions
    return lambda: _interruptions != before
