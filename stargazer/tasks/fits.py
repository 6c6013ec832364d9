"""Whether inputs belong together: alignments and their reference, gVCFs of one caller.

References
----------
SAM/BAM format specification, https://samtools.github.io/hts-specs/SAMv1.pdf (section 4.2, the BAM format)
"""

from __future__ import annotations

import gzip
import struct
import zlib
from typing import TYPE_CHECKING

from stargazer.assets import Alignment, Reference, SequenceDict, Variants
from stargazer.errors import DataError
from stargazer.tasks.headers import check_contigs, sam_contigs, sam_md5s, sam_samples
from stargazer.workdir import EMBEDDED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stargazer.workdir import Workdir

__all__ = ["bam_header", "check_alignment", "check_blocks", "check_gvcfs", "check_header", "check_sample"]

MAGIC = b"BAM\1"


def bam_header(path: Path) -> str:
    """The text of a BAM's header.

    Raises
    ------
    DataError
        It is no BAM, or cut short.
    """
    try:
        with gzip.open(path) as file:
            magic, length = struct.unpack("<4si", file.read(8))
            text = file.read(length) if magic == MAGIC else b""
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"{path.name} is no BAM, or damaged: {error}") from None
    if magic != MAGIC or len(text) < length:
        raise DataError(f"{path.name} is no BAM, or cut short; convert_alignment makes BAM of SAM and CRAM")
    return text.rstrip(b"\0").decode("utf-8", "replace")


def check_alignment(alignment: Alignment, ref: Reference) -> None:
    """Refuse an alignment to another reference: contigs, lengths and, where both tell them, MD5s must agree.

    Parameters
    ----------
    alignment
        BAM; of other formats nothing is checked here.
    ref
        FASTA with its index and dictionary.

    Raises
    ------
    DataError
        They do not fit, or the file is damaged.
    AssetError
        The reference lacks its index or its dictionary.
    """
    ref.companion(SequenceDict)
    if alignment.path.suffix == ".bam":
        check_header(alignment.path.name, bam_header(alignment.path), ref)


def check_blocks(work: Workdir, *alignments: Alignment) -> None:
    """Read BAMs that no task made once through: GATK does not look at the checksums of their blocks.

    Raises
    ------
    ToolFailed
        One is damaged or cut short; samtools says where.
    """
    for alignment in alignments:
        if alignment.path.suffix == ".bam" and not alignment.tool:
            work.run([*EMBEDDED, "samtools", "view", "--no-PG", "-c", "-@", work.cpus - 1, alignment.path])


def check_header(name: str, header: str, ref: Reference) -> None:
    """Refuse the header of an alignment to another reference; errors as of `check_alignment`.

    Parameters
    ----------
    name
        Name of the alignment, for the message.
    header
        As SAM.
    ref
        FASTA with its index and dictionary.
    """
    check_contigs(name, sam_contigs(header), ref)
    with ref.companion(SequenceDict).open("r") as file:
        known = sam_md5s(file.read())
    wrong = [contig for contig, md5 in sam_md5s(header).items() if known.get(contig, md5) != md5]
    if wrong:
        raise DataError(
            f"{name} was aligned to another sequence than {ref.name}: the MD5 of {wrong[0]} is "
            f"{sam_md5s(header)[wrong[0]]} in its header, {known[wrong[0]]} in the reference; align it to this one"
        )


def check_sample(name: str, header: str, sample: str) -> None:
    """Refuse the header of an alignment of another sample than its facts say.

    Raises
    ------
    DataError
        The read groups name another one, several, or none.
    """
    if sam_samples(header) != {sample}:
        raise DataError(f"{name} has reads of {sorted(sam_samples(header))}, but is said to be of {sample!r}")


def check_gvcfs(gvcfs: Sequence[Variants], caller: str) -> list[str]:
    """Check that gVCFs can be called together.

    Parameters
    ----------
    gvcfs
        What is to be joined.
    caller
        The caller whose gVCFs are wanted, as facts name it; ``"bcftools (pysam)"`` is bcftools.

    Returns
    -------
    list of str
        Their samples, in order.

    Raises
    ------
    DataError
        There are none, one is no gVCF or of another caller, or a sample comes twice.
    """
    for gvcf in gvcfs:
        if gvcf.variant_type != "gvcf":
            raise DataError(f"a joint call takes gVCFs, but {gvcf!r} has variant_type {gvcf.variant_type!r}")
        if gvcf.caller.partition(" ")[0] not in ("", caller):
            raise DataError(
                f"{gvcf.name or gvcf.path.name} was called by {gvcf.caller}, and is to be joined by {caller}: gVCFs of "
                "different callers hold different likelihoods and are never mixed; call all samples with one engine"
            )
    samples = [sample for gvcf in gvcfs for sample in (gvcf.source_samples or (gvcf.sample_id,))]
    if not samples or len(set(samples)) < len(samples):
        raise DataError(f"every sample of a cohort is wanted once, with its gVCF, not {samples}")
    return samples
