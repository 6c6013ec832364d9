"""Builds: runs that somebody asked a service for, which go on when the request has ended."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from stargazer.calls.walk import walk
from stargazer.errors import Cancelled, StargazerError
from stargazer.runs import run
from stargazer.service.materializing import finished, named
from stargazer.service.problems import Refusal, hidden_from, problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

    from stargazer.runs import Run
    from stargazer.service.artifact import Artifact
    from stargazer.service.settings import Limits, Principal
    from stargazer.service.wanted import Wanted

__all__ = ["Build", "Builds"]

KEPT, MOST = 3600.0, 10_000
"""Seconds for which an ended build is told of, and how many at most; what it made is in the store."""

ENDS_WITHIN = 10.0
RETRY = 5
PRIORITIES = {"interactive": 100, "bulk": 0}


class Build:
    """A run, who asked for it, and what became of it.

    Parameters
    ----------
    wanted
        What was asked for.
    principal
        Who asked first.
    start
        Begins the run.
    refreshes
        Whether it runs what is known once more.
    """

    def __init__(self, wanted: Wanted, principal: Principal, start: Callable[[], Run], refreshes: bool = False) -> None:
        self.wanted, self.principal, self.refreshes = wanted, principal, refreshes
        self.askers = {principal.name}
        self.began, self.stopped = time.time(), 0.0
        self.artifact: Artifact | None = None
        self.error: BaseException | None = None
        self.ended = threading.Event()
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()
        self._run = start()
        threading.Thread(target=self._finish, name="stargazer-build", daemon=True).start()

    @property
    def key(self) -> str:
        """Identity of what is built."""
        return self.wanted.key

    @property
    def state(self) -> str:
        """``"building"``, ``"ready"``, ``"failed"`` or ``"cancelled"``."""
        if not self.ended.is_set():
            return "building"
        return "ready" if self.error is None else "cancelled" if isinstance(self.error, Cancelled) else "failed"

    def join(self, principal: Principal, name: str | None) -> None:
        """Let another one wait for it; the result gets their name, too."""
        with self._lock:
            self.askers.add(principal.name)
            if name and not self.ended.is_set():
                self._names[name] = principal.name
                return
        if name and self.artifact is not None:
            named(self.wanted, self.artifact.asset, name, principal.name)

    def leave(self, principal: Principal) -> bool:
        """Cancel it for one; it ends when nobody else wants it. Whether it does."""
        with self._lock:
            self.askers.discard(principal.name)
            alone = not self.askers or principal.may("admin")
        if alone:
            self._run.cancel()
        return alone

    def cancel(self) -> None:
        """End it, whoever wants it."""
        self._run.cancel()

    def progress(self) -> dict[str, Any]:
        """How far it is: calls in each state, by task."""
        status = self._run.counted()
        tasks = {name: {state.value: number for state, number in each.items()} for name, each in status.tasks.items()}
        seconds = round((self.stopped or time.time()) - self.began, 1)
        return {"seconds": seconds, "calls": status.count(), "ended": status.ended, "tasks": tasks}

    def told(self) -> dict[str, Any]:
        """What is said of it, the artifact aside."""
        found: dict[str, Any] = {
            "build": self.key,
            "state": self.state,
            "run": self._run.id,
            "progress": self.progress(),
        }
        notice = None if self.ended.is_set() else self._run.notice
        found |= {"notice": notice} if notice else {}
        if self.error is None:
            return found
        return found | {"problem": problem(self.error, hidden_from(self.principal, self.wanted.store))}

    def _finish(self) -> None:
        try:
            result = self._run.result()
            self.artifact = finished(self.wanted, result, hit=False)
        except BaseException as error:  # noqa: BLE001 - it is told to whoever asks
            self.error = error
        self.stopped = time.time()
        with self._lock:  # whoever joins later gives the name himself
            self._name_all()
            self.ended.set()

    def _name_all(self) -> None:
        if self.artifact is None:
            return
        try:
            for name, user in self._names.items():
                named(self.wanted, self.artifact.asset, name, user)
        except StargazerError as error:
            self.error = error


class Builds:
    """All of a process.

    Parameters
    ----------
    limits
        Of one principal.
    client
        Where they run; threads of this process if there is none.
    """

    def __init__(self, limits: Limits, client: Client | None = None) -> None:
        self.limits, self.client = limits, client
        self._lock = threading.Lock()
        self._builds: dict[tuple[str, str], Build] = {}
        self._counted: Counter[tuple[str, str]] = Counter()

    def note(self, principal: Principal, how: str) -> None:
        """Count what was asked for: ``"known"``, ``"run"``, or ``"joined"`` to a run of others."""
        self._counted[principal.tenant, how] += 1

    def of(self, tenant: str) -> list[tuple[str, int]]:
        """What was counted of a tenant."""
        return [(how, self._counted[tenant, how]) for how in ("known", "run", "joined")]

    def find(self, principal: Principal, key: str) -> Build | None:
        """The build of a tenant that has a key; None where there is none, or it ended long ago."""
        return self._builds.get((principal.tenant, key))

    def active(self, principal: Principal | None = None, tenant: str | None = None) -> list[Build]:
        """Builds that go on: all, those of a tenant, or those that one began."""
        found = [(place, build) for place, build in list(self._builds.items()) if not build.ended.is_set()]
        if principal is not None:
            tenant = principal.tenant
            found = [(place, build) for place, build in found if build.principal.name == principal.name]
        return [build for (owner, _), build in found if tenant in (None, owner)]

    def start(
        self, wanted: Wanted, principal: Principal, *, name: str | None, refresh: bool, priority: str = "interactive"
    ) -> Build:
        """Begin a build, or join the one that goes on.

        Raises
        ------
        Refusal
            429: as many runs of that principal go on as it may have; 409: what is to be run once more is being made.
        """
        place = (principal.tenant, wanted.key)
        with self._lock:
            self._forget()
            there = self._builds.get(place)
            if there is not None and not there.ended.is_set():
                if refresh and not there.refreshes:
                    told = "it is being made just now: refresh it when that has ended"
                    raise Refusal(409, "Busy", told, headers={"Retry-After": str(RETRY)})
                self.note(principal, "joined")
                there.join(principal, name)
                return there
            if len(self.active(principal)) >= self.limits.runs:
                told = f"{self.limits.runs} runs of {principal.name} go on, which is the limit here"
                raise Refusal(429, "TooMany", told, headers={"Retry-After": str(RETRY)})
            build = Build(wanted, principal, lambda: self._begin(wanted, refresh, priority), refresh)
            self._builds[place] = build
            self.note(principal, "run")
        build.join(principal, name)
        return build

    def _begin(self, wanted: Wanted, refresh: bool, priority: str) -> Run:
        wanted.note_origins()
        for root in wanted.calls:
            for call in walk(root.whole):
                call.set_annotations(priority=PRIORITIES[priority])
        with wanted.store:
            again = True if refresh else None
            return run(wanted.wired, client=self.client, wait=False, again=again, name=wanted.ref)

    def _forget(self) -> None:
        """Forget builds that ended long ago, and the oldest where there are too many."""
        ended = sorted((build.stopped, place) for place, build in self._builds.items() if build.ended.is_set())
        too_many = len(self._builds) - MOST
        for number, (stopped, place) in enumerate(ended):
            if stopped < time.time() - KEPT or number < too_many:
                del self._builds[place]

    def close(self) -> None:
        """End all that goes on, and wait until it has."""
        going = self.active()
        for build in going:
            build.cancel()
        deadline = time.monotonic() + ENDS_WITHIN
        for build in going:
            build.ended.wait(max(0.0, deadline - time.monotonic()))
