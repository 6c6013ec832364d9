"""Runs that a server started: shared by who asks for the same, waited for, ended when nobody wants them."""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from mcp.server.subscriptions import ResourcesListChanged, ResourceUpdated

from stargazer.mcp.processes import NotebookProcess
from stargazer.mcp.turns import in_turn
from stargazer.runs import run as start_run
from stargazer.runs.expected import Expected
from stargazer.runs.state import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from distributed import Client
    from mcp.server.mcpserver import Context
    from mcp.server.subscriptions import SubscriptionBus

    from stargazer.runs import KeptRun, Status
    from stargazer.store import Store

__all__ = ["Flight", "Flights", "InFlight"]

EVERY = 0.1
"""Seconds between two looks at a run."""

TELL_EVERY = 1.0
"""Seconds between two words of progress where nothing changed."""

KEPT = 200
"""Runs that have ended and are still answered for."""


class InFlight(Protocol):
    """What is asked of a run: `stargazer.runs.Run`, or a process that runs a notebook."""

    @property
    def id(self) -> str:
        """Name under which the store knows it; empty where it does not."""

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""

    @property
    def notice(self) -> str | None:
        """What somebody should know who watches."""

    @property
    def failures(self) -> dict[str, BaseException]:
        """Errors of the calls that failed."""

    def status(self) -> Status:
        """Calls in each state."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; return whether it has come."""

    def cancel(self) -> None:
        """End what runs."""

    def result(self) -> Any:
        """What it gave; raises if it failed or was cancelled."""


@dataclass(eq=False)
class Flight:
    """A run that this server started.

    Parameters
    ----------
    id
        Its handle: the name under which the store knows the run; of one that had nothing to run, one of this server.
    what
        Task or workflow.
    run
        The run.
    asked
        Keys of the calls: who asks for the same gets this run.
    expected
        How long its calls took before.
    owners
        Requests that wait for it and would end it.
    kept
        Number of handles that were given out: while a client has one no request ends the run; `cancel_run` does.
    is_ending
        Whether nobody wants it any more.
    """

    id: str
    what: str
    run: InFlight
    asked: tuple[str, ...]
    expected: Expected
    owners: int = 0
    kept: int = 0
    is_ending: bool = False
    began: float = field(default_factory=time.time)

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.run.ended

    @property
    def is_listed(self) -> bool:
        """Whether it is told among the runs though the store has no note of it: not where all was known at once."""
        return not self.ended or isinstance(self.run, NotebookProcess)

    def progress(self) -> tuple[int, int, str]:
        """Calls that have ended, all, and a line that tells what runs and for how long yet."""
        status = self.run.status()
        done, total = status.ended, status.count()
        running = [f"{name}{f' × {n}' if (n := counts.get(State.RUNNING, 0)) > 1 else ''}"
                   for name, counts in status.tasks.items() if counts.get(State.RUNNING)]  # fmt: skip
        parts = [
            f"{done} of {total} calls" if total else f"{status.seconds:.0f} s",
            *([f"running {', '.join(running[:5])}"] if running else []),
        ]
        if left := self.expected.told(status):
            parts.append(left)
        if notice := self.run.notice:
            parts.append(notice)
        return done, total, "; ".join(parts)


class Flights:
    """The runs of one server.

    Parameters
    ----------
    store
        In which they run.
    on
        Profile; threads of this process by default.
    """

    def __init__(self, store: Store, on: str | None = None) -> None:
        self.store, self.on = store, on
        self.bus: SubscriptionBus | None = None
        self.detached: set[str] = set()
        self._flights: dict[str, Flight] = {}
        self._lock, self._beginning = threading.Lock(), threading.Lock()
        self._stack = ExitStack()
        self._client: Client | None = None
        self._numbers = itertools.count(1)
        self._is_over = False

    def start(self, calls: Any, what: str, again: Any = None) -> Flight:
        """Start a run, or join the one that makes the same; the flight has one owner more.

        Parameters
        ----------
        calls
            What a workflow wired.
        what
            Its name.
        again
            What runs once more, as for `stargazer.run`.
        """
        from stargazer.runs.planner import roots_of

        asked = tuple(sorted({call.key for call in roots_of(calls)})) if again is None else ()

        def begin() -> InFlight:
            with self.store:
                return start_run(calls, client=self._connected(), wait=False, progress=False, again=again, name=what)

        return self._joined(asked, what, begin)

    def take(self, what: str, asked: tuple[str, ...], start: Callable[[], InFlight]) -> Flight:
        """As `start`, of what runs in another way.

        Parameters
        ----------
        what
            Its name.
        asked
            What makes it the same: one that runs already is joined.
        start
            Starts it.
        """
        return self._joined(asked, what, start)

    def _joined(self, asked: tuple[str, ...], what: str, begin: Callable[[], InFlight]) -> Flight:
        """The run that makes the same, or a new one; beginning it may take long, and holds up nobody who leaves."""
        with self._beginning:
            with self._lock:
                if found := self._in_flight(asked):
                    found.owners += 1
                    return found
            run = in_turn(self.store, asked, begin)
            with self._lock:
                return self._kept(run, what, asked)

    def _in_flight(self, asked: tuple[str, ...]) -> Flight | None:
        """The run that makes the same, and is not about to end."""
        found = (each for each in self._flights.values() if asked and each.asked == asked)
        return next((each for each in found if not (each.ended or each.is_ending)), None)

    def detach(self, calls: Any, what: str, again: Any = None) -> KeptRun:
        """Let a process of its own run something, which outlives this server.

        Parameters
        ----------
        calls, what, again
            As for `start`.
        """
        with self.store:
            made = start_run(calls, detach=True, on=self.on, again=again, name=what)
        self.detached.add(made.id)
        return made

    def _kept(self, run: InFlight, what: str, asked: tuple[str, ...]) -> Flight:
        stem = Path(what).stem if isinstance(run, NotebookProcess) else "known"
        name = run.id or f"{stem}-{next(self._numbers)}"
        flight = self._flights[name] = Flight(name, what, run, asked, Expected(self.store), owners=1)
        for old in [each.id for each in self._flights.values() if each.ended][:-KEPT]:
            del self._flights[old]
        if self._is_over:
            run.cancel()
        return flight

    def _connected(self) -> Client | None:
        if self.on is not None and self._client is None:
            from stargazer.client import connect

            self._client = self._stack.enter_context(connect(self.on))
        return self._client

    def find(self, name: str) -> Flight | None:
        """The flight of a handle, or of the beginning of one; None where it is none of this server, or not alone."""
        if name in self._flights:
            return self._flights[name]
        found = [each for each in self.all() if name and each.id.startswith(name)]
        mine = {each.run.id for each in found}
        others = any(each.startswith(name) and each not in mine for each in self.store.backend.names("runs"))
        return found[0] if len(found) == 1 and not others else None

    def all(self) -> list[Flight]:
        """All flights, the newest first."""
        flights = list(self._flights.values())  # other threads add to them
        return sorted(flights, key=lambda flight: flight.began, reverse=True)

    def leave(self, flight: Flight) -> None:
        """One owner less; a run that nobody wants ends."""
        with self._lock:
            flight.owners -= 1
        self._end_unwanted(flight)

    def end_with_session(self, flight: Flight, ctx: Context[Any, Any]) -> None:
        """Let a run end when the session of its client does, where it has one over HTTP; over stdio the server ends.

        Clients of the newest protocol have no sessions: their run goes on until it ends, or is cancelled.
        """
        connection = getattr(ctx.session, "_connection", None)
        if connection is not None and connection.session_id is not None:
            connection.exit_stack.callback(self.let_go, flight)

    def let_go(self, flight: Flight) -> None:
        """The client to whom a handle was given is gone."""
        with self._lock:
            flight.kept -= 1
        self._end_unwanted(flight)

    def _end_unwanted(self, flight: Flight) -> None:
        """End a run that nobody wants; in a thread, for that may take a moment, and who asks may be an event loop."""
        with self._lock:
            flight.is_ending = flight.is_ending or (flight.owners <= 0 and flight.kept <= 0)
        if flight.is_ending and not flight.ended:
            threading.Thread(target=flight.run.cancel, name="stargazer-cancel", daemon=True).start()

    def end_all(self, seconds: float) -> None:
        """End every run and its tools, and start none any more.

        Parameters
        ----------
        seconds
            To wait for that.
        """
        self._is_over = True
        running = [flight for flight in self.all() if not flight.ended]
        for flight in running:
            flight.run.cancel()
        deadline = time.monotonic() + seconds
        for flight in running:
            flight.run.wait(max(deadline - time.monotonic(), 0.0))

    def close(self) -> None:
        """Let go of the workers."""
        self._stack.close()

    async def wait(
        self, flight: Flight, seconds: float, tell: Callable[[int, int, str], Awaitable[None]], *, owns: bool
    ) -> None:
        """Wait for the end of a run, for some seconds at most, and tell how far it is.

        Parameters
        ----------
        flight
            What is waited for.
        seconds
            How long.
        tell
            Takes calls done, all, and a line.
        owns
            Whether the run ends when the one who waits goes, and nobody else wants it.
        """
        try:
            with anyio.move_on_after(seconds):
                await self._watch(flight, tell)
        except BaseException:
            if owns:
                self.leave(flight)
            raise
        if owns:
            with self._lock:
                flight.owners -= 1
                flight.kept += 1

    async def _watch(self, flight: Flight, tell: Callable[[int, int, str], Awaitable[None]]) -> None:
        last, said, moment = "", "", 0.0
        pause = 0.005
        while not flight.ended:
            done, total, line = flight.progress()
            if line.partition(";")[0] != last or (line != said and time.monotonic() - moment > TELL_EVERY):
                last, said, moment = line.partition(";")[0], line, time.monotonic()
                await tell(done, total, line)
                await self._publish(flight)
            await anyio.sleep(pause)
            pause = min(pause * 2, EVERY)

    async def _publish(self, flight: Flight) -> None:
        if self.bus is not None:
            await self.bus.publish(ResourceUpdated(uri=f"stargazer://runs/{flight.id}"))

    async def announce(self, flight: Flight) -> None:
        """Tell those who listen that there is a run, and when it has ended."""
        if self.bus is None:
            return
        await self.bus.publish(ResourcesListChanged())
        while not flight.ended:
            await anyio.sleep(EVERY)
        await self.bus.publish(ResourceUpdated(uri=f"stargazer://runs/{flight.id}"))
