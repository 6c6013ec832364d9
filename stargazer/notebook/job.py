"""The other process of a cell that runs alone: ``python -m stargazer.notebook.job FILE``."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from pathlib import Path

from stargazer.notebook.alone import RESULT
from stargazer.notebook.cells import perform
from stargazer.notebook.settings import set_up
from stargazer.notebook.shown import own_traceback

__all__ = ["main"]


def main() -> int:
    """Run the cell of a job file in the current folder."""
    here = Path.cwd()
    task, staged, given, before, folder = pickle.loads((here / sys.argv[1]).read_bytes())
    os.chdir(folder)
    task.given = given
    try:
        set_up(before, task.prelude)
        made = perform(task, staged, here)
    except Exception as error:  # noqa: BLE001 - whatever a cell raises is told where it was started
        print(
            "".join(traceback.format_exception(type(error), error, own_traceback(error.__traceback__))), file=sys.stderr
        )
        return 1
    (here / RESULT).write_bytes(pickle.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
