"""The same bits in processes with other numbers of threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import hashlib, json, sys
import numpy as np
from kernel_cells import simulate
from stargazer.bio.singlecell.kernels.blocks import row_blocks, size_factors
from stargazer.bio.singlecell.kernels.cluster import leiden
from stargazer.bio.singlecell.kernels.neighbors import connectivities
from stargazer.bio.singlecell.kernels.doublets import scrublet
from stargazer.bio.singlecell.kernels.embedding import umap
from stargazer.bio.singlecell.kernels.hvg import highly_variable
from stargazer.bio.singlecell.kernels.moments import gene_moments
from stargazer.bio.singlecell.kernels.neighbors import exact_neighbors
from stargazer.bio.singlecell.kernels.pca import fit_pca, project
from stargazer.bio.singlecell.kernels.markers import rank_sum

threads, rows = int(sys.argv[1]), int(sys.argv[2])
counts = simulate(n_cells=900, n_genes=1200).counts
blocks, factors = list(row_blocks(counts, rows)), size_factors(np.ravel(counts.sum(axis=1)))
genes = highly_variable(gene_moments(blocks, factors, 1200), 600).mask
chosen = [block[:, genes] for block in blocks]
points = project(chosen, factors, fit_pca(chosen, factors, 30, threads=threads), threads=threads)
near = exact_neighbors(points, 15, threads=threads)
graph = connectivities(near)
groups = leiden(graph, 0.5)
results = {
    "genes": genes, "points": points, "neighbours": near.indices, "weights": graph.data, "groups": groups,
    "umap": umap(points, graph, n_epochs=50), "doublets": scrublet(blocks, 1200, threads=threads).scores,
    "scores": rank_sum([counts.tocsc()], groups, groups.max() + 1, threads=threads).scores,
}
print(json.dumps({name: hashlib.sha256(np.ascontiguousarray(r).tobytes()).hexdigest() for name, r in results.items()}))
"""


def run(threads: int, rows: int) -> dict[str, str]:
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | {name: str(threads) for name in names}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    argv = [sys.executable, "-c", SCRIPT, str(threads), str(rows)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_same_bits_in_two_processes():
    one, other = run(1, 900), run(4, 128)
    assert {name for name in one if one[name] != other[name]} == set()
