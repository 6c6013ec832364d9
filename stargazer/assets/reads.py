"""Sequencing reads."""

from __future__ import annotations

from typing import ClassVar

from stargazer.assets.asset import Asset

__all__ = ["R1", "R2"]


class R1(Asset):
    """Forward reads, or the only ones of single-end sequencing, in FASTQ.

    Parameters
    ----------
    sample_id
        The sample, as SM of the read group.
    mate_cid
        The R2 of the same fragments; empty for single-end reads.
    sequencing_platform
        As PL of the read group: ``"ILLUMINA"``, ``"PACBIO"``, …
    trimmed_by
        The program that took adapters and bad reads away, and may have left none; empty where none did.
    """

    later: ClassVar[tuple[str, ...]] = ("trimmed_by",)

    sample_id: str = ""
    mate_cid: str = ""
    sequencing_platform: str = ""
    trimmed_by: str = ""


class R2(Asset):
    """Reverse reads of paired-end sequencing, in FASTQ.

    Parameters
    ----------
    sample_id
        The sample, as SM of the read group.
    mate_cid
        The R1 of the same fragments.
    sequencing_platform
        As PL of the read group: ``"ILLUMINA"``, ``"PACBIO"``, …
    """

    sample_id: str = ""
    mate_cid: str = ""
    sequencing_platform: str = ""
