"""Tools on notebooks: list, plan, run."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from anyio import to_thread
from mcp.server.mcpserver import Context
from pydantic import Field

from stargazer.errors import ArgumentError, NotebookError
from stargazer.mcp.answers import page
from stargazer.mcp.catalog import Cursor
from stargazer.mcp.hints import READS, RUNS, tool
from stargazer.mcp.place import Place
from stargazer.mcp.processes import NotebookProcess
from stargazer.mcp.roots import roots_of
from stargazer.mcp.runs import WAIT, RunTools, Wait
from stargazer.mcp.shapes import NotebookOut, NotebookPlan, NotebooksOut, RunOut
from stargazer.notebook import Document, read_document
from stargazer.notebook.plaintext import read_plain

__all__ = ["NotebookTools", "found_notebooks", "notebook_file", "notebook_text", "title_of"]

SUFFIXES = (".py", ".ipynb", ".md")
SIGNS = ("marimo.App(", "# %%", "#%%", "jupytext", "kernelspec", "{code-cell}")
"""What a file that is a notebook has in its text."""

SKIPPED = {"node_modules", "site-packages", "__pycache__", "__marimo__"}
PATIENCE = WAIT
"""Seconds that the imports of a notebook may take where it is planned."""

LARGEST = 5 << 20
MOST_FILES = 20_000

PathArgument = Annotated[str, Field(description="Path of a notebook in a folder that the server may read.")]
Values = Annotated[dict[str, Any] | None, Field(description="Values in place of those that cells make, by name.")]
Target = Annotated[str | None, Field(description="Name of a cell or value: only what it needs.", max_length=300)]


class NotebookTools:
    """Tools on notebooks.

    Parameters
    ----------
    place
        What the server works on.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._runs = RunTools(place)

    @tool(READS)
    async def list_notebooks(
        self, ctx: Context[Any, Any], limit: Annotated[int, Field(ge=1, le=200)] = 50, cursor: Cursor = None
    ) -> NotebooksOut:
        """List the notebooks in the folders that this server may read: marimo, percent scripts, Jupyter, MyST."""
        folders = self.place.folders.within(await roots_of(ctx))
        found, missed = await to_thread.run_sync(found_notebooks, folders)
        rows, following = page(found, cursor, limit, ["list_notebooks"], str)
        return NotebooksOut(notebooks=[_told(path) for path in rows], missed=missed, next_cursor=following)

    @tool(READS)
    async def plan_notebook(
        self, path: PathArgument, ctx: Context[Any, Any], target: Target = None, values: Values = None
    ) -> NotebookPlan:
        """Say of each cell whether it would run or is known, and why. Only imports and definitions run."""
        file = await notebook_file(self.place, path, ctx)
        process = await to_thread.run_sync(self._started, file, target, values, ["--plan"])
        try:
            ended = await to_thread.run_sync(process.wait, PATIENCE, abandon_on_cancel=True)
        finally:
            process.cancel()
        if not ended:
            raise NotebookError(f"{file.name}: its imports take more than {PATIENCE:.0f} s; nothing was planned")
        return NotebookPlan(**_report(process.answer))

    @tool(RUNS)
    async def run_notebook(
        self,
        path: PathArgument,
        ctx: Context[Any, Any],
        target: Target = None,
        values: Values = None,
        again: Annotated[bool, Field(description="Run all cells, whatever is known.")] = False,
        wait: Wait = WAIT,
    ) -> RunOut:
        """Run a notebook in a process of its own; cells that are known do not run. Returns a report, or a handle."""
        file = await notebook_file(self.place, path, ctx)
        options = ["--again"] if again else []
        asked = (str(file), str(target), repr(sorted((values or {}).items())), str(again))
        start = functools.partial(self._started, file, target, values, options)
        return await self._runs.watch(functools.partial(self.place.flights.take, file.name, asked, start), ctx, wait)

    def _started(
        self, file: Path, target: str | None, values: dict[str, Any] | None, options: list[str]
    ) -> NotebookProcess:
        import json

        if wrong := [name for name in values or {} if not name.isidentifier()]:
            raise ArgumentError(f"values: {wrong[0][:80]!r} is no name of a value")
        pairs = [f"--set={name}={json.dumps(value)}" for name, value in (values or {}).items()]
        targets = [f"--target={target}"] if target else []
        return NotebookProcess(file, self.place.store.url, [*options, *targets, *pairs])


async def notebook_file(place: Place, path: str, ctx: Context[Any, Any]) -> Path:
    """Return the real path of a notebook that may be read.

    Raises
    ------
    ArgumentError
        It lies where nothing may be read; or it is no notebook: data are not read by path.
    """
    file = place.folders.file(path, await roots_of(ctx))
    if not file.is_file() or file.suffix not in SUFFIXES:
        raise ArgumentError(f"{path[:200]} is no notebook: .py, .ipynb or .md")
    if file.stat().st_size > LARGEST:
        raise ArgumentError(f"{path[:200]} is larger than {LARGEST >> 20} MiB")
    return file


async def notebook_text(file: Path) -> str:
    """Return the text of a notebook.

    Raises
    ------
    NotebookError
        It is no text.
    """
    try:
        return await to_thread.run_sync(read_plain, file)
    except UnicodeDecodeError:
        raise NotebookError(f"{file} is no text") from None


def found_notebooks(folders: list[Path]) -> tuple[list[Path], str]:
    """Return the notebooks below some folders, in order, and what is to be said where not all of it was looked at.

    Hidden folders, environments and what is in caches are passed over.
    """
    found: set[Path] = set()
    for number, path in enumerate(_files(folders)):
        if number == MOST_FILES:
            told = f"{path.parent} and what comes after it was not looked at: there are more than {MOST_FILES:,} files"
            return sorted(found), f"{told}; the setting stargazer.mcp.folders names folders with fewer"
        if path.name.endswith(SUFFIXES) and not path.name.startswith(".") and _is_notebook(path):
            found.add(path)
    return sorted(found), ""


def _files(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        for parent, inner, files in os.walk(folder):
            inner[:] = sorted(each for each in inner if not _is_skipped(Path(parent, each)))
            yield from (Path(parent, name) for name in sorted(files))


def _is_skipped(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in SKIPPED or (folder / "pyvenv.cfg").exists()


def _is_notebook(path: Path) -> bool:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
            return False
        text = read_plain(path)
    except (OSError, UnicodeDecodeError):
        return False
    return path.suffix == ".ipynb" or any(sign in text for sign in SIGNS)


def title_of(document: Document) -> str:
    """The title of a notebook: what its header says, or its first heading."""
    told = document.options.get("app_title") or document.options.get("title")
    texts = [cell.source for cell in document.cells if cell.kind == "markdown"]
    heads = [line.lstrip("# ").strip() for text in texts for line in text.splitlines() if line.startswith("#")]
    return str(told or next(iter(heads), ""))[:200]


def _told(path: Path) -> NotebookOut:
    try:
        document = read_document(path)
    except NotebookError as error:
        return NotebookOut(path=str(path), format="", cells=0, title="", problems=[str(error)[:500]])
    problems = [f"line {problem.line}: {problem.message}"[:500] for problem in document.problems[:10]]
    return NotebookOut(path=str(path), format=document.format, cells=len(document.cells), title=title_of(document),
                       problems=problems)  # fmt: skip


def _report(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise NotebookError(str(answer["error"].get("message", "")))
    return {name: answer[name] for name in ("notebook", "success", "seconds", "cells")}
