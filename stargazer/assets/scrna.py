"""Single-cell RNA sequencing."""

from __future__ import annotations

from stargazer.assets.asset import Asset

__all__ = ["AnnData"]


class AnnData(Asset, key="anndata"):
    """An annotated matrix of cells and genes (``.h5ad``, or a zarr directory).

    Parameters
    ----------
    sample_id
        The sample.
    n_obs
        Cells.
    n_vars
        Genes.
    stage
        How far it has been analysed, such as ``"raw"`` or ``"normalized"``.
    organism
        The species, such as ``"human"``.
    source_cid
        What it was made from.
    """

    sample_id: str = ""
    n_obs: int = 0
    n_vars: int = 0
    stage: str = ""
    organism: str = ""
    source_cid: str = ""
