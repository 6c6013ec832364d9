"""A notebook as people use it: cells, plan, run, and results by name."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import NotebookError
from stargazer.notebook.document import read_document
from stargazer.notebook.handles import unboxed
from stargazer.store import active_store

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from distributed import Client

    from stargazer.notebook.document import Cell, Document
    from stargazer.notebook.rows import Outcome, Row
    from stargazer.notebook.walk import Walk
    from stargazer.store import Store

__all__ = ["Notebook", "Report"]

SIGNS = {"ran": "●", "run": "●", "known": "✓", "live": "~", "stopped": "■", "failed": "✗", "skipped": "-"}


class Report(NamedTuple):
    """What became of the cells of a notebook, in one run or in a plan.

    Parameters
    ----------
    notebook
        Path of the file.
    rows
        One a cell, in the order in which they run.
    seconds
        That it took.
    """

    notebook: str
    rows: tuple[Row, ...]
    seconds: float

    @property
    def success(self) -> bool:
        """Whether no cell failed."""
        return all(row.state != "failed" for row in self.rows)

    def count(self, state: str) -> int:
        """Number of cells in a state."""
        return sum(row.state == state for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        cells = [row.to_dict() for row in self.rows]
        return {"notebook": self.notebook, "success": self.success, "seconds": round(self.seconds, 3), "cells": cells}

    def __str__(self) -> str:
        width = max((len(row.state) for row in self.rows), default=0)
        names = [row.name or ", ".join(row.defs) or f"line {row.cell.line if row.cell else '?'}" for row in self.rows]
        long = max(map(len, names), default=0)
        lines = [
            f"{SIGNS[row.state]} {row.state.ljust(width)}  {name.ljust(long)}  {'; '.join(row.why)}".rstrip()
            for row, name in zip(self.rows, names, strict=True)
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        import html

        rows = "".join(
            f"<tr><td>{SIGNS[row.state]} {row.state}</td><td>{html.escape(row.name or ', '.join(row.defs))}</td>"
            f"<td>{html.escape('; '.join(row.why))}</td></tr>"
            for row in self.rows
        )
        return f"<table><tr><th>state</th><th>cell</th><th>why</th></tr>{rows}</table>"


class Assets:
    """Values of a notebook as assets of the store, by name."""

    def __init__(self, book: Notebook) -> None:
        self._book = book

    def __getitem__(self, name: str) -> Any:
        found = self._book.outcome.assets
        if name not in found:
            raise NotebookError(f"{name} is not kept: {self._book.why_not(name)}")
        return unboxed(found[name])

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._book.outcome.assets))

    def __len__(self) -> int:
        return len(self._book.outcome.assets)


class Notebook:
    """A notebook whose cells are calls: what the ledger knows does not run.

    Parameters
    ----------
    path
        A marimo file, a percent script, an ``.ipynb`` or a MyST file.
    store
        Where values are kept; the active store by default.

    Raises
    ------
    NotebookError
        It cannot be read.

    Examples
    --------
    >>> book = Notebook("qc.py")  # doctest: +SKIP
    >>> print(book.plan())  # doctest: +SKIP
    >>> book.run()["table"]  # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike[str], store: Store | None = None) -> None:
        self.document: Document = read_document(path)  # type: ignore[arg-type]
        self.store = store or active_store()
        self._walked: Outcome | None = None
        self._walk: Walk | None = None

    def __repr__(self) -> str:
        return f"<notebook {self.document.path} of {len(self.cells)} cells>"

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, in the order of the file."""
        return self.document.cells

    def check(self) -> list[str]:
        """Return what is wrong before anything runs: no Python, names without a cell or with two, circles."""
        from stargazer.notebook.environment import missing_packages
        from stargazer.notebook.order import check_cells, ordered

        if not (language := self.document.language).lower().startswith(("python", "ipython")):
            return [f"its cells are {language}, by its metadata, and only those of Python can be run here"]
        wrong = check_cells(self.document)
        if lacking := missing_packages(self.document):
            wrong.append(
                f"its header asks for {', '.join(lacking)}; install that here, or run it by "
                f"`stargazer nb run`, which lets uv bring it"
            )
        try:
            ordered(self.document)
        except NotebookError as error:
            wrong.append(str(error))
        return wrong

    def plan(self, target: str | None = None, set: Mapping[str, Any] | None = None, again: bool = False) -> Report:
        """Say of each cell what running it would come to, and why; nothing runs but imports and definitions.

        Parameters
        ----------
        target
            Name of a cell or a value; only what it needs.
        set
            Values in place of those that cells make.
        again
            As for `run`.

        Raises
        ------
        NotebookError
            It is wrong; names all that is.
        """
        return self._report(self._made(target=target, given=set, again=again, dry=True).go())

    def run(
        self,
        target: str | None = None,
        set: Mapping[str, Any] | None = None,
        again: bool = False,
        client: Client | None = None,
        strict: bool = False,
    ) -> Notebook:
        """Run what is not known; results are there by name then.

        Parameters
        ----------
        target
            Name of a cell or a value; only what it needs runs.
        set
            Values in place of those that cells make.
        again
            Run all cells, whatever is known.
        client
            A Dask client; threads of this process by default.
        strict
            Refuse cells that change what others made.

        Raises
        ------
        NotebookError
            It is wrong; nothing ran.
        """
        self._walk = self._made(target=target, given=set, again=again, client=client, strict=strict)
        self._walked = self._walk.go()
        return self

    def _made(self, **options: Any) -> Walk:
        from stargazer.notebook.walk import Walk

        if wrong := self.check():
            raise NotebookError("\n".join([f"{self.document.path}:", *wrong]))
        find_beside(self.document.path)
        return Walk(self.document, self.store, **options)

    def _report(self, outcome: Outcome) -> Report:
        return Report(str(self.document.path), tuple(outcome.rows), outcome.seconds)

    def keep(self, key: str) -> None:
        """Note what the last run came to under the key of the whole notebook; not where each run has to say more."""
        from stargazer.notebook.whole import keep_whole

        if self.document.problems:
            return
        keep_whole(self.store, key, self.document.path, self.outcome)

    def write_page(self, out: str) -> Path:
        """Write the notebook with what its cells show in the last run: ``.html``, ``.ipynb`` or ``.md``."""
        from stargazer.notebook.pages import write_page

        shown = {row.cell: row.outputs for row in self.outcome.rows if row.cell is not None}
        return write_page(self.document, shown, out)

    @property
    def outcome(self) -> Outcome:
        """All that the last run came to: rows, assets, records."""
        if self._walked is None:
            raise NotebookError(f"{self.document.path} has not run: call run() first")
        return self._walked

    @property
    def report(self) -> Report:
        """What became of each cell in the last run."""
        return self._report(self.outcome)

    def why(self, cell: str) -> list[str]:
        """Say why a cell would run, or did; by its name, or a name that it makes."""
        rows = self._walked.rows if self._walked else self.plan().rows
        for row in rows:
            if row.name == cell or cell in row.defs:
                return row.why
        raise NotebookError(f"{self.document.path} has no cell {cell}")

    def why_not(self, name: str) -> str:
        """Why a name has no asset."""
        rows = [row for row in self.outcome.rows if name in row.defs]
        return "; ".join([f"its cell is {rows[0].state}", *rows[0].why]) if rows else "no cell makes it"

    @functools.cached_property
    def assets(self) -> Assets:
        """Values of the last run as assets of the store, by name."""
        return Assets(self)

    def __getitem__(self, name: str) -> Any:
        outcome = self.outcome
        if name in outcome.live:
            return outcome.live[name]
        if name in outcome.assets:
            from stargazer.notebook.rows import value_of

            assert self._walk is not None
            return value_of(outcome.assets[name], self._walk.prelude)
        if self._walk is not None and name in self._walk.prelude.namespace:
            return self._walk.prelude.namespace[name]
        raise NotebookError(f"{self.document.path} has no value {name}: {self.why_not(name)}")


def find_beside(path: Path) -> None:
    """Let imports find modules that lie beside a notebook, as marimo, Jupyter and ``python FILE`` do."""
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
