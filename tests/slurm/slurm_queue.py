"""The batch system as a user sees it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["Queue", "until"]


class Queue:
    """What runs, and how to take it away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._squeue, self._scancel = (str(shutil.which(name)) for name in ("squeue", "scancel"))
        self.options = {"cpus": 1, "memory": "500 MB", "walltime": "10 min", "shared": str(folder), "interface": "lo"}

    def running(self) -> list[str]:
        """Numbers of what runs or waits; SLURM also lists what was cancelled and is being cleared away."""
        command = [self._squeue, "--noheader", "--array", "--format=%i|%T"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()
        return [number for number, _, state in (each.partition("|") for each in told) if state != "COMPLETING"]

    def cancel(self, number: str) -> None:
        """Take a worker away."""
        subprocess.run([self._scancel, number], timeout=60, check=True)

    def clear(self) -> None:
        """Take away all that runs or waits."""
        if numbers := self.running():
            subprocess.run([self._scancel, *numbers], timeout=60, check=True)
            until(lambda: not self.running())


def until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)
