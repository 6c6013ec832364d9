"""The same steps in plain scanpy: ``scrna_scanpy.py FILE FOLDER [--no-doublets] [--files]``.

With ``--files`` a ``.h5ad`` is written after each step and read before the next; otherwise one at the end.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SCORES: list[tuple[float, bool]] = []
"""Doublet score and truth of each cell."""


def main() -> None:
    start = time.perf_counter()
    warnings.simplefilter("ignore")
    import anndata

    data, folder, *flags = sys.argv[1:]
    adata = anndata.read_h5ad(data)
    for number, step in enumerate(steps("--no-doublets" not in flags)):
        adata = step(adata)
        if "--files" in flags:
            path = Path(folder, f"{number}.h5ad")
            adata.write_h5ad(path)
            adata = anndata.read_h5ad(path)
    if "--files" not in flags:
        adata.write_h5ad(Path(folder, "done.h5ad"))
    printed = {"seconds": time.perf_counter() - start, "peak": peak()}
    printed["stored"] = sum(path.stat().st_size for path in Path(folder).iterdir())
    sound = adata[~(adata.obs["doublet"] | adata.obs["damaged"])].obs
    clusters, types = sound["leiden"].cat.codes.tolist(), sound["cell_type"].cat.codes.tolist()
    print(json.dumps({**printed, "clusters": clusters, "types": types, "doublets": SCORES}))


def steps(doublets: bool) -> Iterator[Callable[[Any], Any]]:
    """The steps of the workflow, one after another."""
    yield lambda adata: filtered(adata, doublets)
    yield normalized
    yield features
    yield reduced
    yield clustered
    yield markers


def filtered(adata: Any, doublets: bool) -> Any:
    import scanpy as sc

    adata.var["mt"] = adata.var_names.str.startswith("MT-")
    adata.var["ribo"] = adata.var_names.str.startswith(("RPS", "RPL"))
    adata.var["hb"] = adata.var_names.str.contains("^HB[^(P)]")
    sc.pp.filter_cells(adata, min_genes=100)
    sc.pp.filter_genes(adata, min_cells=3)
    sc.pp.calculate_qc_metrics(adata, qc_vars=["mt", "ribo", "hb"], percent_top=None, inplace=True)
    keep = adata.obs["pct_counts_mt"] < 20
    if doublets:
        sc.pp.scrublet(adata)
        SCORES.extend(zip(adata.obs["doublet_score"].tolist(), adata.obs["doublet"].tolist(), strict=True))
        keep &= ~adata.obs["predicted_doublet"].astype(bool)
    return adata[keep].copy()


def normalized(adata: Any) -> Any:
    import scanpy as sc

    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    return adata


def features(adata: Any) -> Any:
    import scanpy as sc

    sc.pp.highly_variable_genes(adata, n_top_genes=2000)
    return adata


def reduced(adata: Any) -> Any:
    import scanpy as sc

    sc.pp.pca(adata, n_comps=50)
    sc.pp.neighbors(adata, n_neighbors=15)
    sc.tl.umap(adata)
    return adata


def clustered(adata: Any) -> Any:
    import scanpy as sc

    sc.tl.leiden(adata, resolution=0.5, flavor="igraph", n_iterations=2, directed=False)
    return adata


def markers(adata: Any) -> Any:
    import scanpy as sc

    sc.tl.rank_genes_groups(adata, "leiden", method="wilcoxon", pts=True)
    return adata


def peak() -> int:
    """Most bytes of memory that this process ever had."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
