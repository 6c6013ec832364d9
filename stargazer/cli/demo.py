"""``stargazer demo``: a whole analysis in one command."""

from __future__ import annotations

import math
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stargazer.cli.options import JSON, STORE, examples, print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.bio.variants import Accuracy
    from stargazer.demo.germline import Outcome, Reads
    from stargazer.demo.scrna import Cells, CellsOutcome
    from stargazer.store import Store

__all__ = ["OUTSIDE", "app", "scrna"]

# ``stargazer demo scrna``: what it takes, and how it answers.


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
    from stargazer.demo.scrna import analyse, check_installed, given, simulate

    if data is not None and small:
        raise typer.BadParameter("--small is about the simulated cells; leave it out with --data")
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise typer.BadParameter(f"{out} is no folder", param_hint="--out")
    check_installed()
    options = {name: value for name, value in ctx.params.items() if name not in OUTSIDE}
    with ExitStack() as stack:
        cells = given(data) if data is not None else stack.enter_context(simulate(small=small))
        outcome = analyse(cells, stack.enter_context(_store(store)), options, workers, out)
    if json:
        print_json(_cells_json(outcome, cells))
        return
    if sys.stderr.isatty():
        say(err=True)
    say(_cells_text(outcome, cells))


def _cells_json(outcome: CellsOutcome, cells: Cells) -> dict[str, Any]:
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


def _cells_text(outcome: CellsOutcome, cells: Cells) -> str:
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
    return "\n".join([*lines, "", f"stargazer trace {asked}", f"stargazer get {asked}", *_kept(outcome.store)])


def _store(url: str | None) -> Store:
    """The store that was named; else one of demos alone, so that none of it gets among a user's own files."""
    from stargazer import config
    from stargazer.store import Store

    return Store.open(config.cache_dir() / OWN) if url is None else Store.open(url)


def _kept(store: str) -> list[str]:
    """How to be rid of what a demo left."""
    path = store.removeprefix("file://")
    own = Path(path).name == OWN
    return ["", f"all of it is in a store of demos: rm -r {path}; --store DIR keeps it in one of yours"] if own else []


def _truth_rows(outcome: CellsOutcome) -> Iterator[tuple[str, str]]:
    truth = outcome.truth
    if truth is None:
        return
    yield "types", f"adjusted Rand index {truth.ari:.4f} of clusters and true types"
    share = f"{truth.marker_recovery:.4f} ({truth.markers_found:,} of {truth.markers:,} found)"
    yield "markers", f"recall {share}"
    if not math.isnan(truth.doublet_auc):
        yield "doublets", f"AUC {truth.doublet_auc:.4f}"


OWN = "demo-store"
"""Name of the store of demos, in the user's cache."""

GermlineEngine = Literal["embedded", "native", "gatk"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def demo() -> None:
    """Run a whole analysis, to see it work."""


@app.command(epilog=examples("demo germline", "demo germline --engine gatk --data reads/ --out results/"))
def germline(
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|SHEET",
            help="Folder with one FASTA, and SAMPLE_R1.fq.gz with SAMPLE_R2.fq.gz of each sample; or a sample sheet, "
            "with the FASTA beside it.",
        ),
    ] = None,
    reference: Annotated[str | None, typer.Option(metavar="FASTA", help="The reference, if it lies elsewhere.")] = None,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Copy the results there.")] = None,
    small: Annotated[bool, typer.Option("--small", help="Simulate a tenth of the genome, at half the depth.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; one a core by default.")] = None,
    engine: Annotated[
        GermlineEngine,
        typer.Option(
            help="'gatk' for GATK; 'native' for bwa, samtools and bcftools on PATH; else what the package has."
        ),
    ] = "embedded",
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Call variants of a cohort, from raw reads to a VCF.

    Without --data, a genome, three samples and the truth about them are simulated, and the calls are compared with
    it. All tools come with the package, unless another engine is chosen. Then the same is run again, to see how long
    an answer from the store takes.
    """
    from stargazer.demo.germline import discover, read_data, simulate

    if data is not None and small:
        raise typer.BadParameter("--small is about the simulated genome; leave it out with --data")
    if data is None and reference is not None:
        raise typer.BadParameter("--reference goes with --data")
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise typer.BadParameter(f"{out} is no folder", param_hint="--out")
    with ExitStack() as stack:
        reads = read_data(data, reference) if data is not None else stack.enter_context(simulate(small=small))
        outcome = discover(reads, stack.enter_context(_store(store)), workers, out, engine)
    if json:
        print_json(_as_json(outcome, reads))
        return
    if sys.stderr.isatty():
        say(err=True)
    say(_as_text(outcome, reads))


app.command(
    epilog=examples("demo scrna", "demo scrna --data pbmc.h5ad --organism human --resolution 0.3 --out results/"),
    context_settings={"token_normalize_func": lambda name: name.replace("_", "-")},
)(scrna)


def _as_json(outcome: Outcome, reads: Reads) -> dict[str, Any]:
    accuracy = outcome.accuracy
    known: dict[str, Any] = {}
    if accuracy is not None:
        kinds = {"snv": accuracy.snv, "indel": accuracy.indel}
        known = {"precision": round(accuracy.total.precision, 6), "recall": round(accuracy.total.recall, 6)}
        known |= {
            name: {"precision": round(kind.precision, 6), "recall": round(kind.recall, 6), "f1": round(kind.f1, 6)}
            for name, kind in kinds.items()
        }
    return {
        "engine": outcome.engine,
        "vcf": {"cid": outcome.vcf.cid, "path": str(outcome.paths[0])},
        "samples": reads.names,
        **known,
        **_filter_json(outcome),
        "seconds": round(outcome.seconds, 3),
        "second_run_seconds": round(outcome.second_seconds, 6),
        "tasks_run": outcome.tasks_run,
        "tasks_run_second": outcome.tasks_run_second,
    }


def _filter_json(outcome: Outcome) -> dict[str, Any]:
    choice = outcome.choice
    if choice is None:
        return {}
    return {"filter": {"method": choice.method, "reason": choice.reason, "notes": list(choice.notes)}}


def _filter_rows(outcome: Outcome) -> list[tuple[str, str]]:
    choice = outcome.choice
    if choice is None:
        return []
    return [("filters", f"{choice.method} ({choice.reason})"), *(("", note) for note in choice.notes)]


def _as_text(outcome: Outcome, reads: Reads) -> str:
    from stargazer.display import plural, seconds_text

    first = f"{plural(outcome.tasks_run, 'task')} run in {seconds_text(outcome.seconds)}"
    known = "; the store knew the rest" if outcome.tasks_run == 0 else ""
    rows = [
        ("data", reads.what),
        ("samples", ", ".join(reads.names)),
        ("engine", outcome.engine),
        ("variants", f"{outcome.records:,} records"),
        *_filter_rows(outcome),
        *_accuracy_rows(outcome),
        ("first run", first + known),
        ("second run", f"{plural(outcome.tasks_run_second, 'task')} run in {seconds_text(outcome.second_seconds)}"),
        ("VCF", str(outcome.paths[0])),
        ("CID", str(outcome.vcf.cid)),
    ]
    lines = [f"{name:<11} {value}" for name, value in rows]
    asked = f"{outcome.vcf.cid}{_store_option(outcome)}"
    return "\n".join([*lines, "", f"stargazer trace {asked}", f"stargazer get {asked}", *_kept(outcome.store)])


def _accuracy_rows(outcome: Outcome) -> list[tuple[str, str]]:
    if outcome.accuracy is None:
        return []
    kinds = [("SNVs", outcome.accuracy.snv), ("indels", outcome.accuracy.indel)]
    return [(name, _accuracy(kind)) for name, kind in kinds]


def _accuracy(kind: Accuracy) -> str:
    found = f"{kind.found:,} of {kind.found + kind.missed:,} found, {kind.wrong:,} wrong"
    return f"precision {kind.precision:.4f}, recall {kind.recall:.4f} ({found})"


def _store_option(outcome: Outcome) -> str:
    return f" --store {outcome.store}" if outcome.store else ""
