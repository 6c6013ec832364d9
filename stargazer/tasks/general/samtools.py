"""samtools: indices of references, order and duplicates of alignments.

References
----------
Danecek P et al. Twelve years of SAMtools and BCFtools. GigaScience 10, giab008 (2021).
samtools(1), https://www.htslib.org/doc/samtools.html; samtools-markdup(1), samtools-fixmate(1)
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

from stargazer.assets import Alignment, Reference, ReferenceIndex, SequenceDict
from stargazer.calls import task
from stargazer.errors import DataError, ToolFailed
from stargazer.tasks.engines import Engine, command, label, tools
from stargazer.tasks.fasta import check_fasta
from stargazer.tasks.sam import check_references, sort_options, with_index
from stargazer.tools import Workdir

__all__ = ["create_sequence_dictionary", "samtools_faidx", "samtools_sort"]

UNEVEN = re.compile(r"unexpected .* at line (\d+)|Different line length")


@task(tools=tools("samtools"))
def samtools_faidx(work: Workdir, ref: Reference, *, engine: Engine = "embedded") -> ReferenceIndex:
    """Index a FASTA: where each sequence begins.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA, not compressed.
    engine
        Where samtools comes from.

    Returns
    -------
    ReferenceIndex
        The ``.fai``, which belongs beside the FASTA.

    Raises
    ------
    DataError
        It is no FASTA, or one that tools would read differently, such as two sequences of one name.
    """
    if ref.path.is_file():
        check_fasta(ref.path, ref.name)
    fai = work.file(f"{ref.name}.fai")
    try:
        work.run([*command("samtools", engine), "faidx", ref.path, "--fai-idx", fai])
    except ToolFailed as error:
        if found := UNEVEN.search(work.log().decode("utf-8", "replace")):
            where = f", line {found[1]}" if found[1] else ""
            raise DataError(
                f"{ref.name}{where}: the lines of a sequence must be of one length, and none may be blank before its "
                "end; write it anew, as with seqkit seq -w 60"
            ) from error
        raise
    cid = ref.cid or ""
    return ReferenceIndex(path=fai, build=ref.build, tool=label("samtools", engine), reference_cid=cid)


@task(tools=tools("samtools"))
def create_sequence_dictionary(work: Workdir, ref: Reference, *, engine: Engine = "embedded") -> SequenceDict:
    """Write names, lengths and MD5s of a reference's sequences.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA.
    engine
        Where samtools comes from.

    Returns
    -------
    SequenceDict
        The ``.dict``, without the UR field, which would hold a path.
    """
    dictionary = work.file(ref.path.with_suffix(".dict").name)
    work.run([*command("samtools", engine), "dict", "-"], stdin=ref.path, stdout=dictionary)
    cid = ref.cid or ""
    return SequenceDict(path=dictionary, build=ref.build, tool=label("samtools", engine), reference_cid=cid)


@task(cpus=2, memory="2 GiB", tools=tools("samtools"))
def samtools_sort(
    work: Workdir,
    alignment: Alignment,
    *,
    order: Literal["coordinate", "queryname"] = "coordinate",
    engine: Engine = "embedded",
) -> Alignment:
    """Sort an alignment.

    Parameters
    ----------
    work
        The scratch directory.
    alignment
        SAM, BAM or CRAM.
    order
        ``"coordinate"``, or ``"queryname"``: by the names of the reads, numbers in them by value.
    engine
        Where samtools comes from.

    Returns
    -------
    Alignment
        BAM with the facts of the input; sorted by coordinate, its index is a companion.
    """
    bam = work.file(f"{alignment.path.stem}.sorted.bam")
    by_name = ["-n"] if order == "queryname" else []
    check_references(work, alignment, engine)
    samtools = command("samtools", engine)
    work.run([*samtools, "sort", *by_name, *sort_options(work), "-o", bam, alignment.path])
    made = replace(alignment, path=bam, cid=None, name=bam.name, companions=(), format="bam", sorted=order)
    made = replace(made, tool=made.tool or label("samtools", engine))
    return made if by_name else with_index(work, made, engine)
