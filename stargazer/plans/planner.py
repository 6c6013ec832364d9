"""Which calls the ledger knows, and which would run."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stargazer.calls.call import Call
from stargazer.calls.elements import element
from stargazer.calls.wiring import needs
from stargazer.ledger import Ledger, Record
from stargazer.ledger.keys import call_key, input_keys, plain
from stargazer.ledger.record import digest
from stargazer.plans.reasons import Reason, calls_of, reasons_for
from stargazer.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dask.typing import Key

    from stargazer.execute import Order
    from stargazer.store.beyond import Known

__all__ = ["Planned", "Planner"]

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
    where
        Name of the remote that knows it, if this store does not.
    """

    call: Call
    state: str
    record: Record | None = None
    where: str = ""
    _why: Callable[[], list[Reason]] = field(default=list, repr=False, compare=False)

    @functools.cached_property
    def reasons(self) -> tuple[Reason, ...]:
        """Why it is not known; looked up when asked for."""
        return tuple(self._why())


class Planner:
    """Looks calls up, level by level, and then says of each what would become of it."""

    def __init__(self) -> None:
        self.planned: dict[str, Planned] = {}
        self._found: dict[Key, Known | None] = {}
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
                found = Ledger(Store.open(url)).find_anywhere(call.plan_key for call in asked)
                self._found |= {call.key: found.get(call.plan_key) for call in asked}
            unknown = (call for call in level.values() if self._found[call.key] is None)
            following = {needed.whole.key: needed.whole for call in unknown for needed in needs(call)}
            level = {key: call for key, call in following.items() if key not in self._found}

    def is_known(self, call: Call) -> bool:
        """Whether the ledger answers a call that was looked up."""
        return self._found[call.key] is not None

    def add(self, call: Call) -> None:
        """Plan a call after those that it needs."""
        if id(call.order) not in self._checked:
            call.order.task.check_code(call.order)
            self._checked[id(call.order)] = call.order
        record, where = self._found[call.key] or (self._by_content(call), "")
        if record is not None:
            self.planned[call.key] = Planned(call, "known", record, where)
            return
        planned = (self.planned[needed.whole.key] for needed in needs(call))
        waits = any(each.state != "known" for each in planned)
        state = "maybe" if waits and self._parts(call) in self._known_parts(call) else "run"
        past = self._candidates(call)
        self.planned[call.key] = Planned(call, state, None, "", lambda: reasons_for(call, self._inputs(call), past))

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
        if any(isinstance(value, Call) for value in call.parameters.values()) or calls_of(inputs):
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
