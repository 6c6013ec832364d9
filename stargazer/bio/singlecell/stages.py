"""The record of stages: what each did to a tree, what it made and what it relied on.

A stage is known by this record alone. A user's file may have a column ``size_factor`` or an embedding ``X_umap`` too;
they are not taken for ours, because no stage says that it made them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.bounded import parse_json
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MADE", "USED", "Stages", "read_stages"]

MADE, USED = "made", "used"
"""Members of a stage's note: the elements that it made (``"obs/kept"``), and those that it relied on, there or not."""

PLACE = re.compile(r"(obs|var|obsm|varm|obsp|varp|layers|uns)/[^/\0]+")

REACHED = {
    "ingest": "raw",
    "concat": "raw",
    "call_cells": "raw",
    "qc_filter": "qc_filtered",
    "normalize": "normalized",
    "select_features": "featured",
    "reduce_dimensions": "reduced",
    "integrate": "reduced",
    "embed": "reduced",
    "cluster": "clustered",
    "find_markers": "annotated",
}
"""How far a tree is analysed once a stage has run."""
ORDER = ("raw", "qc_filtered", "normalized", "featured", "reduced", "clustered", "annotated")

_QC = (
    *("n_genes", "n_genes_by_counts", "total_counts", "total_counts_spike_in", "doublet_score", "predicted_doublet"),
    *(f"{what}_counts_{name}" for name in ("mt", "ribo", "hb") for what in ("total", "pct")),
)
_QC_VAR = (
    *("spike_in", "mt", "ribo", "hb", "kept", "n_cells_by_counts", "total_counts", "mean_counts"),
    "pct_dropout_by_counts",
)
_HVG = ("highly_variable", "means", "dispersions", "dispersions_norm")
FORMAT_1: dict[str, tuple[str, ...]] = {
    "qc_filter": ("obs/kept", *(f"obs/{name}" for name in _QC), *(f"var/{name}" for name in _QC_VAR), "uns/scrublet"),
    "normalize": ("obs/size_factor", "uns/log1p"),
    "select_features": (
        *(f"var/{name}" for name in _HVG),
        *("var/highly_variable_nbatches", "var/highly_variable_intersection", "uns/hvg"),
    ),
    "reduce_dimensions": (
        *("obsm/X_pca", "obsm/X_pca_harmony", "varm/PCs", "uns/pca", "uns/neighbors"),
        *("obsp/distances", "obsp/connectivities", "obsm/X_umap", "uns/umap"),
    ),
    "embed": ("obsm/X_umap", "uns/umap"),
    "find_markers": ("uns/rank_genes_groups",),
}
"""What the stages of trees of format 1 made, which do not say it themselves; `cluster` made what its note names."""


class Stages(NamedTuple):
    """What the stages of a tree noted, by their ids, in the order in which they ran.

    Parameters
    ----------
    noted
        The note of each: parameters, numbers, notes, and what it made and used. The id of a stage that may run more
        than once has the name of what it made after a dot (``"cluster.leiden_2"``).
    """

    noted: dict[str, dict[str, Any]]

    @property
    def reached(self) -> str:
        """How far the tree is analysed."""
        found = [REACHED[name] for name in (stage.partition(".")[0] for stage in self.noted) if name in REACHED]
        return max(found, key=ORDER.index, default="raw")

    def owner(self, place: str) -> str:
        """Id of the stage that made an element; empty if none did."""
        return next((stage for stage in reversed(self.noted) if place in self.noted[stage].get(MADE, ())), "")

    def last(self, name: str) -> dict[str, Any]:
        """The note of the last run of a stage; empty if it did not run."""
        return next((self.noted[stage] for stage in reversed(self.noted) if stage.partition(".")[0] == name), {})

    def followers(self, place: str) -> list[str]:
        """Ids of the stages that rely on an element, or on what those made, and so on; last ones first."""
        reached = set(self._reaching([place]))
        return [stage for stage in reversed(self.noted) if stage in reached]

    def _reaching(self, places: list[str]) -> Iterator[str]:
        for stage, note in self.noted.items():
            if set(places).intersection(note.get(USED, ())):
                yield stage
                places = [*places, *note.get(MADE, ())]


def read_stages(state: Mapping[str, Any], what: str) -> Stages:
    """The record of a tree.

    Parameters
    ----------
    state
        What ``uns["stargazer"]`` has: one JSON text a stage, and their order.
    what
        What it is, for messages.
    """
    found = {str(name): _checked(parse_json(state[name], what), what) for name in parse_json(state["order"], what)}
    if int(state["format"]) == 1:
        found = _of_format_1(found)
    return Stages(found)


def _checked(note: Any, what: str) -> dict[str, Any]:
    """A note as stages write it: what it names may be dropped one day, so it names elements of a tree alone."""
    if not isinstance(note, dict):
        raise DataError(f"{what}: {note!r} is no note of a stage")
    for place in (*note.get(MADE, ()), *note.get(USED, ())):
        if not PLACE.fullmatch(str(place)) or place.endswith(("/.", "/..")):
            raise DataError(f"{what}: {place!r} is no element of a tree")
    return note


def _of_format_1(found: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Notes that do not say what their stage made and used; each relied on all that ran before it."""
    told, before = {}, list[str]()
    for stage, note in found.items():
        key = note.get("key_added", "")
        made = [f"obs/{key}", f"uns/{key}"] if stage == "cluster" else list(FORMAT_1.get(stage, ()))
        told[stage] = {**note, MADE: made, USED: list(before)}
        before += made
    return told
