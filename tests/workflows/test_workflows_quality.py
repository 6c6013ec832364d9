from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.bio.simulate import simulate_cohort
from stargazer.workflows import call_sheet, report_sheet

SAMPLES = ("s1", "s2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small cohort and its sheet."""
    folder = tmp_path_factory.mktemp("cohort")
    simulate_cohort(folder, samples=SAMPLES, depth=6, length=21_000)
    rows = "".join(f"{sample},{sample}_R1.fastq.gz,{sample}_R2.fastq.gz\n" for sample in SAMPLES)
    (folder / "samples.csv").write_text(f"sample,fastq_1,fastq_2\n{rows}")
    return folder


@pytest.fixture(scope="module")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[sg.Store, sg.QCReport]:
    with sg.Store(str(tmp_path_factory.mktemp("report") / "store")) as store:
        store.add(folder / "reference.fa", sg.Reference(build="sim"))
        return store, report_sheet(str(folder / "samples.csv"), "sim", "pair").compute()


def test_the_report_has_all_measures_beside_it(report, folder: Path) -> None:
    store, made = report
    place = made.fetch().parent
    kinds = (
        *("aligned.coverage.tsv", "flagstat.txt", "idxstats.txt", "markdup.metrics.txt", "stats.txt"),
        "read_groups.tsv",
    )
    expected = {f"{sample}.{kind}" for sample in SAMPLES for kind in kinds}
    assert {path.name for path in place.iterdir()} == expected | {
        *("pair.bcftools_stats.txt", "pair.qc.html", "pair.marks.json")
    }
    assert made.source_samples == SAMPLES
    with store:
        # The variants in the report are those of the workflow: nothing is left to be done for them.
        assert call_sheet(str(folder / "samples.csv"), "sim", "pair").known()


def test_multiqc_reads_every_file(report, tmp_path: Path, tool: Callable[[str], str]) -> None:
    multiqc = tool("multiqc")
    shutil.copytree(report[1].fetch().parent, tmp_path / "qc")
    command = [multiqc, "--quiet", "--no-version-check", "--outdir", "out", "qc"]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=300, capture_output=True)
    data = json.loads((tmp_path / "out" / "multiqc_data" / "multiqc_data.json").read_text())
    read = {
        f"{module} {section}": set(samples)
        for module, sections in data["report_data_sources"].items()
        for section, samples in sections.items()
    }
    both = set(SAMPLES)
    assert read == {
        "Bcftools stats": {"pair"},
        "Picard DuplicationMetrics": both,
        "Samtools coverage": both,
        "Samtools flagstat": both,
        "Samtools idxstats": both,
        "Samtools stats": both,
    }
