"""Tools on runs: start, wait, list, cancel."""

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Annotated, Any

import anyio
from anyio import to_thread
from mcp.server.mcpserver import Context
from pydantic import Field

from stargazer.errors import Cancelled, NotFound, RunFailed, StargazerError
from stargazer.ledger.logs import record_of
from stargazer.mcp.answers import fitted, page, told, without_secrets
from stargazer.mcp.catalog import Again, Cursor, Filters, Inputs, bound_calls
from stargazer.mcp.flights import Flight
from stargazer.mcp.hints import READS, REMOVES, RUNS, tool
from stargazer.mcp.place import Place
from stargazer.mcp.shapes import RunOut, RunRow, RunsOut
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
        make = functools.partial(bound_calls, self.place, "task", task_name, filters, inputs)
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
        make = functools.partial(bound_calls, self.place, "workflow", workflow_name, None, inputs)
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
        state: Annotated[str | None, Field(description="Only these, as running or failed.", max_length=20)] = None,
        limit: Annotated[int, Field(ge=1, le=LISTED)] = 20,
        cursor: Cursor = None,
    ) -> RunsOut:
        """List the runs of the store, of this server and of all others, past and present, the newest first."""
        notes = noted_runs(self.place.store, LISTED)
        mine = {flight.id: flight for flight in self.place.flights.all()}
        rows = [_row(note, mine.get(note.id)) for note in notes]
        found = [row for row in rows if state is None or row.state == state]
        chosen, following = page(found, cursor, limit, ["list_runs", state], lambda row: row.model_dump())
        return RunsOut(runs=chosen, next_cursor=following)

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
        failures = flight.run.failures
        logs = {label: (record_of(error) or "")[:12] for label, error in failures.items()}
        texts = {label: told(error, label)[:1500] for label, error in list(failures.items())[:20]}
        logs = {label: record for label, record in list(logs.items())[:20] if record}
        return found.model_copy(update={"state": "failed", "failures": texts, "logs": logs})
    except StargazerError as error:
        return found.model_copy(update={"state": "failed", "failures": {flight.what: told(error, flight.what)}})
    return found.model_copy(update={"state": "done", "result": fitted(place.shown(result))})


def kept_told(place: Place, kept: KeptRun) -> RunOut:
    """Tell what the store knows of a run that another process started."""
    note, state = kept.note, kept.state
    done = sum(note.count(each) for each in ("done", "failed", "skipped", "cancelled"))
    told_line = f"{done} of {note.calls} calls, {note.known} known before; on {note.user}@{note.host}"
    failures = {label: without_secrets(why)[:1500] for label, why in list(note.failures.items())[:20]}
    logs = {label: record[:12] for label, record in note.records.items() if label in failures}
    return RunOut(
        run=note.id, what=note.workflow, state=_state(state), done=done, total=note.calls,
        seconds=round(note.seconds, 3), progress=told_line, failures=failures, logs=logs,
        result=_kept_result(place, kept) if state == "done" else None,
    )  # fmt: skip


def _kept_result(place: Place, kept: KeptRun) -> Any:
    try:
        return fitted(place.shown(kept.result(0.0)))
    except NotFound:  # the result of a run that was not detached, in its shape, only its own process had
        return {"outputs": [cid for event in kept.events() for cid in event.outputs][-20:]}


def _state(state: str) -> Any:
    return "running" if state == "pending" else state


def _row(note: Note, flight: Flight | None) -> RunRow:
    done = sum(note.count(state) for state in ("done", "failed", "skipped", "cancelled"))
    is_over = flight is not None and flight.ended and note.state == "running"
    return RunRow(
        run=note.id, what=note.workflow, state="done" if is_over else _state(note.state), started=note.started,
        seconds=round(note.seconds, 1), done=done, total=note.calls, failed=note.count("failed"), where=note.where,
        user=f"{note.user}@{note.host}", mine=flight is not None,
    )  # fmt: skip
