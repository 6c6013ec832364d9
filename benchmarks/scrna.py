"""From raw counts to markers and a report, beside the same steps in plain scanpy, in one process or with files between.

Both begin with one ``.h5ad`` of simulated cells and end with everything on disk; ours draws the report too. Up to
20,000 cells planted doublets are sought; at 100,000 (and once more at 20,000) both sides go without, for scanpy would
need some 55 GB. A program that takes all of the machine's memory or an hour is stopped, and its figures are what it had
taken until then. Aims: at most 0.25 × scanpy's processor time at 20,000 cells with doublets, 0.8 × without; 1.5 GB at
100,000; doublet scores no worse than scanpy's.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rounds import PROGRAMS, Bounds, Ended, Ratio, compare, in_turns, process, temporary
from stargazer.bio.simulate.agreement import adjusted_rand_index, agreement, area_under_curve
from stargazer.bio.simulate.cells import Population, simulate_cells

__all__ = ["measure", "written"]

AIMS = {("CPU", 20_000, True): 0.25, ("CPU", 20_000, False): 0.8, ("memory", 100_000, False): 1_500.0}
AUC, ARI = 0.95, 0.95


def measure(*, quick: bool = False) -> Iterator[Ratio]:
    """Yield each ratio as it is known.

    Parameters
    ----------
    quick
        One size, one round, few genes: for trying out, not for quoting.
    """
    with temporary() as directory:
        if quick:
            cells = written(directory, 800, Population(n_genes=2_000, n_types=4, n_markers=30, depth=2_500.0))
            yield from Sizes(directory, cells, 800, 1).ratios(doublets=True)
            return
        for n_cells, rounds, modes in ((3_000, 3, (True,)), (20_000, 1, (True, False)), (100_000, 1, (False,))):
            cells = written(directory, n_cells, Population())
            for doublets in modes:
                yield from Sizes(directory, cells, n_cells, rounds).ratios(doublets=doublets)
            cells.unlink()


def written(directory: Path, n_cells: int, population: Population) -> Path:
    """A ``.h5ad`` of simulated cells, as other programs write it."""
    import anndata

    tree = simulate_cells(directory / f"{n_cells}.zarr", n_cells, population)
    adata = anndata.read_zarr(tree)
    adata.X, adata.uns = adata.X.astype(np.float32), {}
    adata.write_h5ad(directory / f"{n_cells}.h5ad")
    shutil.rmtree(tree)
    return directory / f"{n_cells}.h5ad"


class Sizes:
    """All programs on one file, each run in a folder of its own that goes when it ends."""

    def __init__(self, directory: Path, cells: Path, n_cells: int, rounds: int) -> None:
        self.directory, self.cells, self.n_cells, self.rounds = directory, cells, n_cells, rounds
        self._serial = itertools.count()

    def ratios(self, *, doublets: bool) -> Iterator[Ratio]:
        """Processor time, memory, bytes on disk, and how good the doublet scores are."""
        flags = [] if doublets else ["--no-doublets"]
        programs: dict[str, Callable[[], Ended]] = {
            "ours": partial(self._run, "scrna_stargazer.py", *flags),
            "plain": partial(self._run, "scrna_scanpy.py", *flags),
        }
        if self.n_cells <= 20_000 and doublets:
            programs["files"] = partial(self._run, "scrna_scanpy.py", "--files", *flags)
        found = in_turns(programs, self.rounds, warm_up=self.rounds > 1)
        _check(found)
        case = f"{self.n_cells:,} cells, {'with' if doublets else 'without'} doublets"
        beside = {"plain": "plain scanpy", "files": "scanpy with .h5ad between steps"}
        for other in [name for name in beside if name in found]:
            stopped = next((f", stopped {ended.stopped}" for ended in found[other] if ended.stopped), "")
            named = beside[other] + stopped
            yield from self._figures(case, found["ours"], found[other], named, doublets, other == "plain")
        if doublets and not any(ended.stopped for ended in found["plain"]):
            scores = [[round(ended.printed["auc"], 4) for ended in found[name]] for name in ("ours", "plain")]
            yield compare("scrna", f"{case}: AUC", "0.95", scores[0], [AUC] * self.rounds, "", aim=1.0, better="higher")
            yield compare("scrna", f"{case}: AUC", "plain scanpy", *scores, "", aim=1.0, better="higher")

    def _figures(
        self, case: str, ours: list[Ended], theirs: list[Ended], beside: str, doublets: bool, aimed: bool
    ) -> Iterator[Ratio]:
        for what, unit, figure in (
            ("CPU", "CPU s", lambda ended: ended.spent.cpu),
            ("time", "s", lambda ended: ended.spent.wall),
            ("memory", "MB", lambda ended: ended.printed["peak"] / 1e6),
            ("stored", "MB", lambda ended: ended.printed["stored"] / 1e6),
        ):
            aim = AIMS.get((what, self.n_cells, doublets)) if aimed else None
            if what == "stored" and any(ended.stopped for ended in theirs):
                continue
            sides = [figure(ended) for ended in ours], [figure(ended) for ended in theirs]
            of = "ours" if what == "memory" else "ratio"
            yield compare("scrna", f"{case}: {what}", beside, *sides, unit, aim=aim, of=of)

    def _run(self, program: str, *flags: str) -> Ended:
        folder = self.directory / f"run{next(self._serial)}"
        folder.mkdir()
        ended = process(PROGRAMS / program, self.cells, folder, *flags, bounds=Bounds.of_machine())
        if not ended.stopped:
            ended.printed.update(_scored(ended.printed))
        shutil.rmtree(folder)
        return ended


def _scored(printed: dict[str, Any]) -> dict[str, float]:
    """Agreement with the truth, of either program."""
    if "tree" in printed:
        found = agreement(Path(printed["tree"]))
        return {"ari": found.ari, "auc": found.doublet_auc}
    ari = adjusted_rand_index(np.array(printed["types"]), np.array(printed["clusters"]))
    scores = np.array(printed["doublets"], float).reshape(-1, 2)
    return {"ari": ari, "auc": area_under_curve(scores[:, 0], scores[:, 1] == 1)}


def _check(found: dict[str, list[Ended]]) -> None:
    done = [(name, ended) for name, each in found.items() for ended in each if not ended.stopped]
    poor = {name: ended.printed["ari"] for name, ended in done if ended.printed["ari"] < ARI}
    if poor:
        raise RuntimeError(f"the clusters are not the planted types: adjusted Rand index {poor}")
    if stopped := [ended.stopped for ended in found["ours"] if ended.stopped]:
        raise RuntimeError(f"our own run was stopped {', '.join(stopped)}")
    if any(ended.printed["again"] for ended in found["ours"]):
        raise RuntimeError("the second run ran tasks")


def main() -> None:
    """Print the measurements as JSON."""
    print(json.dumps([ratio.to_dict() for ratio in measure()], indent=2))


if __name__ == "__main__":
    main()
