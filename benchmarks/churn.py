"""What do lost workers cost? Work that is used by all work that is done, while a worker is killed every ten seconds.

Each call works in ticks of a tenth of a second and counts them; a last call needs all. Plain Dask does the same on the
same workers, as long as it does not give up. Aim: at least three quarters of the work is used.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
from distributed import Client, KilledWorker

import stargazer as sg
from benchmarks.rounds import Ratio, compare, temporary

__all__ = ["measure"]

TICK = 0.1
AIM = 0.75


def work_for(ticks: int, log: str) -> None:
    """Work, and write down each tick."""
    for _ in range(ticks):
        time.sleep(TICK)
        with open(log, "a") as file:
            file.write(".")


@sg.task
def piece(work: sg.Workdir, *, i: int, ticks: int, log: str) -> sg.Asset:
    work_for(ticks, log)
    out = work.file(f"{i}.txt")
    out.write_text(str(i))
    return sg.Asset(path=out)


@sg.task
def gathered(work: sg.Workdir, pieces: list[sg.Asset]) -> int:
    return len(pieces)


@dask.delayed  # type: ignore[untyped-decorator]
def plain_piece(i: int, ticks: int, log: str) -> int:
    work_for(ticks, log)
    return i


@dask.delayed  # type: ignore[untyped-decorator]
def plain_gathered(pieces: list[int]) -> int:
    return len(pieces)


def measure(quick: bool = False) -> Iterator[Ratio]:
    """Yield the ratio.

    Parameters
    ----------
    quick
        Less work, and kills more often: for trying out, not for quoting.
    """
    count, ticks, every, rounds = (12, 10, 4.0, 1) if quick else (60, 20, 10.0, 3)
    ours, theirs = [], []
    with temporary() as directory:
        for number in range(rounds):
            logs = [directory / f"{number}-{name}" for name in ("ours", "dask")]
            mine = gathered([piece(i=i, ticks=ticks, log=str(logs[0])) for i in range(count)])
            plain = plain_gathered([plain_piece(i, ticks, str(logs[1])) for i in range(count)])
            ours.append(_useful(lambda mine=mine: sg.run(mine, progress=False), count * ticks, logs[0], every, number))
            theirs.append(_useful(plain.compute, count * ticks, logs[1], every, number))
    yield compare(
        "churn", f"a worker killed every {every:.0f} s", "bare Dask", ours, theirs, "of the work is used",
        aim=AIM, of="ours", better="higher",
    )  # fmt: skip


def _useful(run: Callable[[], Any], ticks: int, log: Path, every: float, seed: int) -> float:
    """Part of the ticks that a run needed at least."""
    with sg.connect("local", workers=2, cpus=1) as client, _killing(client, every, seed):
        try:
            run()
        except KilledWorker:
            return 1 / ticks  # Dask gave up: nothing is used; one tick stands for it, so that there is a ratio
    return ticks / len(log.read_text())


@contextlib.contextmanager
def _killing(client: Client, every: float, seed: int) -> Iterator[None]:
    dice, ended = random.Random(seed), threading.Event()

    def kill() -> None:
        while not ended.wait(every):
            pids = sorted(client.run(os.getpid, on_error="ignore").values())
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(dice.choice(pids), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
