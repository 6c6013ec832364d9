"""Add up the counts of cells of a cluster, donor and condition.

References
----------
Squair JW et al. Confronting false discoveries in single-cell differential expression. Nature Communications 12, 5692
(2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stargazer.assets import AnnData, Pseudobulk, PseudobulkDesign
from stargazer.bio.singlecell.tree import Blocks
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.stages import MEMORY, USES, tree_of
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.bio.singlecell.tree import AnnDataTree

__all__ = ["pseudobulk"]

ROLES = ("group", "donor", "condition")


@task(memory=MEMORY, uses=(*USES, "pandas"))
def pseudobulk(
    work: Workdir,
    adata: AnnData,
    *,
    groupby: str = "leiden",
    donor_key: str = "donor",
    condition_key: str = "condition",
    covariates: list[str] = [],  # noqa: B006
    min_cells: int = 10,
    on_failure: Literal["error", "mark"] = "error",
) -> Pseudobulk:
    """Add up counts, so that donors are what is compared and not their cells, which are no independent samples.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Clustered cells.
    groupby
        Column of ``obs`` with clusters or types; empty for all cells together.
    donor_key
        Column with donors (or animals, or cultures): what was sampled independently.
    condition_key
        Column with what is compared; empty for none.
    covariates
        Further columns to carry, such as a batch; they have one value in each bulk.
    min_cells
        Cells that a bulk needs; smaller ones are left out, and so are cells without a value in one of the columns.
    on_failure
        ``"mark"``: where no bulk has enough cells, the table has no bulks, rather than that the call fails.

    Returns
    -------
    Pseudobulk
        Sums of counts, genes × bulks, with its design beside it.

    Raises
    ------
    DataError
        There is no such column, a bulk has several values of a covariate, or no bulk has enough cells; or
        a name has a tab or the end of a line in it, or two bulks would have one name.
    """
    tree = tree_of(work, adata)
    cells = tree.kept("obs")
    keys = [key for key in (groupby, donor_key, condition_key) if key]
    columns = {key: _values(tree, key, cells) for key in (*keys, *covariates)}
    rows = list(zip(*(columns[key] for key in keys), strict=True))
    counts: dict[tuple[str, ...], int] = {}
    for row in rows:
        counts[row] = counts.get(row, 0) + 1
    bulks = sorted(row for row, number in counts.items() if number >= min_cells and "" not in row)
    if not bulks:
        why = f"no bulk of {', '.join(keys)} has {min_cells} cells: lower min_cells, or take coarser clusters"
        if on_failure == "error":
            raise DataError(why)
        work.warn(why)
    if missing := sum("" in row for row in rows):
        work.warn(f"{missing:,} of {len(rows):,} cells have no value in one of {', '.join(keys)}, and are in no bulk")
    left_out = _without_bulk(counts, bulks, min_cells) if groupby and bulks else {}
    for name, reason in left_out.items():
        work.warn(f"cluster {name} is in no bulk: {reason}")
    number = {row: place for place, row in enumerate(bulks)}
    codes = np.array([number.get(row, -1) for row in rows])
    sums = _sums(tree, cells, codes, len(bulks))
    names = _joined(bulks)
    design = [_described(keys, bulk, counts[bulk], (groupby, donor_key, condition_key)) for bulk in bulks]
    for place, line in enumerate(design):
        line |= {name: _single(columns[name], codes == place, name, names[place]) for name in covariates}
    genes = tree.names("var")[tree.kept("var")].astype(str)
    table = work.file("pseudobulk.tsv")
    _write(table, ["gene", *names], ([gene, *map(str, row)] for gene, row in zip(genes, sums.T.tolist(), strict=True)))
    beside = work.file("pseudobulk.design.tsv")
    heads = ["bulk", *ROLES, "n_cells", *covariates]
    lines = ([name, *map(str, line.values())] for name, line in zip(names, design, strict=True))
    _write(beside, heads, lines)
    facts: dict[str, Any] = {
        "groupby": groupby,
        "donor_key": donor_key,
        "condition_key": condition_key,
        "sample_id": adata.sample_id,
    }
    companion = PseudobulkDesign(path=beside, sample_id=adata.sample_id)
    numbers: dict[str, Any] = {"n_bulks": len(bulks), "n_genes": len(genes), "anndata_cid": adata.cid or ""}
    return Pseudobulk(path=table, companions=(companion,), left_out=left_out, **facts, **numbers)


def _without_bulk(counts: dict[tuple[str, ...], int], bulks: list[tuple[str, ...]], min_cells: int) -> dict[str, str]:
    """Why clusters are in no bulk, by their names."""
    sizes: dict[str, int] = {}
    for (name, *_), number in counts.items():
        if name and name not in {bulk[0] for bulk in bulks}:
            sizes[name] = sizes.get(name, 0) + number
    return {
        name: f"of its {number:,} cells no donor has {min_cells} under one condition"
        for name, number in sorted(sizes.items())
    }


def _values(tree: AnnDataTree, key: str, cells: NDArray[np.bool_]) -> list[str]:
    labels = tree.labels("obs", key)
    names = [*(str(name) for name in labels.names), ""]
    return [names[code] for code in labels.codes[cells]]


def _sums(tree: AnnDataTree, cells: NDArray[np.bool_], codes: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Counts of kept genes, bulks × genes."""
    sums = np.zeros((n, int(tree.kept("var").sum())), np.int64)
    start = 0
    for block in Blocks(tree, cells):
        here = codes[start : start + block.shape[0]]
        for place in np.unique(here[here >= 0]):
            sums[place] += np.asarray(block[here == place].sum(axis=0)).ravel().astype(np.int64)
        start += block.shape[0]
    return sums


def _joined(bulks: list[tuple[str, ...]]) -> list[str]:
    """Names of bulks, of which each must be another."""
    names = ["|".join(bulk) for bulk in bulks]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"two bulks would be called {twice!r}: rename values that have a | in them")
    return names


def _described(keys: list[str], bulk: tuple[str, ...], n_cells: int, roles: tuple[str, str, str]) -> dict[str, Any]:
    found = dict(zip(keys, bulk, strict=True))
    named = {name: found.get(key, "all") for name, key in zip(ROLES, roles, strict=True)}
    return {**named, "n_cells": n_cells}


def _single(values: list[str], mask: NDArray[np.bool_], name: str, bulk: str) -> str:
    found = sorted({values[place] for place in np.flatnonzero(mask)})
    if len(found) != 1 or not found[0]:
        raise DataError(
            f"cells of bulk {bulk} have {len(found)} values of {name!r} ({', '.join(found[:4])}): it is no covariate"
        )
    return found[0]


def _write(path: Any, heads: list[str], lines: Any) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        for line in (heads, *lines):
            if odd := next((field for field in line if {"\t", "\n", "\r"} & set(field)), None):
                raise DataError(f"{odd!r} has a tab or the end of a line in it, which no table can keep: rename it")
            file.write("\t".join(line) + "\n")
