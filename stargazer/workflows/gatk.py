"""Germline short variants with GATK, as its best practices have it: what `call_cohort` wires for ``engine="gatk"``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from stargazer.assets import Intervals, KnownSites, KnownSitesIndex, Reference
from stargazer.errors import DataError
from stargazer.store import active_store
from stargazer.tasks import gatk
from stargazer.tasks.general import bwa_mem, convert_alignment, join_lanes, normalize_variants, scatter_intervals
from stargazer.tasks.general import ploidy_of_sex as ploidies
from stargazer.workflows.lanes import Lane, name_lanes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stargazer.calls import Call
    from stargazer.tasks.engines import Engine

__all__ = ["GatkOptions", "GermlineEngine", "align_with_gatk", "call_with_gatk", "other_tools", "shards_of"]

GermlineEngine: TypeAlias = Literal["embedded", "native", "gatk"]
"""As `Engine`; ``"gatk"`` is GATK after the bwa on PATH."""

SHARD = 50_000_000
"""Bytes of FASTA for which one part is worth a start of GATK."""

OVERLAP = 1_000
"""Bases that the parts of a sample's variants have in common on each side of a cut: several active regions."""

DBSNP = "dbsnp"
NOT_RECALIBRATED = "Base qualities were not recalibrated: no known sites were given."


@dataclass(frozen=True)
class GatkOptions:
    """How GATK calls a cohort.

    Parameters
    ----------
    known_sites
        VCFs of known variants. Base qualities are recalibrated by all of them; where there are none, they are not. One
        with the `resource_name` ``"dbsnp"`` gives its ids, and those marked `training` and `truth` train VQSR. By
        default all of that build in the active store, where the workflow finds its inputs by their facts, else none.
    target
        BED file of exons or amplicons: nothing is called elsewhere.
    padding
        Bases around each target that belong to it.
    sexes
        ``"XX"`` or ``"XY"`` by sample: copies of X and Y outside the pseudoautosomal regions; two of all of others.
    filter
        ``"hard"``, ``"vqsr"``, ``"none"``, or ``"auto"``: hard filters, unless there is enough to train a model with.
    shards
        Parts that variants are called in; by default one for each 50 million bases of the reference.
    """

    known_sites: Sequence[KnownSites] | None = None
    target: Intervals | None = None
    padding: int = 100
    sexes: Mapping[str, str] = field(default_factory=dict)
    filter: Literal["auto", "hard", "vqsr", "none"] = "auto"
    shards: int | None = None


def other_tools(engine: GermlineEngine) -> Engine:
    """Where bwa, samtools and bcftools come from; beside GATK from PATH."""
    return "native" if engine == "gatk" else engine


def shards_of(reference: Reference | Call) -> int:
    """Parts that work on a reference is cut into, from the size of its FASTA alone."""
    found: Any = reference
    while not isinstance(found, Reference):
        found = found.inputs.get("ref")  # the call that attaches indices to it, or the like
        if found is None:
            raise DataError(f"the size of the reference that {reference!r} makes is not known yet; say how many shards")
    size = found.path.stat().st_size if found.path else active_store().size(found.cid or "")
    return max(1, round((size or 0) / SHARD))


def align_with_gatk(
    reference: Reference | Call, lanes: Sequence[Lane], known_sites: Sequence[KnownSites | Call], parts: Sequence[Call]
) -> tuple[Call, Call]:
    """Align a sample lane by lane, mark its duplicates, and recalibrate its base qualities where sites are known.

    Parameters
    ----------
    reference
        FASTA with its indices.
    lanes
        Reads of the sample.
    known_sites
        VCFs of known variants with their indices.
    parts
        Intervals in which the recalibration is learned; at once if there are none.

    Returns
    -------
    tuple of Call
        Of `Alignment` and of `DuplicateMetrics`.
    """
    aligned = [_aligned(reference, lane) for lane in name_lanes(lanes)]
    joined = aligned[0] if len(aligned) == 1 else join_lanes(aligned, engine="native")
    alignment, metrics = gatk.mark_duplicates(gatk.sort_sam(joined))
    if known_sites:
        tables = [gatk.base_recalibrator(alignment, reference, list(known_sites), part) for part in parts or (None,)]
        table = tables[0] if len(tables) == 1 else gatk.gather_bqsr_reports(tables)
        alignment = gatk.apply_bqsr(alignment, reference, table)
    return alignment, metrics


def _aligned(reference: Reference | Call, lane: Lane) -> Call:
    if lane.aligned is not None:
        return convert_alignment(lane.aligned, reference, to="bam", unmark=True, engine="native")
    named: dict[str, Any] = {"lane": lane.name, "library": lane.library, "platform_unit": lane.platform_unit}
    assert lane.r1 is not None
    return bwa_mem(reference, lane.r1, lane.r2, **named, engine="native")


def call_with_gatk(
    reference: Reference | Call, samples: Mapping[str, Sequence[Lane]], cohort_id: str, options: GatkOptions
) -> tuple[Call, Call, dict[str, tuple[Call, Call]]]:
    """Wire the whole workflow.

    Parameters
    ----------
    reference
        FASTA with its indices.
    samples
        Reads of each sample.
    cohort_id
        Name of the cohort.
    options
        How it is called.

    Returns
    -------
    tuple
        Calls of `Variants`, of `FilterChoice`, and by sample of `Alignment` and `DuplicateMetrics`.
    """
    _check(samples, options)
    known = list(options.known_sites or ())
    sites = [indexed(one) for one in known]
    dbsnp = next((new for one, new in zip(known, sites, strict=True) if one.resource_name == DBSNP), None)
    parts = _parts(reference, options)
    whole = [] if options.target is None and len(parts) == 1 else parts
    aligned = {name: align_with_gatk(reference, lanes, sites, whole) for name, lanes in samples.items()}
    reaching = _parts(reference, options, OVERLAP) if len(parts) > 1 else whole
    gvcfs = [_gvcf(reference, aligned[name][0], options.sexes.get(name, ""), reaching) for name in samples]
    joint = [gatk.joint_call_gvcfs(gvcfs, reference, part, dbsnp, cohort_id=cohort_id) for part in whole or (None,)]
    gathered = joint[0] if len(joint) == 1 else gatk.gather_vcfs(joint)
    resources = [new for one, new in zip(known, sites, strict=True) if one.training or one.truth]
    told = [recalibration(known)]
    filtered = gatk.filter_variants(gathered, reference, resources, method=options.filter, notes=told)
    vcf = normalize_variants(reference, filtered.variants, samples=list(samples), engine="native")
    return vcf, filtered.choice, aligned


def recalibration(known_sites: Sequence[KnownSites]) -> str:
    """What records and reports say of base qualities."""
    names = ", ".join(site.resource_name or site.name for site in known_sites)
    return f"Base qualities were recalibrated, by {names}." if names else NOT_RECALIBRATED


def _gvcf(reference: Reference | Call, alignment: Call, sex: Any, parts: Sequence[Call]) -> Call:
    copies = ploidies(reference, sex=sex) if sex else (None, None)
    made = [gatk.haplotype_caller(alignment, reference, part, copies[0], copies[1]) for part in parts or (None,)]
    return made[0] if len(made) == 1 else gatk.gather_gvcfs(made, reference)


def _parts(reference: Reference | Call, options: GatkOptions, overlap: int = 0) -> list[Call]:
    shards = shards_of(reference) if options.shards is None else options.shards
    padding = options.padding if options.target is not None else 0
    plan = scatter_intervals(reference, options.target, shards=shards, padding=padding, overlap=overlap)
    return [plan[number] for number in range(shards)]


def indexed(known_sites: KnownSites) -> KnownSites | Call:
    """Known sites with their index: the one that they have, or a call that makes it."""
    if any(isinstance(one, KnownSitesIndex) for one in known_sites.companions):
        return known_sites
    return gatk.attach_known_sites_index(known_sites, gatk.index_feature_file(known_sites))


def _check(samples: Mapping[str, Sequence[Lane]], options: GatkOptions) -> None:
    unknown = sorted(set(options.sexes) - set(samples))
    wrong = sorted({sex for sex in options.sexes.values() if sex not in ("", "XX", "XY")})
    if unknown or wrong:
        raise DataError(f"sexes are XX or XY, by sample of the cohort; not of {unknown or wrong}")
    known = options.known_sites or ()
    if options.filter == "vqsr" and not (any(one.training for one in known) and any(one.truth for one in known)):
        raise DataError(
            "filter='vqsr' wants known sites with training=True and with truth=True to make a model of; "
            "add them, or choose filter='auto' or 'hard'"
        )
