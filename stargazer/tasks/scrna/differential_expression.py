"""Genes that differ between conditions, donors being what is compared.

References
----------
Love MI, Huber W, Anders S. Moderated estimation of fold change and dispersion for RNA-seq data with DESeq2. Genome
Biology 15, 550 (2014). Muzellec B et al. PyDESeq2: a python package for bulk RNA-seq differential expression analysis.
Bioinformatics 39, btad547 (2023).
"""

from __future__ import annotations

import warnings
from csv import QUOTE_NONE
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stargazer.assets import DifferentialExpression, Pseudobulk, PseudobulkDesign
from stargazer.bio.singlecell.kernels.threads import one_blas_thread
from stargazer.calls import task
from stargazer.errors import DataError, ToolMissing
from stargazer.tasks.scrna.stages import MEMORY
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Sequence
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
    on_failure: Literal["error", "mark"] = "error",
) -> DifferentialExpression:
    """Compare two conditions in each cluster by PyDESeq2 (negative binomial model, Wald test).

    A cluster that cannot be compared is left out, and ``left_out`` of the result says why; the others stay.

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
        Columns of the design to account for, such as a batch. Their values are categories.
    min_counts
        Counts over all bulks of a cluster that a gene needs.
    alpha
        Adjusted p-value below which a test counts as significant.
    on_failure
        ``"mark"``: where no cluster at all can be compared, the table has no rows, rather than that the call fails.

    Returns
    -------
    DifferentialExpression
        A row a cluster and gene. P-values are adjusted within a cluster.

    Raises
    ------
    DataError
        No such condition, cluster or covariate, or no cluster can be compared.
    ToolMissing
        PyDESeq2 is not installed.
    """
    import pandas as pd

    design, counts = bulk.design(), bulk.table()
    _check(design, tested, reference, groups, covariates)
    two = design[design["condition"].isin((tested, reference))]
    left_out = _too_few(design, groups, tested, reference)
    tables = []
    for name in (name for name in _names(design, groups) if name not in left_out):
        chosen = two[two["group"] == name]
        mine = counts[chosen.index]
        try:
            found = _compared(mine[mine.sum(axis=1) >= min_counts], chosen, tested, reference, covariates, alpha)
        except DataError as error:
            left_out[name] = str(error)
        else:
            tables.append(found.assign(group=name))
    left_out = _in_order(left_out, bulk, groups)
    if not tables and on_failure == "error":
        raise DataError(_nothing(left_out))
    for name, why in left_out.items():
        work.warn(f"cluster {name} is not compared ({tested} against {reference}): {why}")
    path = work.file("differential_expression.tsv")
    joined = pd.concat(tables).rename_axis("gene").reset_index() if tables else pd.DataFrame(columns=["gene"])
    joined = joined.reindex(columns=["group", "gene", *COLUMNS])
    joined.to_csv(path, sep="\t", index=False, float_format="%.9g", na_rep="NA", quoting=QUOTE_NONE)
    facts: dict[str, Any] = {"tested": tested, "reference": reference, "alpha": alpha, "sample_id": bulk.sample_id}
    facts |= {"condition_key": bulk.condition_key, "n_significant": int((joined["padj"] < alpha).sum())}
    return DifferentialExpression(path=path, pseudobulk_cid=bulk.cid or "", left_out=left_out, **facts)


@task(memory=MEMORY, uses=("numpy", "pandas"))
def split_pseudobulk(
    work: Workdir,
    bulk: Pseudobulk,
    *,
    tested: str,
    reference: str,
    groups: list[str] | None = None,
    on_failure: Literal["error", "mark"] = "error",
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
    on_failure
        ``"mark"``: there are no parts where no bulk has one of the conditions (its samples failed), rather than that
        the call fails.

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
    beside = _lines(bulk.companion(PseudobulkDesign).path)
    lines = _lines(bulk.path)
    design = bulk.design()
    if on_failure == "error" or {tested, reference} <= set(design["condition"]):
        _check(design, tested, reference, groups, [])
    two = design[design["condition"].isin((tested, reference))]
    too_few = _too_few(design, groups, tested, reference)
    parts = []
    for number, name in enumerate(_names(design, groups)):
        if name in too_few:
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


def _lines(path: Path) -> list[str]:
    """Lines of a table; of all that some call the end of a line only a line feed is one."""
    return path.read_text("utf-8").removesuffix("\n").split("\n")


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
    groups: list[str] | None = None,
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
    tested, reference, groups, alpha
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
    design = bulk.design()
    left_out = _too_few(design, groups, tested, reference)
    left_out |= {name: why for part in parts for name, why in part.left_out.items()}
    left_out = _in_order(left_out, bulk, groups)
    facts: dict[str, Any] = {"tested": tested, "reference": reference, "alpha": alpha, "sample_id": bulk.sample_id}
    facts |= {"condition_key": bulk.condition_key, "n_significant": sum(part.n_significant for part in parts)}
    return DifferentialExpression(path=path, pseudobulk_cid=bulk.cid or "", left_out=left_out, **facts)


def _names(design: pd.DataFrame, groups: list[str] | None) -> list[str]:
    """Clusters that are asked for, in their order."""
    return [name for name in dict.fromkeys(design["group"]) if groups is None or name in groups]


def _in_order(left_out: dict[str, str], bulk: Pseudobulk, groups: list[str] | None) -> dict[str, str]:
    """Clusters that are not compared, in their order; last those that have no bulk at all."""
    found = {name: left_out[name] for name in _names(bulk.design(), groups) if name in left_out}
    return found | {name: why for name, why in bulk.left_out.items() if groups is None or name in groups}


def _too_few(design: pd.DataFrame, groups: list[str] | None, tested: str, reference: str) -> dict[str, str]:
    """Why clusters without two donors in each condition are not compared."""
    found = {}
    for name in _names(design, groups):
        numbers = {each: _donors(design, name, each) for each in (tested, reference)}
        if min(numbers.values()) < FEWEST_DONORS:
            told = " and ".join(f"{number} with {each!r}" for each, number in numbers.items())
            found[name] = f"of its donors {told} have a bulk, and {FEWEST_DONORS} each are wanted"
    return found


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


def _donors(design: pd.DataFrame, group: str, condition: str) -> int:
    return int(design.loc[(design["group"] == group) & (design["condition"] == condition), "donor"].nunique())


def _nothing(left_out: dict[str, str]) -> str:
    why = "".join(f"\n  cluster {name}: {reason}" for name, reason in left_out.items())
    return (
        f"no cluster can be compared:{why}\nConditions are compared over donors; cells of one donor are no independent "
        "samples"
    )


def _compared(
    counts: pd.DataFrame, design: pd.DataFrame, tested: str, reference: str, covariates: Sequence[str], alpha: float
) -> pd.DataFrame:
    """Wald tests of one cluster.

    Raises
    ------
    DataError
        Why they cannot be made.
    """
    try:
        from pydeseq2.dds import DeseqDataSet
        from pydeseq2.default_inference import DefaultInference
        from pydeseq2.ds import DeseqStats
    except ModuleNotFoundError as error:
        hint = "pip install 'stargazer-dask[bulk]'"
        raise ToolMissing(f"differential expression needs {error.name}, which is not installed: {hint}") from error
    if not len(counts):
        raise DataError("no gene has as many counts as min_counts= asks for")
    table = _terms(design, covariates)
    inference: Any = DefaultInference(n_cpus=1)
    try:
        with warnings.catch_warnings(), one_blas_thread(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            data = DeseqDataSet(
                counts=counts.T, metadata=table, design=f"~{' + '.join(table)}", inference=inference, quiet=True
            )
            data.deseq2()
            found = DeseqStats(
                data, contrast=["condition", tested, reference], alpha=alpha, inference=inference, quiet=True
            )
            found.summary()
    except MemoryError:
        raise
    except Exception as error:
        raise DataError(f"PyDESeq2 cannot compare the conditions ({type(error).__name__}: {error})") from error
    table_of: pd.DataFrame = found.results_df[list(COLUMNS)]
    return table_of


def _terms(design: pd.DataFrame, covariates: Sequence[str]) -> pd.DataFrame:
    """The terms of the model, the condition last, under names that a formula can have: ``1-x`` would be none of it.

    Raises
    ------
    DataError
        They leave nothing of the condition, or nothing to tell chance by.
    """
    import pandas as pd

    used = [name for name in covariates if design[name].nunique() > 1]
    terms = pd.DataFrame({f"term{place}": design[name].astype(str) for place, name in enumerate(used)})
    terms = pd.concat([terms, design[["condition"]].astype(str)], axis=1)
    columns = [pd.get_dummies(terms[name], drop_first=True).to_numpy(float) for name in terms]
    model = np.column_stack([np.ones(len(terms)), *columns])
    if np.linalg.matrix_rank(model) < model.shape[1]:
        told = ", ".join(used)
        raise DataError(f"the condition cannot be told from {told}: leave out what goes together with it")
    if len(model) <= model.shape[1]:
        raise DataError(
            f"{len(model)} bulks are too few for a model of {model.shape[1]} terms ({', '.join([*used, 'condition'])})"
        )
    return terms
