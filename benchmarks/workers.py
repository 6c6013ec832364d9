"""Do twice as many workers take half the time? And a client for the other benchmarks, with what its work takes.

Calls that sleep, on 1, 2 and 4 workers, and calls that compute, on as many as there are cores, each beside the ideal:
the work divided by the workers. Aim: at most 1.25 × the ideal.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
from distributed import Client

import stargazer as sg
from benchmarks.rounds import Ratio, Spent, compare, temporary

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
    return number + sum(range(steps)) * 0


def measure(quick: bool = False) -> Iterator[Ratio]:
    """Yield each ratio as it is known.

    Parameters
    ----------
    quick
        Fewer and shorter calls: for trying out, not for quoting.
    """
    count, seconds, steps, rounds = (8, 0.25, 10_000_000, 1) if quick else (32, 1.0, 50_000_000, 3)
    start = time.process_time()
    sum(range(steps))
    computing = time.process_time() - start
    with temporary() as directory, sg.Store(str(directory / "store")):
        for workers in (1, 2, 4):
            yield _beside_ideal("sleeping", workers, nap, {"seconds": seconds}, count, seconds, rounds)
        for workers in range(1, min(psutil.cpu_count() or 1, 4) + 1):
            yield _beside_ideal("computing", workers, count_up, {"steps": steps}, count, computing, rounds)


def _beside_ideal(
    kind: str, workers: int, task: sg.Task, options: dict[str, Any], count: int, each: float, rounds: int
) -> Ratio:
    walls = []
    with sg.connect("local", workers=workers, cpus=1):
        sg.run([task(number=next(_serial), **options) for _ in range(workers)], progress=False)
        for _ in range(rounds):
            calls = [task(number=next(_serial), **options) for _ in range(count)]
            start = time.perf_counter()
            sg.run(calls, progress=False)
            walls.append(time.perf_counter() - start)
    ideal = [count * each / workers] * rounds
    case = f"{count} calls {kind}, {workers} worker{'s' * (workers > 1)}"
    return compare("workers", case, "the ideal", walls, ideal, "s", aim=AIM)


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
