"""Flows in a folder of their own, with real files of Jupyter and git."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import nbformat

from stargazer.notebook import flow as nb

SOURCE = """\
# ---
# Title: noise: how much
# Status: active
# Objective: Look at it
# Focus: PSD
# Guardrails: Read-only
# ---

# %% [markdown]
# # Noise
# how much there is

# %% imports tags=["setup"]
import math
# %% first
a = 1
print(a)


# %%
b = a + 1
b

# %%
c = math.sqrt(16)
c
"""
ENTRY = "  - path: notebooks/explore/.src/noise.py\n    kind: explore\n    pair_ipynb: true\n"


class Desk:
    """A flow with one percent notebook."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "notebooks/notebook.yml"
        self.py = root / "notebooks/explore/.src/noise.py"
        self.ipynb = root / "notebooks/explore/noise.ipynb"

    def begin(self, source: str = SOURCE, entry: str = ENTRY, head: str = "") -> Desk:
        self.py.parent.mkdir(parents=True, exist_ok=True)
        self.py.write_text(source)
        self.config.write_text(f"{head}entries:\n{entry}")
        return self

    def sync(self, **options: object) -> nb.Synced:
        (done,) = nb.sync(self.root, **options)  # type: ignore[arg-type]
        return done

    def edit_py(self, old: str, new: str) -> None:
        text = self.py.read_text()
        assert old in text
        self.py.write_text(text.replace(old, new))

    def edit_nb(self, change: Callable[[list], None]) -> None:
        book = self.read()
        change(book.cells)
        nbformat.write(book, self.ipynb)

    def set_cell(self, number: int, source: str) -> None:
        self.edit_nb(lambda cells: cells[number].update(source=source))

    def read(self) -> nbformat.NotebookNode:
        return nbformat.read(self.ipynb, 4)

    def sources(self) -> list[str]:
        return [cell.source for cell in self.read().cells]

    def give_outputs(self) -> None:
        """As a kernel would have left it: each code cell shows its own source."""

        def run(cells: list) -> None:
            for number, cell in enumerate(cells):
                if cell.cell_type == "code":
                    cell.outputs = [nbformat.v4.new_output("stream", text=cell.source)]
                    cell.execution_count = number
                    cell.metadata["mine"] = number

        self.edit_nb(run)

    def shown(self) -> list[str]:
        """Output of each code cell."""
        return [cell.outputs[0].text if cell.outputs else "" for cell in self.read().cells if cell.cell_type == "code"]

    def git(self, *argv: str) -> str:
        person = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *person, *argv], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout

    def commit(self) -> None:
        self.git("init", "-q")
        self.git("add", "-A")
        self.git("commit", "-qm", "all")
