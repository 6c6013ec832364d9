"""Projects drawn at random, in one command and by hand: the same variants, or it is said why not."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path
from typing import Any

import pytest
from small_projects import Project, Written, call_by_hand, draw_project, write_project

import stargazer as sg
from stargazer.bio.simulate.genome import read_fasta
from stargazer.bio.variants import compare
from stargazer.errors import ToolMissing
from stargazer.tools.identity import locate_tool
from stargazer.workflows import CohortOptions, GatkOptions, ReadOptions, germline
from stargazer.workflows.folder import Results


def records(vcf: Path, engine: str) -> list[list[str]]:
    """Lines of a VCF; GATK jitters QD by a generator whose state depends on the parts, so INFO does not count."""
    with gzip.open(vcf, "rt") as lines:
        fields = [line.rstrip("\n").split("\t") for line in lines if not line.startswith("#")]
    return [[*one[:7], *one[8:]] for one in fields] if engine == "gatk" else fields


def genotypes(found: list[list[str]]) -> set[tuple[str, ...]]:
    """SNVs and indels with the genotypes of all samples."""
    return {(*one[:2], *one[3:5], *(field.partition(":")[0] for field in one[9:])) for one in found}


def called(made: Written, out: Path, engine: str) -> Results:
    project = made.project
    gatk = GatkOptions(ploidy=project.ploidy) if engine == "gatk" else None
    sites: Any = [f"dbsnp={made.known}"] if project.known and engine == "gatk" else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return germline(
            made.sheet,
            made.cohort.reference,
            out,
            target=made.target if project.target else None,
            engine=engine,  # type: ignore[arg-type]
            known_sites=sites,
            gatk=gatk,
            reads=ReadOptions(trim=project.trim, aligner=project.aligner),  # type: ignore[arg-type]
            options=CohortOptions(cram=False),
        )


def wrong(project: Project, folder: Path, jar: str) -> list[str]:
    """What of a project is not as it should be."""
    made = write_project(project, folder)
    ours = called(made, folder / "out", project.engine)
    assert ours.vcf is not None
    found, expected = (records(one, project.engine) for one in (ours.vcf.fetch(), call_by_hand(made, jar)))
    problems = []
    if found != expected:
        extra = [one for one in found if one not in expected][:3]
        lacking = [one for one in expected if one not in found][:3]
        problems.append(f"{len(found)} records, by hand {len(expected)}; ours alone {extra}; by hand alone {lacking}")
    if ours.samples != tuple(project.lanes):
        problems.append(f"samples {ours.samples}")
    if project.control is not ("control" in ours.left_out):
        problems.append(f"left out: {dict(ours.left_out)}")
    for name, lanes in project.lanes.items():
        if any(lane.empty for lane in lanes) and not any("lane" in mark for mark in ours.marks.get(name, ())):
            problems.append(f"a lane of {name} failed, and its marks are {ours.marks.get(name)}")
    other = {"embedded": "native", "native": "embedded"}.get(project.engine)
    if other is not None:
        again = called(made, folder / "other", other)
        assert again.vcf is not None
        # Versions differ, above all in how they look for indels: nearly all genotypes must be the same.
        ours_alone, theirs = genotypes(found), genotypes(records(again.vcf.fetch(), other))
        if len(ours_alone ^ theirs) > 0.1 * len(ours_alone | theirs) + 2:
            problems.append(f"{other} calls other variants: {sorted(ours_alone ^ theirs)[:6]}")
    # Whatever called them: what is there is found.
    if not project.target and project.ploidy == 2 and project.depth > 10 and project.whole:
        truth = compare(read_fasta(made.cohort.reference), made.cohort.truth, ours.vcf.fetch())
        if truth.snv.f1 < 0.75:
            problems.append(f"SNVs beside the truth: {truth.snv}")
    return problems


@pytest.fixture(autouse=True)
def no_multiqc(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than all the rest, and calls nothing."""
    monkeypatch.setattr("stargazer.workflows.folder._multiqc", lambda out: [])


@pytest.mark.slow
def test_projects_at_random_are_called_as_by_hand(
    tool: Any, store: sg.Store, tmp_path: Path, short: bool, seeds: Any
) -> None:
    for name in ("bwa", "samtools", "bcftools", "fastp"):
        tool(name)
    jar = _located("gatk")
    with_gatk = jar.endswith(".jar") and not short  # GATK by hand takes a minute
    drawn = [
        draw_project(number, with_gatk=with_gatk, with_mem2=bool(_located("bwa-mem2")))
        for number in seeds(range(3), range(200))
    ]
    told = {str(one): wrong(one, tmp_path / str(one.number), jar) for one in drawn}
    assert not {name: problems for name, problems in told.items() if problems}


def _located(name: str) -> str:
    try:
        return locate_tool(name)
    except ToolMissing:
        return ""
