"""What a project's results look like in a folder."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.assets import AnnData, Asset, DifferentialExpression, Pseudobulk, PseudobulkDesign
from stargazer.visible import cell
from stargazer.workflows.earlier import MANIFEST, clear_files, earlier_files, refuse_others

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["check_project", "write_project"]

MARKS = ("project", "cells")
"""Fields by which a manifest is one of ours."""
ALWAYS = ("report.html", "annotated.h5ad", "markers.csv")
"""Files of each project; where all of them are there, a run of a version that wrote no manifest made them."""
SOMETIMES = ("pseudobulk.tsv", "pseudobulk.design.tsv", "differential_expression.tsv")


def check_project(out: Path) -> None:
    """Refuse a folder in which files of a person would be written over, such as the marker genes that they give.

    Raises
    ------
    DataError
        It has files of such names, and no manifest that says that an earlier run put them there.
    """
    there = {name for name in (*ALWAYS, *SOMETIMES, MANIFEST) if (out / name).exists()}
    if not earlier_files(out, MARKS) and (MANIFEST in there or not there.issuperset(ALWAYS)):
        refuse_others(out, sorted(there))


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
    shown: dict[str, Asset] = {"report": page, "cells": cells, "markers": cells}
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
        shown["multiqc"] = section
    compared = [other for other in others if isinstance(other, DifferentialExpression)]
    for difference, safe in zip(compared, _safe([each.tested for each in compared]), strict=True):
        which, end = (f".{difference.tested}", f".{safe}") if len(compared) > 1 else ("", "")
        writers[f"differential{which}"] = (f"differential_expression{end}.tsv", _table(difference))
        shown |= {f"differential{which}": difference, f"left_out{which}": difference}
        if difference.left_out:
            writers[f"left_out{which}"] = (f"differential_expression{end}.left_out.tsv", _left_out(difference))
    for other in others:
        if isinstance(other, Pseudobulk):
            writers["pseudobulk"] = ("pseudobulk.tsv", _table(other))
            writers["design"] = ("pseudobulk.design.tsv", _table(other.companion(PseudobulkDesign)))
            shown |= {"pseudobulk": other, "design": other.companion(PseudobulkDesign)}
    out.mkdir(parents=True, exist_ok=True)
    earlier = earlier_files(out, MARKS)
    paths: dict[str, Path] = {}
    with tempfile.TemporaryDirectory(prefix=".stargazer-", dir=out) as scratch:
        for name, (file, write) in writers.items():
            made = Path(scratch, file)
            write(made)
            paths[name] = made.replace(out / file)
    clear_files(out, [file for file in earlier if out / file not in paths.values()])
    rows = [{"file": path.name, "cid": shown[name].cid, "type": shown[name].asset_key} for name, path in paths.items()]
    told = {"project": cells.sample_id, "cells": cells.cid, "files": rows}
    (out / MANIFEST).write_text(json.dumps(told, indent=1) + "\n", "utf-8")
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


def _safe(conditions: Sequence[str]) -> list[str]:
    """Conditions as parts of files' names, of which each is another, also where letters are small or large alike."""
    taken: set[str] = set()
    names = []
    for condition in conditions:
        name = plain = re.sub(r"[^\w.+-]", "_", condition)
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}.{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _left_out(difference: DifferentialExpression) -> Callable[[Path], Any]:
    """Write the clusters that have no rows, and why."""
    lines = ["group\treason", *(f"{name}\t{' '.join(why.split())}" for name, why in difference.left_out.items())]
    return lambda path: write_tsv(("\n".join(lines) + "\n").encode(), path)


def _copy(asset: Asset) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(asset.fetch().read_bytes())
