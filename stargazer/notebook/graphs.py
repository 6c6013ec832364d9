"""Cells that wait, run as one graph of calls; and why one would run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from stargazer.notebook.figures import others_draw

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distributed import Client

    from stargazer.calls import Call

__all__ = ["fly", "reason_of"]


def fly(calls: list[Call], client: Client | None, *, again: bool) -> tuple[dict[str, Any], Mapping[str, BaseException]]:
    """Run cells as one graph.

    Parameters
    ----------
    calls
        That the cells are.
    client
        A Dask client; threads of this process without one.
    again
        Run what is known once more.

    Returns
    -------
    tuple
        Results by plan key, and errors by label.
    """
    from stargazer.errors import RunFailed
    from stargazer.runs import run

    results: dict[str, Any] = {}
    with others_draw():
        flight = run(calls, client=client, wait=False, progress=False, again=again or None)
        with contextlib.suppress(RunFailed):
            for call, result in flight:
                results[call.plan_key] = result
    return results, flight.failures


def reason_of(call: Call) -> str:
    """Why the call that a cell is would run."""
    from stargazer.runs.planner import plan

    planned = next((each for each in plan(call) if each.call.plan_key == call.plan_key), None)
    return "; ".join(str(reason) for reason in planned.reasons) if planned is not None else "it was never run"
