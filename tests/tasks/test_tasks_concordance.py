from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pysam
import pytest

import stargazer as sg
from stargazer.bio.simulate import Cohort, simulate_cohort
from stargazer.bio.simulate.genome import read_fasta
from stargazer.tasks.general import compare_variants


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Two samples and their truth; no reads."""
    return simulate_cohort(tmp_path_factory.mktemp("cohort"), samples=["s", "t"], depth=0, length=21_000)


def calls_of(cohort: Cohort, path: Path) -> Path:
    """The truth without its third record, and with one that is wrong."""
    lines = cohort.truth.read_text().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    sequence = read_fasta(cohort.reference)["chr1"]
    last = max(int(line.split("\t")[1]) for line in lines[first:] if line.startswith("chr1\t"))
    base = sequence[last + 99]
    wrong = f"chr1\t{last + 100}\t.\t{base}\t{'A' if base != 'A' else 'C'}\t.\tPASS\t.\tGT\t0|1\t0|0\n"
    end = max(number for number, line in enumerate(lines) if line.startswith("chr1\t")) + 1
    path.write_text("".join([*lines[: first + 2], *lines[first + 3 : end], wrong, *lines[end:]]))
    return path


def test_a_table_and_a_list_of_what_differs(cohort: Cohort, new_work, tmp_path: Path) -> None:
    truth = sg.Variants(path=cohort.truth, sample_id="cohort")
    calls = sg.Variants(path=calls_of(cohort, tmp_path / "calls.vcf"), sample_id="cohort")
    made = compare_variants.body(new_work(), sg.Reference(path=cohort.reference), truth, calls)
    rows = made.rows()
    assert [(row["sample"], row["type"]) for row in rows] == [
        (sample, kind) for sample in (".", "s", "t") for kind in ("SNV", "INDEL", "ALL")
    ]
    everything = rows[2]
    carriers = sum(int(row["missed"]) for row in (rows[5], rows[8]))
    assert (everything["wrong"], int(everything["missed"])) == ("1", carriers)
    assert carriers in (1, 2)
    assert float(rows[5]["precision"]) < 1 == float(rows[8]["precision"])
    [differences] = made.companions
    assert len(differences.path.read_text().splitlines()) == 2 + carriers
    assert made.snv_f1 == float(rows[0]["f1"]) < 1
    assert "<td" in made._repr_html_()
    assert "genotype concordance" in made._repr_html_()


def test_regions_and_indices_are_optional(cohort: Cohort, new_work, tmp_path: Path) -> None:
    bed = tmp_path / "confident.bed"
    bed.write_text("chr1\t0\t14500\n")
    truth = sg.Variants(path=cohort.truth)
    single = sg.Reference(path=cohort.reference)
    whole = compare_variants.body(new_work(), single, truth, truth)
    within = compare_variants.body(new_work(), single, truth, truth, sg.Asset(path=bed))
    assert 0 < int(within.rows()[2]["found"]) < int(whole.rows()[2]["found"])
    assert (within.snv_precision, within.indel_recall, within.genotype_concordance) == (1, 1, 1)
    work = new_work()
    pysam.faidx(str(cohort.reference), "--fai-idx", str(work.file("reference.fa.fai")))
    index = sg.ReferenceIndex(path=work.file("reference.fa.fai"))
    indexed = compare_variants.body(new_work(), replace(single, companions=(index,)), truth, truth)
    assert indexed.path.read_bytes() == whole.path.read_bytes()


def test_stored_and_known(cohort: Cohort, store: sg.Store) -> None:
    reference = store.add(cohort.reference, sg.Reference(build="sim"))
    truth = store.add(cohort.truth, sg.Variants(sample_id="cohort"))
    made = compare_variants(reference, truth, truth).compute()
    assert (made.truth_cid, made.calls_cid, made.name) == (truth.cid, truth.cid, "truth.comparison.tsv")
    assert compare_variants(reference, truth, truth).known() == (made,)
    assert made.open("r").readline().startswith("sample\ttype\t")
    assert "<td" in made._repr_html_()
