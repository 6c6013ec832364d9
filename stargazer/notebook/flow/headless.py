"""A marimo notebook in a process of its own: ``python -m stargazer.notebook.flow.headless JOB``."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from stargazer.errors import StargazerError
from stargazer.ledger import walk_assets
from stargazer.notebook.book import Notebook
from stargazer.notebook.shown import text_of
from stargazer.store import Store
from stargazer.tools.ending import overdue

__all__ = ["main"]

GRACE = 10.0
"""Seconds after its time for which a cell may go on, in a step of a library that nothing interrupts."""


def main(place: str) -> None:
    """Run what a job says, and write its report and page."""
    job = json.loads(Path(place).read_text("utf-8"))
    os.chdir(job["folder"])
    threading.Thread(target=_watch, args=(job,), name="stargazer-limit", daemon=True).start()
    try:
        with Store.open(job["store"]) as store:
            report = _run(job, store)
    except StargazerError as error:
        report = {"problem": " ".join(str(error).split())}
    Path(job["report"]).write_text(json.dumps(report), "utf-8")


def _run(job: dict[str, Any], store: Store) -> dict[str, Any]:
    book = Notebook(job["file"], store)
    cells = tuple(replace(cell, limit=job["timeout"]) for cell in book.cells)
    book.document = replace(book.document, cells=cells)
    book.run(set=job["given"])
    book.write_page(job["page"])
    rows = [{**row.to_dict(), "problem": _problem(row)} for row in book.report.rows]
    reads = {name: value for record in book.outcome.records for name, value in record.reads.items()}
    return {"cells": rows, "values": {name: _cids(book.assets[name]) for name in book.assets}, "reads": reads}


def _watch(job: dict[str, Any]) -> None:
    """End this process where a cell cannot be ended otherwise."""
    while not (names := overdue(GRACE)):
        time.sleep(0.5)
    told = f"{names[0]} took longer than {job['timeout']:g} s, and could not be ended"
    Path(job["report"]).write_text(json.dumps({"problem": told}), "utf-8")
    os._exit(1)


def _cids(value: Any) -> str:
    """Names of a value: one, or those of the assets of which it is a list."""
    return " ".join(str(asset.cid) for asset in walk_assets([value]))


def _problem(row: Any) -> str:
    """Last line of what a failed cell showed."""
    lines = text_of(row.outputs).strip().splitlines() if row.state == "failed" else []
    return lines[-1] if lines else ""


if __name__ == "__main__":
    main(sys.argv[1])
