"""Cells that another program runs: marimo's editor, a kernel of Jupyter. Known ones are restored, others recorded."""

from __future__ import annotations

import ast
import contextlib
import json
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.errors import NotKept, StargazerError
from stargazer.execute.audit import Observed, observed
from stargazer.execute.execute import Attempt, own_places
from stargazer.execute.named import named_by
from stargazer.executors import find_place
from stargazer.ledger import Ledger
from stargazer.ledger.reads import CHANGED, MISSING, file_value, variable_value
from stargazer.notebook.cells import (
    LIVE,
    MADE_BY,
    MUTATED,
    PARTS,
    SHOWN,
    CellTask,
    cell_call,
    from_here,
    is_as_kept,
    kept_values,
    makers_of_handles,
    outputs_draft,
    refuse_shared,
)
from stargazer.notebook.code import prelude_of, split_cells
from stargazer.notebook.document import Cell
from stargazer.notebook.effects import WIDGET, why_live
from stargazer.notebook.encoding import decode
from stargazer.notebook.handles import boxed, is_handles, unboxed
from stargazer.notebook.hidden import hidden_order
from stargazer.notebook.hiding import bound_builtins, code_that_reads
from stargazer.notebook.names import left_by_blocks
from stargazer.notebook.order import reads_of
from stargazer.notebook.rows import Aliases, ChangesOthers
from stargazer.notebook.secrets import secret_in, secret_names
from stargazer.notebook.sharing import shared_parts
from stargazer.notebook.state import state_changes
from stargazer.notebook.tokens import is_widget, token_of
from stargazer.notebook.values import Value
from stargazer.tools.programs import signature_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence

    from stargazer.calls import Call
    from stargazer.ledger import Record
    from stargazer.notebook.code import Part, Prelude, Split
    from stargazer.store import Store

__all__ = ["Live", "Looked"]

CALLERS = 2
"""References to a value that a function holds which counts them, and who calls it."""


class _Scope:
    """The names of a program that runs, with the digests of the notebook's code."""

    def __init__(self, namespace: Mapping[str, Any], prelude: Prelude) -> None:
        self.namespace, self._prelude = namespace, prelude

    def code_of(self, name: str) -> str:
        """Digest of the code behind a name."""
        return self._prelude.code_of(name)


@dataclass
class Looked:
    """What is known of a cell before it runs.

    Parameters
    ----------
    cell
        The cell.
    why
        Why it runs each time; empty where it is a call.
    call, record
        The call that it is, and what the ledger knows of it.
    code
        What of it is code.
    """

    cell: Cell
    why: str = ""
    call: Call | None = None
    record: Record | None = None
    code: Part | None = None
    scope: _Scope | None = None
    names: frozenset[str] = frozenset()
    reads: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def is_code(self) -> bool:
        """Whether it holds nothing but code."""
        return self.why == "code"


class Live:
    """The cells of one running notebook.

    Parameters
    ----------
    store
        Where values are kept.
    sequential
        Whether names may be bound again, as in Jupyter.
    """

    def __init__(self, store: Store, *, sequential: bool) -> None:
        self.store, self.sequential, self.ledger = store, sequential, Ledger(store.records)
        self.rows: list[tuple[str, str, str]] = []
        self.reads: dict[str, str] = {}
        """What the cells that are calls read beside their names, as records have it."""
        self._cells: dict[str, Cell] = {}
        self._values: dict[str, tuple[Any, Any]] = {}
        self._secret: dict[str, str] = {}
        """Names whose values hold a secret, which is told nobody; with its name."""
        self._apart = Aliases()
        """Names that had a part in common when their cells ran, and whose values were restored each for itself."""

    def seed(self, cells: Iterable[Cell]) -> None:
        """Learn cells that run unseen, as what stands under ``with app.setup`` in a script; those seen stay."""
        known = {name for cell in self._cells.values() for name in cell.defs}
        self._cells |= {f"unseen {cell.name}": cell for cell in cells if not cell.defs & known}

    def forget(self) -> None:
        """Take every value for changed: something ran of which nobody knows what it did."""
        self._values.clear()

    def look(self, source: str, namespace: Mapping[str, Any], place: str = "") -> Looked:
        """Find out what a cell is, and whether the ledger knows it.

        Parameters
        ----------
        source
            Its text.
        namespace
            What names mean now.
        place
            What the program calls the cell; another text of the same cell takes its place.
        """
        hides = bound_builtins(each for key, each in self._cells.items() if key != place)
        cell = Cell("", source, sequential=self.sequential, hides=hides)
        if cell.error is not None:
            return Looked(cell, why="it is not Python")
        prelude, split = self._learn(cell, place)
        cells = list(self._cells.values())
        here = cells.index(cell)
        code, rest, names = split.parts[here], split.rest[here], split.names
        scope = _Scope(namespace, prelude)
        looked = Looked(cell, code=code, scope=scope, names=names)
        if not rest:
            looked.why = "code"
            return looked
        notes = cell.notes
        beyond = notes.env or notes.mounts or notes.loop or notes.prompt
        asks = "it asks for what only `stargazer nb run` gives" if beyond else ""
        asks = f"only `stargazer nb run` sends it to {notes.worker}" if find_place(notes.worker) else asks
        hidden = code_that_reads(split.parts, (hides | bound_builtins([cell])) - names)
        called = sorted(prelude.reached(cell.refs | cell.defs) & hidden.keys()) if hidden else []
        own = f"{called[0]} reads {hidden[called[0]]}, which a cell binds in place of Python's own" if called else ""
        if why := asks or own or why_live(cell, prelude) or _hidden(cell, cells, split, prelude):
            looked.why = why
            return looked
        inputs, tokens = dict[str, Any](), dict[str, str]()
        for name in sorted(self._reads(cell, place) - names):
            if name not in namespace:
                looked.why = f"there is no {name}"
                return looked
            if (kept := self._kept(name, namespace[name], scope)) is not None:
                inputs[name] = kept
            elif name in self._secret:
                looked.why = f"it reads {name}, which holds the secret {self._secret[name]}"
                return looked
            elif (token := token_of(namespace[name], scope)) is not None:
                tokens[name] = token
            else:
                looked.why = f"it reads {name}, which has no identity ({type(namespace[name]).__name__})"
                return looked
        looked.call = cell_call(cell, rest, prelude, inputs, tokens, self.store)
        record = self.ledger.find(looked.call.plan_key)
        result = self.ledger.results(record) if record is not None else {}
        if LIVE in result:
            looked.why, looked.call = str(result[LIVE]), None
        elif not self._is_seen_elsewhere(result.get(MUTATED, ()), namespace):
            looked.record = record
        return looked

    def _is_seen_elsewhere(self, changed: Sequence[str], namespace: Mapping[str, Any]) -> bool:
        """Whether what a cell changes is seen by more than its name, so that a restored value would not do."""
        held = any(self._is_held(namespace[name], namespace) for name in changed)
        return held or bool(self._beside(changed, namespace))

    def _beside(self, changed: Sequence[str], namespace: Mapping[str, Any]) -> frozenset[str]:
        """Other names that have a part of what a cell changes, or had one where it was made."""
        if not changed:
            return frozenset()
        there = {name: namespace[name] for cell in self._cells.values() for name in cell.defs & namespace.keys()}
        shared = shared_parts({name: namespace[name] for name in changed}, there)
        return self._apart.beside(changed).union(*shared.values())

    def _is_held(self, value: Any, namespace: Mapping[str, Any]) -> bool:
        """Whether something beside names holds a value: it would go on holding what was there before a change."""
        counted = sum(each is value for each in namespace.values())
        counted += sum(each is value for each, _ in self._values.values())
        return sys.getrefcount(value) > counted + CALLERS

    def _learn(self, cell: Cell, place: str) -> tuple[Prelude, Split]:
        """Take a cell among those that are known; return the notebook's code, and what of each cell is code."""
        older = [key for key, each in self._cells.items() if key != place and each.defs and each.defs <= cell.defs]
        for key in older:
            del self._cells[key]
        self._cells[place or cell.source] = cell
        split = split_cells(list(self._cells.values()))
        return prelude_of(split.parts), split

    def _reads(self, cell: Cell, place: str) -> frozenset[str]:
        others = (each for key, each in self._cells.items() if each is not cell)
        return reads_of(cell, {name for each in others for name in each.defs})

    def _kept(self, name: str, value: Any, scope: _Scope, *, fresh: bool = False) -> Any:
        """A value as an asset, written once as long as it is the same object; None where it has no bytes."""
        known = self._values.get(name)
        if known is not None and known[0] is value and not fresh:
            return known[1]
        self._secret.pop(name, None)
        if is_handles(value):
            return boxed(value)
        if is_widget(value):
            return None
        with tempfile.TemporaryDirectory() as folder:
            try:
                (draft,) = kept_values([name], {name: value}, scope, Path(folder) / "made").values()
                secret = secret_in(value, draft.path, secret_names(self._cells.values()))
            except NotKept:
                self._values.pop(name, None)
                return None
            if secret:
                self._values.pop(name, None)
                self._secret[name] = secret
                return None
            asset = self.store.save(draft)
        self._values[name] = value, asset
        return asset

    # A known cell.

    def restore(self, looked: Looked, namespace: MutableMapping[str, Any]) -> list[dict[str, Any]]:
        """Give names the values that are known; return what the cell showed.

        Raises
        ------
        StargazerError
            Bytes are gone, or cannot be read here: then the cell is to be run.
        """
        assert looked.record is not None
        result = from_here(self.store, self.ledger.results(looked.record))
        made = {name: value for name, value in result.items() if not name.startswith(".")}
        if looked.code is not None and looked.code.chosen:
            code = ast.Module(looked.code.nodes(), [])
            exec(compile(code, "<cell>", "exec", dont_inherit=True), namespace)  # type: ignore[arg-type]
        scope = _Scope(namespace, looked.scope._prelude) if looked.scope else None
        values = {n: decode(v, v.fetch(), scope) if isinstance(v, Value) else unboxed(v) for n, v in made.items()}
        for name in result.get(MUTATED, ()):
            before = namespace[name]
            values |= {other: values[name] for other, each in list(namespace.items()) if each is before}
            self.forget()
        for name, value in values.items():
            namespace[name] = value
            if isinstance(made.get(name), Value):
                self._values[name] = value, made[name]
        self._apart.part_all(looked.cell.defs)
        self._apart.note(result.get(PARTS, {}))
        shown = result.get(SHOWN)
        self.reads |= looked.record.reads
        self._note(looked, "known", f"since {looked.record.started[:10]}")
        return list(json.loads(self.store.read(str(shown.cid)))) if shown is not None else []

    # A cell that runs.

    @contextlib.contextmanager
    def watched(self, looked: Looked) -> Iterator[None]:
        """Let the program run the cell in here: what it reads beside its names is seen."""
        began = time.perf_counter()
        if looked.call is None:
            yield
            return
        spec = looked.call.spec
        body = Observed(
            looked.call.name, own_places(config.scratch_dir(), self.store.context.scratch, self.store.context.cache)
        )
        body.may_move = True
        named = named_by(spec.task.body, spec.code)
        with observed(body):
            yield
        found = {path: MISSING if seen is None else _present(path, seen) for path, seen in body.files.items()}
        found |= body.folders | body.trees | {f"${name}": variable_value(name) for name in named.variables}
        task = spec.local
        assert isinstance(task, CellTask)
        task.given = {name: value for name, (value, _) in self._values.items() if name in looked.call.inputs}
        looked.reads = found | task.also_read(body)
        self.reads |= looked.reads
        looked.seconds = time.perf_counter() - began

    def record(self, looked: Looked, namespace: Mapping[str, Any], outputs: list[dict[str, Any]]) -> None:
        """Keep what a cell made, or say why it is not kept; a failure to keep something is never the cell's."""
        if looked.call is None:
            if not looked.is_code and looked.why != WIDGET:
                self.forget()
            self._note(looked, "code" if looked.is_code else "live", looked.why)
            return
        scope = _Scope(namespace, looked.scope._prelude) if looked.scope else None
        changed = self._changed(looked, namespace, scope)
        self._apart.part_all(looked.cell.defs)
        if beside := self._beside(changed, namespace):
            self._tell(changed)
            self._note(
                looked, "live", f"it changes {', '.join(changed)}, of which {', '.join(sorted(beside))} has a part"
            )
            self.forget()
            return
        task = _Ran(looked, namespace, outputs, scope, changed)
        spec = looked.call.spec.with_changes(local=task)
        try:
            attempt = Attempt(spec, looked.call.plan_key, looked.call.inputs, looked.call.given, self.ledger)
            result = attempt.run(lambda: False)
        except (StargazerError, OSError) as error:
            self._note(looked, "live", str(error))
            return
        if LIVE in result:
            self._note(looked, "live", str(result[LIVE]))
            return
        if changed:  # what it changed may be a part of others
            self.forget()
        for name, asset in result.items():
            if not name.startswith(".") and isinstance(asset, Value) and name in namespace:
                self._values[name] = namespace[name], asset
        self._note(looked, "ran", f"it changes {', '.join(changed)}" if changed else "")

    def failed(self, looked: Looked, error: BaseException) -> None:
        """A cell that the program ran raised: what it did before, nobody knows."""
        self.forget()
        self._note(looked, "failed", f"{type(error).__name__}: {error}")

    def _tell(self, changed: Sequence[str]) -> None:
        """Warn of names that would have been changed as well, had their cells run in this kernel."""
        if apart := sorted(self._apart.beside(changed)):
            told, others = ", ".join(changed), ", ".join(apart)
            warnings.warn(
                f"the cell changes {told}, and in a kernel that had run all cells {others} with it, of which it is a "
                f"part: these came from the ledger, each for itself; make a copy where {told} is made, or run the "
                "cells that make them with `%sg off`",
                ChangesOthers,
                stacklevel=2,
            )

    def _changed(self, looked: Looked, namespace: Mapping[str, Any], scope: Any) -> list[str]:
        """Names whose values the cell changed in place."""
        assert looked.call is not None
        changed = []
        for name, asset in looked.call.inputs.items():
            if name in looked.cell.defs or name not in namespace or not isinstance(asset, Value):
                continue
            now = self._kept(name, namespace[name], scope, fresh=True)
            if not is_as_kept(namespace[name], now, asset, scope):
                changed.append(name)
        return changed

    def _note(self, looked: Looked, state: str, why: str) -> None:
        name = ", ".join(sorted(looked.cell.defs)) or looked.cell.source.strip().partition("\n")[0][:40]
        self.rows.append((name, state, why))


def _hidden(cell: Cell, cells: Sequence[Cell], split: Split, prelude: Prelude) -> str:
    """Why a cell runs each time for what others leave in libraries or in code; asked where nothing else says so."""
    order = hidden_order(cells, dict(zip(cells, split.rest, strict=True)), prelude, all_seen=False)
    if why := order.get(cell):
        return why
    state = state_changes(cell, cells, split.names)
    return f"{state} is changed by what it calls" if state else ""


def _present(path: str, seen: Any) -> str:
    return file_value(path) if signature_of(path) == seen else CHANGED


class _Ran(CellTask):
    """A cell that ran elsewhere: its body only keeps what it made."""

    def __init__(
        self,
        looked: Looked,
        namespace: Mapping[str, Any],
        outputs: list[dict[str, Any]],
        scope: Any,
        changed: list[str],
    ) -> None:
        assert looked.call is not None
        task = looked.call.spec.local
        assert isinstance(task, CellTask)
        super().__init__(task.cell, task.rest, task.prelude, task.positional)
        self.code, self._looked, self._changed = task.code, looked, changed
        self._namespace, self._outputs, self._scope = namespace, outputs, scope
        self.body: Any = _Kept(self)

    def also_read(self, observed: Observed) -> dict[str, str]:
        """What it read when it ran."""
        return self._looked.reads


class _Kept:
    """Keeps what a cell made, in place of running it."""

    def __init__(self, task: _Ran) -> None:
        self._task = task

    @property
    def __wrapped__(self) -> Any:
        return self._task.function()

    def __call__(self, work: Any, *_: Any, **__: Any) -> dict[str, Any]:
        task = self._task
        space, looked = task._namespace, task._looked
        names = sorted(name for name in looked.cell.defs - looked.names if name in space)
        given = {name: space[name] for name in looked.cell.refs if name in space}
        try:
            refuse_shared({name: space[name] for name in names}, given)
            spent = left_by_blocks(looked.cell.tree)
            made = kept_values(sorted({*names, *task._changed}), space, task._scope, work.path, spent)
        except NotKept as error:
            return {LIVE: str(error)}
        if parts := shared_parts({name: space[name] for name in names}, given):
            made[PARTS] = parts
        if task._changed:
            made[MUTATED] = task._changed
        if told := makers_of_handles(made):
            made[MADE_BY] = told
        if task._outputs:
            made[SHOWN] = outputs_draft(task._outputs, work.path)
        return made


class Tee:
    """A stream that notes what goes through it.

    Parameters
    ----------
    base
        Where it goes on to.
    name
        ``stdout`` or ``stderr``.
    captured
        Takes the text.
    """

    def __init__(self, base: Any, name: str, captured: Any) -> None:
        self._base, self._name, self._captured = base, name, captured

    def write(self, text: str) -> int:
        """Write a text, and note it."""
        self._captured.write(self._name, text)
        return int(self._base.write(text) or len(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base, name)


@contextlib.contextmanager
def teed(captured: Any) -> Iterator[None]:
    """Note what is printed meanwhile, and let it through."""
    before = sys.stdout, sys.stderr
    sys.stdout = Tee(before[0], "stdout", captured)
    sys.stderr = Tee(before[1], "stderr", captured)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
