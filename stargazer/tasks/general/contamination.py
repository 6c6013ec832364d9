"""Reads of others among those of a sample, at the sites of a joint callset.

References
----------
Jun G et al. Detecting and estimating contamination of human DNA samples in sequencing and array-based genotype data.
Am J Hum Genet 91, 839-848 (2012).
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from stargazer.assets import Alignment, AlignmentIndex, Contamination, Reference, Variants
from stargazer.assets.fact_types import Share
from stargazer.bio.variants.contamination import estimate_mixture, find_markers
from stargazer.calls import task
from stargazer.tasks.engines import Engine, command, tools
from stargazer.tasks.sam import check_references
from stargazer.tasks.vcf import vcf_lines
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stargazer.bio.variants.contamination import Marker

__all__ = ["estimate_contamination"]

LEAST_MAPPING, LEAST_BASE = 20, 15
"""Phred scores of an alignment and of a base, from which on they count: what is placed or read wrongly looks alien."""

MOST_READS = 1000


def count_command(engine: Engine, fasta: Path, bam: Path, places: Path, counts: Path) -> list[str | int | Path]:
    """``bcftools mpileup`` that counts the bases at some places; bases that both mates show count once."""
    counted: list[str | int | Path] = ["-q", LEAST_MAPPING, "-Q", LEAST_BASE, "-d", MOST_READS, "-B", "-I"]
    files: list[str | int | Path] = ["-a", "FORMAT/AD", "-R", places, "-f", fasta, "-Ov", "-o", counts, bam]
    return [*command("bcftools", engine), "mpileup", "--no-version", *counted, *files]


@task(memory="1 GiB", tools=tools("bcftools", "samtools"))
def estimate_contamination(
    work: Workdir, alignment: Alignment, vcf: Variants, ref: Reference, *, engine: Engine = "embedded"
) -> Contamination:
    """Estimate which share of a sample's reads is of somebody else.

    Parameters
    ----------
    work
        The scratch directory.
    alignment
        BAM of one sample, sorted by coordinate, duplicates marked, with its index.
    vcf
        Joint calls of the sample's cohort: where people differ, and how often.
    ref
        FASTA with its index.
    engine
        Where bcftools and samtools come from.

    Returns
    -------
    Contamination
        JSON of the share, and of what speaks for it.

    Raises
    ------
    DataError
        The alignment belongs to another reference.
    AssetError
        An index is missing.
    """
    alignment.companion(AlignmentIndex)
    check_references(work, alignment, engine)
    markers = find_markers(vcf.path, alignment.sample_id)
    found = estimate_mixture(markers, _counted(work, alignment, ref, markers, engine))
    told = {"sample_id": alignment.sample_id, "sites": found.markers}
    told |= {name: _rounded(getattr(found, name)) for name in ("share", "error", "support")}
    table = work.file(f"{alignment.sample_id}.contamination.json")
    table.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    cids: dict[str, Any] = {"alignment_cid": alignment.cid or "", "variants_cid": vcf.cid or ""}
    share = Share(round(found.share, 6))
    return Contamination(path=table, sample_id=alignment.sample_id, share=share, sites=found.markers, **cids)


def _rounded(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _counted(
    work: Workdir, alignment: Alignment, ref: Reference, markers: Sequence[Marker], engine: Engine
) -> dict[tuple[str, int], tuple[int, int]]:
    """Reads of both bases at each marker that has any."""
    if not markers:
        return {}
    places = work.file("places.tsv")
    places.write_text("".join(f"{one.contig}\t{one.position}\n" for one in markers), "utf-8")
    alts = {(one.contig, one.position): one.alt for one in markers}
    counts = work.file("counts.vcf")
    work.run(count_command(engine, ref.path, alignment.path, places, counts))
    found = {}
    for line in vcf_lines(counts):
        if line.startswith("#"):
            continue
        contig, position, _, _, bases, *_, form, values = line.rstrip("\n").split("\t")
        known = dict(zip(form.split(":"), values.split(":"), strict=False))
        place, reads = (contig, int(position)), [int(one) for one in known.get("AD", "").split(",") if one.isdecimal()]
        shown = dict(zip(bases.upper().split(","), reads[1:], strict=False))
        if reads and place in alts:
            found[place] = reads[0], shown.get(alts[place], 0)
    return found
