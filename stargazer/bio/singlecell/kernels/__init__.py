"""Numeric kernels of the single-cell tasks: arrays in, arrays out, no files.

Every kernel takes counts as CSR row blocks (cells × genes), explicit seeds and a number of threads, and gives the same
bits for any number of threads and any size of block: sums run in a fixed order, and BLAS works on one thread a block.

===============  =====================================================================================
module           what it computes
===============  =====================================================================================
`blocks`         row blocks: slicing, masks, size factors, log-normalised values
`checks`         counts that are no counts, refused
`columns`        gene blocks of a matrix that comes in row blocks
`qc`             QC metrics of cells and genes, with the count filters
`moments`        means and variances of genes, a batch at a time
`hvg`            highly variable genes
`pca`            principal components from a covariance matrix
`neighbors`      exact nearest neighbours; `approximate` for very many cells, when asked for
`connectivities` fuzzy simplicial set (UMAP's weights) of a neighbour graph
`cluster`        Leiden communities, Harmony
`embedding`      UMAP coordinates; `spectral` gives them their start
`ranksum`        marker genes by the Wilcoxon rank-sum test, one group against the rest
`markers`        what tests of marker genes give; t-tests
`doublets`       Scrublet scores; `zscores` is a step of theirs, `threshold` calls by them
===============  =====================================================================================
"""
