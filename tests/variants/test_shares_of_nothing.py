"""Comparisons that compare nothing are no perfect ones."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pysam
import pytest
from small_vcfs import GENOME, write_vcf

import stargazer as sg
from stargazer.bio.variants import Regions, compare, read_bed
from stargazer.errors import DataError, DataWarning
from stargazer.tasks.general import compare_variants

TRUTH = ("5 A G 0/1", "d:4 T C 1/1")


def without_genotypes(path: Path) -> Path:
    """The same records with a depth in place of the genotype."""
    text = (
        path.read_text().replace("ID=GT", "ID=DP").replace("\tGT\t", "\tDP\t").replace("0/1", "30").replace("1/1", "30")
    )
    path.write_text(text)
    return path


@pytest.mark.parametrize("side", ["truth", "calls"])
def test_a_vcf_without_genotypes_is_refused(tmp_path: Path, side: str) -> None:
    paths = {name: write_vcf(tmp_path / f"{name}.vcf", *TRUTH) for name in ("truth", "calls")}
    without_genotypes(paths[side])
    with pytest.raises(DataError, match="no genotypes"):
        compare(GENOME, paths["truth"], paths["calls"])


@pytest.mark.parametrize("regions", [{"chrc": [(0, 70)]}, {"1": [(0, 5)], "2": [(1, 9)]}])
def test_regions_of_another_reference_are_refused(tmp_path: Path, regions: dict[str, list[tuple[int, int]]]) -> None:
    truth = write_vcf(tmp_path / "truth.vcf", *TRUTH)
    with pytest.raises(DataError, match="which the reference does not have"):
        compare(GENOME, truth, truth, regions=Regions(regions))


@pytest.mark.parametrize(
    ("records", "regions"),
    [((), None), (TRUTH, {"c": [(30, 40)]}), (("5 A G 0/0", "9 T <DEL> 0/1"), None), (("5 A G LowQual 0/1",), None)],
)
def test_an_empty_truth_is_refused(tmp_path: Path, records: tuple[str, ...], regions: dict | None) -> None:
    fasta, bed = tmp_path / "r.fa", tmp_path / "r.bed"
    fasta.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in GENOME.items()))
    bed.write_text(
        "".join(f"{name}\t{start}\t{end}\n" for name, spans in (regions or {}).items() for start, end in spans)
    )
    sides = (write_vcf(tmp_path / f"{n}.vcf", *r) for n, r in (("truth", records), ("calls", TRUTH)))
    truth, calls = (sg.Variants(path=path) for path in sides)
    work = tmp_path / "work"
    work.mkdir()
    where = sg.Intervals(path=bed) if regions else None
    with pytest.raises(DataError, match=r"truth\.vcf, the truth, has no variant"):
        compare_variants.body(sg.Workdir(work), sg.Reference(path=fasta), truth, calls, where)


def test_shares_of_nothing_are_no_numbers(store: sg.Store, tmp_path: Path) -> None:
    fasta = tmp_path / "r.fa"
    fasta.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in GENOME.items()))
    reference = store.add(fasta, sg.Reference(build="x"))
    truth = store.add(write_vcf(tmp_path / "truth.vcf", *TRUTH), sg.Variants(sample_id="t"))
    calls = store.add(write_vcf(tmp_path / "calls.vcf", "9 T <DEL> 0/1"), sg.Variants(sample_id="c"))
    with pytest.warns(DataWarning, match="0 of the truth and 1 of the calls"):
        made = compare_variants(reference, truth, calls).compute()
    assert math.isnan(made.snv_precision)
    assert (made.snv_recall, made.calls_symbolic) == (0.0, 1)
    assert made.rows()[0]["precision"] == "nan"
    facts = json.loads(json.dumps(made.to_dict(), allow_nan=False))["facts"]
    assert (facts["snv_precision"], facts["snv_recall"], facts["indel_f1"]) == (None, 0.0, None)
    [record] = sg.trace(made).records
    assert any("symbolic" in note for note in record.noted)
    again = compare_variants(reference, truth, calls).compute()
    assert again == made
    assert store.get(made.id) == made
    assert store.assemble(asset="variant_comparison")[0].id == made.id


def test_regions_of_contigs_that_are_not_there_are_told(store: sg.Store, tmp_path: Path) -> None:
    fasta, bed = tmp_path / "r.fa", tmp_path / "r.bed"
    fasta.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in GENOME.items()))
    bed.write_text("c\t0\t70\nchrUn\t0\t9\n")
    assert read_bed(bed).contigs == ("c", "chrUn")
    pysam.faidx(str(fasta))
    reference = store.add(fasta, sg.Reference(build="x"))
    vcf = store.add(write_vcf(tmp_path / "t.vcf", *TRUTH), sg.Variants(sample_id="t"))
    with pytest.warns(DataWarning, match="chrUn"):
        made = compare_variants(reference, vcf, vcf, store.add(bed, sg.Intervals())).compute()
    assert made.snv_f1 == 1.0


def test_regions_of_another_build_and_records_that_stand_twice_are_told(store: sg.Store, tmp_path: Path) -> None:
    fasta, bed = tmp_path / "r.fa", tmp_path / "r.bed"
    fasta.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in GENOME.items()))
    bed.write_text("c\t0\t700\nd\t0\t12\n")
    reference = store.add(fasta, sg.Reference(build="x"))
    truth = store.add(write_vcf(tmp_path / "t.vcf", *TRUTH), sg.Variants(sample_id="t"))
    calls = store.add(write_vcf(tmp_path / "c.vcf", TRUTH[0], *TRUTH), sg.Variants(sample_id="c"))
    with pytest.warns(DataWarning) as told:
        compare_variants(reference, truth, calls, store.add(bed, sg.Intervals())).compute()
    said = " ".join(str(one.message) for one in told)
    assert "beyond the ends of contigs: c;" in said
    assert "0 of the truth and 1 of the calls" in said
