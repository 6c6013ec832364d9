"""HaplotypeCaller: variants of one sample by local assembly of haplotypes.

References
----------
Poplin R et al. Scaling accurate genetic variant discovery to tens of thousands of samples. bioRxiv 201178 (2018).
https://gatk.broadinstitute.org/hc/en-us/articles/360037225632 (HaplotypeCaller)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stargazer.assets import Alignment, AlignmentIndex, Intervals, Reference, Variants
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.gatk.java import CALLER, Extra, run_gatk
from stargazer.tasks.regions import Region, bed_lines, bed_text, merge, parse_bed, subtract
from stargazer.tasks.sam import bam_header, check_alignment, check_blocks, check_sample
from stargazer.tasks.vcf import NO_COMMAND, draft_variants
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from pathlib import Path

    Argument = str | int | Path

__all__ = ["haplotype_caller"]


def caller_command(
    bam: Path,
    fasta: Path,
    gvcf: Path,
    *,
    threads: int = 1,
    ploidy: int = 2,
    intervals: Path | None = None,
    ploidies: Path | None = None,
    pcr_model: str = "",
) -> list[Argument]:
    """``HaplotypeCaller`` that writes a gVCF.

    Parameters
    ----------
    bam, fasta, gvcf
        What is read and written.
    threads
        Threads of the pair HMM; results do not depend on them.
    ploidy
        Copies of each contig.
    intervals
        BED file of where to call.
    ploidies
        BED file of regions with another ploidy, which is in the fourth column.
    pcr_model
        How many of the indels in repeats are errors of PCR; GATK's own choice if empty.
    """
    files: list[Argument] = ["-R", fasta, "-I", bam, "-O", gvcf, "--emit-ref-confidence", "GVCF", *NO_COMMAND]
    given = {"-L": intervals, "--ploidy-regions": ploidies}
    where = [word for option, path in given.items() if path for word in (option, path)]
    where += ["--pcr-indel-model", pcr_model] if pcr_model else []
    return [
        *("gatk", "HaplotypeCaller", *files, "--sample-ploidy", ploidy),
        *("--native-pair-hmm-threads", threads, *where),
    ]


@task(cpus=1, tools=["gatk"], memory=["3 GiB", "8 GiB", "24 GiB"])
def haplotype_caller(
    work: Workdir,
    alignment: Alignment,
    ref: Reference,
    intervals: Intervals | None = None,
    haploid: Intervals | None = None,
    absent: Intervals | None = None,
    *,
    ploidy: int = 2,
    pcr_model: Literal["", "NONE", "HOSTILE", "AGGRESSIVE", "CONSERVATIVE"] = "",
    extra: Extra | None = None,
) -> Variants:
    """Call variants of one sample, as a gVCF for joint calling.

    Parameters
    ----------
    work
        The scratch directory.
    alignment
        BAM or CRAM of one sample, sorted by coordinate, with its index; duplicates marked.
    ref
        FASTA with its index and dictionary.
    intervals
        Where to call; everywhere by default.
    haploid
        Regions of which the sample has one copy: X and Y of males outside the pseudoautosomal regions.
    absent
        Regions that the sample does not have: Y of females. Nothing is called there.
    ploidy
        Copies of everything else.
    pcr_model
        How many of the indels in repeats are errors of PCR: ``"NONE"`` for libraries made without PCR. GATK's own
        choice (CONSERVATIVE) if empty.
    extra
        Further arguments, by the name of the tool.

    Returns
    -------
    Variants
        gVCF; its index ``.tbi`` is a companion.

    Raises
    ------
    DataError
        The alignment belongs to another reference or sample.
    AssetError
        An index is missing.
    """
    alignment.companion(AlignmentIndex)
    check_alignment(alignment, ref)
    check_blocks(work, alignment)
    sample = alignment.sample_id
    if alignment.path.suffix == ".bam":
        check_sample(alignment.path.name, bam_header(alignment.path), sample)
    gvcf = work.file(f"{sample}.g.vcf.gz")
    command = caller_command(
        alignment.path,
        ref.path,
        gvcf,
        threads=work.cpus,
        ploidy=ploidy,
        intervals=_present(work, ref, intervals, absent),
        ploidies=_haploid(work, haploid),
        pcr_model=pcr_model,
    )
    run_gatk(work, command, alignment.path, extra=extra)
    return draft_variants(gvcf, name=sample, samples=[sample], caller=CALLER, build=ref.build, kind="gvcf")


def _regions(intervals: Intervals | None) -> list[Region]:
    return parse_bed(bed_text(intervals.path)) if intervals else []


def _haploid(work: Workdir, haploid: Intervals | None) -> Path | None:
    """A BED file of what is there once, the ploidy in its fourth column."""
    regions = _regions(haploid)
    bed = work.file("haploid.bed")
    bed.write_text("".join(f"{line}\t1\n" for line in bed_lines(regions).splitlines()), "utf-8")
    return bed if regions else None


def _present(work: Workdir, ref: Reference, intervals: Intervals | None, absent: Intervals | None) -> Path | None:
    """A BED file of where to call; None for everywhere."""
    missing = _regions(absent)
    if not missing:
        return intervals.path if intervals else None
    lengths = dict(ref.contigs)
    whole = [Region(name, 0, length) for name, length in lengths.items()]
    wanted = _regions(intervals) if intervals else whole
    if not wanted:
        raise DataError(f"{intervals.name if intervals else ref.name} has no regions: there is nowhere to call")
    # GATK wants to look somewhere: where nothing is left, at the first base, which gets a block without reads.
    left = subtract(wanted, merge(missing, lengths)) or [wanted[0]._replace(end=wanted[0].start + 1)]
    bed = work.file("present.bed")
    bed.write_text(bed_lines(left), "utf-8")
    return bed
