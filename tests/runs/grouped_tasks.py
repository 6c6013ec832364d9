"""Short tasks, of which many go to a worker at once; what they did stands in a log that nothing reads as input."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import stargazer as sg


class Both(NamedTuple):
    less: sg.Asset
    more: sg.Asset


def note(log: str, text: str) -> None:
    """Write down that a body ran."""
    if log:
        with open(log, "a") as file:
            file.write(f"{text}\n")


def written(work: sg.Workdir, name: str, number: int) -> sg.Asset:
    out = work.file(f"{name}.txt")
    out.write_text(str(number))
    return sg.Asset(path=out)


@sg.task
def leaf(work: sg.Workdir, *, i: int, log: str = "", fails: int = -1, ends: int = -1) -> sg.Asset:
    note(log, f"leaf {i}")
    if i == fails:
        raise ValueError(f"no {i} here")
    if i == ends:
        os._exit(3)
    return written(work, "leaf", i)


@sg.task
def place(work: sg.Workdir, *, i: int) -> str:
    from distributed import get_worker

    return str(get_worker().get_current_task())


@sg.task
def plus(work: sg.Workdir, part: sg.Asset, *, by: int) -> sg.Asset:
    return written(work, "plus", int(part.path.read_text()) + by)


@sg.task
def both(work: sg.Workdir, part: sg.Asset) -> Both:
    number = int(part.path.read_text())
    return Both(written(work, "less", number - 1), written(work, "more", number + 1))


@sg.task
def many(work: sg.Workdir, parts: list[sg.Asset]) -> sg.Asset:
    return written(work, "many", sum(int(part.path.read_text()) for part in parts))


@sg.task
def patient(work: sg.Workdir, *, i: int, log: str, flag: str, waits: int) -> sg.Asset:
    note(log, f"patient {i}")
    if i >= waits:
        script = f'while [ ! -e "$(echo {flag[::-1]} | rev)" ]; do sleep 0.05; done'
        work.run(["sh", "-c", script])
    return written(work, "patient", i)


def lines(log: Path) -> list[str]:
    """What bodies have written down."""
    return log.read_text().splitlines() if log.exists() else []


@sg.dynamic
def spread(part: sg.Asset, *, count: int) -> list[sg.Asset]:
    return [plus(part, by=by) for by in range(count)]


@sg.task(walltime=lambda parts: 60.0 + len(parts))
def late(work: sg.Workdir, parts: list[sg.Asset]) -> sg.Asset:
    return written(work, "late", sum(int(part.path.read_text()) for part in parts))


@sg.task(gpus=lambda parts: len(parts))
def huge(work: sg.Workdir, parts: list[sg.Asset]) -> sg.Asset:
    return written(work, "huge", len(parts))


@sg.dynamic
def wires_late(part: sg.Asset, before: sg.Asset) -> sg.Asset:
    return late([leaf(i=0), before])
