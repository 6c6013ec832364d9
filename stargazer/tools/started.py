"""Programs that a body started by itself, past `work.run`: they end with it."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time

from stargazer.tools.memory import children_of, family

__all__ = ["OWNER", "end_programs"]

OWNER = "STARGAZER_OWNER"
"""Variable that marks tools, which end otherwise."""

CLOCK = 0.05
"""Seconds by which the system's clock of processes may be wrong."""


def end_programs(thread: int, seconds: float, *, kill: bool) -> None:
    """End what a thread of this process started by itself, with all that these started.

    Parameters
    ----------
    thread
        Its identifier in Python.
    seconds
        What was started longer ago is none of the body's that the thread runs.
    kill
        Whether they were asked before.
    """
    native = next((each.native_id for each in threading.enumerate() if each.ident == thread), None)
    if native is None:
        return
    begun = [pid for pid in children_of(os.getpid(), native) if _age(pid) < seconds + CLOCK and not _is_tool(pid)]
    for pid in list(family(begun)):  # found before one ends: nobody knows what the dead have started
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)


def _age(pid: int) -> float:
    """Seconds since a process was started."""
    try:
        begun = int(_told(pid, "stat").rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return math.inf
    return time.clock_gettime(time.CLOCK_BOOTTIME) - begun


def _is_tool(pid: int) -> bool:
    """Whether the engine started it: a tool, or what ends tools when this process dies."""
    try:
        return _owner(pid) != _owner(os.getpid()) or f"{OWNER}=".encode() in _told(pid, "cmdline")
    except OSError:
        return False


def _owner(pid: int) -> list[bytes]:
    """Whose tool a process is; this one may be another's."""
    return [each for each in _told(pid, "environ").split(b"\0") if each.startswith(f"{OWNER}=".encode())]


def _told(pid: int, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read()
