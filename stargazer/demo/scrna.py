"""The single-cell demonstration: counts to clusters, markers and a report, twice."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from stargazer.errors import ToolMissing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

    from stargazer.assets import AnnData, Asset
    from stargazer.bio.simulate.agreement import Agreement
    from stargazer.store import Store

__all__ = ["Cells", "CellsOutcome", "analyse", "given", "simulate"]

NEEDED = ("numpy", "scipy", "pandas", "zarr", "anndata", "igraph", "numba", "threadpoolctl", "matplotlib")
USUAL: tuple[int, dict[str, Any]] = (3_000, {})
"""Simulated cells, and what differs from the usual `Population`."""
SMALL: tuple[int, dict[str, Any]] = (800, {"n_genes": 2_000, "n_types": 4, "n_markers": 30, "depth": 2_500.0})


class Cells(NamedTuple):
    """Counts to analyse.

    Parameters
    ----------
    path
        File or folder.
    sample_id
        Name of the sample.
    what
        Where they come from, for people.
    simulated
        Whether the truth about them is known.
    """

    path: Path
    sample_id: str
    what: str
    simulated: bool = False


@dataclass(frozen=True)
class CellsOutcome:
    """What came of it.

    Parameters
    ----------
    raw, done, page
        The counts, the annotated cells, and the report, stored.
    report
        The report, on disk.
    n_clusters, stored_bytes, notes
        Clusters; bytes in the store of the counts and of all that was made of them; what the stages had to say.
    seconds, tasks_run
        Of the first run.
    second_seconds, tasks_run_second
        Of the second.
    truth
        Compared with the truth, where it is known.
    copies
        Files in the user's directory, by name.
    store
        URL of the store, where it is not the configured one.
    """

    raw: AnnData
    done: AnnData
    page: Asset
    report: Path
    n_clusters: int
    stored_bytes: int
    notes: list[str]
    seconds: float
    tasks_run: int
    second_seconds: float
    tasks_run_second: int
    truth: Agreement | None
    copies: dict[str, Path]
    store: str = ""


def check_installed() -> None:
    """Fail early, and say how to get what is missing.

    Raises
    ------
    ToolMissing
        A package of the extra ``scrna`` is not installed.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        hint = "pip install 'stargazer-dask[scrna]', or in a copy of the source pip install '.[scrna]'"
        raise ToolMissing(f"single-cell analyses need {', '.join(missing)}, which is not installed: {hint}")


def given(data: str) -> Cells:
    """A user's file: ``.h5ad``, 10x ``.h5``, 10x folder, or zarr."""
    path = Path(data)
    if not path.exists():
        raise typer.BadParameter(f"{data} is not there", param_hint="--data")
    from stargazer.bio.singlecell.ingest import stem

    return Cells(path, stem(path.resolve().name), str(path))


@contextlib.contextmanager
def simulate(*, small: bool = False) -> Iterator[Cells]:
    """Simulate cells; the files go when the context ends."""
    from stargazer.bio.simulate.cells import Population, simulate_cells
    from stargazer.display import waiting

    n_cells, differing = SMALL if small else USUAL
    population = Population(**differing)
    with tempfile.TemporaryDirectory(prefix="stargazer-demo-") as scratch:
        with waiting("simulate cells"):
            path = simulate_cells(Path(scratch, "simulated.zarr"), n_cells, population)
        what = f"simulated: {n_cells:,} cells of {population.n_types} types, {population.n_genes:,} genes"
        yield Cells(path, "simulated", what, simulated=True)


def analyse(cells: Cells, store: Store, options: dict[str, Any], workers: int | None, out: str | None) -> CellsOutcome:
    """Cluster the cells and draw the report, then do all of it once more.

    Parameters
    ----------
    cells
        The counts.
    store
        Takes them in, and all that is made; it is the active one.
    options
        Parameters of `cluster_cells`.
    workers
        Worker processes; threads of this process if None.
    out
        Directory for copies of the results.
    """
    from stargazer.api import add
    from stargazer.assets import AnnData

    raw: Any = add(cells.path, AnnData(sample_id=cells.sample_id, organism=options["organism"]))
    with _client(workers) as client:
        _, seconds, tasks_run = _run(raw, options, client)
        (done, page), second_seconds, tasks_run_second = _run(raw, options, client)
    copies = _copies(store, done, page, Path(out)) if out is not None else {}
    return CellsOutcome(
        raw, done, page, copies.get("report") or store.fetch(page), *_figures(store, done, page),
        seconds, tasks_run, second_seconds, tasks_run_second, _truth(cells, done), copies, _other(store),
    )  # fmt: skip


@contextlib.contextmanager
def _client(workers: int | None) -> Iterator[Client | None]:
    from stargazer.client import connect
    from stargazer.display import waiting

    if workers is None:
        yield None
        return
    with waiting("start the workers"):
        client = connect("local", workers=workers)
    with client:
        yield client


def _run(raw: AnnData, options: dict[str, Any], client: Client | None) -> tuple[Any, float, int]:
    """Wire the workflow and run it: annotated cells with the report, seconds, number of tasks."""
    from stargazer.runs import run
    from stargazer.tasks.scrna import report
    from stargazer.workflows import cluster_cells

    started = time.monotonic()
    done = cluster_cells(raw, **options)
    flight = run(done, report(done), client=client)
    return flight.result(), time.monotonic() - started, flight.tasks_run


def _figures(store: Store, done: AnnData, page: Asset) -> tuple[int, int, list[str]]:
    """Number of clusters, bytes stored, notes."""
    from stargazer.bio.singlecell.tree import AnnDataTree

    tree = AnnDataTree(store.fetch(done))
    stages = tree.stages()
    notes = [f"{stage}: {note}" for stage, members in stages.items() for note in members.get("notes", [])]
    return len(stages["cluster"]["sizes"]), _stored_bytes(store, page), notes


def _stored_bytes(store: Store, page: Asset) -> int:
    """Bytes of all files in the lineage of the report; what stages share counts once."""
    from stargazer.ledger.lineage import trace

    files: dict[str, int] = {}
    for asset in (page, *page.companions, *trace(store, page).assets):
        cid = str(asset.cid)
        below = [found for _, found in store.walk(cid) if found] if store.is_directory(cid) else [cid]
        files |= {found: store.size(found) or 0 for found in below}
    return sum(files.values())


def _truth(cells: Cells, done: AnnData) -> Agreement | None:
    from stargazer.bio.simulate.agreement import agreement

    return agreement(done.fetch()) if cells.simulated else None


def _other(store: Store) -> str:
    from stargazer import config
    from stargazer.store import Store

    return "" if store == Store.open(config.store_url()) else store.url


def _copies(store: Store, done: AnnData, page: Asset, out: Path) -> dict[str, Path]:
    """The annotated cells, the markers and the report in a user's directory."""
    from stargazer.display import waiting

    out.mkdir(parents=True, exist_ok=True)
    paths = {"annotated": out / "annotated.h5ad", "markers": out / "markers.csv", "report": out / "report.html"}
    with waiting(f"write the results to {out}"), tempfile.TemporaryDirectory(prefix=".stargazer-", dir=out) as scratch:
        made = {name: Path(scratch, path.name) for name, path in paths.items()}
        done.write_h5ad(made["annotated"])
        from stargazer.display import cell

        done.markers().map(cell).rename(columns=cell).to_csv(made["markers"], index=False)
        made["report"].write_bytes(store.fetch(page).read_bytes())
        for name, path in paths.items():
            made[name].replace(path)
    return paths
