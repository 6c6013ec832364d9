"""Run the benchmarks: ``python -m benchmarks [NAME…] [--out DIR] [--quick]``.

Writes ``benchmarks.json``, after each figure, and ``benchmarks.png`` into DIR, and prints a table of ratios beside
their aims. A benchmark that fails does not keep the others from running; the command then ends with 1.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import SubprocessError
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.rounds import Ratio
from stargazer.errors import StargazerError

WIDTH = 170
"""Of the table where nobody's terminal sets it."""
NAMES = (
    "overhead",
    "trips",
    "identity",
    "truth",
    "workers",
    "pools",
    "churn",
    "blob_transfer",
    "scale",
    "cid",
    "remotes",
    "germline",
    "germline_gatk",
    "scrna",
    "scrna_scale",
    "notebooks",
    "service",
    "surfaces",
    "grow",
)


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Any of {', '.join(NAMES)}; all by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the JSON and the picture.")] = Path("benchmark-results"),
    quick: Annotated[bool, typer.Option(help="Small sizes and few rounds: to try out, not to quote.")] = False,
) -> None:
    """Measure, in turns with what else does the same."""
    unknown = set(names or ()) - set(NAMES)
    if unknown:
        raise typer.BadParameter(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    out.mkdir(parents=True, exist_ok=True)
    ratios: list[Ratio] = []
    failed: list[str] = []
    for name in names or NAMES:
        try:
            for ratio in _measured(name, quick):
                ratios.append(ratio)
                console.print(f"[dim]{ratio.benchmark}[/] {ratio.case}: {ratio.ratio:.2f} × {ratio.beside}")
                _write(ratios, out)
        except (RuntimeError, OSError, ImportError, SubprocessError, StargazerError) as error:
            failed.append(name)
            console.print(f"[red]{name} failed[/]: {escape(str(error))}")
    draw(ratios, out / "benchmarks.png")
    console.print(table(ratios))
    if failed:
        raise typer.Exit(1)


def _measured(name: str, quick: bool) -> Iterator[Ratio]:
    options = {} if name == "cid" else {"quick": quick}
    for measured in importlib.import_module(f"benchmarks.{name}").measure(**options):
        yield measured if isinstance(measured, Ratio) else _from_cid(measured)


def _write(ratios: list[Ratio], out: Path) -> None:
    """Write what is known so far: a machine may go down in the middle of a night."""
    made = out / "benchmarks.json.new"
    made.write_text(json.dumps([ratio.to_dict() for ratio in ratios], indent=2) + "\n", "utf-8")
    made.replace(out / "benchmarks.json")


def _from_cid(measured: dict[str, Any]) -> Ratio:
    figures = {"ours": measured["ours"] / 1e6, "theirs": measured["hashlib"] / 1e6, "unit": "MB/s"}
    ratio = measured["ratio"]
    return Ratio("cid", measured["case"], beside="hashlib", ratio=ratio, lowest=ratio, highest=ratio, rounds=9,
                 aim=measured["aim"], better="higher", **figures)  # fmt: skip


def table(ratios: list[Ratio]) -> Table:
    """Every ratio with its aim."""
    shown = Table("benchmark", "case", "ours", "beside", "theirs", "ratio", "aim", "")
    for ratio in ratios:
        sign = "≤" if ratio.better == "lower" else "≥"
        aim = "" if ratio.aim is None else f"{sign} {ratio.aim:g}{' ' + ratio.unit if ratio.of == 'ours' else ' ×'}"
        met = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[ratio.met]
        figures = f"{ratio.ours:.3g} {ratio.unit}", ratio.beside, f"{ratio.theirs:.3g} {ratio.unit}"
        shown.add_row(ratio.benchmark, ratio.case, *figures, f"{ratio.ratio:.2f} ×", aim, met)
    return shown


def draw(ratios: list[Ratio], path: Path) -> None:
    """Draw how far each figure with an aim is from it: left of the line it is met."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    aimed = [ratio for ratio in reversed(ratios) if ratio.to_aim is not None]
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.35 * len(aimed)), layout="constrained")
    colours = ["#4c956c" if ratio.met else "#bc4749" for ratio in aimed]
    axes.barh([f"{r.benchmark}: {r.case}" for r in aimed], [r.to_aim or 0.0 for r in aimed], color=colours)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xlabel("part of the aim (left of 1: met)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    typer.run(main)
