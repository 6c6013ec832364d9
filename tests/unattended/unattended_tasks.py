"""Tasks of runs of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import stargazer as sg


@sg.task
def letter(work: sg.Workdir, *, text: str) -> sg.Asset:
    out = work.file("letter.txt")
    out.write_text(text)
    return sg.Asset(path=out)


@sg.task
def shell(work: sg.Workdir, given: sg.Asset | None = None, *, script: str) -> sg.Asset:
    out = work.file("out.txt")
    work.run(["sh", "-c", script], stdin=given.path if given else None, stdout=out)
    return sg.Asset(path=out)


class Pair(NamedTuple):
    text: sg.Asset
    length: int


@sg.task
def measured(work: sg.Workdir, given: sg.Asset) -> Pair:
    out = work.file("copy.txt")
    out.write_text(given.path.read_text())
    return Pair(sg.Asset(path=out), len(given.path.read_text()))


def waiting(path: object) -> str:
    """Script that waits for a file, which stands in no key of what is read."""
    return f"until test -e {path}; do sleep 0.05; done; echo went"


LONGEST = 180.0


def until(holds: Callable[[], Any], seconds: float = LONGEST) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
