"""Sample sheets for GATK, and GATK's own measures of quality, which MultiQC reads."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.bio.simulate import simulate_cohort
from stargazer.tasks import gatk as tasks
from stargazer.tasks.general import coverage
from stargazer.workflows import GatkOptions, call_sheet, report_sheet


@pytest.fixture
def sheet(tmp_path: Path, store: sg.Store) -> Path:
    """A sheet of two samples, the sex of one of them known; the reference is in the store."""
    folder = tmp_path / "cohort"
    simulate_cohort(folder, samples=["s1", "s2"], depth=1, length=6_000)
    store.add(folder / "reference.fa", sg.Reference(build="sim"))
    rows = [f"{name},{name}_R1.fastq.gz,{name}_R2.fastq.gz,{sex}" for name, sex in (("s1", "XY"), ("s2", ""))]
    (folder / "samples.csv").write_text("\n".join(["sample,fastq_1,fastq_2,sex", *rows]) + "\n")
    return folder / "samples.csv"


def to_run(call: sg.Call) -> Counter[str]:
    return Counter(planned.call.name for planned in sg.plan(call).to_run)


def test_sexes_and_known_sites_reach_gatk(sheet: Path, store: sg.Store, gatk: Path, tool: Callable[[str], str]) -> None:
    for name in ("bwa", "samtools", "bcftools"):
        tool(name)
    ran = to_run(call_sheet(str(sheet), "sim", engine="gatk"))
    assert (ran["ploidy_of_sex"], ran["haplotype_caller"], ran["apply_bqsr"]) == (1, 2, 0)
    options = GatkOptions(sexes={"s1": "", "s2": "XX"})
    assert to_run(call_sheet(str(sheet), "sim", engine="gatk", options=options))["ploidy_of_sex"] == 1
    store.add(sheet.parent / "truth.vcf", sg.KnownSites(build="sim", resource_name="known"))
    ran = to_run(call_sheet(str(sheet), "sim", engine="gatk"))
    assert (ran["apply_bqsr"], ran["base_recalibrator"]) == (2, 2)
    more = to_run(report_sheet(str(sheet), "sim", engine="gatk"))
    assert more - ran == Counter(
        samtools_stats=2, coverage=2, samtools_flagstat=2, samtools_idxstats=2, bcftools_stats=1, qc_report=1
    )


@pytest.mark.slow
def test_multiqc_reads_what_gatk_measures(tp53, new_work, tmp_path: Path, tool: Callable[[str], str]) -> None:
    multiqc = tool("multiqc")
    bam = tp53.bam("markdup", sorted="coordinate")
    wgs = tasks.collect_wgs_metrics.body(new_work(), bam, tp53.reference)
    assert str(tmp_path) not in wgs.path.read_text()
    assert "Started on" not in wgs.path.read_text()
    # Picard leaves out overlaps of mates and bases of low quality, samtools does not.
    assert 0.6 < wgs.mean_coverage / coverage.body(new_work(), bam).mean_depth < 1
    assert 0.9 < wgs.breadth_20x <= 1
    marked = tasks.mark_duplicates.body(new_work(), tp53.bam("merged", sorted="coordinate")).metrics
    table = tasks.base_recalibrator.body(new_work(), bam, tp53.reference, [tp53.known])
    (tmp_path / "qc").mkdir()
    for made in (wgs, marked, table):
        shutil.copy(made.path, tmp_path / "qc")
    command = [multiqc, "--quiet", "--no-version-check", "--outdir", "out", "qc"]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=300, capture_output=True)
    read = json.loads((tmp_path / "out" / "multiqc_data" / "multiqc_data.json").read_text())["report_data_sources"]
    sections = {section for module in read.values() for section in module}
    assert {"DuplicationMetrics", "WgsMetrics", "base_recalibrator"} <= sections, read
    samples = {sample for module in read.values() for found in module.values() for sample in found}
    assert samples == {"NA12829"}
