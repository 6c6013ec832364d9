"""A project of several single-cell samples, from their sheet to a report."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from stargazer.assets import AnnData, Asset, CountsFile
from stargazer.bio.singlecell.soup import find_soup
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.errors import DataError, DataWarning
from stargazer.store import active_store
from stargazer.tasks.scrna import (
    annotate,
    call_cells,
    cluster,
    compare_resolutions,
    concat,
    describe,
    differential_expression,
    embed,
    find_markers,
    join_differences,
    measure_cells,
    measure_integration,
    normalize,
    pseudobulk,
    qc_filter,
    reduce_dimensions,
    report_project,
    select_features,
    split_pseudobulk,
    sum_genes,
)
from stargazer.tasks.scrna.annotate import check_lists
from stargazer.tasks.scrna.call_cells import PROBABILITY
from stargazer.tasks.scrna.integrations import find_mixing, find_naming
from stargazer.visible import visible
from stargazer.workflows.cells_sheet import CellsSheet, read_cells_sheet
from stargazer.workflows.row_blocks import row_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stargazer.calls import Call, Task
    from stargazer.workflows.cells_sheet import CellsRow

__all__ = ["CellsProject", "scrna"]

DOUBLETS_A_THOUSAND = 0.008
"""Share of droplets that hold two cells, for every thousand cells: Cell Ranger's user guide."""
USUAL_RATE = 0.05
USUAL_CELLS = 10_000
"""Most cells of a sample of which nobody says how many to expect, as far as it matters for who works on them."""


class CellsProject(NamedTuple):
    """Calls of a project.

    Parameters
    ----------
    cells
        All samples joined, integrated, clustered, with markers.
    report
        One HTML file.
    samples
        Each sample by itself: called, measured and filtered.
    bulk, differential
        Sums of clusters of donors, and how conditions differ; None where nothing can be compared.
    further
        Of more than two conditions, how each other one differs.
    """

    cells: Call
    report: Call
    samples: list[Call]
    bulk: Call | None = None
    differential: Call | None = None
    further: tuple[Call, ...] = ()

    @property
    def calls(self) -> list[Call]:
        """All that is to run."""
        found = [self.cells, self.report, self.bulk, self.differential, *self.further]
        return [each for each in found if each is not None]


def scrna(
    sheet: str | CellsSheet,
    *,
    min_genes: int = 200,
    min_cells: int = 3,
    max_pct_mt: float = 20.0,
    mads: float | None = 5.0,
    mads_mt: float | None = None,
    mt_genes: str = "",
    symbols: str = "",
    doublets: bool = True,
    min_sample_cells: int = 50,
    join: str = "inner",
    n_top_genes: int = 2000,
    n_pcs: int = 50,
    n_neighbors: int = 15,
    integrate: str = "harmony",
    batch_key: str = "",
    resolutions: Sequence[float] = (0.2, 0.5, 1.0),
    resolution: float = 0.5,
    markers: str = "",
    model: str = "",
    options: Mapping[str, Mapping[str, Any]] | None = None,
    condition: str = "condition",
    donor: str = "donor",
    reference: str = "",
    seed: int = 0,
) -> CellsProject:
    """Analyse the samples of a sheet together; the sheet is checked as a whole before anything else is done.

    Each sample is called, measured and filtered by itself, as tasks of its own: an eleventh sample runs alone. A sample
    that fails, or is of another organism than the rest, is left out and said. The others are joined, integrated,
    measured before and after, clustered at several resolutions, and tested for markers; where donors of two conditions
    are there, these are compared.

    Parameters
    ----------
    sheet
        Path of the sheet: CSV with the columns ``sample,path,condition,donor,batch,organism,expected_cells``.
    min_genes, min_cells, max_pct_mt, mads, mads_mt, mt_genes, symbols, doublets
        As for `qc_filter`, for each sample by itself.
    min_sample_cells
        Samples of which fewer cells are kept are left out.
    join
        As for `concat`.
    n_top_genes
        As for `select_features`; genes are chosen in each sample.
    n_pcs, n_neighbors
        As for `reduce_dimensions`.
    integrate
        ``"harmony"``, ``"none"``, or an integration that an installed package offers (``stargazer.integrations``).
    batch_key
        What to integrate over; ``"sample"`` if empty, so that types are the same clusters under all conditions.
    resolutions, resolution
        Those that are compared, and the one whose clusters are used.
    markers
        Path of a CSV with the columns ``cell_type,gene``, by which clusters are named; empty for none.
    model
        In place of these a model of cell types that an installed package offers (``stargazer.integrations``).
    options
        Further parameters of such an integration and such a model, by their names.
    condition, donor
        Columns of the sheet for what is compared, and over whom; samples are donors where the sheet has none.
    reference
        The condition that others are compared with; the first of the sheet if empty.
    seed
        Of all that draws random numbers.

    Returns
    -------
    CellsProject
        Calls; ``sg.run(*project.calls)`` runs them.

    Raises
    ------
    DataError
        What is wrong with the sheet, every mistake with its line, or with the markers; or there is no such integration
        or model.

    Warns
    -----
    DataWarning
        Something of the sheet was passed over, or two of its values are written alike.
    """
    read = sheet if isinstance(sheet, CellsSheet) else _read(sheet)
    mixing = find_mixing(integrate) if integrate not in ("harmony", "none") else None
    naming = find_naming(model) if model else None
    if naming and markers:
        raise DataError("clusters are named by markers or by a model: give one of both")
    said = {name: dict(given) for name, given in (options or {}).items()}
    if unused := sorted(set(said) - ({integrate} if mixing else set()) - {model}):
        raise DataError(f"options are given for {', '.join(unused)}, which is no integration or model that is used")
    limits: dict[str, Any] = {"min_genes": min_genes, "min_cells": min_cells, "max_pct_mt": max_pct_mt, "mads": mads}
    limits |= {"mads_mt": mads_mt, "mt_genes": mt_genes, "symbols": symbols, "doublets": doublets, "seed": seed}
    _check_batches(read, batch_key)
    lists = _lists(markers) if markers else None
    raws = _stored_samples(read)
    if batch_key != donor:  # which all samples are given
        _check_column(read, batch_key, raws)
    samples = [_sample(raw, row, _donor(row, donor), limits) for raw, row in zip(raws, read.rows, strict=True)]
    n_cells = sum(min(raw.n_obs, row.expected_cells or USUAL_CELLS) for raw, row in zip(raws, read.rows, strict=True))
    joined = concat(
        samples, batch_key="sample", join=cast("Literal['inner', 'outer']", join), leave_out_below=min_sample_cells
    )
    counted: dict[str, Any] = {"min_genes": 0, "min_cells": min_cells, "mt_genes": mt_genes, "symbols": symbols}
    blocks = row_blocks(n_cells)
    parts = [measure_cells(joined, **each, **counted) for each in blocks] or None
    normal = normalize(qc_filter(joined, parts, **counted, max_pct_mt=100.0, doublets=False))
    batch = batch_key or "sample"
    sums = [sum_genes(normal, **each, batch_key="sample") for each in blocks] or None
    chosen = select_features(normal, sums, n_top_genes=n_top_genes, batch_key="sample")
    harmony = batch if integrate == "harmony" and len(samples) > 1 else ""
    reduced = reduce_dimensions(
        chosen, n_pcs=n_pcs, n_neighbors=n_neighbors, umap=False, harmony_key=harmony, seed=seed
    )
    if mixing is not None and len(samples) > 1:
        usual = {"batch_key": batch, "n_neighbors": n_neighbors, "seed": seed}
        reduced = _foreign(mixing, reduced, usual, said.get(integrate, {}))
    mixed = (
        measure_integration(reduced, batch_key=batch, resolution=resolution, seed=seed) if len(samples) > 1 else reduced
    )
    compared = compare_resolutions(mixed, resolutions=sorted(set(map(float, resolutions))), seed=seed)
    clustered = cluster(compared, resolution=resolution, seed=seed)
    named = annotate(clustered, lists, symbols=symbols) if lists else clustered
    if naming is not None:
        usual = {"groupby": "leiden", "symbols": symbols, "seed": seed}
        named = _foreign(naming, clustered, usual, said.get(model, {}))
    cells = find_markers(named, embed(reduced, seed=seed))
    bulk, differences = _conditions(cells, read, condition, donor, reference)
    notes = [note for raw, row in zip(raws, read.rows, strict=True) for note in _soup(raw, row)]
    notes += _uncompared(read, condition, donor, reference)
    untold: dict[str, Any] = {"notes": notes} if notes else {}
    _tell(notes, 3)
    shown = condition if read.values(condition) else ""
    page = report_project(cells, samples, differences, condition_key=shown, **untold)
    first, further = (differences[0], differences[1:]) if differences else (None, [])
    return CellsProject(cells, page, samples, bulk, first, tuple(further))


def _read(sheet: str) -> CellsSheet:
    read = read_cells_sheet(sheet)
    _tell([f"{read.path.name}: {note}" for note in read.notes], 4)
    return read


def _tell(notes: Sequence[str], above: int) -> None:
    for note in notes:
        warnings.warn(visible(note), DataWarning, stacklevel=above)


def _foreign(task: Task[..., Any], cells: Call, usual: Mapping[str, Any], said: Mapping[str, Any]) -> Call:
    """A call of another package's task, given those of the usual parameters that it has."""
    known = {each.name for each in task.signature.plains}
    return cast("Call", task(cells, **{name: value for name, value in usual.items() if name in known} | dict(said)))


def _lists(markers: str) -> Asset:
    """The lists of markers, added to the active store and read."""
    added = active_store().add(markers)
    check_lists(Asset(path=Path(markers), name=added.name))
    return added


def _check_batches(sheet: CellsSheet, batch_key: str) -> None:
    """A column of the sheet that is integrated over has a value on every line; others may be columns of the files."""
    without = [row for row in sheet.rows if batch_key not in row.columns]
    if batch_key != "sample" and 0 < len(without) < len(sheet.rows):
        lines = "".join(f"\n  line {row.line}: sample {row.sample!r} has no {batch_key}" for row in without)
        raise DataError(f"{sheet.path} does not say of all samples what is integrated over:{lines}")


def _stored_samples(sheet: CellsSheet) -> list[AnnData]:
    """Counts of all samples, or what is wrong with each file that cannot be read."""
    made: list[AnnData] = []
    wrong = []
    for row in sheet.rows:
        try:
            made.append(_stored(row))
        except DataError as error:
            wrong.append(f"\n  line {row.line}: {error}")
    if wrong:
        raise DataError(f"of the files of {sheet.path} cannot be read:{''.join(wrong)}")
    return made


def _check_column(sheet: CellsSheet, batch_key: str, raws: Sequence[AnnData]) -> None:
    """What is integrated over is a column of the sheet or of the files: else the run would end after hours."""
    if batch_key in ("", "sample") or any(batch_key in row.columns for row in sheet.rows):
        return
    for raw, row in zip(raws, sheet.rows, strict=True):
        known = AnnDataTree(raw.fetch()).columns("obs")
        if batch_key not in known:
            raise DataError(
                f"{batch_key!r} is to be integrated over, and is no column of {sheet.path}, nor of the cells of sample "
                f"{row.sample!r}, which have: {', '.join(known) or 'none'}"
            )


def _soup(raw: AnnData, row: CellsRow) -> list[str]:
    """Say that barcodes which are all taken for cells look like empty droplets; `call_cells` tells others itself."""
    if row.calling not in ("", "auto") or row.expected_cells:
        return []
    tree = AnnDataTree(raw.fetch())
    if tree.record.last("ingest").get("droplets") or PROBABILITY in tree.columns("obs"):
        return []
    if (found := find_soup(tree)) is None:
        return []
    told = f"{100 * found.share:.0f} % of its {raw.n_obs:,} barcodes look like empty droplets, with some "
    told += f"{found.counts:,.0f} counts of soup where cells have {found.of_cells:,.0f}; all are taken for cells"
    return [f"sample {row.sample}: {told}. Say calling = knee in its line of the sheet, or all if they are cells"]


def _stored(row: CellsRow) -> AnnData:
    """The counts of a sample, added to the active store."""
    facts: dict[str, Any] = {"sample_id": row.sample, "organism": row.organism}
    reading: dict[str, Any] = {name: value if name != "round" else True for name, value in row.reading.items()}
    draft = CountsFile(**facts, **reading) if reading else AnnData(**facts)
    added: Any = active_store().add(row.path, draft)
    return cast("AnnData", added)


def _sample(raw: AnnData, row: CellsRow, columns: dict[str, str], limits: dict[str, Any]) -> Call:
    """A sample, from its counts to kept cells."""
    said: dict[str, Any] = {"method": row.calling} if row.calling else {}
    called: Any = call_cells(raw, expected_cells=row.expected_cells, on_failure="mark", **said)
    rate = DOUBLETS_A_THOUSAND * row.expected_cells / 1000 if row.expected_cells else USUAL_RATE
    described = describe(called, columns=columns) if columns else called
    return qc_filter(described, expected_doublet_rate=min(max(rate, 0.005), 0.3), on_failure="mark", **limits)


def _donor(row: CellsRow, donor: str) -> dict[str, str]:
    """What goes to the cells of a sample; it is a donor of its own where the sheet names none."""
    return {**row.columns, donor: row.columns.get(donor, row.sample)}


def _conditions(
    cells: Call, sheet: CellsSheet, condition: str, donor: str, reference: str
) -> tuple[Call | None, list[Call]]:
    """Sums, and the comparison of each condition with the reference where two donors or more have both."""
    values = sheet.values(condition)
    if reference and reference not in values:
        raise DataError(f"no sample has {condition} {reference!r}; there are: {', '.join(values) or 'none'}")
    if not values:
        return None, []
    base = reference or values[0]
    donors = _donors(sheet, condition, donor)
    tested = [value for value in values if value != base and min(len(donors[value]), len(donors[base])) > 1]
    bulk = pseudobulk(cells, groupby="leiden", donor_key=donor, condition_key=condition, on_failure="mark")
    return bulk, [_compared(bulk, value, base) for value in tested]


def _donors(sheet: CellsSheet, condition: str, donor: str) -> dict[str, set[str]]:
    """Donors of each condition."""
    return {
        value: {row.columns.get(donor, row.sample) for row in sheet.rows if row.columns.get(condition) == value}
        for value in sheet.values(condition)
    }


def _uncompared(sheet: CellsSheet, condition: str, donor: str, reference: str) -> list[str]:
    """Why a sheet that has conditions does not have all of them compared."""
    donors = _donors(sheet, condition, donor)
    if len(donors) == 1:
        return [
            f"nothing is compared: all samples that have a {condition} have one and the same, {next(iter(donors))!r}"
        ]
    base = reference or next(iter(donors), "")
    counts = {value: min(len(found), len(donors[base])) for value, found in donors.items() if value != base}
    return [
        f"{condition} {value!r} is not compared with {base!r}: they have {len(donors[value])} and {len(donors[base])} "
        "donors, and two of each are wanted"
        for value, fewer in counts.items()
        if fewer < 2
    ]


def _compared(bulk: Call, tested: str, reference: str) -> Call:
    """Each cluster by itself: one that changes runs alone, and one that cannot be compared leaves the others."""
    both: dict[str, Any] = {"tested": tested, "reference": reference}
    parts = split_pseudobulk(bulk, on_failure="mark", **both)
    each: Any = differential_expression.map(parts, on_failure="mark", **both)
    return join_differences(bulk, each, **both)
