"""What is wrong in a notebook before anything of it runs: annotations, syntax, names, imports, its header."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any

from stargazer.errors import ToolError
from stargazer.notebook.flow.results import Finding
from stargazer.notebook.names import names_of
from stargazer.notebook.order import check_cells, ordered

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from stargazer.notebook.document import Cell, Document
    from stargazer.notebook.flow.model import Entry

__all__ = ["check_header", "check_marimo", "check_percent", "read_header"]

HEADER = ("Title", "Status", "Objective", "Focus", "Guardrails")
LINE = re.compile(r"\bline (\d+)\b")
SEVERITIES = {"breaking": "error", "runtime": "warning", "formatting": "warning"}
NOUNS = {"investigation": "investigate", "exploration": "explore", "demonstration": "demo", "validation": "validate"}


def check_percent(document: Document) -> list[Finding]:
    """Return what is wrong in a notebook whose cells run one after the other."""
    return [*_common(document), *_imports(document.cells), *_twice(document.cells)]


def check_marimo(document: Document) -> list[Finding]:
    """Return what is wrong in a marimo notebook: by our own reading, and by ``marimo check``."""
    own = _common(document)
    seen = {finding.line for finding in own if finding.level == "error"}
    theirs = [each for each in _marimo_check(document) if each.level != "error" or each.line not in seen]
    return [*own, *_imports(document.cells), *theirs]


def _common(document: Document) -> list[Finding]:
    """Unknown annotations, what is no Python, names that nobody binds, cells in a circle."""
    from stargazer.errors import NotebookError

    notes = [problem for cell in document.cells for problem in cell.problems if problem != cell.error]
    found = [Finding("error", "annotation", problem.message, problem.line) for problem in notes]
    wrong = check_cells(document)
    try:
        ordered(document)
    except NotebookError as error:
        wrong.append(str(error))
    return found + [_of_message(message) for message in wrong]


def _of_message(message: str) -> Finding:
    found = LINE.search(message)
    rule = "syntax" if message.startswith("line ") else "names"
    text = re.sub(r"^line \d+: ", "", message)
    return Finding("error", rule, text, int(found[1]) if found else 0)


def _imports(cells: Sequence[Cell]) -> Iterable[Finding]:
    """Imports among work run again with each change of it; they belong to cells of imports and definitions."""
    for cell in cells:
        body = cell.tree.body
        lines = [node.lineno for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
        if lines and not cell.role and any(_is_work(node) for node in body):
            message = f"imports stand among the work of {_told(cell)}; give them a cell of their own"
            yield Finding("warning", "imports", message, cell.line + lines[0] - 1)


def _is_work(node: ast.stmt) -> bool:
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return False
    if isinstance(node, ast.Assign):
        return not all(isinstance(each, ast.Name) and each.id.isupper() for each in node.targets)
    if isinstance(node, (ast.If, ast.Try)):  # of types only, or of a library that may be missing
        return any(_is_work(each) for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt))
    return not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) and not isinstance(node, ast.Pass)


def _twice(cells: Sequence[Cell]) -> Iterable[Finding]:
    """Names that a cell binds anew without having read them: what the first one made is nobody's then."""
    first: dict[str, Cell] = {}
    for cell in cells:
        if cell.kind != "code" or cell.error:
            continue
        reads = names_of(cell.source, private=False).early | cell.refs
        for name in sorted(cell.defs):
            if name in first and name not in reads:
                message = f"{name} is defined by {_told(first[name])} and again by {_told(cell)}"
                yield Finding("warning", "defined_twice", message, cell.line)
            first[name] = cell


def _told(cell: Cell) -> str:
    return f"cell {cell.name} (line {cell.line})" if cell.name else f"the cell at line {cell.line}"


def _marimo_check(document: Document) -> list[Finding]:
    """What ``marimo check`` finds."""
    from stargazer.config import command_environment, scratch_dir
    from stargazer.tools import Scratch, Workdir

    with Scratch(scratch_dir()) as scratch:
        work = Workdir(scratch.path, env=command_environment())
        work.file(document.path.name).write_text(document.text, "utf-8")
        told = _printed(work, ["python", "-m", "marimo", "check", "--format", "json", document.path.name])
    return [
        Finding(
            SEVERITIES.get(each["severity"], "warning"),
            f"marimo {each['name']}",
            _hint(each),
            max(0, int(each["line"])),
        )
        for each in told.get("issues", ())
    ]


def _hint(issue: dict[str, Any]) -> str:
    return "; ".join(text.rstrip(".") for text in (issue["message"], issue.get("fix")) if text)


def _printed(work: Any, argv: list[str]) -> dict[str, Any]:
    """JSON that a command prints, whether it ends well or not."""
    printed = work.file("printed.json")
    failed: ToolError | None = None
    try:
        work.run(argv, stdout=printed)
    except ToolError as error:
        failed = error
    try:
        return dict(json.loads(printed.read_text("utf-8")))
    except (OSError, ValueError):
        if failed is not None:
            raise failed from None
        raise


def read_header(text: str) -> dict[str, str] | None:
    """Return what stands between ``# ---`` at the top of a source; None where there is none."""
    found = re.match(r"(?:#!.*\n)?# ---\n(?P<lines>(?:#.*\n)*?)# ---\s*\n", text)
    if found is None:
        return None
    pairs = (line.lstrip("# ").partition(":") for line in found["lines"].splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def check_header(text: str, entry: Entry, path: Path) -> list[Finding]:
    """Compare the header of a source with its entry."""
    header = read_header(text)
    if header is None or "jupyter" in header:
        lines = " … ".join(f"# {name}:" for name in HEADER)
        return [Finding("warning", "header", f"{path.name} has no header; begin it with # --- {lines} … # ---", 1)]
    found = [
        Finding("warning", "header", f"its header has no {name}", 1) for name in HEADER if not header.get(name)
    ]  # fmt: skip
    title, status = header.get("Title", ""), header.get("Status", "").lower()
    if title and not re.search(rf"(?<!\w){re.escape(entry.name)}(?!\w)", title):
        found.append(Finding("error", "header", f"its header has the Title {title}, and its file is {path.name}", 2))
    if status and NOUNS.get(status, status) not in (entry.status, entry.kind):
        said = f"its header has the Status {status}, and its entry is {entry.status}"
        found.append(Finding("error", "header", said, 3))
    return found
