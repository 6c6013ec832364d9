"""Staffing decides what is asked of a batch system, from what was observed: a core without I/O and without a clock.

The loop that carries the decisions out (`stargazer.client.pool`) tells it everything that it sees, and does what it
says. So each rule can be tried in any order of events, in no time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stargazer.client.hires import (
    ACTIVE,
    COUNTED,
    ENDING,
    UNKNOWN,
    WAITING,
    Ask,
    Cancel,
    End,
    Hire,
    Limits,
    Pool,
    Present,
    Retire,
    State,
    Submit,
    Told,
)
from stargazer.client.refusals import is_limit, limited_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stargazer.client.hires import Action

__all__ = ["Staffing"]

PENDING_KEPT = 10.0
"""Seconds for which a job that waits is kept though nobody needs it: the next calls of a workflow may."""

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0
"""Seconds between two submissions where the batch system refuses: each pause is twice the one before."""

LAST_PAUSE = 5.0
"""Seconds between two cancellations at the end, at most: somebody waits then, and what is not cancelled stays."""

ASKED_AFTER, ASKED_SELDOM = 5.0, 60.0
"""Seconds after which a job that has not come is asked after; longer from time to time as nothing changes."""

GONE_AFTER = 10.0
"""Seconds after which a worker that the scheduler lost is given up, whatever the batch system says or does not say."""

CONFIRMED_BY = 2
"""Times that something must be said before it is believed: that there is no such job, that a job was cancelled."""

ARRAY_FROM = 5
"""Workers that are asked for with one command at least; fewer have a job each.

In SLURM one member of an array has the number of the whole: who cancels it by that number takes all away.
"""


@dataclass
class _Patience:
    """How long a pool waits before it asks again, and what it has learned."""

    pause: float = 0.0
    until: float = 0.0
    batch: int | None = None
    allowed: int | None = None
    surplus_since: float | None = None

    def wait(self, now: float) -> None:
        """Wait twice as long as the last time."""
        self.pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self.pause))
        self.until = now + self.pause


@dataclass
class _Asking:
    """When the batch system is asked after jobs."""

    pause: float = ASKED_AFTER
    at: float = 0.0

    def soon(self, now: float) -> None:
        """Something has changed."""
        self.pause, self.at = ASKED_AFTER, min(self.at, now)

    def done(self, now: float) -> None:
        """It was asked."""
        self.at = now + self.pause
        self.pause = min(ASKED_SELDOM, 1.5 * self.pause)


@dataclass
class Staffing:
    """Hires workers, misses those that were lost, and gives back those that nobody needs.

    Parameters
    ----------
    pools
        By name.
    limits
        Of what is asked of the batch system.
    prefix
        With which names of workers begin that are hired now.
    stem
        With which the names of all workers begin.
    """

    pools: dict[str, Pool]
    limits: Limits = field(default_factory=Limits)
    prefix: str = "stargazer"
    stem: str = "stargazer"
    hires: dict[str, Hire] = field(default_factory=dict)
    wanted: dict[str, int] = field(default_factory=dict)
    ends: list[End] = field(default_factory=list)
    news: list[str] = field(default_factory=list)
    closing: bool = False

    def __post_init__(self) -> None:
        self._under_way: set[type[Action]] = set()
        self._submissions: deque[float] = deque()
        self._patience = {name: _Patience() for name in self.pools}
        self._asking = _Asking()
        self._said: set[str] = set()
        self._refusal: str | None = None
        self._silence: str | None = None
        self._ended: str | None = None
        self._waits: str | None = None
        self._number = 0

    # What is asked of it.

    @property
    def trouble(self) -> str | None:
        """Why no worker comes, in a sentence; None where nothing is known."""
        return self._refusal or self._ended or self._silence or self._waits

    def count(self, pool: str, *states: State) -> int:
        """Number of a pool's workers in these states; of all that take or will take calls, if none is given."""
        mine = [hire for hire in self.hires.values() if hire.pool == pool]
        if states:
            return sum(hire.state in states for hire in mine)
        return sum(hire.state in COUNTED and hire.takes for hire in mine)

    def leave_all(self, now: float) -> None:
        """Hire nobody any more, and give everybody up."""
        self.closing = True
        for hire in list(self.hires.values()):
            hire.after = min(hire.after, now + LAST_PAUSE)
            if hire.state is not State.ASKED:
                self._give_up(hire, now)

    # What it decides.

    def look(self, now: float, here: Mapping[str, Present], wanted: Mapping[str, int]) -> list[Action]:
        """Return what to do now.

        Parameters
        ----------
        now
            Seconds, by any clock that never goes back.
        here
            The workers that the scheduler has, by name.
        wanted
            Number of workers that there should be, by pool.
        """
        self.wanted = dict(wanted)
        self._see(now, here)
        actions = [*self._fit(now, here), *self._submit(now), *self._cancel(now), *self._ask(now)]
        self._under_way |= {type(action) for action in actions if not isinstance(action, Retire)}
        return actions

    def _see(self, now: float, here: Mapping[str, Present]) -> None:
        for name, present in here.items():
            if hire := self.hires.get(name) or self._adopted(name, now):
                self._came(hire, present, now)
        for hire in list(self.hires.values()):
            if hire.name in here:
                continue
            if hire.state is State.HERE:
                hire.turn(State.MISSING, now)
                self._asking.soon(now)
            elif hire.state is State.MISSING and now - hire.since >= GONE_AFTER:
                self._lost(hire, Told(UNKNOWN, log=hire.log), now)

    def _adopted(self, name: str, now: float) -> Hire | None:
        """A worker of ours whose job nobody confirmed, and that comes nevertheless."""
        if self.closing or not name.startswith(f"{self.stem}-"):
            return None
        pool = next(iter(self.pools))
        return self.hires.setdefault(name, Hire(name, pool, now, State.UNSURE))

    def arrived(self, name: str, now: float) -> None:
        """A worker has come, and may be gone before anybody looks."""
        if hire := self.hires.get(name) or self._adopted(name, now):
            self._came(hire, Present(0.0), now)

    def _came(self, hire: Hire, present: Present, now: float) -> None:
        hire.job, hire.takes = present.job or hire.job, present.takes
        if hire.state in (State.ASKED, State.UNSURE, State.PENDING, State.MISSING):
            hire.turn(State.HERE, now)
            patience = self._patience[hire.pool]
            patience.pause = patience.until = 0.0
            self._refusal = self._ended = self._silence = self._waits = None
        if hire.state is State.HERE and not present.takes and present.rests is not None:
            self._give_up(hire, now)

    def _fit(self, now: float, here: Mapping[str, Present]) -> Iterable[Action]:
        """Give back what is too much: first jobs that wait, then workers that rest."""
        for pool in self.pools.values():
            patience = self._patience[pool.name]
            surplus = self.count(pool.name) - self.wanted.get(pool.name, 0)
            if surplus <= 0:
                patience.surplus_since = None
                continue
            since = patience.surplus_since = now if patience.surplus_since is None else patience.surplus_since
            kept = 0.0 if pool.is_fixed else min(PENDING_KEPT, pool.idle)
            surplus -= self._give_up_waiting(pool.name, surplus, now, really=now - since >= kept)
            if resting := self._resting(pool, here, now)[: max(0, surplus)]:
                for hire in resting:
                    hire.turn(State.RETIRING, now)
                yield Retire(tuple(hire.name for hire in resting))

    def _give_up_waiting(self, pool: str, surplus: int, now: float, *, really: bool) -> int:
        """Give up jobs that wait, the last first; return how many workers are too many beside those."""
        waiting = [hire for hire in self.hires.values() if hire.pool == pool and hire.state is State.PENDING]
        chosen = waiting[::-1][:surplus]
        if really:
            for hire in chosen:
                self._give_up(hire, now)
        return len(chosen) + self.count(pool, State.ASKED, State.UNSURE)

    def _resting(self, pool: Pool, here: Mapping[str, Present], now: float) -> list[Hire]:
        """Workers that have done nothing for long, the longest first."""
        found = []
        for hire in self.hires.values():
            rests = here[hire.name].rests if hire.name in here else None
            if hire.pool != pool.name or hire.state is not State.HERE or rests is None or now < hire.after:
                continue
            if rests >= (0.0 if pool.is_fixed else pool.idle):
                found.append((rests, hire))
        return [hire for _, hire in sorted(found, key=lambda each: -each[0])]

    def _submit(self, now: float) -> Iterable[Action]:
        while self._submissions and now - self._submissions[0] >= 60.0:
            self._submissions.popleft()
        if self.closing or Submit in self._under_way or len(self._submissions) >= self.limits.rate:
            return
        for pool, patience in self._patience.items():
            number = self._lacking(pool, now)
            if number > 0 and now >= patience.until:
                names = tuple(self._new_name() for _ in range(number))
                self.hires |= {name: Hire(name, pool, now) for name in names}
                self._submissions.append(now)
                yield Submit(pool, names)
                return

    def _lacking(self, pool: str, now: float) -> int:
        """Workers to ask for with the next command."""
        patience = self._patience[pool]
        number = self.wanted.get(pool, 0) - self.count(pool)
        if self.limits.queue_size is not None:
            number = min(number, self.limits.queue_size - len(self.hires))
        number = min(number, patience.batch or self.limits.array, self.limits.array)
        number = number if number >= ARRAY_FROM else min(number, 1)
        if patience.allowed is not None:
            room = patience.allowed - self.count(pool, *COUNTED, State.LEAVING, State.RETIRING)
            # Whether the site allows more by now is tried with one, now and then.
            number = min(number, room if room > 0 else 1 if now >= patience.until else 0)
        return number

    def _new_name(self) -> str:
        self._number += 1
        return f"{self.prefix}-{self._number}"

    def _cancel(self, now: float) -> Iterable[Action]:
        if Cancel in self._under_way:
            return
        leaving = [hire for hire in self.hires.values() if hire.state is State.LEAVING and hire.job]
        names = tuple(hire.name for hire in leaving if now >= hire.after)
        if names:
            yield Cancel(names)

    def _ask(self, now: float) -> Iterable[Action]:
        if not self.limits.can_tell or Ask in self._under_way or now < self._asking.at:
            return
        names = tuple(hire.name for hire in self.hires.values() if self._is_asked_after(hire, now))
        if names:
            yield Ask(names)

    def _is_asked_after(self, hire: Hire, now: float) -> bool:
        if hire.state is State.PENDING:
            return now - hire.since >= ASKED_AFTER
        if hire.state is State.LEAVING:
            return hire.accepted > 0 or hire.job is None
        return hire.state in (State.UNSURE, State.MISSING)

    # What it is told of what was done.

    def taken(self, names: Sequence[str], jobs: Sequence[str], now: float) -> None:
        """The batch system has taken workers on, under these numbers."""
        self._under_way.discard(Submit)
        for name, job in zip(names, jobs, strict=True):
            hire = self.hires.get(name)
            if hire is None:
                continue
            hire.job = hire.job or job
            if hire.state is State.ASKED:
                hire.turn(State.PENDING, now)
            if self.closing:
                self._give_up(hire, now)
        pool = self.hires[names[0]].pool if names[0] in self.hires else None
        if pool is not None:
            patience = self._patience[pool]
            if patience.batch is not None:
                patience.batch *= 2
            if patience.allowed is not None and self.count(pool) > patience.allowed:
                patience.allowed = self.count(pool)
            self._refusal = None

    def refused(self, names: Sequence[str], why: str, now: float) -> None:
        """The batch system takes workers not on: the next question is smaller, and comes later."""
        self._under_way.discard(Submit)
        pools = {self.hires[name].pool for name in names if name in self.hires}
        for name in names:
            self._forget(name)
        for pool in pools:
            self._learn(pool, len(names), why, now)

    def _learn(self, pool: str, number: int, why: str, now: float) -> None:
        patience, has = self._patience[pool], self.count(pool)
        patience.wait(now)
        if number > 1 and "array" in why.lower():
            patience.batch = 1
        elif number > 1 and is_limit(why):
            patience.batch = max(1, min(number // 2, limited_to(why) or number))
        elif has and is_limit(why):
            patience.allowed = has
        told = f"the batch system refuses workers of {pool}: {why}"
        if has and number == 1:
            several = "jobs" if has > 1 else "job"
            told = f"the site allows {has} {several} ({why}); going on with {has}" if is_limit(why) else told
        self._refusal = told
        if number == 1 or not is_limit(why):
            self._say(f"{pool} {why}", told)

    def unanswered(self, names: Sequence[str], why: str, now: float) -> None:
        """Nobody knows whether the batch system has taken workers on."""
        self._under_way.discard(Submit)
        for name in names:
            if (hire := self.hires.get(name)) and hire.state is State.ASKED:
                hire.turn(State.UNSURE, now)
                self._patience[hire.pool].wait(now)
                if not self.limits.can_tell:
                    self._forget(name)
                elif self.closing:
                    self._give_up(hire, now)
        self._silence = f"the batch system does not answer: {why}"
        self._asking.soon(now)

    def cancelled(self, names: Iterable[str], now: float) -> None:
        """The batch system says that it has cancelled jobs; that they are gone is asked before it is believed."""
        self._under_way.discard(Cancel)
        for hire in self._leaving(names):
            hire.accepted += 1
            if hire.accepted >= CONFIRMED_BY or not self.limits.can_tell:
                self._forget(hire.name)
            else:
                self._later(hire, now)
        self._asking.soon(now)

    def not_cancelled(self, names: Iterable[str], why: str, now: float) -> None:
        """The batch system has not cancelled jobs: it is asked again."""
        self._under_way.discard(Cancel)
        self._silence = f"the batch system does not cancel jobs: {why}"
        for hire in self._leaving(names):
            self._later(hire, now)

    def told(self, names: Iterable[str], found: Mapping[str, Told], now: float) -> None:
        """The batch system has told how jobs stand; it may have left some out, which proves nothing."""
        self._under_way.discard(Ask)
        self._asking.done(now)
        self._silence = self._waits = None
        for name in names:
            if hire := self.hires.get(name):
                self._believe(hire, found.get(name), now)

    def not_told(self, why: str, now: float) -> None:
        """The batch system was asked after jobs, and did not answer."""
        self._under_way.discard(Ask)
        self._asking.done(now)
        self._silence = f"the batch system does not answer: {why}"

    def retired(self, name: str, now: float, *, went: bool) -> None:
        """A worker has moved what it held to others, or could not."""
        hire = self.hires.get(name)
        if hire is None or hire.state is not State.RETIRING:
            return
        if went:
            self._give_up(hire, now)
        else:
            hire.turn(State.HERE, now)
            hire.after = now + self.pools[hire.pool].idle

    def _believe(self, hire: Hire, told: Told | None, now: float) -> None:
        if told is not None and told.job:
            hire.job = told.job
        if hire.state is State.LEAVING:
            self._confirm(hire, told)
        elif hire.state is State.UNSURE:
            self._find(hire, told, now)
        elif hire.state not in (State.PENDING, State.MISSING) or told is None:
            return
        elif told.state in ACTIVE:
            self._goes_on(hire, told, now)
        elif told.state == UNKNOWN:
            hire.doubts += 1
            if hire.doubts >= CONFIRMED_BY:
                self._lost(hire, told, now)
        elif told.state != ENDING:
            self._lost(hire, told, now)

    def _confirm(self, hire: Hire, told: Told | None) -> None:
        """Forget one that was given up, if its job is gone."""
        if told is None:
            hire.doubts += hire.job is None
        elif told.state not in ACTIVE:
            hire.doubts = CONFIRMED_BY
        else:
            hire.accepted = 0
        if hire.doubts >= CONFIRMED_BY:
            self._forget(hire.name)

    def _find(self, hire: Hire, told: Told | None, now: float) -> None:
        """Find out whether the batch system took one on that it gave no number of."""
        if told is not None and hire.job:
            hire.turn(State.PENDING, now)
            return
        hire.doubts += 1
        if hire.doubts >= CONFIRMED_BY:
            self._forget(hire.name)

    def _goes_on(self, hire: Hire, told: Told, now: float) -> None:
        hire.doubts, hire.log = 0, told.log or hire.log
        if hire.state is State.MISSING and told.state in WAITING:  # it was put back into the queue
            hire.turn(State.PENDING, now)
        if "TimeLimit" in told.reason and told.state in WAITING:
            self._waits = (
                f"the batch system will never start them ({told.reason}): the walltime is longer than the queue allows"
            )
        elif told.state in WAITING:
            self._waits = self._waits or f"job {hire.job} waits in the queue ({told.reason or told.state})"

    def _lost(self, hire: Hire, told: Told, now: float) -> None:
        """A job has ended that nobody gave up."""
        came = hire.state is State.MISSING
        end = End(hire.name, hire.pool, hire.job or "unknown", told._replace(log=told.log or hire.log), came)
        self.ends.append(end)
        if told.state == UNKNOWN and came:
            self._give_up(hire, now)  # the job may still be there
        else:
            self._forget(hire.name)
        self._ended = str(end) if came else f"{end}, before it came"
        if not came:
            self._patience[hire.pool].wait(now)
            self._say(f"{hire.pool} {told.state} {told.reason} {told.exit}", self._ended)

    def _give_up(self, hire: Hire, now: float) -> None:
        if hire.state is not State.LEAVING:
            hire.turn(State.LEAVING, now)
            hire.accepted = hire.tries = 0
            if hire.job is None and not self.limits.can_tell:
                self._forget(hire.name)

    def _later(self, hire: Hire, now: float) -> None:
        hire.tries += 1
        hire.after = now + min(LAST_PAUSE if self.closing else LONGEST_PAUSE, FIRST_PAUSE * 2 ** (hire.tries - 1))

    def _leaving(self, names: Iterable[str]) -> list[Hire]:
        found = [self.hires[name] for name in names if name in self.hires]
        return [hire for hire in found if hire.state is State.LEAVING]

    def _forget(self, name: str) -> None:
        self.hires.pop(name, None)

    def _say(self, about: str, told: str) -> None:
        """Say something once."""
        if about not in self._said:
            self._said.add(about)
            self.news.append(told)
