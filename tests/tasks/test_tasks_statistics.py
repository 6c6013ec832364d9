from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pysam
import pytest

from stargazer.assets import Asset, DuplicateMetrics, FilterChoice, VariantComparison, Variants
from stargazer.errors import AssetError
from stargazer.tasks.general import (
    bcftools_stats,
    call_gvcf,
    coverage,
    joint_call,
    qc_report,
    samtools_flagstat,
    samtools_idxstats,
    samtools_stats,
)
from stargazer.tasks.html import bars, lines
from stargazer.tasks.metrics import read_alignment_stats, read_variant_stats
from stargazer.tools import Workdir


def printed(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "stargazer.embedded", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def variants(sample, final, tmp_path_factory: pytest.TempPathFactory) -> Variants:
    works = [Workdir(tmp_path_factory.mktemp("calls")) for _ in range(2)]
    return joint_call.body(
        works[1], sample.reference, [call_gvcf.body(works[0], sample.reference, final)], cohort_id="c"
    )


def test_counts_are_those_of_the_tools(final, new_work, engine) -> None:
    flags = samtools_flagstat.body(new_work(), final, engine=engine)
    contigs = samtools_idxstats.body(new_work(), final, engine=engine)
    assert flags.path.read_text() == printed("samtools", "flagstat", final.path)
    assert contigs.path.read_text() == printed("samtools", "idxstats", final.path)
    assert (flags.name, contigs.name) == ("s.flagstat.txt", "s.idxstats.txt")
    with pytest.raises(AssetError, match="AlignmentIndex"):
        samtools_idxstats.body(new_work(), replace(final, companions=()))


def test_counts_of_variants(variants, new_work, engine) -> None:
    made = bcftools_stats.body(new_work(), variants, engine=engine)
    lines = printed("bcftools", "view", "-H", variants.path).splitlines()
    alleles = [(line.split("\t")[3], line.split("\t")[4].split(",")) for line in lines]
    assert made.snvs == sum(any(len(ref) == len(alt) for alt in alts) for ref, alts in alleles) > 10
    assert made.indels == sum(any(len(ref) != len(alt) for alt in alts) for ref, alts in alleles) > 1
    assert 1 < made.ts_tv < 4
    text = made.path.read_text()
    assert "command line" not in text
    assert str(variants.path.parent) not in text
    assert "ID\t0\tc.vcf.gz" in text
    again = bcftools_stats.body(new_work(), variants, engine=engine)
    assert again.path.read_bytes() == made.path.read_bytes()


def test_filtered_records_count_if_they_are_asked_for(tmp_path: Path, new_work) -> None:
    vcf = tmp_path / "f.vcf"
    head = '##fileformat=VCFv4.2\n##FILTER=<ID=q,Description="q">\n##contig=<ID=c,length=99>\n'
    head += '##FORMAT=<ID=GT,Number=1,Type=String,Description="GT">\n'
    head += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts\n"
    vcf.write_text(head + "".join(f"c\t{at}\t.\tA\tG\t9\t{how}\t.\tGT\t0/1\n" for at, how in ((5, "PASS"), (9, "q"))))
    counts = [bcftools_stats.body(new_work(), Variants(path=vcf), passed=passed).snvs for passed in (True, False)]
    assert counts == [1, 2]


def test_numbers_of_an_alignment(final, sample, new_work) -> None:
    made = samtools_stats.body(new_work(), final, sample.reference)
    numbers = read_alignment_stats(made.path.read_text())
    assert numbers.summary["raw total sequences"] == made.reads
    assert sum(pairs for _, pairs in numbers.insert_sizes) == pytest.approx(made.reads / 2, rel=0.03)
    mean = sum(size * pairs for size, pairs in numbers.insert_sizes) / sum(pairs for _, pairs in numbers.insert_sizes)
    assert mean == pytest.approx(made.insert_size, rel=0.05)
    assert [cycle for cycle, _ in numbers.qualities] == list(range(1, 151))
    assert all(30 < quality < 40 for _, quality in numbers.qualities)
    assert numbers.depths[0][0] == 1


def test_a_report_shows_what_was_measured(final, sample, variants, alignment, new_work) -> None:
    text = DuplicateMetrics(path=new_work().file("s.markdup.metrics.txt"), sample_id="s")
    text.path.write_text(
        "## METRICS CLASS\tpicard.sam.DuplicationMetrics\nLIBRARY\tREAD_PAIRS_EXAMINED\nlib<1>\t77\n\n"
    )
    stats = samtools_stats.body(new_work(), final, sample.reference)
    counted = bcftools_stats.body(new_work(), variants)
    lists = (
        [stats],
        [coverage.body(new_work(), final)],
        [text],
        [counted],
        [],
        [samtools_flagstat.body(new_work(), final)],
    )
    made = qc_report.body(new_work(), *lists, title="c")
    page = made.path.read_text()
    assert (made.name, made.source_samples, len(made.companions)) == ("c.qc.html", ("s",), 6)
    for shown in (
        "Insert sizes",
        "Depth by contig",
        "lib&lt;1&gt;",
        f"{stats.reads:,}",
        f"{counted.snvs:,} SNVs",
        ">chr2<",
    ):
        assert shown in page, shown
    for outside in ("http://", "https://", "src=", "href=", "<script", str(made.path.parent)):
        assert outside not in page.replace('xmlns="http://www.w3.org/2000/svg"', ""), outside
    assert qc_report.body(new_work(), *lists, title="c").path.read_bytes() == made.path.read_bytes()


def test_a_report_shows_filters_notes_and_comparisons(new_work) -> None:
    choice = FilterChoice(path=new_work().file("c.json"), sample_id="c", method="hard", reason="few <sites>")
    lists = [], [], [], [], [VariantComparison(path=new_work().file("c.tsv"), sample_id="c")], [choice]
    lists[4][0].path.write_text("sample\ttype\tgenotype_concordance\ns\tSNV\t0.987654\n")
    page = qc_report.body(new_work(), *lists, title="c", notes=("Mind this.",)).path.read_text()
    for shown in ("Mind this.", "hard. few &lt;sites&gt;", "0.987654", "genotype concordance"):
        assert shown in page, shown


def test_a_report_of_nothing_is_a_page(new_work) -> None:
    page = qc_report.body(new_work(), [], [], [], [], [], [Asset(path=new_work().file("x"))], title="<none>")
    assert "&lt;none&gt;" in page.path.read_text()
    assert "<svg" not in page.path.read_text()


def test_a_report_of_alignments_alone(final, new_work) -> None:
    page = qc_report.body(
        new_work(), [], [coverage.body(new_work(), final)], [], [], [], [], title="c"
    ).path.read_text()
    assert "Depth by contig" in page
    assert "Variants" not in page


def test_numbers_of_files_without_variants() -> None:
    numbers = read_variant_stats("SN\t0\tnumber of SNPs:\t0\n")
    assert math.isnan(numbers.ts_tv)
    assert (numbers.samples, numbers.indel_lengths) == ({}, [])


def test_charts_stay_within_their_frame() -> None:
    drawn = lines({"a": [(0, 0), (10, 5)], "b<": [(0, 1e7), (10, 3e7)], "one": [(1, 1)]}, "x", "y")
    assert drawn.count("<polyline") == 2
    points = [point.split(",") for line in drawn.split('points="')[1:] for point in line.split('"')[0].split()]
    assert all(0 <= float(x) <= 460 and 0 <= float(y) <= 240 for x, y in points)
    assert "b&lt;" in drawn
    assert "30M" in drawn
    assert lines({"one": [(1, 1)]}, "x", "y") == bars({"a": 0}, "x", "y") == ""
    assert bars({"a": 3, "b": 0}, "x", "y").count("<rect") == 2
    many = lines({str(number): [(0, 0), (1, number)] for number in range(30)}, "x", "y")
    assert many.count("<polyline") == 30
    assert "legend" not in many


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ""),
        ({"mapping_quality": 0}, "have mapping quality 0, and callers pass over them: are contigs twice in"),
        ({"is_qcfail": True}, "reads: 100.0 % are marked as failed (QCFAIL), and callers pass over them"),
        ({"query_qualities": "#"}, "base quality: 2.0 on average, wanted are 15"),
    ],
    ids=["as they are", "ambiguous", "failed", "bad"],
)
def test_reads_that_callers_pass_over_are_marked(final, sample, new_work, tmp_path, change, told) -> None:
    """Nothing was called, and depth looked as always."""
    path = tmp_path / "odd.bam"
    with pysam.AlignmentFile(str(final.path)) as given, pysam.AlignmentFile(str(path), "wb", template=given) as out:
        for record in given:
            for name, value in change.items():
                bases = pysam.qualitystring_to_array(str(value) * record.query_length) if name[0] == "q" else value
                setattr(record, name, bases)
            out.write(record)
    stats = samtools_stats.body(new_work(), replace(final, path=path, companions=()), sample.reference)
    made = qc_report.body(new_work(), [stats], [], [], [], [], [], title="c")
    table = next(one for one in made.companions if one.path.name == "c.marks.json")
    marks = json.loads(table.path.read_text())["marks"]
    assert [told in mark for mark in marks.get("s", [])] == ([True] if told else [])
