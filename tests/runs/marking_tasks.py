"""Tasks of several sizes that write down when they began and ended."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import stargazer as sg


def marked(work: sg.Workdir, log: str, what: str, seconds: float) -> sg.Asset:
    """Write down when something began and ended, and on which worker."""
    out = work.file(f"{what}.txt")
    with open(log, "a") as file:
        file.write(f"+ {what} {os.getpid()}\n")
    time.sleep(seconds)
    with open(log, "a") as file:
        file.write(f"- {what} {os.getpid()}\n")
    out.write_text(str(os.getpid()))
    return sg.Asset(path=out)


@sg.task
def small(work: sg.Workdir, *, i: int, log: str, seconds: float = 0.1) -> sg.Asset:
    return marked(work, log, f"small-{i}", seconds)


@sg.task(cpus=4)
def wide(work: sg.Workdir, *, i: int, log: str, seconds: float = 0.1) -> sg.Asset:
    return marked(work, log, f"wide-{i}", seconds)


@sg.task(memory="600 MiB")
def heavy(work: sg.Workdir, *, i: int, log: str, seconds: float = 0.1) -> sg.Asset:
    return marked(work, log, f"heavy-{i}", seconds)


def at_once(log: Path) -> Iterator[set[str]]:
    """What ran beside each other, at each moment."""
    running: set[str] = set()
    for line in log.read_text().splitlines():
        sign, what, _ = line.split()
        running = running | {what} if sign == "+" else running - {what}
        yield running


def size_of(running: set[str]) -> int:
    return sum(4 if what.startswith("wide") else 1 for what in running)
