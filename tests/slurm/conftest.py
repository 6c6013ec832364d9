"""One SLURM for all tests of this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from machine import PROGRAMS, slurm

from stargazer import config


@pytest.fixture(scope="session")
def nodes() -> Iterator[dict[str, str]]:
    """Three nodes of two processors."""
    pytest.importorskip("dask_jobqueue")
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing and "slurm" in config.required_tools():
        pytest.fail(f"{', '.join(missing)} not on PATH, but STARGAZER_REQUIRE_TOOLS names slurm")
    if missing:
        pytest.skip(f"{', '.join(missing)} not on PATH: apt-get install slurmctld slurmd slurm-client munge")
    with slurm() as env:
        yield env


class Queue:
    """The batch system as a user sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options = {"cpus": 1, "memory": "500 MB", "walltime": "10 min", "shared": str(folder), "interface": "lo"}

    def running(self) -> list[str]:
        """Numbers of what runs or waits."""
        command = ["squeue", "--noheader", "--format=%i"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()

    def cancel(self, number: str) -> None:
        """Take a worker away."""
        subprocess.run(["scancel", number], timeout=60, check=True)


@pytest.fixture
def queue(nodes: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """An empty queue, whose workers can import the tasks of these tests."""
    for name, value in nodes.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    made = Queue(tmp_path / "shared")
    yield made
    until(lambda: made.running() == [])


def until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)
