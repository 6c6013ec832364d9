"""Drive a run of its own: take the turn, run what was given, say how it ended."""

from __future__ import annotations

import errno
import json
import logging
import os
import platform
import signal
import threading
import traceback
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dask.config

from stargazer import config
from stargazer.calls.call import calls_in
from stargazer.client import connect
from stargazer.errors import Cancelled, RunFailed, StargazerError, StoreGone
from stargazer.ledger.record import walk_assets
from stargazer.profiles.kinds import batch_system
from stargazer.profiles.settings import find_profiles
from stargazer.runs.given import read_given
from stargazer.runs.history import find_run
from stargazer.runs.kept import keep_result
from stargazer.runs.lease import DriverLease
from stargazer.runs.monitor import is_cancelled
from stargazer.runs.run import Run
from stargazer.store import Store, layout
from stargazer.store.copies import put_down_all
from stargazer.tools.apart import machine, run_briefly

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

    from stargazer.driver.handover import Handover
    from stargazer.runs.given import Given, Options
    from stargazer.runs.history import Note

__all__ = ["drive"]

ENDS_WITHIN = 10.0
"""Seconds in which a driver that lost its turn must have ended what it runs."""

AWAY = "away"
"""How a run stands whose store could not be reached: it goes on when that is there again."""

MOST_TIMES_AWAY = 20
"""Times that a run goes on by itself; then it ends as it stands, as where workers do not find the store."""

EXIT = {"done": 0, "failed": 1, "cancelled": 130, "lost": 75, "pending": 0}
GOES_ON = ("pending", "running", "lost")

LOOKED_EVERY = 1.0
LONGEST_COMMAND = 60.0
"""Seconds that the command of the setting ``on-end`` may take."""


def drive(run: str, url: str, digest: str, ends: Handover | None = None) -> int:
    """Drive a run to its end; return the exit code of the process.

    Parameters
    ----------
    run
        Its id.
    url
        Of its store.
    digest
        Of what it was given.
    ends
        What is known of the end of the job that this process is.
    """
    signal.signal(signal.SIGTERM, _exit)
    store = Store.open(url)
    driver = _Driver(store, run, ends)
    turn = DriverLease(store, run, driver.lose)
    if not turn.take(lambda: is_cancelled(store, run)):
        replace(find_run(store, run), state="cancelled").write(store)
        return EXIT["cancelled"]
    try:
        # A job that was submitted as the next one finds, now and then, that the one before came to the end.
        state = driver.work(digest) if find_run(store, run).state in GOES_ON else "done"
        while state == AWAY:
            turn.let_go()
            driver.spare()
            state = driver.work(digest) if turn.take_next() else "lost"
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
    ends
        What is known of the end of the job that this process is.
    """

    def __init__(self, store: Store, run: str, ends: Handover | None) -> None:
        self.store, self.run, self.ends = store, run, ends
        self.is_handed_over = False
        self.flight: Run[Any] | None = None
        self.is_lost = False
        self.note: Note = find_run(store, run)
        self._times_away = 0
        self._killer: threading.Timer | None = None
        self._what: Any = None

    def lose(self) -> None:
        """Another driver has the turn, or may have it: end what runs at once, and write nothing more."""
        self.is_lost = True
        logging.getLogger("stargazer").error("%s is, or may be, another driver's: what runs here ends", self.run)
        self._killer = threading.Timer(ENDS_WITHIN, os._exit, (EXIT["lost"],))
        self._killer.daemon = True
        self._killer.start()
        if self.flight is not None:
            self.flight.abandon()

    def work(self, digest: str) -> str:
        """Run what was given, and note how that ended; `AWAY` where the store could not be reached."""
        self.is_lost, self.note, self.flight = False, self._noted(), None
        try:
            state = self._worked(digest)
        except (OSError, StargazerError):
            if self._reaches():
                raise
            state = AWAY
        if state in ("lost", AWAY):
            state = self._away()
        return state

    def spare(self) -> None:
        """Nothing runs any more of what a lost turn would have to end."""
        if self._killer is not None:
            self._killer.cancel()

    def _away(self) -> str:
        """Let nothing run here any more, and say whether another driver goes on, or the store is waited for."""
        if self.flight is not None and not self.flight.ended:  # it was left with an error of the driver's own
            self.flight.cancel()
            self.flight.wait()
        self.spare()  # to ask whether the store is there may take longer than what runs may take to end
        self._times_away += 1
        if self._times_away > MOST_TIMES_AWAY:
            return "lost"
        if not self._reaches():
            told = "%s goes on when its store can be reached again: %s"
            logging.getLogger("stargazer").warning(told, self.run, self.store.url)
        return AWAY

    def _reaches(self) -> bool:
        with suppress(OSError, StargazerError):
            return self.store.backend.size(layout.HEADER) is not None
        return False

    def _was_away(self) -> bool:
        """Whether it is for want of the store that calls failed."""
        failures = self.flight.failures.values() if self.flight is not None else ()
        return not self._reaches() or any(isinstance(error, StoreGone) for error in failures)

    def _worked(self, digest: str) -> str:
        self._begin()
        try:
            given = read_given(self.store, self.run, digest)
        except StargazerError as error:
            self._end("failed", {"driver": str(error)})
            return "failed"
        with dask.config.set({"stargazer": given.options.settings | {"store": self.store.url}}):
            state, failures = self._ran(given)
            if self.is_lost:
                return "lost"
            if state == "failed" and self._times_away < MOST_TIMES_AWAY and self._was_away():
                return AWAY
            if state != "pending":
                self._end(state, failures)
        return state

    def _ran(self, given: Given) -> tuple[str, dict[str, str]]:
        """Run, and say how that ended; under the settings that were in force when the run was asked for."""
        try:
            self._run(given)
        except RunFailed:
            return "failed", {}
        except (Cancelled, KeyboardInterrupt, SystemExit):
            return self._stopped()
        except Exception as error:  # noqa: BLE001 - nobody is there to see it but who reads the note
            traceback.print_exc()
            told = "" if isinstance(error, StargazerError) else f"{type(error).__name__}: "
            return "failed", {"driver": f"{told}{error}"}
        return "done", {}

    def _stopped(self) -> tuple[str, dict[str, str]]:
        """How a run stands that was cancelled by somebody, or by its driver because the walltime is nearly over."""
        if self.ends is None or is_cancelled(self.store, self.run):
            return "cancelled", {}
        if not (self.is_handed_over or self.ends.is_over()):
            return ("pending", {}) if self._is_put_back() else ("cancelled", {})
        if self.ends.ask_at_last(self.store, self._noted()):
            self.note = self.ends.next_note(self._noted())
            self.note.write(self.store)
            return "pending", {}
        if is_cancelled(self.store, self.run):  # while the site refused
            return "cancelled", {}
        return "failed", {"driver": f"the walltime of its driver is over: {self.ends.trouble}"}

    def _is_put_back(self) -> bool:
        """Whether the job of this driver waits in the queue again, and goes on from there; that is noted then."""
        from stargazer.client.apart import was_put_back

        if self.ends is None or not was_put_back(self.ends.profile):
            return False
        self.note = replace(self._noted(), state="pending", pid=0, host="")
        self.note.write(self.store)
        return True

    def _begin(self) -> None:
        where = {"machine": machine(), "job": config.batch_job() if self.note.driver.get("job") else None}
        driver = self.note.driver | {name: value for name, value in where.items() if value}
        if self.ends is not None:
            driver["times"] = self.ends.times
        here = replace(self.note, pid=os.getpid(), host=platform.node(), driver=driver)
        self.note = replace(here, state="running", failures={}, records={})
        self.note.write(self.store)

    def _noted(self) -> Note:
        return self.flight.note if self.flight is not None and self.flight.note is not None else self.note

    def _end(self, state: str, failures: dict[str, str]) -> None:
        noted = self._noted()
        self.note = replace(noted, state=state, failures={**noted.failures, **failures})
        self.note.write(self.store)
        if self.ends is not None:
            self.ends.take_back(self.store, self.run)
        if command := config.on_end():
            trouble = run_briefly(command, _told(self.store, self.note), seconds=LONGEST_COMMAND)
            if trouble:
                logging.getLogger("stargazer").warning("on-end: %s", trouble)

    def _run(self, given: Given) -> None:
        options = given.options
        os.chdir(options.folder)
        with ExitStack() as stack:
            what = self._what = self._what or given.unpacked(self._folder(options))
            self._check_store(what)
            stack.enter_context(self.store)
            client = stack.enter_context(_connected(options)) if options.on else None
            self.flight = Run(what, client, options.again, self.note.workflow, self.note)
            self._wait(self.flight)
            result = self.flight.result()
            keep_result(self.store, self.run, result)
            if options.out:
                put_down_all(self.store, walk_assets(result), options.out, force=options.force)

    def _check_store(self, what: Any) -> None:
        """Calls know the place of their store: where that is another by now, they would make an empty one there."""
        for url in {call.spec.store for call in calls_in(what)} - {self.store.url}:
            raise StoreGone(
                errno.ENOENT,
                f"{self.run} was asked for in the store at {url}, which is at {self.store.url} now: bring it back and "
                "resume the run, or start it anew here, where all counts that is known",
            )

    def _wait(self, flight: Run[Any]) -> None:
        while not flight.wait(LOOKED_EVERY):
            if self.ends is not None and self.ends.look(self.store, self._noted()):
                self.is_handed_over = True
                flight.cancel()
                flight.wait(ENDS_WITHIN)
                return

    def _folder(self, options: Options) -> Path:
        """Where the code of the run goes: workers of a batch system must see it."""
        profile = find_profiles(options.on)[0] if options.on else None
        if profile is not None and batch_system(profile):
            from stargazer.client.apart import driver_folder

            return driver_folder(profile) / self.run
        return config.cache_dir() / "drivers" / self.run


def _connected(options: Options) -> Client:
    """A client as the run asks for; one of a batch system gives its workers back when this process is asked to go."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        return connect(options.on, workers=options.workers)
    finally:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _exit)


def _told(store: Store, note: Note) -> dict[str, str]:
    """What the command at the end of a run finds in its environment."""
    states = sorted({state for each in note.tasks.values() for state in each})
    counts = {state: note.count(state) for state in states} | {"known": note.known}
    told = {"RUN": note.id, "STATE": note.state, "WORKFLOW": note.workflow, "STORE": store.url}
    told |= {"SECONDS": f"{note.seconds:.3f}", "COUNTS": json.dumps(counts), "FAILURES": json.dumps(note.failures)}
    return {f"STARGAZER_{name}": value for name, value in told.items()}
