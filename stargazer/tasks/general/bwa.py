"""bwa and bwa-mem2: short reads to alignments. What they share, and where it comes from, is in `aligners`."""

from __future__ import annotations

from stargazer.assets import R1, R2, AlignerIndex, Alignment, Reference
from stargazer.calls import task
from stargazer.tasks.aligners import align, index
from stargazer.tasks.engines import Engine, tools
from stargazer.workdir import Workdir

__all__ = ["bwa_index", "bwa_mem", "bwa_mem2_index", "bwa_mem2_mem"]


@task(tools=tools("bwa"), memory=["1 GiB", "8 GiB"])
def bwa_index(work: Workdir, ref: Reference, *, engine: Engine = "embedded") -> AlignerIndex:
    """Index a reference for bwa.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA, not compressed.
    engine
        Where bwa comes from; both make the same bytes.

    Returns
    -------
    AlignerIndex
        A directory with the five files ``index.amb``, ``.ann``, ``.bwt``, ``.pac`` and ``.sa``.
    """
    return index(work, ref, "bwa", engine)


@task(cpus=2, memory=["2 GiB", "8 GiB", "16 GiB"], tools=tools("bwa", "samtools"))
def bwa_mem(
    work: Workdir,
    ref: Reference,
    r1: R1,
    r2: R2 | None = None,
    *,
    lane: str = "1",
    library: str = "",
    platform_unit: str = "",
    read_group: dict[str, str] | None = None,
    engine: Engine = "embedded",
) -> Alignment:
    """Align the reads of one lane.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA with bwa's index beside it.
    r1, r2
        Reads of both ends, in the same order; single-end without `r2`.
    lane
        Name of the lane, unique within the sample.
    library
        The library; the sample if empty.
    platform_unit
        Flow cell and lane; sample and lane if empty.
    read_group
        Tags of the read group (ID, LB, PL, PU, …) in place of those that follow from the rest, and beside them.
    engine
        Where bwa and samtools come from.

    Returns
    -------
    Alignment
        BAM, the alignments of a read together, in the order of the reads.

    Raises
    ------
    DataError
        The mates are of two samples, or one file; or a name breaks the read group.
    AssetError
        The reference has no index of that aligner.
    ToolFailed
        A FASTQ is cut short or malformed, mates differ, or a tool was killed.
    """
    return align(
        work,
        ref,
        r1,
        r2,
        aligner="bwa",
        lane=lane,
        library=library,
        platform_unit=platform_unit,
        fields=read_group,
        engine=engine,
    )


@task(tools=["bwa-mem2"], memory=["2 GiB", "16 GiB", "96 GiB"])
def bwa_mem2_index(work: Workdir, ref: Reference) -> AlignerIndex:
    """Index a reference for bwa-mem2.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA, not compressed.

    Returns
    -------
    AlignerIndex
        A directory with the files ``index.0123``, ``.amb``, ``.ann``, ``.bwt.2bit.64`` and ``.pac``.
    """
    return index(work, ref, "bwa-mem2", "native")


@task(cpus=2, memory=["3 GiB", "24 GiB", "48 GiB"], tools=["bwa-mem2", "samtools"])
def bwa_mem2_mem(
    work: Workdir,
    ref: Reference,
    r1: R1,
    r2: R2 | None = None,
    *,
    lane: str = "1",
    library: str = "",
    platform_unit: str = "",
    read_group: dict[str, str] | None = None,
) -> Alignment:
    """Align the reads of one lane with bwa-mem2, which gives bwa's alignments in less time and more memory.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA with the index of bwa-mem2 beside it.
    r1, r2
        Reads of both ends, in the same order; single-end without `r2`.
    lane
        Name of the lane, unique within the sample.
    library
        The library; the sample if empty.
    platform_unit
        Flow cell and lane; sample and lane if empty.
    read_group
        Tags of the read group (ID, LB, PL, PU, …) in place of those that follow from the rest, and beside them.

    Returns
    -------
    Alignment
        BAM, the alignments of a read together, in the order of the reads.

    Raises
    ------
    DataError
        The mates are of two samples, or one file; or a name breaks the read group.
    AssetError
        The reference has no index of that aligner.
    ToolFailed
        A FASTQ is cut short or malformed, mates differ, or a tool was killed.
    """
    return align(
        work,
        ref,
        r1,
        r2,
        aligner="bwa-mem2",
        lane=lane,
        library=library,
        platform_unit=platform_unit,
        fields=read_group,
        engine="native",
    )
