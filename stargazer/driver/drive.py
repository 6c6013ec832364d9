"""Drive a run of its own: take the turn, run what was given, say how it ended."""

from __future__ import annotations

import logging
import os
import platform
import signal
import threading
import traceback
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.api import put_down_all
from stargazer.client import connect
from stargazer.errors import Cancelled, RunFailed, StargazerError
from stargazer.ledger.codec import walk_assets
from stargazer.runs.given import read_given
from stargazer.runs.history import find_run
from stargazer.runs.kept import keep_result
from stargazer.runs.lease import DriverLease
from stargazer.runs.monitor import is_cancelled
from stargazer.runs.run import Run
from stargazer.store import Store
from stargazer.tools.apart import machine

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.runs.given import Given
    from stargazer.runs.history import Note

__all__ = ["drive"]

ENDS_WITHIN = 10.0
"""Seconds in which a driver that lost its turn must have ended what it runs."""

EXIT = {"done": 0, "failed": 1, "cancelled": 130, "lost": 75}


def drive(run: str, url: str, digest: str) -> int:
    """Drive a run to its end; return the exit code of the process.

    Parameters
    ----------
    run
        Its id.
    url
        Of its store.
    digest
        Of what it was given.
    """
    signal.signal(signal.SIGTERM, _exit)
    store = Store.open(url)
    driver = _Driver(store, run)
    turn = DriverLease(store, run, driver.lose)
    if not turn.take(lambda: is_cancelled(store, run)):
        driver.note = replace(find_run(store, run), state="cancelled")
        driver.note.write(store)
        return EXIT["cancelled"]
    try:
        state = driver.work(digest)
    finally:
        turn.release()
    return EXIT[state]


def _exit(*_: object) -> None:
    raise SystemExit(EXIT["cancelled"])


class _Driver:
    """What one process does for a run.

    Parameters
    ----------
    store, run
        The run, and where it is.
    """

    def __init__(self, store: Store, run: str) -> None:
        self.store, self.run = store, run
        self.flight: Run[Any] | None = None
        self.is_lost = False
        self.note: Note = find_run(store, run)

    def lose(self) -> None:
        """Another driver has the turn: end at once, and write nothing more."""
        self.is_lost = True
        logging.getLogger("stargazer").error("another driver goes on with %s; this one ends", self.run)
        killer = threading.Timer(ENDS_WITHIN, os._exit, (EXIT["lost"],))
        killer.daemon = True
        killer.start()
        if self.flight is not None:
            self.flight.cancel()

    def work(self, digest: str) -> str:
        """Run what was given, and note how that ended."""
        self._begin()
        state, failures = "failed", {}
        try:
            self._run(read_given(self.store, self.run, digest))
            state = "done"
        except RunFailed:
            pass
        except (Cancelled, KeyboardInterrupt, SystemExit):
            state = "cancelled"
        except Exception as error:  # noqa: BLE001 - nobody is there to see it but who reads the note
            traceback.print_exc()
            told = "" if isinstance(error, StargazerError) else f"{type(error).__name__}: "
            failures = {"driver": f"{told}{error}"}
        if self.is_lost:
            return "lost"
        self._end(state, failures)
        return state

    def _begin(self) -> None:
        where = {"machine": machine(), "job": config.batch_job() if self.note.driver.get("job") else None}
        driver = self.note.driver | {name: value for name, value in where.items() if value}
        here = replace(self.note, pid=os.getpid(), host=platform.node(), driver=driver)
        self.note = replace(here, state="running", failures={}, records={})
        self.note.write(self.store)

    def _end(self, state: str, failures: dict[str, str]) -> None:
        noted = self.flight.note if self.flight is not None and self.flight.note is not None else self.note
        self.note = replace(noted, state=state, failures={**noted.failures, **failures})
        self.note.write(self.store)

    def _run(self, given: Given) -> None:
        import dask.config

        options = given.options
        os.chdir(options.folder)
        with ExitStack() as stack:
            stack.enter_context(dask.config.set({"stargazer": options.settings | {"store": self.store.url}}))
            what = given.unpacked(self._folder())
            stack.enter_context(self.store)
            client = stack.enter_context(connect(options.on, workers=options.workers)) if options.on else None
            self.flight = Run(what, client, options.again, self.note.workflow, self.note)
            result = self.flight.result()
            keep_result(self.store, self.run, result)
            if options.out:
                put_down_all(self.store, walk_assets(result), options.out, force=options.force)

    def _folder(self) -> Path:
        return config.cache_dir() / "drivers" / self.run
