"""A small simulated sample and the bodies of tasks, run without a store."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from stargazer.assets import R1, R2, Alignment, Reference
from stargazer.bio.simulate import simulate_cohort
from stargazer.tasks.general import (
    bwa_index,
    bwa_mem,
    create_sequence_dictionary,
    mark_duplicates,
    samtools_faidx,
)
from stargazer.tools import Workdir

NewWork = Callable[..., Workdir]


class Sample(NamedTuple):
    reference: Reference
    r1: R1
    r2: R2


def work_factory(parent: Path) -> NewWork:
    numbers = itertools.count()

    def new_work(cpus: int = 1) -> Workdir:
        path = parent / f"work{next(numbers)}"
        path.mkdir()
        return Workdir(path, cpus=cpus)

    return new_work


def indexed(fasta: Path, new_work: NewWork) -> Reference:
    bare = Reference(path=fasta, build="sim")
    tasks = (samtools_faidx, create_sequence_dictionary, bwa_index)
    return replace(bare, companions=tuple(task.body(new_work(), bare) for task in tasks))


@pytest.fixture
def new_work(tmp_path: Path) -> NewWork:
    """Makes work directories, one for each body that runs."""
    return work_factory(tmp_path)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Sample ``s`` at 12x on 30 kb, and its reference with all indices."""
    folder = tmp_path_factory.mktemp("sample")
    cohort = simulate_cohort(folder, samples=["s"], depth=12, length=30_000)
    r1, r2 = cohort.reads["s"][0]
    reference = indexed(cohort.reference, work_factory(folder))
    return Sample(reference, R1(path=r1, sample_id="s"), R2(path=r2, sample_id="s"))


@pytest.fixture(scope="session")
def alignment(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Alignment:
    """The sample's reads, aligned."""
    return bwa_mem.body(work_factory(tmp_path_factory.mktemp("aligned"))(), sample.reference, sample.r1, sample.r2)


@pytest.fixture(scope="session")
def final(alignment: Alignment, tmp_path_factory: pytest.TempPathFactory) -> Alignment:
    """The sample's alignment, sorted, duplicates marked."""
    return mark_duplicates.body(work_factory(tmp_path_factory.mktemp("final"))(), [alignment]).alignment


@pytest.fixture
def index(new_work: NewWork) -> Callable[[Path], Reference]:
    """Makes a reference with all indices of a FASTA."""
    return lambda fasta: indexed(fasta, new_work)


@pytest.fixture(params=["embedded", "native"])
def engine(request: pytest.FixtureRequest, tool: Callable[[str], str]) -> str:
    """Both engines; the native one where its tools are there."""
    if request.param == "native":
        for name in ("bwa", "samtools", "bcftools"):
            tool(name)
    return str(request.param)
