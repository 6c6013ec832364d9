"""Regions of a reference: parts for scattered work, a user's regions, and what depends on sex."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from stargazer.assets import Intervals, Reference
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.regions import (
    bed_lines,
    bed_text,
    called_regions,
    intersect,
    merge,
    overlapping,
    parse_bed,
    parse_region,
    plan,
    runs_of_n,
    sex_regions,
)
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.tasks.regions import Region

__all__ = ["Ploidy", "list_intervals", "ploidy_of_sex", "scatter_intervals"]


class Ploidy(NamedTuple):
    """What `ploidy_of_sex` returns: regions of one copy, and of none. Both may be empty."""

    haploid: Intervals
    absent: Intervals


@task(memory="1 GiB")
def scatter_intervals(
    work: Workdir,
    ref: Reference,
    target: Intervals | None = None,
    *,
    shards: int,
    padding: int = 0,
    overlap: int = 0,
) -> list[Intervals]:
    """Cut a reference into parts, in runs of N and between contigs where such places are near.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA with its index.
    target
        BED file of exons or amplicons; the parts are of these alone.
    shards
        How many parts. It must not depend on the machines at hand: the parts are inputs of what is scattered.
    padding
        Bases around each target that belong to it.
    overlap
        Bases that parts which touch have in common on each side of the cut, see `gather_gvcfs`.

    Returns
    -------
    list of Intervals
        As many BED files as asked for, in the order of the reference. Without target and overlap they hold every base
        once.

    Raises
    ------
    DataError
        There are not enough bases, or a target is not in the reference.
    """
    lengths = dict(ref.contigs)
    with ref.path.open("rb") as fasta:
        called = called_regions(runs_of_n(fasta))
    if target is not None:
        wanted = merge(parse_bed(bed_text(target.path)), lengths, padding)
        called = intersect(called, wanted)
    parts = plan(lengths, called, shards)
    if target is not None:
        parts = [intersect(part, wanted) for part in parts]
    reaching = overlapping(parts, overlap)
    return [_written(work, ref, f"{number:04d}", part) for number, part in enumerate(reaching, 1)]


@task
def list_intervals(work: Workdir, ref: Reference, *, regions: list[str] | None = None) -> Intervals:
    """Write regions as a BED file.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA with its index.
    regions
        ``chr1``, or ``chr1:1001-2000`` (1-based, the last base included); the whole reference by default.

    Raises
    ------
    DataError
        One is not in the reference.
    """
    lengths = dict(ref.contigs)
    given = [parse_region(text, lengths) for text in (list(lengths) if regions is None else regions)]
    if not given:
        raise DataError("no regions were given; leave them out for the whole reference")
    return _written(work, ref, "regions", merge(given, lengths))


@task
def ploidy_of_sex(work: Workdir, ref: Reference, *, sex: Literal["XX", "XY"]) -> Ploidy:
    """Where a person of this sex has one copy, and none: X and Y outside the pseudoautosomal regions.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA with its index. X and Y are known by name and length: GRCh37, GRCh38, T2T-CHM13.
    sex
        ``"XX"`` or ``"XY"``.

    Returns
    -------
    Ploidy
        Regions of one copy, and of none.
    """
    haploid, absent = sex_regions(dict(ref.contigs), sex)
    return Ploidy(_written(work, ref, "haploid", haploid), _written(work, ref, "absent", absent))


def _written(work: Workdir, ref: Reference, name: str, regions: Iterable[Region]) -> Intervals:
    bed = work.file(f"{name}.bed")
    bed.write_text(bed_lines(regions), "utf-8")
    return Intervals(path=bed, build=ref.build, reference_cid=ref.cid or "")
