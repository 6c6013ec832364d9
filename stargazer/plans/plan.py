"""What would run, what is known, and why something is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stargazer.calls.call import Call
from stargazer.calls.given import check_no_call_lost
from stargazer.calls.wiring import needs
from stargazer.plans.planner import Planned, Planner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Plan", "Planned", "ordered", "plan", "roots_of"]


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
                    "where": planned.where,
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
    planner, roots = Planner(), roots_of(calls)
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
