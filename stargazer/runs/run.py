"""Calls in flight: what fails does not take its siblings with it."""

from __future__ import annotations

import contextlib
import datetime
import queue
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, Generic, Literal, overload

from stargazer.calls.call import calls_in, replaced
from stargazer.calls.elements import element
from stargazer.calls.graph import flatten
from stargazer.calls.renewed import renewed
from stargazer.calls.resources import Retry, default_client
from stargazer.calls.walk import needs
from stargazer.errors import ArgumentError, Cancelled, OutputError, RunFailed
from stargazer.ledger import Ledger, NotDeterministic
from stargazer.runs.history import Logs, RunLog, known_calls
from stargazer.runs.monitor import Monitor, held
from stargazer.runs.state import RunState, State, Status
from stargazer.runs.threads import Threads
from stargazer.store import Store
from stargazer.store.context import refuse_while_wiring

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from distributed import Client
    from typing_extensions import TypeVar

    from stargazer.calls.call import Call, Pending
    from stargazer.execute import TaskSpec
    from stargazer.ledger import Record
    from stargazer.runs.engine import Engine
    from stargazer.runs.history import Note, Timeline
    from stargazer.runs.kept import KeptRun

    T = TypeVar("T", default=Any)
    R = TypeVar("R")
else:
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["Run", "failure_text", "in_order", "run", "run_async"]

CLOCKS_DIFFER = 5.0


class Run(Generic[T]):
    """Calls in flight: progress, results, failures. Made by `run`.

    Parameters
    ----------
    what
        A call, or lists, tuples and dicts of calls.
    client
        A Dask client; None for threads of this process.
    again
        What runs once more, whatever is known.
    workflow
        Name of the workflow; by default of the function that wired the calls.
    note
        Of a run that was asked for before, whose driver this process is.

    Attributes
    ----------
    known
        Number of calls that the ledger answered when the run began.
    """

    def __init__(
        self,
        what: Any,
        client: Client | None = None,
        again: Any = None,
        workflow: str = "",
        note: Note | None = None,
    ) -> None:
        self._workflow, self._note = workflow, note
        self._compared = again is None
        asked = list(calls_in(what))
        fresh = renewed(asked, again) if again is not None else {call.key: call for call in asked}
        self._what = replaced(what, lambda call: fresh[call.key])
        self._asked = {fresh[call.key].key: call for call in asked}
        self._calls = {call.key: call for call in fresh.values()}
        self._places: dict[str, list[Call]] = {}
        for call in self._calls.values():
            self._places.setdefault(call.plan_key, []).append(call)
        self._watch = RunState(self._on_done)
        self._engine = _engine(client, self._watch)
        self._logs = Logs(next((call.store for call in self._calls.values()), None))
        self._results: dict[str, Any] = {}
        self._arrived: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._beside: Monitor | None = None
        self._began = time.time()
        self._cancelled = False
        self._ended = threading.Event()
        graph, missing = self._plan()
        self.known = len([call for call in self._calls.values() if call.whole.key not in missing])
        self._beside = self._attended(missing)
        self._thread = threading.Thread(target=self._work, args=(graph, missing), name="stargazer-run", daemon=True)
        try:
            self._thread.start()
        except KeyboardInterrupt:
            self.cancel()
            raise

    def __repr__(self) -> str:
        return f"<run: {self.status()}>"

    def _repr_html_(self) -> str:
        from stargazer.display import run_html

        return run_html(self)

    def status(self) -> Status:
        """Count the calls in each state."""
        running = None if self.ended else self._engine.running()
        if running is not None:
            self._watch.now_running(running)
        return self._watch.status()

    def counted(self) -> Status:
        """As `status`, of what is known here; nobody is asked."""
        return self._watch.status()

    def waits_for(self) -> str | None:
        """Why nothing runs though there is work; None where something does."""
        return self._engine.waits_for()

    @property
    def notice(self) -> str | None:
        """What somebody should know who watches: that work waits, and no worker comes."""
        return self._beside.notice if self._beside else None

    @property
    def lost_workers(self) -> list[str]:
        """How workers ended that nobody gave back: what the batch system says, and where their logs are."""
        return self._engine.lost()

    @property
    def dashboard(self) -> str | None:
        """Address of Dask's dashboard, where there is one."""
        return self._engine.dashboard

    @property
    def ended(self) -> bool:
        """Whether nothing runs any more."""
        return self._ended.is_set()

    @property
    def failures(self) -> dict[str, BaseException]:
        """Errors of the calls that failed, by task name and the first digits of the plan key."""
        return {self._watch.label(key): error for key, error in self._watch.failures.copy().items()}

    def log(self, label: str) -> str:
        """Return the log of a call that failed, by its label in `failures`; empty where it left none.

        It has the commands with what they wrote to stderr, and for errors of the body itself the traceback.
        """
        return self._logs.log(self.failures[label])

    def log_command(self, label: str) -> str:
        """What shows that log in a terminal, ``"stargazer log …"``; empty where there is none."""
        return self._logs.command(self.failures[label])

    @property
    def tasks_run(self) -> int:
        """Number of calls that ended well in this run, as bodies or by early cut-off."""
        return self.status().count(State.DONE)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most `timeout` seconds; return whether it has come. Ctrl-C cancels the run."""
        try:
            return self._ended.wait(timeout)
        except (KeyboardInterrupt, SystemExit):
            self.cancel()
            raise

    def result(self) -> T:
        """Wait for the end and return what the calls gave, in the shape in which they were passed.

        Raises
        ------
        RunFailed
            Some calls failed; what the others made is in the store, and the next run goes on from there.
        Cancelled
            The run was cancelled.
        """
        self.wait()
        self._tell_differences()
        self._raise()
        found: T = replaced(self._what, lambda call: self._results[call.key])
        return found

    def __iter__(self) -> Iterator[tuple[Call, Any]]:
        """Yield each call that was passed with its result, as they finish; raise at the end if some failed."""
        while (key := self._arrived.get()) is not None:
            yield self._asked[key], self._results[key]
        self._arrived.put(None)
        self._raise()

    def timeline(self) -> Timeline:
        """What ran when, and where; notebooks show it as a picture, and `Timeline.save` writes it."""
        from stargazer.runs.history import Timeline

        store = next((call.store for call in self._calls.values()), None)
        return Timeline(store, self._watch.done_keys(), self._began)

    def cancel(self) -> None:
        """End what runs and start nothing more; what has finished stays."""
        self._cancelled = True
        self._engine.cancel()

    def abandon(self) -> None:
        """Cancel it, and note nothing more of it: its note is, or may be, another driver's."""
        if self._beside is not None:
            self._beside.is_silent = True
        self.cancel()

    def _plan(self) -> tuple[dict[str, Any], dict[str, Call]]:
        done = self._watch.done_keys()
        graph, missing = flatten(
            self._calls.values(), self._engine.node, self._engine.take, with_outputs=True, done=done
        )
        self._watch.expect(in_order(missing))
        return graph, missing

    def _work(self, graph: dict[str, Any], missing: dict[str, Call]) -> None:
        again = Retry()
        try:
            if self._beside is not None:
                self._engine.begin(self._beside.id, self._made())
            while True:
                with held(graph, missing) as lease:
                    self._watch.relied_on = lease.add
                    self._collect(self._engine.execute(graph, missing, list(self._calls)))
                if self._cancelled or not again.is_worth_it(self._watch.failures, missing.values()):
                    break
                graph, missing = self._plan()
            for url in {call.spec.store for call in self._calls.values()}:
                Store.open(url).backend.sync()
        except BaseException as error:  # noqa: BLE001 - it is raised where the run is waited for
            self._error = error
        finally:
            self._watch.stop()
            if self._beside is not None:
                self._beside.end(self._state())
            self._ended.set()
            self._arrived.put(None)

    def _attended(self, missing: dict[str, Call]) -> Monitor | None:
        first = next(iter(missing.values() if self._note is None else self._calls.values()), None)
        if first is None:
            return None
        log = RunLog(self._watch, known_calls(self._calls.values(), missing))
        return Monitor(self, first.store, self._engine.where, self._engine.patience, log, self._note)

    @property
    def note(self) -> Note | None:
        """What is noted of it in the store; None where nothing had to run."""
        return self._beside.note if self._beside else None

    @property
    def wired(self) -> tuple[str, TaskSpec]:
        """Name of the workflow, and what its calls share, with the commit of the code that wired it."""
        spec = next(iter(self._calls.values())).spec
        return self._workflow or (spec.wired.workflow if spec.wired else spec.name), spec.stamped()

    @property
    def id(self) -> str:
        """Name under which `stargazer runs` and `stargazer log` know it; empty where nothing had to run."""
        return self._beside.id if self._beside else ""

    def _made(self) -> str:
        """What the run makes, in a few words."""
        names = list(dict.fromkeys(call.name for call in self._calls.values()))
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    def _state(self) -> str:
        failed = self._error is not None or self._watch.failures
        return "failed" if failed else "cancelled" if self._cancelled else "done"

    def _on_done(self, plan_key: str, whole: Any) -> None:
        for call in self._places.get(plan_key, ()):
            with contextlib.suppress(OutputError):
                self._collect({call.key: whole if call.parent is None else element(whole, call.index)})

    def _collect(self, results: dict[str, Any]) -> None:
        for key in results.keys() - self._results.keys():
            self._results[key] = results[key]
            self._arrived.put(key)

    def _tell_differences(self) -> None:
        """Warn of results that differ from those before, where they were made elsewhere; threads here have warned."""
        if self._compared or isinstance(self._engine, Threads):
            return
        self._compared = True
        first = next(iter(self._calls.values()))
        ledger = Ledger(first.store.records)
        for record in ledger.lookup(self._watch.done_keys()).values():
            if _began(record) >= self._began - CLOCKS_DIFFER and (told := ledger.difference(record)):
                warnings.warn(told, NotDeterministic, stacklevel=3)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
        if self._cancelled:
            raise Cancelled(f"the run was cancelled; {self.status()}")
        if self._watch.failures:
            first = next(iter(self._watch.failures.values()))
            raise RunFailed(failure_text(self), self.failures) from first
        if self._results.keys() < self._calls.keys():
            raise Cancelled(f"others ended the run, or closed its client; run it again to go on; {self.status()}")


def _began(record: Record) -> float:
    return datetime.datetime.fromisoformat(record.started).timestamp()


def _engine(client: Client | None, watch: RunState) -> Engine:
    if client is None:
        return Threads(watch)
    from stargazer.runs.workers import Workers  # imports distributed, which threads of this process do without

    return Workers(client, watch)


# Run calls, with progress.


EVERY = 0.02
"""Seconds between two looks of a coroutine at its run."""

ENDS_WITHIN = 10.0
"""Seconds that a cancelled run may take to end."""


@overload
def run(
    *calls: Any,
    detach: Literal[True],
    client: Client | None = ...,
    on: str | None = ...,
    again: Any = ...,
    name: str = ...,
) -> KeptRun: ...
@overload
def run(
    call: Pending[R],
    /,
    *,
    client: Client | None = ...,
    wait: bool = ...,
    progress: bool | None = ...,
    again: Any = ...,
    name: str = ...,
) -> Run[R]: ...
@overload
def run(
    call: T,
    /,
    *,
    client: Client | None = ...,
    wait: bool = ...,
    progress: bool | None = ...,
    again: Any = ...,
    name: str = ...,
) -> Run[T]: ...
@overload
def run(
    *calls: Any,
    client: Client | None = ...,
    wait: bool = ...,
    progress: bool | None = ...,
    again: Any = ...,
    name: str = ...,
) -> Run[tuple[Any, ...]]: ...
def run(
    *calls: Any,
    client: Client | None = None,
    wait: bool = True,
    progress: bool | None = None,
    again: Any = None,
    name: str = "",
    detach: bool = False,
    on: str | None = None,
) -> Run[Any] | KeptRun:
    """Run calls, with progress; results are in the store the moment a task ends.

    Parameters
    ----------
    *calls
        Calls, or lists, tuples and dicts of them.
    client
        A Dask client (`stargazer.connect`); by default the active one, or threads of this process if there is none.
    wait
        Return only when all have ended. Otherwise return at once, and iterate over the run or ask its `Run.status`.
    progress
        Show a live table; by default in terminals and notebooks, where the run is waited for.
    again
        What runs once more, whatever is known: True for all that the calls need; tasks, calls, or names of tasks.
        What needs these runs as well where their results differ now.
    name
        Of the run; by default that of the function that wired the calls.
    detach
        Let a process of its own run them, which outlives this one, and return at once: a `KeptRun`, which
        `stargazer.runs.get` finds again anywhere by its id.
    on
        Where such a process runs them: a profile, or the address of a scheduler. By default as the active client.

    Returns
    -------
    Run
        ``run(a).result()`` is the result of ``a``; ``run(a, b).result()`` a tuple of two.

    Raises
    ------
    ArgumentError
        Something else than calls was passed, as a task that was not called.
    RunFailed
        Some calls failed; the others ran to their end first.

    Examples
    --------
    >>> import stargazer as sg
    >>> from stargazer.tasks import samtools_faidx
    >>> index = samtools_faidx(sg.add("ref.fa", sg.Reference(build="b37")))
    >>> sg.run(index).result().name
    'ref.fa.fai'
    """
    refuse_while_wiring("runs calls")
    what = calls[0] if len(calls) == 1 else calls
    if on is not None and not detach:
        raise ArgumentError("on= is for sg.run(…, detach=True); else connect first: with sg.connect(…): sg.run(…)")
    client = _checked(client)
    if detach:
        from stargazer.runs.detached import detach as detached
        from stargazer.runs.detached import options_like

        return detached(what, options_like(client, on, again), name)
    if client is not None and client.asynchronous:
        raise ArgumentError(
            "this client is asynchronous: write `await sg.run_async(…)`, or `await client.compute(call)`; sg.run would "
            "wait for the event loop that it holds up"
        )
    with _cancelled_by_ctrl_c() as flights:
        flights.append(flight := Run(what, client, again, name))
        if wait:
            _show(flight, progress)
    if wait:
        flight.result()
    return flight


async def run_async(*calls: Any, client: Client | None = None, again: Any = None, name: str = "") -> Run:
    """Run calls from a coroutine, and let its event loop go on meanwhile; parameters and errors as in `run`.

    Parameters
    ----------
    *calls
        Calls, or lists, tuples and dicts of them.
    client
        A Dask client, asynchronous or not; by default the active one, or threads of this process if there is none.
    again, name
        As in `run`.

    Examples
    --------
    >>> import asyncio
    >>> import stargazer as sg
    >>> from stargazer.tasks import samtools_faidx
    >>> index = samtools_faidx(sg.add("ref.fa", sg.Reference(build="b37")))
    >>> async def indexed():
    ...     flight = await sg.run_async(index)
    ...     return flight.result()
    >>> asyncio.run(indexed()).name
    'ref.fa.fai'
    """
    import asyncio

    what = calls[0] if len(calls) == 1 else calls
    async with _synchronous(_checked(client)) as blocking:
        flight: Run[Any] = await asyncio.to_thread(Run, what, blocking, again, name)
        try:
            while not flight.ended:
                await asyncio.sleep(EVERY)
        except asyncio.CancelledError:
            flight.cancel()
            await asyncio.to_thread(flight.wait, ENDS_WITHIN)
            raise
    flight.result()
    return flight


def _checked(client: Any) -> Client | None:
    if client is not None and not hasattr(client, "run_on_scheduler"):
        raise ArgumentError(f"client is {client!r}, not a Dask client; sg.connect makes one, also of an address")
    found: Client | None = client or default_client()
    return found


@contextlib.asynccontextmanager
async def _synchronous(client: Client | None) -> AsyncIterator[Client | None]:
    """A client that may block a thread, of the scheduler of an asynchronous one."""
    if client is None or not client.asynchronous:
        yield client
        return
    import asyncio

    from distributed import Client

    address, security = client.scheduler_info()["address"], client.security
    made = await asyncio.to_thread(Client, address, security=security, set_as_default=False)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.close)


@contextlib.contextmanager
def _cancelled_by_ctrl_c() -> Iterator[list[Run]]:
    flights: list[Run] = []
    try:
        yield flights
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C, and SIGTERM of a client with workers of a batch system
        for flight in flights:
            flight.cancel()
        raise


QUIET = 1.0
"""Seconds after which a run is shown: what ends before needs nothing that shows it."""


def _show(flight: Run, progress: bool | None) -> None:
    if progress is not False and not flight.wait(QUIET):
        from stargazer.display import show_run

        show_run(flight, progress, quiet=0)


# What is told of the calls of a run: in which order they come, and why some failed.


SHOWN_FAILURES = 5


def in_order(calls: dict[str, Call]) -> dict[str, Call]:
    """Return the calls, each after those that it needs."""
    from graphlib import TopologicalSorter

    sorter = TopologicalSorter({key: {needed.whole.key for needed in needs(call.whole)} for key, call in calls.items()})
    return {key: calls[key] for key in sorter.static_order() if key in calls}


def failure_text(flight: Run) -> str:
    """Say which calls of a run failed, and why, in a few lines."""
    failures = list(flight.failures.items())
    number = max(len(failures), flight.status().count())  # an element that is not there fails, though no call does
    lines = [f"{len(failures)} of {number} calls failed; what the others made is kept"]
    for label, error in failures[:SHOWN_FAILURES]:
        command = flight.log_command(label)
        lines += [f"— {label}: {type(error).__name__}: {error}", *([f"  the log: {command}"] if command else [])]
    if len(failures) > SHOWN_FAILURES:
        lines.append(f"… and {len(failures) - SHOWN_FAILURES} more in `.failures`")
    return "\n".join(lines)
