"""A few made-up reads with one variant: enough for GATK to show that it runs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.workdir import Workdir

__all__ = ["write_sample"]

LENGTH, READ, READS = 3000, 150, 300


def write_sample(work: Workdir) -> tuple[Path, Path]:
    """Write a FASTA with its index and dictionary, and a SAM of one sample sorted by coordinate.

    Parameters
    ----------
    work
        Where to write.

    Returns
    -------
    tuple of Path
        The FASTA and the SAM.
    """
    draw = random.Random(1)
    sequence = "".join(draw.choices("ACGT", k=LENGTH))
    other = "".join("ACGT"["CGTA".index(base)] if at == LENGTH // 2 else base for at, base in enumerate(sequence))
    fasta, sam = work.file("sample.fa"), work.file("sample.sam")
    fasta.write_text(f">c\n{sequence}\n")
    work.file("sample.fa.fai").write_text(f"c\t{LENGTH}\t3\t{LENGTH}\t{LENGTH + 1}\n")
    contig = f"@SQ\tSN:c\tLN:{LENGTH}\n"
    work.file("sample.dict").write_text(f"@HD\tVN:1.6\n{contig}")
    starts = sorted(draw.randrange(LENGTH - READ) for _ in range(READS))
    lines = [
        f"r{number}\t0\tc\t{start + 1}\t60\t{READ}M\t*\t0\t0\t{(sequence, other)[number % 2][start : start + READ]}"
        f"\t{'I' * READ}\tRG:Z:s\n"
        for number, start in enumerate(starts)
    ]
    sam.write_text(f"@HD\tVN:1.6\tSO:coordinate\n{contig}@RG\tID:s\tSM:s\tPL:ILLUMINA\n{''.join(lines)}")
    return fasta, sam
