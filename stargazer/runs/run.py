"""Calls in flight: what fails does not take its siblings with it."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from stargazer.calls.elements import element
from stargazer.calls.wiring import flatten
from stargazer.errors import Cancelled, OutputError, RunFailed
from stargazer.runs.again import Again
from stargazer.runs.beside import Beside
from stargazer.runs.holding import held
from stargazer.runs.logs import Logs
from stargazer.runs.shape import calls_in, replaced
from stargazer.runs.threads import Threads
from stargazer.runs.told import failure_text, in_order
from stargazer.runs.watch import State, Status, Watch
from stargazer.runs.workers import Workers
from stargazer.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

    from stargazer.calls import Call
    from stargazer.runs.engine import Engine
    from stargazer.runs.timeline import Timeline

__all__ = ["Run"]


class Run:
    """Calls in flight: progress, results, failures. Made by `run`.

    Parameters
    ----------
    what
        A call, or lists, tuples and dicts of calls.
    client
        A Dask client; None for threads of this process.

    Attributes
    ----------
    known
        Number of calls that the ledger answered when the run began.
    """

    def __init__(self, what: Any, client: Client | None = None) -> None:
        self._what = what
        self._calls = {call.key: call for call in calls_in(what)}
        self._places: dict[str, list[Call]] = {}
        for call in self._calls.values():
            self._places.setdefault(call.plan_key, []).append(call)
        self._watch = Watch(self._on_done)
        self._engine: Engine = Workers(client, self._watch) if client is not None else Threads(self._watch)
        self._logs = Logs(next((call.store for call in self._calls.values()), None))
        self._results: dict[str, Any] = {}
        self._arrived: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._beside: Beside | None = None
        self._began = time.time()
        self._cancelled = False
        self._ended = threading.Event()
        graph, missing = self._plan()
        self.known = len([call for call in self._calls.values() if call.whole.key not in missing])
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
        return {f"{self._watch.name(key)} {key[:8]}": error for key, error in self._watch.failures.copy().items()}

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
        except KeyboardInterrupt:
            self.cancel()
            raise

    def result(self) -> Any:
        """Wait for the end and return what the calls gave, in the shape in which they were passed.

        Raises
        ------
        RunFailed
            Some calls failed; what the others made is in the store, and the next run goes on from there.
        Cancelled
            The run was cancelled.
        """
        self.wait()
        self._raise()
        return replaced(self._what, lambda call: self._results[call.key])

    def __iter__(self) -> Iterator[tuple[Call, Any]]:
        """Yield each call that was passed with its result, as they finish; raise at the end if some failed."""
        while (key := self._arrived.get()) is not None:
            yield self._calls[key], self._results[key]
        self._arrived.put(None)
        self._raise()

    def timeline(self) -> Timeline:
        """What ran when, and where; notebooks show it as a picture, and `Timeline.save` writes it."""
        from stargazer.runs.timeline import Timeline

        store = next((call.store for call in self._calls.values()), None)
        return Timeline(store, self._watch.done_keys(), self._began)

    def cancel(self) -> None:
        """End what runs and start nothing more; what has finished stays."""
        self._cancelled = True
        self._engine.cancel()

    def _plan(self) -> tuple[dict[str, Any], dict[str, Call]]:
        graph, missing = flatten(self._calls.values(), self._engine.node, self._engine.take, whole=True)
        self._watch.expect(in_order(missing))
        return graph, missing

    def _work(self, graph: dict[str, Any], missing: dict[str, Call]) -> None:
        again = Again()
        try:
            self._beside = self._attended(missing)
            while True:
                with held(graph, missing):
                    self._collect(self._engine.execute(graph, missing, list(self._calls)))
                if self._cancelled or not again.is_worth_it(self._watch.failures, missing.values()):
                    break
                graph, missing = self._plan()
            for url in {call.order.store for call in self._calls.values()}:
                Store.open(url).sync()
        except BaseException as error:  # noqa: BLE001 - it is raised where the run is waited for
            self._error = error
        finally:
            self._watch.stop()
            if self._beside is not None:
                self._beside.end(self._state())
            self._ended.set()
            self._arrived.put(None)

    def _attended(self, missing: dict[str, Call]) -> Beside | None:
        first = next(iter(missing.values()), None)
        return None if first is None else Beside(self, first.store, self._engine.where, self._engine.patience)

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
