"""Tables made of cells: counts of clusters in donors, and how conditions differ in them."""

from __future__ import annotations

import csv
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar

from stargazer.assets.asset import Asset

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DifferentialExpression", "Pseudobulk", "PseudobulkDesign"]


class PseudobulkDesign(Asset):
    """What each column of a `Pseudobulk` is: a TSV with bulk, group, donor, condition, further columns and cells.

    Parameters
    ----------
    sample_id
        The cells that it is of.
    """

    sample_id: str = ""


class Pseudobulk(Asset):
    """Sums of counts, a TSV of genes × bulks: the cells of a cluster of a donor under a condition are one bulk.

    Its `PseudobulkDesign` lies beside it.

    Parameters
    ----------
    sample_id
        The cells that it is of.
    groupby, donor_key, condition_key
        Columns of ``obs`` that make bulks; the last may be empty.
    n_bulks, n_genes
        Columns and rows.
    anndata_cid
        The cells that were added up.
    left_out
        Why each cluster that has no bulk has none.
    """

    later: ClassVar[tuple[str, ...]] = ("left_out",)

    sample_id: str = ""
    groupby: str = ""
    donor_key: str = ""
    condition_key: str = ""
    n_bulks: int = 0
    n_genes: int = 0
    anndata_cid: str = ""
    left_out: dict[str, str] = field(default_factory=dict)

    def table(self) -> pd.DataFrame:
        """Counts, genes × bulks."""
        return _read(self)

    def design(self) -> pd.DataFrame:
        """What each bulk is."""
        return _read(self.companion(PseudobulkDesign))


class DifferentialExpression(Asset):
    """How genes differ between two conditions in each cluster, a TSV with a row a cluster and gene.

    Columns: group, gene, baseMean, log2FoldChange, lfcSE, stat, pvalue, padj.

    Parameters
    ----------
    sample_id
        The cells that it is of.
    condition_key, tested, reference
        Column of ``obs``, and which of its values is compared with which.
    n_significant
        Tests whose adjusted p-value is below `alpha`.
    alpha
        That limit.
    pseudobulk_cid
        The sums that were compared.
    left_out
        Why each cluster that has no rows was not compared.
    """

    later: ClassVar[tuple[str, ...]] = ("left_out",)

    sample_id: str = ""
    condition_key: str = ""
    tested: str = ""
    reference: str = ""
    n_significant: int = 0
    alpha: float = 0.05
    pseudobulk_cid: str = ""
    left_out: dict[str, str] = field(default_factory=dict)

    def table(self) -> pd.DataFrame:
        """All tests, as pandas reads them."""
        return _read(self, index=False)


NUMBERS = ("n_cells", "baseMean", "log2FoldChange", "lfcSE", "stat", "pvalue", "padj")


def _read(asset: Asset, *, index: bool = True) -> Any:
    """Read a table; ``NA`` is no number, but it may be the name of a gene, as ``nan`` is of one of the fly."""
    import pandas as pd

    path = asset.fetch()
    with open(path, encoding="utf-8", newline="") as file:
        heads = file.readline().rstrip("\n").split("\t")
    counted = set(heads[1:]) if isinstance(asset, Pseudobulk) else {name for name in NUMBERS if name in heads}
    text = {name: str for name in heads if name not in counted}
    gaps: Any = {name: ["NA"] for name in counted}
    return pd.read_csv(
        path, sep="\t", index_col=0 if index else None, dtype=text, keep_default_na=False, na_values=gaps,
        quoting=csv.QUOTE_NONE, lineterminator="\n",
    )  # fmt: skip
