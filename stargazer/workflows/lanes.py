"""The lanes of a sample: pairs of FASTQ files, and what names their read groups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from stargazer.assets import R1, R2, Alignment
from stargazer.errors import DataError, NotFound
from stargazer.ledger import Ledger
from stargazer.store import active_store
from stargazer.tasks import sam

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from stargazer.assets import Asset
    from stargazer.calls import Call
    from stargazer.store import Store

__all__ = ["Lane", "check_lanes", "find_lanes", "is_recalibrated", "name_lanes", "path_of"]

LANE = re.compile(r"_(L\d{3})(?=[_.])")
"""The lane in the names that Illumina's software gives: ``s1_S1_L002_R1_001.fastq.gz``."""

SERIES = re.compile(r"_L\d{3}(?=[_.])|_\d{3}(?=\.)|(?<=[_.])lane\d+(?=[_.])", re.IGNORECASE)
"""Lane and part of a run in the name of a file."""

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

    Names that files give (the same lane of two runs) are told apart by a number; names that were given are not changed.

    Raises
    ------
    DataError
        There is none, or two were given the same name.
    """
    if any((lane.r1 is None) == (lane.aligned is None) for lane in lanes):
        raise DataError("a lane has either reads (r1, r2) or an alignment of them (aligned)")
    given = [lane.name for lane in lanes if lane.name]
    if not lanes or len(set(given)) < len(given):
        raise DataError(f"a sample wants lanes with different names, not {given}: {', '.join(map(_files, lanes))}")
    taken, named = set(given), []
    for place, lane in enumerate(lanes, 1):
        name = lane.name or _name(lane, place)
        while not lane.name and name in taken:
            name = f"{name}.{place}"
        taken.add(name)
        named.append(lane._replace(name=name))
    return named


def _files(lane: Lane) -> str:
    first = lane.r1 if lane.r1 is not None else lane.aligned
    return first.name if isinstance(first, (R1, Alignment)) else "reads that are to be made"


def check_lanes(samples: Mapping[str, Sequence[Lane]]) -> None:
    """Refuse reads that are there twice: in two lanes of a sample, or of two samples.

    Raises
    ------
    DataError
        They are, whatever their files are called.
    """
    seen: dict[str, str] = {}
    for sample, lanes in samples.items():
        for lane in lanes:
            for asset in (lane.r1, lane.r2, lane.aligned):
                if not isinstance(asset, (R1, R2, Alignment)) or asset.cid is None:
                    continue
                cid = asset.cid
                if cid in seen:
                    raise DataError(
                        f"{asset.name} of sample {sample!r} has the very bytes of {seen[cid]} ({cid}): the same reads "
                        "are there twice; leave one of them out"
                    )
                seen[cid] = f"{asset.name} of sample {sample!r}"


def is_recalibrated(lanes: Sequence[Lane]) -> bool:
    """Whether the base qualities of a sample were recalibrated before, as its alignments say.

    Raises
    ------
    DataError
        Those of some of its lanes were, and those of others were not.
    """
    found = [_is_recalibrated(lane) for lane in lanes]
    if any(found) and not all(found):
        names = ", ".join(_files(lane) for lane, one in zip(lanes, found, strict=True) if one)
        raise DataError(
            f"base qualities of {names} were recalibrated before, and those of other lanes of the sample were not: "
            "give all lanes as they were before, or all recalibrated"
        )
    return any(found)


def _is_recalibrated(lane: Lane) -> bool:
    aligned = lane.aligned
    if not isinstance(aligned, Alignment):
        return False
    return aligned.bqsr_applied or (
        aligned.format in ("", "bam") and sam.is_recalibrated(sam.bam_header(path_of(aligned)))
    )


def path_of(asset: Asset) -> Path:
    """Where the file of an asset is: its draft's own path, or that of its copy in the active store."""
    return asset.path if asset.path is not None else active_store().fetch(asset)


def _name(lane: Lane, place: int) -> str:
    found = LANE.search(lane.r1.name) if isinstance(lane.r1, R1) else None
    return found[1] if found else str(place)


def find_lanes(sample_id: str, *, all_lanes: bool = False) -> list[Lane]:
    """The lanes of a sample that the active store holds; reads that tasks made of others are none.

    Mates are those that name each other (`mate_cid`), or else those whose file names differ in the mate's number alone.

    Parameters
    ----------
    sample_id
        The sample.
    all_lanes
        Whether reads whose names are not those of lanes of one library are lanes all the same.

    Raises
    ------
    NotFound
        There are no reads of that sample.
    DataError
        An R2 belongs to no R1, or to more than one; or there are several R1 that may be of different people.
    """
    store = active_store()
    made = _made_by_tasks(store)
    forward = [one for one in store.assemble(asset="r1", sample_id=sample_id, missing="skip") if isinstance(one, R1)]
    reverse = [one for one in store.assemble(asset="r2", sample_id=sample_id, missing="skip") if isinstance(one, R2)]
    forward = [one for one in forward if not made(one)] or forward
    reverse = [one for one in reverse if not made(one)] or reverse
    if not forward:
        raise NotFound(f"{store.url} has no reads of sample {sample_id!r}; add them: sg.add(path, sg.R1(sample_id=…))")
    lanes = [Lane(r1, _mate(r1, reverse)) for r1 in forward]
    paired = [lane.r2 for lane in lanes if lane.r2 is not None]
    if len(set(paired)) < len(paired) or len(paired) < len(reverse):
        names = ", ".join(one.name for one in (*forward, *reverse))
        raise DataError(f"which R2 belongs to which R1 of {sample_id!r} is not clear ({names}); add them with mate_cid")
    if (not all_lanes and len({_series(r1.name) for r1 in forward}) < len(forward)) or _differ(forward, all_lanes):
        names = ", ".join(f"{one.name} ({str(one.cid)[:12]}…)" for one in forward)
        raise DataError(
            f"{len(forward)} sets of reads of {sample_id!r} are in the store, and their names are not those of lanes "
            f"of one library: {names}. They may be of two people of one name, or of another try. Say all_lanes=True if "
            "they all count, name them in a sheet or with Lane(…), or delete those that do not"
        )
    return lanes


def _differ(forward: Sequence[R1], all_lanes: bool) -> bool:
    """Whether names differ in more than the lane and the part of a run, by which they would be told apart."""
    return not all_lanes and len({SERIES.sub("", one.name) for one in forward}) > 1


def _series(name: str) -> tuple[str, ...]:
    """What tells the lanes of a library apart in the names of their files."""
    return tuple(found[0] for found in SERIES.finditer(name))


def _made_by_tasks(store: Store) -> Callable[[Asset], bool]:
    ledger = Ledger(store.records)
    return lambda asset: bool(asset.cid and ledger.producers(asset.cid))


def _mate(r1: R1, candidates: Iterable[R2]) -> R2 | None:
    linked, alike = [], []
    for r2 in candidates:
        if r1.mate_cid == r2.cid or (r2.mate_cid and r2.mate_cid == r1.cid):
            linked.append(r2)
        elif not r1.mate_cid and not r2.mate_cid and MATE.sub("", r1.name) == MATE.sub("", r2.name):
            alike.append(r2)
    return next(iter(linked or alike), None)
