"""Depth where it counts: on a target, or on the whole genome.

References
----------
samtools-stats(1), https://www.htslib.org/doc/samtools-stats.html
Picard, HsMetrics (FOLD_80_BASE_PENALTY): https://broadinstitute.github.io/picard/picard-metric-definitions.html
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stargazer.assets import Alignment, AlignmentIndex, Intervals, Reference, TargetCoverage
from stargazer.calls import task
from stargazer.tasks.engines import Engine, command, tools
from stargazer.tasks.metrics import read_alignment_stats
from stargazer.tasks.regions import bed_text, merge, parse_bed
from stargazer.tasks.sam import check_references
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["target_coverage"]

DEEPEST = 5000
"""Depth from which on bases are counted together."""

LEVELS = (10, 20, 30)
UNCOUNTED = 0xF04
"""Flags of reads that do not count: unmapped, secondary, failed, duplicate, supplementary."""


@task(memory="1 GiB", tools=tools("samtools"))
def target_coverage(
    work: Workdir,
    alignment: Alignment,
    ref: Reference,
    target: Intervals | None = None,
    *,
    engine: Engine = "embedded",
) -> TargetCoverage:
    """Measure depth, evenness and GC on a target; duplicates do not count, bases that both mates show count once.

    Parameters
    ----------
    work
        The scratch directory.
    alignment
        BAM sorted by coordinate, duplicates marked, with its index.
    ref
        FASTA with its index.
    target
        BED file; the whole genome by default.
    engine
        Where samtools comes from.

    Returns
    -------
    TargetCoverage
        JSON of the numbers and of the histogram of depths. Shares of no reads are ``nan``, in JSON ``null``.

    Raises
    ------
    DataError
        A target is not in the reference.
    AssetError
        An index is missing.
    """
    alignment.companion(AlignmentIndex)
    check_references(work, alignment, engine)
    lengths, samtools = dict(ref.contigs), command("samtools", engine)
    where: list[str | int] = []
    bases = sum(lengths.values())
    if target is not None:
        regions = merge(parse_bed(bed_text(target.path)), lengths)
        bases = sum(one.end - one.start for one in regions)
        places = work.file("target.tsv")
        places.write_text("".join(f"{one.contig}\t{one.start + 1}\t{one.end}\n" for one in regions), "utf-8")
        where = ["-t", str(places)]
    counting = ["-d", "-p", "-F", UNCOUNTED, "-c", f"1,{DEEPEST},1", *where]
    numbers = read_alignment_stats(work.output([*samtools, "stats", *counting, alignment.path]))
    mapped = int(work.output([*samtools, "view", "-c", "-F", UNCOUNTED, alignment.path]))
    on_target = numbers.summary.get("reads mapped", 0.0) / mapped if mapped else math.nan
    facts: dict[str, Any] = _depths([(int(depth), int(count)) for depth, count in numbers.depths], bases)
    facts |= {"on_target": round(on_target, 6), "gc": _mean(numbers.gc)}
    table = work.file(f"{alignment.sample_id}.target_coverage.json")
    known = {name: value if math.isfinite(value) else None for name, value in facts.items()}
    told = {"sample_id": alignment.sample_id, "bases": bases, **known, "depths": numbers.depths}
    table.write_text(json.dumps(told, indent=1, allow_nan=False) + "\n", "utf-8")
    made = TargetCoverage(path=table, sample_id=alignment.sample_id, alignment_cid=alignment.cid or "", bases=bases)
    return replace(made, targeted=target is not None, **facts)


def _depths(histogram: Sequence[tuple[int, int]], bases: int) -> dict[str, float]:
    """Mean depth, shares of bases from some depths on, and fold-80, which is no number where nothing is covered."""
    mean = sum(depth * count for depth, count in histogram) / bases if bases else 0.0
    shares = {
        f"breadth_{level}x": round(sum(count for depth, count in histogram if depth >= level) / bases, 6)
        if bases
        else 0.0
        for level in LEVELS
    }
    fifth = _fifth(histogram)
    return {"mean_depth": round(mean, 4), **shares, "fold_80": round(mean / fifth, 4) if fifth else math.nan}


def _fifth(histogram: Sequence[tuple[int, int]]) -> int:
    """The depth that 80 per cent of the covered bases have."""
    covered, seen = sum(count for _, count in histogram), 0
    for depth, count in sorted(histogram):
        seen += count
        if 5 * seen >= covered:
            return depth
    return 0


def _mean(gc: Sequence[tuple[float, float]]) -> float:
    total = sum(count for _, count in gc)
    return round(sum(percent * count for percent, count in gc) / total / 100, 6) if total else math.nan
