"""Runs whose driver, node or store goes away at random moments: each ends right under one id, nothing twice at once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from slurm_queue import Queue, until
from slurm_tasks import part
from test_odd_days import node_in, node_of
from test_submitted import LONGEST, lines, site, submitted  # noqa: F401 (a fixture)

import stargazer as sg
from stargazer.driver.asking import resume

NUMBER = 5
AWAY = 20.0
"""Seconds for which the store is not there."""


class Site:
    """What may happen to a run: how, with what chance, on which queue."""

    def __init__(self, queue: Queue, store: sg.Store, chance: random.Random) -> None:
        self.queue, self.store, self.chance = queue, store, chance

    def cancelled(self, run: sg.runs.KeptRun) -> None:
        self.queue.cancel(run.where["job"])

    def killed(self, run: sg.runs.KeptRun) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(run.where["pid"], signal.SIGKILL)

    def drained(self, run: sg.runs.KeptRun) -> None:
        with node_in("DRAIN", node_of(run.where["job"])):
            run.wait(LONGEST)

    def down(self, run: sg.runs.KeptRun) -> None:
        """SLURM puts the driver's job back, and starts it again two minutes later."""
        with node_in("DOWN", node_of(run.where["job"])):
            time.sleep(self.chance.uniform(1, 10))
        run.wait(LONGEST)

    def without_store(self, run: sg.runs.KeptRun) -> None:
        root = self.store.url.removeprefix("file://")
        os.rename(root, f"{root}-away")
        time.sleep(AWAY)
        assert not os.path.exists(root)
        os.rename(f"{root}-away", root)


KINDS: dict[str, Callable[[Site, sg.runs.KeptRun], None]] = {
    each.__name__: each for each in (Site.cancelled, Site.killed, Site.drained, Site.down, Site.without_store)
}


def watched(folder: Path, i: int) -> str:
    """A script of some seconds that tells when another runs for the same element."""
    return f"exec 9> {folder}/lock-{i}; flock -n 9 || echo {i} >> {folder}/twice; sleep 3"


@pytest.mark.slow
@pytest.mark.timeout(14400)
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_ends_right_whatever_goes_away(
    kind: str,
    queue: Queue,
    site: dict[str, Any],  # noqa: F811
    store: sg.Store,
    tmp_path: Path,
    short: bool,
    seeds: Any,
) -> None:
    if short and kind != "without_store":
        pytest.skip("the long form alone: kills and cancellations have tests of their own, the others take minutes")
    chosen = seeds(range(1), range(20))
    for number in chosen:
        folder, chance = tmp_path / f"{kind}-{number}", random.Random(f"{kind} {number}")
        folder.mkdir()
        log = folder / "ran"
        run = submitted([part(i=i, log=str(log), script=watched(folder, i)) for i in range(NUMBER)])
        after = chance.randrange(1, NUMBER)
        until(lambda log=log, after=after: len(lines(log)) >= after, LONGEST)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 3))
        KINDS[kind](Site(queue, store, chance), run)
        ended_right(run, times=1 if kind == "without_store" else 4)
        assert not (folder / "twice").exists()
        assert [each.id for each in sg.runs.list()].count(run.id) == 1
        until(lambda: queue.running() == [], LONGEST)
        until(lambda folder=folder: not working(folder))  # type: ignore[misc]
    assert len(sg.runs.list()) == len(chosen)
    assert store.fsck().ok


def ended_right(run: sg.runs.KeptRun, times: int) -> None:
    """Let it be gone on with, as its user would, until it is done; a store that is back is nothing to do for."""
    for left in reversed(range(times)):
        assert run.wait(LONGEST)
        if run.state == "done":
            break
        assert left, (run.state, run.failures)
        resume(run)
    assert [each.fetch().read_text() for each in run.result(LONGEST)] == [f"{i}\n" for i in range(NUMBER)]


def working(folder: Path) -> list[int]:
    """Processes of the run's tools."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(str(folder) in word for word in process.cmdline()):
                found.append(process.pid)
    return found
