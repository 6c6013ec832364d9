"""A job that drives a run submits the next before its walltime is over, which goes on under the same id."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from stargazer.driver.asking import submit_job
from stargazer.errors import ConfigError
from stargazer.profiles.settings import find_profiles
from stargazer.runs.history import JOB_UNKNOWN, read_job
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

    def look(self, store: Store, note: Note) -> bool:
        """Submit the next when it is time; return whether this driver must stop now."""
        if self._ends is None or self._walltime is None:
            return False
        if self._ends - time.monotonic() <= _margin(ASKED, self._walltime):
            self.ask(store, note)
        return self.is_over()

    def is_over(self) -> bool:
        """Whether so little is left that the driver must stop; a signal that comes then is the batch system's."""
        if self._ends is None or self._walltime is None:
            return False
        return self._ends - time.monotonic() <= _margin(STOPS, self._walltime)

    def ask(self, store: Store, note: Note) -> None:
        """Submit the next driver, once."""
        if self.asked or self.trouble:
            return
        try:
            submit_job(store, self.next_note(note), self.profile)
            self.asked = True
        except ConfigError as error:
            self.trouble = str(error)
            logging.getLogger("stargazer").error("no next driver: %s", error)

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
