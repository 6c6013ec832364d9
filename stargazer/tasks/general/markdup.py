"""samtools markdup, for each library by itself.

References
----------
samtools-markdup(1), https://www.htslib.org/doc/samtools-markdup.html; samtools-fixmate(1)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import Alignment, DuplicateMetrics
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.engines import Engine, command, label, tools
from stargazer.tasks.guard import oddities, read_flags
from stargazer.tasks.lanes import joined_lanes
from stargazer.tasks.metrics import LibraryCounts, duplication_metrics
from stargazer.tasks.sam import check_references, libraries, sort_options, with_index
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Stage = list[str | int | Path]

__all__ = ["Marked", "mark_duplicates"]

ALL = "total (QC-passed reads + QC-failed reads)"
"""What flagstat calls the number of records."""

NAMED_ORDERS = ("", "queryname")
"""Orders in which the alignments of a read stand together."""


class Marked(NamedTuple):
    """What `mark_duplicates` returns: the alignment with its index, and the counts of duplicates."""

    alignment: Alignment
    metrics: DuplicateMetrics


def join_commands(engine: Engine, header: Path, files: Sequence[Path], *, together: bool) -> list[Stage]:
    """Stages of a pipe that writes the alignments of all lanes, those of a read together.

    Parameters
    ----------
    engine
        Where samtools comes from.
    header, files
        The header of all, and the lanes.
    together
        Whether those of a read stand together in each of them.
    """
    samtools = command("samtools", engine)
    joined: Stage = [*samtools, "cat", "--no-PG", "-h", header, *files]
    return [joined] if together else [joined, [*samtools, "collate", "--no-PG", "-u", "-O", "-"]]


def mark_commands(
    engine: Engine, library: str, bam: Path, counts: Path, *, sort: Sequence[str | int], distance: int
) -> list[Stage]:
    """Stages of a pipe that takes the alignments of one library and marks its duplicates.

    Parameters
    ----------
    engine
        Where samtools comes from.
    library
        LB of the read groups to take; all where it is empty.
    bam, counts
        Files to write.
    sort
        Options of ``samtools sort``.
    distance
        Pixels within which duplicates are optical.
    """
    samtools = command("samtools", engine)
    only: list[Stage] = [[*samtools, "view", "--no-PG", "-u", "-l", library, "-"]] if library else []
    return [
        *only,
        [*samtools, "fixmate", "--no-PG", "-m", "-u", "-", "-"],
        [*samtools, "sort", *sort, "-u", "-"],
        [*samtools, "markdup", "--no-PG", "-S", "-d", distance, "-f", counts, "-", bam],
    ]


def _only_sample(lanes: Sequence[Alignment]) -> str:
    samples = {lane.sample_id for lane in lanes}
    if len(samples) != 1:
        raise DataError(
            f"lanes of one sample are wanted, not of {len(samples)}: {', '.join(sorted(samples)) or 'none'}"
        )
    return samples.pop()


@task(memory=["2 GiB", "8 GiB"], tools=tools("samtools"))
def mark_duplicates(
    work: Workdir, lanes: list[Alignment], *, optical_distance: int = 100, engine: Engine = "embedded"
) -> Marked:
    """Join the lanes of a sample, sort by coordinate and mark duplicates.

    Reads are compared within their library (LB of the read group), whatever lanes it was sequenced on, and never
    between libraries. Of each set of duplicates, the pair with the highest sum of base qualities stays unmarked.

    Parameters
    ----------
    work
        The scratch directory.
    lanes
        BAMs of one sample, aligned to one reference, with read groups.
    optical_distance
        Pixels within which a duplicate on the same tile counts as optical (100; 2500 for patterned flow cells).
    engine
        Where samtools comes from.

    Returns
    -------
    Marked
        BAM sorted by coordinate with its index, and counts by library in Picard's format, which note what is odd about
        the reads.

    Raises
    ------
    DataError
        The lanes are of several samples or references, a read group names no library, or reads are in none of several.
    """
    sample = _only_sample(lanes)
    header = work.file("header.sam")
    for lane in lanes:
        check_references(work, lane, engine)
    joined = joined_lanes(work, lanes, engine)
    header.write_text(joined.header, "utf-8")
    names = libraries(joined.header)
    # Only what our tools made is sorted as it says: a header of others may say what it likes.
    stages = join_commands(
        engine, header, joined.files, together=all(lane.tool and lane.sorted in NAMED_ORDERS for lane in lanes)
    )
    counts: dict[str, LibraryCounts] = {}
    seen: Counter[str] = Counter()
    for number, name in enumerate(names):
        part, count, library = work.file(f"{number}.bam"), work.file(f"{number}.txt"), name if len(names) > 1 else ""
        marked = mark_commands(engine, library, part, count, sort=sort_options(work), distance=optical_distance)
        work.pipe(*stages, *marked)
        flags = work.output([*command("samtools", engine), "flagstat", "-@", work.cpus - 1, "-O", "tsv", part])
        counts[name] = LibraryCounts.of_samtools(count.read_text("utf-8"), flags)
        seen.update(read_flags(flags))
    if len(names) > 1 and not all(lane.tool for lane in lanes):
        _check_taken(work, lanes, seen[ALL], engine)
    bam, table = work.file(f"{sample}.markdup.bam"), work.file(f"{sample}.markdup.metrics.txt")
    _merge(work, [work.file(f"{number}.bam") for number in range(len(names))], bam, engine)
    table.write_text(duplication_metrics(counts), "utf-8")
    made = replace(lanes[0], path=bam, cid=None, name=bam.name, companions=(), sorted="coordinate")
    made = replace(made, duplicates_marked=True, tool=made.tool or label("samtools", engine))
    made = replace(made, bqsr_applied=all(lane.bqsr_applied for lane in lanes))
    notes = oddities(seen)
    for note in notes:
        work.warn(f"{sample}: {note}")
    told: dict[str, Any] = {"tool": label("samtools", engine), "notes": tuple(notes)}
    metrics = DuplicateMetrics(path=table, sample_id=sample, optical_distance=optical_distance, **told)
    return Marked(with_index(work, made, engine), metrics)


def _check_taken(work: Workdir, lanes: Sequence[Alignment], taken: int, engine: Engine) -> None:
    """Refuse reads of no read group of the header: they are in none of the libraries, and would be lost.

    Only what others wrote has such reads. Of one library nothing is picked out, and all stay.
    """
    count: Stage = [*command("samtools", engine), "view", "--no-PG", "-c", "-@", work.cpus - 1]
    lost = sum(int(work.output([*count, lane.path])) for lane in lanes) - taken
    if lost:
        names = ", ".join(lane.path.name for lane in lanes if not lane.tool)
        raise DataError(
            f"{lost:,} records of {names} have no read group of the header, so that their library is unknown; samtools "
            "addreplacerg gives them one"
        )


def _merge(work: Workdir, parts: Sequence[Path], bam: Path, engine: Engine) -> None:
    """Put libraries, each sorted by coordinate and all with the same header, into one file."""
    if len(parts) == 1:
        parts[0].rename(bam)
    else:
        work.run([*command("samtools", engine), "merge", "--no-PG", "-c", "-p", "-o", bam, *parts])
