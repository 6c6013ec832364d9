from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stargazer.assets import Intervals, Reference
from stargazer.errors import DataError
from stargazer.tasks.general import (
    create_sequence_dictionary,
    list_intervals,
    ploidy_of_sex,
    samtools_faidx,
    scatter_intervals,
)
from stargazer.tasks.regions import (
    Region,
    called_regions,
    merge,
    overlapping,
    parse_region,
    plan,
    runs_of_n,
    sex_regions,
    subtract,
)


def bases(regions: list[Region]) -> list[tuple[str, int]]:
    return [(one.contig, at) for one in regions for at in range(one.start, one.end)]


def called(lengths: dict[str, int], runs: dict[str, list[tuple[int, int]]]) -> list[Region]:
    return called_regions((name, length, runs.get(name, [])) for name, length in lengths.items())


def test_cuts_lie_in_runs_of_n_and_between_contigs() -> None:
    lengths = {"a": 1000, "b": 500, "c": 500}
    parts = plan(lengths, called(lengths, {"a": [(440, 560)]}), 4)
    assert parts == [
        [Region("a", 0, 500)],
        [Region("a", 500, 1000)],
        [Region("b", 0, 500)],
        [Region("c", 0, 500)],
    ]


def test_without_such_places_parts_are_equal() -> None:
    parts = plan({"a": 1000}, [Region("a", 0, 1000)], 4)
    assert [(part[0].start, part[0].end) for part in parts] == [(0, 250), (250, 500), (500, 750), (750, 1000)]


def test_thousands_of_contigs_become_few_parts() -> None:
    lengths = {f"s{number}": 100 + number % 7 for number in range(5000)}
    parts = plan(lengths, called(lengths, {}), 5)
    assert len(parts) == 5
    assert all(one.start == 0 and one.end == lengths[one.contig] for part in parts for one in part), "a contig was cut"
    sizes = [sum(one.end - one.start for one in part) for part in parts]
    assert max(sizes) < 1.01 * min(sizes)


@given(
    st.lists(st.tuples(st.integers(1, 400), st.booleans()), min_size=1, max_size=12),
    st.integers(1, 6),
)
def test_parts_hold_every_base_once(contigs: list[tuple[int, bool]], shards: int) -> None:
    lengths = {f"c{number}": length for number, (length, _) in enumerate(contigs)}
    runs = {
        f"c{n}": [(length // 3, length // 3 + 100)] for n, (length, run) in enumerate(contigs) if run and length > 200
    }
    regions = called(lengths, runs)
    if sum(one.end - one.start for one in regions) // 4 < shards:
        return
    parts = plan(lengths, regions, shards)
    assert len(parts) == shards
    assert all(parts)
    whole = [Region(name, 0, length) for name, length in lengths.items()]
    assert bases(list(itertools.chain.from_iterable(parts))) == bases(whole)


def test_too_many_parts_are_refused() -> None:
    with pytest.raises(DataError, match="9 bases cannot be cut into 3 parts"):
        plan({"a": 9}, [Region("a", 0, 9)], 3)


def test_runs_of_n_are_found_across_lines() -> None:
    fasta = b">a x\n" + b"AC\n" + b"NNNNNNNNNN\n" * 12 + b"nGT\n>b\nACGT\n"
    assert list(runs_of_n(fasta.splitlines(keepends=True))) == [("a", 125, [(2, 123)]), ("b", 4, [])]


def test_targets_are_padded_merged_and_cut(new_work, tmp_path: Path) -> None:
    fasta = tmp_path / "r.fa"
    fasta.write_text(">a\n" + "ACGT" * 500 + "\n>b\n" + "ACGT" * 500 + "\n")
    reference = indexed(fasta, new_work)
    bed = tmp_path / "t.bed"
    bed.write_text("track x\nb\t100\t200\nb\t150\t300\na\t10\t250\tname\n")
    target = Intervals(path=bed)
    first, second = scatter_intervals.body(new_work(), reference, target, shards=2, padding=20)
    assert first.path.read_text() == "a\t0\t270\n"
    assert second.path.read_text() == "b\t80\t320\n"
    bed.write_text("z\t1\t2\n")
    with pytest.raises(DataError, match="z:2-2 is not in the reference"):
        scatter_intervals.body(new_work(), reference, target, shards=1)
    bed.write_text("a\t1\n")
    with pytest.raises(DataError, match="line 1 of the BED"):
        scatter_intervals.body(new_work(), reference, target, shards=1)


def indexed(fasta: Path, new_work) -> Reference:
    bare = Reference(path=fasta)
    return replace(
        bare, companions=tuple(t.body(new_work(), bare) for t in (samtools_faidx, create_sequence_dictionary))
    )


def test_regions_by_name(sample, new_work) -> None:
    lengths = {"chr17:5-9": 50, "chr1": 10}
    assert parse_region("chr17:5-9", lengths) == Region("chr17:5-9", 0, 50)
    assert parse_region("chr17:5-9:2-3", lengths) == Region("chr17:5-9", 1, 3)
    for wrong in ("chr2", "chr1:1", "chr1:a-b", ""):
        with pytest.raises(DataError, match="no region"):
            parse_region(wrong, lengths)
    with pytest.raises(DataError, match="not in the reference"):
        merge([parse_region("chr1:5-11", lengths)], lengths)
    made = list_intervals.body(new_work(), sample.reference, regions=["chr2", "chr1:11-20", "chr1:15-30"])
    assert made.path.read_text() == f"chr1\t10\t30\nchr2\t0\t{dict(sample.reference.contigs)['chr2']}\n"


def test_copies_follow_sex(sample, new_work) -> None:
    lengths = {"chr1": 1000, "chrX": 156_040_895, "chrY": 57_227_415}
    once, never = sex_regions(lengths, "XY")
    assert once == [
        Region("chrX", 0, 10_000), Region("chrX", 2_781_479, 155_701_382), Region("chrX", 156_030_895, 156_040_895),
        Region("chrY", 0, 10_000), Region("chrY", 2_781_479, 56_887_902), Region("chrY", 57_217_415, 57_227_415),
    ]  # fmt: skip
    assert never == []
    assert sex_regions(lengths, "XX") == ([], [Region("chrY", 0, 57_227_415)])
    assert sex_regions({"X": 12}, "XY") == ([], []), "another genome's X"
    made = ploidy_of_sex.body(new_work(), sample.reference, sex="XY")
    assert made.haploid.path.read_text() == made.absent.path.read_text() == ""


def test_what_is_left() -> None:
    assert subtract([Region("a", 0, 10), Region("b", 0, 5)], [Region("a", 2, 4), Region("a", 8, 20)]) == [
        Region("a", 0, 2), Region("a", 4, 8), Region("b", 0, 5),
    ]  # fmt: skip


def test_parts_reach_into_each_other_where_they_touch() -> None:
    parts = [[Region("a", 0, 100)], [Region("a", 100, 130), Region("b", 0, 50)], [Region("b", 60, 80)]]
    assert overlapping(parts, 20) == [
        [Region("a", 0, 115)],
        [Region("a", 80, 130), Region("b", 0, 50)],
        [Region("b", 60, 80)],
    ]
    assert overlapping(parts, 0) == parts
