"""What several tasks do with VCF files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.assets import Variants, VariantsIndex
from stargazer.errors import AssetError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Argument = str | int | Path

__all__ = ["NO_COMMAND", "draft_variants", "gather_command", "index_command", "need_indices", "without_path"]

NO_COMMAND = ("--add-output-vcf-command-line", "false")
"""GATK's header line with the command and the date would change the file's name; the record of the call says it."""


def draft_variants(
    vcf: Path, *, name: str, samples: Sequence[str], caller: str, build: str, kind: str = "vcf", mode: str = ""
) -> Variants:
    """A draft of a VCF with the index that its tool wrote beside it: ``.tbi`` for ``.vcf.gz``, else ``.idx``.

    Parameters
    ----------
    vcf
        The file.
    name
        The sample or cohort.
    samples
        Samples in it.
    caller
        What called them.
    build
        Name of the assembly.
    kind
        ``"vcf"`` or ``"gvcf"``.
    mode
        What a VQSR model filtered.
    """
    index = vcf.with_name(f"{vcf.name}{'.tbi' if vcf.suffix == '.gz' else '.idx'}")
    return Variants(
        path=vcf,
        companions=(VariantsIndex(path=index, sample_id=name),),
        sample_id=name,
        caller=caller,
        variant_type=kind,
        build=build,
        vqsr_mode=mode,
        sample_count=len(samples),
        source_samples=tuple(samples),
    )


def need_indices(*variants: Variants) -> None:
    """Check that VCFs have their indices beside them.

    Raises
    ------
    AssetError
        One has none.
    """
    for one in variants:
        if not any(isinstance(companion, VariantsIndex) for companion in one.companions):
            raise AssetError(
                f"{one!r} has no index beside it; add it with its VariantsIndex, or make one with bcftools index"
            )


def without_path(index: bytes) -> bytes:
    """A Tribble index (``.idx``) with the bare name of the file that it indexes, and no time.

    GATK writes where the file lay and when it was changed. Nothing reads that.

    Source: https://github.com/samtools/htsjdk, htsjdk.tribble.index.AbstractIndex: magic, type and version, four bytes
    each; the path, ended by a zero byte; size and time of change of the file, eight bytes each.

    Raises
    ------
    DataError
        It is no such index.
    """
    if index[:4] != b"TIDX":
        raise DataError("the index is no Tribble index; GATK's IndexFeatureFile makes one")
    path, _, rest = index[12:].partition(b"\0")
    return index[:12] + path.rpartition(b"/")[2] + b"\0" + rest[:8] + bytes(8) + rest[16:]


def index_command(vcf: Path, index: Path) -> list[Argument]:
    """``IndexFeatureFile``."""
    return ["gatk", "IndexFeatureFile", "-I", vcf, "-O", index]


def gather_command(vcfs: Sequence[Path], output: Path) -> list[Argument]:
    """``GatherVcfs``; the index is made apart, for blocks are copied as they are."""
    return ["gatk", "GatherVcfs", *(word for vcf in vcfs for word in ("-I", vcf)), "-O", output]
