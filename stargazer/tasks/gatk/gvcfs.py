"""The parts of a sample's gVCF in one, as if it had been called at once."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from stargazer.assets import Reference, ReferenceIndex, Variants
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.gatk.java import CALLER, run_gatk
from stargazer.tasks.sam import check_gvcfs
from stargazer.tasks.vcf import draft_variants, index_command, samples_of, spliced
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["gather_gvcfs"]


@task(tools=["gatk", "pysam"], memory=["2 GiB", "8 GiB"])
def gather_gvcfs(work: Workdir, gvcfs: list[Variants], ref: Reference) -> Variants:
    """Put the gVCFs of consecutive intervals into one.

    Parts that overlap (`scatter_intervals` with ``overlap=``) give the very lines that one call of all would have
    given: each goes on in the next where both tell the same. Blocks of others are cut where the parts were.

    Parameters
    ----------
    work
        The scratch directory.
    gvcfs
        Of one sample, in the order of the intervals.
    ref
        FASTA with its index.

    Returns
    -------
    Variants
        gVCF in which every base is told of once; its index ``.tbi`` is a companion.

    Raises
    ------
    DataError
        There are none, one has no records, or they differ in their samples.
    """
    samples = {tuple(samples_of(gvcf)) for gvcf in gvcfs}
    if len(samples) != 1:
        raise DataError(f"parts of one gVCF have the same samples, not {sorted(samples) or 'none'}")
    for gvcf in gvcfs:
        check_gvcfs([gvcf], CALLER)
    first = gvcfs[0]
    output = work.file(f"{first.sample_id}.g.vcf.gz")
    _write(output, [gvcf.path for gvcf in gvcfs], ref)
    run_gatk(work, index_command(output, work.file(f"{output.name}.tbi")), output)
    names = samples_of(first)
    return draft_variants(
        output, name=first.sample_id, samples=names, caller=first.caller, build=first.build, kind="gvcf"
    )


def _write(output: Path, parts: Sequence[Path], ref: Reference) -> None:
    """Write the header of the first part and the lines of all."""
    import pysam

    with pysam.BGZFile(str(output), "wb", index=None) as out:
        with gzip.open(parts[0], "rb") as header:
            for line in header:
                if not line.startswith(b"#"):
                    break
                out.write(line)
        for text in spliced(map(_lines, parts), lambda contig, at: _base(ref, contig, at)):
            out.write(text.encode())


def _lines(part: Path) -> Iterator[str]:
    with gzip.open(part, "rt") as lines:
        yield from (line for line in lines if not line.startswith("#"))


def _base(ref: Reference, contig: str, at: int) -> str:
    """One base of a reference, counted from 1."""
    with ref.companion(ReferenceIndex).open("r") as index:
        fields = next(line.split("\t") for line in index if line.startswith(f"{contig}\t"))
    offset, bases, width = map(int, fields[2:5])
    with ref.path.open("rb") as fasta:
        fasta.seek(offset + (at - 1) // bases * width + (at - 1) % bases)
        return fasta.read(1).decode().upper()
