"""Inputs as laboratories send them: sheets of other programs, odd files, reads that are there twice."""

from __future__ import annotations

import gzip
import http.server
import threading
import warnings
from pathlib import Path
from typing import Any

import pysam
import pytest

import stargazer as sg
from stargazer.errors import DataError, DataWarning
from stargazer.workflows import Lane, ReadOptions, call_sheet, read_sheet, sheet_lanes
from stargazer.workflows.builds import build_names, find_build
from stargazer.workflows.inputs import Contigs, check_against
from stargazer.workflows.lanes import check_lanes, find_lanes, is_recalibrated, name_lanes
from stargazer.workflows.optical import optical_distance

READS = "".join(f"@A01001:1:FC:1:1101:{n}:1 {{mate}}:N:0\nACGTACGTAA\n+\nIIII#IIIII\n" for n in range(1, 9))
CONTIGS = Contigs("ref.fa", {"chr1": 8000, "chr2": 5000}, {"chr1": "11"})
GROUP = {"ID": "1", "SM": "s1", "LB": "l"}


def reads(folder: Path, *names: str, text: str = READS) -> None:
    """Pairs of files: two lanes never have the same reads."""
    for number, name in enumerate(names):
        for mate in "12":
            path = folder / name.replace("*", mate)
            path.parent.mkdir(parents=True, exist_ok=True)
            content = text.replace("{mate}", mate).replace("A01001:1", f"A01001:{number}")
            path.write_bytes(gzip.compress(content.encode(), mtime=0))


def bam(path: Path, *, contigs: dict[str, int] | None = None, records: int = 1, **more: Any) -> Path:
    lengths = {"chr1": 8000, "chr2": 5000} if contigs is None else contigs
    lines = [{"SN": name, "LN": length} for name, length in lengths.items()]
    header = {"HD": {"VN": "1.6"}, "SQ": lines, "RG": [GROUP]} | more
    with pysam.AlignmentFile(str(path), "wb", header=header) as out:
        for number in range(records):
            record = pysam.AlignedSegment(out.header)
            record.query_name, record.query_sequence, record.flag = f"r{number}", "ACGT", 4
            record.set_tag("RG", "1")
            out.write(record)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    reads(tmp_path, "s1_R*.fq.gz", "t_R*.fq.gz", "x.R*.fq.gz", "R*/y.fq.gz", "run1/s_S1_L001_R*_001.fastq.gz",
          "run2/s_S1_L001_R*_001.fastq.gz")  # fmt: skip
    return tmp_path


def sheet(folder: Path, text: str | bytes, name: str = "samples.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


SAREK_3 = (
    "patient,sex,status,sample,lane,fastq_1,fastq_2,spring_1,spring_2,table,cram,crai,bam,bai,vcf,variantcaller,"
    "contamination,ploidy\np1,XX,0,s1,L1,s1_R1.fq.gz,s1_R2.fq.gz,,,,,,,,,,0,2\n"
)
TWO_RUNS = (
    "sample,fastq_1,fastq_2\n"
    "s1,run1/s_S1_L001_R1_001.fastq.gz,run1/s_S1_L001_R2_001.fastq.gz\n"
    "s1,run2/s_S1_L001_R1_001.fastq.gz,run2/s_S1_L001_R2_001.fastq.gz\n"
)
ROW = "s1,s1_R1.fq.gz,s1_R2.fq.gz"


@pytest.mark.parametrize(
    "text",
    [
        f"sample,fastq_1,fastq_2\n{ROW}\n",
        f"sample;fastq_1;fastq_2\n{ROW}\n".replace(",", ";"),
        f"sample,fastq_1,fastq_2,,\n{ROW},,\n",
        f"sample,fastq_1,fastq_2\n{ROW},,\n",
        f"sample\tfastq_1\tfastq_2\n{ROW}\n".replace(",", "\t"),
        f"sample,fastq_1,fastq_2\n{ROW}\n".encode("utf-16"),
        f"\ufeffsample,fastq_1,fastq_2\r\n{ROW}\r\n".encode(),
        SAREK_3,
        "p1\tXX\t0\ts1\tL1\ts1_R1.fq.gz\ts1_R2.fq.gz\n",
        "patient,gender,sample,fastq_1,fastq_2\np1,XX,s1,s1_R1.fq.gz,s1_R2.fq.gz\n",
    ],
    ids=["comma", "semicolon", "trailing", "trailing fields", "tab", "utf-16", "excel", "sarek 3", "sarek 2", "gender"],
)
def test_sheets_of_all_programs_are_read(folder: Path, text: str | bytes) -> None:
    found = read_sheet(sheet(folder, text))
    [row] = found.samples["s1"].rows
    assert [path.name for path in row.files.values()] == ["s1_R1.fq.gz", "s1_R2.fq.gz"]
    assert found.notes == ()


def test_lines_that_are_passed_over_are_named(folder: Path) -> None:
    found = read_sheet(sheet(folder, f"# of a run\nsample,fastq_1,fastq_2\n{ROW}\n#t,t_R1.fq.gz,t_R2.fq.gz\n"))
    assert list(found.samples) == ["s1"]
    assert [note.partition(" begins")[0] for note in found.notes] == ["line 1", "line 4"]


@pytest.mark.parametrize(
    ("columns", "fields", "told"),
    [
        ("spring_1", "x.spring", "spring -d"),
        ("ploidy", "4", "ploidy '4'"),
        ("contamination", "0.1", "contamination '0.1'"),
        ("status", "1", "no tumours"),
        ("father", "nobody", "a parent of 's1'"),
    ],
)
def test_what_cannot_be_honoured_is_refused(folder: Path, columns: str, fields: str, told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        read_sheet(sheet(folder, f"sample,fastq_1,fastq_2,{columns}\n{ROW},{fields}\n"))
    assert str(caught.value).count("line 2") == 1


PAIRS = {"s1": "s1_R1.fq.gz,s1_R2.fq.gz", "t": "t_R1.fq.gz,t_R2.fq.gz", "x": "x.R1.fq.gz,x.R2.fq.gz"}


@pytest.mark.parametrize(
    ("columns", "fields", "told"),
    [
        ("sex,mother", {"s1": ",t", "t": "XY,"}, "line 2: 't' is the mother of 's1', and its sex is XY"),
        ("sex,father", {"s1": ",t", "t": "F,"}, "line 2: 't' is the father of 's1', and its sex is XX"),
        ("father,mother", {"s1": "t,t", "t": ","}, "line 2: 't' is both father and mother of 's1'"),
        ("father", {"s1": "s1"}, "has a mistake:\n  line 2: 's1', a parent of 's1', is no other sample of the sheet\n"),
        ("father", {"s1": "t", "t": "x", "x": "s1"}, "line 2: 's1' is an ancestor of itself\n"),
        ("patient,sex", {"s1": "p,XX", "t": "p,XY"}, "line 3: 't' and 's1' are of one patient, and their sexes are XY"),
    ],
)
def test_families_that_cannot_be_are_told(folder: Path, columns: str, fields: dict[str, str], told: str) -> None:
    rows = "".join(f"{name},{PAIRS[name]},{said}\n" for name, said in fields.items())
    with pytest.raises(DataError) as caught:
        read_sheet(sheet(folder, f"sample,fastq_1,fastq_2,{columns}\n{rows}"))
    assert told in f"{caught.value}\n"


def test_families_that_can_be_are_read(folder: Path) -> None:
    rows = "".join(f"{name},{PAIRS[name]},{said}\n" for name, said in {"s1": "t,x,XX", "t": ",,XY", "x": ",,"}.items())
    found = read_sheet(sheet(folder, f"sample,fastq_1,fastq_2,father,mother,sex\n{rows}"))
    assert (found.samples["s1"].father, found.samples["s1"].mother, found.notes) == ("t", "x", ())


def test_what_r_and_pandas_write_for_no_value_is_none(folder: Path) -> None:
    """Two samples of patient NA were taken for one person, and marked as swapped."""
    text = "sample,patient,lane,library,platform,status,father,sex,fastq_1,fastq_2\n"
    text += "NA,NA,NA,NA,nan,NULL,N/A,NA,s1_R1.fq.gz,NaN\nt,NA,,,,,,,t_R1.fq.gz,t_R2.fq.gz\n"
    found = read_sheet(sheet(folder, text))
    [row] = found.samples["NA"].rows
    assert row[2:9] == ("", "", "", "", "", "", "")
    assert list(row.files) == ["fastq_1"]
    assert found.samples["t"].patient == ""
    assert found.notes == (
        "2 lines, from line 2 on: NA is taken for no value (patient, lane, library)",
        *(
            f"line 2: {text} is taken for no value ({column})"
            for text, column in {"nan": "platform", "NULL": "status", "N/A": "father", "NaN": "fastq_2"}.items()
        ),
    )


def test_samples_that_differ_in_capital_letters_are_told(folder: Path) -> None:
    text = f"sample,fastq_1,fastq_2\n{ROW}\nS1,t_R1.fq.gz,t_R2.fq.gz\n"
    assert read_sheet(sheet(folder, text)).notes == ("samples 's1' and 'S1' differ in capital letters alone",)


def test_one_mistake_is_told_once(folder: Path) -> None:
    text = "sample,lane,fastq_1,fastq_2\ns1,1,s1_R1.fq.gz,s1_R2.fq.gz\ns1,1,s1_R1.fq.gz,s1_R2.fq.gz\n"
    with pytest.raises(DataError, match=r"has a mistake:\n  line 3: .*is named before, on line 2"):
        read_sheet(sheet(folder, text))
    text = "sample,lane,fastq_1,fastq_2\ns1,1,s1_R1.fq.gz,s1_R2.fq.gz\ns1,1,t_R1.fq.gz,t_R2.fq.gz\n"
    with pytest.raises(DataError, match="has a mistake:\n  line 3: lane '1'"):
        read_sheet(sheet(folder, text))


@pytest.mark.parametrize(
    "text",
    [
        TWO_RUNS,
        "sample,lane,fastq_1,fastq_2\ns1,,s1_R1.fq.gz,s1_R2.fq.gz\ns1,1,t_R1.fq.gz,t_R2.fq.gz\n",
        "sample,fastq_1,fastq_2\ns1,x.R1.fq.gz,x.R2.fq.gz\ns1,R1/y.fq.gz,R2/y.fq.gz\n",
    ],
    ids=["two runs of a lane", "one lane named", "other names"],
)
def test_lanes_get_names_of_their_own(folder: Path, store: sg.Store, text: str) -> None:
    lanes = name_lanes(sheet_lanes(read_sheet(sheet(folder, text)))["s1"])
    assert len({lane.name for lane in lanes}) == 2
    assert all(lane.r2 is not None for lane in lanes)


def test_urls_are_read_and_kept(folder: Path, store: sg.Store) -> None:
    urls = [f"file://{folder}/{mate}.fq.gz" for mate in ("s1_R1", "s1_R2")]
    text = f"sample,fastq_1,fastq_2\ns1,{urls[0]},{urls[1]}\n"
    [row] = read_sheet(sheet(folder, text)).samples["s1"].rows
    assert [path.name for path in row.files.values()] == ["s1_R1.fq.gz", "s1_R2.fq.gz"]
    assert read_sheet(sheet(folder, text)).samples["s1"].rows[0].files == row.files
    for wrong in ("nosuch://x/y.fq.gz", f"file://{folder}/missing.fq.gz"):
        with pytest.raises(DataError, match=r"line 2: .*cannot be read"):
            read_sheet(sheet(folder, f"sample,fastq_1\ns1,{wrong}\n"))


class Refusing(http.server.BaseHTTPRequestHandler):
    """Serves reads to those who sign, and nothing to others."""

    def do_GET(self) -> None:
        signed = self.path.endswith("?X-Amz-Signature=1")
        self.send_response(200 if signed else 403)
        self.send_header("Content-Length", str(len(PACKED) if signed else 0))
        self.end_headers()
        self.wfile.write(PACKED if signed else b"")

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


PACKED = gzip.compress(b"@r1\nACGT\n+\nIIII\n", mtime=0)


def test_signed_addresses_are_read_and_others_refused(folder: Path, store: sg.Store) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            address = f"http://127.0.0.1:{server.server_port}/a%20lane/s1%2BR1.fastq.gz"
            signed = f"sample,fastq_1\ns1,{address}?X-Amz-Signature=1\n"
            [row] = read_sheet(sheet(folder, signed)).samples["s1"].rows
            assert row.files["fastq_1"].name == "s1+R1.fastq.gz"
            with pytest.raises(DataError, match=r"line 2: .*s1%2BR1\.fastq\.gz\?… cannot be read: 403") as caught:
                read_sheet(sheet(folder, f"sample,fastq_1\ns1,{address}?key=secret\n"))
            assert "secret" not in str(caught.value)
        finally:
            server.shutdown()


def test_one_end_given_twice_is_refused(folder: Path) -> None:
    text = "".join(f"@r{number}\n{'ACGT' * 5}\n+\n{'I' * 20}\n" for number in range(30))
    reads(folder, "d_R*.fq.gz", text=text)
    with pytest.raises(DataError, match="one end is given twice"):
        read_sheet(sheet(folder, "sample,fastq_1,fastq_2\ns1,d_R1.fq.gz,d_R2.fq.gz\n"))


def test_home_and_blanks_behind_commas_are_understood(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    [row] = read_sheet(sheet(folder, 'sample, fastq_1, fastq_2\ns1, "~/s1_R1.fq.gz", s1_R2.fq.gz\n')).samples["s1"].rows
    assert row.files["fastq_1"] == folder / "s1_R1.fq.gz"


def test_lanes_without_reads_are_left_out_and_named(folder: Path, store: sg.Store) -> None:
    reads(folder, "ntc_R*.fq.gz", "s1_L002_R*.fq.gz", text="")
    text = f"sample,fastq_1,fastq_2\n{ROW}\ns1,s1_L002_R1.fq.gz,s1_L002_R2.fq.gz\nntc,ntc_R1.fq.gz,ntc_R2.fq.gz\n"
    found = read_sheet(sheet(folder, text))
    assert (list(found.samples), found.left_out) == (["s1"], {"ntc": "it has no reads"})
    assert len(found.samples["s1"].rows) == 1
    assert list(found.lost_lanes) == ["s1", "ntc"]
    assert any("line 3" in note and "left out" in note for note in found.notes)
    with pytest.raises(DataError, match=r"line 3: .*a negative control") as caught:
        read_sheet(sheet(folder, text), strict=True)
    assert "line 4" in str(caught.value)
    with pytest.raises(DataError, match="no sample has any reads"):
        read_sheet(sheet(folder, "sample,fastq_1,fastq_2\nntc,ntc_R1.fq.gz,ntc_R2.fq.gz\n"))


def test_alignments_that_are_none_are_told_before_anything_runs(tmp_path: Path) -> None:
    bam(tmp_path / "ubam.bam", contigs={})
    whole = bam(tmp_path / "whole.bam").read_bytes()
    (tmp_path / "cut.bam").write_bytes(whole[:-28])
    with pytest.raises(DataError) as caught:
        read_sheet(sheet(tmp_path, "sample,lane,bam\ns1,1,ubam.bam\ns1,2,cut.bam\n"))
    assert "line 2" in str(caught.value)
    assert "not aligned (uBAM)" in str(caught.value)
    assert "cut.bam is cut short" in str(caught.value)


def test_every_input_is_looked_at_beside_the_reference(tmp_path: Path) -> None:
    bam(tmp_path / "decoy.bam", contigs={"chr1": 8000, "decoy": 10})
    bam(tmp_path / "ensembl.bam", contigs={"1": 8000})
    bam(tmp_path / "md5.bam", SQ=[{"SN": "chr1", "LN": 8000, "M5": "12"}])
    bam(tmp_path / "done.bam", PG=[{"ID": "GATK ApplyBQSR", "PN": "GATK ApplyBQSR"}])
    names = ("decoy", "ensembl", "md5", "done")
    found = read_sheet(sheet(tmp_path, "sample,lane,bam\n" + "".join(f"s1,{n},{n}.bam\n" for n in names)))
    bed, empty, other = (tmp_path / name for name in ("t.bed", "empty.vcf", "other.vcf"))
    bed.write_text("1\t300\t900\n")
    empty.write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
    other.write_text(empty.read_text() + "1\t5\t.\tA\tG\t.\t.\t.\n")
    zipped = tmp_path / "zipped.vcf.gz"
    zipped.write_bytes(gzip.compress(other.read_text().replace("\n1\t", "\nchr1\t").encode()))
    sites = [sg.KnownSites(path=path) for path in (empty, other, zipped)]
    with pytest.raises(DataError) as caught:
        check_against(CONTIGS, found, target=sg.Intervals(path=bed), known_sites=sites, engine="gatk")
    lines = str(caught.value).splitlines()
    for start, told in (
        ("line 2", "decoy is not in it"), ("line 3", "it calls this contig chr1"), ("line 4", "MD5 12"),
        ("t.bed", "it calls this contig chr1"), ("empty.vcf", "no known sites in it"), ("other.vcf", "1 is not in"),
        ("zipped.vcf.gz", "compress it with bgzip"),
    ):  # fmt: skip
        assert any(line.strip().startswith(start) and told in line for line in lines), (start, lines)
    assert len(lines) == 8
    done = read_sheet(sheet(tmp_path, "sample,bam\ns1,done.bam\n"))
    assert check_against(CONTIGS, done) == ["line 2: done.bam was recalibrated before, as its header says"]
    long = Contigs("wheat.fa", {"1A": 600_000_000}, {})
    with pytest.raises(DataError, match="beyond 512 Mb"):
        check_against(long, engine="gatk")
    assert check_against(long) == []


@pytest.mark.parametrize(
    ("places", "told"),
    [
        ([("chr1", "9"), ("chr1", "5")], "chr1:5 comes after chr1:9"),
        ([("chr1", "9"), ("chr2", "5"), ("chr1", "10")], "chr1 is in two places"),
        ([("chr1", "x")], "a record has no position"),
        ([("chr1", "9"), ("chr2", "5001")], "is of another reference: it has chr2:5,001, and chr2 has 5,000 bases"),
    ],
)
def test_known_sites_that_no_tool_can_index_are_told(tmp_path: Path, places: list[tuple[str, str]], told: str) -> None:
    lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    lines += [f"{contig}\t{place}\t.\tA\tG\t.\t.\t." for contig, place in places]
    (tmp_path / "sites.vcf").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=rf"sites\.vcf: .*{told}"):
        check_against(CONTIGS, known_sites=[sg.KnownSites(path=tmp_path / "sites.vcf")])


def test_wiring_looks_at_inputs_too(folder: Path, store: sg.Store) -> None:
    (folder / "ref.fa").write_text(f">chr1\n{'ACGT' * 10}\n")
    store.add(folder / "ref.fa", sg.Reference(build="b"))
    bam(folder / "s1.bam")
    with pytest.raises(DataError, match=r"line 2: .*chr1 has 8,000 bases there, and 40 here"):
        call_sheet(str(sheet(folder, "sample,bam\ns1,s1.bam\n")), "b")
    assert store.assemble(asset="alignment", missing="skip") == []
    with pytest.warns(DataWarning, match="line 3 begins with #"):
        call_sheet(str(sheet(folder, f"sample,fastq_1,fastq_2\n{ROW}\n#\n")), "b")


def add_pair(store: sg.Store, folder: Path, name: str, sample: str = "s1") -> sg.Asset:
    r2 = store.add(folder / name.replace("*", "2"), sg.R2(sample_id=sample))
    return store.add(folder / name.replace("*", "1"), sg.R1(sample_id=sample, mate_cid=r2.cid or ""))


def test_reads_that_tasks_made_are_no_lanes(folder: Path, store: sg.Store) -> None:
    @sg.task
    def shorten(work: sg.Workdir, r1: sg.R1) -> sg.R1:
        out = work.file("s1_R1.trimmed.fq.gz")
        out.write_bytes(gzip.compress(gzip.decompress(r1.path.read_bytes())[:100], mtime=0))
        return sg.R1(path=out, sample_id=r1.sample_id)

    r1 = add_pair(store, folder, "s1_R*.fq.gz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shorten(r1).compute()
    assert len(store.assemble(asset="r1", sample_id="s1")) == 2
    [lane] = find_lanes("s1")
    assert lane.r1.cid == r1.cid


def test_two_people_of_one_name_are_not_joined(folder: Path, store: sg.Store) -> None:
    add_pair(store, folder, "s1_R*.fq.gz")
    add_pair(store, folder, "t_R*.fq.gz")
    with pytest.raises(DataError, match="two people of one name") as caught:
        find_lanes("s1")
    assert "s1_R1.fq.gz" in str(caught.value)
    assert "t_R1.fq.gz" in str(caught.value)
    assert len(find_lanes("s1", all_lanes=True)) == 2


def test_files_of_one_name_from_two_folders_are_not_joined(folder: Path, store: sg.Store) -> None:
    for run in ("run1", "run2"):
        add_pair(store, folder / run, "s_S1_L001_R*_001.fastq.gz")
    with pytest.raises(DataError, match="two people of one name"):
        find_lanes("s1")


def test_the_same_reads_twice_are_an_error(folder: Path, store: sg.Store) -> None:
    (folder / "copy_R1.fq.gz").write_bytes((folder / "s1_R1.fq.gz").read_bytes())
    (folder / "copy_R2.fq.gz").write_bytes((folder / "s1_R2.fq.gz").read_bytes())
    text = f"sample,lane,fastq_1,fastq_2\n{ROW.replace('s1,', 's1,1,', 1)}\nt,1,copy_R1.fq.gz,copy_R2.fq.gz\n"
    with pytest.raises(DataError, match=r"line 3: copy_R1.fq.gz has the very bytes of s1_R1.fq.gz, on line 2"):
        sheet_lanes(read_sheet(sheet(folder, text)))
    r1 = store.add(folder / "s1_R1.fq.gz", sg.R1(sample_id="s1"))
    for samples in ({"s1": [Lane(r1), Lane(r1)]}, {"s1": [Lane(r1)], "t": [Lane(r1)]}):
        with pytest.raises(DataError, match="the same reads are there twice"):
            check_lanes(samples)


def test_recalibrated_lanes_are_known(tmp_path: Path, store: sg.Store) -> None:
    done = store.add(
        bam(tmp_path / "a.bam", PG=[{"ID": "x", "CL": "gatk ApplyBQSR -R r.fa"}]), sg.Alignment(sample_id="s1")
    )
    raw = store.add(bam(tmp_path / "b.bam"), sg.Alignment(sample_id="s1"))
    assert is_recalibrated([Lane(aligned=done)])
    assert not is_recalibrated([Lane(aligned=raw)])
    with pytest.raises(DataError, match="of other lanes"):
        is_recalibrated([Lane(aligned=done), Lane(aligned=raw)])


@pytest.mark.parametrize(
    ("instruments", "distance", "noted"),
    [
        (["A01001"], 2500, False),
        (["M00123"], 100, False),
        (["A01001", "LH00123", "ST-E00185"], 2500, False),
        (["A01001", "M00123"], 100, True),
        (["A01001", "D00123", "nameless"], 100, True),
        (["nameless"], 100, False),
        (["nameless", "VH00123"], 2500, False),
        (["AB0123", "AAAA1"], 100, False),
    ],
)
def test_optical_distance_fits_the_instruments_of_all_lanes(
    tmp_path: Path, store: sg.Store, instruments: list[str], distance: int, *, noted: bool
) -> None:
    lanes = []
    for number, name in enumerate(instruments):
        text = READS.replace("A01001:1:FC:1:1101:", "r" if name == "nameless" else f"{name}:1:FC:1:1101:")
        reads(tmp_path, f"{number}_R*.fq.gz", text=text)
        lanes.append(Lane(store.add(tmp_path / f"{number}_R1.fq.gz", sg.R1(sample_id="s1"))))
    found = optical_distance(lanes)
    assert found.distance == distance
    assert bool(found.note) is noted
    assert not noted or all(name in found.note for name in instruments if name != "nameless")
    assert ReadOptions(optical_distance=7).optical(lanes) == (7, (), ())


@pytest.mark.parametrize("kind", ["bam", "cram"])
def test_the_instrument_of_aligned_reads_is_known(tmp_path: Path, store: sg.Store, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    with pysam.AlignmentFile(str(path), f"w{kind[0]}", header={"SQ": [{"SN": "c", "LN": 90}], "RG": [GROUP]}) as out:
        record = pysam.AlignedSegment(out.header)
        record.query_name, record.query_sequence, record.flag = "A01001:1:FC:1:1101:5:1", "ACGT", 4
        out.write(record)
    lane = Lane(aligned=store.add(path, sg.Alignment(sample_id="s1", format=kind)))
    assert optical_distance([lane]) == (2500, ("A01001",), ())


def test_builds_come_along_without_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: sg.Store) -> None:
    import hashlib

    import dask.config

    assert "GRCh38" in build_names()
    found = find_build("grch38")
    assert found is not None
    assert found.sequences["chrM"] == (16569, "c68f52674c9fb33aef52dcf399755519")
    (tmp_path / "g.fa").write_text(">a x\nacgt\nAC\n")
    md5 = hashlib.md5(b"ACGTAC").hexdigest()
    text = "build: mine\nfasta: file://{f}\nsource: here\nsequences: {{a: [6, {m}]}}\n"
    (tmp_path / "mine.yaml").write_text(text.format(f=tmp_path / "g.fa", m=md5))
    (tmp_path / "wrong.yaml").write_text(text.format(f=tmp_path / "g.fa", m="0").replace("mine", "wrong"))
    with dask.config.set({"stargazer.references": str(tmp_path)}):
        mine, wrong = find_build("mine"), find_build("wrong")
        assert mine is not None
        assert wrong is not None
        assert mine.fetch_reference().build == "mine"
        (tmp_path / "g.fa").unlink()
        assert mine.fetch_reference().cid
        (tmp_path / "g.fa").write_text(">a x\nacgt\nAC\n")
        with pytest.raises(DataError, match="not wrong as published"):
            wrong.fetch_reference()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("t.interval_list", "@HD\tVN:1.0\n@SQ\tSN:chr1\tLN:8000\nchr1\t101\t900\t+\ta\n", "IntervalListToBed"),
        ("t.list", "chr1:101-900\n", "'chr1:101-900', which count from 1"),
        ("t.intervals", "HLA-A*01:01:101-900\n", "which count from 1"),
        ("t.list", "chr1:1,101\n", "which count from 1"),
        ("t.vcf", "##fileformat=VCFv4.2\n#CHROM\nchr1\t5\t.\n", "is a VCF, no BED"),
    ],
)
def test_regions_in_other_forms_are_told_by_name(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        check_against(CONTIGS, target=sg.Intervals(path=tmp_path / name))
    assert told in str(caught.value)
    assert str(caught.value).count("\n") == 1


@pytest.mark.parametrize(
    ("name", "record", "told"),
    [
        ("a.vcf", "chr1\t5\n", "a record has fewer than 8 columns"),
        ("a.vcf", "chr1 5 . A G . . .\n", "a record has fewer than 8 columns"),
        ("a.vcf.gz", "chr1\t5\t.\tA\tG\t.\t.\t.\n", "is not compressed, though its name says so"),
    ],
)
def test_known_sites_that_no_tool_can_read_are_told(tmp_path: Path, name: str, record: str, told: str) -> None:
    (tmp_path / name).write_text(f"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n{record}")
    with pytest.raises(DataError, match=told) as caught:
        check_against(CONTIGS, known_sites=[sg.KnownSites(path=tmp_path / name)], engine="gatk")
    assert str(caught.value).count("\n") == 1


COLUMN_NAMES = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
SITE = "chr1\t5\trs1\tA\tC\t.\t.\t.\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (SITE * 2, "is no VCF, which begins with ##fileformat=VCF: 'chr1"),
        ("##fileformat=VCFv4.2\n" + SITE * 2, "has no line #CHROM"),
        ("##fileformat=VCFv4.2\n##source=x\n", "has no line #CHROM"),
        ("##gff-version 3\n" + SITE, "is no VCF, which begins"),
        ("chr1\t1\t5\nchr1\t7\t9\n", "is no VCF, which begins"),
        ("\n##fileformat=VCFv4.2\n" + COLUMN_NAMES + SITE, "is no VCF, which begins"),
        ("<html>\n<body>404</body>\n", "is a web page"),
        ("\ufeff##fileformat=VCFv4.2\n" + COLUMN_NAMES + SITE, "begins with a byte order mark"),
        (("##fileformat=VCFv4.2\n" + COLUMN_NAMES + SITE).encode("utf-16"), "begins with a byte order mark"),
        (b"BCF\2\2\xff\xfe\x80", "is a BCF; bcftools view -Oz"),
        (b"TBI\1\x80\x81", "is no VCF, which begins"),
        ("", "is empty"),
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "bgzip"])
def test_known_sites_that_are_no_vcf_are_told_for_what_they_are(
    tmp_path: Path, content: str | bytes, told: str, packed: bool
) -> None:
    path = tmp_path / ("sites.vcf.gz" if packed else "sites.vcf")
    data = content.encode() if isinstance(content, str) else content
    if packed:
        with pysam.BGZFile(str(path), "wb") as file:
            file.write(data)
    else:
        path.write_bytes(data)
    with pytest.raises(DataError, match=rf"sites\.vcf.*: {told}") as caught:
        check_against(CONTIGS, known_sites=[sg.KnownSites(path=path, name=path.name)])
    assert str(caught.value).count("\n") == 1
