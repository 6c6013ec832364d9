"""The single-cell workflow on a file: ``scrna_stargazer.py FILE STORE [FLAG…]``.

The file is a ``.h5ad`` or a tree. Flags: ``--no-doublets``, ``--no-umap``, ``--no-report``, ``--approximate``,
``--batches`` (the column ``batch``), ``--to-components`` (end with components and neighbours).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    start = time.perf_counter()
    import stargazer as sg

    data, place, *flags = sys.argv[1:]
    with sg.Store(place):
        cells: Any = sg.add(data, sg.AnnData(sample_id="cells", organism="human"))
        seconds = {"add": time.perf_counter() - start}
        calls = wired(cells, flags)
        done = sg.run(calls, progress=False).result()[0]
        printed: dict[str, Any] = {"seconds": time.perf_counter() - start, "peak": peak()}
        printed["again"] = sg.run(calls, progress=False).tasks_run
        printed["stored"] = sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file())
        seconds |= {record.task: record.seconds for record in sg.trace(done).records}
        print(json.dumps({**printed, "tasks": seconds, "tree": str(done.fetch())}))


def wired(cells: Any, flags: list[str]) -> list[Any]:
    """The calls that the flags ask for."""
    from stargazer.tasks.scrna import normalize, qc_filter, reduce_dimensions, report, select_features
    from stargazer.workflows import cluster_cells

    batch_key = "batch" if "--batches" in flags else ""
    doublets, approximate = "--no-doublets" not in flags, "--approximate" in flags
    if "--to-components" in flags:
        filtered = qc_filter(cells, doublets=doublets, batch_key=batch_key)
        featured = select_features(normalize(filtered), batch_key=batch_key)
        return [reduce_dimensions(featured, umap=False, approximate=approximate)]
    umap = "--no-umap" not in flags
    done = cluster_cells(cells, doublets=doublets, batch_key=batch_key, umap=umap, approximate=approximate)
    return [done] if "--no-report" in flags else [done, report(done)]


def peak() -> int:
    """Most bytes of memory that this process ever had."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
