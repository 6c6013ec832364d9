"""A cohort in one call: from a sheet to a folder of results.

Two runs, one after the other: reads to alignments that are ready, then variants. Between them samples without usable
reads are left out, for how many calls there are is fixed when they are wired.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stargazer.assets import Asset, Intervals, KnownSites, Reference
from stargazer.errors import DataError, DataWarning, NotFound
from stargazer.runs import run
from stargazer.store import active_store
from stargazer.tasks.general import (
    annotate_variants,
    bcftools_stats,
    convert_alignment,
    coverage,
    estimate_contamination,
    identify_samples,
    list_consequences,
    predict_consequences,
    qc_report,
    samtools_flagstat,
    samtools_idxstats,
    samtools_stats,
    target_coverage,
)
from stargazer.tasks.guard import is_usable
from stargazer.tasks.limits import PLAIN_LIMITS, QCLimits
from stargazer.visible import visible
from stargazer.workflows.again import germline_command, store_named
from stargazer.workflows.aligning import PLAIN, ReadOptions, trimming_reports
from stargazer.workflows.builds import find_build
from stargazer.workflows.calling import call_alignments, check_name, with_sexes
from stargazer.workflows.folder import Results, check_folder, write_folder
from stargazer.workflows.gatk import (
    GatkOptions,
    GermlineEngine,
    align_with_gatk,
    call_alignments_with_gatk,
    check_options,
    known_sites_of,
    other_tools,
    parts_to_recalibrate,
    recalibration,
)
from stargazer.workflows.inputs import check_against, contigs_of
from stargazer.workflows.preprocessing import align_sample, index_reference
from stargazer.workflows.samples import sheet_gvcfs, sheet_lanes, sheet_sexes
from stargazer.workflows.sheet import SampleSheet, read_sheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from distributed import Client

    from stargazer.assets import Alignment, DuplicateMetrics, QCReport, Variants
    from stargazer.calls import Call
    from stargazer.workflows.lanes import Lane

__all__ = ["CohortOptions", "germline"]


@dataclass(frozen=True)
class CohortOptions:
    """What is done with a cohort beside calling it.

    Parameters
    ----------
    cram
        Whether alignments are put down as CRAM, else as BAM.
    genes
        GFF3 of Ensembl's kind, for consequences.
    annotations, info
        VCFs such as ClinVar's, of which ids are taken, and names of INFO to take.
    stop_after
        ``"preprocess"`` to end with alignments that are ready.
    strict
        Whether a lane or a sample without usable reads is an error; otherwise it is left out, and named.
    limits
        Beyond which a sample is marked in the report.
    links
        Whether the folder has links into the store in place of copies.
    """

    cram: bool = True
    genes: str | Path | Asset | None = None
    annotations: Sequence[str | Path | KnownSites] = ()
    info: Sequence[str] = ()
    stop_after: Literal["", "preprocess"] = ""
    strict: bool = False
    limits: QCLimits = PLAIN_LIMITS
    links: bool = False


@dataclass
class _Cohort:
    """What is known of a cohort on its way."""

    name: str
    sheet: SampleSheet
    engine: GermlineEngine
    reference: Reference | Call
    target: Intervals | None
    gatk: GatkOptions
    reads: ReadOptions
    options: CohortOptions
    client: Client | None
    notes: list[str]
    left_out: dict[str, str]
    tasks_run: int = 0
    lanes: Mapping[str, Sequence[Lane]] = field(default_factory=dict)
    ready: dict[str, tuple[Alignment, DuplicateMetrics]] = field(default_factory=dict)

    def run(self, calls: Any) -> Any:
        """Results of calls."""
        flight = run(calls, client=self.client, name="germline")
        found = flight.result()
        self.tasks_run += flight.tasks_run
        return found

    def tell(self, note: str) -> None:
        """Note what a person should know, at once."""
        self.notes.append(note)
        warnings.warn(visible(note), DataWarning, stacklevel=4)


def germline(
    sheet: str | Path,
    ref: str | Path | Reference,
    out: str | Path,
    *,
    target: str | Path | Intervals | None = None,
    engine: GermlineEngine = "embedded",
    known_sites: Sequence[str | Path | KnownSites] | None = None,
    gatk: GatkOptions | None = None,
    reads: ReadOptions = PLAIN,
    options: CohortOptions | None = None,
    cohort_id: str = "cohort",
    client: Client | None = None,
) -> Results:
    """Call the variants of a cohort, from a sample sheet to a folder of results.

    The sheet and all its files are looked at beside the reference before anything runs.

    Parameters
    ----------
    sheet
        Path of the sample sheet.
    ref
        FASTA; or the name of a build that the active store has, or of one that comes with the package.
    out
        The folder of the results; what is there of an earlier run is replaced.
    target
        BED file of exons or amplicons: measures are of it, and GATK calls nothing elsewhere.
    engine
        Where the tools come from: ``"embedded"``, ``"native"``, or ``"gatk"``.
    known_sites
        VCFs of known variants, for GATK; by default those of that build in the active store.
    gatk
        How GATK calls; `known_sites` and `target` above are added.
    reads
        Whether reads are trimmed, and what aligns them.
    options
        What is done beside it.
    cohort_id
        Name of the cohort, and of its files.
    client
        A Dask client; by default the active one, or threads of this process.

    Returns
    -------
    Results
        What was made, what the report marks, and what was left out.

    Raises
    ------
    DataError
        What is wrong with the sheet and its files, all at once; no sample has usable reads; or files of a person are in
        the folder that would be written over.
    NotFound
        No such reference.

    Examples
    --------
    >>> germline("samples.csv", "GRCh38", "results", target="exome.bed")  # doctest: +SKIP
    """
    started = time.monotonic()
    chosen = options or CohortOptions()
    check_name(cohort_id)
    read = read_sheet(sheet, strict=chosen.strict)
    check_folder(Path(out), read, cohort_id, cram=chosen.cram)
    cohort = _checked(read, ref, target, engine, known_sites, gatk, reads, chosen, cohort_id, client)
    cohort.lanes = sheet_lanes(cohort.sheet)
    gvcfs = sheet_gvcfs(cohort.sheet, cohort.reference, engine)
    _preprocess(cohort)
    made = _ready(cohort) if chosen.stop_after == "preprocess" else _called(cohort, gvcfs)
    asked: dict[str, Any] = {"target": target, "engine": engine, "known_sites": known_sites, "gatk": gatk}
    asked |= {"reads": reads, "options": chosen, "cohort_id": cohort_id, "store": store_named(active_store().url)}
    command = germline_command(sheet, ref, **asked)
    made = replace(made, seconds=time.monotonic() - started, tasks_run=cohort.tasks_run, command=command)
    inputs = _files(read, [ref, target, chosen.genes, *(known_sites or ()), *chosen.annotations])
    return write_folder(made, Path(out), read.path, inputs=inputs, links=chosen.links)


def _files(sheet: SampleSheet, given: Sequence[Any]) -> list[Path]:
    """Files that a sheet names, and those that were given by their paths, or as ``NAME=FILE``."""
    named = [file for sample in sheet.samples.values() for row in sample.rows for file in row.files.values()]
    texts = [str(one) for one in given if isinstance(one, (str, Path))]
    return [*named, *(Path(path) for text in texts for path in (text, text.partition("=")[2]) if path)]


def _checked(
    read: SampleSheet,
    ref: str | Path | Reference,
    target: str | Path | Intervals | None,
    engine: GermlineEngine,
    known_sites: Sequence[str | Path | KnownSites] | None,
    gatk: GatkOptions | None,
    reads: ReadOptions,
    options: CohortOptions,
    cohort_id: str,
    client: Client | None,
) -> _Cohort:
    """Find the reference, and look at everything beside it."""
    if (gatk is not None or known_sites) and engine != "gatk":
        told = "these are options of GATK" if gatk is not None else "known sites are for GATK"
        raise DataError(f"{told}, and the engine is {engine!r}; choose engine='gatk'")
    if options.info and not options.annotations:
        raise DataError(f"INFO {', '.join(options.info)} is to be taken from VCFs with annotations, and none is given")
    fasta = _reference(ref)
    indexed = index_reference(fasta, engine=engine, aligner=reads.aligner)
    bed = _added(target, Intervals(build=fasta.build)) if target is not None else None
    chosen = gatk or GatkOptions()
    sites = known_sites if known_sites is not None else chosen.known_sites
    found = known_sites_of(fasta.build) if sites is None else [_known(one, fasta.build) for one in sites]
    chosen = replace(with_sexes(chosen, sheet_sexes(read)), known_sites=found, target=bed or chosen.target)
    more = [_known(one, fasta.build) for one in options.annotations]
    genes = _added(options.genes, Asset()) if options.genes is not None else None
    options = replace(options, annotations=more, genes=genes)
    notes, left_out = list(read.notes), dict(read.left_out)
    cohort = _Cohort(cohort_id, read, engine, indexed, bed, chosen, reads, options, client, [], left_out)
    cohort.run(indexed.inputs["indices"][:2])
    contigs = contigs_of(indexed)
    assert contigs is not None
    checked = found if engine == "gatk" else []
    taken: dict[str, Any] = {"genes": genes, "annotations": more, "info": options.info}
    notes += check_against(contigs, read, target=bed, known_sites=[*checked, *more], engine=engine, **taken)
    for note in notes:
        cohort.tell(note)
    return cohort


def _reference(ref: str | Path | Reference) -> Reference:
    """The reference that a path, or the name of a build, means."""
    if isinstance(ref, Reference):
        return ref
    if Path(ref).is_file():
        name = Path(ref).name.removesuffix(".gz").removesuffix(".bgz")
        added: Reference = _added(ref, Reference(build=Path(name).stem))
        return added
    store = active_store()
    found = store.assemble(asset="reference", build=str(ref), missing="skip")
    if len(found) == 1 and isinstance(found[0], Reference):
        return replace(found[0], companions=())
    if len(found) > 1:
        raise DataError(f"{len(found)} references are called {ref!r}: {found}; give the path of one")
    if (build := find_build(str(ref))) is not None:
        return build.fetch_reference()
    raise NotFound(f"there is no file {ref}, and no reference of that name in {store.url} or in the package")


def _known(site: str | Path | KnownSites, build: str) -> KnownSites:
    """Known sites as an asset; ``NAME=FILE`` gives the name of the resource."""
    if isinstance(site, KnownSites):
        return site
    name, mark, path = str(site).partition("=")
    path, name = (path, name) if mark and not Path(str(site)).is_file() else (str(site), Path(site).name.split(".")[0])
    added: KnownSites = _added(path, KnownSites(build=build, resource_name=name))
    return added


def _added(path: Any, draft: Any) -> Any:
    if not isinstance(path, (str, Path)):
        return path
    if not Path(path).is_file():
        raise DataError(f"there is no file {path}")
    return active_store().add(path, draft)


def _preprocess(cohort: _Cohort) -> None:
    """Make alignments that are ready, and leave out samples without usable reads."""
    reference, engine, reads, lanes = cohort.reference, cohort.engine, cohort.reads, cohort.lanes
    for name, given in lanes.items():
        if note := reads.optical(given).note:
            cohort.tell(f"{name}: {note}")
    calls: dict[str, Any] = {}
    if engine == "gatk":
        check_options(dict.fromkeys(cohort.sheet.samples, ()), cohort.gatk)
        parts = parts_to_recalibrate(reference, cohort.gatk)
        calls = {
            name: tuple(align_with_gatk(reference, given, cohort.gatk, parts, reads)) for name, given in lanes.items()
        }
    else:
        marked = {name: align_sample(reference, given, engine=engine, reads=reads) for name, given in lanes.items()}
        calls = {name: (call.alignment, call.metrics) for name, call in marked.items()}
    flat = cohort.run([call for pair in calls.values() for call in pair]) if calls else []
    cohort.ready = {name: (flat[2 * place], flat[2 * place + 1]) for place, name in enumerate(calls)}
    bad = {name: metrics.notes for name, (_, metrics) in cohort.ready.items() if not is_usable(metrics.notes)}
    if bad and cohort.options.strict:
        told = "; ".join(f"{name}: {notes[0]}" for name, notes in bad.items())
        raise DataError(f"samples without usable reads: {told}")
    for name, notes in bad.items():
        cohort.left_out[name] = notes[0].rstrip(".")
        cohort.tell(f"sample {name!r} is left out: {notes[0]}")


def _ready(cohort: _Cohort) -> Results:
    """Report alignments alone."""
    if not cohort.ready:
        raise DataError(f"{cohort.sheet.path} has no sample with reads, so that there is nothing to preprocess")
    cohort.notes += recalibration(cohort.gatk, cohort.lanes) if cohort.engine == "gatk" else [_unchanged(cohort)]
    return _reported(cohort, {}, None)


def _unchanged(cohort: _Cohort) -> str:
    return f"Base qualities were not recalibrated: the engine is {cohort.engine!r}, not GATK."


def _called(cohort: _Cohort, gvcfs: Mapping[str, Variants | Call]) -> Results:
    """Call the variants of the samples that have usable reads, and report it all."""
    alignments = {name: one for name, (one, _) in cohort.ready.items() if name not in cohort.left_out}
    if not alignments and not gvcfs:
        raise DataError(f"no sample has usable reads: {', '.join(cohort.left_out)}")
    reference, name, choice = cohort.reference, cohort.name, None
    kept = {*alignments, *gvcfs}
    sexes = {sample: sex for sample, sex in cohort.gatk.sexes.items() if sample in kept}
    if cohort.engine == "gatk":
        lanes = {sample: cohort.lanes[sample] for sample in alignments}
        told = recalibration(cohort.gatk, lanes) if alignments else []
        chosen = replace(cohort.gatk, sexes=sexes)
        called = call_alignments_with_gatk(
            reference, alignments, name, chosen, gvcfs=gvcfs, notes=told, order=list(cohort.sheet.samples)
        )
        vcf, choice, made = called.variants, called.choice, called.gvcfs
    else:
        cohort.notes.append(_unchanged(cohort))
        more: dict[str, Any] = {"engine": cohort.engine, "sexes": sexes, "gvcfs": gvcfs}
        vcf, made = call_alignments(reference, alignments, name, order=list(cohort.sheet.samples), **more)
    return _reported(cohort, made, vcf, choice)


def _reported(
    cohort: _Cohort, gvcfs: Mapping[str, Variants | Call], vcf: Call | None, choice: Call | None = None
) -> Results:
    """Annotate, measure and report; then everything is run at once."""
    reference, source = cohort.reference, other_tools(cohort.engine)
    plain, tables = vcf, None
    if vcf is not None and cohort.options.annotations:
        known: list[Any] = list(cohort.options.annotations)
        names = list(cohort.options.info)
        vcf = annotate_variants(reference, vcf, known, info=names, engine=source)
    genes: Any = cohort.options.genes
    if vcf is not None and genes is not None:
        vcf = predict_consequences(reference, vcf, genes, engine=source)
        tables = list_consequences(vcf)
    report = _report(cohort, plain, choice)
    form: Literal["bam", "cram"] = "cram" if cohort.options.cram else "bam"
    alignments = {
        name: convert_alignment(one, reference, to="cram", engine=source) if form == "cram" else one
        for name, (one, _) in cohort.ready.items()
    }
    wanted: dict[str, Any] = {"report": report, "gvcfs": dict(gvcfs), "vcf": vcf, "choice": choice, "tables": tables}
    wanted["alignments"] = alignments
    names, calls = list(wanted), [_flat(value) for value in wanted.values()]
    found = iter(cohort.run([call for part in calls for call in part]))
    results = {name: [next(found) for _ in part] for name, part in zip(names, calls, strict=True)}
    made: QCReport = results["report"][0]
    return Results(
        cohort_id=cohort.name,
        engine=cohort.engine,
        samples=tuple(name for name in cohort.sheet.samples if name not in cohort.left_out),
        vcf=next(iter(results["vcf"]), None),
        choice=next(iter(results["choice"]), None),
        report=made,
        alignments=dict(zip(alignments, results["alignments"], strict=True)),
        gvcfs=dict(zip(gvcfs, results["gvcfs"], strict=True)),
        tables=tuple(results["tables"][0]) if results["tables"] else (),
        left_out=dict(cohort.left_out),
        notes=tuple(cohort.notes),
    )


def _flat(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else [value] if value is not None else []


def _report(cohort: _Cohort, vcf: Call | None, choice: Call | None) -> Call:
    """Measure alignments and variants, and report what is beyond a limit."""
    reference, source, limits = cohort.reference, other_tools(cohort.engine), cohort.options.limits
    bams = [bam for bam, _ in cohort.ready.values()]
    stats = [samtools_stats(bam, reference, engine=source) for bam in bams]
    depths = [coverage(bam, engine=source) for bam in bams]
    targets = [target_coverage(bam, reference, cohort.target, engine=source) for bam in bams]
    counts = [samtools_idxstats(bam, engine=source) for bam in bams]
    flags = [samtools_flagstat(bam, engine=source) for bam in bams]
    samples = cohort.sheet.samples
    said: dict[str, Any] = {"sexes": sheet_sexes(cohort.sheet)}
    said["patients"] = {name: one.patient for name, one in samples.items() if one.patient}
    said["parents"] = {name: [p for p in (one.father, one.mother) if p] for name, one in samples.items()}
    called = [bam for name, (bam, _) in cohort.ready.items() if name not in cohort.left_out]
    alien = [estimate_contamination(bam, vcf, reference, engine=source) for bam in called] if vcf is not None else []
    identity = identify_samples(vcf, counts, alien, cohort.target, cohort_id=cohort.name, limits=limits, **said)
    variants = [bcftools_stats(vcf, engine=source)] if vcf is not None else []
    others: list[Asset | Call] = [
        *targets,
        identity,
        *alien,
        *counts,
        *flags,
        *([choice] if choice is not None else []),
    ]
    others += trimming_reports(cohort.lanes, cohort.reads)
    marks = {name: [f"left out: {why}"] for name, why in cohort.left_out.items()}
    lost = _lost_lanes(cohort.sheet)
    for name, told in lost.items():
        marks.setdefault(name, []).extend(told)
    metrics = [one for _, one in cohort.ready.values()]
    given: dict[str, Any] = {"notes": tuple(cohort.notes), "marks": marks or None, "limits": limits}
    return qc_report(stats, depths, metrics, variants, [], others, title=cohort.name, **given)


def _lost_lanes(sheet: SampleSheet) -> dict[str, list[str]]:
    """Lanes that were left out, by the sample that has others."""
    found: dict[str, list[str]] = {}
    for name, lanes in sheet.lost_lanes.items():
        if name in sheet.samples:
            found[name] = [f"lane: {lane}" for lane in lanes]
    return found
