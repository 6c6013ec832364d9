"""The other process of a cell that runs alone: ``python -m stargazer.notebook.job FILE``."""

from __future__ import annotations

import json
import os
import pickle
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.config import set_variable
from stargazer.execute import TaskSpec
from stargazer.execute.findings import Findings
from stargazer.notebook.alone import FAILED, RESULT, Done
from stargazer.notebook.cells import perform
from stargazer.notebook.secrets import secret_in, secret_names
from stargazer.notebook.settings import set_up
from stargazer.notebook.shown import own_traceback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.notebook.alone import Job
    from stargazer.notebook.cells import CellTask

__all__ = ["main"]


def main() -> int:
    """Run the cell of a job file in the current folder."""
    here = Path.cwd()
    job: Job = pickle.loads((here / sys.argv[1]).read_bytes())
    os.chdir(job.folder)
    job.task.given = job.given
    for name, value in job.variables.items():
        set_variable(name, value)
    try:
        set_up(job.before, job.task.prelude)
        done = _watched(job.task, job.staged, here, job.places)
    except Exception as error:  # noqa: BLE001 - whatever a cell raises is told where it was started
        print(
            "".join(traceback.format_exception(type(error), error, own_traceback(error.__traceback__))), file=sys.stderr
        )
        (here / FAILED).write_text(json.dumps(job.task.captured.outputs, sort_keys=True, default=str))
        return 1
    (here / RESULT).write_bytes(pickle.dumps(done))
    return 0


def _watched(task: CellTask, staged: Mapping[str, Any], here: Path, places: tuple[str, ...]) -> Done:
    """Run the cell, and see what it reads as its own process would."""
    code, env = task.identity(), task.cell.notes.env
    secrets = tuple(secret_names([task.cell]))
    spec = TaskSpec(
        task, task.name, task.needs, False, "", code.digest, code.manifest, (), {}, "", "",
        env={name: value for name, value in env.items() if value is not None}, secrets=secrets,
    )  # fmt: skip
    findings = Findings(spec, (str(here), *places), {})
    with findings.watched():
        made = perform(task, staged, here)
    held = (
        (name, secret_in(value, getattr(made.get(name), "path", None), secrets)) for name, value in task.left.items()
    )
    reads = {name: value for name, value in findings.reads.items() if name.removeprefix("$") not in env}
    return Done(made, reads, findings.body.written, {name: secret for name, secret in held if secret})


if __name__ == "__main__":
    sys.exit(main())
