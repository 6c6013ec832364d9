"""gVCFs of others: called on other bases than the reference has, and places that no record tells of."""

from __future__ import annotations

import random
from pathlib import Path

import pysam
import pytest

import stargazer as sg
from stargazer.errors import DataError
from stargazer.tasks.regions import Region
from stargazer.workflows import germline, gvcf_records, read_sheet
from stargazer.workflows.gvcf_records import Bases, read_records
from stargazer.workflows.inputs import Contigs, check_against

DRAW = random.Random(19)
SEQUENCES = {
    name: "".join(DRAW.choices("ACGT", k=length)) for name, length in {"chr1": 9000, "chr2": 4000, "c|3*": 700}.items()
}
SEQUENCES["chr2"] = SEQUENCES["chr2"][:1500] + "N" * 1500 + SEQUENCES["chr2"][3000:]
LENGTHS = {name: len(sequence) for name, sequence in SEQUENCES.items()}
SYMBOLS = {"embedded": "*", "gatk": "NON_REF"}

Record = tuple[str, int, str, str, str]
"""Contig, position, REF, further alleles, INFO."""


def gvcf(path: Path, records: list[Record], engine: str = "embedded") -> Path:
    symbol = SYMBOLS[engine]
    head = f'##fileformat=VCFv4.2\n##ALT=<ID={symbol},Description="any">\n' + "".join(
        f"##contig=<ID={name},length={length}>\n" for name, length in LENGTHS.items()
    )
    head += '##INFO=<ID=END,Number=1,Type=Integer,Description="e">\n'
    head += '##INFO=<ID=BEND,Number=1,Type=Integer,Description="no end">\n'
    head += '##FORMAT=<ID=PL,Number=G,Type=Integer,Description="l">\n'
    head += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\n"
    lines = [
        f"{contig}\t{at}\t.\t{ref}\t{alt}<{symbol}>\t.\t.\t{info}\tPL\t0,3,60\n"
        for contig, at, ref, alt, info in records
    ]
    with pysam.BGZFile(str(path), "w") as file:
        file.write((head + "".join(lines)).encode())
    return path


def block(contig: str, first: int, last: int) -> Record:
    return contig, first, SEQUENCES[contig][first - 1], "", f"END={last}"


def whole() -> list[Record]:
    return [block(name, 1, length) for name, length in LENGTHS.items()]


@pytest.fixture
def contigs(tmp_path: Path) -> Contigs:
    fasta = tmp_path / "ref.fa"
    lines = {name: "\n".join(text[at : at + 61] for at in range(0, len(text), 61)) for name, text in SEQUENCES.items()}
    fasta.write_text("".join(f">{name}\n{text}\n" for name, text in lines.items()))
    pysam.faidx(str(fasta))
    return Contigs("ref.fa", LENGTHS, {}, sg.Reference(path=fasta), Path(f"{fasta}.fai").read_text())


def told(folder: Path, contigs: Contigs, records: list[Record], bed: str = "", engine: str = "embedded") -> list[str]:
    """Notes of a sheet with one gVCF."""
    gvcf(folder / "a.g.vcf.gz", records, engine)
    (folder / "samples.csv").write_text("sample,gvcf\ns1,a.g.vcf.gz\n")
    (folder / "t.bed").write_text(bed)
    target = sg.Intervals(path=folder / "t.bed") if bed else None
    return check_against(contigs, read_sheet(folder / "samples.csv"), target=target, engine=engine)


@pytest.mark.parametrize("engine", ["embedded", "gatk"])
def test_other_bases_are_told_with_file_and_position(tmp_path: Path, contigs: Contigs, engine: str) -> None:
    assert told(tmp_path, contigs, whole(), engine=engine) == []
    records = [block("chr1", 1, 4000), block("chr1", 4001, 9000), *whole()[1:]]
    here = SEQUENCES["chr1"][4000]
    there = "ACGT"[("ACGT".index(here) + 1) % 4]
    records[1] = ("chr1", 4001, there, "", "END=9000")
    pattern = (
        rf"line 2: .*a\.g\.vcf\.gz was called on other bases than those of ref\.fa: chr1:4,001 is {there} there and "
        rf"{here} here, and 1 of 4 records"
    )
    with pytest.raises(DataError, match=pattern):
        told(tmp_path, contigs, records, engine=engine)


def test_letters_that_say_nothing_are_no_other_bases(tmp_path: Path, contigs: Contigs) -> None:
    """Masked references have lower case and N; callers write N for R, Y and the like."""
    first = SEQUENCES["chr1"]
    records: list[Record] = [
        ("chr1", 1, first[0].lower(), "", "END=1"),
        ("chr1", 2, "N", "", "END=9000"),
        ("chr2", 1, SEQUENCES["chr2"][0], "", "END=1600"),
        ("chr2", 1601, "A", "", "END=4000"),
        whole()[2],
    ]
    assert told(tmp_path, contigs, records) == []


def test_holes_in_the_target_are_counted_and_named(tmp_path: Path, contigs: Contigs) -> None:
    records = [block("chr1", 1, 1000), block("chr1", 1201, 9000), *whole()[1:]]
    [note] = told(tmp_path, contigs, records, "chr1\t900\t1000\nchr1\t1010\t1110\nchr2\t10\t210\n")
    assert note == (
        "line 2: a.g.vcf.gz tells nothing of 100 of the 400 bases of the target, and nothing at all of 1 of its 3 "
        "regions: chr1:1,011-1,110; there the genotypes of its sample are unknown"
    )
    [note] = told(tmp_path, contigs, records, "chr1\t900\t1300\nchr2\t10\t210\n")
    assert "200 of the 600 bases of the target: chr1:1,001-1,200;" in note
    assert told(tmp_path, contigs, records, "chr1\t1990\t2100\n") == []
    missing = [block("chr1", 1, 1000), block("chr1", 1003, 9000), *whole()[1:]]
    assert told(tmp_path, contigs, missing, "chr1\t0\t9000\n") == []


def test_long_holes_are_told_where_nobody_says_what_was_looked_at(tmp_path: Path, contigs: Contigs) -> None:
    """Of runs of N nobody calls anything, and short holes are places without reads."""
    short = [block("chr1", 1, 4000), block("chr1", 4900, 9000), block("chr2", 1, 1500), block("chr2", 3001, 4000)]
    assert told(tmp_path, contigs, [*short, whole()[2]]) == []
    [note] = told(tmp_path, contigs, [block("chr1", 1, 4000), block("chr1", 6001, 9000), *whole()[1:]])
    assert "tells nothing of 2,000 bases, in 1 places of 1,000 and more: chr1:4,001-6,000;" in note
    assert "give their BED as target" in note


def test_what_is_not_sorted_or_no_record_is_told(tmp_path: Path, contigs: Contigs) -> None:
    turned = [block("chr1", 2001, 9000), block("chr1", 1, 2000), *whole()[1:]]
    with pytest.raises(DataError, match=r"is not sorted: chr1:1 comes after chr1:2,001; sort it, with bcftools sort"):
        told(tmp_path, contigs, turned)
    apart = [block("chr1", 1, 2000), whole()[1], block("chr1", 2001, 9000)]
    with pytest.raises(DataError, match=r"is not sorted: chr1 is in two places"):
        told(tmp_path, contigs, apart)
    for line, why in (("chr1\tx\t.\tA\t<*>\t.\t.\t.\n", "no position"), ("chr1\t3\t.\tA\n", "fewer than 8 columns")):
        (tmp_path / "odd.vcf").write_text(line)
        with pytest.raises(DataError, match=why):
            read_records(tmp_path / "odd.vcf", LENGTHS)


def random_records(draw: random.Random) -> list[Record]:
    records: list[Record] = []
    for name, sequence in SEQUENCES.items():
        at = draw.choice([1, draw.randrange(1, 300)])
        while at <= len(sequence):
            ref = sequence[at - 1 : at - 1 + draw.choice([1, 1, 1, 7, 40])]
            end = min(len(sequence), at + draw.randrange(0, 400))
            kind = draw.randrange(4)
            info = [f"END={end}", f"BEND=1;END={end}", f"END={end};BEND=99999", "BEND=99999"][kind]
            if kind < 3:
                ref = ref[0]
            if draw.random() < 0.02 and ref[0] in "ACGT":
                ref = "TGCA"["ACGT".index(ref[0])] + ref[1:]
            records.append((name, at, ref, draw.choice(["", "C,"]), info))
            at = draw.choice([at + 1, end + 1, end + draw.randrange(1, 200)])
    return records


@pytest.mark.parametrize("seed", range(8))
def test_pieces_tell_what_lines_tell(
    tmp_path: Path, contigs: Contigs, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Beside a reading line by line, base by base."""
    records = random_records(random.Random(seed))
    path = gvcf(tmp_path / "r.g.vcf.gz", records)
    monkeypatch.setattr(gvcf_records, "PIECE", 1000 + 977 * seed)
    assert contigs.fasta is not None
    found = read_records(path, LENGTHS, Bases.of(contigs.fasta.path, contigs.faidx))
    covered = {name: bytearray(length) for name, length in LENGTHS.items()}
    others = []
    for contig, at, ref, _, info in records:
        ends = [int(part[4:]) for part in info.split(";") if part.startswith("END=")]
        end = max([at + len(ref) - 1, *ends])
        covered[contig][at - 1 : end] = b"\1" * (min(end, LENGTHS[contig]) - at + 1)
        here = SEQUENCES[contig][at - 1]
        if here != ref[0] and "N" not in (here, ref[0]):
            others.append(f"{contig}:{at:,} is {ref[0]} there and {here} here")
    assert (found.records, found.others, found.other) == (len(records), len(others), next(iter(others), ""))
    assert found.turned == ""
    holes = {(one.contig, place) for one in found.holes for place in range(one.start, one.end)}
    assert holes == {(name, at) for name, told in covered.items() for at, is_told in enumerate(told) if not is_told}
    assert all(isinstance(one, Region) and one.start < one.end for one in found.holes)


def test_a_large_one_is_looked_at_here_and_there(
    tmp_path: Path, contigs: Contigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[Record] = [(name, at, "ACGT"[("ACGT".index(base) + 1) % 4], "", f"END={at}")
                             for name, sequence in SEQUENCES.items()
                             for at, base in enumerate(sequence, 1) if base != "N"]  # fmt: skip
    path = gvcf(tmp_path / "r.g.vcf.gz", records)
    monkeypatch.setattr(gvcf_records, "LARGEST_WHOLE", 0)
    assert contigs.fasta is not None
    found = read_records(path, LENGTHS, Bases.of(contigs.fasta.path, contigs.faidx))
    assert not found.whole
    assert 0 < found.others == found.records
    assert found.other


def test_nothing_runs_of_a_gvcf_of_another_reference(tmp_path: Path, contigs: Contigs, store: sg.Store) -> None:
    records = [(name, at, "TGCA"["ACGT".index(ref)], alt, info) for name, at, ref, alt, info in whole()]
    gvcf(tmp_path / "a.g.vcf.gz", records)
    (tmp_path / "samples.csv").write_text("sample,gvcf\ns1,a.g.vcf.gz\n")
    assert contigs.fasta is not None
    with pytest.raises(DataError, match="was called on other bases"):
        germline(tmp_path / "samples.csv", contigs.fasta.path, tmp_path / "out")
    assert not store.assemble(asset="variants")
    assert not (tmp_path / "out").exists()


def variants(*places: int) -> list[Record]:
    """Blocks of chr1 with SNVs between them, and blocks of the rest."""
    found, first = [], 1
    for at in places:
        found += [block("chr1", first, at - 1)] if first < at else []
        ref = SEQUENCES["chr1"][at - 1]
        found.append(("chr1", at, ref, "C," if ref != "C" else "G,", "DP=9"))
        first = at + 1
    return [*found, block("chr1", first, LENGTHS["chr1"]), *whole()[1:]]


@pytest.mark.parametrize("piece", [64, 8 << 20])
@pytest.mark.parametrize("kind", ["twice", "behind an indel", "no", "indels"])
def test_a_record_that_stands_there_twice_is_refused(
    tmp_path: Path, contigs: Contigs, monkeypatch: pytest.MonkeyPatch, piece: int, kind: str
) -> None:
    monkeypatch.setattr(gvcf_records, "PIECE", piece)
    records = variants(100, 500, 501)
    place = next(number for number, one in enumerate(records) if one[1] == 500)
    ref = SEQUENCES["chr1"][499]
    indel = "chr1", 500, ref, f"{ref}TT,", "INDEL"
    more = {"twice": [records[place]], "behind an indel": [indel, records[place]], "no": [], "indels": [indel]}[kind]
    records[place + 1 : place + 1] = more
    if kind in ("no", "indels"):
        assert told(tmp_path, contigs, records) == []
    else:
        with pytest.raises(
            DataError, match=r"line 2: .*a\.g\.vcf\.gz has a record twice: chr1:500, with the same alleles"
        ):
            told(tmp_path, contigs, records)


def test_many_short_holes_are_told(tmp_path: Path, contigs: Contigs) -> None:
    """Variants alone, as of a gVCF that somebody took the blocks out of: elsewhere nothing is known."""
    alone = [one for one in variants(*range(300, 9000, 300)) if one[0] != "chr1" or not one[4].startswith("END")]
    [note] = told(tmp_path, contigs, alone)
    assert "a.g.vcf.gz tells nothing of 8,971 of 13,700 bases, in 30 places: chr1:8,701-9,000, chr1:1-299" in note
    assert told(tmp_path, contigs, variants(*range(300, 9000, 300))) == []


@pytest.mark.parametrize("bare", [0, 1, 3])
def test_variants_without_likelihoods_are_told(tmp_path: Path, contigs: Contigs, bare: int) -> None:
    path = gvcf(tmp_path / "full.g.vcf.gz", variants(100, 500, 900))
    with pysam.BGZFile(str(path), "r") as file:
        lines = file.read().decode().splitlines(keepends=True)
    own = [number for number, line in enumerate(lines) if "DP=9" in line][:bare]
    for number in own:
        lines[number] = lines[number].replace("\tPL\t0,3,60", "\tXPL:DP:PLX\t1:9:1")
    with pysam.BGZFile(str(tmp_path / "a.g.vcf.gz"), "w") as file:
        file.write("".join(lines).encode())
    (tmp_path / "samples.csv").write_text("sample,gvcf\ns1,a.g.vcf.gz\n")
    sheet = read_sheet(tmp_path / "samples.csv")
    if bare == 3:
        with pytest.raises(DataError, match=r"has no likelihoods \(PL\) of any variant"):
            check_against(contigs, sheet)
    else:
        notes = check_against(contigs, sheet)
        assert len(notes) == (bare > 0)
        assert all("no likelihoods (PL) at 1 of the 3 records with variants" in note for note in notes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\nchr2\t", "\n\nchr2\t", "has blank lines among its records"),
        ("", "\n", "has blank lines among its records"),
        ("##contig", "##kontig", "has no contigs with lengths in its header"),
        (",length=", ",lang=", "has no contigs with lengths in its header"),
    ],
    ids=["between", "behind", "no contigs", "no lengths"],
)
def test_what_only_a_task_told_is_told_before(
    tmp_path: Path, contigs: Contigs, old: str, new: str, message: str
) -> None:
    with pysam.BGZFile(str(gvcf(tmp_path / "full.g.vcf.gz", variants(100))), "r") as file:
        text = file.read().decode()
    with pysam.BGZFile(str(tmp_path / "a.g.vcf.gz"), "w") as file:
        file.write((text.replace(old, new) if old else text + new).encode())
    (tmp_path / "samples.csv").write_text("sample,gvcf\ns1,a.g.vcf.gz\n")
    with pytest.raises(DataError, match=message) as caught:
        check_against(contigs, read_sheet(tmp_path / "samples.csv"))
    assert str(caught.value).count("\n") == 1
