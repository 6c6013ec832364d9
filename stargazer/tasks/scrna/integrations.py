"""What other packages add: integrations of batches and models of cell types (entry points ``stargazer.integrations``).

Each is a task, so its code, its libraries and its parameters count towards keys as those of any task do, and it says
what it needs (``memory=``, ``resources=``). `CellsToMix` and `CellsToName` give such a task what it works on, and write
what it found where all later stages look for it. `docs/extending.md` has an example of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from stargazer import plugins
from stargazer.bio.singlecell.elements import Categories
from stargazer.bio.singlecell.frames import code_type
from stargazer.bio.singlecell.genes import symbols_of
from stargazer.bio.singlecell.kernels.neighbors import approximate_neighbors, connectivities, exact_neighbors
from stargazer.bio.singlecell.tree import AnnDataTree, Blocks
from stargazer.bio.singlecell.view import log_values
from stargazer.calls import Task
from stargazer.errors import DataError, PluginError
from stargazer.tasks.scrna.stages import (
    FACTORS,
    batch_codes,
    check_column,
    draft_of,
    embedding_kept,
    expanded,
    scattered,
    size_factors_of,
    write_graph,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stargazer.assets import AnnData
    from stargazer.tools import Workdir

__all__ = ["CellsToMix", "CellsToName", "Mixing", "Naming", "find_mixing", "find_naming"]

UNKNOWN = "unassigned"


class Mixing(NamedTuple):
    """An integration: a task of cells with components (stage ``"reduced"``) that gives them another graph.

    Parameters
    ----------
    task
        It takes ``batch_key=``; ``n_neighbors=`` and ``seed=`` are given to it where it has such parameters.
    """

    task: Task[..., Any]


class Naming(NamedTuple):
    """A model of cell types: a task of clustered cells that names them.

    Parameters
    ----------
    task
        It takes ``groupby=``, the column with clusters; ``symbols=`` and ``seed=`` where it has such parameters.
    """

    task: Task[..., Any]


def find_mixing(name: str) -> Task[..., Any]:
    """The task of an integration that an installed package offers.

    Raises
    ------
    DataError
        None offers it.
    PluginError
        It is no `Mixing`, or its task lacks ``batch_key=``.
    """
    return _found(name, Mixing, "batch_key", "integration", ("harmony", "none"))


def find_naming(name: str) -> Task[..., Any]:
    """The task of a model of cell types that an installed package offers.

    Raises
    ------
    DataError
        None offers it.
    PluginError
        It is no `Naming`, or its task lacks ``groupby=``.
    """
    return _found(name, Naming, "groupby", "model of cell types", ())


def _found(name: str, kind: type[Mixing | Naming], needed: str, what: str, own: tuple[str, ...]) -> Task[..., Any]:
    found = plugins.find(plugins.INTEGRATIONS, name)
    if found is None:
        offered = [*own, *(each.name for each in plugins.plugins(plugins.INTEGRATIONS))]
        raise DataError(
            f"there is no {what} {name!r}: there are {', '.join(offered) or 'none'}; others come with packages that "
            f"offer them ({plugins.INTEGRATIONS})"
        )
    if not isinstance(found, kind) or not isinstance(found.task, Task):
        raise PluginError(f"what is offered as {plugins.INTEGRATIONS} {name!r} is no {kind.__name__}: {found!r}")
    if needed not in {each.name for each in found.task.signature.plains}:
        raise PluginError(f"the task of {name!r} ({plugins.INTEGRATIONS}) has no parameter {needed}=")
    return found.task


class CellsToMix:
    """Kept cells with components whose batches an integration mixes.

    Parameters
    ----------
    work, adata
        The scratch directory, and the asset, as the task gets them.
    name
        Of the integration; coordinates go to ``obsm["X_<name>"]``.
    batch_key
        Column of ``obs`` with the batches.

    Attributes
    ----------
    components
        Principal components, cells × components.
    batches, batch_names
        Batch of each cell from 0, and what they are called.

    Raises
    ------
    DataError
        There are no components, there is no such column, or a cell has no batch.
    """

    def __init__(self, work: Workdir, adata: AnnData, name: str, batch_key: str) -> None:
        if not name.isidentifier() or name in ("pca", "pca_harmony", "umap"):
            raise DataError(f"{name!r} cannot be the name of an integration: take letters, digits and _")
        self.name, self._adata, self._cpus = name, adata, work.cpus
        used = ("obsm/X_pca", f"obs/{batch_key}", FACTORS, "var/highly_variable")
        self.tree, self._draft = draft_of(work, adata, f"integrate.{name}", *used)
        self._params: dict[str, Any] = {"batch_key": batch_key}
        self._cells = self.tree.kept("obs")
        self.components: NDArray[np.float32] = embedding_kept(self.tree, "X_pca")
        self.batches, self.batch_names = batch_codes(self.tree, batch_key, self._cells)

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def genes(self) -> list[str]:
        """Names of the highly variable genes, in the order of `counts`."""
        return [str(name) for name in self.tree.names("var")[self._variable]]

    @property
    def _variable(self) -> NDArray[np.bool_]:
        return np.asarray(self.tree.column("var", "highly_variable"), bool)

    def counts(self) -> Any:
        """Raw counts, cells × highly variable genes, CSR: what models of counts such as scVI are fitted to."""
        return sparse.vstack(list(Blocks(self.tree, self._cells, self._variable)), format="csr")

    def with_coordinates(
        self, coordinates: Any, *, n_neighbors: int = 15, approximate: bool = False, seed: int = 0, **params: Any
    ) -> AnnData:
        """The cells with these coordinates, and the graph of nearest neighbours among them.

        Parameters
        ----------
        coordinates
            Cells × dimensions.
        n_neighbors, approximate, seed
            As for `reduce_dimensions`.
        **params
            What else the note of the stage says: parameters, numbers, ``notes``.

        Raises
        ------
        DataError
            They are not of these cells, or not finite.
        """
        points = np.ascontiguousarray(coordinates, np.float32)
        if points.ndim != 2 or len(points) != len(self) or not np.isfinite(points).all():
            raise DataError(
                f"integration {self.name} gave coordinates {points.shape} for {len(self)} cells"
                + (", of which some are not finite" if not np.isfinite(points).all() else "")
            )
        place = f"X_{self.name}"
        self._draft.write(f"obsm/{place}", scattered(self._cells, points, np.nan))
        threads = {"threads": self._cpus}
        found = (
            approximate_neighbors(points, n_neighbors, seed=seed, **threads)
            if approximate and len(points) > n_neighbors
            else exact_neighbors(points, n_neighbors, **threads)
        )
        told = {"n_pcs": points.shape[1], "use_rep": place, "random_state": seed}
        write_graph(self._draft, self._cells, found, connectivities(found), told)
        return self._noted(place, {"n_neighbors": n_neighbors, "seed": seed, **params})

    def with_graph(self, distances: Any, weights: Any, **params: Any) -> AnnData:
        """The cells with a graph of neighbours of the integration's own making, as BBKNN gives.

        Parameters
        ----------
        distances, weights
            Sparse, cells × cells: distances to the neighbours of each cell, and symmetric weights of 0 to 1.
        **params
            What else the note of the stage says.

        Raises
        ------
        DataError
            They are not of these cells, or not finite, or no weights.
        """
        made = {"distances": sparse.csr_matrix(distances), "connectivities": sparse.csr_matrix(weights)}
        for what, matrix in made.items():
            matrix.sort_indices()
            if matrix.shape != (len(self), len(self)) or not np.isfinite(matrix.data).all() or (matrix.data < 0).any():
                raise DataError(f"integration {self.name} gave no {what} of {len(self)} cells: {matrix!r}")
        if abs(made["connectivities"] - made["connectivities"].T).max() > 1e-6:
            raise DataError(f"integration {self.name} gave weights that are not symmetric")
        for what, matrix in made.items():
            self._draft.matrix(f"obsp/{what}", expanded(matrix, self._cells), np.float32)
        keys = {"connectivities_key": "connectivities", "distances_key": "distances"}
        self._draft.write("uns/neighbors", {**keys, "params": {"method": self.name, "metric": "euclidean"}})
        return self._noted("", params)

    def _noted(self, embedding: str, params: dict[str, Any]) -> AnnData:
        told = {**self._params, "n_batches": len(self.batch_names), "embedding": embedding, "notes": []}
        self._draft.note(f"integrate.{self.name}", {**told, **params})
        return self._adata.derived(self._draft.path, "reduced")


class CellsToName:
    """Kept cells, normalised, that a model names.

    Parameters
    ----------
    work, adata
        The scratch directory, and the asset, as the task gets them.
    name
        Of the model, for the record.
    groupby
        Column of ``obs`` with clusters, which take the type that most of their cells have; empty for none.
    key_added
        Column of ``obs`` for the types.
    symbols
        Column of ``var`` with gene symbols, where genes are named by ids.

    Attributes
    ----------
    genes
        Symbol of each kept gene, its name where it has none.

    Raises
    ------
    DataError
        The cells are not normalised, or there is no such column.
    """

    def __init__(
        self,
        work: Workdir,
        adata: AnnData,
        name: str,
        *,
        groupby: str = "",
        key_added: str = "cell_type",
        symbols: str = "",
    ) -> None:
        check_column(key_added)
        self.name, self.key, self._adata, self._groupby = name, key_added, adata, groupby
        self._stage = f"annotate.{key_added}"
        used = (FACTORS, *([f"obs/{groupby}"] if groupby else []))
        self.tree, self._draft = draft_of(work, adata, self._stage, *used)
        self._cells, kept = self.tree.kept("obs"), self.tree.kept("var")
        labels = symbols_of(self.tree, symbols)[0]
        self.genes = [str(label) or str(name) for label, name in zip(labels, self.tree.names("var"), strict=True)]
        self.genes = [gene for gene, there in zip(self.genes, kept, strict=True) if there]
        self._factors = size_factors_of(self.tree, self._cells)
        self._clusters = self.tree.labels("obs", groupby) if groupby else None

    def __len__(self) -> int:
        return len(self._factors)

    def counts(self) -> Any:
        """Raw counts, cells × genes, CSR."""
        return sparse.vstack(list(Blocks(self.tree, self._cells)), format="csr")

    def values(self, target_sum: float | None = None) -> Any:
        """Log-normalised values, cells × genes, CSR.

        Parameters
        ----------
        target_sum
            Counts that each cell is scaled to, which the model was fitted with (CellTypist: 10,000); by default those
            of `normalize`.
        """
        counts = self.counts()
        if target_sum is None:
            return log_values(counts, self._factors)
        totals = np.asarray(counts.sum(axis=1)).ravel()
        return log_values(counts, np.maximum(totals / target_sum, np.finfo(np.float32).tiny).astype(np.float32))

    def with_types(
        self, types: Sequence[str], confidence: Any = None, *, min_confidence: float = 0.5, **params: Any
    ) -> AnnData:
        """The cells with their types.

        Parameters
        ----------
        types
            Of each cell.
        confidence
            How sure each is, 0 to 1, as ``obs["<key>_score"]``.
        min_confidence
            Share of a cluster's cells that must agree, or it is ``"unassigned"``.
        **params
            What else the note of the stage says.

        Raises
        ------
        DataError
            There is not one type for each cell.
        """
        if len(types) != len(self) or any(not str(each) for each in types):
            raise DataError(f"model {self.name} gave {len(types)} types for {len(self)} cells, one each is wanted")
        names = [*sorted({str(each) for each in types} - {UNKNOWN}), UNKNOWN]
        place = {name: number for number, name in enumerate(names)}
        own = np.array([place[str(each)] for each in types], np.int64)
        if confidence is not None:
            score = np.asarray(confidence, np.float32)
            if score.shape != own.shape or not np.isfinite(score).all():
                raise DataError(f"model {self.name} gave {score.shape} confidences for {len(self)} cells")
            self._draft.column("obs", f"{self.key}_score", scattered(self._cells, score, np.nan))
        told: dict[str, Any] = {"model": self.name, "groupby": self._groupby, "key_added": self.key, "notes": []}
        if self._clusters is None:
            self._write(self.key, own, names)
        else:
            told |= self._of_clusters(self._clusters, own, names, min_confidence)
        self._draft.note(self._stage, {**told, "min_confidence": min_confidence, **params})
        return self._adata.derived(self._draft.path, AnnDataTree(self._draft.path).stage)

    def _of_clusters(
        self, clusters: Categories, own: NDArray[np.int64], names: list[str], least: float
    ) -> dict[str, Any]:
        """Write the type that most cells of each cluster have, and that of each cell by itself."""
        codes = np.asarray(clusters.codes, np.int64)[self._cells]
        chosen, sure = np.full(len(codes), len(names) - 1), np.full(len(codes), np.nan, np.float32)
        types, confidence = {}, {}
        for number in np.unique(codes[codes >= 0]):
            mine = codes == number
            votes = np.bincount(own[mine], minlength=len(names))
            share = float(votes.max() / votes.sum())
            best = int(votes.argmax()) if share >= least else len(names) - 1
            chosen[mine], sure[mine] = best, share
            cluster = str(clusters.names[number])
            types[cluster], confidence[cluster] = names[best], round(share, 4)
        self._write(f"{self.key}_cell", own, names)
        self._write(self.key, chosen, names)
        self._draft.column("obs", f"{self.key}_confidence", scattered(self._cells, sure, np.nan))
        unnamed = [cluster for cluster, kind in types.items() if kind == UNKNOWN]
        notes = [f"clusters {', '.join(unnamed)} have no type: most of their cells do not agree"] if unnamed else []
        return {"types": types, "confidence": confidence, "notes": notes}

    def _write(self, column: str, codes: NDArray[np.int64], names: list[str]) -> None:
        values = Categories(
            scattered(self._cells, codes.astype(code_type(len(names))), -1), np.array(names, dtype=object)
        )
        self._draft.column("obs", column, values)
