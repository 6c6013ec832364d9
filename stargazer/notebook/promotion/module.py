"""The module that a task moves to: where it is, how it is imported, and its text."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stargazer.errors import NotebookError
from stargazer.fingerprint.parsing import lines_of
from stargazer.notebook.plaintext import read_plain

if TYPE_CHECKING:
    import os

    from stargazer.notebook.promotion.reach import Reach, Statement

__all__ = ["Place", "module_text", "place_of"]

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
PROJECT = ("pyproject.toml", "setup.py", "setup.cfg")


class Place(NamedTuple):
    """A file that is a module.

    Parameters
    ----------
    path
        The file, absolute.
    module
        Its name, as an import has it.
    root
        The folder that Python searches for it.
    """

    path: Path
    module: str
    root: Path


def place_of(path: str | os.PathLike[str], notebook: Path) -> Place:
    """Find out how a file is imported from a notebook.

    Parameters
    ----------
    path
        The file; it need not be there.
    notebook
        The notebook that will import it.

    Raises
    ------
    NotebookError
        It is no module, or the notebook cannot import it.
    """
    file = Path(path).absolute()
    if file.is_dir() or not file.suffix:
        raise NotebookError(f"--to {path}: name a file that ends in .py, such as {Path(path) / 'tasks.py'}")
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise NotebookError(f"--to {path}: a module's file is a Python name and ends in .py")
    if file == notebook.absolute():
        raise NotebookError(f"--to {path} is the notebook itself")
    root = _root(file, notebook.absolute().parent)
    parts = file.relative_to(root).with_suffix("").parts
    if wrong := [part for part in parts if not part.isidentifier()]:
        raise NotebookError(f"--to {path}: no import can name the folder {wrong[0]}")
    return Place(file, ".".join(parts[:-1] if parts[-1] == "__init__" else parts), root)


def _root(file: Path, beside: Path) -> Path:
    """The folder above the topmost package; it must be one that Python searches when the notebook runs."""
    top = file.parent
    while (top / "__init__.py").is_file():
        top = top.parent
    if top == file.parent:  # not in a package that says so: what is searched, nearest first
        found = [each for each in (file.parent, *file.parents) if _is_searched(each, beside)]
        top = found[0] if found else top
    if not _is_searched(top, beside):
        raise NotebookError(
            f"{file} cannot be imported by a notebook in {beside}: put it beside the notebook, or into a package that "
            f"is installed (`pip install -e {_project(file) or top}`)"
        )
    return top


def _is_searched(folder: Path, beside: Path) -> bool:
    """Whether Python finds modules of a folder: the notebook's own, or one of those of this environment."""
    searched = {Path(each).absolute() for each in sys.path if each}
    return folder == beside or folder in searched


def _project(file: Path) -> Path | None:
    return next((each for each in file.parents if any((each / name).is_file() for name in PROJECT)), None)


def module_text(reach: Reach, place: Place, notebook: Path) -> str:
    """Return the text of a module with what a task reaches; a file that is there already gets what it lacks.

    Raises
    ------
    NotebookError
        The file has something else under one of the names.
    """
    text = read_plain(place.path) if place.path.is_file() else ""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise NotebookError(f"{place.path}, line {error.lineno}: it is not Python: {error.msg}") from None
    there = _present(tree)
    wrong = [
        f"{place.path} has another {name}: rename one of them, or promote to another file"
        for statement in reach.statements
        for name in sorted(statement.names)
        if name in there and there[name] != _plain(statement)
    ]
    imports, clashes = _imports(reach, place, there)
    if wrong or clashes:
        raise NotebookError("\n".join([*wrong, *clashes]))
    body = [each for each in reach.statements if not each.names <= there.keys()]
    if not text.strip():
        head = f'"""{_title(reach, notebook)}"""\n'
        return head + ("\n" if imports else "") + _grouped(imports) + _bodies(body)
    return _with_imports(text, tree, imports).rstrip("\n") + "\n" + _bodies(body)


def _title(reach: Reach, notebook: Path) -> str:
    first = (ast.get_docstring(reach.definition) or "").partition("\n")[0].strip()
    return first or f"The task {reach.task}, first written in the notebook {notebook.stem}."


def _plain(statement: Statement) -> str:
    """What a statement says, without layout; of marimo's cells, without its decorator."""
    return ast.unparse(ast.parse(statement.text))


def _present(tree: ast.Module) -> dict[str, str]:
    """Names that a module binds, and how."""
    from stargazer.notebook.code import statement_names

    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(a.asname or a.name).partition(".")[0]: _import_text(node, a) for a in node.names}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = ast.unparse(node)
        else:
            found |= dict.fromkeys(statement_names(node), ast.unparse(node))
    return found


def _import_text(node: ast.stmt, alias: ast.alias) -> str:
    if isinstance(node, ast.ImportFrom):
        return ast.unparse(ast.ImportFrom(node.module, [alias], node.level))
    return ast.unparse(ast.Import([alias]))


def _imports(reach: Reach, place: Place, there: dict[str, str]) -> tuple[list[str], list[str]]:
    """Imports that the module lacks, and what is wrong with them."""
    found, wrong = dict[str, None](), list[str]()
    for statement, names in reach.imports:
        node = statement.node
        assert isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names:
            name = (alias.asname or alias.name).partition(".")[0]
            if name not in names or getattr(node, "module", None) == place.module:
                continue
            text = _import_text(node, alias)
            if there.get(name, text) != text:
                wrong.append(f"{place.path} means another {name} than line {statement.line}: {there[name]}")
            elif name not in there:
                wrong += _out_of_reach(statement, node, alias, place)
                found[text] = None
    return list(found), wrong


def _out_of_reach(statement: Statement, node: ast.stmt, alias: ast.alias, place: Place) -> list[str]:
    """A module that only the notebook finds, as it lies beside it."""
    module = (getattr(node, "module", None) or alias.name).partition(".")[0]
    found = importlib.util.find_spec(module) if module not in sys.modules else sys.modules[module].__spec__
    here = [place.root / f"{module}.py", place.root / module]
    if found is not None or any(each.exists() for each in here):
        return []
    told = f"line {statement.line} imports {module}, which {place.path} does not find"
    return [f"{told}: put {module} into the package, or promote to a file beside it"]


def _group(text: str) -> int:
    module = text.split()[1].partition(".")[0]
    if module == "__future__":
        return 0
    return 1 if module in sys.stdlib_module_names else 2


def _grouped(imports: list[str]) -> str:
    """Imports as people order them: those of Python itself first; names of one module in one line."""
    by_module: dict[str, list[str]] = {}
    for text in imports:
        head, mid, names = text.partition(" import ")
        by_module.setdefault(head if mid else text, []).extend([names] if mid else [])
    lines = [f"{head} import {', '.join(sorted(names))}" if names else head for head, names in by_module.items()]
    lines.sort(key=lambda line: (_group(line), line.startswith("from "), line))
    groups = [[line for line in lines if _group(line) == number] for number in range(3)]
    return "\n\n".join("\n".join(group) for group in groups if group) + ("\n" if lines else "")


def _with_imports(text: str, tree: ast.Module, imports: list[str]) -> str:
    """Write imports after those that a module has, or after its docstring."""
    if not imports:
        return text
    tops = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    first = tree.body[0] if tree.body and ast.get_docstring(tree) is not None else None
    after = tops[-1] if tops else first
    at = (after.end_lineno or 0) if after is not None else 0
    lines = lines_of(text)
    gap = [] if tops else [""]
    return "\n".join([*lines[:at], *gap, *_grouped(imports).splitlines(), *gap, *lines[at:]])


def _bodies(statements: list[Statement]) -> str:
    """Definitions with two blank lines around them, constants one below the other."""
    text, before = "", ""
    for statement in statements:
        kind = "definition" if isinstance(statement.node, DEFINITIONS) else "constant"
        blank = 0 if kind == before == "constant" else 2 if before or kind == "definition" else 1
        text += "\n" * blank + statement.text.rstrip() + "\n"
        before = kind
    return text
