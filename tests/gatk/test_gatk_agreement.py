"""GATK beside the embedded engine, parts beside the whole, and copies of X and Y, on simulated and on real reads."""

from __future__ import annotations

import gzip
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pysam
import pytest

import stargazer as sg
from stargazer.bio.simulate import simulate_cohort
from stargazer.bio.simulate.genome import read_fasta
from stargazer.bio.variants import compare
from stargazer.tasks import bwa_mem, mark_duplicates, regions
from stargazer.tasks import gatk as tasks
from stargazer.tasks.general import bwa_index, create_sequence_dictionary, samtools_faidx
from stargazer.tasks.metrics import read_duplication
from stargazer.workflows import GatkOptions, Lane, call_cohort, index_reference


@pytest.fixture
def tools(tool: Any, gatk: Path) -> None:
    for name in ("bwa", "samtools", "bcftools", "java"):
        tool(name)


def lanes_of(store: sg.Store, reads: dict[str, list[tuple[Path, Path]]]) -> dict[str, list[Lane]]:
    add: Any = store.add
    return {
        sample: [Lane(add(one, sg.R1(sample_id=sample)), add(two, sg.R2(sample_id=sample))) for one, two in pairs]
        for sample, pairs in reads.items()
    }


def duplicates(bam: Path) -> Counter[tuple[int | None, int, int, int, bool]]:
    """How many fragments of each place, length and direction are marked."""
    found: Counter[tuple[int | None, int, int, int, bool]] = Counter()
    with pysam.AlignmentFile(str(bam)) as records:
        for one in records:
            if one.is_duplicate and one.is_read1 and not one.flag & 0x904:
                found[one.reference_id, unclipped(one), one.next_reference_id, one.template_length, one.is_reverse] += 1
    return found


def unclipped(record: pysam.AlignedSegment) -> int:
    """The 5' end of a read, as if all of it were aligned."""
    operations = record.cigartuples or []
    clip = operations[-1 if record.is_reverse else 0]
    end = (record.reference_end or 0) if record.is_reverse else record.reference_start
    return end + (1 if record.is_reverse else -1) * (clip[1] if clip[0] in (4, 5) else 0)


def test_both_engines_mark_the_same_duplicates(tools: None, tmp_path: Path, new_work: Any) -> None:
    cohort = simulate_cohort(tmp_path / "cohort", samples=["s"], depth=20, length=24_000, lanes=2)
    bare = sg.Reference(path=cohort.reference, build="sim")
    made = [task.body(new_work(), bare) for task in (samtools_faidx, create_sequence_dictionary, bwa_index)]
    ref = replace(bare, companions=tuple(made))
    reads = [(sg.R1(path=one, sample_id="s"), sg.R2(path=two, sample_id="s")) for one, two in cohort.reads["s"]]
    lanes = [bwa_mem.body(new_work(), ref, *pair, lane=str(number)) for number, pair in enumerate(reads)]
    ours, counts = mark_duplicates.body(new_work(), lanes)
    joined = replace(ours, tool="samtools", duplicates_marked=False)
    theirs, their_counts = tasks.mark_duplicates.body(new_work(), joined)
    marked = duplicates(ours.path), duplicates(theirs.path)
    assert sum(marked[0].values()) > 20
    assert marked[0] == marked[1]
    [one], [other] = (read_duplication(each.path.read_text()) for each in (counts, their_counts))
    for name in ("READ_PAIRS_EXAMINED", "READ_PAIR_DUPLICATES", "UNPAIRED_READ_DUPLICATES", "UNMAPPED_READS"):
        assert one[name] == other[name], name


def qualities(table: Path) -> dict[tuple[str, ...], tuple[float, ...]]:
    """Of each row of the tables of covariates: EmpiricalQuality, observations and errors."""
    found: dict[tuple[str, ...], tuple[float, ...]] = {}
    heads: list[str] = []
    for line in table.read_text().splitlines():
        fields = line.split()
        if "EmpiricalQuality" in fields:
            heads = fields
        elif not fields or line.startswith("#"):
            heads = []
        elif heads:
            row = dict(zip(heads, fields, strict=True))
            values = tuple(float(row.pop(name)) for name in ("EmpiricalQuality", "Observations", "Errors"))
            row.pop("EstimatedQReported", None)
            found[tuple(row.values())] = values
    return found


def test_gathered_tables_are_that_of_the_whole(tp53: Any, new_work: Any, region: Any) -> None:
    bam, ref = tp53.bam("markdup"), tp53.reference
    whole = tasks.base_recalibrator.body(new_work(), bam, ref, [tp53.known])
    parts = [
        tasks.base_recalibrator.body(new_work(), bam, ref, [tp53.known], region(new_work(), *edges))
        for edges in ((0, 17_000), (17_000, 39_070))
    ]
    gathered = tasks.gather_bqsr_reports.body(new_work(), parts)
    one, other = qualities(whole.path), qualities(gathered.path)
    assert one.keys() == other.keys()
    assert len(one) > 1_000
    for row, values in one.items():
        assert abs(values[0] - other[row][0]) <= 1, row
        # Reads across the border are counted in both parts.
        assert values[1] <= other[row][1], row
        assert sum(values) == pytest.approx(sum(other[row]), rel=0.05, abs=100), row


@pytest.mark.slow
def test_a_cohort_on_real_sequence_is_called_right(
    tools: None, store: sg.Store, tmp_path: Path, shared_data: Path, short: bool
) -> None:
    real = shared_data / "tp53" / "GRCh38_TP53.fa"
    names = ["SIM1"] if short else ["SIM1", "SIM2", "SIM3"]
    cohort = simulate_cohort(tmp_path / "cohort", samples=names, depth=30, reference=real)
    reference = index_reference(store.add(cohort.reference, sg.Reference(build="b")), engine="gatk")
    vcf = call_cohort(reference, lanes_of(store, cohort.reads), "cohort", engine="gatk").compute()
    result = compare(read_fasta(cohort.reference), cohort.truth, vcf.fetch())
    assert result.snv.f1 >= 0.995, result
    assert result.indel.f1 >= 0.98, result


PAR = 1_500


@pytest.mark.slow
def test_x_and_y_have_as_many_copies_as_the_sex_says(
    tools: None, store: sg.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A genome whose contigs are called X and Y, with a pseudoautosomal region at the beginning of each."""
    cohort = simulate_cohort(tmp_path / "cohort", samples=["boy", "girl"], depth=15, length=12_000)
    text = cohort.reference.read_text().replace(">chr1", ">chrX").replace(">chr2", ">chrY")
    cohort.reference.write_text(text)
    lengths = {name: len(sequence) for name, sequence in read_fasta(cohort.reference).items()}
    monkeypatch.setattr(regions, "PSEUDOAUTOSOMAL", {lengths["chrX"]: ((0, PAR),)})
    monkeypatch.setattr(regions, "PSEUDOAUTOSOMAL_Y", {lengths["chrY"]: ((0, PAR),)})
    reference = index_reference(store.add(cohort.reference, sg.Reference(build="xy")), engine="gatk")
    options = GatkOptions(sexes={"boy": "XY", "girl": "XX"}, filter="hard", shards=2)
    vcf = call_cohort(reference, lanes_of(store, cohort.reads), "pair", engine="gatk", options=options).compute()
    copies: dict[tuple[str, bool], set[int]] = {}
    with gzip.open(vcf.fetch(), "rt") as lines:
        for fields in (line.rstrip("\n").split("\t") for line in lines if not line.startswith("#")):
            boy, girl = (one.partition(":")[0].replace("|", "/") for one in fields[9:])
            within = int(fields[1]) <= PAR
            copies.setdefault((f"boy {fields[0]}", within), set()).add(boy.count("/") + 1)
            if fields[0] == "chrX":
                copies.setdefault(("girl chrX", within), set()).add(girl.count("/") + 1)
            else:
                assert set(girl) <= {".", "/"}, "she has no Y"
    assert copies[("boy chrX", False)] == copies[("boy chrY", False)] == {1}
    assert copies[("girl chrX", False)] == {2}
    assert copies.get(("boy chrX", True), {2}) == copies.get(("girl chrX", True), {2}) == {2}
