"""A batch system and its workers in virtual time, with every fault that a real one has."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from stargazer.client.hires import (
    UNKNOWN,
    Ask,
    Cancel,
    Limits,
    Pool,
    Present,
    Retire,
    State,
    Submit,
    Told,
)
from stargazer.client.staffing import Staffing

STARTS = 3.0
"""Seconds from the start of a job until its worker has come."""


@dataclass
class Job:
    """A job at the site."""

    number: str
    name: str
    starts: float
    state: str = "PENDING"
    comes: float = 0.0


@dataclass
class Worker:
    """A worker that the scheduler has."""

    name: str
    job: str
    call: int | None = None
    until: float = 0.0
    worked: float = 0.0
    takes: bool = True


@dataclass
class Site:
    """Plays the batch system, the scheduler and the calls.

    Parameters
    ----------
    rng
        What happens by chance.
    calls
        Seconds that each takes.
    maximum, idle, rate, limit
        Of workers, of resting, of submissions a minute, of jobs that the site allows.
    faults
        Chance of each fault of a command.
    """

    rng: random.Random
    calls: list[float]
    maximum: int = 4
    idle: float = 10.0
    rate: int = 20
    limit: int = 1000
    wait: float = 5.0
    faults: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = 0.0
        self.staffing = Staffing({"slurm": Pool("slurm", self.idle)}, Limits(rate=self.rate, array=100), "stargazer-x")
        self.jobs: dict[str, Job] = {}
        self.workers: dict[str, Worker] = {}
        self.waiting = list(range(len(self.calls)))
        self.done: set[int] = set()
        self.starts: Counter[int] = Counter()
        self.taken_away: Counter[int] = Counter()
        self.commands: list[tuple[float, str]] = []
        self.ended_busy: list[str] = []
        self._answers: list[tuple[float, object]] = []
        self._number = 100
        self.enough = False

    # What the world does in a second.

    def run(self, seconds: float, until: object = None) -> bool:
        """Let time pass, until something holds."""
        end = self.now + seconds
        while self.now < end:
            self.step()
            if until is not None and until():  # type: ignore[operator]
                return True
        return until is None

    def step(self) -> None:
        """One second."""
        self.now += 1.0
        for job in self.jobs.values():
            if job.state == "PENDING" and self.now >= job.starts:
                job.state, job.comes = "RUNNING", self.now + STARTS
            if job.state == "RUNNING" and self.now >= job.comes and job.name not in self.workers and job.comes:
                job.comes = 0.0
                self.workers[job.name] = Worker(job.name, job.number, worked=self.now)
        self._work()
        due = [answer for at, answer in self._answers if at <= self.now]
        self._answers = [(at, answer) for at, answer in self._answers if at > self.now]
        for answer in due:
            answer()  # type: ignore[operator]
        for action in self.staffing.look(self.now, self._here(), {"slurm": self._wanted()}):
            self.act(action)

    def _work(self) -> None:
        for worker in self.workers.values():
            if worker.call is not None and self.now >= worker.until:
                self.done.add(worker.call)
                worker.call, worker.worked = None, self.now
            if worker.call is None and worker.takes and self.waiting:
                worker.call = self.waiting.pop(0)
                worker.until = self.now + self.calls[worker.call]
                self.starts[worker.call] += 1

    def _here(self) -> dict[str, Present]:
        return {
            worker.name: Present(
                None if worker.call is not None else self.now - worker.worked, worker.takes, worker.job
            )
            for worker in self.workers.values()
        }

    def _wanted(self) -> int:
        return min(self.maximum, len(self.waiting) + sum(worker.call is not None for worker in self.workers.values()))

    def take_away(self, number: str, state: str = "NODE_FAIL") -> None:
        """An operator, or a broken machine, ends a job."""
        job = self.jobs[number]
        job.state = state
        self._lose(job)

    def requeue(self, number: str) -> None:
        """A machine is lost, and its job goes back into the queue."""
        job = self.jobs[number]
        job.state, job.starts = "PENDING", self.now + self.wait
        self._lose(job)

    def _lose(self, job: Job) -> None:
        worker = self.workers.pop(job.name, None)
        if worker and worker.call is not None:
            self.taken_away[worker.call] += 1
            self.waiting.insert(0, worker.call)

    # What the batch system does when it is asked.

    def act(self, action: object) -> None:
        """Carry an action out, now or later, well or badly."""
        at = self.now + self.rng.choice([0.0, 0.0, 1.0])
        fault = self._fault(type(action).__name__)
        if isinstance(action, Retire):
            self._retire(action)
            return
        self.commands.append((self.now, type(action).__name__))
        if fault == "late":
            at += 8.0
        do = {Submit: self._submit, Ask: self._ask, Cancel: self._cancel}[type(action)]
        self._answers.append((at, lambda: do(action, fault)))  # type: ignore[operator]

    def _fault(self, command: str) -> str:
        if self.enough:
            return ""
        for name, chance in self.faults.items():
            if self.rng.random() < chance:
                return name
        return ""

    def _retire(self, action: Retire) -> None:
        for name in action.names:
            worker = self.workers.get(name)
            went = worker is not None and worker.call is None
            if worker is not None and went:
                worker.takes = False
            self.staffing.retired(name, self.now, went=went)

    def active(self) -> list[Job]:
        """Jobs that run or wait."""
        return [job for job in self.jobs.values() if job.state in ("PENDING", "RUNNING")]

    def _submit(self, action: Submit, fault: str) -> None:
        refused = fault == "refuse" or len(self.active()) + len(action.names) > self.limit
        if refused:
            self.staffing.refused(action.names, "QOSMaxSubmitJobPerUserLimit", self.now)
            return
        if fault == "hang":
            self.staffing.unanswered(action.names, "sbatch said nothing for 60 s", self.now)
            return
        self._number += 1
        numbers = [f"{self._number}_{i}" for i in range(len(action.names))]
        for number, name in zip(numbers, action.names, strict=True):
            self.jobs[number] = Job(number, name, self.now + self.wait)
        if fault == "killed":
            self.staffing.unanswered(action.names, "sbatch was killed by signal 9", self.now)
        elif fault == "wrong":
            self.staffing.taken(action.names, [f"9{number}" for number in numbers], self.now)
        else:
            self.staffing.taken(action.names, numbers, self.now)

    def _ask(self, action: Ask, fault: str) -> None:
        if fault in ("hang", "killed", "refuse"):
            self.staffing.not_told("squeue said nothing for 10 s", self.now)
            return
        if fault in ("empty", "wrong"):
            self.staffing.told(action.names, {}, self.now)
            return
        found = {}
        for name in action.names:
            hire = self.staffing.hires.get(name)
            if hire is None:
                continue
            if hire.job is None:
                told = [Told(job.state, job=job.number) for job in self.jobs.values() if job.name == name]
                found |= dict.fromkeys([name] * len(told), *told[:1])
            elif hire.job in self.jobs:
                found[name] = Told(self.jobs[hire.job].state)
            else:
                found[name] = Told(UNKNOWN)
        self.staffing.told(action.names, found, self.now)

    def _cancel(self, action: Cancel, fault: str) -> None:
        names = action.names
        if fault in ("hang", "refuse"):
            self.staffing.not_cancelled(names, "scancel: error: Socket timed out", self.now)
            return
        hires = [self.staffing.hires[name] for name in names if name in self.staffing.hires]
        for hire in hires:
            job = self.jobs.get(hire.job or "")
            if job is not None and job.state in ("PENDING", "RUNNING"):
                worker = self.workers.get(job.name)
                if worker is not None and worker.call is not None:
                    self.ended_busy.append(job.name)
                job.state = "CANCELLED"
                self._lose(job)
        if fault == "killed":
            self.staffing.not_cancelled(names, "scancel was killed by signal 9", self.now)
        else:
            self.staffing.cancelled(names, self.now)

    def close(self, seconds: float = 60.0) -> None:
        """Close the client: nobody is wanted any more, busy or not."""
        self.staffing.leave_all(self.now)
        end = self.now + seconds
        while self.staffing.hires and self.now < end:
            self.now += 1.0
            due = [answer for at, answer in self._answers if at <= self.now]
            self._answers = [(at, answer) for at, answer in self._answers if at > self.now]
            for answer in due:
                answer()  # type: ignore[operator]
            for action in self.staffing.look(self.now, {}, {}):
                self.act(action)

    def count(self, *states: State) -> int:
        """Workers in these states, as the staffing sees it."""
        return self.staffing.count("slurm", *states)

    def most_in_a_minute(self, command: str) -> int:
        """The most commands of one kind in any 60 s."""
        times = [at for at, name in self.commands if name == command]
        return max((sum(start <= at < start + 60 for at in times) for start in times), default=0)
