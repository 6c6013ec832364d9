"""What workers within one job of SLURM are offered."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from stargazer.client import allocation
from stargazer.client.capacity import offered as offered_before
from stargazer.client.jobqueue import RESERVED
from stargazer.errors import ConfigError
from stargazer.profiles.profile import DriverJob, Profile, Range

GIB = 1 << 30


def offered(monkeypatch: pytest.MonkeyPatch, cpus: str, memory: int | None = None, **said: str) -> tuple[int, int]:
    """How many workers of two processors, and what memory each offers, in a job of which SLURM says that."""
    for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"JOB_ID": "7", "JOB_CPUS_PER_NODE": cpus, **said}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    found: list[tuple[int, int]] = []

    class Enough(Exception):
        """What is asked for is known."""

    def cluster(profile: Profile, number: int, cpus: int, memory: int, each: dict[str, float]) -> None:
        assert each.get("memory", 0) == memory
        found.append((number, memory))
        raise Enough

    monkeypatch.setattr(allocation, "_cluster", cluster)
    workers = Range(2, 2) if cpus == "4" else None
    with pytest.raises(Enough):
        allocation.allocation_client(Profile("whole", "allocation", cpus=2, memory=memory, workers=workers))
    return found[0]


def test_memory_that_driver_workers_and_nannies_take_is_offered_to_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    number, memory = offered(monkeypatch, "4(x3)", MEM_PER_NODE="4096")
    assert (number, memory) == (6, (4 * GIB - RESERVED) // 2 - RESERVED)
    assert number // 3 * (memory + RESERVED) + RESERVED <= 4 * GIB
    assert offered(monkeypatch, "4", memory=GIB, MEM_PER_NODE="4096") == (2, GIB)
    assert offered(monkeypatch, "4", MEM_PER_CPU="1024") == (2, (4 * GIB - RESERVED) // 2 - RESERVED)
    assert offered(monkeypatch, "4") == (2, 0)  # where SLURM counts no memory, nobody is ended for it


def test_the_largest_node_has_room_for_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three nodes of one worker and one of four: none of the four may take a share of a smaller number."""
    number, memory = offered(monkeypatch, "2(x3),8", MEM_PER_NODE="4096")
    assert number == 7
    assert 4 * (memory + RESERVED) + RESERVED <= 4 * GIB


def test_a_node_without_room_leaves_its_worker_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    number, memory = offered(monkeypatch, "8,1", MEM_PER_NODE="4096")
    assert number == 4
    assert 4 * (memory + RESERVED) + RESERVED <= 4 * GIB


def test_more_memory_than_the_job_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for memory, room in ((3 * GIB, "4096"), (None, "300")):
        with pytest.raises(ConfigError, match="themselves, which leaves"):
            offered(monkeypatch, "4", memory, MEM_PER_NODE=room)


def test_needs_are_compared_with_the_job_before_it_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    profile = Profile("whole", "allocation", cpus=2, shared=str(tmp_path), driver=DriverJob(4, 4 * GIB, 60.0))
    capacity = offered_before([profile])
    assert capacity is not None
    assert capacity.largest == {"cpus": 2.0, "memory": float(4 * GIB - RESERVED)}
    assert capacity.walltime == 60.0
    unknown = replace(profile, driver=profile.driver._replace(directives=("--mem-per-cpu=4G",)))
    assert offered_before([unknown]).largest["memory"] == math.inf  # type: ignore[union-attr]


def test_a_driver_that_starts_within_a_job_has_what_that_job_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The profile says what a job of its own would have: a call for 30 GiB may well run below ``salloc --mem=0``."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    profile = Profile("whole", "allocation", cpus=2, shared=str(tmp_path), driver=DriverJob(4, 4 * GIB, 60.0))
    capacity = offered_before([profile])
    assert capacity is not None
    assert (capacity.largest, capacity.walltime) == ({"cpus": 2.0, "memory": math.inf}, None)
