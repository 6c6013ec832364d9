"""What is told of the calls of a run: in which order they come, and why some failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.calls.wiring import needs

if TYPE_CHECKING:
    from stargazer.calls import Call
    from stargazer.runs.run import Run

__all__ = ["failure_text", "in_order"]

SHOWN_FAILURES = 5


def in_order(calls: dict[str, Call]) -> dict[str, Call]:
    """Return the calls, each after those that it needs."""
    from graphlib import TopologicalSorter

    sorter = TopologicalSorter({key: {needed.whole.key for needed in needs(call.whole)} for key, call in calls.items()})
    return {key: calls[key] for key in sorter.static_order() if key in calls}


def failure_text(flight: Run) -> str:
    """Say which calls of a run failed, and why, in a few lines."""
    failures = list(flight.failures.items())
    lines = [f"{len(failures)} of {flight.status().count()} calls failed; what the others made is kept"]
    for label, error in failures[:SHOWN_FAILURES]:
        command = flight.log_command(label)
        lines += [f"— {label}: {type(error).__name__}: {error}", *([f"  the log: {command}"] if command else [])]
    if len(failures) > SHOWN_FAILURES:
        lines.append(f"… and {len(failures) - SHOWN_FAILURES} more in `.failures`")
    return "\n".join(lines)
