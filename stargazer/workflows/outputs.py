"""What a project's results look like in a folder."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.assets import AnnData, Asset, DifferentialExpression, Pseudobulk, PseudobulkDesign
from stargazer.visible import cell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["write_project"]


def write_project(cells: AnnData, page: Asset, others: Sequence[Asset], out: Path) -> dict[str, Path]:
    """Write the results of a project into a folder, each under a name that says what it is.

    Parameters
    ----------
    cells, page, others
        Annotated cells, the report, and what else was made.
    out
        The folder; made if need be. Each file is replaced whole.

    Returns
    -------
    dict
        The files, by what they are.
    """
    writers: dict[str, tuple[str, Callable[[Path], Any]]] = {
        "report": ("report.html", lambda path: path.write_bytes(page.fetch().read_bytes())),
        "cells": ("annotated.h5ad", cells.write_h5ad),
        "markers": (
            "markers.csv",
            lambda path: cells.markers().map(cell).rename(columns=cell).to_csv(path, index=False),
        ),
    }
    for section in page.companions:
        writers["multiqc"] = (section.name, _copy(page.companion(Asset, report="multiqc")))
    compared = [other for other in others if isinstance(other, DifferentialExpression)]
    for difference in compared:
        which = f".{difference.tested}" if len(compared) > 1 else ""
        writers[f"differential{which}"] = (f"differential_expression{_safe(which)}.tsv", _table(difference))
    for other in others:
        if isinstance(other, Pseudobulk):
            writers["pseudobulk"] = ("pseudobulk.tsv", _table(other))
            writers["design"] = ("pseudobulk.design.tsv", _table(other.companion(PseudobulkDesign)))
    out.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Path] = {}
    with tempfile.TemporaryDirectory(prefix=".stargazer-", dir=out) as scratch:
        for name, (file, write) in writers.items():
            made = Path(scratch, file)
            write(made)
            paths[name] = made.replace(out / file)
    return paths


def write_tsv(data: bytes, path: Path) -> None:
    """Write a stored TSV; where a name in it begins like a formula, which spreadsheets run, it gets an apostrophe."""
    rows = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), delimiter="\t"))
    safe = [[cell(each) for each in row] for row in rows]
    if safe == rows:
        path.write_bytes(data)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows(safe)


def _table(asset: Asset) -> Callable[[Path], Any]:
    return lambda path: write_tsv(asset.fetch().read_bytes(), path)


def _safe(condition: str) -> str:
    """A condition as part of a file's name."""
    return re.sub(r"[^\w.+-]", "_", condition)


def _copy(asset: Asset) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(asset.fetch().read_bytes())
