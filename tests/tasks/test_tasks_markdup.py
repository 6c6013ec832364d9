from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pysam
import pytest

from stargazer.assets import R1, R2, Alignment, AlignmentIndex
from stargazer.bio.simulate import simulate_cohort
from stargazer.errors import DataError
from stargazer.tasks.general import bwa_mem, mark_duplicates, samtools_sort
from stargazer.tasks.metrics import LibraryCounts, duplication_metrics, estimated_library_size, read_duplication

Mark = tuple[str, int, int]


def marked(alignment: Alignment) -> set[Mark]:
    """Name, end and place of each alignment that is marked as a duplicate."""
    with pysam.AlignmentFile(str(alignment.path)) as records:
        return {(one.query_name, one.flag & 0xC0, one.reference_start) for one in records if one.is_duplicate}


def renamed(path: Path, folder: Path) -> Path:
    """The same reads as if another cluster had given them."""
    copy = folder / path.name
    copy.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"@A01001:7:", b"@A01001:8:")))
    return copy


@pytest.fixture(scope="module")
def lanes(sample, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[tuple[R1, R2]], tuple[R1, R2]]:
    """One library on two lanes, and the same reads in one pair of files."""
    folder = tmp_path_factory.mktemp("lanes")
    cohort = simulate_cohort(folder, samples=["s"], depth=12, length=30_000, lanes=2)
    assert cohort.reference.read_bytes() == sample.reference.path.read_bytes()
    split = [(R1(path=r1, sample_id="s"), R2(path=r2, sample_id="s")) for r1, r2 in cohort.reads["s"]]
    whole = [folder / "whole_R1.fq.gz", folder / "whole_R2.fq.gz"]
    for path, files in zip(whole, zip(*cohort.reads["s"], strict=True), strict=True):
        path.write_bytes(b"".join(file.read_bytes() for file in files))
    return split, (R1(path=whole[0], sample_id="s"), R2(path=whole[1], sample_id="s"))


def test_a_library_split_over_lanes_marks_the_same_reads(sample, lanes, new_work, engine) -> None:
    split = [
        bwa_mem.body(new_work(), sample.reference, r1, r2, lane=str(lane), engine=engine)
        for lane, (r1, r2) in enumerate(lanes[0], 1)
    ]
    whole = bwa_mem.body(new_work(), sample.reference, *lanes[1], engine=engine)
    together, apart, each = (
        [marked(mark_duplicates.body(new_work(), part, engine=engine).alignment) for part in parts]
        for parts in ([[whole]], [split], [[one] for one in split])
    )
    assert together == apart
    assert len(apart[0]) > 50
    # Some duplicates lie on the other lane: by themselves the lanes have fewer.
    assert len(each[0] | each[1]) < len(apart[0])


def test_libraries_never_cross(sample, new_work, tmp_path: Path, engine) -> None:
    reads = [(sample.r1, sample.r2), tuple(replace(r, path=renamed(r.path, tmp_path)) for r in (sample.r1, sample.r2))]

    def marks(libraries: tuple[str, str]) -> set[Mark]:
        parts = [
            bwa_mem.body(new_work(), sample.reference, *pair, lane=str(lane), library=library, engine=engine)
            for lane, (pair, library) in enumerate(zip(reads, libraries, strict=True))
        ]
        return marked(mark_duplicates.body(new_work(), parts, engine=engine).alignment)

    first = bwa_mem.body(new_work(), sample.reference, *reads[0], engine=engine)
    alone = marked(mark_duplicates.body(new_work(), [first], engine=engine).alignment)
    copies = {(name.replace(":7:", ":8:", 1), end, place) for name, end, place in alone}
    assert marks(("x", "y")) == alone | copies
    assert len(marks(("x", "x"))) > 900 + len(alone)


def test_marked_alignment_is_sorted_indexed_and_says_so(alignment: Alignment, new_work, engine) -> None:
    made, metrics = mark_duplicates.body(new_work(), [alignment], engine=engine)
    assert (made.sorted, made.duplicates_marked, made.sample_id, made.name) == ("coordinate", True, "s", made.path.name)
    assert made.companion(AlignmentIndex).path == Path(f"{made.path}.bai")
    with pysam.AlignmentFile(str(made.path)) as records:
        header = records.header.to_dict()
        assert header["HD"]["SO"] == "coordinate"
        assert "PG" not in header
        duplicates = sum(one.is_duplicate for one in records)
        assert records.count("chr1", 5000, 6000) > 20
    [row] = read_duplication(metrics.path.read_text())
    marked_pairs, marked_reads = int(row["READ_PAIR_DUPLICATES"]), int(row["UNPAIRED_READ_DUPLICATES"])
    assert (metrics.name, row["LIBRARY"], 2 * marked_pairs + marked_reads) == ("s.markdup.metrics.txt", "s", duplicates)
    assert int(row["READ_PAIR_OPTICAL_DUPLICATES"]) > 0
    assert "COMMAND" not in metrics.path.read_text()


def test_order_of_the_input_changes_no_mark(alignment: Alignment, new_work) -> None:
    expected = marked(mark_duplicates.body(new_work(), [alignment]).alignment)
    for order in ("coordinate", "queryname"):
        arranged = samtools_sort.body(new_work(), alignment, order=order)
        assert arranged.sorted == order
        assert marked(mark_duplicates.body(new_work(), [arranged]).alignment) == expected


def test_threads_change_no_byte(alignment: Alignment, new_work, engine) -> None:
    def digest(cpus: int) -> list[str]:
        made, metrics = mark_duplicates.body(new_work(cpus), [alignment], engine=engine)
        arranged = samtools_sort.body(new_work(cpus), alignment, engine=engine)
        files = (made.path, made.companions[0].path, metrics.path, arranged.path, arranged.companions[0].path)
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]

    assert digest(1) == digest(3)


def test_several_samples_or_references_are_refused(alignment: Alignment, sample, new_work, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2: s, t"):
        mark_duplicates.body(new_work(), [alignment, replace(alignment, sample_id="t")])
    with pytest.raises(DataError, match="none"):
        mark_duplicates.body(new_work(), [])
    other = new_work().file("other.bam")
    with pysam.AlignmentFile(str(alignment.path)) as records:
        header = records.header.to_dict() | {"SQ": [{"SN": "chr7", "LN": 1000}]}
    pysam.AlignmentFile(str(other), "wb", header=header).close()
    with pytest.raises(DataError, match="different references"):
        mark_duplicates.body(new_work(), [alignment, replace(alignment, path=other)])
    pysam.AlignmentFile(str(other), "wb", header=header | {"RG": []}).close()
    with pytest.raises(DataError, match="no read groups"):
        mark_duplicates.body(new_work(), [replace(alignment, path=other)])
    pysam.AlignmentFile(str(other), "wb", header=header | {"RG": [{"ID": "a", "SM": "s"}]}).close()
    with pytest.raises(DataError, match="library"):
        mark_duplicates.body(new_work(), [replace(alignment, path=other)])


def test_read_groups_of_one_name_and_different_libraries_get_other_names(sample, new_work) -> None:
    parts = [bwa_mem.body(new_work(), sample.reference, sample.r1, library=library) for library in "xy"]
    made = mark_duplicates.body(new_work(), parts)
    with pysam.AlignmentFile(str(made.alignment.path)) as records:
        groups = {group["ID"]: group["LB"] for group in records.header.to_dict()["RG"]}
        counts = Counter(record.get_tag("RG") for record in records)
    assert groups == {"s.1": "x", "s.1.2": "y"}
    assert counts["s.1"] == counts["s.1.2"] > 100
    # The same reads in two libraries are no duplicates of each other.
    assert {row["PERCENT_DUPLICATION"] for row in read_duplication(made.metrics.path.read_text())} == {
        read_duplication(mark_duplicates.body(new_work(), parts[:1]).metrics.path.read_text())[0]["PERCENT_DUPLICATION"]
    }


def test_metrics_are_those_of_picard(shared_data: Path, new_work) -> None:
    folder = shared_data / "tp53"
    [expected] = read_duplication((folder / "NA12829_TP53_markdup_metrics.txt").read_text())
    merged = Alignment(path=folder / "NA12829_TP53_merged.bam", sample_id="NA12829", sorted="coordinate")
    [row] = read_duplication(mark_duplicates.body(new_work(), [merged]).metrics.path.read_text())
    assert list(row) == list(expected)
    exact = [name for name in row if name not in ("READ_PAIR_OPTICAL_DUPLICATES", "ESTIMATED_LIBRARY_SIZE")]
    assert [row[name] for name in exact] == [expected[name] for name in exact]
    # samtools has another notion of which of several copies are optical: 92 here, where Picard has 93.
    assert abs(int(row["READ_PAIR_OPTICAL_DUPLICATES"]) - int(expected["READ_PAIR_OPTICAL_DUPLICATES"])) <= 1
    assert abs(int(row["ESTIMATED_LIBRARY_SIZE"]) / int(expected["ESTIMATED_LIBRARY_SIZE"]) - 1) < 0.005
    counts = LibraryCounts(15, 7981, 33, 15, 3, 695, 93)
    assert duplication_metrics({"NA12829": counts}).splitlines()[5].split("\t") == list(expected.values())


def test_library_sizes_that_cannot_be_told() -> None:
    assert estimated_library_size(100, 100) is None
    assert estimated_library_size(0, 0) is None
    text = duplication_metrics({"a": LibraryCounts(0, 0, 0, 0, 0, 0, 0), "b": LibraryCounts(1, 5, 0, 0, 0, 0, 0)})
    assert [row["ESTIMATED_LIBRARY_SIZE"] for row in read_duplication(text)] == ["", ""]
    assert [row["LIBRARY"] for row in read_duplication(text)] == ["a", "b"]


def of_two_libraries(path: Path, groups: list[str | None]) -> Alignment:
    """Reads of the given read groups, in a file of somebody else whose header has two, each a library."""
    header = pysam.AlignmentHeader.from_dict({
        "HD": {"VN": "1.6", "SO": "coordinate"},
        "SQ": [{"SN": "c", "LN": 10_000}],
        "RG": [{"ID": name, "SM": "s", "LB": f"lib-{name}"} for name in ("a", "b")],
    })  # fmt: skip
    with pysam.AlignmentFile(str(path), "wb", header=header) as out:
        for number, group in enumerate(groups):
            read = pysam.AlignedSegment(header)
            read.query_name, read.query_sequence, read.flag = f"r{number}", "ACGTACGTAC" * 5, 0
            read.reference_id, read.reference_start, read.cigarstring, read.mapping_quality = 0, 10 * number, "50M", 60
            read.query_qualities = pysam.qualitystring_to_array("I" * 50)
            read.set_tag("RG", group)
            out.write(read)
    return Alignment(path=path, sample_id="s", format="bam", sorted="coordinate")


@pytest.mark.parametrize("odd", [None, "z"])
def test_reads_of_no_library_are_not_lost(tmp_path: Path, new_work, engine, odd: str | None) -> None:
    groups = ["a", "b"] * 20
    whole = mark_duplicates.body(new_work(), [of_two_libraries(tmp_path / "w.bam", groups)], engine=engine)
    assert int(pysam.view("-c", str(whole.alignment.path))) == 40
    some = of_two_libraries(tmp_path / "x.bam", [*groups, odd, odd, odd])
    with pytest.raises(DataError, match=r"3 records of x\.bam have no read group of the header"):
        mark_duplicates.body(new_work(), [some], engine=engine)
