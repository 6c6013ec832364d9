"""What does remembering cost? 1,000 tasks that each make a file, and one that adds them up, in fresh processes.

Cold, unchanged, and one of them changed, beside bare Dask, joblib.Memory and redun doing the same. Aims: unchanged, the
whole process takes at most 1.2 × ``python -c "import dask.delayed"``, and each further known task at most 12 µs; cold
at most 1.5 × bare Dask, on the same client and as a process, and 1.7 × joblib.Memory.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.rounds import PROGRAMS, Ended, Ratio, clock, compare, in_turns, process, temporary
from benchmarks.workers import local_client, spent_on

__all__ = ["measure"]

COUNT = 1000
AIM_UNCHANGED, AIM_COLD, AIM_JOBLIB, AIM_FURTHER = 1.2, 1.5, 1.7, 12.0
IMPORT = ("-c", "import dask.delayed")
OTHERS = {"joblib": "joblib.Memory", "redun": "redun"}


def measure(quick: bool = False) -> Iterator[Ratio]:
    """Yield each ratio as it is known.

    Parameters
    ----------
    quick
        Fewer rounds and tasks: for trying out, not for quoting.
    """
    with temporary() as directory:
        bench = Overhead(directory, 200 if quick else COUNT, 3 if quick else 7)
        yield from bench.on_one_client()
        yield from bench.cold()
        yield from bench.unchanged()
        yield from bench.further()
        yield from bench.changed()


def missing() -> list[str]:
    """What could be measured beside us but is not installed."""
    return [name for module, name in OTHERS.items() if importlib.util.find_spec(module) is None]


class Overhead:
    """The programs, each with a folder of its own."""

    def __init__(self, directory: Path, count: int, rounds: int) -> None:
        self.directory, self.count, self.rounds = directory, count, rounds
        self._serial = itertools.count()

    def on_one_client(self) -> Iterator[Ratio]:
        """Cold, on one client for all: fresh processes that connect to the same scheduler and workers."""
        with local_client() as client:
            address = client.scheduler.address

            def cold(program: Callable[..., Ended]) -> tuple[float, float]:
                ended: list[Ended] = []
                spent = spent_on(client, lambda: ended.append(program(self.new_folder(), 0, self.count, address)))
                return ended[0].printed["seconds"], spent.cpu + ended[0].spent.cpu

            found = in_turns({"ours": partial(cold, ours), "dask": partial(cold, dask)}, self.rounds)
        for part, (unit, kind, aim) in enumerate([("s", "", AIM_COLD), ("CPU s", ", CPU of all processes", None)]):
            figures = ([each[part] for each in found[name]] for name in ("ours", "dask"))
            yield self._ratio(f"cold, on a client{kind}", "bare Dask on the same client", *figures, unit, aim=aim)

    def cold(self) -> Iterator[Ratio]:
        """Cold, each on its own: whole processes, without a client."""
        anew = lambda program: program(self.new_folder(), 0, self.count)  # noqa: E731
        others = {"bare Dask": dask, **installed()}
        slow = {"redun": others.pop("redun")} if "redun" in others else {}
        aims = {"bare Dask": AIM_COLD, "joblib.Memory": AIM_JOBLIB}
        for name, program in others.items():
            yield from self._whole("cold", {name: program}, self.rounds, anew, aim=aims.get(name))
        yield from self._whole("cold", slow, 1, anew)

    def unchanged(self) -> Iterator[Ratio]:
        """Again in a new process, where nothing has changed."""
        others = {"bare Dask": dask, **installed()}
        folders = {program: self.new_folder() for program in (ours, *others.values())}
        for program, folder in folders.items():
            program(folder, 0, self.count)
        again = lambda program: program(folders.get(program), 0, self.count)  # noqa: E731
        yield from self._whole(
            "unchanged", {"import dask.delayed": imported}, 3 * self.rounds, again, aim=AIM_UNCHANGED
        )
        slow = {"redun": others.pop("redun")} if "redun" in others else {}
        yield from self._whole("unchanged", others, self.rounds, again)
        yield from self._whole("unchanged", slow, 1, again)

    def further(self) -> Iterator[Ratio]:
        """What a further known task costs: two sizes, and the slope between them."""
        sizes = self.count, 5 * self.count
        others = {name: program for name, program in installed().items() if name != "redun"}
        folders = {program: self.new_folder() for program in (ours, *others.values())}
        for program, folder in folders.items():
            program(folder, 0, sizes[1])
        runs: dict[Any, Callable[[], Any]] = {
            (program, size): partial(_seconds, program, folder, size)
            for program, folder in folders.items()
            for size in sizes
        }
        runs["bare"] = lambda: clock(lambda: bare_identities(sizes[1])).wall / sizes[1] * 1e6
        found = in_turns(runs, self.rounds)
        slopes = {
            p: [_slope(*pair, sizes) for pair in zip(*(found[p, s] for s in sizes), strict=True)] for p in folders
        }
        bare = "a Delayed and a SHA-256"
        yield self._ratio("a further known task", bare, slopes[ours], found["bare"], "µs", aim=AIM_FURTHER, of="ours")
        for name, program in others.items():
            yield self._ratio("a further known task", name, slopes[ours], slopes[program], "µs")

    def changed(self) -> Iterator[Ratio]:
        """Again in a new process, where one parameter of one task has changed."""
        others = {"bare Dask": dask, **installed()}
        folders = {program: self.new_folder() for program in (ours, *others.values())}
        for program, folder in folders.items():
            program(folder, 0, self.count)
        fresh = lambda program: program(folders[program], self.count + next(self._serial), self.count)  # noqa: E731
        slow = {"redun": others.pop("redun")} if "redun" in others else {}
        case = f"1 of {self.count} changed"
        yield from self._whole(case, others, self.rounds, fresh)
        yield from self._whole(case, slow, 1, fresh)

    def new_folder(self) -> Path:
        """A folder of which nothing is known."""
        folder = self.directory / f"folder{next(self._serial)}"
        folder.mkdir()
        return folder

    def _whole(
        self, case: str, others: dict[str, Any], rounds: int, run: Callable[[Any], Ended], aim: float | None = None
    ) -> Iterator[Ratio]:
        """Whole processes, in turns."""
        if not others:
            return
        programs = {"": ours, **others}
        work = {name: partial(run, program) for name, program in programs.items()}
        found = in_turns(work, rounds, warm_up=rounds > 1)
        mine = [ended.spent.wall for ended in found[""]]
        for name in others:
            theirs = [ended.spent.wall for ended in found[name]]
            yield self._ratio(f"{case}, whole process", name, mine, theirs, "s", aim=aim)

    def _ratio(self, case: str, beside: str, *figures: Any, **options: Any) -> Ratio:
        return compare("overhead", f"{self.count} tasks: {case}", beside, *figures, **options)


def ours(folder: Path, changed: int, count: int, *address: str) -> Ended:
    """Stargazer, its store in `folder`."""
    program = PROGRAMS / "overhead_stargazer.py"
    return process(program, changed, count, *address, env={"DASK_STARGAZER__STORE": f"{folder}/store"})


def other(program: str, folder: Path, changed: int, count: int, *address: str) -> Ended:
    """Another program, its files in `folder`."""
    return process(PROGRAMS / program, changed, count, folder, *address)


dask = partial(other, "overhead_dask.py")


def installed() -> dict[str, Callable[..., Ended]]:
    """What remembers results too, and is installed."""
    absent = missing()
    return {name: partial(other, f"overhead_{m}.py") for m, name in OTHERS.items() if name not in absent}


def imported(*_: Any) -> Ended:
    """The least that a process with Dask's delayed costs."""
    return process(*IMPORT)


def bare_identities(count: int) -> None:
    """Make `Delayed`s, and hash as much as an identity holds: the least that a known task costs."""
    from dask.delayed import Delayed

    for i in range(count):
        key = hashlib.sha256(f"{'0' * 64}\n{json.dumps({'i': i})}\n{{}}".encode()).hexdigest()
        Delayed(key, {key: i})


def _seconds(program: Callable[..., Ended], folder: Path, size: int) -> float:
    seconds: float = program(folder, 0, size).printed["seconds"]
    return seconds


def _slope(small: float, large: float, sizes: tuple[int, int]) -> float:
    return (large - small) / (sizes[1] - sizes[0]) * 1e6
