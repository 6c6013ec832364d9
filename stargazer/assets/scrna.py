"""Single-cell RNA sequencing."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from stargazer.assets.asset import Asset
from stargazer.errors import DataError, StargazerError, ToolMissing

if TYPE_CHECKING:
    import os
    from pathlib import Path

__all__ = ["AnnData", "CountsFile", "FeatureMatrix", "RowBlock"]


class AnnData(Asset, key="anndata"):
    """An annotated matrix of cells and genes: a zarr directory that `anndata.read_zarr` reads (see docs/scrna.md).

    A ``.h5ad``, a 10x ``.h5``, a 10x folder or another zarr is converted as it is added; `source_cid` is then the CID
    of what was added. To keep those bytes too, add them as a plain asset.

    Parameters
    ----------
    sample_id
        The sample.
    n_obs
        Cells that the analysis uses.
    n_vars
        Genes that it uses.
    stage
        How far it has been analysed: ``"raw"``, ``"qc_filtered"``, ``"normalized"``, ``"featured"``, ``"reduced"``,
        ``"clustered"`` or ``"annotated"``.
    organism
        The species, such as ``"human"``.
    source_cid
        What it was made from.
    """

    converts: ClassVar[bool] = True
    converted_by: ClassVar[tuple[str, ...]] = ("stargazer.bio.singlecell.ingest",)
    converted_with: ClassVar[tuple[str, ...]] = ("anndata", "h5py", "numcodecs", "numpy", "pandas", "scipy", "zarr")

    sample_id: str = ""
    n_obs: int = 0
    n_vars: int = 0
    stage: str = ""
    organism: str = ""
    source_cid: str = ""

    def converted(self, directory: Path) -> Self:
        """The tree to store for a file of counts; a tree is stored as it is.

        Raises
        ------
        DataError
            It is no file of counts, or damaged.
        """
        from stargazer.cid import cid_of_path

        made = _cells("ingest").ingest(self.path, directory, self._said())
        if self.stage and self.stage != made.stage:
            raise DataError(
                f"{self.path} is {made.stage!r}, not {self.stage!r}: a stage is what stages of stargazer did, which a "
                "file of others cannot have; leave stage= out"
            )
        source = "" if made.copied else self.source_cid or cid_of_path(self.path, symlinks="follow")
        beside = [self._beside(name, other, source) for name, other in made.beside.items()]
        facts: dict[str, Any] = {"stage": made.stage, "source_cid": source or self.source_cid}
        facts["companions"] = (*self.companions, *beside)
        stored: Self = self._stored(path=made.path, name=made.path.name, n_obs=made.n_obs, n_vars=made.n_vars, **facts)
        return stored

    def written(self, value: object, directory: Path) -> Path:
        """The file of an `anndata.AnnData` or a `mudata.MuData` in memory; what no file holds is made text or left out.

        Raises
        ------
        AssetError
            It is something else.
        DataError
            It cannot be written.

        Warns
        -----
        DataWarning
            Something was made text or left out.
        """
        import anndata

        if type(value).__module__.partition(".")[0] == "mudata":
            path = directory / "memory.h5mu"
            _cells("memory").write_modalities(value, path)
            return path
        if not isinstance(value, anndata.AnnData):
            return super().written(value, directory)
        path = directory / "memory.h5ad"
        _cells("memory").write_cells(value, path)
        return path

    def _said(self) -> Any:
        """What is said of the file that it comes from."""
        return None

    def _stored(self, **changes: Any) -> Any:
        return replace(self, **changes)

    def _beside(self, features: str, made: Any, source: str) -> FeatureMatrix:
        """The draft of counts of other features of the same cells."""
        facts = {"sample_id": self.sample_id, "organism": self.organism, "source_cid": source, "stage": made.stage}
        name = f"{features.lower().replace(' ', '_').replace('/', '_')}.zarr"
        return FeatureMatrix(
            path=made.path, name=name, n_obs=made.n_obs, n_vars=made.n_vars, features=features, **facts
        )

    def derived(self, path: Path, stage: str, **facts: Any) -> Self:
        """The draft of a stage made from this one.

        Parameters
        ----------
        path
            The new tree.
        stage
            Its stage.
        **facts
            Facts that change.
        """
        made: dict[str, Any] = {"path": path, "name": path.name, "stage": stage, "source_cid": self.cid or ""}
        return replace(self, cid=None, source=None, **made, **facts)

    def open(self, *, lazy: bool = False) -> Any:  # type: ignore[override]
        """The cells as `anndata.AnnData`, as scanpy would have them at this stage.

        Masks are applied, counts are in ``layers["counts"]``, `X` has log-normalised values once there are size
        factors (counts before), results are where scanpy puts them. For all cells and genes with raw counts:
        ``anndata.read_zarr(asset.fetch())``.

        Parameters
        ----------
        lazy
            `X` and ``layers["counts"]`` become Dask arrays of row blocks, read when they are computed.

        Returns
        -------
        anndata.AnnData
            A copy: nothing done to it changes what is stored.
        """
        return _cells("view").open_tree(self.fetch(), lazy=lazy)

    def markers(self, top: int | None = None) -> Any:
        """Marker genes as one pandas table, best first.

        Parameters
        ----------
        top
            Genes of each group; all if None.
        """
        return _cells("view").marker_table(_cells("tree").AnnDataTree(self.fetch()), top)

    def picture(self) -> str:
        """UMAP coordinates as a small SVG; empty where there are none, or the store is on another machine."""
        if self.path is None and (self.source is None or not self.source.url.startswith("file:")):
            return ""
        try:
            return str(_cells("picture").umap_svg(_cells("tree").AnnDataTree(self.fetch())))
        except (OSError, StargazerError):
            return ""

    def write_h5ad(self, path: str | os.PathLike[str]) -> None:
        """Export what `open` gives as a ``.h5ad`` file.

        Parameters
        ----------
        path
            File to write.
        """
        self.open().write_h5ad(path, compression="gzip")

    def write_cellxgene(self, path: str | os.PathLike[str], terms: dict[str, str], title: str) -> None:
        """Export a ``.h5ad`` as CELLxGENE's schema wants it: counts in ``raw.X``, Ensembl ids, terms of ontologies.

        Parameters
        ----------
        path
            File to write.
        terms
            Values of the columns that the schema wants, for all cells: ``{"assay_ontology_term_id": "EFO:0009922"}``;
            ``"@donor"`` takes those of a column of ``obs``.
        title
            Of the data set.

        Raises
        ------
        DataError
            What is missing, all of it at once.
        """
        made = _cells("exports").cellxgene(self.open(), terms, title, self.organism)
        made.write_h5ad(path, compression="gzip")

    def write_h5mu(self, path: str | os.PathLike[str]) -> None:
        """Export what `open` gives as a ``.h5mu``, with the antibodies and guides that lie beside it.

        Parameters
        ----------
        path
            File to write.
        """
        rna = self.open()
        modalities = {"rna": rna}
        for other in self.companions:
            if isinstance(other, FeatureMatrix):
                beside = self.companion(FeatureMatrix, features=other.features).open()
                name = {"Antibody Capture": "prot"}.get(other.features, other.features.lower().replace(" ", "_"))
                modalities[name] = beside[[cell for cell in rna.obs_names if cell in beside.obs_names]].copy()
        _cells("exports").write_h5mu(path, modalities)

    def write_10x(self, path: str | os.PathLike[str]) -> None:
        """Export the counts of kept cells and genes as a folder that Cell Ranger's users read.

        Parameters
        ----------
        path
            Folder to make: ``matrix.mtx.gz``, ``barcodes.tsv.gz``, ``features.tsv.gz``.
        """
        _cells("exports").write_matrix_folder(path, self.open())


class FeatureMatrix(AnnData, key="feature_matrix"):
    """Counts of features that are no genes (antibodies, guides) of the cells that it lies beside.

    Parameters
    ----------
    features
        Their type, such as ``"Antibody Capture"``.
    sample_id, n_obs, n_vars, stage, organism, source_cid
        As of `AnnData`; `n_vars` are the features.
    """

    converts: ClassVar[bool] = False

    features: str = ""


class CountsFile(AnnData, key="counts_file"):
    """A file of counts of which something must be said for it to be read: what is stored is an `AnnData`.

    Parameters
    ----------
    layer
        Where counts are in a ``.h5ad``: the name of a layer, ``"X"`` or ``"raw"``; found if empty. A layer that is
        called so itself is ``"layers/raw"``.
    genome
        Which genome's genes to take of a file with several.
    features
        Which features to take; ``"Gene Expression"`` if empty.
    prefix
        Which sample of a folder that has several: what the names of its files begin with.
    round
        Make fractional counts, which estimates are, whole.
    sample_id, n_obs, n_vars, stage, organism, source_cid
        As of `AnnData`.

    Examples
    --------
    >>> sg.add("GSE1/", sg.CountsFile(sample_id="s1", prefix="GSM1_s1_"))  # doctest: +SKIP
    """

    layer: str = ""
    genome: str = ""
    features: str = ""
    prefix: str = ""
    round: bool = False

    def _said(self) -> Any:
        said = _cells("source").Said
        given = {name: getattr(self, name) for name in ("layer", "genome", "features", "prefix", "round")}
        return said(**{name: value for name, value in given.items() if value})

    def _stored(self, **changes: Any) -> Any:
        facts = {name: getattr(self, name) for name in ("sample_id", "organism")}
        return AnnData(**{**facts, **changes})


class RowBlock(Asset, key="row_block"):
    """What one pass over some rows of cells found, for the stage that joins all of them: arrays as NumPy writes them.

    Parameters
    ----------
    sample_id
        The sample.
    block, blocks
        Which, from 0, of how many.
    asked
        Digest of what was looked for.
    source_cid
        The cells.
    """

    sample_id: str = ""
    block: int = 0
    blocks: int = 0
    asked: str = ""
    source_cid: str = ""


def _cells(module: str) -> Any:
    """A module of `stargazer.bio.singlecell`; what it needs is installed by an extra."""
    try:
        return importlib.import_module(f"stargazer.bio.singlecell.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("stargazer"):
            raise
        hint = "pip install 'stargazer-dask[scrna]'"
        raise ToolMissing(f"single-cell assets need {error.name}, which is not installed: {hint}") from error
