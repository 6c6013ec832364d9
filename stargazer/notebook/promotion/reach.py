"""What a task of a notebook reaches, statement by statement: what can come along into a module, and what cannot."""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from stargazer.errors import NotebookError
from stargazer.fingerprint.parsing import lines_of
from stargazer.notebook.code import split_cells
from stargazer.notebook.names import PRESENT, free_names, names_of
from stargazer.notebook.order import OF_KERNELS, ordered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.notebook.document import Cell, Document

__all__ = ["Reach", "Statement", "reach_of", "tasks_of"]

IMPORTS = (ast.Import, ast.ImportFrom)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
WRITTEN_OUT = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Tuple, ast.expr_context)


class Statement(NamedTuple):
    """A statement of a cell.

    Parameters
    ----------
    cell, number
        Where it stands.
    node
        Its syntax.
    names
        That it binds.
    """

    cell: Cell
    number: int
    node: ast.stmt
    names: frozenset[str]

    @property
    def line(self) -> int:
        """Its line in the notebook's file."""
        return self.cell.line + self.node.lineno - 1

    @property
    def rows(self) -> tuple[int, int]:
        """First and last line in the cell, from 1, with the decorators and comments that stand right above it."""
        first = min([self.node.lineno, *(each.lineno for each in getattr(self.node, "decorator_list", ()))])
        lines = lines_of(self.cell.source)
        while first > 1 and _is_comment_of(lines[first - 2]):
            first -= 1
        return first, self.node.end_lineno or first

    @property
    def text(self) -> str:
        """Its text, with its comments."""
        first, last = self.rows
        return "\n".join(lines_of(self.cell.source)[first - 1 : last])

    @property
    def shares_a_line(self) -> bool:
        """Whether another statement stands on one of its lines."""
        first, last = self.node.lineno, self.node.end_lineno or 0
        others = (node for node in self.cell.tree.body if node is not self.node)
        return any(node.lineno <= last and (node.end_lineno or 0) >= first for node in others)


def _is_comment_of(line: str) -> bool:
    """Whether a line is a comment of what stands below it, and not of the cell as a whole."""
    return line.startswith("#") and not line.removeprefix("#").lstrip().startswith(("@", "%%"))


@dataclass(frozen=True)
class Reach:
    """What a task needs to stand in a module.

    Parameters
    ----------
    task
        Its name.
    statements
        Definitions and constants, in the order in which they can run; the task among them.
    imports
        Statements of which it needs some names, with these.
    """

    task: str
    statements: list[Statement] = field(default_factory=list)
    imports: list[tuple[Statement, frozenset[str]]] = field(default_factory=list)

    @property
    def names(self) -> frozenset[str]:
        """Names that the module will have by itself."""
        return frozenset().union(*(each.names for each in self.statements))

    @property
    def definition(self) -> ast.FunctionDef:
        """The task's function."""
        return next(n.node for n in self.statements if isinstance(n.node, ast.FunctionDef) and n.node.name == self.task)


class _Notebook:
    """The statements of a notebook by the names that they bind."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.order = ordered(document)
        self.code = split_cells(self.order).names
        self.all: list[Statement] = []
        for cell in self.order:
            for number, node in enumerate(cell.tree.body):
                self.all.append(Statement(cell, number, node, _bound(node)))
        self.stars = [each for each in self.all if isinstance(each.node, ast.ImportFrom) and "*" in each.names]

    def makers(self, name: str, asked_by: Cell) -> list[Statement]:
        """Statements that bind a name; in marimo, one with an underscore is its cell's own."""
        own = name.startswith("_") and not self.document.sequential
        return [each for each in self.all if name in each.names and (each.cell is asked_by or not own)]

    def changes(self, name: str, maker: Statement) -> Statement | None:
        """A statement that changes what a name means: ``NAME[…] = …`` or ``NAME.append(…)``."""
        return next((each for each in self.all if each is not maker and name in set(_changed(each.node))), None)


def _bound(node: ast.stmt) -> frozenset[str]:
    if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
        return frozenset({"*"})
    return names_of(ast.unparse(node), private=False).defs


def _changed(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, DEFINITIONS):
        return
    for each in ast.walk(node):
        target = each.func if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) else None
        if isinstance(each, ast.Subscript) and not isinstance(each.ctx, ast.Load):
            target = each  # type: ignore[assignment]
        if target is not None and isinstance(target.value, ast.Name):
            yield target.value.id


def tasks_of(document: Document) -> list[Statement]:
    """Definitions of tasks in a notebook, in the order in which they stand."""
    book = _Notebook(document)
    return [each for each in book.all if is_task(each.node)]


def is_task(node: ast.stmt) -> bool:
    """Whether a statement is a function under ``@sg.task``, ``@task`` or ``@sg.dynamic``."""
    if not isinstance(node, ast.FunctionDef):
        return False
    return any(_decorator(each) in ("task", "dynamic") for each in node.decorator_list)


def _decorator(node: ast.expr) -> str:
    called = node.func if isinstance(node, ast.Call) else node
    return ast.unparse(called).rpartition(".")[2]


def reach_of(document: Document, task: str) -> Reach:
    """Find what a task needs to stand in a module.

    Parameters
    ----------
    document
        The notebook.
    task
        The task's name.

    Raises
    ------
    NotebookError
        There is no such task, or it reads what does not come along; names all of it, with what to do.
    """
    book = _Notebook(document)
    found = [each for each in book.all if task in each.names]
    tasks = [each for each in found if is_task(each.node)]
    if not tasks:
        known = ", ".join(sorted(name for each in book.all if is_task(each.node) for name in each.names)) or "none"
        kind = "is no task (a function under @sg.task)" if found else "is not there"
        raise NotebookError(f"{document.path}: {task} {kind}; its tasks: {known}")
    if len(found) > 1:
        raise NotebookError(f"{document.path}: {task} is bound in lines {_lines(found)}: rename one of them")
    return _Search(book, task).go(tasks[0])


def _lines(found: list[Statement]) -> str:
    return " and ".join(str(each.line) for each in found)


class _Search:
    """Goes from a task to all that it names, and notes what is in the way."""

    def __init__(self, book: _Notebook, task: str) -> None:
        self.book, self.task = book, task
        self.wanted: dict[tuple[Cell, int], set[str]] = {}
        self.wrong: list[str] = []

    def go(self, start: Statement) -> Reach:
        todo = [start]
        self.wanted[start.cell, start.number] = {self.task}
        while todo:
            statement = todo.pop()
            for name in sorted(_read_by(statement.node) - statement.names):
                maker = self._maker(name, statement)
                if maker is None:
                    continue
                seen = self.wanted.setdefault((maker.cell, maker.number), set())
                if not seen and not isinstance(maker.node, IMPORTS):
                    todo.append(maker)
                seen.add(name)
        chosen = [each for each in self.book.all if (each.cell, each.number) in self.wanted]
        moved = [each for each in chosen if not isinstance(each.node, IMPORTS)]
        shared = [each for each in moved if each.shares_a_line]
        self.wrong += [f"line {each.line} has other statements beside it: give each a line" for each in shared]
        if self.wrong:
            head = f"{self.book.document.path}: {self.task} cannot be promoted:"
            raise NotebookError("\n".join([head, *dict.fromkeys(self.wrong)]))
        imports = [
            (each, frozenset(self.wanted[each.cell, each.number])) for each in chosen if isinstance(each.node, IMPORTS)
        ]
        return Reach(self.task, moved, imports)

    def _maker(self, name: str, reader: Statement) -> Statement | None:
        """The statement that comes along for a name; None where nothing does, which is noted if it is wrong."""
        who = f"{next(iter(sorted(reader.names)))} (line {reader.line})"
        found = self.book.makers(name, reader.cell)
        if not found:
            self.wrong += [f"{who} reads {name}, which {self._unknown(name)}"]
            return None
        if len({_meaning(each, name) for each in found}) > 1:
            self.wrong += [f"{who} reads {name}, which is bound in lines {_lines(found)}: rename one of them"]
            return None
        maker = found[0]
        if isinstance(maker.node, IMPORTS) or name in self.book.code:
            return maker
        if reason := self._cannot(name, maker):
            self.wrong += [f"{who} reads {name}, {reason}"]
            return None
        return maker

    def _unknown(self, name: str) -> str:
        if name in OF_KERNELS:
            return "only a kernel has: do without it in a task"
        if self.book.stars:
            return f"may come from `import *` in line {self.book.stars[0].line}: import it by its name"
        return "no cell defines"

    def _cannot(self, name: str, maker: Statement) -> str:
        """Why a statement cannot come along, and what to do; empty where it can."""
        if isinstance(maker.node, DEFINITIONS):
            return ""  # what it reads is looked at for itself
        value = maker.node.value if isinstance(maker.node, (ast.Assign, ast.AnnAssign)) else None
        literal = value is not None and _is_literal(value)
        if literal and all(each.isupper() for each in maker.names):
            changed = self.book.changes(name, maker)
            return f"which line {changed.line} changes: pass it as a parameter" if changed else ""
        if literal:
            return f"a value of line {maker.line}: make it a parameter of the task, or a constant {name.upper()}"
        return f"which a cell computes (line {maker.line}): pass it to the task as a parameter"


def _meaning(statement: Statement, name: str) -> str:
    """What a statement makes of a name; one import may stand in several cells."""
    node = statement.node
    if isinstance(node, IMPORTS):
        module = getattr(node, "module", "")
        return f"{module} {[(a.name, a.asname) for a in node.names if (a.asname or a.name).partition('.')[0] == name]}"
    return f"{id(node)}"


def _is_literal(value: ast.expr) -> bool:
    """Whether a value is written out: numbers and texts, also as a sum, and containers of them."""
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError):
        return all(isinstance(each, WRITTEN_OUT) for each in ast.walk(value))
    return True


def _read_by(node: ast.stmt) -> frozenset[str]:
    """Names that a statement reads, also in annotations that are written as texts."""
    found = set(free_names(node))
    for each in ast.walk(node):
        notes = [each.annotation] if isinstance(each, (ast.arg, ast.AnnAssign)) else []
        notes += [each.returns] if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) else []
        for note in notes:
            if isinstance(note, ast.Constant) and isinstance(note.value, str):
                found |= _in_text(note.value)
    return frozenset(found) - PRESENT


def _in_text(text: str) -> set[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:
        return {token.string for token in tokens if token.type == tokenize.NAME}
    return {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
