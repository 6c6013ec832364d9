"""Trees of cells: annotated matrices as zarr v3 directories in which stages share what they do not change.

A tree is read by plain `anndata.read_zarr`, which gives all cells and genes with raw counts, and by `open_tree`,
which applies the masks and puts everything where scanpy puts it. `docs/scrna.md` has the layout.
"""
