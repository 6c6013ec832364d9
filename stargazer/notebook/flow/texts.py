"""Cells of percent scripts, Jupyter notebooks and MyST files, by jupytext; what did not change stays as it stood."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import NotebookError
from stargazer.fingerprint.parsing import lines_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from nbformat import NotebookNode

__all__ = [
    "Part",
    "match",
    "myst_text",
    "notebook_text",
    "parts_of_ipynb",
    "parts_of_py",
    "py_text",
    "read_ipynb",
    "shared_of",
]

PERCENT = "py:percent"
MARK = re.compile(r"# ?%%")
SHOWN_ONLY = frozenset(
    {
        "ExecuteTime",
        "autoscroll",
        "collapsed",
        "execution",
        "jupyter",
        "lines_to_next_cell",
        "lines_to_end_of_cell_marker",
        "papermill",
        "pycharm",
        "scrolled",
        "slideshow",
        "trusted",
        "vscode",
    }
)
"""What programs note of a cell for themselves; no side tells it to the other."""

SHARED = frozenset({"name", "tags", "title"})
"""What both sides tell each other of a cell, whether the script has any yet or not."""

LIKE = 0.5

HIDDEN = {ord(each): 0x10FF00 + number for number, each in enumerate("\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")}
SHOWN = {hidden: each for each, hidden in HIDDEN.items()}
"""Characters at which jupytext ends lines and Python does not, and what stands for them while jupytext has a text."""


class Part(NamedTuple):
    """A cell as both sides have it.

    Parameters
    ----------
    kind
        ``code``, ``markdown`` or ``raw``.
    source
        Its text.
    meta
        Its title, tags and the like, as canonical JSON.
    """

    kind: str
    source: str
    meta: str = "{}"

    @property
    def told(self) -> str:
        """Its first line, for people."""
        lines = [line for line in self.source.strip().splitlines() if line.strip()] or [""]
        return lines[0] if len(lines[0]) <= 60 else f"{lines[0][:57]}…"


def parts_of_py(text: str) -> list[Part]:
    """Cells of a percent script; blank ones are none."""
    return _parts(_read(text, PERCENT).cells)


def read_ipynb(text: str, path: str) -> NotebookNode:
    """Read a Jupyter notebook.

    Raises
    ------
    NotebookError
        It is none.
    """
    import nbformat

    remedy = "mend it, or take it away: where there is a script, `stargazer nb sync` makes it anew"
    try:
        found = json.loads(text)
    except ValueError as error:
        raise NotebookError(f"{path} is no Jupyter notebook, as it is no JSON ({error}): {remedy}") from None
    if not isinstance(found, dict) or not found.keys() & {"cells", "worksheets"}:
        raise NotebookError(f"{path} is no Jupyter notebook, as it has no cells: {remedy}")
    try:
        book: NotebookNode = nbformat.reads(text, as_version=4)
    except Exception as error:  # noqa: BLE001 - of nbformat's schema and of its conversions
        first = str(error).partition("\n")[0]
        raise NotebookError(f"{path} is no Jupyter notebook ({first}): {remedy}") from None
    return book


def parts_of_ipynb(book: NotebookNode, shared: Collection[str] = SHARED) -> list[Part]:
    """Cells of a Jupyter notebook, as they come back from a script: what a script cannot say is no difference.

    Parameters
    ----------
    book
        The notebook.
    shared
        Metadata that both sides have; others are Jupyter's own.
    """
    kept = _kept(book.cells)
    found = parts_of_py(_written(_bare(kept, shared=shared), PERCENT))
    return found if len(found) == len(kept) else _parts(kept, shared)


def shared_of(*sides: Iterable[Part] | None) -> frozenset[str]:
    """Names of metadata that both sides tell each other: the usual ones, and those that a script has."""
    return SHARED.union(*(json.loads(part.meta) for side in sides for part in side or ()))


def _read(text: str, form: str) -> NotebookNode:
    import jupytext

    book: NotebookNode = jupytext.reads(text.translate(HIDDEN), fmt=form)
    for cell in book.cells:
        cell.source = cell.source.translate(SHOWN)
    return book


def _written(book: NotebookNode, form: str) -> str:
    """Text of a notebook; the header of a script goes around jupytext, which would have it be YAML."""
    import jupytext

    first = book.cells[0] if book.cells else None
    head = ""
    if first is not None and first.cell_type == "raw" and first.source.startswith("---\n"):
        book.cells = book.cells[1:]
        if form == PERCENT:
            head = "".join(f"# {line}".rstrip() + "\n" for line in first.source.splitlines()) + "\n"
    for cell in book.cells:
        cell.source = cell.source.translate(HIDDEN)
    return head + (str(jupytext.writes(book, fmt=form)).translate(SHOWN) if book.cells or not head else "")


def _kept(cells: Iterable[Any]) -> list[Any]:
    return [cell for cell in cells if cell.source.strip()]


def _parts(cells: Iterable[Any], shared: Collection[str] | None = None) -> list[Part]:
    return [Part(cell.cell_type, cell.source.rstrip("\n"), _meta(cell.metadata, shared)) for cell in _kept(cells)]


def _meta(metadata: Any, shared: Collection[str] | None = None) -> str:
    return json.dumps(_told(metadata, shared), sort_keys=True)


def _told(metadata: Any, shared: Collection[str] | None) -> dict[str, Any]:
    given = {name: value for name, value in metadata.items() if name not in SHOWN_ONLY}
    return given if shared is None else {name: value for name, value in given.items() if name in shared}


def _bare(
    cells: Sequence[Any], metadata: dict[str, Any] | None = None, shared: Collection[str] | None = None
) -> NotebookNode:
    """A notebook of cells without outputs, and without what programs note for themselves."""
    import nbformat.v4 as v4

    made = []
    for cell in cells:
        plain = copy.deepcopy(cell)
        plain.metadata = _told(cell.metadata, shared)
        made.append(plain)
    book: NotebookNode = v4.new_notebook(metadata=metadata or {"jupytext": {"notebook_metadata_filter": "-all"}})
    book.cells = made
    return book


def _cell(part: Part) -> Any:
    import nbformat.v4 as v4

    makers: dict[str, Any] = {"code": v4.new_code_cell, "markdown": v4.new_markdown_cell, "raw": v4.new_raw_cell}
    return makers[part.kind](part.source, metadata=json.loads(part.meta))


# Which cell became which.


def match(old: Sequence[Part], new: Sequence[Part]) -> list[tuple[int | None, bool]]:
    """Say of each new cell which old one it was, and whether it is as it was.

    Returns
    -------
    list of tuple
        Number of the old cell, or None; and whether both are equal. Cells that were moved are found, too.
    """
    found: list[tuple[int | None, bool]] = [(None, False)] * len(new)
    codes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for op, i1, i2, j1, j2 in codes:
        if op == "equal":
            found[j1:j2] = [(i, True) for i in range(i1, i2)]
    used = {i for i, _ in found}
    for j, part in enumerate(new):
        moved = next((i for i, was in enumerate(old) if i not in used and was == part), None)
        if found[j][0] is None and moved is not None:
            found[j] = (moved, True)
            used.add(moved)
    for op, i1, i2, j1, j2 in codes:
        if op == "replace":
            _pair_edited(old, new, range(i1, i2), range(j1, j2), found, used)
    return found


def _pair_edited(
    old: Sequence[Part],
    new: Sequence[Part],
    before: range,
    after: range,
    found: list[tuple[int | None, bool]],
    used: set[int | None],
) -> None:
    """Find the cells that were edited: those most alike, in their order."""
    left = [i for i in before if i not in used]
    fresh = [j for j in after if found[j][0] is None]
    in_order = len(left) == len(fresh)
    for j in fresh:
        alike = [i for i in left if i not in used and old[i].kind == new[j].kind]
        if in_order:
            alike = [i for i in alike if left.index(i) == fresh.index(j)]
        else:
            alike = [i for i in alike if SequenceMatcher(None, old[i].source, new[j].source).ratio() >= LIKE]
        if alike:
            found[j] = (alike[0], False)
            used.add(alike[0])


# Writing.


def py_text(old: str, parts: Sequence[Part]) -> str:
    """Write cells as a percent script; cells that are as they were keep their very lines, and so does the header.

    Raises
    ------
    NotebookError
        A cell would not come back as it is.
    """
    chunks = _chunks(old)
    if chunks is not None:
        made = _spliced(*chunks, parts)
        if parts_of_py(made) == list(parts):
            return made
    fresh = _bare([_cell(part) for part in parts], dict(_read(old, PERCENT).metadata) if old.strip() else None)
    made = _written(fresh, PERCENT)
    if (back := parts_of_py(made)) != list(parts):
        lost = next((part for part, found in zip(parts, [*back, None], strict=False) if part != found), parts[-1])
        raise NotebookError(f"this cell cannot stand in a percent script as it is: {lost.told}")
    return made


def _chunks(text: str) -> tuple[str, list[Part], list[tuple[Part, str]]] | None:
    """What stands before the first mark with its cells, and the cells after it with their lines; None if unclear."""
    lines = lines_of(text, ends=True)
    marks = [number for number, line in enumerate(lines) if MARK.match(line) and number not in _inside(text)]
    cells = _read(text, PERCENT).cells
    ends = [*marks[1:], len(lines)] if marks else []
    bodies = ["".join(lines[start:end]) for start, end in zip(marks, ends, strict=True)]
    count = len(cells) - len(bodies)
    if count < 0:
        return None
    head = "".join(lines[: marks[0]]) if marks else text
    pairs = [(_parts([cell]), body) for cell, body in zip(cells[count:], bodies, strict=True)]
    return head, _parts(cells[:count]), [(part[0], body) for part, body in pairs if part]


def _inside(text: str) -> frozenset[int]:
    """Numbers of lines, from 0, that begin inside of a string over several lines."""
    import contextlib
    import io
    import tokenize

    found: set[int] = set()
    with contextlib.suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.STRING or tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
                found.update(range(token.start[0], token.end[0]))
    return frozenset(found)


def _spliced(head: str, first: list[Part], rest: list[tuple[Part, str]], parts: Sequence[Part]) -> str:
    old = [*first, *(part for part, _ in rest)]
    known = match(old, parts)
    count = len(first)
    if len(parts) < count or any(known[j] != (j, True) for j in range(count)):
        return ""
    stood = known[count:]
    made = _apart(head, not stood or stood[0][0] == count)
    for number, ((i, same), part) in enumerate(zip(stood, parts[count:], strict=True)):
        lines = rest[i - count][1] if i is not None and i >= count else ""
        follows = number + 1 == len(stood) or (bool(lines) and i is not None and stood[number + 1][0] == i + 1)
        made += _apart(lines if same and lines else _fresh(part) + _gap(lines), follows)
    return made.rstrip("\n") + "\n"


def _apart(chunk: str, follows: bool) -> str:
    """A cell's lines; a blank one is after them, unless what follows is what always did."""
    return chunk if follows or not chunk.strip() or chunk.endswith("\n\n") else f"{chunk.rstrip()}\n\n"


def _gap(chunk: str) -> str:
    """Blank lines at the end of a cell's lines."""
    return chunk[len(chunk.rstrip("\n")) + 1 :]


def _fresh(part: Part) -> str:
    text = _written(_bare([_cell(part)]), PERCENT).rstrip("\n") + "\n"
    return text if MARK.match(text) else f"# %%\n{text}"


def notebook_text(
    old: NotebookNode | None,
    parts: Sequence[Part],
    metadata: dict[str, Any],
    shared: Collection[str] | None = None,
) -> str:
    """Write cells as a Jupyter notebook.

    Outputs, ids and metadata of cells that are as they were stay. A cell that was edited keeps its id and its
    metadata, and never its outputs: they are those of other code.

    Parameters
    ----------
    old
        What stands there.
    parts
        The cells.
    metadata
        Of the notebook, over what is there.
    shared
        As for `parts_of_ipynb`; by default what the cells have.
    """
    import nbformat

    kept = _kept(old.cells) if old is not None else []
    was = parts_of_ipynb(old, shared or shared_of(parts)) if old is not None else []
    cells = []
    for (i, same), part in zip(match(was, parts), parts, strict=True):
        cells.append(kept[i] if same and i is not None else _changed(kept[i] if i is not None else None, was, i, part))
    _name_cells(cells)
    made = nbformat.v4.new_notebook(metadata={**(old.metadata if old is not None else {}), **metadata})
    made.cells = cells
    if old is not None:
        made.nbformat_minor = max(int(old.nbformat_minor), 5)
    return str(nbformat.writes(made)).rstrip("\n") + "\n"


def _changed(before: Any, was: Sequence[Part], i: int | None, part: Part) -> Any:
    made = _cell(part)
    made.pop("id", None)
    if before is None or i is None:
        return made
    told = json.loads(was[i].meta)
    made.metadata = {name: value for name, value in before.metadata.items() if name not in told} | made.metadata
    if "id" in before:
        made["id"] = before["id"]
    return made


def _name_cells(cells: Sequence[Any]) -> None:
    """Give an id to each cell that has none: made of its text, so that the same cells have the same ids."""
    taken = {cell["id"] for cell in cells if cell.get("id")}
    for cell in cells:
        number = 0
        while not cell.get("id"):
            name = hashlib.sha256(f"{cell.cell_type}\n{cell.source}\n{number}".encode()).hexdigest()[:8]
            if name not in taken:
                cell["id"] = name
                taken.add(name)
            number += 1


def myst_text(py: str, kernel: str) -> str:
    """Write a percent script as MyST; the same script is the same text, whatever version of jupytext writes it."""
    book = _read(py, PERCENT)
    fresh = _bare(_kept(book.cells), {"kernelspec": {"display_name": kernel, "language": "python", "name": kernel}})
    text = _written(fresh, "md:myst")
    return re.sub(r"(?m)^ *jupytext_version: .*\n", "", text)
