"""Measuring in turns: rounds, fresh processes, medians, and the ratio that comes of them."""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import dask.config
import psutil
from distributed.system import MEMORY_LIMIT

__all__ = ["PROGRAMS", "Bounds", "Ended", "Ratio", "Spent", "clock", "compare", "in_turns", "process", "temporary"]

PROGRAMS = Path(__file__).with_name("programs")
POLL = 0.2


@dataclass(frozen=True)
class Spent:
    """What one measurement took, in seconds."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Ended:
    """A process that ended well, or was stopped: what it took, and the JSON that it printed last.

    Parameters
    ----------
    spent, printed
        Of one that was stopped what it had taken until then, and its ``"peak"`` of memory alone.
    stopped
        Why it was stopped, in words; empty if it was not.
    """

    spent: Spent
    printed: Any
    stopped: str = ""


@dataclass(frozen=True)
class Bounds:
    """What a process may take before it is stopped, so that a machine survives it.

    Parameters
    ----------
    memory
        Bytes of it and its children.
    seconds
        From its start.
    """

    memory: int
    seconds: float = 3_600.0

    @classmethod
    def of_machine(cls, spare: int = 3 << 30) -> Bounds:
        """All memory that is free now, but for some."""
        return cls(max(min(psutil.virtual_memory().available, MEMORY_LIMIT) - spare, 1 << 30))


@dataclass(frozen=True)
class Ratio:
    """Two things measured side by side.

    Parameters
    ----------
    benchmark, case
        Which question, and which part of it.
    ours, theirs, unit
        Medians over all rounds.
    beside
        What we were measured beside.
    ratio, lowest, highest
        Ours by theirs: median of the rounds' ratios, and their range.
    rounds
        Number of rounds.
    aim
        What the ratio (or, for ``of="ours"``, our figure) should reach; None where nothing is promised.
    better
        Whether ``"lower"`` or ``"higher"`` is good.
    """

    benchmark: str
    case: str
    ours: float
    beside: str
    theirs: float
    unit: str
    ratio: float
    lowest: float
    highest: float
    rounds: int
    aim: float | None = None
    of: Literal["ratio", "ours"] = "ratio"
    better: Literal["lower", "higher"] = "lower"

    @property
    def met(self) -> bool | None:
        """Whether the aim is reached; None where there is none."""
        if self.aim is None:
            return None
        figure = self.ratio if self.of == "ratio" else self.ours
        return figure <= self.aim if self.better == "lower" else figure >= self.aim

    @property
    def to_aim(self) -> float | None:
        """How far from the aim: 1 is just there, above is missed, whichever way is better."""
        if self.aim is None:
            return None
        figure = self.ratio if self.of == "ratio" else self.ours
        if not self.aim:  # nothing at all is aimed at: each one too many is as far again
            return 1.0 + figure
        return figure / self.aim if self.better == "lower" else self.aim / figure

    def to_dict(self) -> dict[str, Any]:
        """JSON values, with whether the aim is met."""
        return {**asdict(self), "met": self.met}


def compare(
    benchmark: str, case: str, beside: str, ours: Sequence[float], theirs: Sequence[float], unit: str, **options: Any
) -> Ratio:
    """Make a `Ratio` of the figures of equal rounds."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True) if other and not math.isnan(mine)]
    middle, lowest, highest = statistics.median(ratios), min(ratios), max(ratios)
    medians = statistics.median(ours), beside, statistics.median(theirs), unit
    return Ratio(benchmark, case, *medians, middle, lowest, highest, len(ratios), **options)


def in_turns(work: Mapping[str, Callable[[], Any]], rounds: int, *, warm_up: bool = True) -> dict[str, list[Any]]:
    """Do everything once a round, each round in the opposite order, and keep what each returns.

    Parameters
    ----------
    work
        What to do, by name.
    rounds
        How often.
    warm_up
        Begin with a round that does not count.
    """
    found: dict[str, list[Any]] = {name: [] for name in work}
    names = list(work)
    for number in range(-1 if warm_up else 0, rounds):
        names.reverse()
        for name in names:
            result = work[name]()
            if number >= 0:
                found[name].append(result)
    return found


def clock(work: Callable[[], object]) -> Spent:
    """Time a piece of work in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def process(*argv: str | Path | int, env: Mapping[str, str] | None = None, bounds: Bounds | None = None) -> Ended:
    """Run Python in a process of its own and time all of it, from start to end.

    Parameters
    ----------
    *argv
        What follows ``python``.
    env
        Variables that it has beside this process's own.
    bounds
        Stop it when it takes more; nothing stops it if None.

    Raises
    ------
    RuntimeError
        It failed.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        command = [sys.executable, *map(str, argv)]
        start = time.perf_counter()
        # What is installed is compiled, wherever a developer's shell says that nothing shall be.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        child = subprocess.Popen(command, stdout=out, stderr=err, env={**inherited, **(env or {})})
        peak, stopped = _watched(child.pid, bounds) if bounds else (0, "")
        _, status, usage = os.wait4(child.pid, 0)
        spent = Spent(time.perf_counter() - start, usage.ru_utime + usage.ru_stime)
        child.returncode = os.waitstatus_to_exitcode(status)
        if stopped:
            return Ended(spent, {"peak": peak}, stopped)
        out.seek(0), err.seek(0)
        if child.returncode:
            raise RuntimeError(f"{command} ended with {child.returncode}:\n{err.read()}")
        lines = out.read().splitlines()
    return Ended(spent, json.loads(lines[-1]) if lines else None)


def _watched(pid: int, bounds: Bounds) -> tuple[int, str]:
    """Wait until a process ends by itself or goes out of bounds: most memory seen, and why it was stopped."""
    peak, start = 0, time.monotonic()
    with contextlib.suppress(psutil.NoSuchProcess, OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")  # should we be too slow, the kernel takes this one
        watched = psutil.Process(pid)
        while watched.status() != psutil.STATUS_ZOMBIE:
            with contextlib.suppress(psutil.NoSuchProcess):  # of a child that ended meanwhile; the next look tells
                family = [watched, *watched.children(recursive=True)]
                peak = max(peak, sum(each.memory_info().rss for each in family if each.is_running()))
                seconds, large = time.monotonic() - start, peak > bounds.memory
                if large or seconds > bounds.seconds:
                    for each in reversed(family):
                        each.kill()
                    return peak, f"at {peak / 1e9:.1f} GB" if large else f"after {seconds / 60:.0f} minutes"
            time.sleep(POLL)
    return peak, ""


@contextlib.contextmanager
def temporary() -> Iterator[Path]:
    """A directory that goes again, with settings for Stargazer that keep it from the user's own store and cache.

    Processes that are started meanwhile keep their bytecode there, as installed packages keep theirs, whatever this
    process was told.
    """
    with tempfile.TemporaryDirectory(prefix="stargazer-bench-", ignore_cleanup_errors=True) as directory:
        changed = {
            "DASK_STARGAZER__CACHE": f"{directory}/cache",
            "DASK_STARGAZER__STORE": f"{directory}/store",
            "PYTHONPYCACHEPREFIX": f"{directory}/pycache",
            "PYTHONDONTWRITEBYTECODE": "",
        }
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        try:
            with dask.config.set({"stargazer.cache": f"{directory}/cache", "stargazer.store": f"{directory}/store"}):
                yield Path(directory)
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
