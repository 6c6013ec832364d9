"""What would run, what is known, and why something is not."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stargazer.calls.call import Call
from stargazer.calls.elements import element
from stargazer.calls.given import check_no_call_lost
from stargazer.calls.wiring import needs
from stargazer.ledger import Ledger, Record
from stargazer.ledger.keys import call_key, input_keys, plain
from stargazer.ledger.record import digest
from stargazer.plans.reasons import Reason, has_calls, reasons_for
from stargazer.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dask.typing import Key

    from stargazer.execute import Order

__all__ = ["Plan", "Planned", "ordered", "plan", "roots_of"]

CANDIDATES = 50
"""Newest records of a task with which a call is compared."""


@dataclass(frozen=True)
class Planned:
    """One call in a plan.

    Parameters
    ----------
    call
        The call.
    state
        ``"known"``; ``"run"``; or ``"maybe"``: it runs unless the calls before it make the same bytes as last time.
    record
        What the ledger knows of it.
    """

    call: Call
    state: str
    record: Record | None = None
    _why: Callable[[], list[Reason]] = field(default=list, repr=False, compare=False)

    @functools.cached_property
    def reasons(self) -> tuple[Reason, ...]:
        """Why it is not known; looked up when asked for."""
        return tuple(self._why())


@dataclass(frozen=True, repr=False)
class Plan:
    """What would run, and why; shown as a table by ``print`` and in notebooks.

    Parameters
    ----------
    calls
        In an order in which they could run. Below a known call, nothing is looked at.
    """

    calls: tuple[Planned, ...]

    @property
    def known(self) -> list[Planned]:
        """Calls that the ledger answers."""
        return [planned for planned in self.calls if planned.state == "known"]

    @property
    def to_run(self) -> list[Planned]:
        """Calls that run, or may."""
        return [planned for planned in self.calls if planned.state != "known"]

    def __iter__(self) -> Iterator[Planned]:
        return iter(self.calls)

    def __len__(self) -> int:
        return len(self.calls)

    def __repr__(self) -> str:
        from stargazer.display import plan_text

        return plan_text(self)

    def _repr_html_(self) -> str:
        from stargazer.display import plan_html

        return plan_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON."""
        return {
            "known": len(self.known),
            "to_run": len(self.to_run),
            "calls": [
                {
                    "task": planned.call.name,
                    "key": planned.call.plan_key,
                    "state": planned.state,
                    "reasons": [{"kind": reason.kind, "text": reason.text} for reason in planned.reasons],
                }
                for planned in self.calls
            ],
        }


def plan(*calls: Any) -> Plan:
    """Say what computing `calls` would run, what is known, and why something is not; nothing runs.

    Parameters
    ----------
    *calls
        Calls, or lists, tuples and dicts of them.

    Raises
    ------
    CodeChanged
        A task's code is no longer what it was when the call was made.

    Examples
    --------
    >>> print(plan(answer))  # doctest: +SKIP
    1 of 4 calls would run, 3 are known
      run    total    parameter scale: 1 → 2
    """
    planner, roots = _Planner(), roots_of(calls)
    planner.look_up(roots)
    for call in ordered(roots, planner.is_known):
        planner.add(call)
    return Plan(tuple(planner.planned.values()))


def roots_of(value: Any) -> list[Call]:
    """Return the whole calls in `value`: an element stands for the call that it is part of."""
    if isinstance(value, Call):
        return [value.whole]
    if isinstance(value, (dict, list, tuple)):
        return [call for item in (value.values() if isinstance(value, dict) else value) for call in roots_of(item)]
    check_no_call_lost(value)
    return []


def ordered(roots: Iterable[Call], stop: Any) -> list[Call]:
    """Return all calls below `roots`, each after what it needs; nothing below a call for which `stop` holds."""
    done: dict[str, Call] = {}
    todo = [(call, False) for call in reversed(list(roots))]
    while todo:
        call, expanded = todo.pop()
        if call.key in done:
            continue
        if expanded or stop(call):
            done[call.key] = call
            continue
        todo.append((call, True))
        todo += [(needed.whole, False) for needed in needs(call)]
    return list(done.values())


class _Planner:
    def __init__(self) -> None:
        self.planned: dict[str, Planned] = {}
        self._found: dict[Key, Record | None] = {}
        self._checked: dict[int, Order] = {}
        self._newest: dict[tuple[str, str], list[Record]] = {}
        self._parts_of: dict[tuple[str, str], set[tuple[str, str, str]]] = {}

    def look_up(self, calls: Iterable[Call]) -> None:
        """Ask the ledger for calls, then for what those need that it does not know: level by level, many at once."""
        level = {call.key: call for call in calls}
        while level:
            by_store: dict[str, list[Call]] = {}
            for call in level.values():
                by_store.setdefault(call.order.store, []).append(call)
            for url, asked in by_store.items():
                records = Ledger(Store.open(url)).find_many(call.plan_key for call in asked)
                self._found |= {call.key: records.get(call.plan_key) for call in asked}
            unknown = (call for call in level.values() if self._found[call.key] is None)
            following = {needed.whole.key: needed.whole for call in unknown for needed in needs(call)}
            level = {key: call for key, call in following.items() if key not in self._found}

    def is_known(self, call: Call) -> bool:
        return self._found[call.key] is not None

    def add(self, call: Call) -> None:
        if id(call.order) not in self._checked:
            call.order.task.check_code(call.order)
            self._checked[id(call.order)] = call.order
        record = self._found[call.key] or self._by_content(call)
        if record is not None:
            self.planned[call.key] = Planned(call, "known", record)
            return
        planned = (self.planned[needed.whole.key] for needed in needs(call))
        waiting = [each.call.name for each in planned if each.state != "known"]
        state = "maybe" if waiting and self._parts(call) in self._known_parts(call) else "run"
        past = self._candidates(call)
        self.planned[call.key] = Planned(
            call, state, None, lambda: reasons_for(call, self._inputs(call), past, waiting)
        )

    def _candidates(self, call: Call) -> list[Record]:
        place = (call.order.store, call.name)
        if place not in self._newest:
            self._newest[place] = Ledger(call.store).newest(call.name, CANDIDATES)
        return self._newest[place]

    def _known_parts(self, call: Call) -> set[tuple[str, str, str]]:
        place = (call.order.store, call.name)
        if place not in self._parts_of:
            parts = [record.parts() for record in self._candidates(call)]
            self._parts_of[place] = {(each["code"], each["parameters"], each["tools"]) for each in parts}
        return self._parts_of[place]

    def _parts(self, call: Call) -> tuple[str, str, str] | None:
        """Code, parameters and tools of a call, as digests in a record."""
        if any(isinstance(value, Call) for value in call.parameters.values()):
            return None
        values = {name: plain(value) for name, value in call.parameters.items()}
        tools = [[tool._asdict() for tool in call.order.tools], dict(call.order.libraries)]
        return call.order.code, digest(values), digest(tools)

    def _by_content(self, call: Call) -> Record | None:
        """Early cut-off can be told before the run where all inputs are known; without calls, both keys are one."""
        if next(needs(call), None) is None:
            return None
        inputs = self._inputs(call)
        if any(isinstance(value, Call) for value in call.parameters.values()) or has_calls(inputs):
            return None
        values = {name: plain(value) for name, value in call.parameters.items()}
        keys = {name: input_keys(value) for name, value in inputs.items()}
        return Ledger(call.store).find(call_key(call.order.key, values, keys))

    def _inputs(self, call: Call) -> dict[str, Any]:
        """Inputs with known calls replaced by their results."""
        return {name: self._resolved(value) for name, value in call.inputs.items()}

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._resolved(item) for item in value]
        if isinstance(value, dict):
            return {name: self._resolved(item) for name, item in value.items()}
        if not isinstance(value, Call):
            return value
        planned = self.planned[value.whole.key]
        if planned.record is None:
            return value
        whole = Ledger(value.store).results(planned.record)
        return whole if value.parent is None else element(whole, value.index)
