"""An entry of the catalog: what one task or workflow takes and gives, and what it wants to run."""

from __future__ import annotations

import inspect
import itertools
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from stargazer.calls import Task
from stargazer.catalog.annotations import kind_of
from stargazer.catalog.docstrings import explained, read_docstring
from stargazer.catalog.hints import annotations_of
from stargazer.catalog.kinds import Defs, Kind, as_json, described
from stargazer.catalog.outputs import Output, task_outputs, workflow_outputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.execute.spec import Needs

__all__ = ["DIALECT", "Category", "Entry", "Param", "Tool", "entry_of"]

Category = Literal["task", "workflow"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MOST_CHOICES = 32
REQUIRED = inspect.Parameter.empty


class Param(NamedTuple):
    """A parameter.

    Parameters
    ----------
    name
        Its name.
    kind
        What it may be.
    default
        Its default; `inspect.Parameter.empty` where one must be given.
    text
        What the docstring says of it.
    """

    name: str
    kind: Kind
    default: Any = REQUIRED
    text: str = ""

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is REQUIRED

    @property
    def type(self) -> str:
        """What it may be, in words."""
        return str(self.kind)

    def schema(self, defs: Defs) -> dict[str, Any]:
        """Return its schema; definitions go to `defs`."""
        found = described(self.kind.schema(defs), self.text)
        plain = None if self.required else as_json(self.default)
        return found if plain is None else {**found, "default": plain}

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        default = None if self.required else as_json(self.default)
        return {"name": self.name, "type": self.type, "required": self.required, "default": default, "text": self.text}


class Tool(NamedTuple):
    """A command or package that an entry runs.

    Parameters
    ----------
    name
        Its name.
    there
        Whether it is here.
    how
        How to get it.
    when
        Parameters with which it is run; empty where it always is.
    """

    name: str
    there: bool
    how: str
    when: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Entry:
    """A task or workflow of the catalog.

    Parameters
    ----------
    name
        Unique; with its group before it where another has the same name.
    category
        ``"task"`` or ``"workflow"``.
    group
        Where it is from: ``"gatk"``, ``"general"``, a package or a file.
    summary
        First line of its docstring.
    text
        The docstring before its sections.
    params, outputs
        What it takes and gives.
    home
        Module and name, as ``stargazer run`` takes them.
    function
        The task or workflow; None of what cannot be imported.
    how
        How to get what it wants to be imported; empty where it is.
    """

    name: str
    category: Category
    group: str
    summary: str = ""
    text: str = ""
    params: tuple[Param, ...] = ()
    outputs: tuple[Output, ...] = ()
    home: str = ""
    function: Callable[..., Any] | None = field(default=None, repr=False)
    how: str = ""

    @property
    def bare(self) -> str:
        """Its name without a group."""
        return self.home.rpartition(":")[2] or self.name.rpartition(".")[2]

    @property
    def qualified(self) -> str:
        """Its name with its group."""
        return f"{self.group}.{self.bare}"

    @property
    def needs(self) -> dict[str, Any]:
        """What a call of the task needs; ``"by inputs"`` where its inputs say how much."""
        if not isinstance(self.function, Task):
            return {}
        needs: Needs = self.function.needs
        asked = dict.fromkeys((name for name, _ in needs.functions), "by inputs")
        found = {"cpus": needs.cpus, "memory": needs.bytes, "gpus": needs.gpus, "walltime": needs.walltime}
        return {**found, "worker": needs.worker, **asked}

    @property
    def tools(self) -> list[Tool]:
        """Tools that it runs, and whether they are here."""
        return list(_tools(self.function)) if isinstance(self.function, Task) else []

    def schema(self) -> dict[str, Any]:
        """Return what it takes as JSON Schema 2020-12."""
        defs: Defs = {}
        properties = {param.name: param.schema(defs) for param in self.params}
        found: dict[str, Any] = {"$schema": DIALECT, "title": self.name, "description": self.summary}
        found |= {"type": "object", "properties": properties}
        found |= {"required": [param.name for param in self.params if param.required], "additionalProperties": False}
        return found | ({"$defs": defs} if defs else {})

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values, without the schema."""
        found: dict[str, Any] = {"name": self.name, "category": self.category, "summary": self.summary}
        found |= {"text": self.text, "home": self.home, "params": [param.to_dict() for param in self.params]}
        found |= {"outputs": [output._asdict() for output in self.outputs], "needs": self.needs}
        return found | {"tools": [tool._asdict() for tool in self.tools], "how": self.how}


def entry_of(function: Callable[..., Any], name: str = "", group: str = "") -> Entry:
    """Return the entry of a task or workflow.

    Parameters
    ----------
    function
        The task, or the function that wires tasks.
    name, group
        As the catalog has it; by default its own, and its module's.

    Raises
    ------
    DefinitionError
        The signature of a task is wrong.
    """
    is_task = isinstance(function, Task)
    body = function.body if isinstance(function, Task) else function
    told = read_docstring(body)
    outputs = task_outputs(function) if isinstance(function, Task) else workflow_outputs(function, told.returns)
    home = f"{body.__module__}:{getattr(body, '__qualname__', body.__name__)}"
    return Entry(
        name or body.__name__,
        "task" if is_task else "workflow",
        group or body.__module__.rpartition(".")[2],
        told.summary,
        told.text,
        tuple(_params(body, skip=1 if isinstance(function, Task) and not function.wires else 0)),
        tuple(outputs),
        home,
        function,
    )


def _params(body: Callable[..., Any], skip: int) -> list[Param]:
    hints, told = annotations_of(body), explained(body, getattr(body, "__globals__", {}))
    given = list(inspect.signature(body).parameters.values())[skip:]
    named = [each for each in given if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    return [
        Param(each.name, kind_of(hints.get(each.name, REQUIRED), each.default), each.default, told.get(each.name, ""))
        for each in named
    ]


def _tools(task: Task) -> typing.Iterator[Tool]:
    choices = _choices(task) if callable(task.tools) else [{}]
    found: dict[str, list[dict[str, Any]]] = {}
    for chosen in choices:
        for name in task.identified(_defaults(task) | chosen):
            found.setdefault(name, []).append(chosen)
    for name, when in found.items():
        there, how = _look(name)
        yield Tool(name, there, how, {} if len(when) == len(choices) else _merged(when))


def _defaults(task: Task) -> dict[str, Any]:
    return {each.name: None if each.default is REQUIRED else each.default for each in task.signature.plains}


def _choices(task: Task) -> list[dict[str, Any]]:
    """Values of the parameters that choose the tools, where there is a fixed number of them."""
    hints = annotations_of(task.body)
    asked = [name for name in inspect.signature(typing.cast("Any", task.tools)).parameters if name in hints]
    fixed = {name: typing.get_args(hints[name]) for name in asked if typing.get_origin(hints[name]) is typing.Literal}
    fixed |= {name: (True, False) for name in asked if hints[name] is bool}
    products = itertools.islice(itertools.product(*fixed.values()), MOST_CHOICES)
    return [dict(zip(fixed, values, strict=True)) for values in products]


def _merged(when: list[dict[str, Any]]) -> dict[str, Any]:
    """Each parameter with all its values."""
    names = dict.fromkeys(name for each in when for name in each)
    found = {name: list(dict.fromkeys(each[name] for each in when)) for name in names}
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _look(name: str) -> tuple[bool, str]:
    """Whether a tool is here, and how to get it."""
    from stargazer.errors import ToolMissing
    from stargazer.tools.identity import EMBEDDED_TOOLS, HOW_TO_GET, USUAL_WAY, library_version, locate_tool

    if ":" in name:
        return _look_at_environment(name)
    embedded = name in EMBEDDED_TOOLS
    how = f"pip install {name}" if embedded else HOW_TO_GET.get(name, USUAL_WAY.format(name))
    try:
        library_version(name) if embedded else locate_tool(name)
    except ToolMissing:
        return False, how
    return True, how


def _look_at_environment(name: str) -> tuple[bool, str]:
    """Whether an environment of tools can be used here, and what to do where it cannot."""
    from stargazer.errors import StargazerError
    from stargazer.tools.enclosure import unready

    try:
        why = unready([name])
    except StargazerError as error:
        return False, str(error)
    return not why, why.get(name, "stargazer tools build")
