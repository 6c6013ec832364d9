"""Aligned reads and what is made from them."""

from __future__ import annotations

from typing import ClassVar

from stargazer.assets.asset import Asset

__all__ = ["Alignment", "AlignmentIndex", "BQSRReport", "DuplicateMetrics"]


class Alignment(Asset):
    """Reads aligned to a reference.

    Parameters
    ----------
    sample_id
        The sample, as SM of the read groups.
    format
        ``"bam"``, ``"cram"`` or ``"sam"``.
    sorted
        The order, as SO of the header: ``"coordinate"``, ``"queryname"``; empty if unsorted.
    duplicates_marked
        Whether duplicates carry flag 0x400.
    bqsr_applied
        Whether base qualities were recalibrated.
    tool
        What made it, such as ``"bwa"``.
    reference_cid
        The reference that the reads were aligned to.
    r1_cid
        The forward reads.
    """

    sample_id: str = ""
    format: str = ""
    sorted: str = ""
    duplicates_marked: bool = False
    bqsr_applied: bool = False
    tool: str = ""
    reference_cid: str = ""
    r1_cid: str = ""


class AlignmentIndex(Asset):
    """The index of an alignment (``.bai``, ``.csi``, ``.crai``).

    Parameters
    ----------
    sample_id
        The sample.
    alignment_cid
        The alignment that it indexes.
    """

    companion_of: ClassVar[str] = "alignment_cid"

    sample_id: str = ""
    alignment_cid: str = ""


class BQSRReport(Asset):
    """A table for the recalibration of base qualities (BQSR).

    Parameters
    ----------
    sample_id
        The sample.
    tool
        What made it, such as ``"gatk"``.
    alignment_cid
        The alignment that it was learned from.
    """

    sample_id: str = ""
    tool: str = ""
    alignment_cid: str = ""


class DuplicateMetrics(Asset):
    """Counts of duplicate reads by library.

    Parameters
    ----------
    sample_id
        The sample.
    tool
        What counted them, such as ``"gatk"``.
    alignment_cid
        The alignment whose duplicates were counted.
    notes
        What is odd about the reads, such as that hardly any is mapped.
    optical_distance
        Pixels within which duplicates were counted as optical; 0 where it is not known.
    """

    later: ClassVar[tuple[str, ...]] = ("notes", "optical_distance")

    sample_id: str = ""
    tool: str = ""
    alignment_cid: str = ""
    notes: tuple[str, ...] = ()
    optical_distance: int = 0
