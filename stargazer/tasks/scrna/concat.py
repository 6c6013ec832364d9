"""Join samples."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse

from stargazer.assets import AnnData
from stargazer.bio.singlecell.draft import TreeDraft
from stargazer.bio.singlecell.elements import Categories
from stargazer.bio.singlecell.frames import code_type, write_frame
from stargazer.bio.singlecell.genes import ID_COLUMNS
from stargazer.bio.singlecell.joining import join_members
from stargazer.bio.singlecell.kernels.blocks import reblock
from stargazer.bio.singlecell.layout import ASIDE, KEPT, ROWS
from stargazer.bio.singlecell.matrix import MatrixWriter
from stargazer.bio.singlecell.tree import ROWS_AT_ONCE
from stargazer.bio.singlecell.view import table
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.stages import MEMORY, USES, check_column, tree_of
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stargazer.bio.singlecell.matrix import Matrix
    from stargazer.bio.singlecell.tree import AnnDataTree

__all__ = ["concat"]


@task(memory=MEMORY, uses=(*USES, "pandas"))
def concat(
    work: Workdir,
    samples: list[AnnData],
    *,
    batch_key: str = "sample",
    join: Literal["inner", "outer"] = "inner",
    min_common: float = 0.5,
    leave_out_below: int = 0,
) -> AnnData:
    """Join the cells of samples, with a column that says which sample each came from.

    Layers and embeddings that all samples have are joined too; what cannot be is named in a note.

    Parameters
    ----------
    work
        The scratch directory.
    samples
        Raw cells; of filtered ones those that are kept.
    batch_key
        Name of that column of ``obs``; it has the samples' `sample_id`, or their numbers where these are not unique.
    join
        ``"inner"``: genes that all samples have; ``"outer"``: genes of any.
    min_common
        Share of the genes of the sample with most that an inner join must leave; 0 to lose as many as it takes.
    leave_out_below
        Samples with fewer kept cells, and those of another organism than most, are left out and said, rather than
        refused; 0 to leave out none.

    Returns
    -------
    AnnData
        Raw counts; stage ``"raw"``. Cells whose name occurs twice have the sample's added to theirs.

    Raises
    ------
    DataError
        No samples, the same cells twice, two organisms, too few genes in common, or the name cannot be one of a new
        column.
    """
    check_column(batch_key)
    labels = named = _labels(samples)
    given = [sample.sample_id for sample in samples]
    trees = [tree_of(work, sample) for sample in samples]
    left_out = _left_out(samples, trees, labels, leave_out_below) if leave_out_below else {}
    if left_out:
        chosen = [place for place, label in enumerate(labels) if label not in left_out]
        samples, trees = [samples[place] for place in chosen], [trees[place] for place in chosen]
        labels = [labels[place] for place in chosen]
    organisms = {sample.organism for sample in samples} - {""}
    if not samples:
        why = "".join(f"\n  {label}: {reason}" for label, reason in left_out.items())
        raise DataError(f"no sample is left to join{':' if why else '; give at least one'}{why}")
    if len(organisms) > 1:
        raise DataError(f"samples to join are of one organism; these are {len(samples)} of {sorted(organisms)}")
    _check_different(samples, labels)
    genes, notes = _joined_genes([tree.names("var") for tree in trees], labels, join, min_common)
    draft = TreeDraft(work.directory("made") / "joined.zarr")
    n_obs = _join_matrix(draft, "X", [tree.counts for tree in trees], trees, genes, None)
    notes += _unnamed(given, named)
    notes += _write_tables(draft, trees, labels, genes, batch_key)
    notes += join_members(draft, trees, genes, _join_matrix)
    notes = [*(f"sample {label} was left out: {reason}" for label, reason in left_out.items()), *notes]
    remarks = _unlike(trees, labels)
    draft.note("concat", {"samples": labels, "left_out": left_out, "join": join, "notes": notes, "remarks": remarks})
    facts = {"n_obs": n_obs, "n_vars": len(genes), "organism": "".join(organisms), "sample_id": "+".join(labels)}
    return AnnData(path=draft.path, stage="raw", **facts)  # type: ignore[arg-type]


def _labels(samples: Sequence[AnnData]) -> list[str]:
    named = [sample.sample_id for sample in samples]
    return named if all(named) and len(set(named)) == len(named) else [str(n) for n in range(len(samples))]


def _unnamed(given: list[str], labels: list[str]) -> list[str]:
    """Say that numbers stand for samples, and for which."""
    if given == labels:
        return []
    told = ", ".join(f"{label} is {name or 'without sample_id'}" for name, label in zip(given, labels, strict=True))
    return [f"not every sample has a sample_id of its own, and numbers stand for them: {told}"]


def _check_different(samples: Sequence[AnnData], labels: Sequence[str]) -> None:
    """Nobody joins the same cells twice on purpose; the same bytes have the same CID."""
    seen: dict[str, str] = {}
    for sample, label in zip(samples, labels, strict=True):
        for cid in filter(None, {sample.cid, sample.source_cid if sample.stage == "raw" else ""}):
            if seen.setdefault(cid, label) != label:
                raise DataError(f"samples {seen[cid]!r} and {label!r} are the same cells ({cid}): give each once")


def _left_out(
    samples: Sequence[AnnData], trees: Sequence[AnnDataTree], labels: Sequence[str], fewest: int
) -> dict[str, str]:
    """Samples to leave out, and why: those that failed, have few cells, or are of another organism than most."""
    found: dict[str, str] = {}
    for tree, label in zip(trees, labels, strict=True):
        kept = int(tree.kept("obs").sum())
        if kept < fewest:
            failed = tree.record.last("qc_filter").get("failed")
            found[label] = failed or f"{kept} cells are kept, fewer than {fewest}"
    counts = Counter(sample.organism for sample, label in zip(samples, labels, strict=True) if label not in found)
    most = counts.most_common(1)[0][0] if counts else ""
    for sample, label in zip(samples, labels, strict=True):
        if label not in found and sample.organism and most and sample.organism != most:
            found[label] = f"its genes are those of {sample.organism}, and most samples are of {most}"
    return found


def _unlike(trees: Sequence[AnnDataTree], labels: Sequence[str]) -> list[str]:
    """What is worth a remark of samples that are analysed already: only their kept cells are taken, and raw."""
    analysed = [label for tree, label in zip(trees, labels, strict=True) if tree.stage != "raw"]
    return [f"of {', '.join(analysed)} the cells that were kept are taken, with their counts"] if analysed else []


def _joined_genes(names: list[Any], labels: list[str], join: str, least: float) -> tuple[Any, list[str]]:
    """Genes in the order of the first sample, those of later ones after them; and what is lost of whom."""
    if join == "outer":
        return np.array(list(dict.fromkeys(name for each in names for name in each)), dtype=object), []
    common = set(names[0]).intersection(*names[1:])
    lost = [f"{len(each) - len(common)} of {len(each)} of {label}" for each, label in zip(names, labels, strict=True)]
    largest = max(map(len, names))
    if not common or len(common) < least * largest:
        raise DataError(
            f"the samples have {len(common) or 'no'} gene{'s' if len(common) > 1 else ''} in common, and an inner join "
            f"loses {', '.join(lost)}: do all name genes alike ({', '.join(str(each[0]) for each in names)})? If this "
            "is meant: join='outer', or min_common=0"
        )
    kept = np.array([name for name in names[0] if name in common], dtype=object)
    return kept, [] if len(common) == largest else [f"genes that not all samples have are lost: {', '.join(lost)}"]


def _join_matrix(
    draft: TreeDraft, place: str, matrices: Sequence[Matrix], trees: Sequence[AnnDataTree], genes: Any, dtype: Any
) -> int:
    """Write matrices of cells × genes below each other, and return how many rows they have."""
    writer = MatrixWriter(draft.free(place), len(genes), dtype)
    for block in reblock(_blocks(matrices, trees, genes), ROWS):
        writer.append(block)
    writer.finish()
    return writer.rows


def _blocks(matrices: Sequence[Matrix], trees: Sequence[AnnDataTree], genes: Any) -> Iterator[Any]:
    place = {name: number for number, name in enumerate(genes)}
    for matrix, tree in zip(matrices, trees, strict=True):
        column = np.array([place.get(name, -1) for name in tree.names("var")], np.int32)
        for block in matrix.blocks(ROWS_AT_ONCE, tree.kept("obs")):
            yield _moved(block, column, len(genes))


def _moved(block: Any, column: Any, n_genes: int) -> Any:
    """A block whose genes go to other columns; those that go to -1 are left out."""
    columns = column[block.indices]
    known = columns >= 0
    pointers = np.concatenate([[0], np.cumsum(known)])[block.indptr]
    moved = sparse.csr_matrix((block.data[known], columns[known], pointers), shape=(block.shape[0], n_genes))
    moved.sort_indices()
    return moved


def _write_tables(
    draft: TreeDraft, trees: list[AnnDataTree], labels: list[str], genes: Any, batch_key: str
) -> list[str]:
    import pandas as pd

    tables = _with_gaps([_own_columns(tree) for tree in trees])
    told = [*_orders_lost(tables), *_unlike_titles(trees)]
    tables = _with_all_categories(tables)
    codes = np.repeat(np.arange(len(trees)), [len(each) for each in tables])
    obs = pd.concat([_without_index_clash(each) for each in tables], axis=0)
    obs.index.name = tables[0].index.name if len({each.index.name for each in tables}) == 1 else None
    if not obs.index.is_unique:
        names = [f"{name}-{labels[code]}" for name, code in zip(obs.index, codes, strict=True)]
        obs.index = pd.Index(names, dtype=object, name=obs.index.name)
    notes = told + _keep_own(obs, batch_key, np.array(labels, dtype=object)[codes])
    notes += write_frame(draft, "obs", obs)
    draft.column("obs", batch_key, Categories(codes.astype(code_type(len(labels))), np.array(labels, dtype=object)))
    var = pd.concat([_own_genes(tree) for tree in trees], axis=0)
    joined = var[~var.index.duplicated()].reindex(genes)
    joined.index.name = var.index.name
    return [*notes, *_unlike_columns(trees), *_unlike_ids(trees, labels), *write_frame(draft, "var", joined)]


def _with_gaps(tables: list[Any]) -> list[Any]:
    """Tables whose columns of truth values and whole numbers that others lack can have gaps, and stay what they are.

    A donor that a number names would else be ``3`` in one project and ``3.0`` in the next.
    """
    for name in dict.fromkeys(name for each in tables for name in each):
        there = [each for each in tables if name in each]
        kinds = {each[name].dtype for each in there}
        if len(there) < len(tables) and all(isinstance(kind, np.dtype) and kind.kind in "biu" for kind in kinds):
            nullable = {"b": "boolean", "i": "Int64", "u": "UInt64"}.get(_common_kind(kinds))
            for each in there if nullable else ():
                each[name] = each[name].astype(nullable)
    return tables


def _orders_lost(tables: list[Any]) -> list[str]:
    """Say which categories are ordered in samples, but not in all of them alike."""
    lost = []
    for name in dict.fromkeys(name for each in tables for name in each):
        kinds = [each[name].dtype for each in tables if name in each]
        if any(getattr(kind, "ordered", False) for kind in kinds) and len(set(kinds)) > 1:
            lost.append(name)
    return (
        [f"categories of obs columns {', '.join(lost)} have no order: samples order them differently"] if lost else []
    )


def _with_all_categories(tables: list[Any]) -> list[Any]:
    """Tables whose categories that are numbers are the same ones: pandas would join them as numbers."""
    import pandas as pd

    for name in dict.fromkeys(name for each in tables for name in each):
        there = [each for each in tables if name in each]
        kinds = {each[name].dtype for each in there}
        if len(kinds) > 1 and all(_has_numbers(kind) for kind in kinds):
            every = pd.Index(sorted({value for kind in kinds for value in kind.categories}))
            for each in there:
                each[name] = each[name].cat.set_categories(every, ordered=False)
    return tables


def _has_numbers(kind: Any) -> bool:
    return str(kind) == "category" and kind.categories.dtype.kind in "iuf"


def _unlike_titles(trees: Sequence[AnnDataTree]) -> list[str]:
    """Say which names of indices are lost, as samples have different ones."""
    notes = []
    for frame in ("obs", "var"):
        titles = list(dict.fromkeys(str(tree.group[frame].attrs["_index"]) for tree in trees))
        if len(titles) > 1 and "_index" not in titles:
            notes.append(f"the index of {frame} has no name: samples call it {', '.join(titles)}")
    return notes


def _common_kind(kinds: set[Any]) -> str:
    """Letter of the type that holds all of some; truth values beside numbers have none."""
    return "" if len({kind.kind == "b" for kind in kinds}) > 1 else str(np.result_type(*kinds).kind)


def _unlike_ids(trees: Sequence[AnnDataTree], labels: Sequence[str]) -> Iterator[str]:
    """Say which genes go by one name and have different ids: their counts are put together all the same."""
    first: dict[str, tuple[str, str]] = {}
    unlike: dict[str, str] = {}
    for tree, label in zip(trees, labels, strict=True):
        for name, key in _ids(tree):
            other, of = first.setdefault(name, (key, label))
            if other != key:
                unlike.setdefault(name, f"{name} ({other} in {of}, {key} in {label})")
    if unlike:
        shown = ", ".join(list(unlike.values())[:3])
        yield (
            f"{len(unlike)} genes go by one name and have different ids, and their counts are put together: {shown}; "
            "were the samples counted with one annotation?"
        )


def _ids(tree: AnnDataTree) -> Iterator[tuple[str, str]]:
    """Names of genes with their ids, versions left out."""
    column = next((name for name in ID_COLUMNS if name in tree.columns("var")), "")
    if column:
        found = tree.labels("var", column)
        for name, code in zip(tree.names("var"), found.codes, strict=True):
            if code >= 0 and (key := str(found.names[code]).partition(".")[0]):
                yield name, key


REMADE = ("qc_filter", "normalize", "call_cells")
STAYING = ("doublet_score", "predicted_doublet")


def _own_columns(tree: AnnDataTree) -> Any:
    """Kept cells with all that is known of them, but for measures that are made anew of joined cells."""
    found = table(tree, "obs", derived=False)
    made = [name for name in found if tree.record.owner(f"obs/{name}").partition(".")[0] in REMADE]
    return found.drop(columns=[name for name in made if name not in STAYING])


def _own_genes(tree: AnnDataTree) -> Any:
    """All genes with what came with the file: what stages made of them is made anew."""
    found = table(tree, "var", derived=False, every=True)
    return found.drop(columns=[name for name in found if tree.made(f"var/{name}")])


def _without_index_clash(frame: Any) -> Any:
    return frame.rename_axis(index=None)


def _keep_own(obs: Any, batch_key: str, labels: Any) -> list[str]:
    """A column that samples have under the name of the new one goes by another, unless it says the same."""
    if batch_key not in obs:
        return []
    values = obs.pop(batch_key)
    if (values.astype(str).to_numpy() == labels.astype(str)).all():
        return []
    name, number = f"{batch_key}_{ASIDE}", 1
    while name in obs:
        number += 1
        name = f"{batch_key}_{ASIDE}_{number}"
    obs[name] = values
    return [f"column {batch_key!r} of the samples is now {name!r}: {batch_key!r} says which sample a cell is from"]


def _unlike_columns(trees: list[AnnDataTree]) -> list[str]:
    """Columns of ``obs`` that some samples lack: their cells have a gap there."""
    names = [set(_own_columns(tree)) for tree in trees]
    every = names[0].intersection(*names[1:])
    some = sorted(names[0].union(*names[1:]) - every - {KEPT})
    return [f"not all samples have obs columns {', '.join(some)}: cells of the others have gaps there"] if some else []
