"""What does a notebook of 20 cells cost: new, unchanged, with one cell edited, with an edit that changes no value?

And what do we add to a cell: to a known one, to one that runs, in an editor; and do cells run side by side?

A frame of 300,000 rows, 18 summaries of 0.1 s each, one table; whole processes. Beside it: the same file as a plain
script, ``marimo export`` with marimo's own cache of cells, papermill where it is installed, and, as a bound for what is
unchanged, ``python -c "import dask.delayed"``.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.rounds import PROGRAMS, Ended, Ratio, compare, in_turns, process, temporary

__all__ = ["measure", "notebook_text"]

AIM_IMPORT, AIM_MARIMO, AIM_EDITED = 1.3, 0.25, 0.8
HEAD = """\
import marimo

app = marimo.App()

with app.setup:
    import time
    import numpy as np
    import pandas as pd
"""
FRAME = (
    "df = pd.DataFrame({'g': np.random.default_rng(7).integers(0, 50, 300_000), "
    "'x': np.random.default_rng(8).normal(size=300_000)})"
)
SILENT = "import os, sys\nsys.stdout = open(os.devnull, 'w')\n"


def notebook_text(edit: str = "0", pause: float = 0.1) -> str:
    """The notebook; what is added to the tenth summary is `edit`."""
    cells = [("df", "", FRAME)]
    for n in range(18):
        made = f"df.groupby('g')['x'].mean() + {n}" if n % 6 == 0 else f"t{n - 1} * 1.5"
        extra = f" + {edit}" if n == 9 else " + 0"
        cells.append((f"t{n}", "df" if n % 6 == 0 else f"t{n - 1}", f"time.sleep({pause})\n    t{n} = {made}{extra}"))
    cells.append(("out", "t5, t11, t17", "out = pd.concat([t5, t11, t17], axis=1, keys=['a', 'b', 'c'])\n    out"))
    written = "".join(
        f"\n@app.cell\ndef _({reads}):\n    {body}\n    return ({name},)\n" for name, reads, body in cells
    )
    return f"{HEAD}{written}\nif __name__ == '__main__':\n    app.run()\n"


def measure(quick: bool = False) -> Iterator[Ratio]:
    """Yield each ratio as it is known.

    Parameters
    ----------
    quick
        Fewer rounds: for trying out, not for quoting.
    """
    with temporary() as directory:
        bench = Notebooks(directory, 2 if quick else 7)
        yield from bench.cold()
        yield from bench.unchanged()
        yield from bench.edited("one cell edited", lambda number: f"{number + 1}", AIM_EDITED)
        yield from bench.edited("an edit that changes no value", lambda number: f"0.0 * {number + 1}", None)
        yield from bench.a_cell()


class Notebooks:
    """The programs, each with a folder of its own."""

    def __init__(self, directory: Path, rounds: int) -> None:
        self.directory, self.rounds = directory, rounds
        self._serial = itertools.count(1)
        self.programs: dict[str, Callable[[Path], Ended]] = {
            "ours": ours,
            "python FILE": script,
            "marimo's cache": marimo,
        }
        if importlib.util.find_spec("papermill"):
            self.programs["papermill"] = papermill

    def cold(self) -> Iterator[Ratio]:
        """Nothing is known."""
        yield from self._ratios("new", lambda name: self._fresh(name, str(next(self._serial) * 1000)))

    def unchanged(self) -> Iterator[Ratio]:
        """Nothing has changed."""
        folders = {name: self._known(name) for name in self.programs}
        yield from self._ratios("unchanged", folders.__getitem__, {"marimo's cache": AIM_MARIMO})
        both = {"ours": lambda: ours(folders["ours"]), "import": lambda: process("-c", "import dask.delayed")}
        found = in_turns(both, 3 * self.rounds)
        for part in ("wall", "cpu"):
            mine, theirs = ([getattr(each.spent, part) for each in found[name]] for name in ("ours", "import"))
            yield compare("notebooks", f"unchanged, {part}", "import dask.delayed", mine, theirs, "s", aim=AIM_IMPORT)

    def edited(self, case: str, edit: Callable[[int], str], aim: float | None) -> Iterator[Ratio]:
        """One cell has another text."""
        folders = {name: self._known(name) for name in self.programs}

        def changed(name: str) -> Path:
            (folders[name] / "nb.py").write_text(notebook_text(edit(next(self._serial))))
            return folders[name]

        yield from self._ratios(case, changed, {"marimo's cache": aim} if aim else {})

    def a_cell(self) -> Iterator[Ratio]:
        """What we add to a small cell, beside one digest of its code; and four, none of which needs another."""
        program = PROGRAMS / "notebook_cells.py"
        found = [process(program, self.directory, 1000 * number).printed for number in range(self.rounds)]
        digests = [each["digests"] for each in found]
        parts = (("a known cell", "known", 1.0), ("a cell that runs", "ran", 10.0), ("in an editor", "editor", 5.0))
        for case, name, aim in parts:
            mine = [each[name] for each in found]
            yield compare("notebooks", f"{case}, cpu", "digest of its code", mine, digests, "ms", aim=aim, of="ours")
        plain, ours = ([each[name] for each in found] for name in ("plain", "beside"))
        yield compare("notebooks", "four cells plainly", "side by side", plain, ours, "s", aim=1.8, better="higher")

    def _fresh(self, name: str, edit: str) -> Path:
        folder = self.directory / f"{next(self._serial)}"
        folder.mkdir()
        (folder / "nb.py").write_text(
            notebook_text(edit).replace("default_rng(7)", f"default_rng({next(self._serial)})")
        )
        if name == "marimo's cache":
            (folder / "pyproject.toml").write_text("[tool.marimo.runtime]\ncache_cells = true\n")
        return folder

    def _known(self, name: str) -> Path:
        folder = self._fresh(name, "0")
        self.programs[name](folder)
        return folder

    def _ratios(
        self, case: str, folder: Callable[[str], Path], aims: dict[str, float] | None = None
    ) -> Iterator[Ratio]:
        work = {name: lambda name=name: self.programs[name](folder(name)) for name in self.programs}
        found = in_turns(work, self.rounds)
        for name in list(self.programs)[1:]:
            mine, theirs = ([each.spent.wall for each in found[each_name]] for each_name in ("ours", name))
            yield compare("notebooks", case, name, mine, theirs, "s", aim=(aims or {}).get(name))


def ours(folder: Path) -> Ended:
    """``stargazer nb run``."""
    argv = json.dumps(["stargazer", "nb", "run", str(folder / "nb.py")])
    return process("-c", f"{SILENT}from stargazer.cli import main\nsys.argv = {argv}\nmain()")


def script(folder: Path) -> Ended:
    """``python nb.py``."""
    return process("-c", f"{SILENT}import runpy\nrunpy.run_path({str(folder / 'nb.py')!r}, run_name='__main__')")


def marimo(folder: Path) -> Ended:
    """``marimo export html`` in a folder whose settings keep cells."""
    return _module("marimo", folder, "-y", "export", "html", "nb.py", "-o", "page.html", "-f")


def papermill(folder: Path) -> Ended:
    """``papermill`` on the same cells as a notebook of Jupyter."""
    argv = [sys.executable, "-m", "marimo", "-y", "export", "ipynb", "nb.py", "-o", "nb.ipynb", "-f"]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    return _module("papermill", folder, "-k", "python3", "nb.ipynb", "out.ipynb")


def _module(name: str, folder: Path, *argv: str) -> Ended:
    started = f"os.chdir({str(folder)!r})\nimport runpy\nsys.argv = {json.dumps([name, *argv])}"
    return process("-c", f"{SILENT}{started}\nrunpy.run_module({name!r}, run_name='__main__')")
