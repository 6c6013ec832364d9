"""What a node of the Dask graph runs, on whatever worker."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

from stargazer.calls.sealed import opened
from stargazer.errors import CodeChanged
from stargazer.execute.execute import execute
from stargazer.ledger import walk_assets
from stargazer.workdir import interruption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stargazer.errors import StargazerError
    from stargazer.execute import Order

__all__ = ["named_inputs", "refuse", "run"]

CLOSING = ("closing", "closed", "failed")


def run(order: Order, plan_key: str, parameters: dict[str, Any], *inputs: Any) -> Any:
    """Execute one call; ends its tools when the call is released."""
    if order.task.needs.walltime is not None:
        _leave_to_others(order.task.needs.walltime)
    is_released = released()
    given = named_inputs(order, inputs)
    worker, key = _worker_and_key()
    if worker is None:
        return execute(order, plan_key, given, opened(parameters), is_released)
    with _reached(worker, order, is_released):
        result = execute(order, plan_key, given, opened(parameters), is_released, alone=_is_alone(worker))
        from stargazer.served.reach import note_files

        note_files(worker, key, order.store, walk_assets([*given.values(), result]))
        return result


@contextlib.contextmanager
def _reached(worker: Any, order: Order, is_released: Callable[[], bool]) -> Iterator[None]:
    """Let the store be the one that the call was made with, whether or not it can be seen from this worker."""
    from stargazer.served.line import WANTED
    from stargazer.served.reach import reach

    token = WANTED.set(is_released)
    try:
        reach(worker, order.store, order.store_id)
        yield
    finally:
        WANTED.reset(token)


def _is_alone(worker: Any) -> bool:
    """Whether a worker's process runs one call at a time."""
    return worker.state.nthreads == 1 and worker.nanny is not None


def named_inputs(order: Order, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """Return the inputs of a node by the names of the task's parameters."""
    return dict(zip(order.task.positional, map(opened, inputs), strict=True))


def refuse(message: str, kind: type[StargazerError] = CodeChanged) -> None:
    """Stand in for a call that cannot run: its code has changed since it was made, or no worker has what it needs."""
    raise kind(message)


def _leave_to_others(walltime: float) -> None:
    """Give a call back that cannot end before its worker does; the worker finishes what it runs, and takes no more."""
    worker, _ = _worker_and_key()
    ends = getattr(worker, "stargazer_ends", None)
    if ends is None or time.time() + walltime <= ends:
        return
    from distributed import Reschedule

    worker.loop.add_callback(_leave, worker)
    raise Reschedule(f"this worker ends in {ends - time.time():.0f} s")


async def _leave(worker: Any) -> None:
    """Take no more work, and give back what waits here: Dask would let it wait."""
    await worker.scheduler.retire_workers(workers=[worker.address], close_workers=False, remove=False)
    for task in [*worker.state.ready, *worker.state.constrained]:
        worker.batched_send({"op": "reschedule", "key": task.key, "stimulus_id": f"stargazer-leave-{time.time()}"})


def _worker_and_key() -> tuple[Any, Any]:
    """The Dask worker that runs this thread, and the key of its task; None where there is none."""
    if "distributed" not in sys.modules:
        return None, None
    from distributed.worker import thread_state  # type: ignore[attr-defined]

    return getattr(thread_state, "execution_state", {}).get("worker"), getattr(thread_state, "key", None)


def released() -> Callable[[], bool]:
    """Return a function that tells whether the present task is wanted no more: released by Dask, or interrupted."""
    worker, key = _worker_and_key()
    if worker is None:
        return interruption()

    def is_released() -> bool:
        # A worker that lost its scheduler waits for half a minute for what it runs, unless that ends by itself.
        if worker.status.name in CLOSING:
            return True
        state = worker.state.tasks.get(key)
        return state is None or state.state in ("cancelled", "resumed", "released", "forgotten")

    return is_released
