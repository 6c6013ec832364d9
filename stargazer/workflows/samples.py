"""Workflows that begin with a sample sheet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stargazer.assets import R1, R2, Alignment
from stargazer.store import active_store
from stargazer.workflows.germline import GermlineEngine, call_cohort, with_known_sites
from stargazer.workflows.lanes import Lane
from stargazer.workflows.preprocessing import prepare_reference
from stargazer.workflows.sheet import SampleSheet, read_sheet
from stargazer.workflows.sheet_files import alignment_order

if TYPE_CHECKING:
    from stargazer.calls import Call
    from stargazer.workflows.gatk import GatkOptions
    from stargazer.workflows.sheet import SheetRow

__all__ = ["call_sheet", "sheet_cohort", "sheet_lanes"]


def sheet_lanes(sheet: SampleSheet) -> dict[str, list[Lane]]:
    """Add the files of a sample sheet to the active store, as the lanes of each sample.

    Parameters
    ----------
    sheet
        What `read_sheet` gives. Files that the store has are not copied again.
    """
    return {name: [_lane(row) for row in sample.rows] for name, sample in sheet.samples.items()}


def _lane(row: SheetRow) -> Lane:
    add: Any = active_store().add
    named: dict[str, Any] = {"name": row.lane, "library": row.library}
    for kind in ("bam", "cram"):
        if kind in row.files:
            order = alignment_order(row.files[kind])
            draft = Alignment(sample_id=row.sample, format=kind, sorted=order)
            return Lane(aligned=add(row.files[kind], draft), **named)
    facts: dict[str, Any] = {"sample_id": row.sample, "sequencing_platform": row.platform}
    r2 = add(row.files["fastq_2"], R2(**facts)) if "fastq_2" in row.files else None
    return Lane(add(row.files["fastq_1"], R1(mate_cid=r2.cid if r2 else "", **facts)), r2, **named)


def sheet_cohort(
    sheet: str, build: str, engine: GermlineEngine, options: GatkOptions | None
) -> tuple[Call, dict[str, list[Lane]], GatkOptions | None]:
    """What a sheet says, checked, then stored: the reference, lanes by sample, and how GATK is to call them.

    Parameters
    ----------
    sheet, build, engine, options
        As of `call_sheet`.

    Returns
    -------
    tuple
        The first, second and last argument of `call_cohort`.
    """
    read = read_sheet(sheet)
    reference = prepare_reference(build, engine="native" if engine == "gatk" else engine)
    if engine == "gatk":
        chosen = with_known_sites(options, build)
        sexes = {name: sample.sex for name, sample in read.samples.items() if sample.sex}
        options = replace(chosen, sexes={**sexes, **chosen.sexes})
    return reference, sheet_lanes(read), options


def call_sheet(
    sheet: str,
    build: str,
    cohort_id: str = "cohort",
    *,
    engine: GermlineEngine = "embedded",
    options: GatkOptions | None = None,
) -> Call:
    """Call the variants of the samples of a sheet; the sheet is checked as a whole before anything else is done.

    Parameters
    ----------
    sheet
        Path of the sample sheet: CSV with the columns ``sample,lane,fastq_1,fastq_2``, and where they are wanted
        ``bam``, ``cram``, ``library``, ``platform``, ``sex``; or one of nf-core/sarek.
    build
        Name of the assembly; the active store has its reference.
    cohort_id
        Name of the cohort, and of the VCF.
    engine
        Where the tools come from: ``"embedded"``, ``"native"``, or ``"gatk"``.
    options
        How GATK calls; by default with all known sites of that build in the active store. The sexes of the sheet are
        added to those that stand there.

    Returns
    -------
    Call
        Of `Variants`: one VCF, the samples in the order of the sheet.

    Raises
    ------
    DataError
        What is wrong with the sheet, every mistake with its line.
    NotFound
        No such reference.
    """
    reference, samples, chosen = sheet_cohort(sheet, build, engine, options)
    return call_cohort(reference, samples, cohort_id, engine=engine, options=chosen)
