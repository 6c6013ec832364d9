"""Tools on what happened: where a file came from, why something runs, logs."""

from pathlib import Path
from typing import Annotated, Any, Literal

from anyio import to_thread
from mcp.server.mcpserver import Context
from pydantic import Field

from stargazer import api, catalog
from stargazer.bounded import is_count
from stargazer.errors import ArgumentError, NotFound
from stargazer.ledger import Ledger, Record
from stargazer.ledger.logs import find_record, log_of
from stargazer.mcp.answers import clip, fitted, page, without_secrets
from stargazer.mcp.catalog import Cursor, Filters, Inputs, bound_calls
from stargazer.mcp.hints import READS, tool
from stargazer.mcp.place import Place
from stargazer.mcp.roots import roots_of
from stargazer.mcp.shapes import LogOut, TraceOut, WhyOut
from stargazer.runs.history import Event, find_run, read_events
from stargazer.runs.planner import plan
from stargazer.store.references import full_name

__all__ = ["LineageTools", "call_told"]

LONGEST_TREE = 12_000
LONGEST_LOG = 16_000
MOST_LINES = 100


class LineageTools:
    """Tools on records, logs and reasons.

    Parameters
    ----------
    place
        What the server works on.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    @tool(READS)
    def trace(
        self,
        cid: Annotated[str, Field(description="A CID, id or name@version.", max_length=300)],
        direction: Literal["up", "down"] = "up",
        cursor: Cursor = None,
    ) -> TraceOut:
        """Tell where a file came from (up) or what was made of it (down): calls, parameters, tools and versions."""
        lineage = api.trace(cid, direction=direction, store=self.place.store)
        tree, rest = clip(str(lineage), 0, LONGEST_TREE)
        calls = [call_told(record) for record in lineage.records]
        rows, following = page(calls, cursor, 100, ["trace", cid, direction], lambda each: each)
        return TraceOut(
            cid=str(lineage.roots[0].asset.cid) if lineage.roots else cid,
            direction=direction,
            records=len(calls),
            text=tree if rest is None else f"{tree}\n… (the rest of the tree is left out)",
            sources=_listed([f"{asset.cid}  {asset.name}" for asset in lineage.sources]),
            calls=rows,
            next_cursor=following,
        )

    @tool(READS)
    async def why(
        self,
        name: Annotated[
            str, Field(description="A CID: why its call ran. A task or workflow: why it would run.", max_length=300)
        ],
        ctx: Context[Any, Any],
        filters: Filters = None,
        inputs: Inputs = None,
    ) -> WhyOut:
        """Say why a call ran, or why a task or workflow would run now, in words."""
        return await to_thread.run_sync(self._why, name, filters, inputs, await roots_of(ctx))

    def _why(
        self, name: str, filters: dict[str, Any] | None, inputs: dict[str, Any] | None, roots: list[Path] | None
    ) -> WhyOut:
        entry = next((each for each in catalog.list() if name in (each.name, each.qualified, each.bare)), None)
        if entry is None:
            return self._why_made(name)
        made = plan(bound_calls(self.place, catalog.get(name).category, name, filters, inputs, roots))
        reasons = [f"{each.call.name}: {reason}" for each in made.to_run for reason in each.reasons]
        state = "known" if not made.to_run else f"{len(made.to_run)} of {len(made)} calls would run"
        return WhyOut(what=name, state=state, why=_listed(list(dict.fromkeys(reasons))) or ["all of it is known"])

    def _why_made(self, name: str) -> WhyOut:
        ledger = Ledger(self.place.store.records)
        record = find_record(ledger, full_name(self.place.store, name))
        older = [each for each in ledger.newest(record.task, 50) if each.started < record.started]
        reasons = list(_differences(record, older)) if older else [f"{record.task} had never run before"]
        return WhyOut(what=name, state=f"made by {record.task} ({record.id[:12]}) at {record.started}", why=reasons)

    @tool(READS)
    def read_log(
        self,
        name: Annotated[
            str,
            Field(description="A run; or a call: digits of its record, or the CID that it made.", max_length=300),
        ],
        cursor: Annotated[str | None, Field(description="next_cursor of the piece before.", max_length=20)] = None,
        tail: Annotated[bool, Field(description="The end of it, where nothing is said of a cursor.")] = True,
    ) -> LogOut:
        """Read the log of a run (what was known, started, made, failed) or of a call (commands and what they wrote)."""
        kind, text, error = self._log(name)
        shown = without_secrets(text)
        start = _place(cursor) if cursor else max(len(shown) - LONGEST_LOG, 0) if tail else 0
        piece, following = clip(shown, start, LONGEST_LOG)
        if start and not cursor:
            piece = f'… ({start} characters before this; cursor "0" has the beginning)\n{piece}'
        return LogOut(
            name=name, kind=kind, text=piece, error=error and without_secrets(error)[:4000],
            next_cursor=str(following) if following is not None else None,
        )  # fmt: skip

    def _log(self, name: str) -> tuple[Literal["run", "call"], str, str | None]:
        store = self.place.store
        ledger = Ledger(store.records)
        if (flight := self.place.flights.find(name)) is not None and flight.id == name:
            if not flight.run.id:
                raise NotFound(f"{flight.id} has no log: no call of it ran; ask wait_for_run({flight.id!r})")
            name = flight.run.id
        try:
            if "-" not in name:
                record = find_record(ledger, full_name(store, name))
                return "call", log_of(ledger, record), record.error
        except NotFound as error:
            if not store.backend.names("runs"):
                raise NotFound(f"{error}; nor is there a run of that name") from None
        note = find_run(store, name)
        text = "\n".join(_line(event) for event in read_events(store, note.id))
        return "run", text, "; ".join(f"{label}: {why}" for label, why in note.failures.items()) or None


def call_told(record: Record) -> dict[str, Any]:
    """A call in a lineage: what it did, with what."""
    tools = [{name: tool.get(name) for name in ("name", "version")} for tool in record.tools]
    found = {"task": record.task, "record": record.id[:12], "parameters": fitted(dict(record.parameters), 2000)}
    found |= {"tools": tools, "libraries": dict(record.libraries), "started": record.started, "seconds": record.seconds}
    return found | {"user": record.user, "commit": record.commit, "log": record.id[:12] if record.log else None}


def _listed(lines: list[str]) -> list[str]:
    """Some lines, and how many more there are."""
    rest = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], f"… and {rest} more"] if rest > 0 else lines


def _differences(record: Record, older: list[Record]) -> list[str]:
    """What of a record was new, against the one before that agrees in most."""
    parts = record.parts()
    compared = [[name for name, digest in parts.items() if each.parts()[name] != digest] for each in older]
    best = min(compared, key=len)
    return [f"{name} differed from all runs before" for name in best] or [("what it had made before was gone, or asked "
                                                                          "for again")]  # fmt: skip


def _place(cursor: str) -> int:
    if not is_count(cursor):
        raise ArgumentError("cursor: a log has numbers as cursors; ask without one for its end")
    return int(cursor)


def _line(event: Event) -> str:
    told = f"{event.at[11:19]} {event.what} {event.task} {(event.record or event.key)[:12]}"
    seconds = f" {event.seconds:.1f} s" if event.seconds is not None else ""
    outputs = f" {event.outputs[0]}" if event.outputs else ""
    return f"{told}{seconds}{outputs}" + (f"\n  ✗ {event.error}" if event.error else "")
