"""A task on its way to a worker."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from stargazer.errors import WorkerMismatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.calls.task import Task

__all__ = ["Carried"]

Facts = tuple[str, int, int | None, bool, tuple[str, ...]]


class Carried:
    """A task that is unpickled only where it runs: schedulers never import or rebuild the user's code.

    Parameters
    ----------
    task
        The task here; None where only its bytes have arrived.
    """

    def __init__(self, task: Task | None, sent: tuple[Facts, str, bytes] | None = None) -> None:
        self._task, self._sent = task, sent

    def __reduce__(self) -> Any:
        if self._task is not None and (self._sent is None or self._sent[1] != self._task.code.digest):
            self._sent = self._packed(self._task)
        return Carried, (None, self._sent)

    @staticmethod
    def _packed(task: Task) -> tuple[Facts, str, bytes]:
        import cloudpickle

        facts = (task.name, task.cpus, task.memory, task.copy_inputs, task.positional)
        return facts, task.code.digest, cloudpickle.dumps(task)

    @property
    def _facts(self) -> Facts:
        if self._task is not None:
            task = self._task
            return task.name, task.cpus, task.memory, task.copy_inputs, task.positional
        assert self._sent is not None
        return self._sent[0]

    @property
    def task(self) -> Task:
        """The task itself; unpickled at the first use.

        Raises
        ------
        WorkerMismatch
            Its module cannot be imported here.
        """
        if self._task is None:
            assert self._sent is not None
            self._task = _unpickled(self._sent[2])
        return self._task

    name: str = property(lambda self: self._facts[0])  # type: ignore[assignment]
    cpus: int = property(lambda self: self._facts[1])  # type: ignore[assignment]
    memory: int | None = property(lambda self: self._facts[2])  # type: ignore[assignment]
    copy_inputs: bool = property(lambda self: self._facts[3])  # type: ignore[assignment]
    positional: tuple[str, ...] = property(lambda self: self._facts[4])  # type: ignore[assignment]
    result_type: type | None = property(lambda self: self.task.result_type)  # type: ignore[assignment]

    @property
    def body(self) -> Callable[..., Any]:
        """The task's body."""
        return self.task.body

    def check_code(self, code: str) -> None:
        """As `stargazer.calls.task.Task.check_code`."""
        self.task.check_code(code)


@functools.lru_cache(maxsize=256)
def _unpickled(payload: bytes) -> Task:
    import pickle

    try:
        task: Task = pickle.loads(payload)
    except (ImportError, AttributeError) as error:
        raise WorkerMismatch(
            f"this worker cannot import a task: {error}; install its package on the workers, or define it in the notebook"
        ) from error
    return task
