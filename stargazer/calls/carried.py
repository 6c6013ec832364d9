"""A task on its way to a worker."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from stargazer.errors import CodeChanged, WorkerMismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stargazer.calls.task import Task
    from stargazer.execute import Needs, Order

__all__ = ["Carried"]


class Carried:
    """A task that is unpickled only where it runs: schedulers never import or rebuild the user's code.

    Parameters
    ----------
    task
        The task here; None where only its bytes have arrived.
    name, needs, copy_inputs
        As the task's own; known without unpickling it.
    packed
        Digest of the task's code and the pickled task.
    """

    def __init__(
        self,
        task: Task | None,
        name: str,
        needs: Needs,
        copy_inputs: bool,
        packed: tuple[str, bytes] | None = None,
    ) -> None:
        self.name, self.needs, self.copy_inputs = name, needs, copy_inputs
        self._task, self._packed, self._here = task, packed, task is not None

    @classmethod
    def of(cls, task: Task) -> Carried:
        """Wrap a task of this process."""
        return cls(task, task.name, task.needs, task.copy_inputs)

    def __reduce__(self) -> Any:
        if self._task is not None and (self._packed is None or self._packed[0] != self._task.code.digest):
            self._packed = (self._task.code.digest, _pickled(self._task))
        return Carried, (None, self.name, self.needs, self.copy_inputs, self._packed)

    def with_needs(self, needs: Needs) -> Carried:
        """Return the same task with other needs."""
        return Carried(self._task, self.name, needs, self.copy_inputs, self._packed)

    @property
    def task(self) -> Task:
        """The task itself; unpickled at the first use.

        Raises
        ------
        WorkerMismatch
            Its module cannot be imported here.
        """
        if self._task is None:
            assert self._packed is not None
            self._task = _unpickled(self._packed[1])
        return self._task

    @property
    def positional(self) -> tuple[str, ...]:
        """Names of the task's asset parameters."""
        return self.task.positional

    @property
    def result_type(self) -> type | None:
        """The ``NamedTuple`` class that the task returns, if it does."""
        return self.task.result_type

    @property
    def body(self) -> Callable[..., Any]:
        """The task's body."""
        return self.task.body

    def bound(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """As `stargazer.calls.task.Task.bound`."""
        return self.task.bound(inputs, parameters)

    def checked(self, made: Any) -> Any:
        """As `stargazer.calls.task.Task.checked`."""
        return self.task.checked(made)

    def check_code(self, order: Order) -> None:
        """As `stargazer.calls.task.Task.check_code`; of a task that came from another process, `WorkerMismatch`."""
        try:
            self.task.check_code(order)
        except CodeChanged as error:
            if self._packed is None or self._here:
                raise
            raise WorkerMismatch(f"this worker cannot run task {self.name}: {error}") from error


def _pickled(task: Task) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(task))
    except Exception as error:
        error.add_note(f"task {task.name} cannot be sent to workers: its body uses something that cannot be pickled")
        raise


@functools.lru_cache(maxsize=256)
def _unpickled(payload: bytes) -> Task:
    import pickle

    try:
        task: Task = pickle.loads(payload)
    except (ImportError, AttributeError) as error:
        raise WorkerMismatch(
            f"this worker cannot import a task: {error}; install its package on the workers, "
            "or define it in the notebook"
        ) from error
    return task
