"""Promote a task: from a cell of a notebook to a module that the notebook imports."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotebookError
from stargazer.fingerprint.parsing import lines_of
from stargazer.notebook.code import Part, prelude_of
from stargazer.notebook.document import read_document, read_text
from stargazer.notebook.edits import Change, edited
from stargazer.notebook.order import check_cells
from stargazer.notebook.plaintext import bytes_for, read_plain, write_whole
from stargazer.notebook.promotion.module import PROJECT, module_text, place_of
from stargazer.notebook.promotion.reach import reach_of
from stargazer.notebook.promotion.review import find_tests, review
from stargazer.notebook.promotion.sample import write_sample
from stargazer.store import active_store

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from stargazer.fingerprint import CodeIdentity
    from stargazer.notebook.document import Cell, Document
    from stargazer.notebook.promotion.module import Place
    from stargazer.notebook.promotion.reach import Reach, Statement
    from stargazer.notebook.promotion.review import Remark
    from stargazer.store import Store

__all__ = ["Promotion", "check_task", "promote", "write_files"]


@dataclass(frozen=True)
class Promotion:
    """What promoting a task came to, or would.

    Parameters
    ----------
    task, module, names
        The task; the module that has it; all names that the notebook imports from there now.
    files
        Files written, with their contents; the notebook last.
    code
        Digest of the task's code.
    changed
        Pieces of code that have another digest in the module, by name: calls of before would run once more. Empty as a
        rule.
    remarks
        What a reviewer would say.
    repeated
        Id of the record that the test repeats; empty where there is none.
    """

    task: str
    module: str
    names: tuple[str, ...]
    files: dict[Path, bytes] = field(repr=False)
    code: str
    changed: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()
    repeated: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        remarks = [each._asdict() for each in self.remarks]
        told = {"task": self.task, "module": self.module, "names": list(self.names), "code": self.code}
        files = [str(path) for path in self.files]
        return told | {"changed": list(self.changed), "files": files, "remarks": remarks, "repeats": self.repeated}


def check_task(notebook: str | os.PathLike[str], task: str) -> list[Remark]:
    """Say what a reviewer would of a task of a notebook; nothing is written.

    Parameters
    ----------
    notebook
        Path of a notebook.
    task
        Name of a task that one of its cells defines.

    Raises
    ------
    NotebookError
        It cannot be promoted at all; says why, and what to do.
    """
    document = read_document(Path(notebook))
    return review(reach_of(document, task), find_tests(task, project_of(document.path)))


def promote(
    notebook: str | os.PathLike[str],
    task: str,
    to: str | os.PathLike[str],
    *,
    tests: bool = False,
    dry_run: bool = False,
    store: Store | None = None,
) -> Promotion:
    """Move a task of a notebook to a module, with all that it reaches; the notebook imports it from there.

    The task stays the one that it was: what it computed before is known after.

    Parameters
    ----------
    notebook
        Path of a notebook.
    task
        Name of a task that one of its cells defines.
    to
        The module's file; one that is there already gets what it lacks.
    tests
        Whether a test is written, too: of a recorded call whose inputs are small, if there is one.
    dry_run
        Whether nothing is written.
    store
        Where recorded calls are looked for; the active store by default.

    Raises
    ------
    NotebookError
        The task reads what a cell computes, or the like; says what to do. Nothing is written.
    """
    document = read_document(Path(notebook))
    if wrong := check_cells(document):
        raise NotebookError("\n".join([f"{document.path}:", *wrong]))
    reach = reach_of(document, task)
    place = place_of(to, document.path)
    before = _identity(reach)
    module = {place.path: bytes_for(place.path, module_text(reach, place, document.path))}
    files, repeated = {**module}, ""
    if tests:
        sample = write_sample(reach, place, before.digest, store or active_store())
        files |= _test_files(sample.text, sample.files, reach, place)
        repeated = sample.record
    files[document.path] = bytes_for(document.path, notebook_text(document, reach, place.module))
    changed: tuple[str, ...] = ()
    if not dry_run:
        after = _written(place, module, task)
        write_files({path: content for path, content in files.items() if path != place.path})
        changed = () if after.digest == before.digest else _differing(before.manifest, after.manifest)
    remarks = tuple(review(reach, find_tests(task, project_of(document.path))))
    return Promotion(task, place.module, tuple(sorted(reach.names)), files, before.digest, changed, remarks, repeated)


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n)))


def _identity(reach: Reach) -> CodeIdentity:
    """Identity of a task as the notebook has it: only what it reaches is run, imports and definitions."""
    chosen: dict[Cell, set[int]] = {}
    for statement in [*(each for each, _ in reach.imports), *reach.statements]:  # imports first: as they run
        chosen.setdefault(statement.cell, set()).add(statement.number)
    prelude = prelude_of([Part(cell.source, tuple(sorted(numbers))) for cell, numbers in chosen.items()])
    found = prelude.namespace.get(reach.task)
    if found is None:
        error = next(iter(prelude.errors.values()), None)
        raise NotebookError(f"{reach.task} cannot be made: {type(error).__name__}: {error}")
    return found.code  # type: ignore[no-any-return]


def _written(place: Place, module: dict[Path, bytes], task: str) -> CodeIdentity:
    """Write the module, and return the identity of the task as it has it; one that fails is put back as it was."""
    before = place.path.read_bytes() if place.path.is_file() else None
    write_files(module)
    try:
        return _imported(place, task)
    except Exception as error:
        if before is None:
            place.path.unlink()
        else:
            write_whole(place.path, before)
        told = f"{type(error).__name__}: {error}"
        raise NotebookError(f"{place.path} could not be imported and is not written: {told}") from error


def _imported(place: Place, task: str) -> CodeIdentity:
    importlib.invalidate_caches()
    sys.path.insert(0, str(place.root))
    try:
        known = sys.modules.get(place.module)
        module = importlib.reload(known) if known is not None else importlib.import_module(place.module)
    finally:
        sys.path.remove(str(place.root))
    return getattr(module, task).code  # type: ignore[no-any-return]


def notebook_text(document: Document, reach: Reach, module: str) -> str:
    """Text of the notebook, in which what moved is imported instead.

    A definition that stands for itself in a marimo file is imported in its setup, so that others of the kind find it.
    """
    by_cell: dict[Cell, list[Statement]] = {}
    for statement in reach.statements:
        by_cell.setdefault(statement.cell, []).append(statement)
    gone = [cell for cell in by_cell if cell.role in ("function", "class")]
    raised = sorted(name for cell in gone for each in by_cell.pop(cell) for name in each.names)
    has_setup = any(cell.role == "setup" for cell in by_cell)
    changes = {cell: _changes(found, module, raised if cell.role == "setup" else []) for cell, found in by_cell.items()}
    setup = [_import_line(module, raised)] if raised and not has_setup else []
    text = edited(document, changes, gone, setup)
    again = read_text(text, document.path, document.format)
    if wrong := check_cells(again):
        raise NotebookError("\n".join([f"{document.path} would not be whole after that:", *wrong]))
    return text


def _changes(found: list[Statement], module: str, more: Iterable[str]) -> list[Change]:
    """Changes of one cell: the first statement that moved becomes an import, others go with the lines after them."""
    found = sorted(found, key=lambda each: each.number)
    names = sorted({*more, *(name for each in found for name in each.names)})
    lines = lines_of(found[0].cell.source)
    changes = []
    for number, statement in enumerate(found):
        first, last = statement.rows
        if number:
            while last < len(lines) and not lines[last].strip():
                last += 1
            while last == len(lines) and first > 1 and not lines[first - 2].strip():
                first -= 1
        changes.append(Change(first, last, () if number else (_import_line(module, names),)))
    return changes


def _import_line(module: str, names: Iterable[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= 100:
        return line
    return f"from {module} import ({', '.join(names)})"


def _test_files(text: str, data: dict[str, bytes], reach: Reach, place: Place) -> dict[Path, bytes]:
    """Where a test goes: ``tests/test_<module>.py`` of the project; one that is there gets what it lacks."""
    folder = project_of(place.path) / "tests"
    file = folder / f"test_{place.path.stem}.py"
    if file.is_file():
        there = read_plain(file)
        if f"def test_{reach.task}" in there:
            return {}
        file = folder / f"test_{place.path.stem}_{reach.task}.py"
        if file.is_file():
            raise NotebookError(f"{file} is there already: move it away, or leave --tests out")
    return {file: text.encode(), **{folder / name: content for name, content in data.items()}}


def project_of(path: Path) -> Path:
    """The folder of a project: the nearest one above with a ``pyproject.toml`` or the like, or a repository."""
    folders = list(path.absolute().parents)
    marked = (each for each in folders if any((each / name).exists() for name in (*PROJECT, ".git", ".hg")))
    return next(marked, folders[0])


def write_files(files: dict[Path, bytes]) -> None:
    """Write files, each whole or not at all; the last one is written when all others are there."""
    for path, content in files.items():
        write_whole(path, content)
