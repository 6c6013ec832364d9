"""Do twice as many workers take half the time? And a client for the other benchmarks, with what its work takes.

Calls that sleep, on 1, 2 and 4 workers, beside the ideal: the work divided by the workers. Calls that compute, on as
many workers as there are cores, beside as many bare processes that do the same, in turns: what two cores make of two
processes is the machine's, and so is what else runs there. Aim: at most 1.25 × either.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import psutil
from distributed import Client

import stargazer as sg
from benchmarks.rounds import Ratio, Spent, clock, compare, in_turns, temporary

__all__ = ["WORKERS", "local_client", "measure", "spent_on"]

WORKERS = 2
AIM = 1.25

_serial = itertools.count()


@sg.task
def nap(work: sg.Workdir, *, number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number


@sg.task
def count_up(work: sg.Workdir, *, number: int, steps: int) -> int:
    return number + compute(steps) * 0


def compute(steps: int) -> int:
    return sum(range(steps))


def measure(quick: bool = False) -> Iterator[Ratio]:
    """Yield each ratio as it is known.

    Parameters
    ----------
    quick
        Fewer and shorter calls: for trying out, not for quoting.
    """
    count, seconds, steps, rounds = (8, 0.25, 10_000_000, 1) if quick else (32, 1.0, 50_000_000, 3)
    with temporary() as directory, sg.Store(str(directory / "store")):
        for workers in (1, 2, 4):
            yield _sleeping(workers, count, seconds, rounds)
        for workers in range(1, min(psutil.cpu_count() or 1, 4) + 1):
            yield _computing(workers, count, steps, rounds)


def _sleeping(workers: int, count: int, seconds: float, rounds: int) -> Ratio:
    with _started(workers, nap, seconds=0.0):
        walls = [_wall(lambda: _run(nap, count, seconds=seconds)) for _ in range(rounds)]
    case = f"{count} calls sleeping, {workers} worker{'s' * (workers > 1)}"
    return compare("workers", case, "the ideal", walls, [count * seconds / workers] * rounds, "s", aim=AIM)


def _computing(workers: int, count: int, steps: int, rounds: int) -> Ratio:
    with _started(workers, count_up, steps=1), ProcessPoolExecutor(workers, get_context("spawn")) as bare:
        list(bare.map(compute, [1] * workers))
        walls = in_turns(
            {
                "ours": lambda: _wall(lambda: _run(count_up, count, steps=steps)),
                "bare": lambda: _wall(lambda: list(bare.map(compute, [steps] * count))),
            },
            rounds,
            warm_up=False,
        )
    case = f"{count} calls computing, {workers} worker{'s' * (workers > 1)}"
    return compare("workers", case, "bare processes", walls["ours"], walls["bare"], "s", aim=AIM)


@contextlib.contextmanager
def _started(workers: int, task: sg.Task, **options: Any) -> Iterator[None]:
    """Workers that have run the task before."""
    with sg.connect("local", workers=workers, cpus=1):
        _run(task, 4 * workers, **options)
        yield


def _run(task: sg.Task, count: int, **options: Any) -> None:
    sg.run([task(number=next(_serial), **options) for _ in range(count)], progress=False)


def _wall(work: Callable[[], object]) -> float:
    return clock(work).wall


@contextlib.contextmanager
def local_client() -> Iterator[Client]:
    """Start scheduler, workers and client, and end them."""
    with Client(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0", memory_limit=0) as client:
        yield client


def spent_on(client: Client, work: Callable[[], object]) -> Spent:
    """Time work on a client that this process started: processor time is that of client, scheduler and workers."""
    workers = [psutil.Process(info["pid"]) for info in client.run(_pid).values()]
    before = _cpu(workers)
    start = time.perf_counter()
    work()
    wall = time.perf_counter() - start
    return Spent(wall, _cpu(workers) - before)


def _pid() -> dict[str, int]:
    import os

    return {"pid": os.getpid()}


def _cpu(workers: list[psutil.Process]) -> float:
    return time.process_time() + sum(sum(worker.cpu_times()[:2]) for worker in workers)
