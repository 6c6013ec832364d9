"""bwa and bwa-mem2: short reads to alignments. What they share, and where it comes from, is in `aligners`."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from stargazer.assets import R1, R2, AlignerIndex, Alignment, Reference
from stargazer.calls import task
from stargazer.errors import AssetError, DataError
from stargazer.tasks.engines import Engine, command, label, tools
from stargazer.tools import EMBEDDED, Workdir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


# Short reads to alignments, with bwa or bwa-mem2: what their tasks share.
#
# References
# ----------
# Li H. Aligning sequence reads, clone sequences and assembly contigs with BWA-MEM. arXiv:1303.3997 (2013).
# bwa(1), https://bio-bwa.sourceforge.net/bwa.shtml
# Vasimuddin M et al. Efficient architecture-aware acceleration of BWA-MEM for multicore systems. IPDPS (2019).
# Regier AA et al. Functional equivalence of genome sequencing analysis pipelines enables harmonized variant calling
# across human genetics projects. Nat Commun 9, 4038 (2018): ``-K 100000000`` for results that do not depend on threads.


Aligner: TypeAlias = Literal["bwa", "bwa-mem2"]

LAST_FILE = {"bwa": ".bwt", "bwa-mem2": ".bwt.2bit.64"}
"""The file of an index that the other aligner does not have."""

BATCH = 100_000_000
"""Bases that are aligned together; insert sizes are estimated from them. Results depend on it, so it is fixed."""

PREFIX = "index"
"""Name of the files of an index, before their suffixes."""

FORBIDDEN = re.compile(r"[\s\\]")
TAG = re.compile(r"[A-Za-z][A-Za-z0-9]")


def read_group(
    sample: str, *, lane: str, library: str, platform: str, unit: str, fields: Mapping[str, str] | None = None
) -> str:
    """The ``-R`` of bwa, a read group as the SAM specification has it.

    Parameters
    ----------
    sample
        SM.
    lane
        Together with the sample, ID.
    library
        LB; the sample where it is empty, never the lane: duplicates are marked within a library.
    platform
        PL; ``ILLUMINA`` where it is empty.
    unit
        PU, flow cell and lane; the ID where it is empty.
    fields
        Tags and their values, in place of those above and beside them.

    Raises
    ------
    DataError
        There is no sample, SM is another one, there is no such tag, or a name is empty or has blanks or backslashes.
    """
    name, given = f"{sample}.{lane}", dict(fields or {})
    group = {"ID": name, "SM": sample, "LB": library or sample, "PL": platform or "ILLUMINA", "PU": unit or name}
    if not sample:
        raise DataError("the reads have no sample_id, which names their read group; give it when they are added")
    if given.get("SM", sample) != sample:
        raise DataError(f"SM of the read group is {given['SM']!r}, but the reads are of sample {sample!r}")
    for tag, value in (group | given).items():
        if not TAG.fullmatch(tag):
            raise DataError(f"{tag!r} is no tag of a read group: ID, LB, PL, PU, …")
        if not value or FORBIDDEN.search(value):
            raise DataError(
                f"{tag} of the read group is {value!r}; it may not be empty, nor have blanks or backslashes"
            )
    return "\\t".join(["@RG", *(f"{tag}:{value}" for tag, value in (group | given).items())])


def align_commands(
    engine: Engine, prefix: Path, reads: Sequence[Path], *, threads: int, group: str, aligner: Aligner = "bwa"
) -> list[list[str | int | Path]]:
    """Stages of a pipe that aligns reads and writes SAM without @PG lines.

    Parameters
    ----------
    engine
        Where bwa comes from. Both read FASTQ strictly: bwa itself drops what follows a malformed record.
    prefix
        The index.
    reads
        FASTQ of one or both ends.
    threads
        Threads of bwa.
    group
        What `read_group` returns.
    aligner
        The program.
    """
    options: list[str | int | Path] = ["-t", threads, "-K", BATCH, "-R", group]
    if engine == "embedded":
        return [[*command(aligner, engine), "mem", *options, prefix, *reads]]
    interleaved = ["-p"] if len(reads) == 2 else []
    return [
        [*EMBEDDED, "fastq", *reads],
        [*command(aligner, engine), "mem", *interleaved, *options, prefix, "-"],
        [*EMBEDDED, "sam"],
    ]


def index_prefix(ref: Reference, aligner: Aligner = "bwa") -> Path:
    """Where an aligner finds its index of a reference: in a companion directory, or in files beside the FASTA.

    Raises
    ------
    AssetError
        The reference has no index of that aligner.
    DataError
        The index belongs to another reference.
    """
    found = [one for one in ref.companions if isinstance(one, AlignerIndex) and one.aligner == aligner]
    for index in found:
        if ref.cid and index.reference_cid not in ("", ref.cid):
            raise DataError(f"{index!r} is the index of another reference than {ref!r}")
        if index.path.is_dir():
            return index.path / PREFIX
    if found and Path(f"{ref.path}{LAST_FILE[aligner]}").exists():
        return ref.path
    makes = f"{aligner.replace('-', '_')}_index"
    raise AssetError(
        f"{ref!r} has no index of {aligner} beside it; {makes} makes one, prepare_reference all that is needed"
    )


def index(work: Workdir, ref: Reference, aligner: Aligner, engine: Engine) -> AlignerIndex:
    """Index a reference: a directory with the aligner's files, all called ``index``."""
    directory = work.directory(f"{ref.name}.{aligner}")
    work.run([*command(aligner, engine), "index", "-p", directory / PREFIX, ref.path])
    return AlignerIndex(path=directory, build=ref.build, aligner=aligner, reference_cid=ref.cid or "")


def align(
    work: Workdir,
    ref: Reference,
    r1: R1,
    r2: R2 | None,
    *,
    aligner: Aligner,
    lane: str,
    library: str,
    platform_unit: str,
    fields: Mapping[str, str] | None,
    engine: Engine,
) -> Alignment:
    """Align the reads of one lane; parameters as of the task `bwa_mem`.

    Raises
    ------
    DataError
        The mates are of two samples, or one file; or a name breaks the read group.
    AssetError
        The reference has no index of that aligner.
    ToolFailed
        A FASTQ is empty, cut short or malformed, mates differ, or a tool was killed.
    """
    if r2 is not None and r2.sample_id not in ("", r1.sample_id):
        raise DataError(f"R1 is of sample {r1.sample_id!r}, R2 of {r2.sample_id!r}: mates come from one sample")
    if r2 is not None and r1.cid and r1.cid == r2.cid:
        raise DataError(f"R1 and R2 of {r1.sample_id!r} are one file ({r1.cid}): mates come from two")
    named = {"lane": lane, "library": library, "platform": r1.sequencing_platform, "unit": platform_unit}
    group = read_group(r1.sample_id, **named, fields=fields)
    bam = work.file(f"{r1.sample_id}.{lane}.bam")
    reads = [r1.path, r2.path] if r2 is not None else [r1.path]
    prefix = index_prefix(ref, aligner)
    stages = align_commands(engine, prefix, reads, threads=work.cpus, group=group, aligner=aligner)
    if r1.trimmed_by and _is_empty(r1.path):
        stages = [[*command("samtools", engine), "view", "--no-PG", "-h", _header_alone(work, ref, group)]]
    work.pipe(
        *stages,
        [*command("samtools", engine), "view", "--no-PG", "-b", "--output-fmt-option", "level=1", "-o", bam, "-"],
    )
    return Alignment(
        path=bam,
        sample_id=r1.sample_id,
        format="bam",
        tool=label(aligner, engine),
        reference_cid=ref.cid or "",
        r1_cid=r1.cid or "",
    )


def _is_empty(path: Path) -> bool:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if packed else path.open("rb") as reads:
        return not reads.read(1)


def _header_alone(work: Workdir, ref: Reference, group: str) -> Path:
    """The header of an alignment of no reads: a lane of which trimming left nothing is no reason to stop."""
    header = work.file("header.sam")
    lines = [f"@SQ\tSN:{name}\tLN:{length}\n" for name, length in ref.contigs]
    header.write_text("".join(lines) + group.replace("\\t", "\t") + "\n", "utf-8")
    return header
