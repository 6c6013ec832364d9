"""Command-line tools that live in Python packages: ``python -m stargazer.embedded TOOL ARGUMENTS``.

samtools, bcftools, tabix and bgzip are the programs inside pysam, bwa the library inside pybwa. Both hold the
interpreter's lock while they work, so they run in processes of their own; that also lets them be piped.
Nothing here imports the rest of the package, Dask or fsspec: starting a tool costs what its own package costs.
"""
