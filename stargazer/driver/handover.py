"""A job that drives a run submits the next before its walltime is over, which goes on under the same id."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from stargazer.driver.asking import submit_job
from stargazer.errors import ConfigError
from stargazer.profiles.settings import find_profiles
from stargazer.runs.history import JOB_UNKNOWN, read_job
from stargazer.runs.monitor import is_cancelled
from stargazer.tools.apart import seconds_alive

if TYPE_CHECKING:
    from stargazer.profiles.profile import Profile
    from stargazer.runs.history import Note
    from stargazer.store import Store

__all__ = ["Handover"]

ASKED = (0.5, 600.0)
"""When the next is submitted: so long before the end, as a part of the walltime, and in seconds at most."""

STOPS = (0.2, 120.0)
"""When this driver stops, so that workers are given back and the next may begin."""

TRIED_EVERY = (0.02, 60.0)
"""Between two submissions of the next where the batch system refuses it: as a part of the walltime, and at most."""

LAST_TRIES = 3.0
"""Seconds between two submissions when this driver has stopped, and at least left for its last words."""


class Handover:
    """What the driver of one job knows of its end.

    Parameters
    ----------
    profile
        Name of the profile whose ``driver`` the job is.
    walltime
        Seconds from the start of the job after which it is ended; None where nobody knows.
    times
        Which driver of its run it is, from 1.
    """

    def __init__(self, profile: str, walltime: float | None, times: int) -> None:
        self.times, self._name = times, profile
        self._walltime = walltime
        self._ends = None if walltime is None else time.monotonic() - seconds_alive() + walltime
        self.asked = False
        self.trouble = ""
        self._tried = -math.inf

    def look(self, store: Store, note: Note) -> bool:
        """Submit the next when it is time; return whether this driver must stop now."""
        if self._ends is None or self._walltime is None:
            return False
        is_time = time.monotonic() - self._tried >= _margin(TRIED_EVERY, self._walltime)
        if is_time and self._left() <= _margin(ASKED, self._walltime):
            self.ask(store, note)
        return self.is_over()

    def is_over(self) -> bool:
        """Whether so little is left that the driver must stop; a signal that comes then is the batch system's."""
        if self._ends is None or self._walltime is None:
            return False
        return self._left() <= _margin(STOPS, self._walltime)

    def ask(self, store: Store, note: Note) -> None:
        """Submit the next driver, once; one that is refused may be asked for again."""
        if self.asked:
            return
        self._tried = time.monotonic()
        try:
            submit_job(store, self.next_note(note), self.profile)
            self.asked = True
        except ConfigError as error:
            if str(error) != self.trouble:
                logging.getLogger("stargazer").error("no next driver: %s", error)
            self.trouble = str(error)

    def ask_at_last(self, store: Store, note: Note) -> bool:
        """Submit the next driver now that the workers are given back: a site that was full of them has room again.

        Returns
        -------
        bool
            Whether it comes; a site that refuses is asked as long as this job lives and nobody cancels the run.
        """
        self.ask(store, note)
        while not (self.asked or self.is_last or is_cancelled(store, note.id)) and self._left() > 2 * LAST_TRIES:
            time.sleep(LAST_TRIES)
            self.ask(store, note)
        return self.asked

    @property
    def is_last(self) -> bool:
        """Whether the profile allows no further driver."""
        return self.times >= self.profile.driver.times

    def _left(self) -> float:
        """Seconds until this job is ended."""
        return math.inf if self._ends is None else self._ends - time.monotonic()

    def next_note(self, note: Note) -> Note:
        """The note as it is while the next driver is awaited."""
        driver = note.driver | {"times": self.times + 1, "job": JOB_UNKNOWN}
        return replace(note, state="pending", pid=0, host="", driver=driver)

    def take_back(self, store: Store, run: str) -> None:
        """Cancel the next job: the run has ended without it."""
        from stargazer.client.apart import cancel_job

        job = read_job(store, run) if self.asked else None
        if job:
            try:
                cancel_job(self.profile, job)
            except ConfigError as error:
                logging.getLogger("stargazer").warning("the next driver, which finds nothing to do, stays: %s", error)

    @property
    def profile(self) -> Profile:
        """The profile, from the settings in force."""
        return find_profiles(self._name)[0]


def _margin(margin: tuple[float, float], walltime: float) -> float:
    part, longest = margin
    return min(part * walltime, longest)
