"""What a node of the Dask graph runs, on whatever worker."""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

from stargazer.calls.losses import marked
from stargazer.calls.options import given_needs
from stargazer.calls.resources import IN_BODY, Capacity, shared
from stargazer.errors import CodeChanged, NeedUnmet, StargazerError
from stargazer.execute.execute import execute
from stargazer.execute.wiring import Wiring
from stargazer.ledger import walk_assets
from stargazer.tools import interruption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stargazer.execute import TaskSpec
    from stargazer.execute.wiring import Sketch

__all__ = [
    "Sealed",
    "executed_on",
    "joined",
    "named_inputs",
    "on_worker",
    "opened",
    "refuse",
    "released",
    "run",
    "seal",
    "worker_and_key",
]

HERE = "threads of this process"
CLOSING = ("closing", "closed", "failed")


def run(
    spec: TaskSpec,
    plan_key: str,
    parameters: dict[str, Any],
    *inputs: Any,
    before: tuple[str, ...] = (),
    strict: bool = False,
    sketch: Sketch | None = None,
    results: tuple[Any, ...] | list[Any] = (),
) -> Any:
    """Execute one call; ends its tools when the call is released.

    Of one that wires, what it wired is done where this runs; or, with a sketch of it, is done already.
    """
    given = named_inputs(spec, inputs)
    if spec.wires:
        return _wired(spec, plan_key, given, opened(parameters), before, strict, sketch, results)
    if not spec.needs.are_given:
        spec = _with_needs(spec, given | dict(opened(parameters)))
    if spec.needs.walltime is not None:
        _leave_to_others(spec.needs.walltime)
    is_released = released()
    worker, key = worker_and_key()
    if worker is None:
        with _placed(spec, is_released):
            return execute(spec, plan_key, given, opened(parameters), is_released, before=before, strict=strict)
    return executed_on(
        worker, str(key), key, spec, plan_key, given, opened(parameters), is_released, before=before, strict=strict
    )


def executed_on(
    worker: Any,
    key: str,
    task: Any,
    spec: TaskSpec,
    plan_key: str,
    given: dict[str, Any],
    parameters: dict[str, Any],
    is_released: Callable[[], bool],
    *,
    before: tuple[str, ...],
    strict: bool,
) -> Any:
    """Execute one call on a worker of a Dask client.

    Parameters
    ----------
    worker
        The worker.
    key, task
        Of the call, and of the task of Dask that it is, or is a part of.
    spec, plan_key, given, parameters, is_released, before, strict
        As for `stargazer.execute.execute`.
    """
    with marked(worker, key, spec), _reached(worker, spec, is_released):
        result = execute(
            spec, plan_key, given, parameters, is_released,
            alone=_is_alone(worker), before=before, strict=strict, warn=_warn_client,
        )  # fmt: skip
        from stargazer.relay.worker import note_files

        note_files(worker, task, spec.store, walk_assets([*given.values(), result]))
        return result


def _wired(
    spec: TaskSpec,
    plan_key: str,
    given: dict[str, Any],
    parameters: dict[str, Any],
    before: tuple[str, ...],
    strict: bool,
    sketch: Sketch | None,
    results: Any,
) -> Any:
    worker, _ = worker_and_key()
    told: dict[str, Any] = {"before": before, "strict": strict}
    with contextlib.nullcontext() if worker is None else _reached(worker, spec, released()):
        if sketch is not None:
            return joined(spec, plan_key, given, parameters, sketch, results, **told)
        warn = warnings.warn if worker is None else _warn_client
        return spec.wiring.grown(spec, plan_key, given, parameters, warn=warn, **told)


def joined(
    spec: TaskSpec,
    plan_key: str,
    inputs: dict[str, Any],
    parameters: dict[str, Any],
    sketch: Sketch,
    results: Any,
    **told: Any,
) -> Any:
    """Return the result of a call that wired others, now that they have ended, and record it."""
    wiring = Wiring(spec, plan_key, inputs, parameters, **told)
    try:
        return wiring.end(sketch._replace(shape=opened(sketch.shape)), results)
    except StargazerError as error:
        wiring.failed(error)
        raise


def _with_needs(spec: TaskSpec, values: dict[str, Any]) -> TaskSpec:
    """Ask the functions of needs here, where nobody could before: in a graph that Dask was given as a whole.

    Raises
    ------
    NeedUnmet
        This worker has less.
    """
    declared = spec.task.needs._replace(attempt=spec.needs.attempt)
    needs = given_needs(spec.name, declared, values)
    worker, _ = worker_and_key()
    has = worker.state.total_resources if worker is not None else {}
    for name, amount in needs.resources().items():
        if name in has and amount > has[name]:
            raise NeedUnmet(
                f"task {spec.name} needs {amount:.0f} of {name} for these inputs, and this worker has {has[name]:.0f}; "
                "sg.run finds one that has more"
            )
    return spec.with_changes(needs=needs)


@contextlib.contextmanager
def _placed(spec: TaskSpec, given_up: Callable[[], bool]) -> Iterator[None]:
    """Wait until this process has what the call needs: Dask's threads know of nothing but their number."""
    if IN_BODY.get():
        yield
        return
    slots, needs = shared(), spec.needs
    if (message := Capacity(slots.has, HERE, clamp=True).unmet(spec.name, needs)) is not None:
        raise NeedUnmet(message)
    with slots.take(needs.fitted(slots.has, clamp=True), given_up):
        token = IN_BODY.set(True)
        try:
            yield
        finally:
            IN_BODY.reset(token)


@contextlib.contextmanager
def _reached(worker: Any, spec: TaskSpec, is_released: Callable[[], bool]) -> Iterator[None]:
    """Let the store be the one that the call was made with, whether or not it can be seen from this worker."""
    from stargazer.relay.connection import WANTED
    from stargazer.relay.worker import reach

    token = WANTED.set(is_released)
    try:
        reach(worker, spec.store, spec.store_id)
        yield
    finally:
        WANTED.reset(token)


def _warn_client(message: str, category: type[Warning]) -> None:
    """Warn where the client is: what a worker says goes into a log that nobody reads."""
    from distributed.worker import warn

    warn(message, category)


def _is_alone(worker: Any) -> bool:
    """Whether a worker's process runs one call at a time."""
    return worker.state.nthreads == 1 and worker.nanny is not None


def named_inputs(spec: TaskSpec, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """Return the inputs of a node by the names of the task's parameters."""
    return dict(zip(spec.task.positional, map(opened, inputs), strict=True))


def refuse(message: str, kind: type[StargazerError] = CodeChanged) -> None:
    """Stand in for a call that cannot run: its code has changed since it was made, or no worker has what it needs."""
    raise kind(message)


def _leave_to_others(walltime: float) -> None:
    """Give a call back that cannot end before its worker does; the worker finishes what it runs, and takes no more."""
    worker, _ = worker_and_key()
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


def on_worker() -> bool:
    """Whether this thread runs a node for a worker of a Dask client."""
    return worker_and_key()[0] is not None


def worker_and_key() -> tuple[Any, Any]:
    """Return the Dask worker that runs this thread, and the key of its task; None where there is none."""
    if "distributed" not in sys.modules:
        return None, None
    from distributed.worker import thread_state  # type: ignore[attr-defined]

    return getattr(thread_state, "execution_state", {}).get("worker"), getattr(thread_state, "key", None)


def released() -> Callable[[], bool]:
    """Return a function that tells whether the present task is wanted no more: released by Dask, or interrupted."""
    worker, key = worker_and_key()
    if worker is None:
        return interruption()

    def is_released() -> bool:
        # A worker that lost its scheduler waits for half a minute for what it runs, unless that ends by itself.
        if worker.status.name in CLOSING:
            return True
        state = worker.state.tasks.get(key)
        return state is None or state.state in ("cancelled", "resumed", "released", "forgotten")

    return is_released


# Values of the user's own types on their way to a worker: schedulers need not have the modules of those types.


OPEN = frozenset((str, int, float, bool, type(None)))


class Sealed:
    """A value that is unpickled only where it is used.

    Parameters
    ----------
    value
        The value here; None where only its bytes have arrived.
    packed
        The pickled value.
    """

    def __init__(self, value: Any, packed: bytes | None = None) -> None:
        self.value, self.packed = value, packed

    def __reduce__(self) -> Any:
        if self.packed is None:
            import cloudpickle

            self.packed = cloudpickle.dumps(self.value)
        return Sealed, (None, self.packed)

    def open(self) -> Any:
        """Return the value."""
        if self.value is None and self.packed is not None:
            import pickle

            self.value = pickle.loads(self.packed)
        return self.value


def seal(value: Any) -> Any:
    """Return `value` itself if every scheduler can read it, else sealed."""
    return value if _is_open(value) else Sealed(value)


def opened(value: Any) -> Any:
    """Return what was sealed; in lists and dicts, too."""
    if type(value) is Sealed:
        return value.open()
    if type(value) is list:
        return [opened(item) for item in value]
    if type(value) is dict:
        return {name: opened(item) for name, item in value.items()}
    return value


def _is_open(value: Any) -> bool:
    kind = type(value)
    if kind in OPEN:
        return True
    if kind in (list, tuple):
        return all(map(_is_open, value))
    if kind is dict:
        return all(map(_is_open, value.values()))
    return kind.__module__.startswith("stargazer.") and all(map(_is_open, getattr(value, "companions", ())))
