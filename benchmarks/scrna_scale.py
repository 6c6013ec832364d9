"""Memory and time against cells, up to a million: ``python -m benchmarks.scrna_scale [CELLS…]``.

Two ways: raw counts to components and exact neighbours, 3,900 counts that are not zero in a cell; and raw counts to
clusters and markers, 50 batches of 1,450 such counts a cell, approximate neighbours, no UMAP. Memory stands beside what
the counts alone take in memory (values and columns of 4 bytes). Aims: 100,000 cells to components in 1 GB, a million to
clusters and markers in 6 GB and 12 minutes.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.rounds import PROGRAMS, Bounds, Ended, Ratio, compare, process, temporary
from stargazer.bio.simulate.cells import Population, simulate_cells
from stargazer.bio.singlecell.matrix import Matrix

__all__ = ["measure"]

SIZES = 10_000, 30_000, 100_000, 1_000_000
MOST_EXACT = 100_000
MOST_SECONDS = 7_200.0
WAYS = {
    "components": (Population(), ["--to-components", "--no-doublets"]),
    "clusters": (
        Population(depth=2_000.0, n_batches=50),
        ["--batches", "--no-doublets", "--approximate", "--no-umap", "--no-report"],
    ),
}
AIMS = {("components", 100_000): 1.0, ("clusters", 1_000_000): 6.0}
AIM_MINUTES = 12.0
"""Of a million cells."""


def measure(quick: bool = False, sizes: Sequence[int] = SIZES) -> Iterator[Ratio]:
    """Yield each figure as it is known.

    Parameters
    ----------
    quick
        Few cells: for trying out, not for quoting.
    sizes
        Numbers of cells.
    """
    with temporary() as directory:
        for way in WAYS:
            least: tuple[int, float] | None = None
            for n_cells in (1_000, 2_000) if quick else sizes:
                if way == "components" and n_cells > MOST_EXACT:
                    continue
                ended, counts = _analysed(directory, way, n_cells)
                case = f"{n_cells:,} cells to {way}{f', stopped {ended.stopped}' if ended.stopped else ''}"
                peak = [ended.printed["peak"] / 1e9]
                aim = AIMS.get((way, n_cells))
                yield compare("scrna_scale", f"{case}: memory", "the counts", peak, [counts], "GB", aim=aim, of="ours")
                each = 1e3 * ended.spent.wall / n_cells
                least = least or (n_cells, each)
                aim = 60e3 * AIM_MINUTES / n_cells if n_cells == SIZES[-1] else None
                told = f"{case}: time a cell", f"{least[0]:,} cells"
                yield compare("scrna_scale", *told, [each], [least[1]], "ms", aim=aim, of="ours" if aim else "ratio")


def _analysed(directory: Path, way: str, n_cells: int) -> tuple[Ended, float]:
    """Simulate and analyse cells, each in a process of its own; and GB of their counts."""
    population, flags = WAYS[way]
    cells, store = directory / "cells.zarr", directory / f"store-{way}-{n_cells}"
    simulate_cells(cells, n_cells, population)
    counts = Matrix(cells / "X").entries * 8 / 1e9
    bounds = Bounds(Bounds.of_machine().memory, MOST_SECONDS)
    ended = process(PROGRAMS / "scrna_stargazer.py", cells, store, *flags, bounds=bounds)
    if ended.stopped:
        ended.printed["peak"] = max(bounds.memory, ended.printed["peak"])
    shutil.rmtree(cells)
    shutil.rmtree(store, ignore_errors=True)
    return ended, counts


def main() -> None:
    """Print the measurements as JSON."""
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    for ratio in measure(sizes=sizes):
        print(json.dumps(ratio.to_dict()), flush=True)


if __name__ == "__main__":
    main()
