"""Walk through a notebook: what is known comes from the ledger, what can be kept runs as calls, the rest lives here."""

from __future__ import annotations

import datetime
import time
import warnings
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotebookError
from stargazer.executors import find_place
from stargazer.ledger import Ledger
from stargazer.notebook.cells import (
    LIVE,
    MUTATED,
    PARTS,
    STOPPED,
    CellTask,
    cell_call,
    from_here,
)
from stargazer.notebook.code import prelude_of, split_cells
from stargazer.notebook.effects import WIDGET, touches_engine, why_live
from stargazer.notebook.graphs import fly, reason_of
from stargazer.notebook.here import bind_live, run_live, take_changes
from stargazer.notebook.hidden import hidden_order
from stargazer.notebook.hiding import bound_builtins, check_hidden
from stargazer.notebook.inplace import doubts
from stargazer.notebook.mounts import mounted
from stargazer.notebook.names import left_by_blocks
from stargazer.notebook.order import check_given, ordered, reads_in_order
from stargazer.notebook.questions import ask_cell
from stargazer.notebook.rounds import run_rounds
from stargazer.notebook.rows import (
    ChangesOthers,
    Done,
    Outcome,
    Row,
    Ties,
    identity_of,
    is_call,
    is_handle,
    name_of,
    needed_cells,
    needs_of,
    outputs_of,
    told_error,
    used_by,
    value_of,
)
from stargazer.notebook.settings import Settings, place_settings
from stargazer.notebook.shown import error_output
from stargazer.notebook.together import Together
from stargazer.notebook.tokens import token_of
from stargazer.notebook.values import SPENT, Value
from stargazer.notebook.writes import has_written, may_meet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from distributed import Client

    from stargazer.calls import Call
    from stargazer.ledger import Record
    from stargazer.notebook.document import Cell, Document
    from stargazer.store import Store

__all__ = ["Walk"]


MADE_EACH_TIME = "it reads what is made each time"
NOT_SET_UP = "{} is set up in a cell before it, and not on {}: set it up with constants, in the first cells"


class _Restart(Exception):
    """A cell turned out to change what another cell made: cells that read it run live."""


class Walk:
    """One walk through the cells of a notebook.

    Parameters
    ----------
    document
        The notebook.
    store
        Where values are kept.
    target
        Name of a cell or of a value: only what it needs runs.
    given
        Values in place of those that cells make, by name.
    again
        Run what is known once more.
    strict
        Whether a cell that changes another's values is an error.
    client
        A Dask client.
    dry
        Whether nothing runs, and what would is told.
    """

    def __init__(
        self,
        document: Document,
        store: Store,
        *,
        target: str | None = None,
        given: Mapping[str, Any] | None = None,
        again: bool = False,
        strict: bool = False,
        client: Client | None = None,
        dry: bool = False,
    ) -> None:
        self.document, self.store, self.ledger = document, store, Ledger(store.records)
        self.given, self.again, self.strict, self.client, self.dry = dict(given or {}), again, strict, client, dry
        self.order = ordered(document)
        self.split, placed = place_settings(self.order, split_cells(self.order))
        check_hidden(
            dict(zip(self.order, self.split.parts, strict=True)), bound_builtins(self.order) - self.split.names
        )
        self.settings = Settings(placed)
        self.rest = dict(zip(self.order, self.split.rest, strict=True))
        self.prelude = prelude_of(self.split.parts)
        self.wanted = set(self.order) if target is None else needed_cells(self.order, target, document)
        self.reads = reads_in_order(self.order)
        makers = [cell for cell in self.order if cell.defs & self.given.keys()]
        self.widgets = {
            name for cell in makers if why_live(cell, self.prelude) == WIDGET for name in cell.defs & self.given.keys()
        }
        check_given(self.order, self.given.keys() - self.widgets, self.split.names)
        self.together = Together(self.order, self.rest, self.split.names, self.prelude)
        numbers = {cell: [each.number for each in mine] for cell, mine in placed.items()}
        self._lively = {**hidden_order(self.order, self.rest, self.prelude, placed=numbers), **self.together.why}
        tied = {*self._lively, *self.together.cells}
        last = max((self.order.index(cell) for cell in self.wanted), default=-1)
        unnamed = {*placed, *(tied if self.wanted & tied else ())} & {*self.order[: last + 1]}
        if unnamed:  # what others leave for them, these find only if the others ran
            self.wanted = needs_of(self.wanted | unnamed, self.order, document)
        self._shared: dict[Cell, tuple[str, ...]] = {}
        self._ran_now: set[str] = set()

    def go(self) -> Outcome:
        """Walk, once more wherever cells turned out to change what others made.

        Raises
        ------
        NotebookError
            With `strict`: a cell changes what another made.
        """
        began = time.perf_counter()
        self._told: set[str] = set()
        self._done: dict[Cell, Done] = {}
        for told in self.together.told:
            self._tell(told)
        while True:
            self._begin()
            try:
                self._walk(self.order)
                self.settle()
                break
            except _Restart:
                continue
        rows = [self.rows[cell] for cell in self.order if cell in self.rows]
        pure = self.pure and all(row.state != "failed" for row in rows)
        return Outcome(rows, self.assets, self.live, pure, self.records, time.perf_counter() - began)

    def _begin(self) -> None:
        self.prelude.set_up_again()
        self.together.begin()
        self.settings.begin()
        self.rows: dict[Cell, Row] = {}
        self.assets: dict[str, Any] = {}
        self.live: dict[str, Any] = {}
        self.tokens: dict[str, str | None] = {}
        self.why: dict[str, str] = {}
        self.dead: dict[str, str] = {}
        self.records: list[Record] = []
        self.pending: dict[Cell, Call] = {}
        self._since: list[Cell] = []
        self.handed: dict[str, str] = {}
        self.ties = Ties()
        self.pure = True
        for name, value in self.given.items():
            if name not in self.widgets:
                self.live[name], self.tokens[name] = value, token_of(value, self.prelude)

    def _walk(self, cells: Iterable[Cell]) -> None:
        for cell in cells:
            if cell in self.settings.placed and not self.dry:  # those before it must be without
                self.settle()
            self.note_place()
            if (row := self.at_once(cell)) is not None:
                self.rows[cell] = row
            else:
                self._step(cell)
            if cell in self.settings.placed and cell in self.rows and self.rows[cell].state != "skipped":
                self.settings.apply(self, cell)
            if self.pending:
                self._since.append(cell)

    def row(self, cell: Cell, state: str, *why: str, **more: Any) -> Row:
        """What became of a cell."""
        return Row(cell.name, sorted(cell.defs), state, [each for each in why if each], cell=cell, **more)

    def at_once(self, cell: Cell) -> Row | None:
        """The row of a cell of which nothing is to be asked."""
        if cell not in self.wanted or cell.disabled:
            self.dead |= dict.fromkeys(cell.defs, "skipped")
            return self.row(
                cell, "skipped", "it is disabled" if cell.disabled else "nothing that was asked for needs it"
            )
        if cell.defs and cell.defs <= self.given.keys() - self.widgets:
            return self.row(cell, "known", "given")
        if cell.error is not None:
            return self.failed(cell, NotebookError(f"line {cell.error.line}: {cell.error.message}"))
        if (error := self.prelude.error_of(cell)) is not None:
            return self.failed(cell, error)
        if not self.together.statements[cell]:
            return self.row(cell, "live", "code")
        for other, row in self.rows.items() if cell.notes.after else ():
            if other.name in cell.notes.after and row.state in ("failed", "skipped", "stopped"):
                state = "skipped" if row.state == "failed" else row.state
                self.dead |= dict.fromkeys(cell.defs, state)
                return self.row(cell, state, f"it runs after {other.name}, which is {row.state}")
        for name in sorted(self.reads[cell]):
            if name in self.dead:
                state = "skipped" if self.dead[name] == "failed" else self.dead[name]
                self.dead |= dict.fromkeys(cell.defs, state)
                return self.row(cell, state, f"it reads {name}, whose cell {'failed' if state == 'skipped' else state}")
        return None

    def failed(self, cell: Cell, error: BaseException, seconds: float = 0.0, outputs: Any = ()) -> Row:
        """The row of a cell that failed; what it should have made is missing from here on."""
        self.dead |= dict.fromkeys(cell.defs, "failed")
        shown = [*outputs, error_output(error)]
        why = f"{type(error).__name__}: {error}"
        return self.row(cell, "failed", why, seconds=seconds, outputs=shown, error=error)

    # One cell.

    def _step(self, cell: Cell) -> None:
        if cell.notes.loop is None or cell.notes.loop.carry not in self.reads[cell]:
            self.once(cell)
        else:
            run_rounds(self, cell, cell.notes.loop)

    def is_made_later(self, cell: Cell, names: frozenset[str]) -> bool:
        """Whether a cell that runs here had to wait for what it reads, and was seen to; in a plan that is not there."""
        if self.dry and (doubt := self._doubt(names)):
            self.hand_on(cell, "run", doubt)
            return True
        if not any(is_call(self.assets.get(name)) for name in names) and (self.dry or not self.pending):
            return False
        if self.dry:
            self.hand_on(cell, "run", "its inputs are to be made")
        else:
            self.settle()
            self._walk_one(cell)
        return True

    def _walk_one(self, cell: Cell) -> None:
        """Ask for a cell anew, after what was waiting has run."""
        if (row := self.at_once(cell)) is not None:
            self.rows[cell] = row
        else:
            self.note_place()
            self.once(cell)

    def once(self, cell: Cell) -> None:
        """Take what is known of a cell, or run it, or let it wait."""
        if cell.notes.prompt is not None:
            ask_cell(self, cell)
            return
        mounts = {mount.name: mount for mount in cell.notes.mounts}
        names = self.reads[cell] - self.split.names - mounts.keys()
        data = {name: self.assets[name] for name in sorted(names) if name in self.assets and name not in self.held()}
        alive = [name for name in sorted(names) if name in self.live and name not in data]
        unknown = [name for name in alive if self.tokens.get(name) is None]
        why = self._lively.get(cell) or why_live(cell, self.prelude)
        if not why and unknown:
            why = f"it reads {unknown[0]}, which {self.why.get(unknown[0], 'has no identity')}"
        doubt = self._doubt(names) or (MADE_EACH_TIME if self.settings.is_unsure else "")
        if self.dry and doubt:
            self.hand_on(cell, "live" if why else "run", why or doubt)
            return
        if why:
            self.pure = self.pure and why == WIDGET
            run_live(self, cell, why)
            return
        if self._is_done(cell, data):
            return
        self._check_spent(cell, data)
        try:
            data |= {name: mounted(mount, self.store) for name, mount in mounts.items()}
        except NotebookError as error:
            self.rows[cell] = self.failed(cell, error)
            return
        if self.settings.now and (place := find_place(cell.notes.worker)):
            self.rows[cell] = self.failed(cell, NotebookError(NOT_SET_UP.format(self.settings.now[0].root, place.name)))
            return
        call = self._call(cell, data, alive)
        if (not self.again or call.plan_key in self._ran_now) and self._known(cell, call):
            return
        is_placed = cell in self.settings.placed or (self.client is not None and bool(self.settings.now))
        if alive or is_placed or touches_engine(cell, self.prelude) or any(is_handle(value) for value in data.values()):
            if not self.is_made_later(cell, frozenset(data)):
                self._here(cell, call)
            return
        if not self.dry and (self._is_after(cell, self.pending) or may_meet(cell, self.pending, self.prelude)):
            self.settle()
            self._walk_one(cell)
            return
        self.pending[cell] = call
        for name in cell.defs - self.split.names:
            self._bind(name, call[name])
        self._hand_on_changes(cell)

    def _is_after(self, cell: Cell, others: Iterable[Cell]) -> bool:
        """Whether a cell says that it runs after one of others."""
        return bool(cell.notes.after) and any(other.name in cell.notes.after for other in others)

    def _call(self, cell: Cell, data: Mapping[str, Any], alive: Iterable[str]) -> Call:
        """The call that a cell is, with what this walk knows of it."""
        tokens = {name: str(self.tokens[name]) for name in alive}
        call = cell_call(cell, self.rest[cell], self.prelude, data, tokens, self.store, self.settings.now)
        task = call.spec.local
        assert isinstance(task, CellTask)
        task.is_alone, task.set_up = self.settings.must_be_alone(self.prelude), tuple(self.settings.made)
        if left := left_by_blocks(cell.tree):
            task.spent = left.difference(*(reads for other, reads in self.reads.items() if other is not cell))
        return call

    def live_after(self, cell: Cell, root: str) -> None:
        """Let all cells after one run each time: it set up something in a way that no key can tell."""
        for other in self.order[self.order.index(cell) + 1 :]:
            self._lively.setdefault(other, f"{root} is set up before it with what a cell made")

    def _check_spent(self, cell: Cell, data: Mapping[str, Any]) -> None:
        """Let a cell run whose block left what this one reads, and that was not kept; begin again."""
        for name, asset in data.items():
            if isinstance(asset, Value) and asset.codec == SPENT:
                maker = next(each for each in reversed(self.order[: self.order.index(cell)]) if name in each.defs)
                self._lively[maker] = f"{name_of(cell)} reads {name}, which a block of it left"
                raise _Restart

    def held(self) -> set[str]:
        """Names that are shared, because some cell changes what they mean."""
        return {name for names in self._shared.values() for name in names}

    def hand_on(self, cell: Cell, state: str, why: str) -> None:
        """In a plan: what a cell makes is not known before it runs."""
        self.rows[cell] = self.row(cell, state, why)
        for name in cell.defs:
            self.handed[name] = MADE_EACH_TIME
            self.assets.pop(name, None)
        self._hand_on_changes(cell)

    def _hand_on_changes(self, cell: Cell) -> None:
        """In a plan: what a cell that runs changes of others' values is not known either."""
        if self.dry:
            self.handed |= doubts(cell, self.reads[cell] - self.split.names, self.prelude, self.ties.same)

    def _doubt(self, names: Iterable[str]) -> str:
        """Why in a plan some values are not those that will be given; empty where they are."""
        return next((self.handed[name] for name in sorted(names) if name in self.handed), "")

    def _known(self, cell: Cell, call: Call) -> bool:
        """Take the result of a cell from the ledger, if it has it."""
        began = time.perf_counter()
        record = self.ledger.find(call.plan_key)
        if record is None:
            return False
        result = self.ledger.results(record)
        if LIVE in result:
            run_live(self, cell, result[LIVE])
            return True
        self._take(cell, result, record)
        now = call.plan_key in self._ran_now
        state = "stopped" if STOPPED in result else "ran" if now else "known"
        self.rows[cell] = self.row(
            cell, state, "" if now else f"since {record.started[:10]}", seconds=time.perf_counter() - began,
            outputs=outputs_of(self.store, result), record=record.id,
        )  # fmt: skip
        return True

    def _take(self, cell: Cell, result: dict[str, Any], record: Record | None) -> None:
        if record is not None:
            self.records.append(record)
        if STOPPED in result:
            self.dead |= dict.fromkeys(cell.defs, "stopped")
        result = from_here(self.store, result)
        changed = {each: name for name in result.get(MUTATED, ()) for each in self.ties.same.of(name)}
        self.check_changes(cell, changed)
        for name, value in result.items():
            self.ties.part(name, cell.defs)
            self._bind(name, value)
        for name, other in changed.items():
            self._bind(name, result[other])
        self.ties.parts.note(result.get(PARTS, {}))

    def _bind(self, name: str, asset: Any) -> None:
        if name.startswith(".") or name in self.given:
            return
        self.assets[name] = asset
        for known in (self.live, self.tokens, self.why, self.dead, self.handed):
            known.pop(name, None)

    def check_changes(self, cell: Cell, changed: Mapping[str, Any]) -> None:
        """Look whether what a cell changed is a new version, as in a sequential notebook where no other has a part."""
        beside = self.ties.parts.beside(changed)
        if beside or (changed and not self.document.sequential):
            self._share(cell, beside.union(changed))

    def _share(self, cell: Cell, names: Iterable[str]) -> None:
        """Let a cell that changes others' values, and all that read these, run live; begin again."""
        changed = tuple(sorted(names))
        told = ", ".join(changed)
        message = (
            f"{name_of(cell)} changes {told}, which another cell made: it and the cells that read {told} run each "
            f"time; make a copy there ({changed[0]}_2 = {changed[0]}.copy()), or do it where {changed[0]} is made"
        )
        self._tell(message)
        self._shared[cell] = changed
        for other in self.order:
            if self.reads[other] & set(changed) or len(other.defs & set(changed)) > 1:
                self._lively[other] = f"{name_of(cell)} changes {told}"
        raise _Restart

    def _tell(self, message: str) -> None:
        if self.strict:
            raise NotebookError(message)
        if message not in self._told:
            self._told.add(message)
            warnings.warn(message, ChangesOthers, stacklevel=2)

    # Cells that run here.

    def _here(self, cell: Cell, call: Call) -> None:
        """Run a cell in this process, as the call that it is."""
        if self.dry:
            self.hand_on(cell, "run", reason_of(call))
            return
        from stargazer.execute.execute import Attempt

        task = call.spec.local
        assert isinstance(task, CellTask)
        task.given = {
            name: self.live[name] for name in self.reads[cell] if name in self.live and name not in call.inputs
        }
        began = time.perf_counter()
        try:
            result = Attempt(call.spec, call.plan_key, call.inputs, call.given, self.ledger).run(lambda: False)
        except Exception as error:  # noqa: BLE001 - whatever a cell raises is its result
            self.rows[cell] = self.failed(cell, task.error or error, time.perf_counter() - began, task.captured.outputs)
            return
        seconds = time.perf_counter() - began
        self._ran(cell, call, result, None if LIVE in result else self.ledger.find(call.plan_key), seconds)

    def _ran(self, cell: Cell, call: Call, result: dict[str, Any], record: Record | None, seconds: float) -> None:
        task = call.spec.local if isinstance(call.spec.local, CellTask) else None
        outputs = outputs_of(self.store, result)
        if LIVE in result and task is not None and task.left:
            take_changes(self, cell, task.given)
            bind_live(self, cell, task.left)
            self.tokens |= self.ties.join(task.left, task.given)
            self.rows[cell] = self.row(cell, "live", result[LIVE], seconds=seconds, outputs=outputs)
            return
        if LIVE in result:
            run_live(self, cell, str(result[LIVE]))
            return
        self._ran_now.add(call.plan_key)
        self._take(cell, result, record)
        state = "stopped" if STOPPED in result else "ran"
        self.rows[cell] = self.row(cell, state, seconds=seconds, outputs=outputs)

    def bound(self, name: str) -> Any:
        """What a name is bound to: an asset, a call, or the object that lives here."""
        return self.assets.get(name, self.live.get(name))

    def has(self, name: str) -> bool:
        """Whether a name means something by now."""
        return name in self.live or name in self.assets

    def value(self, name: str, *, share: bool = False) -> Any:
        """What a name means: the object that lives here, or a copy of what is kept; shared ones are made once."""
        if name in self.live:
            return self.live[name]
        asset = self.assets[name]
        value = value_of(asset, self.prelude)
        if share and name in self.held():
            self.live[name], self.tokens[name], self.why[name] = value, None, "is changed by another cell"
        return value

    # Cells that run as one graph.

    def settle(self) -> None:
        """Run what waits; then go through the same cells again, which take what they came to.

        In a notebook whose cells run one after the other, one may turn out to have changed what those after it read:
        then they were given another version than is right, and are asked for anew.
        """
        pending, self.pending = self.pending, {}
        if not pending:
            return
        if self.dry:
            for cell, call in pending.items():
                self.rows[cell] = self.row(cell, "run", reason_of(call))
            return
        self._flew = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        results, failures = fly(list(pending.values()), self.client, again=self.again)
        is_written, records = False, self.ledger.find_many(call.plan_key for call in pending.values())
        for cell, call in pending.items():
            record = records.get(call.plan_key)
            is_new = record is not None and self._has_run(call, record)
            if not is_written:
                error = failures.get(f"{call.name} {call.plan_key[:8]}")
                self._done[cell] = Done(call, used_by(call, results), results.get(call.plan_key), error)
            elif is_new:  # it is asked for again, as it may have read what was not written yet
                self._ran_now.add(call.plan_key)
            is_written = is_written or (is_new and has_written(record))
        cells, self._since = self._since, []
        self._go_back()
        self._walk(cells)
        self.settle()

    def _has_run(self, call: Call, record: Record) -> bool:
        """Whether a cell that waited ran just now; one that came to the same as once before has that older record."""
        task = call.spec.local
        ran_here = isinstance(task, CellTask) and task.ran
        return ran_here or self.client is not None or record.started >= self._flew

    def note_place(self) -> None:
        """Remember how things are before the first cell that waits."""
        if self.pending:
            return
        self._since = []
        self._place = [dict(each) for each in self._state()], list(self.records)

    def _go_back(self) -> None:
        states, self.records = self._place
        for now, then in zip(self._state(), states, strict=True):
            now.clear()
            now.update(then)

    def _state(self) -> tuple[dict[Any, Any], ...]:
        return self.rows, self.assets, self.live, self.tokens, self.why, self.dead, *self.ties.state()

    def _is_done(self, cell: Cell, data: Mapping[str, Any]) -> bool:
        """Take what a cell came to in this walk, if it was given what it is given now."""
        done = self._done.get(cell)
        if done is None or done.used != {name: identity_of(value) for name, value in data.items()}:
            return False
        call, task = done.call, done.call.spec.local
        mine = task if isinstance(task, CellTask) else None
        if done.result is None and done.error is None:
            return False
        if done.result is None:
            assert done.error is not None
            outputs = mine.captured.outputs if mine else ()
            self.rows[cell] = self.failed(cell, told_error(done.error, mine), 0.0, outputs)
            return True
        record = self.ledger.find(call.plan_key)
        ran = self.again or (mine is not None and mine.ran)
        if not ran and record is not None and record.started < self._flew and self._known(cell, call):
            return True
        if not ran and record is None:  # what it reads is made each time, so its own key holds for no other time
            settled = self._call(cell, data, ())
            known = self.ledger.find(settled.plan_key)
            if known is not None and known.started < self._flew and self._known(cell, settled):
                return True
        self._ran(cell, call, done.result, record, record.seconds if record else 0.0)
        return True
