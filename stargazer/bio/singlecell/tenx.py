"""Counts of 10x Genomics' Cell Ranger as HDF5, and of CellBender, which writes the same.

References
----------
https://www.10xgenomics.com/support/software/cell-ranger/latest/analysis/outputs/cr-outputs-h5-matrices
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.bio.singlecell.matrix import group_blocks
from stargazer.bio.singlecell.source import of_features
from stargazer.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.bio.singlecell.source import Said, Source

__all__ = ["is_tenx", "read_tenx"]

COLUMNS = {"gene_ids": "id", "feature_types": "feature_type", "genome": "genome"}
PROBABILITY = "cell_probability"


def is_tenx(file: Any) -> bool:
    """Whether an HDF5 file has a group of a matrix with barcodes."""
    return any(hasattr(file[name], "keys") and "barcodes" in file[name] for name in file)


def read_tenx(file: Any, path: Path, said: Said) -> Source:
    """Counts of a ``…feature_bc_matrix.h5``; of version 2 (one group a genome) and of CellBender too.

    Parameters
    ----------
    file
        The open HDF5 file.
    path
        For messages.
    said
        What to take of it.
    """
    import pandas as pd

    group = _matrix_group(file, path, said)
    n_genes, n_cells = (int(length) for length in group["shape"][...])
    if "features" in group:
        features = group["features"]
        columns = {name: _texts(features[place]) for name, place in COLUMNS.items() if place in features}
        names = _texts(features["name"])
    else:
        columns, names = {"gene_ids": _texts(group["genes"])}, _texts(group["gene_names"])
    var = pd.DataFrame(columns, index=pd.Index(names, dtype=object))
    obs = pd.DataFrame(index=pd.Index(_texts(group["barcodes"]), dtype=object))
    if len(obs) != n_cells or len(var) != n_genes:
        raise DataError(f"{path}: a matrix of {n_genes} × {n_cells} does not fit {len(var)} genes, {len(obs)} barcodes")
    probabilities = _cell_probabilities(file, group, n_cells)
    if probabilities is not None:
        obs[PROBABILITY] = probabilities
    rest = said if "genome" in columns else said._replace(genome="")
    source = of_features(obs, var, partial(group_blocks, group, (n_cells, n_genes)), path, rest)
    if probabilities is not None:
        source.remarks.append(f"obs[{PROBABILITY!r}] is CellBender's: call_cells takes what is above 0.5")
    return source


def _matrix_group(file: Any, path: Path, said: Said) -> Any:
    if "matrix" in file and hasattr(file["matrix"], "keys"):
        return file["matrix"]
    genomes = [name for name in file if hasattr(file[name], "keys") and "barcodes" in file[name]]
    if said.genome and said.genome in genomes:
        return file[said.genome]
    if len(genomes) > 1:
        first = f"sg.CountsFile(genome={genomes[0]!r})"
        raise DataError(f"{path} has counts of {len(genomes)} genomes ({', '.join(genomes)}); say whose: {first}")
    if not genomes:
        raise DataError(f"{path} is neither a .h5ad (it has no obs and var) nor a 10x .h5 (it has no matrix)")
    return file[genomes[0]]


def _cell_probabilities(file: Any, group: Any, n_cells: int) -> Any:
    """What CellBender says of each droplet; None of other files. Droplets that it did not look at have 0."""
    latents = file.get("droplet_latents", group)
    found = next((name for name in (PROBABILITY, "latent_cell_probability") if name in latents), None)
    if found is None:
        return None
    values = np.asarray(latents[found][...], np.float32).ravel()
    places = next((name for name in latents if str(name).startswith("barcode_indices")), None)
    if places is None:
        return values if len(values) == n_cells else None
    full = np.zeros(n_cells, np.float32)
    full[np.asarray(latents[places][...], np.int64)] = values
    return full


def _texts(dataset: Any) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in dataset[...]]
