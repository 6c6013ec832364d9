"""Genes that differ between conditions, donors being what is compared.

References
----------
Love MI, Huber W, Anders S. Moderated estimation of fold change and dispersion for RNA-seq data with DESeq2. Genome
Biology 15, 550 (2014). Muzellec B et al. PyDESeq2: a python package for bulk RNA-seq differential expression analysis.
Bioinformatics 39, btad547 (2023).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.assets import DifferentialExpression, Pseudobulk, PseudobulkDesign
from stargazer.bio.singlecell.kernels.threads import one_blas_thread
from stargazer.calls import task
from stargazer.errors import DataError, ToolMissing
from stargazer.tasks.scrna.stages import MEMORY
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

__all__ = ["differential_expression", "join_differences", "split_pseudobulk"]

COLUMNS = ("baseMean", "log2FoldChange", "lfcSE", "stat", "pvalue", "padj")
FEWEST_DONORS = 2


@task(cpus=1, memory=MEMORY, uses=("numpy", "pandas", "pydeseq2", "scipy", "statsmodels"))
def differential_expression(
    work: Workdir,
    bulk: Pseudobulk,
    *,
    tested: str,
    reference: str,
    groups: list[str] | None = None,
    covariates: list[str] = [],  # noqa: B006
    min_counts: int = 10,
    alpha: float = 0.05,
) -> DifferentialExpression:
    """Compare two conditions in each cluster by PyDESeq2 (negative binomial model, Wald test).

    Parameters
    ----------
    work
        The scratch directory.
    bulk
        From `pseudobulk`.
    tested, reference
        Two conditions; a positive fold change is more in the tested one.
    groups
        Clusters to look at; all if None. Those with fewer than two donors in a condition are left out.
    covariates
        Columns of the design to account for, such as a batch.
    min_counts
        Counts over all bulks of a cluster that a gene needs.
    alpha
        Adjusted p-value below which a test counts as significant.

    Returns
    -------
    DifferentialExpression
        A row a cluster and gene. P-values are adjusted within a cluster.

    Raises
    ------
    DataError
        No such condition, cluster or covariate, or no cluster has two donors in each condition.
    ToolMissing
        PyDESeq2 is not installed.
    """
    import pandas as pd

    design = pd.read_csv(bulk.companion(PseudobulkDesign).path, sep="\t", index_col=0, dtype=str, keep_default_na=False)
    counts = pd.read_csv(bulk.path, sep="\t", index_col=0)
    _check(design, tested, reference, groups, covariates)
    names = [name for name in dict.fromkeys(design["group"]) if groups is None or name in groups]
    two = design[design["condition"].isin((tested, reference))]
    enough = [name for name in names if _donors(two, name, (tested, reference)) >= FEWEST_DONORS]
    if not enough:
        raise DataError(
            f"no cluster has {FEWEST_DONORS} donors with {tested!r} and {FEWEST_DONORS} with {reference!r}: conditions "
            "are compared over donors; cells of one donor are no independent samples"
        )
    tables = []
    for name in enough:
        chosen = two[two["group"] == name]
        mine = counts[chosen.index]
        mine = mine[mine.sum(axis=1) >= min_counts]
        tables.append(_compared(mine, chosen, tested, reference, covariates, alpha).assign(group=name))
    joined = pd.concat(tables)
    path = work.file("differential_expression.tsv")
    joined = joined.rename_axis("gene").reset_index()[["group", "gene", *COLUMNS]]
    joined.to_csv(path, sep="\t", index=False, float_format="%.9g", na_rep="NA")
    facts: dict[str, Any] = {"tested": tested, "reference": reference, "alpha": alpha, "sample_id": bulk.sample_id}
    facts |= {"condition_key": bulk.condition_key, "n_significant": int((joined["padj"] < alpha).sum())}
    return DifferentialExpression(path=path, pseudobulk_cid=bulk.cid or "", **facts)


@task(memory=MEMORY, uses=("numpy", "pandas"))
def split_pseudobulk(
    work: Workdir, bulk: Pseudobulk, *, tested: str, reference: str, groups: list[str] | None = None
) -> list[Pseudobulk]:
    """Take the bulks of each cluster apart that two conditions can be compared in, so that each is compared by itself.

    A part is of its own bulks and of nothing else: where cells of another cluster change, it stays the same bytes, and
    what was computed of it holds.

    Parameters
    ----------
    work
        The scratch directory.
    bulk
        From `pseudobulk`.
    tested, reference, groups
        As for `differential_expression`.

    Returns
    -------
    list[Pseudobulk]
        Those of clusters with two donors or more in each condition, in the order of the clusters; none if there are
        none.

    Raises
    ------
    DataError
        No such condition or cluster.
    """
    beside = bulk.companion(PseudobulkDesign).path.read_text("utf-8").splitlines()
    lines = bulk.path.read_text("utf-8").splitlines()
    design = _design(bulk)
    _check(design, tested, reference, groups, [])
    two = design[design["condition"].isin((tested, reference))]
    parts = []
    for number, name in enumerate(dict.fromkeys(design["group"])):
        if (groups is not None and name not in groups) or _donors(two, name, (tested, reference)) < FEWEST_DONORS:
            continue
        mine = set(two.index[two["group"] == name])
        folder = work.directory(f"part{number}")
        table = _chosen_columns(folder / "pseudobulk.tsv", lines, mine)
        rows = [beside[0], *(line for line in beside[1:] if line.partition("\t")[0] in mine)]
        (folder / "pseudobulk.design.tsv").write_text("\n".join(rows) + "\n", "utf-8")
        companion = PseudobulkDesign(path=folder / "pseudobulk.design.tsv", sample_id=bulk.sample_id)
        facts = {"groupby": bulk.groupby, "donor_key": bulk.donor_key, "condition_key": bulk.condition_key}
        sizes = {"n_bulks": len(mine), "n_genes": bulk.n_genes}
        parts.append(
            Pseudobulk(path=table, companions=(companion,), sample_id=bulk.sample_id, **facts, **sizes)  # type: ignore[arg-type]
        )
    return parts


def _chosen_columns(path: Path, lines: list[str], chosen: set[str]) -> Path:
    """Write the columns of a table that have some names, and the first."""
    heads = lines[0].split("\t")
    places = [place for place, head in enumerate(heads) if place == 0 or head in chosen]
    with open(path, "w", encoding="utf-8") as file:
        for line in lines:
            fields = line.split("\t")
            file.write("\t".join(fields[place] for place in places) + "\n")
    return path


@task(memory=MEMORY, uses=())
def join_differences(
    work: Workdir,
    bulk: Pseudobulk,
    parts: list[DifferentialExpression],
    *,
    tested: str,
    reference: str,
    alpha: float = 0.05,
) -> DifferentialExpression:
    """Put tables of clusters below each other: what `differential_expression` gives of all of them at once.

    Parameters
    ----------
    work
        The scratch directory.
    bulk
        What was split.
    parts
        The table of each cluster; none if no cluster could be compared.
    tested, reference, alpha
        As for `differential_expression`.

    Returns
    -------
    DifferentialExpression
        A row a cluster and gene.
    """
    path = work.file("differential_expression.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\t".join(("group", "gene", *COLUMNS)) + "\n")
        for part in parts:
            file.write(part.path.read_text("utf-8").partition("\n")[2])
    facts: dict[str, Any] = {"tested": tested, "reference": reference, "alpha": alpha, "sample_id": bulk.sample_id}
    facts |= {"condition_key": bulk.condition_key, "n_significant": sum(part.n_significant for part in parts)}
    return DifferentialExpression(path=path, pseudobulk_cid=bulk.cid or "", **facts)


def _design(bulk: Pseudobulk) -> pd.DataFrame:
    import pandas as pd

    path = bulk.companion(PseudobulkDesign).path
    return pd.read_csv(path, sep="\t", index_col=0, dtype=str, keep_default_na=False)


def _check(design: pd.DataFrame, tested: str, reference: str, groups: list[str] | None, covariates: list[str]) -> None:
    for what, wanted, there in (
        ("condition", {tested, reference}, set(design["condition"])),
        ("cluster", set(groups or []), set(design["group"])),
        ("covariate", set(covariates), set(design.columns) - {"group", "donor", "condition", "n_cells"}),
    ):
        missing = sorted(wanted - there)
        if missing:
            raise DataError(f"there is no {what} {', '.join(missing)}; there are: {', '.join(sorted(there)) or 'none'}")
    if tested == reference:
        raise DataError(f"{tested!r} cannot be compared with itself")


def _donors(design: pd.DataFrame, group: str, conditions: tuple[str, str]) -> int:
    """Donors of the condition that has fewer."""
    mine = design[design["group"] == group]
    return min(int(mine.loc[mine["condition"] == each, "donor"].nunique()) for each in conditions)


def _compared(
    counts: pd.DataFrame, design: pd.DataFrame, tested: str, reference: str, covariates: list[str], alpha: float
) -> pd.DataFrame:
    """Wald tests of one cluster."""
    try:
        from pydeseq2.dds import DeseqDataSet
        from pydeseq2.default_inference import DefaultInference
        from pydeseq2.ds import DeseqStats
    except ModuleNotFoundError as error:
        hint = "pip install 'stargazer-dask[bulk]'"
        raise ToolMissing(f"differential expression needs {error.name}, which is not installed: {hint}") from error
    terms = [name for name in covariates if design[name].nunique() > 1]
    table = design[["condition", *terms]].astype(str)
    inference: Any = DefaultInference(n_cpus=1)
    try:
        with warnings.catch_warnings(), one_blas_thread(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            data = DeseqDataSet(
                counts=counts.T, metadata=table, design=f"~{' + '.join([*terms, 'condition'])}", inference=inference,
                quiet=True,
            )  # fmt: skip
            data.deseq2()
            found = DeseqStats(
                data, contrast=["condition", tested, reference], alpha=alpha, inference=inference, quiet=True
            )
            found.summary()
    except (ValueError, KeyError, np.linalg.LinAlgError, IndexError) as error:
        raise DataError(f"cluster {design['group'].iloc[0]}: conditions cannot be compared ({error})") from error
    table_of: pd.DataFrame = found.results_df[list(COLUMNS)]
    return table_of
