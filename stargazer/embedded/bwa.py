"""``bwa index`` and ``bwa mem`` through pybwa, with bwa's arguments and bwa's output.

pybwa 2.3 aligns as bwa 0.7.19 does, batch for batch, but what it hands back differs in five ways, put right here:

1. The flags 0x2, 0x40 and 0x80 of pairs are missing.
2. Flag 0x20 is missing where a mate is unmapped (bwa gives it the position and strand of its partner).
3. A hard-clipped alignment on the reverse strand carries bases of the wrong end of the read.
4. Read groups are not written.
5. Names of mates that differ end the process: they are compared before.

One difference stays. bwa chooses between equally good places by the number of the read in the whole file, pybwa by
its number in the batch: from the second batch on, alignments of mapping quality 0 may lie in another copy of a repeat.

References
----------
Li H. Aligning sequence reads, clone sequences and assembly contigs with BWA-MEM. arXiv:1303.3997 (2013).
bwa(1), https://bio-bwa.sourceforge.net/bwa.shtml; pybwa, https://pybwa.readthedocs.io
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pybwa import BwaIndex, BwaIndexBuildMethod, BwaMem, BwaMemOptions
from pysam import AlignmentFile, AlignmentHeader, FastxRecord

from stargazer.embedded import fastq, pairing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pysam import AlignedSegment

UNSPLIT = 2**31 - 1
"""Bases of a chunk that no batch reaches: pybwa scales smaller ones by the number of threads."""

__all__ = ["INDEX_SUFFIXES", "main"]

INDEX_SUFFIXES = (".amb", ".ann", ".bwt", ".pac", ".sa")

LONG = 50_000_000
"""Bases from which on ``bwa index`` takes the algorithm for long genomes."""

ALGORITHM_BWTSW, ALGORITHM_IS = 2, 3
"""bwa's numbers; the names in pybwa 2.3's enumeration are off by one (its AUTO is bwa's rb2)."""


def main(argv: Sequence[str]) -> int:
    """Run ``bwa index`` or ``bwa mem``; returns the exit code."""
    options = _parser().parse_args(argv)
    if options.command == "index":
        _index(options.fasta, options.prefix or options.fasta)
    else:
        _mem(options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bwa")
    commands = parser.add_subparsers(dest="command", required=True)
    index = commands.add_parser("index")
    index.add_argument("-p", dest="prefix", type=Path)
    index.add_argument("fasta", type=Path)
    mem = commands.add_parser("mem")
    mem.add_argument("-t", dest="threads", type=int, default=1)
    mem.add_argument("-K", dest="batch", type=int, default=10_000_000)
    mem.add_argument("-R", dest="read_group", default="")
    mem.add_argument("prefix", type=Path)
    mem.add_argument("reads", type=Path, nargs="+")
    return parser


def _index(fasta: Path, prefix: Path) -> None:
    if not fasta.is_file():
        raise FileNotFoundError(f"there is no file {fasta}")
    algorithm = ALGORITHM_BWTSW if fasta.stat().st_size > LONG else ALGORITHM_IS
    # pybwa also writes a .dict, which holds an absolute path and may hit one that is there.
    with tempfile.TemporaryDirectory(dir=prefix.parent) as directory:
        made = Path(directory) / "index"
        BwaIndex.index(fasta, method=BwaIndexBuildMethod(algorithm), prefix=made)
        for suffix in INDEX_SUFFIXES:
            Path(f"{made}{suffix}").replace(f"{prefix}{suffix}")


def _sequence_lines(prefix: Path) -> str:
    """@SQ lines of an index: its .ann file has two lines a contig, '<gi> <name> …' and '<offset> <length> …'."""
    _, *lines = Path(f"{prefix}.ann").read_text("utf-8").splitlines()
    contigs = zip(lines[::2], lines[1::2], strict=True)
    return "".join(f"@SQ\tSN:{name.split()[1]}\tLN:{place.split()[1]}\n" for name, place in contigs)


def _load(prefix: Path) -> BwaMem:
    """The aligner. pybwa wants a .dict beside the index: it is shown a directory where there is one."""
    missing = [f"{prefix}{suffix}" for suffix in INDEX_SUFFIXES if not Path(f"{prefix}{suffix}").is_file()]
    if missing:
        raise FileNotFoundError(f"no bwa index at {prefix}: {', '.join(missing)} missing; run bwa index first")
    with tempfile.TemporaryDirectory() as directory:
        shown = Path(directory) / "index"
        for suffix in INDEX_SUFFIXES:
            Path(f"{shown}{suffix}").symlink_to(Path(f"{prefix}{suffix}").resolve())
        shown.with_suffix(".dict").write_text(_sequence_lines(prefix), "utf-8")
        return BwaMem(prefix=shown)


def _batches(files: Sequence[Path], bases: int) -> Iterator[list[fastq.Read]]:
    """Reads in batches of at least so many bases, mates together: those that ``bwa mem -K`` makes."""
    paired = len(files) == 2
    units = fastq.read_pairs(*files) if paired else ((read,) for read in fastq.read_single(*files))
    batch: list[fastq.Read] = []
    size = 0
    for unit in units:
        batch += unit
        size += sum(len(read.sequence) for read in unit)
        if size >= bases and len(batch) % 2 == 0:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _align(aligner: BwaMem, batch: list[fastq.Read], settings: BwaMemOptions, paired: bool) -> Iterator[AlignedSegment]:
    queries = [FastxRecord(name=name, sequence=bases, quality=quality) for name, bases, quality in batch]
    with pairing.captured_stderr() as stderr:
        aligned = aligner.align(queries, settings)
        stderr.seek(0)
        messages = stderr.read()
    if paired:
        windows = pairing.proper_windows(messages)
        for pair in zip(aligned[::2], aligned[1::2], strict=True):
            pairing.complete_pair(pair, windows)
    for read, alignments in zip(batch, aligned, strict=True):
        for alignment in alignments:
            pairing.restore_bases(alignment, read)
            yield alignment


def _mem(options: argparse.Namespace) -> None:
    if len(options.reads) > 2:
        raise ValueError(f"takes one or two files of reads, not {len(options.reads)}")
    paired = len(options.reads) == 2
    aligner = _load(options.prefix)
    group, header = _header(options)
    settings = BwaMemOptions(interleaved_paired_end=paired, threads=options.threads, chunk_size=UNSPLIT).finalize()
    with AlignmentFile("-", "w", header=AlignmentHeader.from_text(header)) as output:
        for batch in _batches(options.reads, options.batch):
            for alignment in _align(aligner, batch, settings, paired):
                if group:
                    alignment.set_tag("RG", group, "Z")
                output.write(alignment)


def _header(options: argparse.Namespace) -> tuple[str, str]:
    """Name of the read group, and the SAM header."""
    line = options.read_group.replace("\\t", "\t")
    if line and not (line.startswith("@RG\t") and "\tID:" in line):
        raise ValueError(f"a read group starts with '@RG' and has an ID, unlike {line!r}")
    group = next((field[3:] for field in line.split("\t") if field.startswith("ID:")), "")
    return group, _sequence_lines(options.prefix) + (line and f"{line}\n")
