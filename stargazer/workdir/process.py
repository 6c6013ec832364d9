"""Start command-line tools so that none outlives its call."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from stargazer.config import environment
from stargazer.errors import ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["end", "end_all", "read_output", "start", "wait"]

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL."""

POLL = 0.2
"""Seconds between two looks at whether the call was cancelled."""

OWNER = "STARGAZER_OWNER"


class Reaper:
    """The process that ends this process's tools when this process dies.

    Parameters
    ----------
    owner
        Process id of the process it watches; a forked child makes its own.
    """

    def __init__(self, owner: int) -> None:
        self.owner, self.token = owner, uuid.uuid4().hex
        self.running: set[subprocess.Popen[bytes]] = set()
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("reaper.py")), f"{OWNER}={self.token}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """Take a tool's process group into care."""
        self.running.add(process)
        self._tell(f"+{process.pid}\n")

    def forget(self, process: subprocess.Popen[bytes]) -> None:
        """The tool has ended."""
        self.running.discard(process)
        self._tell(f"-{process.pid}\n")

    def _tell(self, line: str) -> None:
        pipe = self._watcher.stdin
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            os.write(pipe.fileno(), line.encode())


_lock = threading.Lock()
_reapers: dict[int, Reaper] = {}


def _reaper() -> Reaper:
    with _lock:
        pid = os.getpid()
        if pid not in _reapers:
            _reapers.clear()
            _reapers[pid] = Reaper(pid)
        return _reapers[pid]


def start(argv: Sequence[str], *, cwd: Path, stdin: Any, stdout: Any, stderr: Any) -> subprocess.Popen[bytes]:
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
    reaper.watch(process)
    return process


def wait(processes: Sequence[subprocess.Popen[bytes]], cancelled: Callable[[], bool]) -> bool:
    """Wait until all have ended well, one has failed, or the call is cancelled.

    Returns
    -------
    bool
        False where the call was cancelled.
    """
    pending = list(processes)
    while pending:
        with contextlib.suppress(subprocess.TimeoutExpired):
            pending[0].wait(POLL)
        pending = [process for process in pending if process.poll() is None]
        if pending and cancelled():
            return False
        if any(process.poll() for process in processes):
            _settle(pending)
            return True
    return True


def _settle(pending: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let the other stages of a broken pipe end by themselves: their own last words tell more than a signal."""
    deadline = time.monotonic() + GRACE
    for process in pending:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End the tools with all their children, and collect them."""
    for name in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            if name is signal.SIGKILL or process.poll() is None:
                _signal_group(process, name)
        _settle(processes)
    for process in processes:
        _reaper().forget(process)


def _signal_group(process: subprocess.Popen[bytes], name: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, name)


def end_all() -> None:
    """End every tool that this process has running."""
    reaper = _reapers.get(os.getpid())
    if reaper is not None:
        end(tuple(reaper.running))


def read_output(argv: Sequence[str], cwd: Path, log: IO[bytes]) -> tuple[int, bytes]:
    """Run a short command and return its exit code and stdout; stderr goes to `log`."""
    process = start(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
    try:
        text, _ = process.communicate()
    finally:
        end([process])
    return process.returncode, text
