"""The parts of a sample's gVCF in one, as if it had been called at once.

A part that begins inside a deletion of the one before it has blocks of reference bases there, which a whole gVCF does
not have: they are cut off.
"""

from __future__ import annotations

import gzip
import itertools
import shutil
from typing import TYPE_CHECKING

from stargazer.assets import Reference, ReferenceIndex, Variants
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.fits import check_gvcfs
from stargazer.tasks.jvm import CALLER, run_gatk
from stargazer.tasks.vcf import draft_variants, gather_command, index_command, need_indices
from stargazer.workdir import Workdir

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["gather_gvcfs"]

BLOCK = "<NON_REF>"


@task(tools=["bcftools", "gatk"], memory=["2 GiB", "8 GiB"])
def gather_gvcfs(work: Workdir, gvcfs: list[Variants], ref: Reference) -> Variants:
    """Put the gVCFs of consecutive intervals into one.

    Parameters
    ----------
    work
        The scratch directory.
    gvcfs
        Of one sample, in the order of the intervals, each with its index.
    ref
        FASTA with its index.

    Returns
    -------
    Variants
        gVCF in which every base is told of once; its index ``.tbi`` is a companion.

    Raises
    ------
    DataError
        There are none, or they differ in their samples.
    """
    samples = {gvcf.source_samples for gvcf in gvcfs}
    if len(samples) != 1:
        raise DataError(f"parts of one gVCF have the same samples, not {sorted(samples) or 'none'}")
    check_gvcfs(gvcfs[:1], CALLER)
    need_indices(*gvcfs)
    parts, contig, covered = [gvcfs[0].path], "", 0
    for number, (before, gvcf) in enumerate(itertools.pairwise(gvcfs), 1):
        place = _first(gvcf.path)
        covered = max(_reach(work, before.path, place), covered if place[0] == contig else 0)
        contig = place[0]
        parts.append(_trimmed(work, gvcf.path, number, covered, ref) if covered >= place[1] else gvcf.path)
    output = work.file(f"{gvcfs[0].sample_id}.g.vcf.gz")
    run_gatk(work, gather_command(parts, output), *parts)
    run_gatk(work, index_command(output, work.file(f"{output.name}.tbi")), output)
    first = gvcfs[0]
    names = first.source_samples
    return draft_variants(
        output, name=first.sample_id, samples=names, caller=first.caller, build=first.build, kind="gvcf"
    )


def _first(gvcf: Path) -> tuple[str, int]:
    """Where a gVCF begins."""
    with gzip.open(gvcf, "rt") as lines:
        for line in lines:
            if not line.startswith("#"):
                contig, position, _ = line.split("\t", 2)
                return contig, int(position)
    raise DataError(f"{gvcf.name} has no records; a gVCF tells of every base that was looked at")


def _reach(work: Workdir, gvcf: Path, place: tuple[str, int]) -> int:
    """Last base of the records of a gVCF that hold a place which comes after it; 0 if there are none."""
    bed = work.file("place.bed")
    bed.write_text(f"{place[0]}\t{place[1] - 1}\t{place[1]}\n", "utf-8")
    found = work.output(["bcftools", "query", "-R", bed, "-f", "%POS\\t%REF\\n", gvcf])
    ends = (line.split("\t") for line in found.splitlines())
    return max((int(start) + len(bases) - 1 for start, bases in ends), default=0)


def _trimmed(work: Workdir, gvcf: Path, number: int, covered: int, ref: Reference) -> Path:
    """A part whose blocks begin behind a base."""
    path = work.file(f"{number:05d}.g.vcf")
    with gzip.open(gvcf, "rt") as lines, path.open("w") as out:
        for line in lines:
            fields = line.split("\t")
            if not line.startswith("#") and int(fields[1]) > covered:
                out.write(line)
                break
            out.write(line if line.startswith("#") else _behind(fields, covered, ref))
        shutil.copyfileobj(lines, out)
    return path


def _behind(fields: list[str], covered: int, ref: Reference) -> str:
    """What is left of a record; variants stay as they are."""
    if fields[4] != BLOCK:
        return "\t".join(fields)
    if int(fields[7].removeprefix("END=")) <= covered:
        return ""
    return "\t".join([fields[0], str(covered + 1), fields[2], _base(ref, fields[0], covered), *fields[4:]])


def _base(ref: Reference, contig: str, at: int) -> str:
    """One base of a reference, counted from 0."""
    with ref.companion(ReferenceIndex).open("r") as index:
        fields = next(line.split("\t") for line in index if line.startswith(f"{contig}\t"))
    offset, bases, width = map(int, fields[2:5])
    with ref.path.open("rb") as fasta:
        fasta.seek(offset + at // bases * width + at % bases)
        return fasta.read(1).decode().upper()
