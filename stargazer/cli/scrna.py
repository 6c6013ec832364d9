"""``stargazer demo scrna``: what it takes, and how it answers."""

from __future__ import annotations

import math
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.options import JSON, STORE, open_store, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.cli.cells import Cells, Outcome

__all__ = ["OUTSIDE", "scrna"]

OUTSIDE = ("data", "out", "small", "workers", "store", "json")
"""Options that are no parameters of the workflow."""
MOST_NOTES = 8


def scrna(
    ctx: typer.Context,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Raw counts: .h5ad, 10x .h5, a 10x folder, or zarr.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Put annotated.h5ad, markers.csv and report.html there.")
    ] = None,
    organism: Annotated[str, typer.Option(help="human, mouse, rat, zebrafish or fly; by gene names if not said.")] = "",
    symbols: Annotated[str, typer.Option(metavar="COLUMN", help="Column of var with gene symbols.")] = "",
    batch_key: Annotated[str, typer.Option(metavar="COLUMN", help="Column of obs with batches.")] = "",
    min_genes: Annotated[int, typer.Option(min=0, help="Genes that a cell needs.")] = 100,
    min_cells: Annotated[int, typer.Option(min=0, help="Cells that a gene needs.")] = 3,
    max_pct_mt: Annotated[float, typer.Option(help="Mitochondrial percentage from which a cell goes.")] = 20.0,
    mads: Annotated[float | None, typer.Option(help="Deviations from which a cell is an outlier.")] = None,
    mads_mt: Annotated[float | None, typer.Option(help="The same of the mitochondrial percentage.")] = None,
    doublets: Annotated[bool, typer.Option(help="Seek doublets and drop them.")] = True,
    expected_doublet_rate: Annotated[float, typer.Option(min=0.0, max=1.0, help="Fraction of doublets.")] = 0.05,
    n_top_genes: Annotated[int, typer.Option(min=1, help="Highly variable genes.")] = 2000,
    n_pcs: Annotated[int, typer.Option(min=1, help="Principal components.")] = 50,
    n_neighbors: Annotated[int, typer.Option(min=2, help="Neighbours of a cell, itself among them.")] = 15,
    harmony: Annotated[bool, typer.Option(help="Take differences between batches out.")] = False,
    approximate: Annotated[bool, typer.Option(help="Approximate neighbours, for very many cells.")] = False,
    umap: Annotated[bool, typer.Option(help="Compute UMAP coordinates.")] = True,
    resolution: Annotated[float, typer.Option(min=0.0, help="Higher gives more clusters.")] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Of all that draws random numbers.")] = 0,
    small: Annotated[bool, typer.Option("--small", help="Simulate fewer cells and genes.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; else threads of this one.")] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Cluster cells and find their marker genes, from raw counts to a report.

    Without --data, cells of known types with markers and doublets are simulated, and what is found is compared with
    the truth. Then the same is run again, to see how long an answer from the store takes.
    """
    from stargazer.cli.cells import analyse, check_installed, given, simulate

    if data is not None and small:
        raise typer.BadParameter("--small is about the simulated cells; leave it out with --data")
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise typer.BadParameter(f"{out} is no folder", param_hint="--out")
    check_installed()
    options = {name: value for name, value in ctx.params.items() if name not in OUTSIDE}
    with ExitStack() as stack:
        cells = given(data) if data is not None else stack.enter_context(simulate(small=small))
        outcome = analyse(cells, stack.enter_context(open_store(store)), options, workers, out)
    if json:
        print_json(_as_json(outcome, cells))
        return
    if sys.stderr.isatty():
        typer.echo(err=True)
    typer.echo(_as_text(outcome, cells))


def _as_json(outcome: Outcome, cells: Cells) -> dict[str, Any]:
    truth = outcome.truth
    known: dict[str, Any] = {}
    if truth is not None:
        known = {"ari": round(truth.ari, 6), "marker_recovery": round(truth.marker_recovery, 6)}
        known["doublet_auc"] = None if math.isnan(truth.doublet_auc) else round(truth.doublet_auc, 6)
    return {
        "sample_id": cells.sample_id,
        "n_cells": outcome.done.n_obs,
        "n_genes": outcome.done.n_vars,
        "n_cells_before": outcome.raw.n_obs,
        "n_genes_before": outcome.raw.n_vars,
        "n_clusters": outcome.n_clusters,
        **known,
        "stored_bytes": outcome.stored_bytes,
        "seconds": round(outcome.seconds, 3),
        "second_run_seconds": round(outcome.second_seconds, 6),
        "tasks_run": outcome.tasks_run,
        "tasks_run_second": outcome.tasks_run_second,
        "annotated": {"cid": outcome.done.cid},
        "report": {"cid": outcome.page.cid, "path": str(outcome.report)},
        "notes": outcome.notes,
        "out": {name: str(path) for name, path in outcome.copies.items()},
    }


def _as_text(outcome: Outcome, cells: Cells) -> str:
    from stargazer.display import plural, seconds_text, size_text

    first = f"{plural(outcome.tasks_run, 'task')} run in {seconds_text(outcome.seconds)}"
    known = "; the store knew the rest" if outcome.tasks_run == 0 else ""
    done, raw = outcome.done, outcome.raw
    rows = [
        ("data", cells.what),
        ("kept", f"{done.n_obs:,} of {raw.n_obs:,} cells, {done.n_vars:,} of {raw.n_vars:,} genes"),
        ("clusters", str(outcome.n_clusters)),
        *_truth_rows(outcome),
        *(("note", note) for note in outcome.notes[:MOST_NOTES]),
        ("stored", f"{size_text(outcome.stored_bytes)}, counts and all stages"),
        ("first run", first + known),
        ("second run", f"{plural(outcome.tasks_run_second, 'task')} run in {seconds_text(outcome.second_seconds)}"),
        *((name, str(path)) for name, path in ({"report": outcome.report} | outcome.copies).items()),
        ("CID", str(done.cid)),
    ]
    lines = [f"{name:<11} {value}" for name, value in rows]
    asked = f"{done.cid}{f' --store {outcome.store}' if outcome.store else ''}"
    return "\n".join([*lines, "", f"stargazer trace {asked}", f"stargazer get {asked}"])


def _truth_rows(outcome: Outcome) -> Iterator[tuple[str, str]]:
    truth = outcome.truth
    if truth is None:
        return
    yield "types", f"adjusted Rand index {truth.ari:.4f} of clusters and true types"
    share = f"{truth.marker_recovery:.4f} ({truth.markers_found:,} of {truth.markers:,} found)"
    yield "markers", f"recall {share}"
    if not math.isnan(truth.doublet_auc):
        yield "doublets", f"AUC {truth.doublet_auc:.4f}"
