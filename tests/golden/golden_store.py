"""What lies in the golden store, how it is told as JSON, and how its archive is opened."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import stargazer as sg
from stargazer.assets import asset_types
from stargazer.assets.fields import schema_of

HERE = Path(__file__).parent
ARCHIVE = HERE / "store-0.1.0.tar.gz"
EXPECTED = HERE / "expected-0.1.0.json"
AT_ONCE = -60.0
"""A grace, and a recent time, that have run out for what was written this moment."""

VALUES: dict[Any, Any] = {
    str: "",
    bool: True,
    int: 7,
    float: 0.25,
    tuple[str, ...]: ("s1", "s2"),
    tuple[float, ...]: (0.5, 2.0),
}


def expected() -> dict[str, Any]:
    """What version 0.1.0 said of the store."""
    return json.loads(EXPECTED.read_text("utf-8"))  # type: ignore[no-any-return]


def unpack(directory: Path) -> Path:
    """Unpack the store, keys as hard links to records as they were: git would keep neither links nor modes."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extraction_filter = lambda member, _: member  # our own archive; the first Pythons 3.11 know no filters
        archive.extractall(directory)
    return directory / "store"


def facts_of(kind: type[sg.Asset], link: str) -> dict[str, Any]:
    """A value for each fact that a type declares; links lead to `link`."""
    hints = typing.get_type_hints(kind)
    names = schema_of(kind).declared
    return {name: link if name.endswith("_cid") else VALUES[hints[name]] or f"some {name}" for name in names}


def added_by_type(store: sg.Store, directory: Path, link: str) -> dict[str, sg.Asset]:
    """An asset of every registered type with all its facts, and one of them with companions."""
    made: dict[str, sg.Asset] = {}
    for key, kind in asset_types().items():
        if key == "anndata":
            continue
        path = directory / f"{key}.txt"
        path.write_text(f"a file of type {key}\n")
        made[key] = store.add(path, kind(**facts_of(kind, link)))
    return made


def asset_told(asset: sg.Asset) -> dict[str, Any]:
    """An asset as JSON: id, type, all that `to_dict` tells, and a digest of its bytes."""
    return {
        "id": asset.id,
        "type": type(asset).__name__,
        "dict": asset.to_dict(),
        "keyvalues": asset.to_keyvalues(),
        "bytes": bytes_digest(asset.fetch()),
    }


def bytes_digest(path: Path) -> str:
    """SHA-256 of a file; of a directory, of the names and digests of the files below it."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    below = sorted(
        os.path.relpath(os.path.join(base, name), path) for base, _, names in os.walk(path) for name in names
    )
    text = "\n".join(f"{name} {bytes_digest(path / name)}" for name in below)
    return hashlib.sha256(text.encode()).hexdigest()


def lineage_told(lineage: sg.Lineage) -> list[dict[str, Any]]:
    """A lineage as JSON, of each asset its id alone; of each step what 0.1.0 told, whatever a later version adds."""

    def told(node: dict[str, Any]) -> dict[str, Any]:
        asset = sg.Asset.from_dict(node["asset"])
        first = {name: node[name] for name in ("parameter", "record", "task")}
        return {**first, "asset": asset.id, "next": [told(each) for each in node["next"]]}

    return [told(root) for root in lineage.to_dict()]


def result_told(result: Any) -> Any:
    """A result as JSON: ids of assets, in the shape that the task returned."""
    if isinstance(result, sg.Asset):
        return {"asset": result.id, "record": result.source.record if result.source else None}
    if isinstance(result, dict):
        return {"dict": {name: result_told(item) for name, item in result.items()}}
    if isinstance(result, (tuple, list)):
        return {type(result).__name__: [result_told(item) for item in result]}
    return repr(result)


def flat(told: Iterable[sg.Asset]) -> dict[str, sg.Asset]:
    """Assets and their companions by id."""
    found: dict[str, sg.Asset] = {}
    for asset in told:
        found[asset.id] = asset
        found.update(flat(asset.companions))
    return found
