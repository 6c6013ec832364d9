"""Stages run one after another without a store."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from stargazer.assets import AnnData
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.calls import Task
from stargazer.tasks.scrna import (
    cluster,
    find_markers,
    normalize,
    qc_filter,
    reduce_dimensions,
    select_features,
)
from stargazer.tools import Workdir


def run(
    task: Task,
    directory: Path,
    adata: Any,
    *others: Any,
    cpus: int = 1,
    memory: int = 1 << 30,
    **parameters: Any,
) -> Any:
    """The draft that a task's body makes, in a new directory below `directory`."""
    work = Workdir(tempfile.mkdtemp(dir=directory), cpus=cpus, memory=memory)
    return task.body(work, adata, *others, **parameters)


def raw(path: Path, **facts: Any) -> AnnData:
    return AnnData(path=path, name="cells.zarr", stage="raw", **facts)


def all_stages(
    directory: Path, adata: AnnData, *, resolution: float = 0.5, umap: bool = True, **options: Any
) -> dict[str, AnnData]:
    """Drafts of all six stages; options of the run (`cpus`, `memory`) are for all, others for `qc_filter`."""
    shared = {name: options.pop(name) for name in ("cpus", "memory") if name in options}
    made = {"raw": adata}
    made["qc_filter"] = run(qc_filter, directory, adata, **shared, **options)
    made["normalize"] = run(normalize, directory, made["qc_filter"], **shared)
    made["select_features"] = run(select_features, directory, made["normalize"], **shared)
    made["reduce_dimensions"] = run(reduce_dimensions, directory, made["select_features"], umap=umap, **shared)
    made["cluster"] = run(cluster, directory, made["reduce_dimensions"], resolution=resolution, **shared)
    made["find_markers"] = run(find_markers, directory, made["cluster"], **shared)
    return made


def tree_of(adata: AnnData) -> AnnDataTree:
    return AnnDataTree(adata.path)
