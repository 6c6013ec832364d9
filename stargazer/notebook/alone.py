"""A cell in a process of its own: for the environment that it asks for, or as it must not find what was set up here."""

from __future__ import annotations

import base64
import json
import os
import pickle
import urllib.parse
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotKept
from stargazer.ledger import walk_assets
from stargazer.notebook.values import Value, remove

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stargazer.notebook.cells import CellTask
    from stargazer.tools import Workdir

__all__ = ["JOB", "RESULT", "perform_alone"]

JOB, RESULT = "cell.job", "cell.result"
SHORTEST = 8
"""Characters of base64 below which it may be anything."""


def perform_alone(task: CellTask, staged: Mapping[str, Any], work: Workdir) -> dict[str, Any]:
    """Run a cell as `stargazer.notebook.cells.perform` does, in another process.

    Raises
    ------
    ToolFailed
        It failed; the last lines are its traceback.
    NotKept
        It needs what lives in the notebook's process only, or what it made holds a secret.
    """
    if task.given and task.cell.notes.env:
        lives = ", ".join(sorted(task.given))
        raise NotKept(f"{task.name} has an environment of its own, and reads {lives}, which has no bytes")
    job = work.path / JOB
    job.write_bytes(_written_out(task, staged))
    work.run(["python", "-m", "stargazer.notebook.job", JOB])
    made: dict[str, Any] = pickle.loads((work.path / RESULT).read_bytes())
    _check_secrets(task, work, made)
    return made


def _written_out(task: CellTask, staged: Mapping[str, Any]) -> bytes:
    try:
        return pickle.dumps((task, dict(staged), task.given, task.set_up, os.getcwd()))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise NotKept(
            f"{task.name} has to run in a process of its own, without what cells after it have set up in this one, and "
            f"what it needs cannot be sent there ({error}): run the notebook in a new process"
        ) from None


def _check_secrets(task: CellTask, work: Workdir, made: Mapping[str, Any]) -> None:
    """Mask secrets in what was shown, and refuse values that hold one, also as URLs, JSON and headers write it."""
    from stargazer.config import MASK, secrets

    names = [name for name, value in task.cell.notes.env.items() if value is None]
    held = {name: _written(value) for name, value in secrets(names).items() if value}
    shown = work.path / "outputs.json"
    if shown.exists():
        text = work.masked(shown.read_text())
        for form in sorted((form.decode() for forms in held.values() for form in forms), key=len, reverse=True):
            text = text.replace(form, MASK)
        shown.write_text(text)
    values = [asset for asset in walk_assets(dict(made)) if isinstance(asset, Value) and asset.cid is None]
    drafts = [asset.path for asset in values if asset.path.name != shown.name]
    for draft in drafts:
        found = next((name for name, forms in held.items() if _holds(draft, forms)), None)
        if found is not None:
            for each in drafts:  # the work directory of a cell that failed stays for a day
                remove(each)
            raise NotKept(f"{draft.name.removesuffix('.value')} holds the secret {found}, which is never kept")


def _holds(draft: Path, forms: set[bytes]) -> bool:
    """Whether a file, or one in a tree, holds any of some texts."""
    read = (path.read_bytes() for path in [draft, *draft.rglob("*")] if path.is_file())
    return any(form in data for data in read for form in forms)


def _written(value: str) -> set[bytes]:
    """How a text stands in others: as it is, in JSON, in a URL, and in base64 whatever stands before it."""
    once = json.dumps(value)[1:-1]
    forms = {value, once, json.dumps(once)[1:-1], urllib.parse.quote(value, safe="")}  # JSON is kept as JSON's text
    for before in range(3):
        data = bytes(before) + value.encode()
        text = base64.b64encode(data).decode().rstrip("=")
        core = text[(0, 2, 3)[before] : len(text) - bool(len(data) % 3)]
        forms |= {core, core.translate(str.maketrans("+/", "-_"))} if len(core) >= SHORTEST else set()
    return {form.encode() for form in forms}
