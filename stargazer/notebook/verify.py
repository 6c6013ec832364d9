"""Run a snapshot again, and tell what differs."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import NotebookError, ToolFailed
from stargazer.ledger.signatures import NOT_AS_SIGNED
from stargazer.notebook.snapshots import INPUTS, SOURCE, Snapshot, find_snapshot
from stargazer.store import active_store

if TYPE_CHECKING:
    from stargazer.store import Store

__all__ = ["Difference", "Repeated", "verify_snapshot"]

JOB, RESULT = "verify.job.json", "verify.result.json"


class Difference(NamedTuple):
    """Something that is not as it was.

    Parameters
    ----------
    what
        ``value x``, ``output of cell y``, ``input z``.
    then, now
        CIDs, digests or states.
    """

    what: str
    then: str
    now: str

    def __str__(self) -> str:
        return f"{self.what}: was {self.then}, is {self.now}"


class Repeated(NamedTuple):
    """What running a snapshot again came to.

    Parameters
    ----------
    snapshot
        The snapshot.
    checked
        Number of values and outputs that were compared.
    differences
        Those that are not as they were.
    versions
        Libraries of another version than then, with both: a likely reason.
    """

    snapshot: Snapshot
    checked: int
    differences: tuple[Difference, ...]
    versions: tuple[Difference, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all is as it was."""
        return not self.differences

    def __str__(self) -> str:
        head = f"the same: {self.checked - len(self.differences)} of {self.checked}"
        return "\n".join([head, *map(str, self.differences), *(map(str, self.versions) if self.differences else ())])

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        told = {"snapshot": self.snapshot.cid, "whose": self.snapshot.whose, "checked": self.checked, "ok": self.ok}
        differences = [each._asdict() for each in self.differences]
        return told | {"differences": differences, "versions": [each._asdict() for each in self.versions]}


def verify_snapshot(name: str | Snapshot, *, store: Store | None = None) -> Repeated:
    """Run a snapshot's cells once more, in a process and a folder of their own, and compare all they make.

    Parameters
    ----------
    name
        CID, id, name or pin of a snapshot.
    store
        Where; the active store by default.

    Raises
    ------
    NotFound, NotebookError
        As `find_snapshot`; or its signature does not fit.
    """
    opened = store or active_store()
    snapshot = name if isinstance(name, Snapshot) else find_snapshot(name, opened)
    if snapshot.whose == NOT_AS_SIGNED:
        raise NotebookError(f"{snapshot.cid} is not as its owner signed it: nothing of it is run")
    with tempfile.TemporaryDirectory() as folder:
        missing = _lay_out(snapshot, Path(folder), opened)
        now = _run(snapshot, Path(folder), opened)
    pairs = [*_pairs(snapshot.content, now), *missing]
    differences = tuple(each for each in pairs if each.then != each.now)
    then, here = snapshot.content["versions"], now.get("versions", {})
    versions = tuple(Difference(n, v, here[n]) for n, v in sorted(then.items()) if n in here and here[n] != v)
    return Repeated(snapshot, len(pairs), differences, versions)


def _lay_out(snapshot: Snapshot, folder: Path, store: Store) -> list[Difference]:
    """Put source and inputs where they were; say which inputs are not there, or are other ones."""
    from stargazer.ledger.reads import file_value, folder_value

    root = snapshot.asset.fetch()
    for part in (SOURCE, INPUTS):
        if (root / part).is_dir():
            shutil.copytree(root / part, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    found = []
    for each in snapshot.content["inputs"]:
        path = each.get("path", "")
        if not path:
            now = each["cid"] if store.has(each["cid"]) else "not in the store"
            found.append(Difference(f"input {each['name'] or each['cid']}", each["cid"], now))
        elif path.startswith("/"):
            now = folder_value(path) if path.endswith("/") else file_value(path)
            found.append(Difference(f"input {path}", each["cid"], now))
        elif not path.endswith("/") and not (folder / path).exists() and store.has(each["cid"]):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(store.fetch(each["cid"]), folder / path)
    return found


def _run(snapshot: Snapshot, folder: Path, store: Store) -> dict[str, Any]:
    """What the cells come to now, in the words of a snapshot."""
    from stargazer.tools import Workdir

    content = snapshot.content
    job = {"notebook": content["notebook"], "set": content["set"], "store": store.url}
    (folder / JOB).write_text(json.dumps(job))
    try:
        Workdir(folder).run(["python", "-m", "stargazer.notebook.rerun", JOB])
    except ToolFailed as error:
        return {"error": str(error)}
    return dict(json.loads((folder / RESULT).read_text()))


def _pairs(then: dict[str, Any], now: dict[str, Any]) -> list[Difference]:
    """What was and is, value by value and output by output."""
    nothing = f"nothing ({now['error'].splitlines()[-1]})" if "error" in now else "nothing"
    found = []
    for name, value in then["values"].items():
        other = now.get("values", {}).get(name)
        found.append(Difference(f"value {name}", _text(value["cid"]), _text(other["cid"]) if other else nothing))
    cells = {_label(each, n): each for n, each in enumerate(now.get("cells", ()))}
    for number, cell in enumerate(then["cells"]):
        label = _label(cell, number)
        other = cells.get(label, {})
        if cell["state"] != other.get("state"):
            found.append(Difference(f"cell {label}", cell["state"], other.get("state", nothing)))
        elif cell["shown"]:
            found.append(Difference(f"output of cell {label}", cell["shown"][:16], other["shown"][:16] or "nothing"))
    return found


def _label(cell: dict[str, Any], number: int) -> str:
    return cell["name"] or ", ".join(cell["defs"]) or f"number {number + 1}"


def _text(cid: Any) -> str:
    return cid if isinstance(cid, str) else ", ".join(cid)
