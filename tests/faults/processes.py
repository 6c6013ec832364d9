"""What runs on this machine, and whose it is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["MARK", "PASSED", "Marked", "until"]

MARK = "STARGAZER_TEST_FOLDER"
"""A variable in the environment of all that a test starts, and of all that this starts."""


PASSED = {"DASK_STARGAZER__ENV": repr([MARK])}
"""Lets tools have it as well, beside the few that all get."""


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


class Marked:
    """The living processes that were started for a folder, however far removed."""

    def __init__(self, folder: Path) -> None:
        self._mark = f"{MARK}={folder}\0".encode()

    def shown(self) -> list[str]:
        """Their command lines, for messages."""
        return [_read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode() for pid in self.all()]

    def gone(self, seconds: float, which: Callable[[], set[int]] | None = None) -> bool:
        """Whether none is left, or will be soon."""
        deadline = time.monotonic() + seconds
        while (which or self.all)():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def all(self) -> set[int]:
        """Numbers of all."""
        return {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._mark in _environment(pid)}

    def tools(self) -> set[int]:
        """Those that bodies started, and all that came of them."""
        return {pid for pid in self.all() if b"\0STARGAZER_OWNER=" in _environment(pid)}

    def named(self, part: bytes) -> set[int]:
        """Those with this in their command line, tools apart."""
        return {pid for pid in self.all() - self.tools() if part in _read(f"/proc/{pid}/cmdline")}

    @staticmethod
    def command(pid: int) -> bytes:
        """Command line of a process."""
        return _read(f"/proc/{pid}/cmdline")

    def workers(self) -> set[int]:
        """Worker processes of Dask."""
        return self.named(b"spawn_main")


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _environment(pid: int) -> bytes:
    is_dead = b"State:\tZ" in _read(f"/proc/{pid}/status")
    return b"" if is_dead else b"\0" + _read(f"/proc/{pid}/environ") + b"\0"
