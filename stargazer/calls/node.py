"""What a node of the Dask graph runs, on whatever worker."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from stargazer.calls.sealed import opened
from stargazer.errors import CodeChanged
from stargazer.execute.execute import execute
from stargazer.workdir import interruption

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.execute import Order

__all__ = ["named_inputs", "refuse", "run"]

CLOSING = ("closing", "closed", "failed")


def run(order: Order, plan_key: str, parameters: dict[str, Any], *inputs: Any) -> Any:
    """Execute one call; ends its tools when the call is released."""
    return execute(order, plan_key, named_inputs(order, inputs), opened(parameters), released())


def named_inputs(order: Order, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """Return the inputs of a node by the names of the task's parameters."""
    return dict(zip(order.task.positional, map(opened, inputs), strict=True))


def refuse(message: str) -> None:
    """Stand in for a call whose code has changed since it was made."""
    raise CodeChanged(message)


def released() -> Callable[[], bool]:
    """Return a function that tells whether the present task is wanted no more: released by Dask, or interrupted."""
    if "distributed" not in sys.modules:
        return interruption()
    from distributed.worker import thread_state  # type: ignore[attr-defined]

    worker, key = getattr(thread_state, "execution_state", {}).get("worker"), getattr(thread_state, "key", None)
    if worker is None:
        return interruption()

    def is_released() -> bool:
        # A worker that lost its scheduler waits for half a minute for what it runs, unless that ends by itself.
        if worker.status.name in CLOSING:
            return True
        state = worker.state.tasks.get(key)
        return state is None or state.state in ("cancelled", "resumed", "released", "forgotten")

    return is_released
