"""Options of a task, checked when it is defined: what it needs, its tools, what its identity takes in."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from stargazer.errors import DefinitionError
from stargazer.execute.spec import Needs
from stargazer.ledger.keys import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["Options", "check_functions", "check_names", "check_options", "chosen_tools", "given_needs", "read_needs"]

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NEVER = ("LC_ALL", "TZ", "PYTHONHASHSEED", "TMPDIR")
"""Fixed for every tool, so that results do not depend on them."""


class Options(TypedDict, total=False):
    """What `stargazer.calls.Task` takes beside the body."""

    cpus: int | Callable[..., int]
    memory: str | int | Sequence[str | int] | Callable[..., str | float] | None
    gpus: int | Callable[..., int]
    walltime: str | float | Callable[..., str | float] | None
    worker: str | None
    retries: int
    tools: Sequence[str] | Callable[..., Sequence[str]]
    uses: Sequence[str] | None
    env: Sequence[str]
    version: str | None
    stage: Literal["link", "copy"]
    temp: bool
    container: str | None
    conda: str | None


def read_needs(task: str, cpus: Any, memory: Any, gpus: Any, walltime: Any, worker: Any, retries: Any = 0) -> Needs:
    """Return what a task declares to need, checked.

    Raises
    ------
    DefinitionError
        Some of it is no amount.
    """
    asked = {"cpus": cpus, "memory": memory, "gpus": gpus, "walltime": walltime}
    functions = tuple((option, value) for option, value in asked.items() if callable(value))
    for option, function in functions:
        _check_function(task, option, function)
    cpus, memory, gpus, walltime = (
        none if callable(value) else value for value, none in zip(asked.values(), (1, None, 0, None), strict=True)
    )
    for option, value, least in (("cpus", cpus, 1), ("gpus", gpus, 0), ("retries", retries, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise DefinitionError(f"task {task}: {option}={value!r} must be a whole number from {least}")
    if worker is not None and not (isinstance(worker, str) and worker):
        raise DefinitionError(f"task {task}: worker={worker!r} must be the name of workers")
    sizes = [] if memory is None else memory if isinstance(memory, (list, tuple)) else [memory]
    read = tuple(_bytes(task, size) for size in sizes)
    return Needs(cpus, read, gpus, _seconds(task, walltime), worker, retries, functions, 1, not functions)


def given_needs(task: str, needs: Needs, values: Mapping[str, Any]) -> Needs:
    """Return what a call needs, whose functions are asked now that its inputs are there.

    Parameters
    ----------
    task
        Its name.
    needs
        As the task declares them.
    values
        Inputs and parameters of the call by name; inputs are handles, which have ``size`` and facts.

    Raises
    ------
    DefinitionError
        A function returned no amount.
    Exception
        Whatever a function raises.
    """
    plain = {name: value.open() if type(value) is Kept else value for name, value in values.items()}
    known, found = {**plain, "attempt": needs.attempt}, {}
    for option, function in needs.functions:
        found[option] = function(**{name: known[name] for name in inspect.signature(function).parameters})
    if isinstance(found.get("memory"), float):
        found["memory"] = int(found["memory"])
    none = {"cpus": 1, "memory": None, "gpus": 0, "walltime": None}
    read = read_needs(task, **none | found, worker=needs.worker)
    given = {option: getattr(read, option) for option in found}
    return needs._replace(**given, are_given=True)


def _check_function(task: str, option: str, function: Callable[..., Any]) -> None:
    kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY}:
        raise DefinitionError(
            f"task {task}: {option}= is a function, and takes inputs and parameters of the task by their names, "
            "and `attempt`: write for instance memory=lambda reads: 3 * reads.size"
        )


def check_functions(task: str, needs: Needs, names: Iterable[str]) -> None:
    """Refuse functions of needs that ask for what the task does not take.

    Raises
    ------
    DefinitionError
        Names what there is.
    """
    known = [*names, "attempt"]
    for option, function in needs.functions:
        for name in inspect.signature(function).parameters:
            if name not in known:
                raise DefinitionError(f"task {task}: {option}= asks for {name!r}, but there are {', '.join(known)}")


def _bytes(task: str, memory: Any) -> int:
    from stargazer.profiles.settings import bytes_of

    try:
        return bytes_of(memory)
    except ValueError:
        raise DefinitionError(f"task {task}: memory={memory!r} is no size; write for instance '8 GiB'") from None


def _seconds(task: str, walltime: Any) -> float | None:
    if walltime is None:
        return None
    from stargazer.profiles.settings import seconds_of

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
            import difflib

            close = difflib.get_close_matches(name, known, 1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            raise DefinitionError(f"@sg.task has no option {name!r}; {meant}there are {', '.join(known)}")


def check_options(task: str, tools: Any, uses: Any, stage: Any, env: Any = (), temp: Any = False) -> None:
    """Refuse options that no task can have."""
    for option, value in (("tools", tools), ("uses", uses), ("env", env)):
        if isinstance(value, str):
            raise DefinitionError(f"task {task}: {option}={value!r} must be a list: {option}=[{value!r}]")
    for name in env:
        if not isinstance(name, str) or not VARIABLE.fullmatch(name):
            raise DefinitionError(f"task {task}: env={list(env)!r} must be a list of names of environment variables")
        if name in NEVER:
            raise DefinitionError(f"task {task}: env={name!r} would be set for every tool alike; it cannot be passed")
    if stage not in ("link", "copy"):
        raise DefinitionError(f"task {task}: stage={stage!r} must be 'link' or 'copy'")
    if not isinstance(temp, bool):
        raise DefinitionError(f"task {task}: temp={temp!r} must be True or False")


def chosen_tools(tools: Sequence[str] | Callable[..., Sequence[str]], parameters: Mapping[str, Any]) -> Sequence[str]:
    """Return the names of the tools that a call runs; a function chooses them from those parameters that it names."""
    if not callable(tools):
        return tools
    wanted = inspect.signature(tools).parameters
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in wanted.values())
    return tools(**{name: value for name, value in parameters.items() if anything or name in wanted})
