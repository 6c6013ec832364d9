"""Options of a task, checked when it is defined."""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from stargazer.errors import DefinitionError
from stargazer.execute.needs import Needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["Options", "check_names", "check_options", "chosen_tools", "read_needs"]


class Options(TypedDict, total=False):
    """What `stargazer.calls.Task` takes beside the body."""

    cpus: int
    memory: str | int | Sequence[str | int] | None
    gpus: int
    walltime: str | float | None
    worker: str | None
    tools: Sequence[str] | Callable[..., Sequence[str]]
    uses: Sequence[str]
    version: str | None
    stage: Literal["link", "copy"]


def read_needs(task: str, cpus: Any, memory: Any, gpus: Any, walltime: Any, worker: Any) -> Needs:
    """Return what a task declares to need, checked.

    Raises
    ------
    DefinitionError
        Some of it is no amount.
    """
    for option, value, least in (("cpus", cpus, 1), ("gpus", gpus, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise DefinitionError(f"task {task}: {option}={value!r} must be a whole number from {least}")
    if worker is not None and not (isinstance(worker, str) and worker):
        raise DefinitionError(f"task {task}: worker={worker!r} must be the name of workers")
    sizes = [] if memory is None else memory if isinstance(memory, (list, tuple)) else [memory]
    return Needs(cpus, tuple(_bytes(task, size) for size in sizes), gpus, _seconds(task, walltime), worker)


def _bytes(task: str, memory: Any) -> int:
    from stargazer.profiles.units import bytes_of

    try:
        return bytes_of(memory)
    except ValueError:
        raise DefinitionError(f"task {task}: memory={memory!r} is no size; write for instance '8 GiB'") from None


def _seconds(task: str, walltime: Any) -> float | None:
    if walltime is None:
        return None
    from stargazer.profiles.units import seconds_of

    try:
        return seconds_of(walltime)
    except ValueError:
        raise DefinitionError(f"task {task}: walltime={walltime!r} is no time; write for instance '2 h'") from None


def check_names(options: Iterable[str]) -> None:
    """Refuse options that there are not.

    Raises
    ------
    DefinitionError
        Names the one that was probably meant.
    """
    known = list(Options.__annotations__)
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            raise DefinitionError(f"@sg.task has no option {name!r}; {meant}there are {', '.join(known)}")


def check_options(task: str, tools: Any, uses: Any, stage: Any) -> None:
    """Refuse options that no task can have."""
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
