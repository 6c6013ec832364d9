"""Integrations of cells: one of components, one of the graph; and a model of cell types."""

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

import stargazer as sg
from stargazer.tasks.scrna.integrations import CellsToMix, CellsToName, Mixing, Naming


@sg.task
def centre_batches(work: sg.Workdir, adata: sg.AnnData, *, batch_key: str, n_neighbors: int = 15) -> sg.AnnData:
    """Take the mean of each batch out of the components."""
    cells = CellsToMix(work, adata, "centred", batch_key)
    moved = cells.components - cells.components.mean(axis=0)
    for batch in range(len(cells.batch_names)):
        mine = cells.batches == batch
        moved[mine] -= moved[mine].mean(axis=0)
    return cells.with_coordinates(moved, n_neighbors=n_neighbors)


@sg.task
def balance_batches(work: sg.Workdir, adata: sg.AnnData, *, batch_key: str, in_each: int = 3) -> sg.AnnData:
    """Give each cell as many neighbours in every batch, which is the idea of BBKNN."""
    cells = CellsToMix(work, adata, "balanced", batch_key)
    distances = sparse.lil_matrix((len(cells), len(cells)))
    for batch in range(len(cells.batch_names)):
        mine = np.flatnonzero(cells.batches == batch)
        found, places = cKDTree(cells.components[mine]).query(cells.components, k=min(in_each, len(mine) - 1) + 1)
        for cell in range(len(cells)):
            for distance, place in zip(found[cell], mine[places[cell]], strict=True):
                if place != cell:
                    distances[cell, place] = distance
    distances = distances.tocsr()
    weights = distances.copy()
    weights.data = np.exp(-weights.data / weights.data.mean())
    return cells.with_graph(distances, weights.maximum(weights.T), in_each=in_each)


@sg.task
def linear_types(
    work: sg.Workdir, adata: sg.AnnData, *, weights: dict[str, dict[str, float]], groupby: str = "leiden"
) -> sg.AnnData:
    """Name cells by a linear model: the type whose weighted sum of log-normalised values is greatest."""
    cells = CellsToName(work, adata, "linear", groupby=groupby)
    types = list(weights)
    table = np.array([[weights[kind].get(gene, 0.0) for kind in types] for gene in cells.genes])
    scores = cells.values(target_sum=10_000) @ table
    sure = np.exp(scores - scores.max(axis=1, keepdims=True))
    best = scores.argmax(axis=1)
    return cells.with_types([types[each] for each in best], (1 / sure.sum(axis=1)))


CENTRED, BALANCED, LINEAR = Mixing(centre_batches), Mixing(balance_batches), Naming(linear_types)
