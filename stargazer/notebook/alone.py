"""A cell in a process of its own, with the environment that it asks for: ``# @env NAME=VALUE``, ``# @env TOKEN``."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotKept

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.notebook.cells import CellTask
    from stargazer.tools import Workdir

__all__ = ["JOB", "RESULT", "perform_alone"]

JOB, RESULT = "cell.job", "cell.result"


def perform_alone(task: CellTask, staged: Mapping[str, Any], work: Workdir) -> dict[str, Any]:
    """Run a cell as `stargazer.notebook.cells.perform` does, in another process.

    Raises
    ------
    ToolFailed
        It failed; the last lines are its traceback.
    NotKept
        It reads what lives in the notebook's process only, or what it made holds a secret.
    """
    if task.given:
        lives = ", ".join(sorted(task.given))
        raise NotKept(f"{task.name} has an environment of its own, and reads {lives}, which has no bytes")
    job = work.path / JOB
    job.write_bytes(pickle.dumps((task, dict(staged), os.getcwd())))
    work.run(["python", "-m", "stargazer.notebook.job", JOB])
    made: dict[str, Any] = pickle.loads((work.path / RESULT).read_bytes())
    _check_secrets(task, work)
    return made


def _check_secrets(task: CellTask, work: Workdir) -> None:
    """Mask secrets in what was shown, and refuse values that hold one."""
    from stargazer.config import secrets

    names = [name for name, value in task.cell.notes.env.items() if value is None]
    held = {name: value.encode() for name, value in secrets(names).items() if value}
    shown = work.path / "outputs.json"
    if shown.exists():
        shown.write_text(work.masked(shown.read_text()))
    for path in sorted((work.path / "made").rglob("*")):
        found = next((name for name, value in held.items() if path.is_file() and value in path.read_bytes()), None)
        if found is not None:
            raise NotKept(f"{path.name.removesuffix('.value')} holds the secret {found}, which is never kept")
