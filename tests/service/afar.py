"""Tasks that an executor can import: it finds this module by its path."""

from __future__ import annotations

import os
from pathlib import Path

import stargazer as sg


@sg.task(worker="far")
def joined(work: sg.Workdir, words: list[sg.Asset], extra: sg.Asset | None = None, *, sep: str = "-") -> sg.Asset:
    """Words of files, with the id of the process that joined them."""
    out = work.directory("out")
    given = [*words, *([extra] if extra else [])]
    (out / "words.txt").write_text(sep.join(each.path.read_text() for each in given))
    (out / "empty").mkdir()
    work.run(["sh", "-c", "echo said >&2"])
    return sg.Asset(path=out, name="out", facts={"process": os.getpid()})


@sg.task(worker="far")
def broken(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
    """Fail."""
    raise sg.errors.DataError("there is no column x")


@sg.task(worker="far")
def endless(work: sg.Workdir, *, flag: Path) -> sg.Asset:
    """Say that it runs, for ever."""
    work.run(["sh", "-c", f"while true; do date > '{flag}'; sleep 0.05; done"])
    return sg.Asset(path=work.file("never"))
