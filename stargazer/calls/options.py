"""Options of a task, checked when it is defined."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any

from stargazer.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["check_options", "chosen_tools", "memory_bytes"]


def memory_bytes(task: str, memory: str | int | None) -> int | None:
    """Return the size that a task declares in bytes."""
    if memory is None:
        return None
    from dask.utils import parse_bytes

    with contextlib.suppress(ValueError):
        if (size := int(parse_bytes(memory))) > 0 and not isinstance(memory, bool):
            return size
    raise DefinitionError(f"task {task}: memory={memory!r} is no size; write for instance '8 GiB'")


def check_options(task: str, cpus: Any, tools: Any, uses: Any, stage: Any) -> None:
    """Refuse options that no task can have."""
    if not isinstance(cpus, int) or isinstance(cpus, bool) or cpus < 1:
        raise DefinitionError(f"task {task}: cpus={cpus!r} must be a whole number from 1")
    for option, value in (("tools", tools), ("uses", uses)):
        if isinstance(value, str):
            raise DefinitionError(f"task {task}: {option}={value!r} must be a list: {option}=[{value!r}]")
    if stage not in ("link", "copy"):
        raise DefinitionError(f"task {task}: stage={stage!r} must be 'link' or 'copy'")


def chosen_tools(tools: Sequence[str] | Callable[..., Sequence[str]], parameters: Mapping[str, Any]) -> Sequence[str]:
    """Return the names of the tools that a call runs; a function chooses them from those parameters that it names."""
    if not callable(tools):
        return tools
    wanted = inspect.signature(tools).parameters
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in wanted.values())
    return tools(**{name: value for name, value in parameters.items() if anything or name in wanted})
