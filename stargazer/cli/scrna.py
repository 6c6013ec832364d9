"""``stargazer scrna``: a project of single-cell samples, from its sheet to a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.options import JSON, STORE, chosen_profile, open_store, print_json, say, show_progress

if TYPE_CHECKING:
    from stargazer.assets import DifferentialExpression
    from stargazer.runs import Run
    from stargazer.workflows import CellsProject

__all__ = ["scrna"]


def scrna(
    sheet: Annotated[
        str,
        typer.Argument(
            metavar="SHEET",
            help="CSV: sample,path and, where they are known, condition,donor,batch,organism,expected_cells.",
        ),
    ],
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Copy the results there.")],
    resolution: Annotated[float, typer.Option(min=0.0, help="Higher gives more clusters.")] = 0.5,
    min_genes: Annotated[int, typer.Option(min=0, help="Genes with a count that a cell needs.")] = 200,
    max_pct_mt: Annotated[
        float, typer.Option(help="Percentage of mitochondrial counts from which a cell goes.")
    ] = 20.0,
    mt_genes: Annotated[str, typer.Option(help="Pattern of mitochondrial genes, or a column of var.")] = "",
    integrate: Annotated[str, typer.Option(help="'harmony', 'none', or what an installed package offers.")] = "harmony",
    batch: Annotated[str, typer.Option(metavar="COLUMN", help="What to integrate over.")] = "",
    markers: Annotated[str, typer.Option(metavar="FILE", help="CSV: cell_type,gene; clusters are named by it.")] = "",
    model: Annotated[
        str, typer.Option(metavar="NAME", help="A model of cell types that an installed package offers.")
    ] = "",
    reference: Annotated[str, typer.Option(metavar="CONDITION", help="What other conditions are compared with.")] = "",
    n_top_genes: Annotated[int, typer.Option(min=1, help="Highly variable genes.")] = 2000,
    n_pcs: Annotated[int, typer.Option(min=1, help="Principal components.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Of all that draws random numbers.")] = 0,
    check: Annotated[bool, typer.Option("--check", help="Only check the sheet.")] = False,
    on: Annotated[str | None, typer.Option(metavar="WHERE", help="A profile, or a scheduler's address.")] = None,
    workers: Annotated[str | None, typer.Option(help="How many workers for --on: 4, or 0-10.")] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Analyse single-cell samples together: quality, clusters, markers, conditions, one report.

    The sheet is checked as a whole before anything runs. What the store knows is not run again: a further sample runs
    alone. Without --on, tasks run on threads of this process.
    """
    from stargazer.demo.scrna import check_installed
    from stargazer.workflows import read_cells_sheet
    from stargazer.workflows import scrna as wire
    from stargazer.workflows.outputs import check_project

    check_installed()
    if Path(out).exists() and not Path(out).is_dir():
        raise typer.BadParameter(f"{out} is no folder", param_hint="--out")
    read = read_cells_sheet(sheet)
    for told in read.notes:
        say(f"stargazer: {sheet}: {told}", err=True)
    if check:
        say(f"{sheet}: {len(read.rows)} samples, no mistakes")
        return
    check_project(Path(out))
    if on:
        chosen_profile(on, workers=workers)
    options: dict[str, Any] = {"resolution": resolution, "min_genes": min_genes, "max_pct_mt": max_pct_mt}
    options |= {"mt_genes": mt_genes, "integrate": integrate, "batch_key": batch, "markers": markers}
    options |= {"model": model}
    options |= {"reference": reference, "n_top_genes": n_top_genes, "n_pcs": n_pcs, "seed": seed}
    with open_store(store):
        project = wire(read, **options)
        flight = _fly(project, on, workers)
        results = flight.result()
        paths = _put_down(project, results, Path(out))
    if json:
        print_json(_as_json(project, results, flight, paths))
        return
    _print(results, flight, paths)


def _fly(project: CellsProject, on: str | None, workers: str | None) -> Run:
    from stargazer.client import connect
    from stargazer.runs import run

    if on is None:
        return run(*project.calls, progress=show_progress())
    with connect(on, workers=workers) as client:
        flight = run(*project.calls, client=client, progress=show_progress())
        flight.result()
    return flight


def _put_down(project: CellsProject, results: Any, out: Path) -> dict[str, Path]:
    """Copies of the results for people, each under its name."""
    from stargazer.workflows.outputs import write_project

    cells, page, *others = results
    return write_project(cells, page, others, out)


def _as_json(project: CellsProject, results: Any, flight: Run, paths: dict[str, Path]) -> dict[str, Any]:
    cells, page, *others = results
    found = {"cells": cells.cid, "report": page.cid, "n_cells": cells.n_obs, "n_genes": cells.n_vars}
    named: dict[str, str] = {}
    for other in others:
        key = type(other).asset_key
        named[key if key not in named else f"{key}.{other.tested}"] = other.cid
    left_out = {other.tested: dict(other.left_out) for other in _differences(others) if other.left_out}
    if left_out:
        found["left_out"] = left_out
    shown = {name: str(path) for name, path in paths.items()}
    return {**found, **named, "samples": len(project.samples), "tasks_run": flight.tasks_run, "out": shown}


def _differences(others: Any) -> list[DifferentialExpression]:
    from stargazer.assets import DifferentialExpression

    return [other for other in others if isinstance(other, DifferentialExpression)]


def _print(results: Any, flight: Run, paths: dict[str, Path]) -> None:
    from stargazer.bio.singlecell.tree import AnnDataTree
    from stargazer.display import plural

    cells = results[0]
    tree = AnnDataTree(cells.fetch())
    rows = [("kept", f"{cells.n_obs:,} cells, {cells.n_vars:,} genes"), ("ran", plural(flight.tasks_run, "task"))]
    rows += [("note", f"{stage}: {note}") for stage, told in tree.stages().items() for note in told.get("notes", [])]
    rows += [
        ("note", f"cluster {name} is not compared ({other.tested} against {other.reference}): {why}")
        for other in _differences(results[2:])
        for name, why in other.left_out.items()
    ]
    rows += [(name, str(path)) for name, path in paths.items()]
    rows.append(("CID", str(cells.cid)))
    say("\n".join(f"{name:<13} {value}" for name, value in rows))
