"""Options of tasks, checked where the task is defined."""

from __future__ import annotations

from typing import Any

from stargazer.errors import DefinitionError

__all__ = ["check_options", "memory_bytes"]


def memory_bytes(task: str, memory: str | int | None) -> int | None:
    """Return ``"8 GiB"`` in bytes.

    Raises
    ------
    DefinitionError
        It is no size.
    """
    if memory is None or isinstance(memory, int):
        return memory
    from dask.utils import parse_bytes

    try:
        return int(parse_bytes(memory))
    except ValueError:
        raise DefinitionError(f"task {task}: memory={memory!r} is no size; write for instance '8 GiB'") from None


def check_options(task: str, cpus: Any, tools: Any, uses: Any, stage: Any) -> None:
    """Refuse options that mean nothing.

    Raises
    ------
    DefinitionError
        Says which, and what is wanted.
    """
    if not isinstance(cpus, int) or isinstance(cpus, bool) or cpus < 1:
        raise DefinitionError(f"task {task}: cpus={cpus!r} must be a whole number from 1")
    for option, value in (("tools", tools), ("uses", uses)):
        if isinstance(value, str):
            raise DefinitionError(f"task {task}: {option}={value!r} must be a list: {option}=[{value!r}]")
    if stage not in ("link", "copy"):
        raise DefinitionError(f"task {task}: stage={stage!r} must be 'link' or 'copy'")
