"""Germline short variants with GATK, as its best practices have it: what `call_cohort` wires for ``engine="gatk"``."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from stargazer.assets import Intervals, KnownSites, KnownSitesIndex, Reference
from stargazer.errors import DataError
from stargazer.store import active_store
from stargazer.tasks import gatk
from stargazer.tasks.gatk.java import check_tools
from stargazer.tasks.general import join_known_sites, join_lanes, normalize_variants, scatter_intervals
from stargazer.tasks.general import ploidy_of_sex as ploidies
from stargazer.tasks.vcf import has_records
from stargazer.workflows.aligning import PLAIN, ReadOptions, align_lane
from stargazer.workflows.lanes import Lane, is_recalibrated, name_lanes, path_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stargazer.assets import Alignment, Variants
    from stargazer.calls import Call
    from stargazer.tasks.engines import Engine

__all__ = [
    "Called",
    "GatkOptions",
    "GermlineEngine",
    "Preprocessed",
    "align_with_gatk",
    "call_alignments_with_gatk",
    "call_with_gatk",
    "known_sites_of",
    "other_tools",
    "parts_to_recalibrate",
    "recalibration",
    "shards_of",
    "with_known_sites",
]

GermlineEngine: TypeAlias = Literal["embedded", "native", "gatk"]
"""As `Engine`; ``"gatk"`` is GATK after the bwa on PATH."""

SHARD = 50_000_000
"""Bytes of FASTA for which one part is worth a start of GATK."""

OVERLAP = 1_000
"""Bases that the parts of a sample's variants have in common on each side of a cut: several active regions."""

DBSNP = "dbsnp"
NOT_RECALIBRATED = "Base qualities were not recalibrated: no known sites were given."


class Preprocessed(NamedTuple):
    """Calls of what comes of a sample's reads: an `Alignment` ready for calling, and its `DuplicateMetrics`."""

    alignment: Call
    metrics: Call


class Called(NamedTuple):
    """Calls of a cohort's `Variants` and of their `FilterChoice`, and the gVCF of each sample."""

    variants: Call
    choice: Call
    gvcfs: dict[str, Variants | Call]


@dataclass(frozen=True)
class GatkOptions:
    """How GATK calls a cohort.

    Parameters
    ----------
    known_sites
        VCFs of known variants. Base qualities are recalibrated by all of them; where there are none, they are not.
        Those with the `resource_name` ``"dbsnp"`` give their ids, and those marked `training` and `truth` train VQSR.
        A resource may be in several files. By default all of that build in the active store, where the workflow finds
        its inputs by their facts, else none.
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
    max_gaussians, annotations
        Of VQSR: clusters of its models at most, and what they are of, by mode (``"SNP"``, ``"INDEL"``).
    pcr_model
        Of HaplotypeCaller: ``"NONE"`` for libraries made without PCR.
    ploidy
        Copies of everything that sex says nothing of.
    enable_baq
        Of BaseRecalibrator: whether bases near indels count less.
    extra
        Further arguments, by the name of the tool: ``{"HaplotypeCaller": ["--max-reads-per-alignment-start", "0"]}``.
    """

    known_sites: Sequence[KnownSites] | None = None
    target: Intervals | None = None
    padding: int = field(default=100, metadata={"minimum": 0})
    sexes: Mapping[str, str] = field(default_factory=dict)
    filter: Literal["auto", "hard", "vqsr", "none"] = "auto"
    shards: int | None = field(default=None, metadata={"minimum": 1})
    max_gaussians: int | None = field(default=None, metadata={"minimum": 1})
    annotations: Mapping[str, Sequence[str]] | None = None
    pcr_model: Literal["", "NONE", "HOSTILE", "AGGRESSIVE", "CONSERVATIVE"] = ""
    ploidy: int = field(default=2, metadata={"minimum": 1})
    enable_baq: bool = False
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing: of no parts at all, even a target would be passed over.

        Raises
        ------
        DataError
            Parts, copies or clusters are fewer than one, or the padding is negative.
        """
        for each in fields(self):
            value, least = getattr(self, each.name), each.metadata.get("minimum")
            if least is not None and value is not None and value < least:
                raise DataError(f"{each.name} of GATK is {value}, and must be {least} or more")

    @property
    def arguments(self) -> dict[str, list[str]] | None:
        """`extra` as tasks take it."""
        return {tool: list(words) for tool, words in self.extra.items()} or None

    @property
    def recalibrating(self) -> list[KnownSites]:
        """Known sites that say anything; a file without records says nothing."""
        return [site for site in self.known_sites or () if has_records(path_of(site))]


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
    reference: Reference | Call,
    lanes: Sequence[Lane],
    options: GatkOptions,
    parts: Sequence[Call] = (),
    reads: ReadOptions = PLAIN,
) -> Preprocessed:
    """Align a sample lane by lane, mark its duplicates, and recalibrate its base qualities where sites are known.

    Parameters
    ----------
    reference
        FASTA with its indices.
    lanes
        Reads of the sample. Where they are aligned and recalibrated, they are not recalibrated again.
    options
        How GATK works.
    parts
        Intervals in which the recalibration is learned; at once if there are none.
    reads
        Whether reads are trimmed, and what aligns them.
    """
    named, extra = name_lanes(lanes), options.arguments
    aligned = [align_lane(reference, lane, "native", reads) for lane in named]
    joined = aligned[0] if len(aligned) == 1 else join_lanes(aligned, engine="native")
    in_order = gatk.sort_sam(joined, extra=extra)
    marked = gatk.mark_duplicates(in_order, optical_distance=reads.optical(named).distance, extra=extra)
    alignment, metrics = marked
    sites = [indexed(one) for one in options.recalibrating]
    if sites and not is_recalibrated(lanes):
        tables = [
            gatk.base_recalibrator(alignment, reference, sites, part, enable_baq=options.enable_baq, extra=extra)
            for part in parts or (None,)
        ]
        table = tables[0] if len(tables) == 1 else gatk.gather_bqsr_reports(tables)
        alignment = gatk.apply_bqsr(alignment, reference, table, extra=extra)
    return Preprocessed(alignment, metrics)


def call_alignments_with_gatk(
    reference: Reference | Call,
    alignments: Mapping[str, Alignment | Call],
    cohort_id: str,
    options: GatkOptions,
    *,
    gvcfs: Mapping[str, Variants | Call] | None = None,
    notes: Sequence[str] = (),
    order: Sequence[str] = (),
) -> Called:
    """Call the variants of alignments that are ready, joined with gVCFs that are there.

    Parameters
    ----------
    reference
        FASTA with its indices.
    alignments
        Of each sample that is to be called.
    cohort_id
        Name of the cohort.
    options
        How it is called.
    gvcfs
        Of other samples, called by GATK before, here or elsewhere, each with its index.
    notes
        What the `FilterChoice` shall say.
    order
        Samples as they stand in the VCF; those of gVCFs last where it is empty.
    """
    known = list(options.known_sites or ())
    parts = _parts(reference, options)
    whole = [] if options.target is None and len(parts) == 1 else parts
    reaching = _parts(reference, options, OVERLAP) if len(parts) > 1 else whole
    made: dict[str, Variants | Call] = {
        name: _gvcf(reference, alignment, options, options.sexes.get(name, ""), reaching)
        for name, alignment in alignments.items()
    }
    made = in_order(made | dict(gvcfs or {}), order)
    extra, dbsnp = options.arguments, _dbsnp(known)
    joint = [
        gatk.joint_call_gvcfs(list(made.values()), reference, part, dbsnp, cohort_id=cohort_id, extra=extra)
        for part in whole or (None,)
    ]
    gathered = joint[0] if len(joint) == 1 else gatk.gather_vcfs(joint)
    resources = [indexed(one) for one in known if one.training or one.truth]
    model: dict[str, Any] = {"max_gaussians": options.max_gaussians}
    model["annotations"] = {mode: list(names) for mode, names in (options.annotations or {}).items()} or None
    filtered = gatk.filter_variants(
        gathered, reference, resources, method=options.filter, notes=list(notes), extra=extra, **model
    )
    vcf = normalize_variants(reference, filtered.variants, samples=list(made), engine="native")
    return Called(vcf, filtered.choice, made)


def call_with_gatk(
    reference: Reference | Call,
    samples: Mapping[str, Sequence[Lane]],
    cohort_id: str,
    options: GatkOptions,
    reads: ReadOptions = PLAIN,
    gvcfs: Mapping[str, Variants | Call] | None = None,
    order: Sequence[str] = (),
) -> tuple[Call, Call, dict[str, Preprocessed]]:
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
    reads
        Whether reads are trimmed, and what aligns them.
    gvcfs
        Of further samples, called by GATK before.
    order
        As of `call_alignments_with_gatk`.

    Returns
    -------
    tuple
        Calls of `Variants`, of `FilterChoice`, and by sample of `Alignment` and `DuplicateMetrics`.
    """
    check_options({**samples, **dict.fromkeys(gvcfs or (), ())}, options)
    whole = parts_to_recalibrate(reference, options)
    aligned = {name: align_with_gatk(reference, lanes, options, whole, reads) for name, lanes in samples.items()}
    told = recalibration(options, samples)
    alignments = {name: one.alignment for name, one in aligned.items()}
    more: dict[str, Any] = {"gvcfs": gvcfs, "notes": told, "order": order}
    called = call_alignments_with_gatk(reference, alignments, cohort_id, options, **more)
    return called.variants, called.choice, aligned


def in_order(made: Mapping[str, Variants | Call], order: Sequence[str]) -> dict[str, Variants | Call]:
    """Put gVCFs into the order of their samples; those that it does not name come last."""
    return {name: made[name] for name in (*order, *made) if name in made}


def recalibration(options: GatkOptions, samples: Mapping[str, Sequence[Lane]]) -> list[str]:
    """What records and reports say of base qualities."""
    before = [name for name, lanes in samples.items() if is_recalibrated(lanes)]
    told = [f"Base qualities of {', '.join(before)} were recalibrated before, and were not again."] if before else []
    sites = options.recalibrating
    empty = [one.name for one in options.known_sites or () if one not in sites]
    if empty:
        told.append(f"{', '.join(empty)} has no known sites.")
    if len(before) == len(samples):
        return told
    names = ", ".join(dict.fromkeys(site.resource_name or site.name for site in sites))
    return [*told, f"Base qualities were recalibrated, by {names}." if names else NOT_RECALIBRATED]


def _dbsnp(known: Sequence[KnownSites]) -> KnownSites | Call | None:
    """The sites whose ids variants get, in one file."""
    found = [one for one in known if one.resource_name.casefold() == DBSNP]
    if len(found) > 1:
        return join_known_sites([replace(one, companions=()) for one in found], engine="native")
    return indexed(found[0]) if found else None


def _gvcf(
    reference: Reference | Call, alignment: Alignment | Call, options: GatkOptions, sex: Any, parts: Sequence[Call]
) -> Call:
    copies = ploidies(reference, sex=sex) if sex else (None, None)
    given: dict[str, Any] = {"ploidy": options.ploidy, "pcr_model": options.pcr_model, "extra": options.arguments}
    made = [
        gatk.haplotype_caller(alignment, reference, part, copies[0], copies[1], **given) for part in parts or (None,)
    ]
    return made[0] if len(made) == 1 else gatk.gather_gvcfs(made, reference)


def parts_to_recalibrate(reference: Reference | Call, options: GatkOptions) -> list[Call]:
    """Intervals in which a recalibration is learned; none where it is learned at once."""
    parts = _parts(reference, options)
    return [] if options.target is None and len(parts) == 1 else parts


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


def check_options(samples: Mapping[str, Sequence[Lane]], options: GatkOptions) -> None:
    """Refuse options that fit neither each other nor the samples.

    Raises
    ------
    DataError
        There is another sex, or one of no sample; no sites to train a model with; a tool that is not run.
    """
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
    check_tools(options.extra)


def with_known_sites(options: GatkOptions | None, build: str) -> GatkOptions:
    """Options with the known sites of an assembly that the active store holds, unless they name others."""
    chosen = options or GatkOptions()
    return replace(chosen, known_sites=known_sites_of(build)) if chosen.known_sites is None else chosen


def known_sites_of(build: str) -> list[KnownSites]:
    """VCFs of known variants of an assembly that the active store holds.

    Without their indices, which are made anew: one that was stored since must not change what is asked for.
    """
    found = [
        one
        for one in active_store().assemble(asset="known_sites", build=build, missing="skip")
        if isinstance(one, KnownSites)
    ]
    return list(dict.fromkeys(replace(one, companions=()) for one in found))
