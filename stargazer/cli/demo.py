"""``stargazer demo``: a whole analysis in one command."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stargazer.cli.options import JSON, STORE, examples, open_store, print_json
from stargazer.cli.scrna import scrna

if TYPE_CHECKING:
    from stargazer.cli.cohorts import Reads
    from stargazer.cli.germline import Outcome
    from stargazer.concordance import Accuracy

__all__ = ["app"]

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
    from stargazer.cli.cohorts import read_data, simulate
    from stargazer.cli.germline import discover

    if data is not None and small:
        raise typer.BadParameter("--small is about the simulated genome; leave it out with --data")
    if data is None and reference is not None:
        raise typer.BadParameter("--reference goes with --data")
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise typer.BadParameter(f"{out} is no folder", param_hint="--out")
    with ExitStack() as stack:
        reads = read_data(data, reference) if data is not None else stack.enter_context(simulate(small=small))
        outcome = discover(reads, stack.enter_context(open_store(store)), workers, out, engine)
    if json:
        print_json(_as_json(outcome, reads))
        return
    if sys.stderr.isatty():
        typer.echo(err=True)
    typer.echo(_as_text(outcome, reads))


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
    return "\n".join([*lines, "", f"stargazer trace {asked}", f"stargazer get {asked}"])


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
