"""A Dask client with as many worker processes as there are cores, and the processor time that all of it takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import psutil
from distributed import Client

from benchmarks.rounds import Spent

__all__ = ["WORKERS", "local_client", "spent_on"]

WORKERS = 2


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
