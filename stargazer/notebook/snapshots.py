"""Snapshots: a notebook as it was, in one directory with one CID, signed and kept.

``snapshot.json`` says all: CIDs of the source, of what was read, of every value, and of what each cell showed. The
signature beside it covers it, and it covers the files that lie there.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.assets.notebook import NotebookSnapshot
from stargazer.cid import cid_of_path
from stargazer.errors import NotebookError, NotFound
from stargazer.ledger import Ledger
from stargazer.ledger.chosen import above
from stargazer.ledger.record import walk_assets
from stargazer.ledger.signatures import sign_text, whose_text
from stargazer.notebook.book import Notebook
from stargazer.notebook.pages import page_text
from stargazer.notebook.whole import own_modules
from stargazer.store import active_store, layout
from stargazer.store.layout import check_name
from stargazer.store.references import find_assets, is_reference

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from distributed import Client

    from stargazer.assets import Asset
    from stargazer.ledger import Record
    from stargazer.notebook.document import Document
    from stargazer.notebook.rows import Outcome, Row
    from stargazer.store import Store

__all__ = ["SNAPSHOT", "Snapshot", "fetch_snapshot", "find_snapshot", "freeze", "list_snapshots", "shown_digest"]

FORMAT = "stargazer/snapshot/1"
SNAPSHOT, SIGNATURE, SOURCE, INPUTS = "snapshot.json", "signature", "source", "inputs"
LARGEST = 64 << 20
"""Bytes of a file that was read above which a snapshot names it and does not hold it."""

ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")


@dataclass(frozen=True)
class Snapshot:
    """A notebook as it was.

    Parameters
    ----------
    asset
        The directory, as a stored asset.
    content
        What ``snapshot.json`` says.
    whose
        Who froze it: ``yours``, ``signed by NAME``, ``unsigned`` or ``not as signed``.
    """

    asset: Asset
    content: dict[str, Any] = field(repr=False)
    whose: str = ""

    @property
    def cid(self) -> str:
        """Its one name."""
        return str(self.asset.cid)

    @property
    def source(self) -> Path:
        """The notebook's file, in the snapshot."""
        return self.asset.fetch() / SOURCE / str(self.content["notebook"])

    @property
    def page(self) -> Path:
        """The page, in the snapshot."""
        return self.asset.fetch() / "page.html"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"cid": self.cid, "id": self.asset.id, "whose": self.whose, **self.content}


def freeze(
    notebook: str | os.PathLike[str],
    *,
    name: str = "",
    set: Mapping[str, Any] | None = None,
    client: Client | None = None,
    store: Store | None = None,
) -> Snapshot:
    """Make a snapshot of a notebook: run what is not known, and keep all that tells what it came to.

    Parameters
    ----------
    notebook
        Path of a notebook.
    name
        Of the pin that keeps it; ``snapshot-<file>-<first digits of its CID>`` by default.
    set
        Values in place of those that cells make.
    client
        A Dask client; threads of this process by default.
    store
        Where; the active store by default.

    Raises
    ------
    NotebookError
        It is wrong, or a cell failed.
    StoreError
        It cannot be pinned under that name; nothing ran.
    """
    opened = store or active_store()
    if name:
        check_name(name)
    book = Notebook(notebook, opened)
    with opened:
        book.run(set=set, client=client)
    if failed := [row for row in book.report.rows if row.state == "failed"]:
        names = "; ".join(f"{row.name or ', '.join(row.defs)}: {'; '.join(row.why)}" for row in failed)
        raise NotebookError(f"{book.document.path} cannot be frozen, as cells of it failed: {names}")
    with tempfile.TemporaryDirectory() as folder:
        made = _Frozen(book.document, book.outcome, opened, Path(folder), dict(set or {})).write()
        facts = {"notebook": book.document.path.name, "title": made.content["title"], "signer": made.signer}
        draft = NotebookSnapshot(**facts)
        asset = opened.add(folder, draft, name=f"{book.document.path.stem}.snapshot")
    snapshot = Snapshot(asset, made.content, whose_text(made.text, made.signature))
    opened.pin(name or f"snapshot-{_slug(book.document.path.stem)}-{snapshot.cid[-8:]}", asset, *made.kept)
    return snapshot


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text)


class _Frozen:
    """Writes the files of a snapshot."""

    def __init__(self, document: Document, outcome: Outcome, store: Store, folder: Path, given: dict[str, Any]) -> None:
        self.document, self.outcome, self.store, self.folder, self.given = document, outcome, store, folder, given
        here, beside = Path.cwd(), document.path.absolute().parent
        self.base = here if beside.is_relative_to(here) else beside
        self.kept: list[Asset] = list(walk_assets(outcome.assets))
        self.content: dict[str, Any] = {}
        self.text, self.signature, self.signer = b"", "", ""

    def write(self) -> _Frozen:
        notebook = self.document.path.absolute().relative_to(self.base).as_posix()
        self._put(f"{SOURCE}/{notebook}", self.document.text.encode())
        modules = self._modules()
        shown = {row.cell: row.outputs for row in self.outcome.rows if row.cell is not None}
        self._put("page.html", page_text(self.document, shown, ".html").encode())
        self._put("report.txt", _report(self.outcome.rows).encode())
        self._put("versions.txt", _installed().encode())
        inputs = self._inputs()
        files = sorted(each for each in self.folder.rglob("*") if each.is_file())
        tools = self.document.script.get("tool", {}).get("stargazer", {})
        self.content = {
            "format": FORMAT,
            "notebook": notebook,
            "title": str(tools.get("title", "")),
            "set": self.given,
            "files": {each.relative_to(self.folder).as_posix(): cid_of_path(each) for each in files},
            "modules": modules,
            "inputs": inputs,
            "values": values_of(self.outcome.assets),
            "cells": [cell_of(row) for row in self.outcome.rows],
            "versions": self._versions(),
        }
        self.text = (json.dumps(self.content, indent=1, sort_keys=True) + "\n").encode()
        self._put(SNAPSHOT, self.text)
        self.signature = sign_text(self.text)
        if self.signature:
            self._put(SIGNATURE, self.signature.encode())
            self.signer = self.signature.partition(".")[0]
        return self

    def _put(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def _modules(self) -> dict[str, str]:
        """Files of own modules: those beside the notebook are taken along, of others the CID is told."""
        found = own_modules()
        beside = {path for path in map(Path, found) if path.is_relative_to(self.base)}
        for path in sorted(beside | set(modules_beside(self.document))):
            self._put(f"{SOURCE}/{path.relative_to(self.base).as_posix()}", path.read_bytes())
        return {"/".join(Path(file).parts[-3:]): cid for file, cid in sorted(found.items()) if Path(file) not in beside}

    def _records(self) -> list[Record]:
        """Records of the cells, and of all calls that led to what they made."""
        ledger = Ledger(self.store.records)
        makers = [asset.source.record for asset in self.kept if asset.source is not None and asset.source.record]
        found = [record for each in makers if (record := ledger.get(each)) is not None]
        return [*self.outcome.records, *above(ledger, found)]

    def _inputs(self) -> list[dict[str, str]]:
        """What was read: files by path and CID, and assets that nothing on record made."""
        records = self._records()
        files: dict[str, str] = {}
        for record in records:
            files |= {name: value for name, value in record.reads.items() if name.startswith("/")}
        found = [self._file(name, value) for name, value in sorted(files.items()) if name not in own_modules()]
        made = {cid for record in records for cid in record.output_cids}
        roots = {cid for record in records for cid in record.input_cids} - made
        roots -= {str(asset.cid) for asset in self.kept if type(asset).__name__ == "NotebookValue"}
        for cid in sorted(roots):
            asset = next(iter(self.store.find(cid=cid)), None)
            if asset is not None:
                self.kept.append(asset)
            found.append({"cid": cid, "name": asset.name or "" if asset is not None else ""})
        return found

    def _file(self, name: str, value: str) -> dict[str, str]:
        """A file that was read; it is taken along where it lies below the project and is not large."""
        path = Path(name)
        inside = path.is_relative_to(self.base)
        told = {"path": path.relative_to(self.base).as_posix() if inside else name, "cid": value}
        if name.endswith("/"):
            return told | {"path": told["path"].rstrip("/") + "/"}
        if inside and path.is_file() and path.stat().st_size <= LARGEST:
            target = self.folder / INPUTS / told["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        return told

    def _versions(self) -> dict[str, str]:
        """Versions of Python and of the libraries that the cells use."""
        used = {name: version for record in self.outcome.records for name, version in record.libraries.items()}
        from stargazer import __version__

        return {"python": ".".join(map(str, sys.version_info[:3])), "stargazer": __version__, **used}


def _report(rows: Iterable[Row]) -> str:
    lines = [f"{cell['state'].ljust(7)}  {cell['name'] or ', '.join(cell['defs'])}" for cell in map(cell_of, rows)]
    return "\n".join(lines) + "\n"


def _installed() -> str:
    """All distributions of this environment, as pip would be asked for them."""
    found = {
        dist.metadata["Name"]: dist.version for dist in importlib.metadata.distributions() if dist.metadata["Name"]
    }
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items(), key=lambda each: each[0].lower()))


def values_of(assets: Mapping[str, Any]) -> dict[str, Any]:
    """CIDs of values by name, as a snapshot has them."""
    found: dict[str, Any] = {}
    for name, value in sorted(assets.items()):
        members = list(walk_assets(value))
        kind = getattr(members[0], "kind", "") or members[0].asset_key if members else ""
        found[name] = {
            "cid": [str(each.cid) for each in members] if len(members) != 1 else str(members[0].cid),
            "kind": kind,
        }
    return found


def cell_of(row: Row) -> dict[str, Any]:
    """What a snapshot says of a cell: whether it was kept, and what it showed."""
    state = "kept" if row.state in ("ran", "known") else row.state
    return {"name": row.name, "defs": row.defs, "state": state, "shown": shown_digest(row, state)}


def shown_digest(row: Row, state: str) -> str:
    """Digest of what a cell showed; of a live one what it printed, as widgets have names that are made up each time."""
    outputs = [each for each in row.outputs if state == "kept" or each.get("output_type") == "stream"]
    text = json.dumps(outputs, sort_keys=True, default=str)
    return hashlib.sha256(ADDRESS.sub("0x", text).encode()).hexdigest() if outputs else ""


def modules_beside(document: Document) -> list[Path]:
    """Files of modules beside a notebook that its cells import, and those that these import in turn."""
    folder = document.path.absolute().parent
    found: dict[Path, None] = {}
    todo = [node for cell in document.cells for node in ast.walk(cell.tree)]
    while todo:
        node = todo.pop()
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in {each.partition(".")[0] for each in names if each}:
            files = [folder / f"{name}.py"] if (folder / f"{name}.py").is_file() else [*(folder / name).rglob("*.py")]
            for file in files:
                if file not in found and file != document.path.absolute():
                    found[file] = None
                    todo += _nodes_of(file)
    return list(found)


def _nodes_of(file: Path) -> list[ast.AST]:
    try:
        return list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError):
        return []


# Finding them.


def find_snapshot(name: str, store: Store | None = None) -> Snapshot:
    """Find a snapshot that is in the store.

    Parameters
    ----------
    name
        CID, id, name or pin of it.
    store
        Where; the active store by default.

    Raises
    ------
    NotFound
        The store does not have it.
    NotebookError
        It is no snapshot, or its files are not those that it names.
    """
    opened = store or active_store()
    found = opened.pins().get(name, [])
    if not found:
        if not is_reference(name):
            raise NotFound(f"there is no snapshot {name}: name it by its CID, or its pin (`stargazer pins`)")
        found = find_assets(opened, name)
    chosen = next((each for each in found if isinstance(each, NotebookSnapshot)), found[0])
    return _opened(chosen, opened)


def list_snapshots(store: Store | None = None) -> list[Snapshot]:
    """All snapshots of a store, by the name of the notebook."""
    opened = store or active_store()
    found = [_opened(each, opened) for each in opened.find(asset="notebook_snapshot")]
    return sorted(found, key=lambda each: (each.content["notebook"], each.cid))


def _opened(asset: Asset, store: Store) -> Snapshot:
    """Read a snapshot, and refuse it unless each of its files has the CID that the snapshot states."""
    text, signature = _statement(asset, store)
    content = _read(text, str(asset.cid))
    there = {name: cid for name, cid in store.walk(str(asset.cid)) if cid is not None}
    wrong = {name for name, cid in content["files"].items() if there.get(name) != cid}
    wrong |= there.keys() - content["files"].keys() - {SNAPSHOT, SIGNATURE}
    if wrong:
        raise NotebookError(f"{asset.cid}: {', '.join(sorted(wrong))} is not what {SNAPSHOT} says; do not trust it")
    changed = store.backend.changed
    return Snapshot(asset, content, whose_text(text, signature, lambda: changed(layout.tree(str(asset.cid)))))


def _statement(asset: Asset, store: Store) -> tuple[bytes, str]:
    """What a snapshot says, and the signature of that."""
    folder = store.fetch(asset)
    text = (folder / SNAPSHOT).read_bytes() if (folder / SNAPSHOT).is_file() else b""
    signature = (folder / SIGNATURE).read_text("utf-8", "replace") if (folder / SIGNATURE).is_file() else ""
    return text, signature.strip()


def _read(text: bytes, cid: str) -> dict[str, Any]:
    try:
        content = dict(json.loads(text))
    except (ValueError, TypeError):
        raise NotebookError(f"{cid} is no snapshot of a notebook: it has no {SNAPSHOT} that can be read") from None
    if content.get("format") != FORMAT:
        raise NotebookError(f"{cid} is of the format {content.get('format')}, not {FORMAT}: use a newer Stargazer")
    if wrong := _malformed(content):
        raise NotebookError(f"{cid}: {', '.join(wrong)} of {SNAPSHOT} cannot be read; do not trust it")
    return content


def _malformed(content: Mapping[str, Any]) -> list[str]:
    """Members that are of another type than they must be, or name a place outside of the snapshot."""
    kinds = {"notebook": str, "title": str, "set": dict, "files": dict, "inputs": list, "values": dict, "cells": list}
    wrong = [name for name, kind in kinds.items() if not isinstance(content.get(name), kind)]
    if wrong:
        return wrong
    if not all(isinstance(each, dict) and all(isinstance(v, str) for v in each.values()) for each in content["inputs"]):
        return ["inputs"]
    places = [content["notebook"], *(each.get("path", "") for each in content["inputs"])]
    if any(".." in Path(place).parts for place in places) or f"{SOURCE}/{content['notebook']}" not in content["files"]:
        return ["a path"]
    return []


def fetch_snapshot(what: str, *, store: Store | None = None) -> Snapshot:
    """Bring somebody's published snapshot: every byte is checked, and it says whose it is.

    Parameters
    ----------
    what
        Its CID, the name or path of a bundle that has it, or an address: of a gateway (``https://…/ipfs/CID``),
        ``ipfs://CID``, or of a bundle (``https://….yaml``).
    store
        Where to; the active store by default.

    Raises
    ------
    RemoteError
        No remote of the settings gives it.
    NotebookError
        It is no snapshot, or an address that leads to none.
    """
    from stargazer.api import fetch
    from stargazer.notebook.published import read_address
    from stargazer.remotes import configured, fetch_into
    from stargazer.remotes.bundles import find_bundle

    opened = store or active_store()
    there = read_address(what)
    if there is not None and there.bundle is None:
        if not opened.has(there.cid):
            fetch_into(opened, there.cid, [*configured(), *([there.remote] if there.remote else [])])
        return fetch_snapshot(there.cid, store=opened)
    if there is not None or not is_reference(what):
        bundle = there.bundle if there is not None and there.bundle is not None else find_bundle(what)
        assets = bundle.fetch(opened, configured())
        snapshot = next((each for each in assets if isinstance(each, NotebookSnapshot)), None)
        if snapshot is None:
            raise NotebookError(f"bundle {what} has no snapshot of a notebook")
        return _opened(snapshot, opened)
    fetch(what, store=opened)
    known = [each for each in opened.find(cid=what) if isinstance(each, NotebookSnapshot)]
    if known:
        return _opened(known[0], opened)
    text, signature = _statement(opened.get(what), opened)
    content = _read(text, what)
    notebook = Path(content["notebook"]).name
    facts = {"notebook": notebook, "title": content["title"], "signer": signature.partition(".")[0]}
    named = replace(NotebookSnapshot(**facts), cid=what, name=f"{Path(notebook).stem}.snapshot")
    return _opened(opened.put(named), opened)
