"""The lanes of a sample: pairs of FASTQ files, and what names their read groups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from stargazer.assets import R1, R2, Alignment
from stargazer.errors import DataError, NotFound
from stargazer.store import active_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stargazer.calls import Call

__all__ = ["Lane", "Versions", "find_lanes", "name_lanes"]

Reads = TypeVar("Reads", R1, R2)

LANE = re.compile(r"_(L\d{3})(?=[_.])")
"""The lane in the names that Illumina's software gives: ``s1_S1_L002_R1_001.fastq.gz``."""

MATE = re.compile(r"(?<=[_.])R?([12])(?=[_.])")
"""The number of the mate in the name of a file: ``s1_R1.fq.gz``, ``s1_1.fq.gz``."""


class Lane(NamedTuple):
    """Reads of one sample from one lane.

    Parameters
    ----------
    r1, r2
        FASTQ of both ends, stored or to be made by a call; single-end without `r2`.
    name
        Unique within the sample; by default the lane in the name of the file, else its place in the list.
    library
        The library that was sequenced; the sample if empty.
    platform_unit
        Flow cell and lane; sample and lane if empty.
    aligned
        In place of reads: a BAM or CRAM of them, aligned to the same reference, with read groups. Its order and
        duplicates do not matter.
    """

    r1: R1 | Call | None = None
    r2: R2 | Call | None = None
    name: str = ""
    library: str = ""
    platform_unit: str = ""
    aligned: Alignment | Call | None = None


def name_lanes(lanes: Sequence[Lane]) -> list[Lane]:
    """The lanes of a sample, each with a name of its own.

    Raises
    ------
    DataError
        There is none, or two have the same name.
    """
    named = [lane._replace(name=lane.name or _name(lane, place)) for place, lane in enumerate(lanes, 1)]
    if any((lane.r1 is None) == (lane.aligned is None) for lane in named):
        raise DataError("a lane has either reads (r1, r2) or an alignment of them (aligned)")
    if not named or len({lane.name for lane in named}) < len(named):
        raise DataError(f"a sample wants lanes with different names, not {[lane.name for lane in named]}")
    return named


def _name(lane: Lane, place: int) -> str:
    found = LANE.search(lane.r1.name) if isinstance(lane.r1, R1) else None
    return found[1] if found else str(place)


Versions = Literal["refuse", "newest"]
"""What to do where the store has several versions of one file of a sample: refuse, or take the one added last."""


def find_lanes(sample_id: str, versions: Versions = "refuse") -> list[Lane]:
    """The lanes of a sample that the active store holds.

    Files of one name are versions of one file, and no lanes. Mates are those that name each other (`mate_cid`), or else
    those whose file names differ in the mate's number alone.

    Parameters
    ----------
    sample_id
        The sample.
    versions
        ``"newest"`` takes the file that was added last where there are several versions of it.

    Raises
    ------
    NotFound
        There are no reads of that sample.
    DataError
        An R2 belongs to no R1, or to more than one; or there are several versions of a file.
    """
    store = active_store()
    found = store.assemble(asset=["r1", "r2"], sample_id=sample_id, missing="skip")
    forward = _one_version([one for one in found if isinstance(one, R1)], versions)
    reverse = _one_version([one for one in found if isinstance(one, R2)], versions)
    if not forward:
        raise NotFound(f"{store.url} has no reads of sample {sample_id!r}; add them: sg.add(path, sg.R1(sample_id=…))")
    lanes = [Lane(r1, _mate(r1, reverse)) for r1 in forward]
    paired = [lane.r2 for lane in lanes if lane.r2 is not None]
    if len(set(paired)) < len(paired) or len(paired) < len(reverse):
        names = ", ".join(one.name for one in (*forward, *reverse))
        raise DataError(f"which R2 belongs to which R1 of {sample_id!r} is not clear ({names}); add them with mate_cid")
    return lanes


def _one_version(found: Iterable[Reads], versions: Versions) -> list[Reads]:
    """Reads with one version of each file."""
    files: dict[str, list[Reads]] = {}
    for one in found:
        files.setdefault(one.name, []).append(one)
    store = active_store()
    several = {name: sorted(same, key=store.added_at) for name, same in files.items() if len(same) > 1}
    if several and versions != "newest":
        told = "".join(
            f"\n  {name}: " + ", ".join(f"{one.id[:12]} ({one.cid})" for one in same) for name, same in several.items()
        )
        raise DataError(
            f"these files of a sample are there in several versions, oldest first; delete the others "
            f"(stargazer rm ID), give lanes other names, or say versions='newest':{told}"
        )
    return [several.get(name, same)[-1] for name, same in files.items()]


def _told(reads: R1 | R2) -> str:
    return f"{reads.id[:12]} ({reads.cid})"


def _mate(r1: R1, candidates: Iterable[R2]) -> R2 | None:
    linked, alike = [], []
    for r2 in candidates:
        if r1.mate_cid == r2.cid or (r2.mate_cid and r2.mate_cid == r1.cid):
            linked.append(r2)
        elif not r1.mate_cid and not r2.mate_cid and MATE.sub("", r1.name) == MATE.sub("", r2.name):
            alike.append(r2)
    return next(iter(linked or alike), None)
