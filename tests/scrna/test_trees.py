"""Trees of cells: what plain anndata reads, what stages share, how counts are encoded."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
import zarr
from scipy import sparse
from scrna_stages import tree_of

from stargazer.assets import AnnData
from stargazer.bio.singlecell.draft import TreeDraft
from stargazer.bio.singlecell.elements import Categories, read_element
from stargazer.bio.singlecell.layout import ROWS
from stargazer.bio.singlecell.matrix import Matrix, MatrixWriter, write_matrix
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.errors import DataError


def counts(rows: int, columns: int, largest: int = 9, seed: int = 0) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    matrix = sparse.random(rows, columns, 0.1, format="csr", rng=rng)
    matrix.data = rng.integers(1, largest + 1, len(matrix.data))
    return matrix


def small_tree(path: Path, matrix: sparse.csr_matrix) -> AnnDataTree:
    draft = TreeDraft(path)
    draft.matrix("X", matrix)
    draft.frame("obs", np.array([f"c{i}" for i in range(matrix.shape[0])], object))
    draft.frame("var", np.array([f"g{i}" for i in range(matrix.shape[1])], object))
    draft.note("ingest", {})
    return AnnDataTree(path)


@pytest.mark.parametrize(("largest", "kind"), [(255, np.uint8), (256, np.uint16), (70_000, np.uint32)])
def test_counts_take_the_smallest_type_that_holds_them_all(tmp_path: Path, largest: int, kind: type) -> None:
    matrix = counts(2 * ROWS + 10, 40)
    matrix.data[-1] = largest  # met in the last block, when others have been written already
    tree = small_tree(tmp_path / "t.zarr", matrix)
    assert tree.counts.dtype == kind
    assert (tree.counts.read() != matrix).nnz == 0
    assert sorted(each.name for each in (tmp_path / "t.zarr" / "X").iterdir()) == [
        "data",
        "indices",
        "indptr",
        "zarr.json",
    ]


@pytest.mark.parametrize("rows", [1, 700, 4_999, 5_000, 12_345])
def test_blocks_of_any_size_are_the_rows(tmp_path: Path, rows: int) -> None:
    matrix = counts(12_345, 30)
    tree = small_tree(tmp_path / "t.zarr", matrix)
    wanted = np.random.default_rng(1).random(12_345) < 0.3
    wanted[2_000:9_000] = False
    step = rows if rows > 1 else 5_001
    assert (sparse.vstack(list(tree.counts.blocks(step))) != matrix).nnz == 0
    assert (sparse.vstack(list(tree.counts.blocks(step, wanted))) != matrix[wanted]).nnz == 0
    assert (tree.counts.block(4_990, 5_020) != matrix[4_990:5_020]).nnz == 0


def test_a_short_block_in_the_middle_is_refused(tmp_path: Path) -> None:
    draft = TreeDraft(tmp_path / "t.zarr")
    writer = MatrixWriter(draft.free("X"), 5)
    writer.append(counts(10, 5))
    with pytest.raises(DataError, match="not the last"):
        writer.append(counts(10, 5))


def test_files_that_begin_with_the_same_cells_share_chunks(tmp_path: Path) -> None:
    matrix = counts(4 * ROWS, 2_000)
    write_matrix(TreeDraft(tmp_path / "a.zarr").free("X"), matrix)
    write_matrix(TreeDraft(tmp_path / "b.zarr").free("X"), sparse.vstack([matrix, counts(600, 2_000, seed=1)]).tocsr())
    chunks = [sorted((tmp_path / f"{name}.zarr" / "X" / "indices" / "c").iterdir()) for name in "ab"]
    assert len(chunks[0]) > 2
    assert [each.read_bytes() for each in chunks[0][:-1]] == [
        each.read_bytes() for each in chunks[1][: len(chunks[0]) - 1]
    ]


def test_elements_come_back_and_anndata_reads_them_too(tmp_path: Path) -> None:
    small_tree(tmp_path / "base.zarr", counts(6, 4))
    draft = TreeDraft(tmp_path / "t.zarr", AnnDataTree(tmp_path / "base.zarr"))
    labels = Categories(np.array([0, 1, -1, 1, 0, 0], np.int8), np.array(["α", "b"], object))
    draft.column("obs", "type", labels)
    draft.column("obs", "name", np.array(list("uvwxyz"), object))
    draft.column("obs", "fine", np.array([True, False] * 3))
    draft.write("obsm/X_pca", np.arange(12, dtype=np.float32).reshape(6, 2))
    draft.write(
        "uns/some", {"text": "é", "number": 3, "real": 2.5, "yes": True, "none": np.zeros(0), "in": {"a": [1, 2]}}
    )
    adata = anndata.read_zarr(tmp_path / "t.zarr")
    assert adata.obs["type"].astype(object).where(adata.obs["type"].notna(), "-").tolist() == ["α", "b", "-", *"bαα"]
    assert adata.obs["name"].tolist() == list("uvwxyz")
    assert adata.obs["fine"].tolist() == [True, False] * 3
    assert adata.obsm["X_pca"][5].tolist() == [10.0, 11.0]
    some = adata.uns["some"]
    assert (some["text"], some["number"], some["real"], bool(some["yes"])) == ("é", 3, 2.5, True)
    tree = AnnDataTree(tmp_path / "t.zarr")
    assert tree.columns("obs") == ["type", "name", "fine"]
    assert tree.column("obs", "type").codes.tolist() == [0, 1, -1, 1, 0, 0]
    assert read_element(tree.group["uns"], "some")["in"]["a"].tolist() == [1, 2]


def test_a_column_that_is_not_there_is_named_with_those_that_are(simulated: AnnData) -> None:
    with pytest.raises(DataError, match=r"no column 'lieden' in obs; there are: cell_type, batch"):
        tree_of(simulated).column("obs", "lieden")


def test_a_draft_shares_what_it_does_not_write(tmp_path: Path) -> None:
    base = small_tree(tmp_path / "base.zarr", counts(6, 4))
    before = {path: path.read_bytes() for path in base.path.rglob("*") if path.is_file()}
    draft = TreeDraft(tmp_path / "next.zarr", base, "qc_filter")
    draft.column("obs", "kept", np.ones(6, bool))
    draft.column("obs", "kept", np.zeros(6, bool))
    draft.note("qc_filter", {"a": 1})
    assert (draft.path / "X").is_symlink()
    assert (draft.path / "obs" / "_index").is_symlink()
    assert not (draft.path / "obs").is_symlink()
    assert {path: path.read_bytes() for path in before} == before
    assert base.columns("obs") == []
    assert list(AnnDataTree(draft.path).stages()) == ["ingest", "qc_filter"]
    assert not AnnDataTree(draft.path).kept("obs").any()


def test_a_folder_that_is_no_tree_is_refused(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "z.zarr"), mode="w")
    with pytest.raises(DataError, match="no tree of cells"):
        AnnDataTree(tmp_path / "z.zarr")


def test_a_tree_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "t.zarr", counts(6, 4))
    draft = TreeDraft(tmp_path / "u.zarr", tree)
    draft.write("uns/stargazer/format", 99)
    with pytest.raises(DataError, match="format 99"):
        AnnDataTree(tmp_path / "u.zarr")


def test_an_empty_matrix_has_no_entries(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "t.zarr", sparse.csr_matrix((3, 2), dtype=np.uint8))
    assert isinstance(tree.counts, Matrix)
    assert tree.counts.read().nnz == 0
    assert anndata.read_zarr(tree.path).shape == (3, 2)
