"""What does a graph cost that grows? One list, a task for each of its elements, and one that adds them up.

Cold and known, in fresh processes, beside the static graph of the same calls, redun (dynamic by nature), and Dask's own
futures that start others (``worker_client``). Aims: at most 1.1 × the static graph; at most 60 µs to wire an element.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.rounds import PROGRAMS, Ended, Ratio, compare, in_turns, process, temporary

__all__ = ["measure"]

COUNT = 10_000
AIM, AIM_WIRED = 1.1, 60.0
SLOW = 10
"""Of redun a tenth of the elements is measured, once: it takes minutes for all of them."""
STATIC, REDUN, DASK = "the static graph", "redun", "Dask futures with worker_client"


def measure(quick: bool = False) -> Iterator[Ratio]:
    """Yield each ratio as it is known.

    Parameters
    ----------
    quick
        Fewer elements and rounds: for trying out, not for quoting.
    """
    with temporary() as directory:
        bench = Grow(directory, 300 if quick else COUNT, 1 if quick else 3)
        yield from bench.cold()
        yield from bench.known()
        yield from bench.wiring()


def missing() -> list[str]:
    """What could be measured beside us but is not installed."""
    return [] if importlib.util.find_spec("redun") else [REDUN]


class Grow:
    """The programs, each with a folder of its own."""

    def __init__(self, directory: Path, count: int, rounds: int) -> None:
        self.directory, self.count, self.rounds = directory, count, rounds
        self._serial = itertools.count()

    @functools.cached_property
    def fewer(self) -> Grow:
        """The same of fewer elements."""
        return Grow(self.directory / "fewer", self.count // SLOW, 1)

    def cold(self) -> Iterator[Ratio]:
        """From the list to the sum, nothing known, on threads of one process."""
        ways = {"grows": ours("grows"), "maps": ours("maps"), STATIC: ours("static"), DASK: program("grow_dask.py")}
        found = in_turns({name: partial(self._run, way) for name, way in ways.items()}, self.rounds, warm_up=False)
        for name in (STATIC, DASK):
            yield self._ratio("cold", name, found["grows"], found[name], AIM if name == STATIC else None)
        yield self._ratio("cold, by task.map", STATIC, found["maps"], found[STATIC], AIM)
        if not missing():
            slow = [[self.fewer._run(way)] for way in (ours("grows"), program("grow_redun.py"))]
            yield self.fewer._ratio("cold", REDUN, *slow, None)

    def known(self) -> Iterator[Ratio]:
        """The same once more, in a fresh process."""
        ways = {"grows": ours("grows"), STATIC: ours("static")}
        folders = {name: self.new_folder() for name in ways}
        for name, way in ways.items():
            way(folders[name], self.count)
        found = in_turns(
            {name: partial(way, folders[name], self.count) for name, way in ways.items()}, self.rounds, warm_up=False
        )
        yield self._ratio("known", STATIC, found["grows"], found[STATIC], AIM)
        if not missing():
            slow = [self.fewer._again(way) for way in (ours("grows"), program("grow_redun.py"))]
            yield self.fewer._ratio("known", REDUN, *slow, None)

    def wiring(self) -> Iterator[Ratio]:
        """Microseconds of processor time to wire one element, beside making and planning the same call statically."""
        folder = self.new_folder()
        ours("list")(folder, self.count)
        found = [ours("wire")(folder, self.count).printed for _ in range(self.rounds)]
        for kind in ("grows", "maps"):
            case = f"{self.count:,} elements wired{' by task.map' if kind == 'maps' else ''}"
            figures = [[each[name] for each in found] for name in (kind, "static")]
            yield compare("grow", case, "made and planned", *figures, "µs", aim=AIM_WIRED, of="ours")

    def new_folder(self) -> Path:
        """A folder that nothing was written to."""
        made = self.directory / f"run{next(self._serial)}"
        made.mkdir(parents=True)
        return made

    def _run(self, way: Any) -> Ended:
        ended: Ended = way(self.new_folder(), self.count)
        return ended

    def _again(self, way: Any) -> list[Ended]:
        """Once, and once more: the second."""
        folder = self.new_folder()
        way(folder, self.count)
        return [way(folder, self.count)]

    def _ratio(self, case: str, name: str, one: list[Ended], other: list[Ended], aim: float | None) -> Ratio:
        totals = {each.printed["total"] for each in (*one, *other)}
        if len(totals) != 1:
            raise ValueError(f"{case}: results differ: {totals}")
        walls = [[each.printed["seconds"] for each in ended] for ended in (one, other)]
        return compare("grow", f"{case}, {self.count:,} elements", name, *walls, "s", aim=aim)


def program(name: str, *before: str) -> Any:
    """A program of a folder and a number of elements."""

    def run(folder: Path, count: int) -> Ended:
        return process(PROGRAMS / name, *before, count, folder, env={"DASK_STARGAZER__STORE": f"{folder}/store"})

    return run


def ours(kind: str) -> Any:
    """Our own, in one of its forms."""
    return program("grow_stargazer.py", kind)
