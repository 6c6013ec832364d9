"""Random notebooks, edited at random: values are those of a fresh run, and nothing runs that the plan did not say."""

from __future__ import annotations

import contextlib
import io
import random
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.notebook.rows import ChangesOthers

pytest.importorskip("pyarrow")
pytest.importorskip("marimo")

EDITS = 10
"""Of each notebook."""
HELPERS = """\
FACTOR = {factor}

def twice(x):
    return [each * {two} for each in x]

def total(x):
    return sum(x) + FACTOR"""


class Random:
    """A notebook of list-valued cells that read each other, with a helper, a file, and sometimes a change in place."""

    def __init__(self, seed: int, folder: Path, kind: str) -> None:
        self.random = random.Random(seed)
        self.path, self.kind, self.file = folder / "nb.py", kind, folder / "in.txt"
        self.factor, self.two = 1, "2"
        self.file.write_text("1 2 3")
        self.cells = [self.cell(number) for number in range(8)]

    def cell(self, number: int) -> str:
        pick = self.random
        earlier = [f"v{n}" for n in range(number)]
        one = pick.choice(earlier) if earlier else "[1]"
        other = pick.choice(earlier) if earlier else "[2]"
        forms = [
            f"v{number} = [{pick.randint(0, 3)}, {pick.randint(0, 3)}]",
            f"v{number} = twice({one})",
            f"v{number} = [total({one}), {pick.randint(0, 3)}]",
            f"v{number} = {one} + {other}",
            f"v{number} = sorted({one})[:2]\nprint(v{number})",
            f"v{number} = [int(each) for each in open({str(self.file)!r}).read().split()]",
        ]
        if self.kind == "percent" and earlier:
            forms.append(f"{one}.append({pick.randint(0, 3)})\nv{number} = list({one})")
            forms.append(f"{one} = {one} + [{pick.randint(0, 3)}]\nv{number} = {one}[-1:]")
            forms.append(f"v{number} = {one}\nv{number}.append({pick.randint(0, 3)})")
            forms.append(f"s{number} = {one}\ns{number}.sort()\nv{number} = s{number}[:1]")
            forms.append(f"v{number} = {one}")
        return pick.choice(forms)

    def edit(self) -> None:
        pick = self.random.random()
        if pick < 0.6:
            number = self.random.randrange(len(self.cells))
            self.cells[number] = self.cell(number)
        elif pick < 0.7:
            number = self.random.randrange(len(self.cells))
            self.cells[number] = f"# {self.random.random()}\n{self.cells[number]}"
        elif pick < 0.8:
            self.factor = self.random.randint(1, 3)
        elif pick < 0.9:
            self.two = self.random.choice(["2", "(1 + 1)", "3"])
        else:
            self.file.write_text(self.random.choice(["1 2 3", "3 2 1", "5"]))

    def sources(self) -> list[str]:
        return [HELPERS.format(factor=self.factor, two=self.two), *self.cells]

    def write(self) -> None:
        if self.kind == "percent":
            self.path.write_text("".join(f"# %%\n{source}\n\n" for source in self.sources()))
            return
        bodies = ("\n".join(f"    {line}" for line in source.splitlines()) for source in self.sources())
        cells = "".join(f"@app.cell\ndef _():\n{body}\n    return\n\n\n" for body in bodies)
        self.path.write_text(f"import marimo\n\napp = marimo.App()\n\n\n{cells}")

    def fresh(self) -> dict[str, Any]:
        """What the notebook comes to where nothing is known: marimo itself runs its files.

        In a thread, because marimo looks up every frame of the stack, and that of pytest is deep.
        """
        with ThreadPoolExecutor(1) as alone:
            return alone.submit(self._fresh).result()

    def _fresh(self) -> dict[str, Any]:
        space: dict[str, Any] = {"print": lambda *_: None, "__name__": "nb", "__file__": str(self.path)}
        if self.kind == "marimo":
            exec(compile(self.path.read_text(), self.path, "exec"), space)
            with contextlib.redirect_stdout(io.StringIO()):
                _, values = space["app"].run()
            return {name: value for name, value in values.items() if name.startswith("v")}
        for source in self.sources():
            exec(source, space)
        return {name: value for name, value in space.items() if name.startswith("v")}


@pytest.mark.parametrize("kind", ["marimo", "percent"])
@pytest.mark.slow
def test_random_edits(kind: str, tmp_path: Path, store: sg.Store, seeds: Any) -> None:
    for seed in seeds(range(2), range(15)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        book = Random(seed, folder, kind)
        for _ in range(EDITS):
            book.edit()
            book.write()
            opened = sg.Notebook(book.path)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ChangesOthers)
                planned = opened.plan()
                opened.run()
            states = [row.state for row in opened.report.rows]
            told = f"seed {seed}\n{book.path.read_text()}\n{planned}\n{opened.report}"
            assert opened.report.success, told
            fresh = book.fresh()
            assert len(fresh) == len(book.cells), told
            for name, value in fresh.items():
                assert opened[name] == value, f"{name}: {opened[name]} != {value}\n{told}"
            for row, state in zip(planned.rows, states, strict=True):
                assert state != "ran" or row.state == "run", told
