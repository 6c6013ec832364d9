"""Lanes as laboratories send them: headers that say more, less or something else than the records."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pysam
import pytest

from stargazer.assets import R1, R2, Alignment, Reference
from stargazer.errors import DataError, DataWarning, ToolFailed
from stargazer.tasks.general import (
    bwa_mem,
    call_gvcf,
    convert_alignment,
    join_lanes,
    joint_call,
    mark_duplicates,
    samtools_sort,
)
from stargazer.tasks.guard import is_usable, oddities, read_flags
from stargazer.tasks.lanes import join_headers
from stargazer.tasks.sam import is_recalibrated, read_header

HEADER = "@HD\tVN:1.6\n@SQ\tSN:c\tLN:100{c}\n@SQ\tSN:d\tLN:50{d}\n@RG\tID:{id}\tSM:s\tLB:{lib}\n"


def header(c: str = "", d: str = "", id: str = "a", lib: str = "l") -> str:
    return HEADER.format(c=c, d=d, id=id, lib=lib)


def test_contigs_are_compared_by_what_they_are() -> None:
    joined = join_headers([header(c="\tM5:11"), header(c="\tUR:/x/y.fa\tAS:b", d="\tM5:22", id="b")])
    assert joined.header.splitlines()[1:3] == ["@SQ\tSN:c\tLN:100\tM5:11", "@SQ\tSN:d\tLN:50\tM5:22"]
    with pytest.raises(DataError, match="two sequences"):
        join_headers([header(c="\tM5:11"), header(c="\tM5:12")])
    with pytest.raises(DataError, match="different references"):
        join_headers([header(), header().replace("LN:50", "LN:51")])
    swapped = "".join(sorted(header().splitlines(keepends=True), key=lambda line: "SN:c" in line))
    with pytest.raises(DataError, match="different orders"):
        join_headers([header(), swapped])


def test_read_groups_of_one_name_are_told_apart() -> None:
    joined = join_headers([header(), header(), header(lib="m"), header(lib="n"), header(lib="m")])
    assert joined.renamed == [{}, {}, {"a": "a.3"}, {"a": "a.4"}, {"a": "a.5"}]
    ids = [line.split("\t")[1] for line in joined.header.splitlines() if line.startswith("@RG")]
    assert len(ids) == len(set(ids))


def flags(text: str) -> dict[str, int]:
    names = ("primary", "primary mapped", "paired in sequencing", "properly paired", "read1", "read2", "singletons",
             "with itself and mate mapped", "with mate mapped to a different chr")  # fmt: skip
    return dict(zip(names, map(int, text.split()), strict=True))


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ("0 0 0 0 0 0 0 0 0", "no reads"),
        ("1000 99 1000 90 500 500 9 90 0", "Hardly any read is mapped"),
        ("1000 990 1000 90 500 500 10 980 9", "proper pairs"),
        ("1000 990 1000 500 900 100 10 980 9", "no mate in the file"),
        ("1000 600 1000 300 500 500 400 200 9", "are not mapped"),
        ("1000 990 1000 500 500 500 10 980 490", "other contigs"),
    ],
)
def test_counts_that_are_wrong_are_told(counts: str, told: str) -> None:
    assert any(told in one for one in oddities(flags(counts)))


@pytest.mark.parametrize(
    "counts", ["1000 900 1000 850 500 500 20 880 9", "1000 990 0 0 0 0 0 0 0", "10 9 10 8 5 5 1 8 0"]
)
def test_counts_that_are_usual_are_not(counts: str) -> None:
    assert oddities(flags(counts)) == []


def test_what_samtools_counts_is_read() -> None:
    text = "10\t1\ttotal (QC-passed reads + QC-failed reads)\n9\t1\tprimary\n8\t0\tprimary mapped\nN/A\tN/A\tmapped %\n"
    assert read_flags(text) == {"total (QC-passed reads + QC-failed reads)": 11, "primary": 10, "primary mapped": 8}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("@PG\tID:GATK ApplyBQSR\tPN:GATK ApplyBQSR", True),
        ("@PG\tID:x\tCL:java -jar GenomeAnalysisTK.jar -T PrintReads -BQSR t.grp", True),
        ("@PG\tID:x\tCL:sentieon driver --algo QualCalFilter", True),
        ("@PG\tID:bwa\tPN:bwa", False),
        ("@CO\tApplyBQSR comes next", False),
        pytest.param("@PG\tID:x\tCL:" + "PrintReads" * 400_000, False, id="a line that a pattern would read for hours"),
    ],
)
def test_headers_say_whether_qualities_were_recalibrated(line: str, found: bool) -> None:
    assert is_recalibrated(f"{header()}{line}\n") is found


def test_reads_that_map_nowhere_are_told(sample, new_work, tmp_path: Path) -> None:
    noise = tmp_path / "noise_R1.fq.gz"
    draw = random.Random(5)
    reads = ("".join(draw.choice("ACGT") for _ in range(60)) for _ in range(50))
    noise.write_bytes(gzip.compress("".join(f"@n{n}\n{r}\n+\n{'I' * 60}\n" for n, r in enumerate(reads)).encode()))
    lane = bwa_mem.body(new_work(), sample.reference, R1(path=noise, sample_id="s"))
    with pytest.warns(DataWarning, match="Hardly any read is mapped"):
        metrics = mark_duplicates.body(new_work(), [lane]).metrics
    assert not is_usable(metrics.notes)


def test_mates_of_different_fragments_are_told(sample, new_work, tmp_path: Path) -> None:
    lines = gzip.decompress(sample.r2.path.read_bytes()).splitlines(keepends=True)
    reads = [lines[start : start + 4] for start in range(0, len(lines), 4)]
    half = len(reads) // 2
    mixed = tmp_path / "mixed_R2.fq.gz"
    turned = reads[half:] + reads[:half]
    mixed.write_bytes(gzip.compress(b"".join(a[0] + b"".join(b[1:]) for a, b in zip(reads, turned, strict=True))))
    lane = bwa_mem.body(new_work(), sample.reference, sample.r1, R2(path=mixed, sample_id="s"))
    with pytest.warns(DataWarning, match="other contigs"):
        mark_duplicates.body(new_work(), [lane])


def test_a_header_that_lies_of_the_order_is_not_believed(final: Alignment, new_work, tmp_path: Path) -> None:
    """Sorted by coordinate, and said to be by name: what is marked is the same."""
    lying = tmp_path / "lying.bam"
    with pysam.AlignmentFile(str(final.path)) as records:
        said = records.header.to_dict() | {"HD": {"VN": "1.6", "SO": "queryname"}}
        with pysam.AlignmentFile(str(lying), "wb", header=said) as out:
            for record in records:
                record.is_duplicate = False
                out.write(record)
    made = mark_duplicates.body(new_work(), [Alignment(path=lying, sample_id="s", sorted="queryname")])
    assert duplicates(made.alignment) == duplicates(final)
    assert made.metrics.notes == ()


def duplicates(alignment: Alignment) -> Counter[tuple[str, int]]:
    with pysam.AlignmentFile(str(alignment.path)) as records:
        return Counter((str(one.query_name), one.flag) for one in records if one.is_duplicate)


def rewritten(alignment: Alignment, path: Path, contigs: list[dict[str, object]], **header: object) -> Alignment:
    """The records with another list of contigs."""
    names = [str(one["SN"]) for one in contigs]
    with pysam.AlignmentFile(str(alignment.path)) as records:
        said = records.header.to_dict() | {"SQ": contigs} | header
        with pysam.AlignmentFile(str(path), "wb", header=said) as out:
            for record in records:
                text = record.to_dict()
                if text["ref_name"] in (*names, "*") and text["next_ref_name"] in (*names, "*", "="):
                    out.write(pysam.AlignedSegment.from_dict(text, out.header))
    return Alignment(path=path, sample_id="s", format="bam")


def test_lanes_of_both_forms_join(sample, alignment: Alignment, new_work, tmp_path: Path) -> None:
    """A BAM with fewer contigs, in another order and with more said of them, beside a lane of reads."""
    lengths = dict(sample.reference.contigs)
    contigs = [{"SN": name, "LN": lengths[name], "UR": "/elsewhere.fa", "AS": "b"} for name in reversed(list(lengths))]
    turned = rewritten(alignment, tmp_path / "turned.bam", contigs)
    taken = convert_alignment.body(new_work(), turned, sample.reference, to="bam", unmark=True)
    fresh = bwa_mem.body(new_work(), sample.reference, sample.r1, sample.r2, lane="2")
    joined = join_lanes.body(new_work(), [taken, fresh])
    with pysam.AlignmentFile(str(joined.path), check_sq=False) as records:
        assert dict(zip(records.references, records.lengths, strict=True)) == lengths
        places = Counter((one.reference_name, one.reference_start) for one in records)
    assert set(places.values()) >= {2}
    assert sum(count % 2 for count in places.values()) == 0
    made = mark_duplicates.body(new_work(), [taken, fresh])
    assert made.alignment.sorted == "coordinate"


def test_reads_of_no_group_are_not_lost_in_silence(sample, alignment: Alignment, new_work, tmp_path: Path) -> None:
    """Where a sample has two libraries each is taken out by its read groups: reads without one were in neither."""
    for group in (None, "nobody"):
        path = tmp_path / "ungrouped.bam"
        with (
            pysam.AlignmentFile(str(alignment.path)) as records,
            pysam.AlignmentFile(str(path), "wb", template=records) as out,
        ):
            for number, record in enumerate(records):
                record.set_tag("RG", group if number == 1500 else record.get_tag("RG"))
                out.write(record)
        given = Alignment(path=path, sample_id="s", format="bam")
        for form in ("bam", "cram"):
            with pytest.raises(DataError, match="has 1 records without a read group of its header"):
                convert_alignment.body(new_work(), given, sample.reference, to=form)  # type: ignore[arg-type]


def test_a_cram_of_another_sequence_is_told(sample, alignment: Alignment, new_work, tmp_path: Path) -> None:
    """Its header has no MD5s; its slices have."""
    fasta = tmp_path / "other.fa"
    text = sample.reference.path.read_text()
    fasta.write_text("\n".join(line if line[:1] == ">" else line.translate(TURNED) for line in text.split("\n")))
    cram, bare = tmp_path / "other.cram", tmp_path / "bare.cram"
    pysam.samtools.view(*f"-C -T {fasta} -o {cram} {alignment.path}".split(), catch_stdout=False)  # type: ignore[attr-defined]
    header = pysam.samtools.view("-H", "--no-PG", str(cram)).splitlines()  # type: ignore[attr-defined]
    fields = [[one for one in line.split("\t") if one[:3] not in ("M5:", "UR:")] for line in header]
    (tmp_path / "h.sam").write_text("".join("\t".join(one) + "\n" for one in fields))
    bare.write_bytes(cram.read_bytes())
    pysam.samtools.reheader("-i", str(tmp_path / "h.sam"), str(bare), catch_stdout=False)  # type: ignore[attr-defined]
    given = Alignment(path=bare, sample_id="s", format="cram")
    with pytest.raises(DataError, match=r"written with another sequence than reference\.fa"):
        convert_alignment.body(new_work(), given, sample.reference, to="bam")


TURNED = str.maketrans("ACGTacgt", "CATGcatg")


def test_contigs_beyond_half_a_gigabase_get_csi(new_work, tmp_path: Path) -> None:
    path = tmp_path / "long.bam"
    said = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "1A", "LN": 600_000_000}], "RG": [{"ID": "1", "SM": "w", "LB": "w"}]}
    with pysam.AlignmentFile(str(path), "wb", header=said) as out:
        for number, place in enumerate((550_000_000, 1000)):
            record = pysam.AlignedSegment(out.header)
            record.query_name, record.query_sequence, record.flag = f"r{number}", "ACGT" * 25, 0
            record.reference_id, record.reference_start, record.mapping_quality = 0, place, 60
            record.cigarstring, record.query_qualities = "100M", pysam.qualitystring_to_array("I" * 100)
            record.set_tag("RG", "1")
            out.write(record)
    lane = Alignment(path=path, sample_id="w", format="bam")
    for made in (samtools_sort.body(new_work(), lane), mark_duplicates.body(new_work(), [lane]).alignment):
        [index] = made.companions
        assert index.path.suffix == ".csi"
        with pysam.AlignmentFile(str(made.path), index_filename=str(index.path)) as records:
            assert records.count("1A", 549_999_000, 551_000_000) == 1


def test_alleles_are_in_upper_case_where_the_reference_is_masked(sample, final, new_work, tmp_path, index) -> None:
    masked = tmp_path / "masked" / sample.reference.path.name
    masked.parent.mkdir()
    lines = sample.reference.path.read_text().splitlines()
    lower = [line if line.startswith(">") or n % 2 else line.lower() for n, line in enumerate(lines)]
    masked.write_text("\n".join(lower) + "\n")
    calls = {}
    for name, fasta in (("plain", sample.reference.path), ("masked", masked)):
        reference: Reference = index(fasta)
        gvcf = call_gvcf.body(new_work(), reference, final)
        calls[name] = joint_call.body(new_work(), reference, [gvcf], cohort_id="c")
    alleles = {name: [record[:2] + record[3:5] for record in rows(made)] for name, made in calls.items()}
    assert alleles["plain"] == alleles["masked"]
    assert any(len(one[2]) != len(one[3]) for one in alleles["plain"])
    assert all(one[2].isupper() and one[3].isupper() for one in alleles["masked"])


def rows(vcf) -> list[list[str]]:
    with gzip.open(vcf.path, "rt") as lines:
        return [line.rstrip("\n").split("\t") for line in lines if not line.startswith("#")]


def test_headers_of_what_tasks_made_start_no_process(final: Alignment, new_work, monkeypatch) -> None:
    by_samtools = read_header(new_work(), replace(final, tool=""), "embedded")
    work = new_work()
    monkeypatch.setattr(work, "output", lambda *_: pytest.fail("a process is started"))
    assert read_header(work, final, "embedded").splitlines() == by_samtools.splitlines()


def test_trimming_may_leave_no_reads(sample, new_work, tmp_path: Path) -> None:
    empty = tmp_path / "s.trimmed.fq.gz"
    empty.write_bytes(gzip.compress(b"", mtime=0))
    work = new_work()
    made = bwa_mem.body(work, sample.reference, R1(path=empty, sample_id="s", trimmed_by="fastp"), lane="L2")
    with pysam.AlignmentFile(str(made.path)) as file:
        assert file.header.to_dict()["RG"][0]["ID"] == "s.L2"
        assert dict(zip(file.references, file.lengths, strict=True)) == dict(sample.reference.contigs)
        assert next(iter(file), None) is None
    with pytest.warns(DataWarning, match="There are no reads"):
        marked = mark_duplicates.body(new_work(), [made])
    assert not is_usable(marked.metrics.notes)
    with pytest.raises(ToolFailed, match="no reads"):
        bwa_mem.body(new_work(), sample.reference, R1(path=empty, sample_id="s"), lane="L2")


def test_men_have_one_copy_of_x_with_bcftools_too(sample, final, new_work, monkeypatch) -> None:
    from stargazer.tasks import regions

    lengths = dict(sample.reference.contigs)
    monkeypatch.setattr(regions, "X", ("chr1",))
    monkeypatch.setattr(regions, "Y", ("chr2",))
    monkeypatch.setattr(regions, "PSEUDOAUTOSOMAL", {lengths["chr1"]: ((0, 5_000),)})
    monkeypatch.setattr(regions, "PSEUDOAUTOSOMAL_Y", {lengths["chr2"]: ()})
    gvcf = call_gvcf.body(new_work(), sample.reference, final)
    by_sex = {
        sex: rows(joint_call.body(new_work(), sample.reference, [gvcf], cohort_id="c", sexes={"s": sex}))
        for sex in ("XY", "XX")
    }
    genotypes = {sex: {(r[0], int(r[1])): r[9].split(":")[0] for r in found} for sex, found in by_sex.items()}
    once = {at: gt for at, gt in genotypes["XY"].items() if at[0] == "chr2" or at[1] > 5_000}
    assert once
    assert all("/" not in gt for gt in once.values())
    assert all("/" in gt for at, gt in genotypes["XY"].items() if at not in once)
    assert not any(at[0] == "chr2" and set(gt) - {"."} for at, gt in genotypes["XX"].items())
    assert any("/" in gt for at, gt in genotypes["XX"].items() if at[1] > 5_000)
    with pytest.raises(DataError, match="XX or XY"):
        joint_call.body(new_work(), sample.reference, [gvcf], cohort_id="c", sexes={"s": "male"})


def test_a_sex_that_changes_nothing_is_noted(sample, final: Alignment, new_work) -> None:
    gvcf = call_gvcf.body(new_work(), sample.reference, final)
    made = joint_call.body(new_work(), sample.reference, [gvcf], cohort_id="c", sexes={"s": "XY"})
    assert "change nothing" in made.notes[0]
    with pytest.raises(DataError, match="the sex of t"):
        joint_call.body(new_work(), sample.reference, [gvcf], cohort_id="c", sexes={"t": "XY"})


def test_a_gvcf_of_another_sample_is_refused(sample, final: Alignment, new_work) -> None:
    gvcf = call_gvcf.body(new_work(), sample.reference, final)
    other = replace(gvcf, sample_id="t", source_samples=("t",))
    with pytest.raises(DataError, match="said to be of t, but the file has s"):
        joint_call.body(new_work(), sample.reference, [other], cohort_id="c")
