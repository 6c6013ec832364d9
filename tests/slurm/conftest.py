"""One SLURM for all tests of this folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import Faults
from machine import PROGRAMS, slurm
from slurm_queue import Queue, until

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


@pytest.fixture
def queue(nodes: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """An empty queue, whose workers can import the tasks of these tests."""
    for name, value in nodes.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    made = Queue(tmp_path / "shared")
    yield made
    try:
        until(lambda: made.running() == [])
    finally:
        made.clear()  # what one test left behind is no other's


@pytest.fixture
def faults(queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faults:
    """The commands of the queue, to be disturbed; what would be waited for half a minute is waited for some seconds."""
    made = Faults(tmp_path / "commands")
    monkeypatch.setenv("PATH", str(made.folder), prepend=os.pathsep)
    monkeypatch.setattr("stargazer.client.systems.SUBMITTED_WITHIN", 4.0)
    monkeypatch.setattr("stargazer.client.systems.TOLD_WITHIN", 2.0)
    return made
