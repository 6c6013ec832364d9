from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer.bio.simulate import simulate_cohort
from stargazer.bio.simulate.draw import Draw
from stargazer.bio.simulate.genome import read_fasta, reverse_complement
from stargazer.embedded.fastq import read_file
from stargazer.embedded.pairing import proper_windows

EMBEDDED = [sys.executable, "-m", "stargazer.embedded", "bwa"]
Record = list[str]


def align(program: list[str], *arguments: object) -> list[Record]:
    done = subprocess.run([*program, "mem", *map(str, arguments)], capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines() if not line.startswith("@")]


def core(records: list[Record]) -> list[Record]:
    """All that both write: bwa 0.7.17 has no MQ, and equally good hits in XA come in no fixed order."""
    return [[*fields[:11], *sorted(tag for tag in fields[11:] if tag[:2] not in ("MQ", "XA"))] for fields in records]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A reference with bwa's index, and pairs; some are chimeric or from elsewhere, some second ends map nowhere."""
    folder = tmp_path_factory.mktemp("bwa")
    cohort = simulate_cohort(folder, samples=["s"], depth=10, length=40_000)
    subprocess.run([*EMBEDDED, "index", cohort.reference], check=True, capture_output=True)
    draw = Draw("lost")
    r1, r2 = cohort.reads["s"][0]
    lost = folder / "lost_R2.fastq"
    with lost.open("w") as file:
        for number, read in enumerate(read_file(r2)):
            bases = "".join(draw.one_of("ACGT") for _ in read.sequence) if number % 20 == 0 else read.sequence
            file.write(f"@{read.name}\n{bases}\n+\n{read.quality}\n")
    return cohort.reference, [r1, lost]


def test_pairs_have_the_flags_of_pairs(data: tuple[Path, list[Path]]) -> None:
    records = align(EMBEDDED, data[0], *data[1])
    flags = [int(fields[1]) for fields in records]
    primary = [flag for flag in flags if not flag & 0x900]
    assert all((flag & 0xC0) in (0x40, 0x80) for flag in flags)
    assert sum(flag & 0x40 > 0 for flag in primary) == sum(flag & 0x80 > 0 for flag in primary) == len(primary) / 2
    proper = [fields for fields in records if int(fields[1]) & 0x2]
    assert len(proper) > 0.9 * len(records)
    assert all(fields[6] == "=" for fields in proper)
    # An unmapped mate lies where its partner does, on the same strand.
    alone = [flag for flag in flags if flag & 0xC == 0x8]
    assert {flag & 0x30 for flag in alone} == {0, 0x30}


def test_split_alignments_carry_the_bases_of_their_read(data: tuple[Path, list[Path]], tmp_path: Path) -> None:
    contig = read_fasta(data[0])["chr1"]
    pieces = [(contig[at : at + 80], reverse_complement(contig[at : at + 80])) for at in (3000, 12_000)]
    reads = {f"{left}{right}": pieces[0][left] + pieces[1][right][:60] for left in (0, 1) for right in (0, 1)}
    fastq = tmp_path / "split.fq"
    quality = "".join(chr(33 + place % 40) for place in range(140))
    fastq.write_text("".join(f"@{name}\n{bases}\n+\n{quality}\n" for name, bases in reads.items()))
    records = align(EMBEDDED, data[0], fastq)
    for name, flag, _, _, _, cigar, _, _, _, bases, qualities, *_ in records:
        back = int(flag) & 0x10
        whole = (reverse_complement(reads[name]), quality[::-1]) if back else (reads[name], quality)
        left = int(cigar.split("H")[0]) if cigar.split("H")[0].isdigit() else 0
        assert (bases, qualities) == tuple(part[left : left + len(bases)] for part in whole)
    assert sum(int(flag) & 0x810 == 0x810 for _, flag, *_ in records) >= 2


def test_threads_change_nothing(data: tuple[Path, list[Path]]) -> None:
    assert align(EMBEDDED, "-t", 1, "-K", 200_000, data[0], *data[1]) == align(
        EMBEDDED, "-t", 2, "-K", 200_000, data[0], *data[1]
    )


def test_read_group_is_in_the_header_and_in_every_record(data: tuple[Path, list[Path]]) -> None:
    command = [*EMBEDDED, "mem", "-R", r"@RG\tID:s.1\tSM:s\tLB:lib", data[0], data[1][0]]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "@RG\tID:s.1\tSM:s\tLB:lib" in text
    assert all("RG:Z:s.1" in line for line in text if not line.startswith("@"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-R", "ID:s", "{ref}", "{r1}"], "read group"),
        (["{ref}", "{r1}", "{r1}", "{r1}"], "one or two files"),
        (["{ref}", "{r1}.absent"], "absent"),
        (["{ref}.absent", "{r1}"], "no bwa index"),
    ],
)
def test_wrong_arguments_fail_with_a_reason(data: tuple[Path, list[Path]], arguments: list[str], message: str) -> None:
    filled = [argument.format(ref=data[0], r1=data[1][0]) for argument in arguments]
    done = subprocess.run([*EMBEDDED, "mem", *filled], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_insert_sizes_are_read_as_bwa_prints_them() -> None:
    printed = """[M::mem_pestat] # candidate unique pairs for (FF, FR, RF, RR): (12, 7883, 100, 0)
[M::mem_pestat] analyzing insert size distribution for orientation FF...
[M::mem_pestat] low and high boundaries for proper pairs: (1, 500)
[M::mem_pestat] analyzing insert size distribution for orientation FR...
[M::mem_pestat] (25, 50, 75) percentile: (375, 440, 510)
[M::mem_pestat] low and high boundaries for computing mean and std.dev: (105, 780)
[M::mem_pestat] low and high boundaries for proper pairs: (1, 915)
[M::mem_pestat] skip orientation RR as there are not enough pairs
[M::mem_pestat] skip orientation FF
"""
    assert proper_windows(printed) == {"FR": (1, 915)}
    with pytest.raises(ValueError, match="insert sizes"):
        proper_windows("")


def test_index_has_the_bytes_of_bwas_own(
    data: tuple[Path, list[Path]], tmp_path: Path, tool: Callable[[str], str]
) -> None:
    subprocess.run([tool("bwa"), "index", "-p", tmp_path / "native", data[0]], check=True, capture_output=True)
    for suffix in (".amb", ".ann", ".bwt", ".pac", ".sa"):
        assert (tmp_path / f"native{suffix}").read_bytes() == Path(f"{data[0]}{suffix}").read_bytes(), suffix


@pytest.mark.parametrize("ends", [1, 2], ids=["single", "paired"])
def test_alignments_are_bwas_own(data: tuple[Path, list[Path]], tool: Callable[[str], str], ends: int) -> None:
    arguments = ["-K", 10**8, data[0], *data[1][:ends]]
    assert core(align(EMBEDDED, *arguments)) == core(align([tool("bwa")], *arguments))


def test_real_reads_align_as_with_bwa(tmp_path: Path, shared_data: Path, tool: Callable[[str], str]) -> None:
    folder = shared_data / "tp53"
    prefix = tmp_path / "index"
    subprocess.run([*EMBEDDED, "index", "-p", prefix, folder / "GRCh38_TP53.fa"], check=True, capture_output=True)
    reads = [folder / f"NA12829_TP53_R{end}.fq.gz" for end in (1, 2)]
    ours, theirs = (core(align(program, "-K", 10**8, prefix, *reads)) for program in (EMBEDDED, [tool("bwa")]))
    assert len(ours) == 16025
    assert ours == theirs
