"""Start command-line tools so that none outlives its call."""

from __future__ import annotations

import atexit
import contextlib
import errno
import itertools
import math
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

from stargazer import config
from stargazer.errors import ToolError, ToolMissing
from stargazer.tools.ending import interrupt
from stargazer.tools.reaper import GOODBYE, kill_bearers
from stargazer.tools.started import OWNER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["OWNER", "Reaper", "Tool", "end", "end_all", "reaper", "running", "start", "wait"]

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL."""

POLL = 0.2
"""Seconds between two looks at whether the call was cancelled."""

KIBIBYTE = 1024


@dataclass(eq=False)
class Tool:
    """One running or ended tool.

    Parameters
    ----------
    process
        Its process, the first of a session of its own.
    token
        Marks the environment of all that it starts.
    code
        Exit code, negative for a signal; None while it runs.
    cpu_seconds
        Processor time of it and the children that it waited for.
    peak_bytes
        Largest resident memory of it or one of those children.
    ended
        When it was seen to have ended, in seconds; infinite where it had to be ended.
    """

    process: subprocess.Popen[bytes]
    token: str
    code: int | None = None
    ended: float = math.inf
    cpu_seconds: float = 0.0
    peak_bytes: int = 0

    def poll(self) -> bool:
        """Whether it has ended. It is not collected yet, so that no other process group can get its number."""
        if self.code is None:
            if hasattr(os, "waitid"):
                found = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if found is not None:
                    self.code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
            else:
                self.collect(os.WNOHANG)
            if self.code is not None:
                self.ended = time.monotonic()
        return self.code is not None

    def collect(self, options: int = 0) -> None:
        """Take its exit code and what it used from the system."""
        if self.process.returncode is None:
            pid, status, usage = os.wait4(self.process.pid, options)
            if pid:
                # Popen must not wait for a process that is already collected.
                self.code = self.process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_seconds = usage.ru_utime + usage.ru_stime
                self.peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else KIBIBYTE)

    def signal_group(self, name: signal.Signals) -> None:
        """Send a signal to it and all its children."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, name)


def start(
    argv: Sequence[str], *, cwd: Path, env: dict[str, str], stdin: Any, stdout: Any, stderr: Any, again: str = ""
) -> Tool:
    """Start one tool in a session of its own, with the environment that is given and no other.

    Parameters
    ----------
    argv, cwd, env, stdin, stdout, stderr
        As for `subprocess.Popen`.
    again
        What names of variables begin with that the tool hands on to what runs for it.

    Raises
    ------
    ToolMissing
        There is no such program on PATH, or none that can be started.
    ToolError
        Its arguments are more than the system allows.
    """
    keeper = reaper()
    token = keeper.new_token()
    temporary = cwd / "tmp"
    temporary.mkdir(exist_ok=True)
    given = {OWNER: token, "TMPDIR": str(temporary)}
    env = env | given | ({f"{again}{name}": value for name, value in given.items()} if again else {})
    try:
        process = subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
    except OSError as error:
        if error.errno == errno.E2BIG:
            size = sum(len(os.fsencode(each)) for each in argv)
            told = f"its {len(argv) - 1:,} arguments are {size:,} bytes, more than the system starts a program with"
            raise ToolError(f"cannot start {argv[0]!r}: {told}; write them to a file that it reads") from None
        raise ToolMissing(f"cannot start {argv[0]!r}: {error.strerror}; is it installed and on PATH?") from None
    tool = Tool(process, token)
    keeper.watch(tool)
    return tool


def wait(tools: Sequence[Tool], cancelled: Callable[[], bool], watch: Callable[[], None] = lambda: None) -> bool:
    """Wait until all have ended well, one has failed, or the call is cancelled.

    Parameters
    ----------
    tools
        That were started.
    cancelled
        Asked now and then.
    watch
        Called now and then; what it raises ends the waiting.

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
        if pending:
            watch()
    return True


def _settle(pending: Sequence[Tool]) -> None:
    deadline = time.monotonic() + GRACE
    while (left := [tool for tool in pending if not tool.poll()]) and time.monotonic() < deadline:
        _sleep(left, deadline - time.monotonic())


def _sleep(pending: Sequence[Tool], seconds: float) -> None:
    """Sleep until one of `pending` ends, or the time is over."""
    if not hasattr(os, "pidfd_open"):
        time.sleep(max(0.0, min(seconds, 0.02)))
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
    """End the tools with all that they started, and collect them."""
    left = [tool for tool in tools if not tool.poll()]
    for tool in left:
        tool.signal_group(signal.SIGTERM)
    _settle(left)
    for tool in left:
        tool.ended = math.inf
    for tool in tools:
        # Also where the tool has ended: children that it left behind are still in its group.
        tool.signal_group(signal.SIGKILL)
        if tool in left or tool.code != 0:
            # And those that left its group. Where all went well, daemons are let be: looking for them costs too much.
            kill_bearers(f"{OWNER}={tool.token}\0".encode())
    for tool in tools:
        tool.collect()
        reaper().forget(tool)


def end_all() -> None:
    """End every tool that this process has running, and the calls that they belong to."""
    interrupt()
    for tool in running():
        tool.signal_group(signal.SIGKILL)


# What this process owns: the tools that it runs, and the reaper that ends them when it dies.


class Reaper:
    """The process that ends this process's tools when this process dies."""

    def __init__(self) -> None:
        self.running: set[Tool] = set()
        self._token, self._serial = uuid.uuid4().hex, itertools.count()
        script = str(Path(__file__).with_name("reaper.py"))
        # Where this process is a tool itself, who ends it ends all that bear its mark; not what ends our tools.
        env = {name: value for name, value in config.user_environment({}).items() if not name.endswith(OWNER)}
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", script, f"{OWNER}={self._token}", str(os.getpid())],
            cwd="/",
            env=env,
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
