"""What a node of the Dask graph runs, on whatever worker."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from stargazer.execute import Order, execute

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["run"]


def run(order: Order, plan_key: str, parameters: dict[str, Any], *inputs: Any) -> Any:
    """Execute one call; ends its tools when the call is released."""
    named = dict(zip(order.task.positional, inputs, strict=True))
    return execute(order, plan_key, named, parameters, released())


def released() -> Callable[[], bool]:
    """Return a function that tells whether the Dask worker's present task is still wanted."""
    if "distributed" not in sys.modules:
        return lambda: False
    from distributed.worker import thread_state  # type: ignore[attr-defined]

    worker, key = getattr(thread_state, "execution_state", {}).get("worker"), getattr(thread_state, "key", None)
    if worker is None:
        return lambda: False

    def is_released() -> bool:
        state = worker.state.tasks.get(key)
        return state is None or state.state in ("cancelled", "resumed", "released", "forgotten")

    return is_released
