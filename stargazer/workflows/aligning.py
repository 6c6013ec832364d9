"""How the reads of a lane become an alignment: trimmed or not, by which aligner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from stargazer.errors import DataError
from stargazer.tasks.general import bwa_mem, bwa_mem2_mem, convert_alignment, fastp
from stargazer.workflows.lanes import name_lanes
from stargazer.workflows.optical import Optical, optical_distance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stargazer.assets import Reference
    from stargazer.calls import Call
    from stargazer.tasks.engines import Engine
    from stargazer.workflows.lanes import Lane

__all__ = ["PLAIN", "Aligner", "ReadOptions", "align_lane", "trimming_reports"]

Aligner: TypeAlias = Literal["bwa", "bwa-mem2"]


@dataclass(frozen=True)
class ReadOptions:
    """What is done with raw reads.

    Parameters
    ----------
    trim
        Whether fastp takes adapters and bad reads away; it is wanted on PATH.
    aligner
        ``"bwa"``, or ``"bwa-mem2"``, which is wanted on PATH whatever the engine.
    optical_distance
        Pixels within which duplicates are optical; by default as the instrument in the names of the reads wants it.
    """

    trim: bool = False
    aligner: Aligner = "bwa"
    optical_distance: int | None = None

    def __post_init__(self) -> None:
        if self.aligner not in ("bwa", "bwa-mem2"):
            raise DataError(f"aligner is {self.aligner!r}, but must be bwa or bwa-mem2")

    def optical(self, lanes: Sequence[Lane]) -> Optical:
        """Within how many pixels duplicates of a sample are optical, and by which instruments."""
        return optical_distance(lanes) if self.optical_distance is None else Optical(self.optical_distance)


PLAIN = ReadOptions()


def align_lane(reference: Reference | Call, lane: Lane, engine: Engine, reads: ReadOptions) -> Call:
    """Align a lane that has a name, or take its alignment over.

    Parameters
    ----------
    reference
        FASTA with the index of the aligner.
    lane
        Reads, or an alignment of them.
    engine
        Where the tools come from.
    reads
        What is done with raw reads.
    """
    if lane.aligned is not None:
        return convert_alignment(lane.aligned, reference, to="bam", unmark=True, engine=engine)
    r1, r2 = lane.r1, lane.r2
    assert r1 is not None
    if reads.trim:
        trimmed = fastp(r1, r2, lane=lane.name)
        r1, r2 = trimmed.r1, trimmed.r2 if r2 is not None else None
    named: dict[str, Any] = {"lane": lane.name, "library": lane.library, "platform_unit": lane.platform_unit}
    if reads.aligner == "bwa-mem2":
        return bwa_mem2_mem(reference, r1, r2, **named)
    return bwa_mem(reference, r1, r2, **named, engine=engine)


def trimming_reports(samples: Mapping[str, Sequence[Lane]], reads: ReadOptions) -> list[Call]:
    """What fastp did to each lane of reads: the calls that `align_lane` makes; none where reads are not trimmed.

    Parameters
    ----------
    samples
        Lanes by sample.
    reads
        What is done with raw reads.
    """
    lanes = [lane for given in samples.values() for lane in name_lanes(given)] if reads.trim else []
    return [fastp(lane.r1, lane.r2, lane=lane.name).report for lane in lanes if lane.r1 is not None]
