"""Join samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse

from stargazer.assets import AnnData
from stargazer.bio.singlecell.elements import Categories
from stargazer.bio.singlecell.kernels.blocks import reblock
from stargazer.bio.singlecell.layout import ROWS
from stargazer.bio.singlecell.matrix import MatrixWriter
from stargazer.bio.singlecell.tree import AnnDataTree, Blocks, TreeDraft, code_type, write_frame
from stargazer.bio.singlecell.view import table
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.stages import MEMORY, USES, check_column, tree_of
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["concat"]


@task(memory=MEMORY, uses=(*USES, "pandas"))
def concat(
    work: Workdir, samples: list[AnnData], *, batch_key: str = "sample", join: Literal["inner", "outer"] = "inner"
) -> AnnData:
    """Join the cells of samples, with a column that says which sample each came from.

    Parameters
    ----------
    work
        The scratch directory.
    samples
        Raw cells; of filtered ones those that are kept.
    batch_key
        Name of that column of ``obs``; it has the samples' `sample_id`, or their numbers where these are not unique.
    join
        ``"inner"``: genes that all samples have; ``"outer"``: genes of any.

    Returns
    -------
    AnnData
        Raw counts; stage ``"raw"``. Cells whose name occurs twice have the sample's added to theirs.

    Raises
    ------
    DataError
        No samples, two organisms, no gene in common, or the name cannot be one of a new column.
    """
    check_column(batch_key)
    organisms = {sample.organism for sample in samples} - {""}
    if not samples or len(organisms) > 1:
        raise DataError(f"samples to join are of one organism; these are {len(samples)} of {sorted(organisms)}")
    trees = [tree_of(work, sample) for sample in samples]
    labels = _labels(samples)
    genes = _joined_genes([tree.names("var") for tree in trees], join)
    if not len(genes):
        raise DataError(f"the samples have no gene in common; do all name genes alike? {trees[0].names('var')[:3]}")
    draft = TreeDraft(work.directory("made") / "joined.zarr")
    writer = MatrixWriter(draft.free("X"), len(genes))
    for block in reblock(_blocks(trees, genes), ROWS):
        writer.append(block)
    writer.finish()
    notes = _write_tables(draft, trees, labels, genes, batch_key)
    draft.note("concat", {"samples": labels, "join": join, "notes": notes})
    facts = {"n_obs": writer.rows, "n_vars": len(genes), "organism": "".join(organisms), "sample_id": "+".join(labels)}
    return AnnData(path=draft.path, stage="raw", **facts)  # type: ignore[arg-type]


def _labels(samples: Sequence[AnnData]) -> list[str]:
    named = [sample.sample_id for sample in samples]
    return named if all(named) and len(set(named)) == len(named) else [str(n) for n in range(len(samples))]


def _joined_genes(names: list[Any], join: str) -> Any:
    """Genes in the order of the first sample, those of later ones after them."""
    if join == "outer":
        return np.array(list(dict.fromkeys(name for each in names for name in each)), dtype=object)
    common = set(names[0]).intersection(*names[1:])
    return np.array([name for name in names[0] if name in common], dtype=object)


def _blocks(trees: list[AnnDataTree], genes: Any) -> Iterator[Any]:
    place = {name: number for number, name in enumerate(genes)}
    for tree in trees:
        column = np.array([place.get(name, -1) for name in tree.names("var")], np.int32)
        for block in Blocks(tree, None, np.ones(tree.n_vars, bool)):
            yield _moved(block, column, len(genes))


def _moved(block: Any, column: Any, n_genes: int) -> Any:
    """A block whose genes go to other columns; those that go to -1 are left out."""
    columns = column[block.indices]
    known = columns >= 0
    pointers = np.concatenate([[0], np.cumsum(known)])[block.indptr]
    moved = sparse.csr_matrix((block.data[known], columns[known], pointers), shape=(block.shape[0], n_genes))
    moved.sort_indices()
    return moved


def _write_tables(
    draft: TreeDraft, trees: list[AnnDataTree], labels: list[str], genes: Any, batch_key: str
) -> list[str]:
    import pandas as pd

    tables = [table(tree, "obs", derived=False) for tree in trees]
    obs = pd.concat(tables, axis=0)
    codes = np.repeat(np.arange(len(trees)), [len(each) for each in tables])
    if not obs.index.is_unique:
        obs.index = pd.Index(
            [f"{name}-{labels[code]}" for name, code in zip(obs.index, codes, strict=True)], dtype=object
        )
    notes = write_frame(draft, "obs", obs)
    draft.column("obs", batch_key, Categories(codes.astype(code_type(len(labels))), np.array(labels, dtype=object)))
    var = pd.concat([table(tree, "var", derived=False, every=True) for tree in trees], axis=0)
    return [*notes, *write_frame(draft, "var", var[~var.index.duplicated()].reindex(genes))]
