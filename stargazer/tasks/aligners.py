"""Short reads to alignments, with bwa or bwa-mem2: what their tasks share.

References
----------
Li H. Aligning sequence reads, clone sequences and assembly contigs with BWA-MEM. arXiv:1303.3997 (2013).
bwa(1), https://bio-bwa.sourceforge.net/bwa.shtml
Vasimuddin M et al. Efficient architecture-aware acceleration of BWA-MEM for multicore systems. IPDPS (2019).
Regier AA et al. Functional equivalence of genome sequencing analysis pipelines enables harmonized variant calling
across human genetics projects. Nat Commun 9, 4038 (2018): ``-K 100000000`` for results that do not depend on threads.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from stargazer.assets import R1, R2, AlignerIndex, Alignment, Reference
from stargazer.errors import AssetError, DataError
from stargazer.tasks.engines import Engine, command, label
from stargazer.workdir import EMBEDDED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stargazer.workdir import Workdir

__all__ = ["Aligner", "align", "align_commands", "index", "index_prefix", "read_group"]

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
    work.pipe(
        *align_commands(engine, prefix, reads, threads=work.cpus, group=group, aligner=aligner),
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
