"""Tools on runs: start, wait, list, cancel."""

import asyncio
import datetime
import functools
import socket
import time
from collections.abc import Callable
from typing import Annotated, Any

import anyio
from anyio import to_thread
from mcp.server.mcpserver import Context
from pydantic import Field

from stargazer import config
from stargazer.errors import Cancelled, NotFound, RunFailed, StargazerError
from stargazer.ledger.logs import record_of
from stargazer.mcp.answers import fitted, page, told, without_secrets
from stargazer.mcp.catalog import Again, Cursor, Filters, Inputs, bound_calls
from stargazer.mcp.flights import Flight
from stargazer.mcp.hints import READS, REMOVES, RUNS, tool
from stargazer.mcp.place import Place
from stargazer.mcp.roots import roots_of
from stargazer.mcp.shapes import RunOut, RunRow, RunsOut, State
from stargazer.runs import KeptRun
from stargazer.runs import get as get_run
from stargazer.runs.history import Note, noted_runs
from stargazer.runs.kept import ENDED

__all__ = ["RunTools", "flight_told", "kept_told"]

WAIT = 45.0
"""Seconds after which a handle comes back: clients give up after 60."""

Wait = Annotated[float, Field(ge=0, le=WAIT, description="Seconds to wait before the handle comes back.")]
Handle = Annotated[str, Field(description="Handle of a run, or the beginning of it.", min_length=1, max_length=300)]
Detach = Annotated[
    bool, Field(description="In a process of its own that outlives client and server: list_runs finds it again.")
]
EVERY = 0.5
LISTED = 200
MOST_FAILURES = 20
MOST_OUTPUTS = 20
ENDS_WITHIN = 10.0


class RunTools:
    """Tools on runs.

    Parameters
    ----------
    place
        What the server works on.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._tasks: set[asyncio.Task[None]] = set()

    @tool(RUNS)
    async def run_task(
        self,
        task_name: str,
        ctx: Context[Any, Any],
        filters: Filters = None,
        inputs: Inputs = None,
        wait: Wait = WAIT,
        again: Again = None,
        detach: Detach = False,
    ) -> RunOut:
        """Run one task; what is known is not run again. Returns the result, or after `wait` seconds a handle."""
        make = functools.partial(bound_calls, self.place, "task", task_name, filters, inputs, await roots_of(ctx))
        return await self._run(make, task_name, ctx, wait, again or None, detach)

    @tool(RUNS)
    async def run_workflow(
        self,
        workflow_name: str,
        ctx: Context[Any, Any],
        inputs: Inputs = None,
        wait: Wait = WAIT,
        again: Again = None,
        detach: Detach = False,
    ) -> RunOut:
        """Run a workflow; what is known is not run again. Returns the result, or after `wait` seconds a handle."""
        make = functools.partial(bound_calls, self.place, "workflow", workflow_name, None, inputs, await roots_of(ctx))
        return await self._run(make, workflow_name, ctx, wait, again or None, detach)

    async def _run(self, make: Any, name: str, ctx: Context[Any, Any], wait: float, again: Any, detach: bool) -> RunOut:
        calls = await to_thread.run_sync(make)
        if detach:
            kept = await to_thread.run_sync(self.place.flights.detach, calls, name, again)
            return await self._of_others(kept.id, wait)
        return await self.watch(functools.partial(self.place.flights.start, calls, name, again), ctx, wait)

    async def watch(self, start: Callable[[], Flight], ctx: Context[Any, Any], wait: float) -> RunOut:
        """Start a run that this request owns, wait for it, and tell of it; its client's going ends it."""
        with anyio.CancelScope(shield=True):  # who asks may go at that very moment: the run has its owner then
            flight = await to_thread.run_sync(start)
        announced = asyncio.get_running_loop().create_task(self.place.flights.announce(flight))
        self._tasks.add(announced)
        announced.add_done_callback(self._tasks.discard)
        await self.place.flights.wait(flight, wait, functools.partial(_tell, ctx), owns=True)
        if not flight.ended:
            self.place.flights.end_with_session(flight, ctx)
        return await to_thread.run_sync(flight_told, self.place, flight)

    @tool(READS)
    async def wait_for_run(self, run: Handle, ctx: Context[Any, Any], wait: Wait = WAIT) -> RunOut:
        """Tell the state of a run, and its result when it has ended; waits for that, and only watches."""
        flight = self.place.flights.find(run)
        if flight is None:
            return await self._of_others(run, wait)
        await self.place.flights.wait(flight, wait, functools.partial(_tell, ctx), owns=False)
        return await to_thread.run_sync(flight_told, self.place, flight)

    async def _of_others(self, run: str, wait: float) -> RunOut:
        """A run of another process, as the store knows it."""
        deadline = time.monotonic() + wait
        kept = await to_thread.run_sync(get_run, run, self.place.store)
        while await to_thread.run_sync(lambda: kept.state) not in ENDED and time.monotonic() < deadline:
            await anyio.sleep(EVERY)
        return await to_thread.run_sync(kept_told, self.place, kept)

    @tool(READS)
    def list_runs(
        self,
        state: Annotated[State | None, Field(description="Only these.")] = None,
        limit: Annotated[int, Field(ge=1, le=LISTED)] = 20,
        cursor: Cursor = None,
    ) -> RunsOut:
        """List the runs of the store, of this server and of all others, past and present, the newest first."""
        flights = self.place.flights.all()
        mine = {flight.run.id or flight.id: flight for flight in flights}
        rows = [self._row(note, mine.get(note.id)) for note in self._notes(None if state or cursor else limit + 1)]
        noted = {row.run for row in rows}
        rows += [_row_of(each) for name, each in mine.items() if name not in noted and each.is_listed]
        found = [row for row in rows if state is None or row.state == state]
        found.sort(key=lambda row: row.started, reverse=True)
        dumped = ["list_runs", state]
        chosen, following = page(found, cursor, limit, dumped, lambda row: row.model_dump(), lambda row: row.run)
        return RunsOut(runs=chosen, next_cursor=following)

    def _notes(self, wanted: int | None) -> list[Note]:
        """So many notes of the newest runs, or those of all; a note that nobody can read counts for none."""
        store = self.place.store
        total = sum(1 for _ in store.backend.names("runs"))
        number = total if wanted is None else min(wanted, total)
        while len(notes := noted_runs(store, number)) < (wanted or 0) and number < total:
            number = min(number * 4, total)
        return notes

    def _row(self, note: Note, flight: Flight | None) -> RunRow:
        done = sum(note.count(state) for state in ("done", "failed", "skipped", "cancelled"))
        is_over = flight is not None and flight.ended and note.state == "running"
        return RunRow(
            run=note.id, what=note.workflow, state=_outcome(flight) if flight and is_over else _state(note.state),
            started=note.started, seconds=round(note.seconds, 1), done=done, total=note.calls,
            failed=note.count("failed"), where=note.where, user=f"{note.user}@{note.host}",
            mine=flight is not None or note.id in self.place.flights.detached,
        )  # fmt: skip

    @tool(REMOVES)
    async def cancel_run(self, run: Handle) -> RunOut:
        """End a run and its tools; what has finished stays, and the next run goes on from there."""
        flight = self.place.flights.find(run)
        if flight is None:
            return await self._cancel_of_others(run)
        await to_thread.run_sync(flight.run.cancel)
        await to_thread.run_sync(flight.run.wait, 10.0)
        return await to_thread.run_sync(flight_told, self.place, flight)

    async def _cancel_of_others(self, run: str) -> RunOut:
        kept = await to_thread.run_sync(get_run, run, self.place.store)
        await to_thread.run_sync(kept.cancel)
        await to_thread.run_sync(kept.wait, ENDS_WITHIN)
        return await to_thread.run_sync(kept_told, self.place, kept)


async def _tell(ctx: Context[Any, Any], done: int, total: int, line: str) -> None:
    await ctx.report_progress(done, total, without_secrets(line))


def flight_told(place: Place, flight: Flight) -> RunOut:
    """What is to be said of a run of this server."""
    done, total, line = flight.progress()
    found = RunOut(run=flight.id, what=flight.what, state="running", done=done, total=total,
                   seconds=round(flight.run.status().seconds, 3), progress=line)  # fmt: skip
    if not flight.ended:
        return found.model_copy(update={"progress": f"{line}; wait_for_run(run={flight.id!r}) tells the result"})
    try:
        result = flight.run.result()
    except Cancelled:
        return found.model_copy(update={"state": "cancelled"})
    except RunFailed:
        failures = dict(list(flight.run.failures.items())[:MOST_FAILURES])
        logs = {label: record[:12] for label, error in failures.items() if (record := record_of(error))}
        texts = {label: told(error, label)[:1500] for label, error in failures.items()}
        texts |= _left_out(len(flight.run.failures), flight.id)
        return found.model_copy(update={"state": "failed", "failures": texts, "logs": logs})
    except StargazerError as error:
        return found.model_copy(update={"state": "failed", "failures": {flight.what: told(error, flight.what)}})
    return found.model_copy(update={"state": "done", "result": fitted(place.shown(result))})


def kept_told(place: Place, kept: KeptRun) -> RunOut:
    """Tell what the store knows of a run that another process started."""
    note, state = kept.note, kept.state
    done = sum(note.count(each) for each in ("done", "failed", "skipped", "cancelled"))
    told_line = f"{done} of {note.calls} calls, {note.known} known before; on {note.user}@{note.host}"
    failures = {label: without_secrets(why)[:1500] for label, why in list(note.failures.items())[:MOST_FAILURES]}
    logs = {label: record[:12] for label, record in note.records.items() if label in failures}
    failures |= _left_out(len(note.failures), note.id)
    return RunOut(
        run=note.id, what=note.workflow, state=_state(state), done=done, total=note.calls,
        seconds=round(note.seconds, 3), progress=told_line, failures=failures, logs=logs,
        result=_kept_result(place, kept) if state == "done" else None,
    )  # fmt: skip


def _kept_result(place: Place, kept: KeptRun) -> Any:
    try:
        return fitted(place.shown(kept.result(0.0)))
    except NotFound:  # the result of a run that was not detached, in its shape, only its own process had
        outputs = [cid for event in kept.events() for cid in event.outputs]
        told_less = {"left_out": len(outputs) - MOST_OUTPUTS, "how": f"read_log(name={kept.id!r}) tells them all"}
        return {"outputs": outputs[-MOST_OUTPUTS:]} | (told_less if len(outputs) > MOST_OUTPUTS else {})


def _left_out(number: int, run: str) -> dict[str, str]:
    """What stands for the failures that are not told."""
    rest = number - MOST_FAILURES
    return {"…": f"{rest} more calls failed; read_log(name={run!r}) tells them all"} if rest > 0 else {}


def _state(state: str) -> Any:
    return "running" if state == "pending" else state


def _row_of(flight: Flight) -> RunRow:
    """A run of this server of which the store has no note: a notebook, or one that waits for its turn."""
    status = flight.run.status()
    started = datetime.datetime.fromtimestamp(flight.began, datetime.UTC).isoformat()
    return RunRow(
        run=flight.id, what=flight.what, state=_outcome(flight) if flight.ended else "running", started=started,
        seconds=round(status.seconds, 1), done=status.ended, total=status.count(), failed=len(flight.run.failures),
        where="this server", user=f"{config.user_name()}@{socket.gethostname()}", mine=True,
    )  # fmt: skip


def _outcome(flight: Flight) -> Any:
    """How a run has ended."""
    try:
        flight.run.result()
    except Cancelled:
        return "cancelled"
    except StargazerError:
        return "failed"
    return "done"
