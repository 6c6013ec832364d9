"""Tools with which agents write notebooks: in the allowed folders only, whole files or nothing."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from anyio import to_thread
from mcp.server.mcpserver import Context
from pydantic import BaseModel, ConfigDict, Field

from stargazer.errors import ArgumentError, NotebookError
from stargazer.mcp import notebooks
from stargazer.mcp.answers import BUDGET, page
from stargazer.mcp.catalog import Cursor
from stargazer.mcp.hints import MAKES, READS, REPLACES, tool
from stargazer.mcp.notebooks import PathArgument, notebook_file, notebook_text
from stargazer.mcp.place import Place
from stargazer.mcp.processes import NotebookProcess
from stargazer.mcp.roots import roots_of
from stargazer.mcp.shapes import CellsOut
from stargazer.notebook import Cell, Document, Notebook
from stargazer.notebook.document import read_text
from stargazer.notebook.editing import Edit, check_module_name, edited, new_text, version_of, write_text

__all__ = ["EditTools"]


class EditIn(BaseModel):
    """A change of one cell."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["add", "replace", "move", "delete"]
    cell: int = Field(
        ge=0, description="Number from 0, as cells stand at this edit's turn; of one added its place to be."
    )
    source: str | None = Field(default=None, description="The new text.", max_length=200_000)
    kind: Literal["code", "markdown"] | None = Field(default=None, description="As it was by default; else code.")
    name: str | None = Field(default=None, max_length=80)
    to: int | None = Field(default=None, ge=0, description="Of one that is moved: its place to be.")


class CellIn(BaseModel):
    """A cell of a new notebook."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(max_length=200_000)
    kind: Literal["code", "markdown"] = "code"
    name: str | None = Field(default=None, max_length=80)


class EditTools:
    """Tools that write notebooks.

    Parameters
    ----------
    place
        What the server works on.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    @tool(MAKES)
    async def create_notebook(
        self,
        path: Annotated[str, Field(description="A new file in an allowed folder: .py or .ipynb.", max_length=4096)],
        cells: list[CellIn],
        ctx: Context[Any, Any],
        format: Literal["marimo", "percent", "ipynb"] | None = None,
    ) -> CellsOut:
        """Make a notebook with some cells: marimo (of .py files, by default), a percent script, or Jupyter."""
        file = await self._new(path, ctx)
        kind = format or ("ipynb" if file.suffix == ".ipynb" else "marimo")
        if (kind == "ipynb") != (file.suffix == ".ipynb"):
            raise ArgumentError(f"{file.name}: a notebook of format {kind} has another ending")
        given = list(cells)
        if kind == "marimo" and not any("import marimo as mo" in each.source for each in given):
            given.insert(0, CellIn(source="import marimo as mo"))
        edits = [Edit("add", n, each.source, each.kind, each.name) for n, each in enumerate(given)]
        text = edited(read_text(new_text(kind), file, kind), edits)
        await to_thread.run_sync(write_text, file, text, None)
        return _told(read_text(text, file), written=True)

    @tool(READS)
    async def read_notebook(self, path: PathArgument, ctx: Context[Any, Any], cursor: Cursor = None) -> CellsOut:
        """Read the cells of a notebook, with the version that edit_notebook wants to be told."""
        document = await self._read(path, ctx)
        rows = [_cell(n, cell) for n, cell in enumerate(document.cells)]
        of = ["read_notebook", str(document.path), version_of(document.text)]
        chosen, following = page(rows, cursor, 500, of, lambda row: row)
        return _told(document, written=False).model_copy(update={"cells": chosen, "next_cursor": following})

    @tool(REPLACES)
    async def edit_notebook(
        self,
        path: PathArgument,
        version: Annotated[str, Field(description="As read_notebook told it.", max_length=64)],
        edits: Annotated[list[EditIn], Field(min_length=1, max_length=200)],
        ctx: Context[Any, Any],
        dry_run: Annotated[bool, Field(description="Write nothing; say what the cells would be.")] = False,
        plan: Annotated[bool, Field(description="Say as well which cells would run; imports run for that.")] = False,
    ) -> CellsOut:
        """Add, replace, move or delete cells; refused where the file changed since it was read."""
        document = await self._read(path, ctx)
        if version_of(document.text) != version:
            raise NotebookError(f"{document.path.name} was changed since: read_notebook again; nothing was written")
        text = edited(document, [Edit(**each.model_dump()) for each in edits])
        again = read_text(text, document.path, document.format)
        would_run = await to_thread.run_sync(self._would_run, document.path, text) if plan else []
        if not dry_run:
            await to_thread.run_sync(write_text, document.path, text, version)
        return _told(again, written=not dry_run).model_copy(update={"would_run": would_run})

    def _would_run(self, path: Path, text: str) -> list[str]:
        """Names of the cells that would run, were this the file's text: it is planned beside it, under another name."""
        beside = path.with_name(f".stargazer-{os.getpid()}-{version_of(text)}{path.suffix}")
        try:
            beside.write_text(text, "utf-8")
            process = NotebookProcess(beside, self.place.store.url, ["--plan"])
            process.wait(notebooks.PATIENCE)
            process.cancel()
            answer = process.answer if process.wait(10.0) else {}
        finally:
            beside.unlink(missing_ok=True)
        if "error" in answer:
            raise NotebookError(str(answer["error"].get("message", "")).replace(beside.name, path.name))
        return [_label(row) for row in answer.get("cells", []) if row["state"] in ("run", "live")]

    @tool(READS)
    async def check_notebook(self, path: PathArgument, ctx: Context[Any, Any]) -> CellsOut:
        """Say what is wrong in a notebook before anything runs: syntax, names without a cell or with two, circles."""
        document = await self._read(path, ctx)
        told = _told(document, written=False)
        found = await to_thread.run_sync(lambda: Notebook(document.path, self.place.store).check())
        return told.model_copy(update={"problems": [*told.problems, *(str(each)[:1000] for each in found)][:100]})

    async def _new(self, path: str, ctx: Context[Any, Any]) -> Path:
        file = self.place.folders.place(path, await roots_of(ctx))
        if file.suffix not in (".py", ".ipynb") or file.name.startswith("."):
            raise ArgumentError(f"{path[:200]}: a new notebook is a .py or .ipynb file")
        if not file.name.isprintable():
            raise ArgumentError(f"{path[:200]!r}: no file is named with controls, line ends or marks of direction")
        if not file.parent.is_dir():
            raise ArgumentError(f"there is no folder {file.parent}")
        if file.suffix == ".py":
            check_module_name(file.stem)
        return file

    async def _read(self, path: str, ctx: Context[Any, Any]) -> Document:
        file = await notebook_file(self.place, path, ctx)
        text = await notebook_text(file)
        return read_text(text, file)


def _told(document: Document, *, written: bool) -> CellsOut:
    rows = [_cell(n, cell) for n, cell in enumerate(document.cells)]
    shown, following = page(rows, None, 500, None, lambda row: row)
    problems = [f"line {each.line}: {each.message}"[:500] for each in document.problems[:20]]
    return CellsOut(
        notebook=str(document.path), version=version_of(document.text), written=written, cells=shown,
        problems=problems + ([f"{len(rows) - len(shown)} more cells: read_notebook"] if following else []),
    )  # fmt: skip


def _cell(number: int, cell: Cell) -> dict[str, Any]:
    source = cell.source if len(cell.source) <= BUDGET // 2 else f"{cell.source[: BUDGET // 2]}… (cut)"
    found = {"cell": number, "name": cell.name, "kind": cell.kind, "source": source, "line": cell.line}
    return found | {"defs": sorted(cell.defs), "refs": sorted(cell.refs)}


def _label(row: dict[str, Any]) -> str:
    return str(row.get("name") or ", ".join(row.get("defs", [])) or "a cell without a name")
