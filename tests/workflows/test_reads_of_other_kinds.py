"""What sequencing centres send in place of plain reads of whole DNA: told with the sheet, before anything runs."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pysam
import pytest

import stargazer as sg
from stargazer.errors import DataError
from stargazer.workflows import read_sheet
from stargazer.workflows.inputs import Contigs, check_against
from stargazer.workflows.sheet_files import caller_of

DRAW = random.Random(5)


def name_of(number: int, lane: int = 1, umi: str = "") -> str:
    return f"A01:7:HXX:{lane}:1101:{number}:2{umi}"


def fastq(path: Path, reads: list[str], *, lane: int = 1, quality: str = "", umi: str = "", level: int = 6) -> Path:
    """Reads with the names of Illumina; each lane has its own."""
    draw = random.Random(1)
    text = "".join(
        f"@{name_of(number, lane, umi)} 1:N:0\n{read}\n+\n{quality * len(read) or drawn(len(read), 'FFFF:,#', draw)}\n"
        for number, read in enumerate(reads)
    )
    path.write_bytes(gzip.compress(text.encode(), level, mtime=0))
    return path


def drawn(length: int, letters: str = "ACGT", draw: random.Random = DRAW) -> str:
    return "".join(draw.choices(letters, k=length))


def some(length: int = 100, count: int = 60, letters: str = "ACGT") -> list[str]:
    return [drawn(length, letters) for _ in range(count)]


def told(folder: Path, lines: str) -> tuple[str, ...]:
    """Notes of a sheet."""
    (folder / "samples.csv").write_text(f"sample,lane,fastq_1,fastq_2\n{lines}\n")
    return read_sheet(folder / "samples.csv").notes


def refused(folder: Path, lines: str, pattern: str) -> None:
    with pytest.raises(DataError, match=pattern):
        told(folder, lines)


def test_usual_reads_are_not_noted(tmp_path: Path) -> None:
    fastq(tmp_path / "a_1.fq.gz", some())
    fastq(tmp_path / "a_2.fq.gz", some(60))
    assert told(tmp_path, "a,1,a_1.fq.gz,a_2.fq.gz") == ()


def test_treated_dna_is_refused(tmp_path: Path) -> None:
    """Of bisulfite reads the first end lacks C, the second G; AT-rich genomes lack both."""
    fastq(tmp_path / "a_1.fq.gz", some(letters="AGTT"))
    fastq(tmp_path / "a_2.fq.gz", some(letters="AACT"))
    refused(
        tmp_path, "a,1,a_1.fq.gz,a_2.fq.gz", r"a_1\.fq\.gz has 0\.0% C among its bases(?s:.*)a_2\.fq\.gz has 0\.0% G"
    )
    fastq(tmp_path / "b.fq.gz", some(letters="AGTT"))
    refused(tmp_path, "b,1,b.fq.gz,", "line 2: b.fq.gz has .* of bisulfite or enzymes")
    fastq(tmp_path / "c.fq.gz", some(letters="A" * 25 + "T" * 25 + "CG"))
    assert told(tmp_path, "c,1,c.fq.gz,") == ()
    fastq(tmp_path / "d.fq.gz", ["G" * 100] * 5 + some(letters="ACGT"))
    assert told(tmp_path, "d,1,d.fq.gz,") == ()


def test_barcodes_in_place_of_mates_are_refused(tmp_path: Path) -> None:
    """Of three files the second has UMIs, and the third the mates."""
    fastq(tmp_path / "a_R1.fq.gz", some())
    fastq(tmp_path / "a_R2.fq.gz", some(9))
    refused(tmp_path, "a,1,a_R1.fq.gz,a_R2.fq.gz", r"a_R2\.fq\.gz has reads of up to 9 bases, .* of three files")
    refused(tmp_path, "a,1,a_R2.fq.gz,a_R1.fq.gz", r"a_R2\.fq\.gz has reads of up to 9 bases, .* of three files")
    fastq(tmp_path / "b_R1.fq.gz", some(28))
    fastq(tmp_path / "b_R2.fq.gz", some(25))
    assert told(tmp_path, "b,1,b_R1.fq.gz,b_R2.fq.gz") == ()


def test_long_reads_equal_qualities_and_umis_are_noted_once(tmp_path: Path) -> None:
    fastq(tmp_path / "long.fq.gz", some(1500, 25))
    [note] = told(tmp_path, "a,1,long.fq.gz,")
    assert note.startswith("line 2: there are reads of more than 1,000 bases")
    for lane in range(1, 4):
        fastq(tmp_path / f"lite{lane}.fq.gz", some(), lane=lane, quality="?")
        fastq(tmp_path / f"umi{lane}.fq.gz", some(), lane=lane, umi=":ACGTACGT+TTGGAACC")
    [note] = told(tmp_path, "".join(f"a,{lane},lite{lane}.fq.gz,\n" for lane in range(1, 4)))
    assert note.startswith("3 lines, from line 2 on: all bases have one quality")
    [note] = told(tmp_path, "".join(f"a,{lane},umi{lane}.fq.gz,\n" for lane in range(1, 4)))
    assert note.startswith("3 lines, from line 2 on: names of reads end in UMIs")


def test_the_same_reads_in_other_bytes_are_refused(tmp_path: Path) -> None:
    """Compressed anew, cut, or not compressed: one person's reads under two names."""
    reads = some()
    fastq(tmp_path / "a.fq.gz", reads)
    fastq(tmp_path / "b.fq.gz", reads, level=1)
    (tmp_path / "c.fq").write_bytes(gzip.decompress((tmp_path / "a.fq.gz").read_bytes())[:-3000].rpartition(b"@A01")[0])
    assert (tmp_path / "a.fq.gz").read_bytes() != (tmp_path / "b.fq.gz").read_bytes()
    for other in ("b.fq.gz", "c.fq"):
        refused(
            tmp_path,
            f"a,1,a.fq.gz,\nb,1,{other},",
            rf"line 3: {other} begins with the very reads of a\.fq\.gz, on line 2",
        )
    fastq(tmp_path / "d.fq.gz", reads, lane=2)
    assert told(tmp_path, "a,1,a.fq.gz,\na,2,d.fq.gz,") == ()


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("a_R1.fastq.ora", "orad"), ("a.fq.bz2", "gzip"), ("a.sra", "fasterq-dump"), ("a.fastq.gz.gpg", "decrypt"),
     ("a.fastq.gz.md5", "checksum"), ("a.pod5", "Dorado"), ("a.txt", "not named as FASTQ")],
)  # fmt: skip
def test_other_forms_of_reads_are_told_with_the_remedy(tmp_path: Path, name: str, remedy: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    refused(tmp_path, f"a,1,{name},", rf"line 2: .*{name} is .*{remedy}")


def test_sheets_for_sequencers_and_workbooks_are_told(tmp_path: Path) -> None:
    path = tmp_path / "SampleSheet.csv"
    path.write_text("[Header],,\nFileFormatVersion,2,\n[BCLConvert_Data]\nLane,Sample_ID,index\n1,s,ACGT\n")
    with pytest.raises(DataError, match="for demultiplexing, which names no files; write one with the columns sample"):
        read_sheet(path)
    for start in (b"PK\3\4\x14\0\6\0", b"\xd0\xcf\x11\xe0\xa1\xb1"):
        path.write_bytes(start + b"rest")
        with pytest.raises(DataError, match=r"it is a workbook .*; write it as CSV in UTF-8"):
            read_sheet(path)


def test_forms_that_names_and_columns_have_wrong_are_told(tmp_path: Path) -> None:
    """The format is a fact of what is stored, and tools go by the end of the name."""
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "chr1", "LN": 90}], "RG": [{"ID": "1", "SM": "a", "LB": "l"}]}
    for name in ("a.cram", "a.bam"):
        pysam.AlignmentFile(str(tmp_path / name), "wb", header=header).close()
    for column, name, why in (
        ("cram", "a.cram", r"a\.cram is BAM, whatever its name says, .*rename it"),
        ("bam", "a.cram", r"a\.cram is BAM, whatever its name says, .*rename it"),
        ("cram", "a.bam", r"a\.bam is BAM; it belongs into the column bam"),
    ):
        (tmp_path / "samples.csv").write_text(f"sample,{column}\na,{name}\n")
        with pytest.raises(DataError, match=rf"line 2: .*{why}"):
            read_sheet(tmp_path / "samples.csv")
    (tmp_path / "a.fq.gz").write_text("<!DOCTYPE html><html>please log in</html>")
    refused(tmp_path, "a,1,a.fq.gz,", r"line 2: .*a\.fq\.gz is a web page")


# gVCFs.

HEAD = '##fileformat=VCFv4.2\n{mark}##ALT=<ID={symbol},Description="any">\n##contig=<ID=chr1,length=900>\n'
FIELDS = (
    '##INFO=<ID=END,Number=1,Type=Integer,Description="e">\n##FORMAT=<ID=PL,Number=G,Type=Integer,Description="l">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\n"
)


def gvcf(path: Path, symbol: str = "*", mark: str = "", last: int = 900) -> Path:
    text = HEAD.format(mark=mark, symbol=symbol) + FIELDS
    text += f"chr1\t1\t.\tA\t<{symbol}>\t.\t.\tEND={last}\tPL\t0,3,60\n"
    with pysam.BGZFile(str(path), "w") as file:
        file.write(text.encode())
    return path


@pytest.mark.parametrize(
    ("mark", "symbol", "caller"),
    [
        ("##DeepVariant_version=1.6.1\n", "*", "DeepVariant"),
        ("##source=DRAGEN\n", "NON_REF", "DRAGEN"),
        ('##DRAGENVersion=<ID=dragen,Version="SW: 05.021.604">\n', "NON_REF", "DRAGEN"),
        ("##source=Clair3\n", "NON_REF", "Clair3"),
        ("##source=freeBayes v1.3.6\n", "*", "freeBayes"),
        ('##SentieonCommandLine.DNAscope=<ID=DNAscope,Version="202308">\n', "NON_REF", "DNAscope"),
    ],
)
def test_callers_that_write_as_ours_do_are_not_taken_for_them(
    tmp_path: Path, mark: str, symbol: str, caller: str
) -> None:
    gvcf(tmp_path / "a.g.vcf.gz", symbol, mark)
    (tmp_path / "samples.csv").write_text("sample,gvcf\ns1,a.g.vcf.gz\n")
    with pytest.raises(DataError, match=rf"line 2: .*was called by {caller}, and gVCFs of GATK and bcftools"):
        read_sheet(tmp_path / "samples.csv")


@pytest.mark.parametrize(
    ("mark", "symbol", "caller"),
    [
        ("##source=HaplotypeCaller\n", "NON_REF", "gatk"),
        ('##GATKCommandLine=<ID=HaplotypeCaller,CommandLine="-I DRAGEN.bam">\n', "NON_REF", "gatk"),
        ('##SentieonCommandLine.Haplotyper=<ID=Haplotyper,Version="202308">\n', "NON_REF", "gatk"),
        ("##bcftools_mpileupCommand=mpileup --gvcf 0 -f DeepVariant.fa\n", "*", "bcftools"),
    ],
)
def test_callers_of_gvcfs_that_can_be_joined(mark: str, symbol: str, caller: str) -> None:
    assert caller_of(HEAD.format(mark=mark, symbol=symbol) + FIELDS) == caller


def test_gvcfs_and_known_sites_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    """Cut between two blocks, nothing is damaged, and tools read on."""
    path = gvcf(tmp_path / "a.g.vcf.gz")
    path.write_bytes(path.read_bytes()[:-28])
    assert gzip.decompress(path.read_bytes())
    (tmp_path / "samples.csv").write_text("sample,gvcf\ns1,a.g.vcf.gz\n")
    with pytest.raises(DataError, match=r"line 2: .*a\.g\.vcf\.gz is cut short"):
        read_sheet(tmp_path / "samples.csv")
    sites = tmp_path / "dbsnp.vcf.gz"
    with pysam.BGZFile(str(sites), "w") as file:
        file.write(b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nchr1\t5\t.\tA\tC\t.\t.\t.\n")
    contigs = Contigs("ref.fa", {"chr1": 900}, {})
    assert check_against(contigs, known_sites=[sg.KnownSites(path=sites)]) == []
    sites.write_bytes(sites.read_bytes()[:-28])
    with pytest.raises(DataError, match=r"dbsnp\.vcf\.gz: is cut short"):
        check_against(contigs, known_sites=[sg.KnownSites(path=sites)])
