"""Notebooks as files: marimo, percent scripts, Jupyter and MyST, read from their text; nothing of them runs."""

from __future__ import annotations

import ast
import functools
import io
import itertools
import json
import re
import tokenize
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from stargazer.errors import NotebookError
from stargazer.fingerprint.parsing import lines_of, parse
from stargazer.notebook.annotations import Annotations, Problem, read_annotations
from stargazer.notebook.header import find_block
from stargazer.notebook.hiding import with_hidden
from stargazer.notebook.magics import NO_PYTHON, commands, without_magics
from stargazer.notebook.names import Names, names_of, tree_of
from stargazer.notebook.plaintext import read_plain
from stargazer.notebook.questions import Question, read_question

__all__ = ["Cell", "Document", "Format", "Kind", "detect_format", "read_document", "read_text"]

Format = Literal["marimo", "percent", "ipynb", "myst"]
Kind = Literal["code", "markdown"]

PERCENT = re.compile(r"^# ?%%(?P<rest>.*)$")
TITLE = re.compile(r"(?P<title>(?:.*?\S)??)\s*+(?P<kind>\[\w+\])?\s*+(?P<options>(?:\{|[\w-]+\s*=).*)?$")
LONGEST_MARK = 4096
"""Characters of the line that begins a cell, beyond which it is all title: to read one takes the square of them."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell of a notebook.

    Parameters
    ----------
    name
        As the file, or ``# @name``, has it; else empty.
    source
        Its text, without what the file's format needs around it.
    kind
        Code, or text for people.
    line
        At which line of the file the source begins, from 1; of its own, for a Jupyter notebook.
    options
        Of its format: ``disabled``, ``hide_code``; tags and metadata.
    sequential
        Whether cells run one after the other, so that names may be bound again.
    role
        In marimo files: ``setup``, ``function`` or ``class``; empty for other cells.
    id
        What the file calls it beside its name; of Jupyter notebooks.
    limit
        Seconds that it may take where it does not say so itself.
    hides
        Names of Python's own that another cell binds.
    """

    name: str
    source: str
    kind: Kind = "code"
    line: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    sequential: bool = False
    role: str = ""
    id: str = ""
    limit: float | None = None
    hides: frozenset[str] = frozenset()

    @functools.cached_property
    def tree(self) -> ast.Module:
        """The syntax tree; empty for text, and for what is not Python."""
        try:
            return tree_of(self.source) if self.kind == "code" else ast.Module([], [])
        except NO_PYTHON:
            return ast.Module([], [])

    @functools.cached_property
    def names(self) -> Names:
        """The names at its border."""
        if self.kind != "code" or self.error is not None:
            return Names(frozenset(), frozenset())
        if isinstance(self.question, Question):
            return Names(frozenset({self.question.name}), self.question.refs)
        return names_of(self.source, private=not self.sequential, hidden=self.hides)

    @property
    def defs(self) -> frozenset[str]:
        """Names that it binds for other cells."""
        return self.names.defs

    @property
    def refs(self) -> frozenset[str]:
        """Names that it takes from other cells."""
        return self.names.refs

    @functools.cached_property
    def _read(self) -> tuple[Annotations, list[Problem]]:
        notes, problems = read_annotations(self.source if self.kind == "code" else "", self.line)
        return notes._replace(timeout=notes.timeout or self.limit), problems

    @property
    def notes(self) -> Annotations:
        """What its leading comments ask for."""
        return self._read[0]

    @property
    def problems(self) -> list[Problem]:
        """Annotations that are not understood, and what is not Python."""
        return [*self._read[1], *([self.error] if self.error else [])]

    @functools.cached_property
    def question(self) -> Question | Problem | None:
        """What it asks a model, or what is wrong with that; None of other cells."""
        return None if self.notes.prompt is None else read_question(self.tree, self.notes, self.line, self.hides)

    @functools.cached_property
    def error(self) -> Problem | None:
        """What is not Python in it, or no question."""
        return self._wrong_python or (self.question if isinstance(self.question, Problem) else None)

    @functools.cached_property
    def _wrong_python(self) -> Problem | None:
        if self.kind != "code":
            return None
        try:
            tree_of(self.source)
        except NO_PYTHON as error:
            if commands(self.source):
                return Problem(self.line, "a command of IPython stands in it, which only a kernel runs")
            line = getattr(error, "lineno", None) or 1
            return Problem(self.line + line - 1, f"it is not Python: {getattr(error, 'msg', None) or error}")
        return None

    @property
    def disabled(self) -> bool:
        """Whether the file says that it does not run."""
        return bool(self.options.get("disabled"))


@dataclass(frozen=True, eq=False)
class Document:
    """A notebook as a file.

    Parameters
    ----------
    path
        Where it is.
    format
        One of the four.
    header
        What stands before the first cell: a script's metadata, a docstring, front matter.
    cells
        In the order of the file.
    text
        The whole file.
    options
        Of the app, or the notebook's metadata.
    """

    path: Path
    format: Format
    header: str
    cells: tuple[Cell, ...]
    text: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def language(self) -> str:
        """What its cells are written in, as its metadata say; Python where they say nothing."""
        for name, member in (("kernelspec", "language"), ("language_info", "name")):
            found = self.options.get(name)
            if isinstance(found, dict) and isinstance(found.get(member), str) and found[member]:
                return str(found[member])
        return "python"

    @property
    def sequential(self) -> bool:
        """Whether cells run in the order in which they stand."""
        return self.format != "marimo"

    @property
    def problems(self) -> list[Problem]:
        """All that is wrong in it."""
        return [problem for cell in self.cells for problem in cell.problems]

    @functools.cached_property
    def script(self) -> dict[str, Any]:
        """The metadata of the script (PEP 723), as a dictionary; empty where it has none."""
        import tomllib

        found = find_block(self.header)
        if found is None:
            return {}
        try:
            return tomllib.loads("\n".join(found.lines))
        except (ValueError, RecursionError) as error:  # also of numbers and lists without end
            raise NotebookError(f"{self.path}: the header of the script is not TOML: {error}") from None


def read_document(path: str | Path, format: Format | None = None) -> Document:
    """Read a notebook.

    Parameters
    ----------
    path
        A file that ends in ``.py``, ``.ipynb`` or ``.md``.
    format
        Found out from the text, if it is not given.

    Raises
    ------
    NotebookError
        It cannot be read, or is no notebook.
    """
    place = Path(path)
    try:
        text = read_plain(place)
    except (OSError, UnicodeDecodeError) as error:
        raise NotebookError(f"{place} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return read_text(text, place, format)


def read_text(text: str, path: str | Path, format: Format | None = None) -> Document:
    """Read a notebook whose text is there already; see `read_document`."""
    place = Path(path)
    chosen = format or detect_format(text, place)
    try:
        found = {"marimo": _marimo, "percent": _percent, "ipynb": _ipynb, "myst": _myst}[chosen](text, place)
        return replace(found, cells=with_hidden(found.cells, sequential=found.sequential))
    except RecursionError:
        raise NotebookError(f"{place} is nested too deep to be read") from None


def detect_format(text: str, path: Path) -> Format:
    """Find out a notebook's format: marimo's files import marimo and make an app before any ``# %%``.

    Raises
    ------
    NotebookError
        No notebook ends so.
    """
    if path.suffix == ".ipynb":
        return "ipynb"
    if path.suffix in (".md", ".myst"):
        return "myst"
    if path.suffix != ".py":
        raise NotebookError(f"{path} is no notebook: these are .py, .ipynb and .md files")
    first = next((m.start() for m in re.finditer(r"(?m)^# ?%%", text)), len(text))
    head = text[:first]
    is_marimo = re.search(r"(?m)^import marimo\b", head) and re.search(r"(?m)^\w+\s*=\s*marimo\.App\(", head)
    return "marimo" if is_marimo else "percent"


# marimo: each cell is a decorated function, or the block under ``with app.setup``.


def _marimo(text: str, path: Path) -> Document:
    try:
        tree = parse(text)
    except NO_PYTHON as error:
        where = f"{path}, line {getattr(error, 'lineno', None) or 1}"
        raise NotebookError(f"{where}: it is not Python: {getattr(error, 'msg', None) or error}") from None
    lines = lines_of(text, ends=True)
    app, options, cells, begins = "", {}, list[Cell](), len(lines)
    for node in tree.body:
        if _is_app(node):
            app, options, begins = node.targets[0].id, _keywords(node.value), node.lineno - 1
        elif app and (cell := _marimo_cell(node, app, lines)) is not None:
            cells.append(cell)
    header = "".join(line for line in lines[:begins] if not line.startswith("import marimo"))
    return Document(path, "marimo", header, tuple(cells), text, options)


def _is_app(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) else None
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "marimo.App"


def _keywords(call: ast.expr) -> dict[str, Any]:
    """Constants among the keywords of a call."""
    given = call.keywords if isinstance(call, ast.Call) else []
    return {each.arg: each.value.value for each in given if each.arg and isinstance(each.value, ast.Constant)}


def _marimo_cell(node: ast.stmt, app: str, lines: list[str]) -> Cell | None:
    if isinstance(node, ast.With) and ast.unparse(node.items[0].context_expr).partition("(")[0] == f"{app}.setup":
        start, source = _block(lines, node, node.body, None)
        return Cell("setup", source, line=start, options=_keywords(node.items[0].context_expr), role="setup")
    if isinstance(node, ast.Expr) and ast.unparse(node.value).startswith(f"{app}._unparsable_cell("):
        return _unparsable(node)
    for decorator in getattr(node, "decorator_list", ()):
        kind, _, _ = ast.unparse(decorator).partition("(")
        if kind == f"{app}.cell":
            return _function_cell(node, decorator, lines)
        if kind in (f"{app}.function", f"{app}.class_definition"):
            return _definition(node, decorator, lines)
    return None


def _unparsable(node: ast.Expr) -> Cell:
    call = node.value
    assert isinstance(call, ast.Call)
    source = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else ""
    options = _keywords(call)
    return Cell(str(options.pop("name", "")).strip("_*"), str(source).strip("\n"), line=node.lineno, options=options)


def _function_cell(node: Any, decorator: ast.expr, lines: list[str]) -> Cell:
    last = node.body[-1]
    ends = last if isinstance(last, ast.Return) else None
    start, source = _block(lines, node, node.body, ends)
    name, options = "" if node.name == "_" else node.name, _keywords(decorator)
    markdown = _markdown(source)
    if markdown is not None:
        return Cell(name, markdown, "markdown", start, {**options, "source": source})
    named = read_annotations(source)[0].name
    return Cell(named or name, source, line=start, options=options)


def _markdown(source: str) -> str | None:
    """Text of a cell that does nothing but show a text that is written out in it."""
    try:
        body = parse(source).body
    except NO_PYTHON:
        return None
    call = body[0].value if len(body) == 1 and isinstance(body[0], ast.Expr) else None
    if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "mo.md" and len(call.args) == 1):
        return None
    text = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
    import textwrap

    return textwrap.dedent(text).strip() if isinstance(text, str) and not call.keywords else None


def _definition(node: Any, decorator: ast.expr, lines: list[str]) -> Cell:
    kept = [each for each in node.decorator_list if each is not decorator]
    first = min([node.lineno, *(each.lineno for each in kept)])
    if decorator.lineno < first:  # comments may stand below it
        first = (decorator.end_lineno or decorator.lineno) + 1
    role = "class" if isinstance(node, ast.ClassDef) else "function"
    source = "".join(lines[first - 1 : node.end_lineno]).strip("\n")
    return Cell(node.name, source, line=first, options=_keywords(decorator), role=role)


def _block(lines: list[str], node: Any, body: list[ast.stmt], ends: ast.Return | None) -> tuple[int, str]:
    """First line, and text with its comments, of what stands below a colon, without the ``return`` at its end."""
    start = _after_colon(lines, node, body)
    stop = ends.lineno - 1 if ends is not None else node.end_lineno
    text = _dedented("".join(lines[start:stop]))
    blank = len(text) - len(text.lstrip("\n"))
    if text.strip() == "pass":
        return start + 1, ""
    return start + 1 + blank, text.strip("\n")


def _after_colon(lines: list[str], node: Any, body: list[ast.stmt]) -> int:
    """Number of lines until the one that ends in the block's colon."""
    text = "".join(lines[node.lineno - 1 : body[0].end_lineno])
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
            if token.string == ":" and depth == 0:
                return int(node.lineno) - 1 + token.start[0]
    return int(node.lineno)


def _dedented(text: str) -> str:
    """Take four columns off every line, as marimo does: not off a string that stands further left than the code."""
    rows = lines_of(text, ends=True)
    kept = {n for block in _strings(text, "if 1:\n") if _stands_left([rows[n] for n in block]) for n in block}
    return "".join(
        row if n in kept else row[4:] if row[:4].isspace() and len(row) > 4 else row.lstrip(" \t")
        for n, row in enumerate(rows)
    )


def _stands_left(rows: list[str]) -> bool:
    return any(row.strip() and len(row) - len(row.lstrip()) < 4 for row in rows)


def _strings(text: str, before: str = "\n", whole: bool = False) -> list[range]:
    """Rows, from 0, that begin in a string over several lines; none of a text that must be, and is not, whole."""
    found, began = list[range](), list[int]()
    try:
        for token in tokenize.generate_tokens(io.StringIO(before + text).readline):
            kind = tokenize.tok_name[token.type]
            if kind == "STRING":
                found.append(range(token.start[0] - 1, token.end[0] - 1))
            elif kind in ("FSTRING_START", "TSTRING_START"):
                began.append(token.start[0])
            elif kind in ("FSTRING_END", "TSTRING_END"):
                found.append(range(began.pop() - 1, token.end[0] - 1))
    except (tokenize.TokenError, SyntaxError):
        return [] if whole else found
    return found


# Percent scripts: ``# %%`` begins a cell.


def _percent(text: str, path: Path) -> Document:
    lines = lines_of(text)
    marks = _marks(text, lines)
    first = marks[0][0] - 1 if marks else 0
    header, rest = _front(lines[:first] if marks else lines)
    cells = []
    if any(line.strip() for line in rest):
        cells.append(_cell("", "\n".join(rest).strip("\n"), "code", len(lines[:first] or lines) - len(rest) + 1, {}))
    ends = [number - 1 for number, _ in marks[1:]] + [len(lines)]
    for (number, found), end in zip(marks, ends if marks else [], strict=True):
        body = lines[number:end]
        blank = next((n for n, line in enumerate(body) if line.strip()), 0)
        cells.append(_percent_cell(found["rest"].strip(), "\n".join(body).strip("\n"), number + 1 + blank))
    return Document(path, "percent", "\n".join(header), tuple(cells), text)


def _marks(text: str, lines: list[str]) -> list[tuple[int, re.Match[str]]]:
    """Numbers of the lines, from 1, that begin a cell; a mark within a string is part of that string."""
    found = [(number, mark) for number, line in enumerate(lines, 1) if (mark := PERCENT.match(line))]
    ends = [number for number, _ in found] + [len(lines)]
    between = ["\n".join(lines[start:end]) for start, end in itertools.pairwise([0, *ends])]
    if all(each.count(quotes) % 2 == 0 for each in between for quotes in ('"""', "'''")):
        return found
    within = {row for rows in _strings(text, whole=True) for row in rows}
    return [(number, mark) for number, mark in found if number - 1 not in within]


def _front(lines: list[str]) -> tuple[list[str], list[str]]:
    """Comments and blank lines at the top of a script, and the code after them."""
    count = next((n for n, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    return lines[:count], lines[count:]


def _percent_cell(rest: str, source: str, line: int) -> Cell:
    found = TITLE.match(rest) if len(rest) <= LONGEST_MARK else None
    if found is None:
        return _cell(rest.strip(), source, "code", line, {})
    options = _options(found["options"] or "")
    kind = (found["kind"] or "[code]").strip("[]")
    if kind in ("markdown", "md", "raw"):
        return _cell(found["title"].strip(), _uncommented(source), "markdown", line, options)
    return _cell(found["title"].strip(), source, "code", line, options)


def _options(text: str) -> dict[str, Any]:
    """``tags=["parameters"]`` and the like, or the same as JSON."""
    if text.startswith("{"):
        try:
            return dict(json.loads(text))
        except (ValueError, RecursionError):
            return {}
    found = re.findall(r"(\w+)\s*=\s*(\[[^\]]*\]|\{[^}]*\}|\"[^\"]*\"|\S+)", text)
    return {name: _json(value) for name, value in found}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _uncommented(source: str) -> str:
    if source.lstrip().startswith(('"""', "'''")):
        return source.strip().strip("\"'").strip()
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines_of(source))


def _cell(name: str, source: str, kind: Kind, line: int, options: dict[str, Any], identifier: str = "") -> Cell:
    """A cell of a notebook whose cells run one after the other."""
    if kind == "code":
        source = without_magics(source)
        name = read_annotations(source)[0].name or name
    return Cell(name, source, kind, line, options, sequential=True, id=identifier)


# Jupyter and MyST.


def _of_today(found: Any) -> Any:
    """A notebook of Jupyter; those that were written before 2015 have their cells in worksheets."""
    if not isinstance(found, dict) or "cells" in found or not found.get("worksheets"):
        return found
    import nbformat

    return nbformat.convert(nbformat.from_dict(found), 4)


def _ipynb(text: str, path: Path) -> Document:
    try:
        found = _of_today(json.loads(text))
        cells = [_ipynb_cell(cell) for cell in found["cells"]]
        metadata = dict(found.get("metadata", {}))
    except ValueError as error:
        raise NotebookError(f"{path} is no Jupyter notebook, as it is no JSON ({error})") from None
    except (KeyError, TypeError, AttributeError):
        raise NotebookError(f"{path} is no Jupyter notebook, as it has no cells") from None
    return Document(path, "ipynb", "", tuple(cells), text, metadata)


def _ipynb_cell(cell: dict[str, Any]) -> Cell:
    source = cell.get("source", "")
    text = (source if isinstance(source, str) else "".join(source)).replace("\r\n", "\n").replace("\r", "\n")
    metadata = dict(cell.get("metadata", {}))
    name = str(metadata.get("name") or metadata.get("title") or "")
    kind: Kind = "code" if cell["cell_type"] == "code" else "markdown"
    return _cell(name, text, kind, 1, metadata, str(cell.get("id", "")))


FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,})\s*\{code(?:-cell)?\}")
PLUS = re.compile(r"^\+\+\+(?P<rest>.*)$")


def _myst(text: str, path: Path) -> Document:
    lines = lines_of(text)
    header = _front_matter(lines)
    cells: list[Cell] = []
    prose: list[str] = []
    at = start = len(header)

    def end_of_prose(stop: int) -> None:
        if written := "\n".join(prose).strip("\n"):
            cells.append(_cell("", written, "markdown", stop - len(prose) + 1, {}))
        prose.clear()

    while at < len(lines):
        fence = FENCE.match(lines[at])
        if fence is None:
            if PLUS.match(lines[at]):
                end_of_prose(at)
            else:
                prose.append(lines[at])
            at += 1
            continue
        end_of_prose(at)
        where = f"{path}, line {at + 1}"
        stop = next((n for n in range(at + 1, len(lines)) if lines[n].rstrip() == fence["fence"]), len(lines))
        cells.append(_myst_code(lines[at + 1 : stop], at + 2, where))
        at = stop + 1
    end_of_prose(at)
    return Document(path, "myst", "\n".join(lines[:start]), tuple(cells), text)


def _front_matter(lines: list[str]) -> list[str]:
    if not lines or lines[0].strip() != "---":
        return []
    end = next((n for n, line in enumerate(lines[1:], 1) if line.strip() == "---"), len(lines) - 1)
    return lines[: end + 1]


def _myst_code(lines: list[str], line: int, where: str) -> Cell:
    """A code cell: ``:key: value`` lines, or a block of YAML, stand before its code."""
    options: dict[str, Any] = {}
    count = 0
    if lines and lines[0].strip() == "---":
        count = next((n for n, each in enumerate(lines[1:], 1) if each.strip() == "---"), len(lines) - 1) + 1
        options = _yaml_options("\n".join(lines[1 : count - 1]), where)
    else:
        while count < len(lines) and (found := re.match(r":([\w-]+):\s*(.*)$", lines[count])):
            options[found[1]] = _json(found[2])
            count += 1
    body = lines[count:]
    blank = next((n for n, each in enumerate(body) if each.strip()), 0)
    name = str(options.get("name", ""))
    return _cell(name, "\n".join(body).strip("\n"), "code", line + count + blank, options)


def _yaml_options(text: str, where: str) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise NotebookError(f"{where}: the options of the cell are not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(found, dict):
        raise NotebookError(f"{where}: the options of the cell must be `name: value`, but are {text.strip()!r}")
    return found
