"""Quality control: metrics of cells and genes, filters, doublets.

References
----------
Luecken MD, Theis FJ. Current best practices in single-cell RNA-seq analysis: a tutorial. Molecular Systems Biology 15,
e8746 (2019).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from stargazer.assets import AnnData, RowBlock
from stargazer.bio.singlecell.draft import TreeDraft
from stargazer.bio.singlecell.genes import decide_organism, find_gene_sets, named_genes, symbols_of
from stargazer.bio.singlecell.kernels.qc import GeneMasks, RowSums, joined_rows, mad_limits, row_sums
from stargazer.bio.singlecell.tree import Blocks, cache_bytes
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.row_blocks import asked, check_blocks, read_block, rows_of, write_block
from stargazer.tasks.scrna.stages import MEMORY, USES, batch_codes, check_column, draft_of, scattered, tree_of
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.bio.singlecell.genes import GeneSets
    from stargazer.bio.singlecell.kernels.doublets import Doublets
    from stargazer.bio.singlecell.kernels.qc import QC
    from stargazer.bio.singlecell.tree import AnnDataTree

    Mask = NDArray[np.bool_]

KNOWN_SETS = ("mt", "ribo", "hb", "spike_in")

__all__ = ["measure_cells", "qc_filter"]


@task(cpus=2, memory=MEMORY, uses=USES)
def qc_filter(
    work: Workdir,
    adata: AnnData,
    measured: list[RowBlock] | None = None,
    *,
    min_genes: int = 100,
    min_cells: int = 3,
    max_pct_mt: float = 20.0,
    batch_key: str = "",
    organism: str = "",
    symbols: str = "",
    mt_genes: str | list[str] = "",
    gene_sets: dict[str, str | list[str]] | None = None,
    mads: float | None = None,
    mads_mt: float | None = None,
    doublets: bool = True,
    expected_doublet_rate: float = 0.05,
    seed: int = 0,
    on_failure: Literal["error", "mark"] = "error",
) -> AnnData:
    """Measure cells and genes, and mark those to keep; nothing is removed.

    In scanpy's order: cells with too few genes go, then genes in too few of the cells left, then metrics over what is
    left, then doublets are sought, then cells with too large a mitochondrial fraction, outliers and doublets go.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Raw counts.
    measured
        Blocks of the rows, from `measure_cells` with the same parameters: workers share that pass, and no byte of the
        result depends on it. The counts are gone over here where none are given.
    min_genes
        Genes with a count that a cell needs.
    min_cells
        Cells with a count that a gene needs.
    max_pct_mt
        Percentage of mitochondrial counts from which a cell goes; 100 to keep all.
    batch_key
        Column of ``obs``: doublets and outliers are sought in each batch by itself.
    organism
        ``"human"``, ``"mouse"``, ``"rat"``, ``"zebrafish"`` or ``"fly"``. If empty the asset's own or, if that is
        empty too, what the names of the genes tell; a note says by what.
    symbols
        Column of ``var`` with gene symbols, where genes are named by ids.
    mt_genes
        Which genes are mitochondrial, of any species: their names, a pattern that symbols begin with, or a column of
        ``var`` that is true of them. If empty, those of the organism.
    gene_sets
        Other sets of genes to measure, by name, given likewise: ``{"chloroplast": "ATCG"}`` makes
        ``obs["pct_counts_chloroplast"]``.
    mads
        Median absolute deviations of the logarithms of counts and genes from which a cell is an outlier; 5 is usual.
        None for no such filter.
    mads_mt
        The same of the mitochondrial percentage, upwards; 3 is usual.
    doublets
        Seek doublets (Scrublet) and drop them.
    expected_doublet_rate
        Fraction of doublets that Scrublet expects.
    seed
        Of the doublets that Scrublet simulates.
    on_failure
        ``"mark"``: a sample that fails (no cell is left, or the genes are of another organism) keeps no cell, and its
        note says why; so that of many samples the others go on.

    Returns
    -------
    AnnData
        With metrics and ``kept`` in ``obs`` and ``var``; stage ``"qc_filtered"``.

    Raises
    ------
    DataError
        No mitochondrial gene is found though one is asked for, the genes are of another organism or of two, there is
        no such column, or no cell or gene is left.
    """
    limits = _Limits(min_genes, min_cells, max_pct_mt, mads, mads_mt)
    genes = _Genes(organism or adata.organism, symbols, mt_genes, gene_sets or {})
    options: dict[str, Any] = {"batch_key": batch_key, "rate": expected_doublet_rate, "seed": seed}
    tree, draft = draft_of(work, adata, "qc_filter", "obs/called", masks=False)
    if any(name.partition(".")[0] == "subset" for name in tree.record.noted):
        work.warn(
            f"{adata.sample_id or adata.name}: all {tree.n_obs:,} cells are measured anew, also those that subset left "
            "out; to keep its choice, go on with select_features, or with normalize"
        )
    try:
        return _filtered(
            work, adata, (tree, draft), genes, limits, measured or [], options if doublets else None, batch_key
        )
    except DataError as error:
        if on_failure == "error":
            raise
        return _failed(adata, tree, work, str(error))


class _Limits(NamedTuple):
    """Which cells and genes go."""

    min_genes: int
    min_cells: int
    max_pct_mt: float
    mads: float | None
    mads_mt: float | None


class _Genes(NamedTuple):
    """What is said of genes."""

    organism: str
    symbols: str
    mt: str | list[str]
    sets: dict[str, str | list[str]]


def _failed(adata: AnnData, tree: AnnDataTree, work: Workdir, why: str) -> AnnData:
    """A sample of which no cell is kept, and why."""
    draft = TreeDraft(work.directory("failed") / tree.path.name, tree, "qc_filter", ("obs/called",))
    draft.column("obs", "kept", np.zeros(tree.n_obs, bool))
    draft.column("var", "kept", np.ones(tree.n_vars, bool))
    draft.note("qc_filter", {"failed": why, "n_cells_kept": 0, "notes": [f"the sample failed: {why}"]})
    return adata.derived(draft.path, "qc_filtered", n_obs=0, n_vars=tree.n_vars)


def _filtered(
    work: Workdir,
    adata: AnnData,
    trees: tuple[AnnDataTree, TreeDraft],
    genes: _Genes,
    limits: _Limits,
    measured: list[RowBlock],
    doublets: dict[str, Any] | None,
    batch_key: str,
) -> AnnData:
    tree, draft = trees
    uncalled = tree.record.last("call_cells").get("failed")
    if uncalled:
        raise DataError(uncalled)
    organism, said, sets, own, chosen = decided = _decided(tree, genes)
    needed = limits.max_pct_mt < 100 or limits.mads_mt is not None
    notes = [*said, *sets.notes, *chosen, *_check_mt(tree, sets, organism, said, needed), *_check_called(tree)]
    called = _called(tree)
    qc = _measured(adata, tree, decided.masks(tree.n_vars), called, limits, measured)
    dropped = {"few genes": called & ~qc.cells} | ({} if called.all() else {"empty droplets": ~called})
    _check_left(tree, qc.cells, dropped, f" (min_genes={limits.min_genes}; there are {tree.n_vars} genes)")
    if not qc.genes.any():
        few = f"min_cells={limits.min_cells} of {int(qc.cells.sum())} cells"
        raise DataError(f"no gene is left: none has a count in {few}")
    if doublets is not None:
        found = find_doublets(work, tree, qc.cells, qc.genes, **doublets)
        found.write(draft)
        notes += found.notes
        dropped["doublets"] = scattered(qc.cells, found.predicted, False)
    batches = scattered(qc.cells, batch_codes(tree, batch_key, qc.cells)[0], -1)
    dropped |= _outliers(qc, batches, limits)
    kept = ~np.any(list(dropped.values()), axis=0)
    _check_left(tree, kept, dropped)
    shown = {"mt": sets.mt, "ribo": sets.ribo, "hb": sets.hb} | own
    _write_metrics(draft, qc, shown, sets.spike_in, kept)
    spikes = _spikes(qc, sets)
    notes += _said_of_spikes(spikes)
    numbers = {f"n_cells_{name.replace(' ', '_')}": int(mask.sum()) for name, mask in dropped.items()}
    numbers |= {"n_cells_kept": int(kept.sum()), "n_genes_kept": int(qc.genes.sum()), **spikes}
    found_limits = _found_limits(qc, limits) if not batch_key else {}
    params = {
        "organism": organism,
        "found_limits": found_limits,
        **limits._asdict(),
        "doublets": doublets is not None,
        "sets": sorted(shown),
    }
    draft.note("qc_filter", {**params, **numbers, "notes": notes})
    facts = {"n_obs": numbers["n_cells_kept"], "n_vars": numbers["n_genes_kept"], "organism": organism}
    return adata.derived(draft.path, "qc_filtered", **facts)


def _called(tree: AnnDataTree) -> Mask:
    """Cells that may be kept."""
    return np.asarray(tree.column("obs", "called"), bool) if tree.made("obs/called") else np.ones(tree.n_obs, bool)


# The pass over the counts: here, or a block of rows at a time in tasks of their own.


@task(memory=MEMORY, uses=USES, temp=True)
def measure_cells(
    work: Workdir,
    adata: AnnData,
    *,
    block: int,
    blocks: int,
    min_genes: int = 100,
    min_cells: int = 3,
    organism: str = "",
    symbols: str = "",
    mt_genes: str | list[str] = "",
    gene_sets: dict[str, str | list[str]] | None = None,
) -> RowBlock:
    """Measure a block of the cells, for `qc_filter`; several workers share the pass over the counts this way.

    All sums are of whole numbers: they are the same in any number of blocks.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Raw counts.
    block, blocks
        Which block of rows, from 0, of how many.
    min_genes, min_cells, organism, symbols, mt_genes, gene_sets
        As for `qc_filter`.

    Returns
    -------
    RowBlock
        Sums of these cells and, over them, of genes. Empty where the genes are not to be understood: `qc_filter` tells.

    Raises
    ------
    DataError
        There is no such block.
    """
    tree, here = tree_of(work, adata), (block, blocks)
    rows = rows_of(tree.n_obs, block, blocks)
    genes = _Genes(organism or adata.organism, symbols, mt_genes, gene_sets or {})
    try:
        masks = _decided(tree, genes).masks(tree.n_vars)
    except DataError:  # said once, by the stage that follows, which may be told to mark the sample
        return write_block(work, adata, here, "", [])
    found = _sums(tree, masks, rows, _called(tree), min_genes, min_cells)
    return write_block(work, adata, here, _question(masks, _called(tree), min_genes, min_cells), found)


def _sums(tree: AnnDataTree, masks: GeneMasks, rows: Mask, called: Mask, min_genes: int, min_cells: int) -> RowSums:
    everything = Blocks(tree, rows, np.ones(tree.n_vars, bool))
    return row_sums(everything, masks, min_genes=min_genes, min_cells=min_cells, wanted=called[rows])


def _question(masks: GeneMasks, called: Mask, min_genes: int, min_cells: int) -> str:
    return asked("measure_cells", masks.weights, called, min_genes, min_cells)


def _measured(
    adata: AnnData, tree: AnnDataTree, masks: GeneMasks, called: Mask, limits: _Limits, measured: list[RowBlock]
) -> QC:
    """The metrics, of blocks that were measured or of all rows at once."""
    least = limits.min_genes, limits.min_cells
    if measured:
        check_blocks(adata, measured, _question(masks, called, *least))
        parts = [RowSums(*read_block(each)) for each in measured]
    else:
        parts = [_sums(tree, masks, np.ones(tree.n_obs, bool), called, *least)]
    return joined_rows(parts, masks, min_cells=limits.min_cells)


class _Decided(NamedTuple):
    """What is known of the genes: their organism and why it is that, sets of them, and what is worth saying."""

    organism: str
    said: list[str]
    sets: GeneSets
    own: dict[str, Mask]
    chosen: list[str]

    def masks(self, n_genes: int) -> GeneMasks:
        """All sets, as counts are added up by them."""
        sets = {name: getattr(self.sets, name) for name in KNOWN_SETS} | self.own
        return GeneMasks(n_genes, sets, self.sets.spike_in)


def _decided(tree: AnnDataTree, genes: _Genes) -> _Decided:
    organism, said = decide_organism(tree, genes.organism, genes.symbols)
    return _Decided(organism, said, *_own_sets(tree, find_gene_sets(tree, organism, genes.symbols), genes))


def _own_sets(tree: AnnDataTree, sets: GeneSets, genes: _Genes) -> tuple[GeneSets, dict[str, Mask], list[str]]:
    """The sets with the mitochondrial genes that the user names, other sets, and what is worth saying."""
    labels = symbols_of(tree, genes.symbols)[0]
    notes: list[str] = []
    if genes.mt:
        mask, notes = named_genes(tree, labels, genes.mt, "mitochondrial")
        sets = sets._replace(mt=mask)
    found: dict[str, Mask] = {}
    for name, given in genes.sets.items():
        check_column(name)
        if name in KNOWN_SETS:
            raise DataError(f"gene set {name!r} is there already: give yours another name")
        found[name], said = named_genes(tree, labels, given, name)
        notes = [*notes, *said]
    return sets, found, notes


def _check_called(tree: AnnDataTree) -> list[str]:
    """Raw matrices of all droplets are not taken for cells without a word."""
    if not tree.record.last("ingest").get("droplets") or tree.made("obs/called"):
        return []
    return [
        "these are all droplets, most of them empty, and no call_cells ran: only the limits below tell which are cells"
    ]


def _check_mt(tree: AnnDataTree, sets: GeneSets, organism: str, said: list[str], needed: bool) -> list[str]:
    """Without mitochondrial genes their filter would silently keep every cell: an error, unless it is switched off."""
    if sets.mt.any():
        return []
    if not needed:
        return ["no mitochondrial gene was found, and no filter asked for"]
    hint = "".join(f", such as {name!r}" for name in ("mt", "mito", "MT") if name in tree.columns("var"))
    what = f"no mitochondrial gene of {organism} was found" if organism else said[0]
    what += f" ({'; '.join(said)})" if organism and said else ""
    raise DataError(
        f"{what}; genes are named like {', '.join(tree.names('var')[:3])}. Give organism=, or symbols= (a column of "
        f"var with gene symbols), or mt_genes= (names, a pattern, or a column of var{hint}), or max_pct_mt=100 to do "
        "without that filter"
    )


def _outliers(qc: QC, batches: NDArray[np.int64], limits: _Limits) -> dict[str, Mask]:
    """Masks of cells to drop, by reason; cells without counts have no percentage and go."""
    percent, (*_, max_pct_mt, mads, mads_mt) = qc.percent("mt"), limits
    found = {"much mt": ~(percent < max_pct_mt) if max_pct_mt < 100 else np.isnan(percent)}
    if mads is not None:
        metrics = [np.log1p(qc.total_counts), np.log1p(qc.n_genes)]
        found["outliers"] = np.any([_beyond(metric, qc.cells, batches, mads) for metric in metrics], axis=0)
    if mads_mt is not None:
        found["outliers of mt"] = _beyond(percent, qc.cells, batches, mads_mt, upwards=True)
    return found


def _found_limits(qc: QC, limits: _Limits) -> dict[str, list[float]]:
    """Lowest and highest counts and genes of cells that are no outliers, for drawing."""
    if limits.mads is None:
        return {}
    metrics = {"counts": qc.total_counts, "genes": qc.n_genes}
    ends = {name: mad_limits(np.log1p(values[qc.cells]), limits.mads) for name, values in metrics.items()}
    return {name: [round(float(np.expm1(end)), 3) for end in pair if np.isfinite(end)] for name, pair in ends.items()}


def _beyond(
    values: NDArray[Any], cells: Mask, batches: NDArray[np.int64], mads: float, *, upwards: bool = False
) -> Mask:
    beyond = np.zeros(len(values), bool)
    for batch in np.unique(batches[cells]):
        here = cells & (batches == batch)
        low, high = mad_limits(values[here], mads)
        beyond[here] = (values[here] > high) | ((values[here] < low) & (not upwards))
    return beyond


def _check_left(tree: AnnDataTree, cells: Mask, dropped: dict[str, Mask], limits: str = "") -> None:
    if cells.any():
        return
    reasons = ", ".join(f"{int(mask.sum())} for {name}" for name, mask in dropped.items())
    raise DataError(f"no cell is left: of {tree.n_obs} cells were dropped {reasons}{limits}; loosen the filters")


def _spikes(qc: QC, sets: GeneSets) -> dict[str, Any]:
    """What is said of spike-ins, which count nowhere else."""
    if not sets.spike_in.any():
        return {"n_spike_ins": 0}
    spikes, others = int(qc.set_counts["spike_in"].sum()), int(qc.total_counts.sum())
    percent = 100.0 * spikes / max(spikes + others, 1)
    return {"n_spike_ins": int(sets.spike_in.sum()), "pct_counts_spike_in": round(percent, 4)}


def _said_of_spikes(spikes: dict[str, Any]) -> list[str]:
    if not spikes["n_spike_ins"]:
        return []
    share = f"{spikes['pct_counts_spike_in']:.2g} % of all counts"
    return [f"{spikes['n_spike_ins']} spike-ins (ERCC), {share}, are left out of everything"]


def _write_metrics(draft: TreeDraft, qc: QC, sets: dict[str, Mask], spike_in: Mask, kept: Mask) -> None:
    draft.column("obs", "n_genes", qc.n_genes_detected.astype(np.int32))
    draft.column("obs", "n_genes_by_counts", qc.n_genes.astype(np.int32))
    draft.column("obs", "total_counts", _counts(qc.total_counts))
    if spike_in.any():
        draft.column("obs", "total_counts_spike_in", _counts(qc.set_counts["spike_in"]))
        draft.column("var", "spike_in", spike_in)
    for name in sets:
        draft.column("obs", f"total_counts_{name}", _counts(qc.set_counts[name]))
        draft.column("obs", f"pct_counts_{name}", qc.percent(name).astype(np.float32))
        draft.column("var", name, sets[name])
    draft.column("obs", "kept", kept)
    cells = int(qc.cells.sum())
    draft.column("var", "n_cells_by_counts", qc.n_cells.astype(np.int32))
    draft.column("var", "total_counts", _counts(qc.gene_counts))
    draft.column("var", "mean_counts", (qc.gene_counts / cells).astype(np.float32))
    draft.column("var", "pct_dropout_by_counts", 100.0 * (1.0 - qc.n_cells / cells))
    draft.column("var", "kept", qc.genes)


def _counts(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.int32 if values.max(initial=0) < 1 << 31 else np.int64)


# Doublets of a tree, batch by batch, written where scanpy puts them.


@dataclass
class FoundDoublets:
    """Doublet scores of all batches.

    Parameters
    ----------
    cells
        Mask of the cells that were looked at.
    batch_key
        Column of ``obs`` with their batches, or empty.
    rate
        Fraction of doublets expected.
    scores, predicted
        Of these cells, in order; scores of batches that could not be scored are NaN.
    batches
        What was found in each batch, by its name.
    """

    cells: Mask
    batch_key: str
    rate: float
    scores: NDArray[np.float64]
    predicted: Mask
    batches: dict[str, Doublets] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """Batches without scores or threshold, and why."""
        named = ((f"batch {name}: " if name else "", batch.note) for name, batch in self.batches.items())
        return [f"{prefix}{note}" for prefix, note in named if note]

    def write(self, draft: TreeDraft) -> None:
        """Write scores and calls (`scanpy.pp.scrublet`)."""
        draft.column("obs", "doublet_score", scattered(self.cells, self.scores, np.nan))
        draft.column("obs", "predicted_doublet", scattered(self.cells, self.predicted, False))
        found = {name: self._of_batch(batch) for name, batch in self.batches.items() if len(batch.simulated_scores)}
        if self.batch_key:
            safe = {name.replace("/", "_"): batch for name, batch in found.items()}
            draft.write("uns/scrublet", {"batched_by": self.batch_key, "batches": safe})
        elif found:
            draft.write("uns/scrublet", found[""])

    def _of_batch(self, batch: Doublets) -> dict[str, Any]:
        parameters = {"expected_doublet_rate": self.rate, "sim_doublet_ratio": 2.0, "n_neighbors": batch.n_neighbors}
        members = {"doublet_scores_sim": batch.simulated_scores.astype(np.float32), "parameters": parameters}
        return members if batch.threshold is None else members | {"threshold": batch.threshold}


def find_doublets(
    work: Workdir, tree: AnnDataTree, cells: Mask, genes: Mask, *, batch_key: str, rate: float, seed: int
) -> FoundDoublets:
    """Score cells as doublets, each batch by itself.

    Parameters
    ----------
    work
        The scratch directory.
    tree
        Raw counts.
    cells, genes
        Masks of what to look at.
    batch_key
        Column of ``obs`` with batches; empty if all cells are one.
    rate
        Fraction of doublets expected.
    seed
        Of the doublets that are simulated.
    """
    from stargazer.bio.singlecell.kernels.doublets import scrublet

    codes, names = batch_codes(tree, batch_key, cells)
    found = FoundDoublets(cells, batch_key, rate, np.full(len(codes), np.nan), np.zeros(len(codes), bool))
    for number, name in enumerate(names):
        here = codes == number
        blocks = Blocks(tree, scattered(cells, here, False), genes, cache_bytes(work.memory))
        batch = scrublet(blocks, blocks.shape[1], expected_doublet_rate=rate, seed=seed, threads=work.cpus)
        found.scores[here], found.predicted[here] = batch.scores, batch.predicted
        found.batches[name] = batch
    return found
