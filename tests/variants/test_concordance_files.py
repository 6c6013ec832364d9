from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pysam
import pytest
from small_vcfs import GENOME, write_vcf

from stargazer.bio.variants import Accuracy, Comparison, Regions, compare, read_bed
from stargazer.errors import DataError

SNV, INS, DEL = "15 A G 0|1", "9 T TT 1|1", "28 AC A 0|1"


def compare_files(truth: Path, calls: Path) -> Comparison:
    return compare(GENOME, truth, calls)


def test_filtered_records_are_no_calls_unless_asked_for(compared) -> None:
    assert compared([SNV], ["15 A G LowQual 0/1"]).snv == Accuracy(missed=1)
    assert compared([SNV], ["15 A G LowQual 0/1"], filtered=True).snv == Accuracy(found=1, right=1)


def test_reference_blocks_and_missing_genotypes_are_no_calls(compared) -> None:
    calls = ["15 A G,<NON_REF> 0/1", "16 G <NON_REF> 0/0", "17 C T ./.", "18 A . 0/0", "20 C *,T 0/1"]
    assert compared([SNV], calls).total == Accuracy(found=1, right=1)


def test_symbolic_alleles_are_counted_and_not_compared(compared) -> None:
    result = compared([SNV, "28 A <DEL> 0/1", "30 C <DUP>,G 1/2"], [SNV])
    assert (result.total, result.symbolic) == (Accuracy(found=1, right=1), (2, 0))


def test_contigs_of_one_side_are_missed_or_wrong(compared) -> None:
    result = compared([SNV, "d:5 T G 0/1"], ["9 T TT 1/1", SNV])
    assert (result.snv, result.indel) == (Accuracy(found=1, missed=1, right=1), Accuracy(wrong=1))
    assert compared(["d:5 T G 0/1"], [SNV]).snv == Accuracy(missed=1, wrong=1)
    assert compared([], []).total == Accuracy()


def test_contigs_may_come_in_another_order(compared) -> None:
    assert compared([SNV, "d:5 T G 0/1"], ["d:5 T G 0/1", SNV]).snv == Accuracy(found=2, right=2)


def test_compression_and_bcf_are_read_without_an_index(tmp_path: Path) -> None:
    plain = write_vcf(tmp_path / "plain.vcf", SNV, DEL)
    with (
        pysam.VariantFile(str(plain)) as source,
        pysam.VariantFile(str(tmp_path / "b.bcf"), "wb", header=source.header) as target,
    ):
        for record in source:
            target.write(record)
    pysam.tabix_compress(str(plain), str(tmp_path / "blocks.vcf.gz"))
    for path in (tmp_path / "blocks.vcf.gz", tmp_path / "b.bcf"):
        assert compare_files(plain, path).total == Accuracy(found=2, right=2)


def test_samples_are_compared_by_name(tmp_path: Path) -> None:
    truth = write_vcf(tmp_path / "t.vcf", "9 T TT 1|1 0|1", "15 A G 0|1 0|0", samples="s t")
    calls = write_vcf(tmp_path / "c.vcf", "9 T TT 0/1 0/0 1/1", "15 A G 0/0 0/1 0/1", samples="t u s")
    result = compare_files(truth, calls)
    assert result.total == Accuracy(found=3, right=3)
    assert [sample.snv.found for sample in result.samples.values()] == [1, 0]
    single = write_vcf(tmp_path / "one.vcf", SNV)
    with pytest.raises(DataError, match="'t'"):
        compare_files(truth, single)
    assert compare_files(single, calls).snv == Accuracy(found=1, right=1)
    # With one sample on each side there is no choice.
    assert compare_files(single, write_vcf(tmp_path / "other.vcf", SNV, samples="renamed")).snv.found == 1


def test_records_count_within_the_regions_alone(compared) -> None:
    def found(*spans: tuple[int, int]) -> int:
        return compared([INS, SNV, DEL], [INS, SNV, DEL], Regions({"c": list(spans)})).total.found

    assert found((0, 76)) == 3
    assert found((14, 15)) == 1
    assert found((15, 76)) == 1
    assert found((0, 8), (8, 15)) == 2
    # An insertion into a repeat lies where it begins, however it is written.
    written = compared([INS], ["13 T TT 1/1"], Regions({"c": [(7, 8)]}))
    assert written.indel == Accuracy(found=1, right=1)
    # What is beside the regions still spells what is within them.
    halved = compared(["28 A T 1|0", "29 C CAA 1|0"], ["28 AC TCAA 0/1"], Regions({"c": [(27, 28)]}))
    assert halved.total == Accuracy(found=1)


def test_beds_are_joined_and_checked(tmp_path: Path) -> None:
    bed = tmp_path / "regions.bed"
    bed.write_text("# confident\ntrack name=x\nc\t10\t20\tname\nc\t5\t10\nd 0 3\n\n")
    regions = read_bed(bed)
    assert regions.bases == 18
    assert ("c", 8, 12) in regions
    assert ("c", 19, 21) not in regions
    assert ("e", 0, 1) not in regions
    for text, told in (
        ("c\t5\n", "line 1"),
        ("c\t1\t2\nc\t9\t5\n", "line 2"),
        ("c\t-1\t5\n", "line 1"),
        ("", "no regions"),
    ):
        bed.write_text(text)
        with pytest.raises(DataError, match=told):
            read_bed(bed)


def cut(path: Path, kept: float) -> Path:
    plain = write_vcf(path.with_suffix(".txt"), SNV)
    plain.write_text(plain.read_text() + "".join(f"d\t1\t.\tA\tC\t.\t.\tX={n}\tGT\t0/1\n" for n in range(9000)))
    pysam.tabix_compress(str(plain), str(path))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    return path


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: write_vcf(path, "28 AC A 0|1", "15 A G 0|1"), "not sorted: c:15 comes after c:28"),
        (lambda path: write_vcf(path, SNV, "d:5 T G 0/1", DEL), "not sorted: c is in two places"),
        (lambda path: write_vcf(path, "15 C G 0|1"), "another reference: at c:15 its REF is C, the reference has A"),
        (lambda path: write_vcf(path, "90 C G 0|1"), "no base there"),
        (lambda path: write_vcf(path, "15 A G 0|0|1"), "3 alleles"),
        (lambda path: write_vcf(path, "unknown:15 A G 0|1"), "unknown, which the reference does not have"),
        (lambda path: write_vcf(path, "15 A G", samples=""), "no samples"),
        (lambda path: write_vcf(path.with_suffix(".vcf.gz"), SNV), "bgzip"),
        (lambda path: path.write_text("no VCF") and path, "cannot be read"),
        (lambda path: cut(path.with_suffix(".vcf.gz"), 0.7), "cut short|cannot be read"),
        (lambda path: cut(path.with_suffix(".vcf.gz"), 0.999), "cut short|cannot be read"),
    ],
    ids=[
        "positions",
        "contigs",
        "reference",
        "end",
        "ploidy",
        "contig",
        "samples",
        "gzip",
        "text",
        "cut",
        "end missing",
    ],
)
def test_files_that_cannot_be_compared_are_refused(tmp_path: Path, make: Callable[[Path], Path], told: str) -> None:
    calls = make(tmp_path / "calls.vcf")
    for sides in ((write_vcf(tmp_path / "truth.vcf", SNV), calls), (calls, write_vcf(tmp_path / "truth.vcf", SNV))):
        with pytest.raises(DataError, match=told):
            compare_files(*sides)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("0/1", "0/3"), "c:15: a genotype has allele 3, and ALT is G"),
        (lambda text: text.replace("\tGT\t0/1", "\tDP:GT\t9:0/1").replace("ID=GT", "ID=DP"), "GT is not the first"),
        (lambda text: text.replace("\tGT\t0/1", ""), "fewer columns than samples"),
        (lambda text: text.replace("c\t15", "c\t0"), "c:0, before the first base"),
        (lambda text: text.replace("0/1", "A/G"), "cut short: after the header comes what is no record"),
        (lambda text: "\ufeff" + text, "byte order mark"),
        (lambda text: text.replace("\t", " "), "spaces between its columns"),
        (lambda text: text.replace("FORMAT\ts", "FORMAT\ts\ts").replace("0/1", "0/1\t0/1"), "'s' has 2 columns"),
        (lambda text: "", "it is empty"),
    ],
    ids=["allele", "order", "columns", "zero", "letters", "mark", "spaces", "sample twice", "empty"],
)
def test_what_htslib_would_read_as_no_variant_is_refused(
    tmp_path: Path, change: Callable[[str], str], told: str
) -> None:
    calls = write_vcf(tmp_path / "calls.vcf", "15 A G 0/1")
    calls.write_text(change(calls.read_text()), encoding="utf-8")
    with pytest.raises(DataError, match=told):
        compare_files(write_vcf(tmp_path / "truth.vcf", SNV), calls)


@pytest.mark.parametrize("name", ["absent.vcf", "."])
def test_what_is_no_file_is_told_as_a_fault_of_the_data(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be read as VCF"):
        compare_files(write_vcf(tmp_path / "truth.vcf", SNV), tmp_path / name)


def test_records_that_stand_there_twice_are_counted(compared) -> None:
    result = compared([SNV, "28 AC A 0/1"], [SNV, SNV, "28 AC A 0/1", "28 AC A 1/0"])
    assert (result.repeated, result.snv.wrong) == ((0, 1), 1)
    assert compared([SNV, SNV], [SNV]).repeated == (1, 0)
