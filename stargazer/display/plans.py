"""Plans as text and as HTML: calls of one task that do the same for the same reasons stand in one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stargazer.display.html import Markup, card, escape, hours_text, note, plural, seconds_text, size_text, state, table

__all__ = ["plan_html", "plan_text"]

LOOKED_AT = 25
"""Calls of a task for which it is looked up why they run; the others are only counted."""

WORDS = {"known": "known", "run": "run", "maybe": "maybe"}


@dataclass
class _Row:
    state: str
    task: str
    why: str
    number: int = 0


def plan_text(plan: Any) -> str:
    """A plan as text.

    Parameters
    ----------
    plan
        A plan.
    """
    rows = _rows(plan)
    shown = [(row.state, _task(row), row.why) for row in rows]
    widths = [max((len(each[place]) for each in shown), default=0) for place in range(2)]
    lines = [f"  {word:<{widths[0]}}  {task:<{widths[1]}}  {why}".rstrip() for word, task, why in shown]
    return "\n".join([headline(plan), *lines, *(_remark(plan, rows).splitlines())])


def plan_html(plan: Any) -> str:
    """A plan as a table.

    Parameters
    ----------
    plan
        A plan.
    """
    rows = _rows(plan)
    body = table(("", "task", "why"), [(state(row.state), _task(row), _lines(row.why)) for row in rows])
    remark = _remark(plan, rows)
    return card("Plan", body if rows else Markup(""), note(remark) if remark else Markup(""), subtitle=headline(plan))


def headline(plan: Any) -> str:
    """How many calls would run, and how many are known."""
    maybe = sum(planned.state == "maybe" for planned in plan)
    run, known = len(plan.to_run), len(plan.known)
    if not len(plan):
        return "nothing to run"
    if not run:
        return f"nothing would run: {'the call is' if known == 1 else f'all {known:,} calls are'} known"
    sure = f" ({maybe:,} of them perhaps)" if maybe else ""
    told = f"{run:,} of {plural(len(plan), 'call')} would run{sure}, {known:,} {'is' if known == 1 else 'are'} known"
    return "".join([told, *dict.fromkeys(f", and {each.grows.text(each.call.name)}" for each in plan.growing)])


def estimate_text(estimate: Any) -> str:
    """What calls will take, and what that rests on, in a line."""
    hours = hours_text(estimate.core_hours)
    told = f"about {seconds_text(estimate.wall)} on {estimate.where}, {hours} core-hours, {size_text(estimate.stored)}"
    never = len(estimate.never_ran)
    unknown = f"; {plural(never, 'task')} never ran" if never else ""
    last = "".join(f"; {name} as last time" for name in estimate.as_last_time)
    return f"{told} to be stored (from {plural(estimate.records, 'record')}{last}{unknown})"


def _rows(plan: Any) -> list[_Row]:
    rows: dict[tuple[str, str, str], _Row] = {}
    looked: dict[str, int] = {}
    for planned in plan:
        task = planned.call.name
        why = _whose(plan, planned)
        if planned.state != "known":
            looked[task] = looked.get(task, 0) + 1
            few = looked[task] <= LOOKED_AT
            why = "; ".join(reason.text for reason in planned.reasons) if few else f"(further calls of {task})"
        row = rows.setdefault((task, planned.state, why), _Row(planned.state, task, why))
        row.number += 1
    return list(rows.values())


def _whose(plan: Any, planned: Any) -> str:
    """Where a call is known, or of whom."""
    if planned.where or planned.record is None:
        return f"at {planned.where}" if planned.where else ""
    return str(plan.whose.get(planned.record.id, ""))


def _task(row: _Row) -> str:
    return row.task if row.number == 1 else f"{row.task} ×{row.number:,}"


def _lines(why: str) -> Markup:
    return Markup("<br>".join(escape(each) for each in why.split("; ")))


def _remark(plan: Any, rows: list[_Row]) -> str:
    maybe = any(row.state == "maybe" for row in rows)
    lines = ["maybe: runs unless the calls before it make the same bytes as last time"] if maybe else []
    if (estimate := getattr(plan, "estimate", None)) is not None:
        lines.append(estimate_text(estimate))
    for task, reasons in plan.wide.items():
        lines.append(f"{task} runs again for more than its own code, because of {'; '.join(reasons)}")
    return "\n".join(lines)
