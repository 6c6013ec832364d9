"""A cell in a process of its own: for the environment that it asks for, or as it must not find what was set up here."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import NotKept, ToolFailed
from stargazer.ledger import walk_assets
from stargazer.notebook.secrets import masked, secret_in, secret_names
from stargazer.notebook.values import Value, remove

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from stargazer.notebook.cells import CellTask
    from stargazer.notebook.settings import Made
    from stargazer.tools import Workdir

__all__ = ["FAILED", "JOB", "RESULT", "Done", "Job", "perform_alone"]

JOB, RESULT, FAILED = "cell.job", "cell.result", "cell.failed"
VALUES = ("*.value", "changed/*.value")
"""Where a cell leaves values."""


class Job(NamedTuple):
    """What the other process is told.

    Parameters
    ----------
    task
        The cell.
    staged, given
        What it reads, as files and as objects.
    before
        What other cells set up before it.
    folder
        Where it runs.
    variables
        Of the environment that its code names, as they are here.
    places
        Where the engine has its files.
    """

    task: CellTask
    staged: dict[str, Any]
    given: dict[str, Any]
    before: tuple[Made, ...]
    folder: str
    variables: dict[str, str | None]
    places: tuple[str, ...]


class Done(NamedTuple):
    """What the other process tells.

    Parameters
    ----------
    made
        As `stargazer.notebook.cells.perform` returns it.
    reads, written
        What the cell read, and which files it wrote.
    held
        Values that hold a secret, with its name, where their files do not tell.
    """

    made: dict[str, Any]
    reads: dict[str, str]
    written: set[str]
    held: dict[str, str]


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
    with _nothing_left(work.path):
        job = work.path / JOB
        job.write_bytes(_written_out(task, staged))
        try:
            work.run(["python", "-m", "stargazer.notebook.job", JOB])
        except ToolFailed:
            _take_shown(task, work)
            raise
        done: Done = pickle.loads((work.path / RESULT).read_bytes())
        _check_secrets(task, work, done)
    task.seen = done.reads
    for body in _bodies(task):
        body.written |= done.written
    return done.made


@contextlib.contextmanager
def _nothing_left(folder: Path) -> Iterator[None]:
    """Where a cell fails, its folder is kept for people to look at, and its values may hold a secret."""
    try:
        yield
    except BaseException:
        for pattern in VALUES:
            for draft in folder.glob(pattern):
                remove(draft)
        for name in ("outputs.json", FAILED):
            (folder / name).unlink(missing_ok=True)
        raise


def _bodies(task: CellTask) -> list[Any]:
    """What is observed of the cell in this process."""
    from stargazer.execute.audit import running

    return [body for body in running() if body.task == task.name]


def _variables(task: CellTask) -> dict[str, str | None]:
    """Variables of the environment that the code of a cell names, with what they are here; secrets are asked for."""
    from stargazer.config import variables
    from stargazer.execute.named import named_by

    named = named_by(task.body, task.identity().digest).variables
    return variables(name for name in named if name not in task.cell.notes.env)


def _written_out(task: CellTask, staged: Mapping[str, Any]) -> bytes:
    places = tuple({place for body in _bodies(task) for place in body.places})
    job = Job(task, dict(staged), task.given, task.set_up, os.getcwd(), _variables(task), places)
    try:
        return pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise NotKept(
            f"{task.name} has to run in a process of its own, without what cells after it have set up in this one, and "
            f"what it needs cannot be sent there ({error}): run the notebook in a new process"
        ) from None


def _take_shown(task: CellTask, work: Workdir) -> None:
    """What a cell showed before it failed."""
    path = work.path / FAILED
    if path.is_file():
        task.captured.outputs.extend(json.loads(_masked(task, work, path.read_text())))


def _asked(task: CellTask) -> list[str]:
    return secret_names([task.cell])


def _masked(task: CellTask, work: Workdir, text: str) -> str:
    return masked(work.masked(text), _asked(task))


def _check_secrets(task: CellTask, work: Workdir, done: Done) -> None:
    """Mask secrets in what was shown, and refuse values that hold one, also as URLs, JSON and headers write it."""
    shown = work.path / "outputs.json"
    if shown.exists():
        shown.write_text(_masked(task, work, shown.read_text()))
    values = [asset for asset in walk_assets(dict(done.made)) if isinstance(asset, Value) and asset.cid is None]
    for path in (asset.path for asset in values if asset.path.name != shown.name):
        if found := secret_in(None, path, _asked(task)):
            raise _holds(path.name.removesuffix(".value"), found)
    for name, secret in done.held.items():
        raise _holds(name, secret)


def _holds(name: str, secret: str) -> NotKept:
    return NotKept(f"{name} holds the secret {secret}, which is never kept")
