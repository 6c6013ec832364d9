"""Tasks, calls and runs."""

from __future__ import annotations

from stargazer.errors.base import StargazerError

__all__ = [
    "ArgumentError",
    "Cancelled",
    "CodeChanged",
    "DefinitionError",
    "NeedUnmet",
    "OutputError",
    "RunError",
    "RunFailed",
    "StoresMixed",
    "TaskError",
    "WorkerMismatch",
]


class TaskError(StargazerError):
    """A task is wrongly defined or called."""


class DefinitionError(TaskError, TypeError):
    """A task's signature or options are wrong."""


class ArgumentError(TaskError, TypeError):
    """A call's arguments do not fit the task's signature."""


class OutputError(TaskError):
    """A body returned something that is not a result."""


class CodeChanged(TaskError):
    """A task's code changed between wiring and running."""


class WorkerMismatch(TaskError):
    """The worker has other code, tools or libraries than the call was keyed with."""


class StoresMixed(TaskError):
    """Calls of two stores meet in one graph."""


class RunError(StargazerError):
    """A run did not end well."""


class RunFailed(RunError):
    """Some calls of a run failed.

    Parameters
    ----------
    message
        Which calls, and why, in a few lines.
    failures
        The error of each failed call, by its label.
    """

    def __init__(self, message: str, failures: dict[str, BaseException] | None = None) -> None:
        super().__init__(message, failures or {})
        self.failures = failures or {}

    def __str__(self) -> str:
        return str(self.args[0])


class NeedUnmet(RunError):
    """No worker has what a call needs, nor may one be started that has it."""


class Cancelled(RunError):
    """The call was cancelled; its tools were ended."""
