"""The other process of a snapshot that is run again: ``python -m stargazer.notebook.rerun JOB``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from stargazer.notebook.book import Notebook
from stargazer.notebook.snapshots import cell_of, values_of
from stargazer.notebook.verify import RESULT
from stargazer.store import Store
from stargazer.tools import library_version

__all__ = ["main"]


def main() -> int:
    """Run the notebook of a job in the current folder; all of its cells, whatever is known."""
    job = json.loads(Path(sys.argv[1]).read_text())
    with Store.open(job["store"]) as store:
        book = Notebook(job["notebook"], store).run(set=job["set"], again=True)
    outcome = book.outcome
    used = {name for record in outcome.records for name in record.libraries}
    versions = {name: library_version(name) for name in sorted(used)}
    told = {"values": values_of(outcome.assets), "cells": [cell_of(row) for row in outcome.rows], "versions": versions}
    Path(RESULT).write_text(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
