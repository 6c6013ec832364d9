"""What a reviewer would say of a task: docstring, types, names, needs, and whether it has a test."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stargazer.notebook.promotion.reach import Reach

__all__ = ["Remark", "find_tests", "review"]

MODULES_OF_NOTEBOOKS = ("marimo", "IPython", "matplotlib.pyplot")
LONG = 60
"""Lines of a body above which it does more than one thing."""


class Remark(NamedTuple):
    """Something that a reviewer would want changed.

    Parameters
    ----------
    line
        In the notebook's file.
    rule
        A word for it: ``docstring``, ``types``, ``names``, ``needs``, ``tools``, ``size``, ``imports``, ``test``.
    message
        What, and what to do.
    """

    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.rule}: {self.message}"


def review(reach: Reach, tests: list[Path]) -> list[Remark]:
    """Say what a reviewer would of a task, and of what comes along with it.

    Parameters
    ----------
    reach
        The task.
    tests
        Files that test it.
    """
    statement = next(each for each in reach.statements if reach.task in each.names)
    node = reach.definition
    offset = statement.cell.line - 1
    found = [
        *_docstring(node), *_types(node), *_names(node), *_needs(node), *_size(node), *_imports(reach), *_prints(node)
    ]  # fmt: skip
    remarks = [Remark(offset + line, rule, message) for line, rule, message in found]
    for other in reach.statements:
        if isinstance(other.node, (ast.FunctionDef, ast.ClassDef)) and other is not statement:
            name = other.node.name
            if ast.get_docstring(other.node) is None and not name.startswith("_"):
                remarks.append(Remark(other.line, "docstring", f"{name} has none: say what it does in a sentence"))
    if not tests:
        told = f"no test names {reach.task}: --tests writes one to begin with"
        remarks.append(Remark(offset + node.lineno, "test", told))
    return sorted(set(remarks))


Found = tuple[int, str, str]


def _docstring(node: ast.FunctionDef) -> Iterator[Found]:
    text = ast.get_docstring(node)
    if text is None:
        yield node.lineno, "docstring", f"{node.name} has none: say what it does in a sentence, then its parameters"
        return
    if not text.partition("\n")[0].rstrip().endswith((".", "?", "!")):
        yield node.lineno, "docstring", "its first line is no sentence"
    silent = [arg.arg for arg in _arguments(node) if not re.search(rf"\b{re.escape(arg.arg)}\b", text)]
    if silent:
        yield node.lineno, "docstring", f"it does not say what {', '.join(silent)} stand{'s' * (len(silent) == 1)} for"


def _arguments(node: ast.FunctionDef) -> list[ast.arg]:
    return [*node.args.args[1:], *node.args.kwonlyargs]


def _types(node: ast.FunctionDef) -> Iterator[Found]:
    for argument in _arguments(node):
        if argument.annotation is None:
            yield argument.lineno, "types", f"{argument.arg} has no type"
        elif ast.unparse(argument.annotation).rpartition(".")[2] in ("Any", "object"):
            yield argument.lineno, "types", f"{argument.arg} may be anything: name its type"
        elif ast.unparse(argument.annotation) in ("sg.Asset", "Asset"):
            yield argument.lineno, "types", f"{argument.arg} is any Asset: a type of its own tells what fits"
    if node.returns is None:
        yield node.lineno, "types", "it does not say what it returns"


def _names(node: ast.FunctionDef) -> Iterator[Found]:
    short = [arg.arg for arg in _arguments(node) if len(arg.arg) < 2]
    if short:
        yield node.lineno, "names", f"{', '.join(short)} tell{'s' * (len(short) == 1)} nothing: spell it out"
    if node.name != node.name.lower():
        yield node.lineno, "names", f"{node.name} is written with capitals: {_snake(node.name)}"
    if re.search(r"(^|_)(test|tmp|foo|new|my|final|v?\d+)$", node.name):
        yield node.lineno, "names", f"{node.name} is a sketch's name: say what it makes of what"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _options(node: ast.FunctionDef) -> dict[str, ast.expr]:
    calls = [each for each in node.decorator_list if isinstance(each, ast.Call)]
    return {each.arg: each.value for call in calls for each in call.keywords if each.arg}


def _commands(node: ast.FunctionDef) -> dict[str, int]:
    """Programs that a body runs by ``work.run`` and ``work.pipe``, as far as they are written out."""
    found: dict[str, int] = {}
    for call in (each for each in ast.walk(node) if isinstance(each, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("run", "pipe", "stdout"):
            for argument in call.args:
                first = argument.elts[0] if isinstance(argument, (ast.List, ast.Tuple)) and argument.elts else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.setdefault(first.value, call.lineno)
    return found


def _needs(node: ast.FunctionDef) -> Iterator[Found]:
    options, commands = _options(node), _commands(node)
    declared: Any = options.get("tools")
    inside = ast.walk(declared) if declared is not None else ()
    named = {each.value for each in inside if isinstance(each, ast.Constant)}
    for command, line in commands.items():
        if command not in named and (declared is None or isinstance(declared, (ast.List, ast.Tuple))):
            yield line, "tools", f"it runs {command}, which is not in tools=[…]: its version is in no key"
    threaded = any(isinstance(each, ast.Attribute) and each.attr == "cpus" for each in ast.walk(node))
    if threaded and "cpus" not in options:
        yield node.lineno, "needs", "it reads work.cpus and declares no cpus="
    if commands and "memory" not in options:
        yield node.lineno, "needs", "it runs tools and declares no memory="


def _size(node: ast.FunctionDef) -> Iterator[Found]:
    length = (node.end_lineno or 0) - node.body[0].lineno
    if length > LONG:
        yield node.lineno, "size", f"its body has {length} lines: take what can be tested alone out of it"


def _prints(node: ast.FunctionDef) -> Iterator[Found]:
    for call in (each for each in ast.walk(node) if isinstance(each, ast.Call)):
        if isinstance(call.func, ast.Name) and call.func.id in ("print", "display"):
            yield call.lineno, "imports", f"{call.func.id}() goes to a log that few read: return it, or leave it out"


def _imports(reach: Reach) -> Iterator[Found]:
    statement = next(each for each in reach.statements if reach.task in each.names)
    for each, names in reach.imports:
        text = ast.unparse(each.node)
        for module in MODULES_OF_NOTEBOOKS:
            if re.search(rf"\b{re.escape(module)}\b", text):
                told = f"{', '.join(sorted(names))} is of {module}: a task shows nothing, it returns what is shown"
                yield each.line - statement.cell.line + 1, "imports", told


def find_tests(task: str, root: Path) -> list[Path]:
    """Files of tests below a project's folder that name a task.

    Parameters
    ----------
    task
        Its name.
    root
        The folder of the project; its ``tests`` and files ``test_*.py`` are looked at.
    """
    files = {*root.glob("test_*.py"), *(root / "tests").rglob("test_*.py")}
    named = re.compile(rf"(?<![A-Za-z0-9]){re.escape(task)}(?![A-Za-z0-9])")
    return sorted(file for file in files if named.search(file.read_text("utf-8", "replace")))
