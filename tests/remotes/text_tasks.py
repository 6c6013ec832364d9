"""Small tasks whose results are sent from store to store, and how they are wired."""

from __future__ import annotations

from pathlib import Path

import stargazer as sg
from stargazer.store import Store


@sg.task
def upper(work: sg.Workdir, text: sg.Asset) -> tuple[sg.Asset, sg.Asset]:
    """Upper case, and how many characters."""
    out, count = work.file("upper.txt"), work.file("count.txt")
    out.write_text(text.path.read_text().upper())
    count.write_text(str(len(out.read_text())))
    return sg.Asset(path=out), sg.Asset(path=count)


@sg.task
def twice(work: sg.Workdir, text: sg.Asset, *, sep: str = "") -> sg.Asset:
    """Twice the text."""
    out = work.file("twice.txt")
    out.write_text(sep.join([text.path.read_text()] * 2))
    return sg.Asset(path=out)


def wired(source: sg.Asset, sep: str = "-") -> sg.Call:
    """Upper case, then twice."""
    upper_case, _ = upper(source)
    return twice(upper_case, sep=sep)


def made(store: Store, folder: Path, text: str = "hello") -> tuple[sg.Asset, sg.Asset]:
    """A source, and what comes of it."""
    (folder / "text.txt").write_text(text)
    source = store.add(folder / "text.txt")
    return source, wired(source).compute()
