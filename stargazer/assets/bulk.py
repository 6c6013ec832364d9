"""Tables made of cells: counts of clusters in donors, and how conditions differ in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    """

    sample_id: str = ""
    groupby: str = ""
    donor_key: str = ""
    condition_key: str = ""
    n_bulks: int = 0
    n_genes: int = 0
    anndata_cid: str = ""

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
    """

    sample_id: str = ""
    condition_key: str = ""
    tested: str = ""
    reference: str = ""
    n_significant: int = 0
    alpha: float = 0.05
    pseudobulk_cid: str = ""

    def table(self) -> pd.DataFrame:
        """All tests, as pandas reads them."""
        return _read(self, index=False)


def _read(asset: Asset, *, index: bool = True) -> Any:
    import pandas as pd

    text = {"group": str, "gene": str, "donor": str, "condition": str, "bulk": str}
    return pd.read_csv(asset.fetch(), sep="\t", index_col=0 if index else None, dtype=text, keep_default_na=True)
