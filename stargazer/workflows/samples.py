"""Workflows that begin with a sample sheet."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import R1, R2, Alignment, Variants
from stargazer.errors import DataError, DataWarning
from stargazer.store import active_store
from stargazer.tasks.general import index_variants
from stargazer.tasks.sam import is_recalibrated
from stargazer.tasks.vcf import vcf_lines
from stargazer.visible import visible
from stargazer.workflows.aligning import PLAIN, ReadOptions
from stargazer.workflows.calling import GermlineEngine, call_cohort
from stargazer.workflows.gatk import other_tools, with_known_sites
from stargazer.workflows.inputs import check_against, contigs_of
from stargazer.workflows.lanes import Lane
from stargazer.workflows.preprocessing import prepare_reference
from stargazer.workflows.sheet import SampleSheet, read_sheet
from stargazer.workflows.sheet_files import alignment_header, alignment_order, caller_of

if TYPE_CHECKING:
    from stargazer.assets import Reference
    from stargazer.calls import Call
    from stargazer.workflows.gatk import GatkOptions
    from stargazer.workflows.sheet import SheetRow

__all__ = ["SheetCohort", "call_sheet", "sheet_cohort", "sheet_gvcfs", "sheet_lanes", "sheet_sexes"]


class SheetCohort(NamedTuple):
    """What a sheet says, checked and stored.

    Parameters
    ----------
    reference
        The reference with its indices.
    samples
        Lanes by sample, of those that have reads.
    gvcfs
        gVCFs by sample, of those that have one.
    sexes
        ``"XX"`` or ``"XY"`` by sample, of those of which it is known.
    options
        How GATK calls; of no other engine.
    notes
        What a person should know.
    order
        Names of all samples as they stand in the sheet.
    """

    reference: Call
    samples: dict[str, list[Lane]]
    gvcfs: dict[str, Variants | Call]
    sexes: dict[str, str]
    options: GatkOptions | None
    notes: tuple[str, ...]
    order: tuple[str, ...] = ()


def sheet_lanes(sheet: SampleSheet) -> dict[str, list[Lane]]:
    """Add the files of a sample sheet to the active store, as the lanes of each sample.

    Parameters
    ----------
    sheet
        What `read_sheet` gives. Files that the store has are not copied again.

    Raises
    ------
    DataError
        Files of two lanes have the same bytes, whatever they are called; all of them, with their lines.
    """
    rows = {name: [row for row in one.rows if "gvcf" not in row.files] for name, one in sheet.samples.items()}
    found = {name: [(row, _lane(row)) for row in given] for name, given in rows.items() if given}
    _check_bytes(sheet, [pair for pairs in found.values() for pair in pairs])
    return {name: [lane for _, lane in pairs] for name, pairs in found.items()}


def _check_bytes(sheet: SampleSheet, pairs: list[tuple[SheetRow, Lane]]) -> None:
    seen: dict[str, tuple[int, str]] = {}
    problems = []
    for row, lane in pairs:
        for asset in (lane.r1, lane.r2, lane.aligned):
            if not isinstance(asset, (R1, R2, Alignment)) or asset.cid is None:
                continue
            line, name = seen.setdefault(asset.cid, (row.line, asset.name))
            if (line, name) != (row.line, asset.name):
                problems.append(f"line {row.line}: {asset.name} has the very bytes of {name}, on line {line}")
    if problems:
        raise DataError(f"{sheet.path} names the same reads twice:" + "".join(f"\n  {one}" for one in problems))


def sheet_gvcfs(sheet: SampleSheet, reference: Reference | Call, engine: GermlineEngine) -> dict[str, Variants | Call]:
    """Add the gVCFs of a sheet to the active store; calls give them their indices."""
    found: dict[str, Variants | Call] = {}
    add: Any = active_store().add
    for name, sample in sheet.samples.items():
        path = sample.rows[0].files.get("gvcf")
        if path is not None:
            header = "".join(line for line in vcf_lines(path) if line.startswith("##"))
            draft = Variants(sample_id=name, variant_type="gvcf", caller=caller_of(header), source_samples=(name,))
            found[name] = index_variants(reference, add(path, draft), engine=other_tools(engine))
    return found


def sheet_sexes(sheet: SampleSheet) -> dict[str, str]:
    """Sexes of the samples of a sheet, of those of which it is known."""
    return {name: sample.sex for name, sample in sheet.samples.items() if sample.sex}


def _lane(row: SheetRow) -> Lane:
    add: Any = active_store().add
    named: dict[str, Any] = {"name": row.lane, "library": row.library}
    for kind in ("bam", "cram"):
        if kind in row.files:
            path = row.files[kind]
            facts: dict[str, Any] = {"sample_id": row.sample, "format": kind, "sorted": alignment_order(path)}
            facts["bqsr_applied"] = is_recalibrated(alignment_header(path))
            return Lane(aligned=add(path, Alignment(**facts)), **named)
    facts = {"sample_id": row.sample, "sequencing_platform": row.platform}
    r2 = add(row.files["fastq_2"], R2(**facts)) if "fastq_2" in row.files else None
    return Lane(add(row.files["fastq_1"], R1(mate_cid=r2.cid if r2 else "", **facts)), r2, **named)


def sheet_cohort(
    sheet: str,
    build: str,
    engine: GermlineEngine,
    options: GatkOptions | None,
    *,
    reads: ReadOptions = PLAIN,
    strict: bool = False,
) -> SheetCohort:
    """Read a sheet, look at its files beside the reference, store them; parameters and errors as of `call_sheet`."""
    read = read_sheet(sheet, strict=strict)
    reference = prepare_reference(build, engine=other_tools(engine), aligner=reads.aligner)
    chosen = with_known_sites(options, build) if engine == "gatk" else options
    notes = list(read.notes)
    if (contigs := contigs_of(reference)) is not None:
        sites = (chosen.known_sites or ()) if chosen is not None and engine == "gatk" else ()
        target = chosen.target if chosen is not None else None
        notes += check_against(contigs, read, target=target, known_sites=sites, engine=engine)
    lanes, gvcfs = sheet_lanes(read), sheet_gvcfs(read, reference, engine)
    notes += [f"{name}: {note}" for name, given in lanes.items() if (note := reads.optical(given).note)]
    for note in notes:
        warnings.warn(visible(f"{read.path.name}: {note}"), DataWarning, stacklevel=3)
    return SheetCohort(reference, lanes, gvcfs, sheet_sexes(read), chosen, tuple(notes), tuple(read.samples))


def call_sheet(
    sheet: str,
    build: str,
    cohort_id: str = "cohort",
    *,
    engine: GermlineEngine = "embedded",
    options: GatkOptions | None = None,
    reads: ReadOptions = PLAIN,
    strict: bool = False,
) -> Call:
    """Call the variants of the samples of a sheet; the sheet is checked as a whole before anything else is done.

    Parameters
    ----------
    sheet
        Path of the sample sheet: CSV with the columns ``sample,lane,fastq_1,fastq_2``, and where they are wanted
        ``bam``, ``cram``, ``gvcf``, ``library``, ``platform``, ``sex``; or one of nf-core/sarek.
    build
        Name of the assembly; the active store has its reference.
    cohort_id
        Name of the cohort, and of the VCF.
    engine
        Where the tools come from: ``"embedded"``, ``"native"``, or ``"gatk"``.
    options
        How GATK calls; by default with all known sites of that build in the active store. The sexes of the sheet are
        added to those that stand there.
    reads
        Whether reads are trimmed, and what aligns them.
    strict
        Whether a lane without reads is an error; otherwise it is left out, with a warning.

    Returns
    -------
    Call
        Of `Variants`: one VCF, the samples in the order of the sheet.

    Raises
    ------
    DataError
        What is wrong with the sheet or its files, every mistake with its line.
    NotFound
        No such reference.
    """
    found = sheet_cohort(sheet, build, engine, options, reads=reads, strict=strict)
    given: dict[str, Any] = {"engine": engine, "options": found.options, "sexes": found.sexes, "reads": reads}
    return call_cohort(found.reference, found.samples, cohort_id, gvcfs=found.gvcfs, order=found.order, **given)
