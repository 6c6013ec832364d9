"""A lineage as Workflow Run RO-Crate: files, the calls that made them, their parameters and tools, for other programs.

References
----------
Leo S et al. Recording provenance of workflow runs with RO-Crate. PLoS ONE 19, e0309210 (2024).
Workflow Run Crate 0.5, https://w3id.org/ro/wfrun/workflow/0.5; RO-Crate 1.1, https://w3id.org/ro/crate/1.1
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from stargazer.errors import AssetError, StoreError, ToolMissing
from stargazer.ledger.ledger import Ledger
from stargazer.ledger.record import walk_assets
from stargazer.store.layout import moment
from stargazer.visible import visible

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from stargazer.assets import Asset
    from stargazer.ledger.lineage import Lineage
    from stargazer.ledger.record import Record
    from stargazer.store import Store

__all__ = ["Files", "write_crate"]

Files = Literal["result", "sources", "none"]
"""What of the files is copied into a crate: the result, that and the sources, or nothing."""

PROFILES = ("https://w3id.org/ro/wfrun/process/0.5", "https://w3id.org/ro/wfrun/workflow/0.5")
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
COMPLETED = "http://schema.org/CompletedActionStatus"
WORKFLOW = "workflow.json"
SHORT = 16
NO_LICENSE = "No licence is stated."
NO_TIME, LONGEST = datetime.fromtimestamp(0, UTC), 100 * 366 * 86400.0
"""What a record is taken to say that somebody wrote by hand, with a time that no calendar has."""


def write_crate(lineage: Lineage, path: str | os.PathLike[str], *, files: Files, licence: str) -> Path:
    """Write a lineage as a folder; see `Lineage.to_rocrate`."""
    folder = Path(path)
    if lineage.direction != "up" or lineage.store is None:
        raise AssetError("a crate tells how something was made; trace it with direction='up'")
    root = lineage.roots[0]
    if root.record is None:
        raise AssetError(f"{root.asset!r} was added by a person: there is no run that a crate could tell of")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is there already; give the path of a folder that is to be made")
    crate = _Crate(lineage.store, root.asset, files)
    records = list({node.record.id: node.record for node in root.walk() if node.record is not None}.values())
    made = {each.id for record in records for each in walk_assets(Ledger(lineage.store.records).results(record))}
    sources = {node.asset.id: node for node in root.walk() if node.record is None and node.asset.id not in made}
    crate.describe(licence, max(map(_ended, records)))
    crate.add_workflow(records)
    crate.add_run(root.asset, {node.asset.id: (node.parameter, node.asset) for node in sources.values()}, records)
    for record in reversed(records):
        crate.add_call(record)
    crate.write(folder)
    return folder


def _library() -> Any:
    try:
        return importlib.import_module("rocrate.rocrate"), importlib.import_module("rocrate.model")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("rocrate"):
            raise
        raise ToolMissing("RO-Crates need the library rocrate: pip install 'stargazer-dask[rocrate]'") from error


def _started(record: Record) -> datetime:
    """When a call began; of a record that says nothing that can be written down, the beginning of time."""
    began = moment(record.started)
    try:
        return NO_TIME if began is None else datetime.fromtimestamp(began, UTC)
    except (ValueError, OverflowError, OSError):
        return NO_TIME


def _ended(record: Record) -> datetime:
    return _started(record) + timedelta(seconds=min(max(record.seconds, 0.0), LONGEST))


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


class _Crate:
    """A crate while it is put together."""

    def __init__(self, store: Store, result: Asset, files: Files) -> None:
        crates, self._model = _library()
        self._crate: Any = crates.ROCrate(version="1.1")
        self._store, self._ledger, self._result, self._files = store, Ledger(store.records), result, files
        self._entities: dict[str, Any] = {}

    def describe(self, licence: str, published: datetime) -> None:
        """Say what it is, under which licence, and of which day."""
        name = visible(self._result.name or str(self._result.cid))
        self._crate.name = f"{name} and how it was made"
        self._crate.description = f"{name} ({self._result.cid}), and every recorded call that led to it."
        self._crate.datePublished = _iso(published)
        self._crate.license = licence or NO_LICENSE
        for identifier in PROFILES:
            name, version = identifier.split("/")[-2:]
            title = f"{name.capitalize()} Run Crate"
            profile = self._context(identifier, "CreativeWork", name=title, version=version)
            self._crate.root_dataset.append_to("conformsTo", profile)
        workflow_crate = self._context(WORKFLOW_CRATE, "CreativeWork", name="Workflow RO-Crate", version="1.0")
        self._crate.root_dataset.append_to("conformsTo", workflow_crate)

    def add_workflow(self, records: Iterable[Record]) -> None:
        """The calls, without what belongs to one run of them, as the crate's main file."""
        from stargazer import __version__

        language = self._crate.add(
            self._model.ComputerLanguage(self._crate, "#stargazer", {"name": "Stargazer", "version": __version__})
        )
        calls = [
            {name: getattr(record, name) for name in ("task", "code", "parameters", "inputs", "tools", "libraries")}
            | {"outputs": list(record.output_cids)}
            for record in records
        ]
        text = json.dumps({"format": 1, "calls": calls[::-1]}, indent=1, sort_keys=True) + "\n"
        version = hashlib.sha256(text.encode()).hexdigest()
        properties = {"name": "Calls that led to the result", "encodingFormat": "application/json", "version": version}
        source = io.StringIO(text)
        self._workflow = self._crate.add_workflow(source, WORKFLOW, main=True, lang=language, properties=properties)

    def add_run(self, result: Asset, sources: dict[str, tuple[str, Asset]], records: list[Record]) -> None:
        """The run as a whole: from the files that were added to the result."""
        inputs = []
        for number, (parameter, asset) in enumerate(sources.values(), 1):
            entity = self._file(asset, f"sources/{number}" if self._files == "sources" else "")
            self._slot("input", f"#input-{number}", parameter or asset.name, entity)
            inputs.append(entity)
        output = self._file(result, "result" if self._files != "none" else "")
        self._slot("output", "#output", result.name or "result", output)
        times = {"startTime": _iso(min(map(_started, records))), "endTime": _iso(max(map(_ended, records)))}
        told = {
            "name": visible(f"Run that made {result.name}"),
            "description": f"{len(records)} calls of tasks",
            **times,
        }
        self._action("#run", told, self._workflow, inputs, [output])

    def add_call(self, record: Record) -> None:
        """One call: the task and its tools, parameters, inputs and outputs."""
        task = self._task(record)
        inputs = [self._file(asset) for asset in self._store.assets.read(_ids(record.inputs)).values()]
        inputs += [
            self._context(f"#{record.id[:SHORT]}-{name}", "PropertyValue", name=visible(name), value=_plain(value))
            for name, value in record.parameters.items()
        ]
        outputs = [self._file(asset) for asset in walk_assets(self._ledger.results(record))]
        times = {"startTime": _iso(_started(record)), "endTime": _iso(_ended(record))}
        told = {"name": visible(record.task), "description": _told(record), **times}
        self._action(f"#record-{record.id}", told, task, inputs, outputs)

    def write(self, folder: Path) -> None:
        """Write the folder."""
        self._crate.write(folder)

    def _task(self, record: Record) -> Any:
        tools = [
            self._context(
                f"#tool-{tool['name']}-{tool.get('digest', '')[:SHORT]}",
                "SoftwareApplication",
                name=visible(tool["name"]),
                softwareVersion=visible(tool.get("version", "")),
                identifier=f"sha256:{tool.get('digest', '')}",
            )
            for tool in record.tools
        ]
        tools += [
            self._context(
                f"#library-{name}-{version}",
                "SoftwareApplication",
                name=visible(name),
                softwareVersion=visible(version),
            )
            for name, version in record.libraries.items()
        ]
        used = {"softwareRequirements": tools} if tools else {}
        identifier = f"#task-{record.task}-{record.code[:SHORT]}"
        return self._context(
            identifier, "SoftwareApplication", name=visible(record.task), softwareVersion=record.code, **used
        )

    def _action(
        self, identifier: str, told: dict[str, str], instrument: Any, inputs: list[Any], outputs: list[Any]
    ) -> None:
        properties = {"actionStatus": COMPLETED, **told}
        action = self._crate.add_action(instrument, identifier, inputs, outputs, properties)
        self._crate.root_dataset.append_to("mentions", action)

    def _slot(self, kind: str, identifier: str, name: str, entity: Any) -> None:
        """A parameter of the workflow, of which a file is an example."""
        slot = self._crate.add_formal_parameter(visible(name), entity.type, identifier)
        self._workflow.append_to(kind, slot)
        entity.append_to("exampleOfWork", slot)

    def _context(self, identifier: str, kind: str, /, **properties: Any) -> Any:
        identifier = quote(identifier, safe=":/#")
        entity = self._model.ContextEntity(self._crate, identifier, {"@type": kind, **properties})
        return self._crate.get(identifier) or self._crate.add(entity)

    def _file(self, asset: Asset, folder: str = "") -> Any:
        """The entity of a file, made once for each CID: copied into a folder of the crate, or named by its CID."""
        from stargazer.display import facts_text

        cid = str(asset.cid)
        if cid not in self._entities:
            kind = self._model.Dataset if self._store.is_directory(cid) else self._model.File
            name, facts = asset.name or cid, facts_text(asset)
            place = (self._store.fetch(asset), f"{folder}/{name}") if folder else (f"ipfs://{cid}", None)
            described = visible(f"{type(asset).__name__} {facts}".strip())
            properties = {"name": visible(name), "identifier": cid, "description": described}
            self._entities[cid] = self._crate.add(kind(self._crate, *place, properties=properties))
            for companion in asset.companions:
                self._entities[cid].append_to("mentions", self._file(companion, folder))
        return self._entities[cid]


def _ids(inputs: dict[str, Any]) -> list[str]:
    """Ids of all assets among the inputs of a record."""
    found: list[str] = []
    for value in inputs.values():
        each = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        found += [identifier for identifier in each if identifier]
    return found


def _told(record: Record) -> str:
    """What else there is to say of a run: where it ran, beside its tools."""
    inside = f", in image {record.image}" if record.image else ""
    return visible(f"Record {record.id}, Python {record.python}{inside}")


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool)) else json.dumps(value, sort_keys=True)
