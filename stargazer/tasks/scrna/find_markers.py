"""Marker genes of groups of cells.

References
----------
Soneson C, Robinson MD. Bias, robustness and scalability in single-cell differential expression analysis. Nature Methods
15, 255 (2018).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse

from stargazer.assets import AnnData
from stargazer.bio.singlecell.kernels.columns import column_blocks
from stargazer.bio.singlecell.kernels.markers import first, joined, no_markers, rank_sum, t_test
from stargazer.bio.singlecell.kernels.threads import ordered_map
from stargazer.bio.singlecell.tree import Blocks, cache_bytes
from stargazer.bio.singlecell.view import FRACTIONS, STATISTICS, TABLES
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.stages import FACTORS, USES, draft_of, size_factors_of
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from stargazer.bio.singlecell.draft import TreeDraft
    from stargazer.bio.singlecell.kernels.markers import Markers
    from stargazer.bio.singlecell.tree import AnnDataTree

__all__ = ["find_markers"]

Method = Literal["wilcoxon", "t-test", "t-test_overestim_var"]
Layer = Literal["log", "counts"]


@task(cpus=2, memory="4 GiB", uses=USES)
def find_markers(
    work: Workdir,
    adata: AnnData,
    embedding: AnnData | None = None,
    *,
    groupby: str = "leiden",
    method: Method = "wilcoxon",
    layer: Layer = "log",
    tie_correct: bool = False,
    groups: list[str] | None = None,
    reference: str = "rest",
) -> AnnData:
    """Test every gene in every group of cells against all other cells, or against those of one group.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Clustered cells.
    embedding
        The same cells with UMAP coordinates, from `embed`; the result has these too.
    groupby
        Column of ``obs`` with the groups.
    method
        ``"wilcoxon"``: rank-sum test; ``"t-test"``: Welch's; or scanpy's ``"t-test_overestim_var"``.
    layer
        ``"log"``: log-normalised values; ``"counts"``: counts, whose differences in depth then count too.
    tie_correct
        Correct the rank-sum test for ties, of which sparse counts have many; scanpy does not by default.
    groups
        Which groups to test; all if None.
    reference
        The group to test the others against; ``"rest"`` for all other cells.

    Returns
    -------
    AnnData
        With ``uns["rank_genes_groups"]``; stage ``"annotated"``. Where all cells are of one group there is nothing to
        compare: the table is empty, and a note says why.

    Raises
    ------
    DataError
        There is no such column, or no cell has a group.
    """
    tree, draft = draft_of(work, adata, "find_markers", *([FACTORS] if layer == "log" else []), f"obs/{groupby}")
    cells = tree.kept("obs")
    codes, names = _groups(tree, groupby, cells)
    wanted = _wanted(names, groups, reference, groupby)
    test: Test = partial(_tested, method=method, tie_correct=tie_correct, threads=work.cpus)
    if len(names) == 1:
        found, wanted = no_markers(int(tree.kept("var").sum())), []
    elif reference == "rest":
        numbers = _renumbered(codes, [names.index(name) for name in wanted])
        found = test(_columns(work, tree, cells, layer), numbers, len(wanted))
    else:
        pairs = [(names.index(name), names.index(reference)) for name in wanted]
        found = joined([_of_pair(work, tree, cells, codes, pair, layer, test) for pair in pairs])
    params = {"groupby": groupby, "reference": reference, "method": method, "use_raw": False}
    params["corr_method"] = "benjamini-hochberg"
    _write(draft, tree, found, wanted, params | ({} if layer == "log" else {"layer": layer}))
    if embedding is not None:
        _take_embedding(draft, tree, embedding)
    notes = _notes(groupby, wanted if len(names) > 1 else names, found)
    draft.note("find_markers", {**params, "layer": layer, "tie_correct": tie_correct, "notes": notes})
    return adata.derived(draft.path, "annotated")


Test = Callable[..., "Markers"]


def _wanted(names: list[str], groups: list[str] | None, reference: str, groupby: str) -> list[str]:
    """The groups to test, in their order."""
    asked = [*(groups or []), *([reference] if reference != "rest" else [])]
    missing = [name for name in asked if name not in names]
    if missing:
        raise DataError(f"obs[{groupby!r}] has no {', '.join(missing)}; it has: {', '.join(names)}")
    found = [name for name in names if name != reference and (groups is None or name in groups)]
    if not found and len(names) > 1:
        raise DataError(f"there is no group to test against {reference!r}: groups= names it alone, or none")
    return found


def _renumbered(codes: NDArray[np.int64], wanted: list[int]) -> NDArray[np.int64]:
    """Codes of some groups from 0; cells of others have none, and count among the rest."""
    number = np.full(max(int(codes.max(initial=0)), *wanted) + 2, -1)
    number[wanted] = np.arange(len(wanted))
    return np.asarray(number[codes])


def _of_pair(
    work: Workdir,
    tree: AnnDataTree,
    cells: NDArray[np.bool_],
    codes: NDArray[np.int64],
    pair: tuple[int, int],
    layer: str,
    test: Test,
) -> Markers:
    """One group against another: cells of no other are looked at."""
    mine = np.isin(codes, pair)
    two = np.where(codes[mine] == pair[0], 0, 1)
    some = np.zeros_like(cells)
    some[np.flatnonzero(cells)[mine]] = True
    return first(test(_columns(work, tree, some, layer), two, 2))


def _tested(
    columns: Iterator[Any], codes: NDArray[np.int64], n_groups: int, *, method: Method, tie_correct: bool, threads: int
) -> Markers:
    if method == "wilcoxon":
        return rank_sum(columns, codes, n_groups, tie_correct=tie_correct, threads=threads)
    return t_test(columns, codes, n_groups, overestimate_variance=method != "t-test")


def _notes(groupby: str, groups: list[str], found: Markers) -> list[str]:
    if len(groups) == 1:
        return [f"obs[{groupby!r}] has one group of cells, and markers need two: there are none; raise resolution"]
    small = [f"{name} ({n})" for name, n in zip(groups, found.n_cells, strict=True) if n <= 25]
    return [f"groups of few cells, whose p-values are poor: {', '.join(small)}"] if small else []


def _groups(tree: AnnDataTree, groupby: str, cells: NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[str]]:
    """Group of each kept cell, -1 for none, and the names of the groups that have cells."""
    labels = tree.labels("obs", groupby)
    codes = np.asarray(labels.codes, np.int64)[cells]
    used = np.unique(codes[codes >= 0])
    if not len(used):
        raise DataError(f"no cell has a value in obs[{groupby!r}]: there are no groups whose markers to find")
    number = np.full(len(labels.names) + 1, -1)
    number[used] = np.arange(len(used))
    return number[codes], [str(name) for name in labels.names[used]]


def _columns(work: Workdir, tree: AnnDataTree, cells: NDArray[np.bool_], layer: str) -> Iterator[Any]:
    """Values of some genes at a time, all kept cells."""
    columns = column_blocks(Blocks(tree, cells), work.path, cache_bytes(work.memory) // 4, work.cpus)
    if layer == "log":
        return ordered_map(partial(_log, factors=size_factors_of(tree, cells)), columns, work.cpus)
    return columns


def _log(columns: Any, factors: NDArray[np.float32]) -> Any:
    """Log-normalised values of counts by genes, bit for bit those of `AnnData.open`."""
    values = columns.data.astype(np.float32)
    values /= factors[columns.indices]
    np.log1p(values, out=values)
    return sparse.csc_matrix((values, columns.indices, columns.indptr), shape=columns.shape, copy=False)


def _write(draft: TreeDraft, tree: AnnDataTree, found: Markers, groups: list[str], params: dict[str, Any]) -> None:
    tables: dict[str, Any] = {name: getattr(found, name).astype(kind) for name, kind in STATISTICS.items()}
    for name, fractions in zip(FRACTIONS, (found.pct, found.pct_rest), strict=True):
        tables[name] = fractions.astype(np.float32)
    tables["groups"] = np.array(groups, dtype=object)
    tables["genes"] = tree.names("var")[tree.kept("var")]
    draft.write(f"uns/{TABLES}", {**tables, "params": params})


def _take_embedding(draft: TreeDraft, tree: AnnDataTree, embedding: AnnData) -> None:
    other = type(tree)(embedding.path)
    if not np.array_equal(other.names("obs"), tree.names("obs")):
        raise DataError("the embedding is of other cells: give the one that embed made of the same input")
    if "embed" not in other.record.noted:
        raise DataError("the embedding has no UMAP coordinates that embed made: give what embed returned")
    draft.adopt("embed", other)
