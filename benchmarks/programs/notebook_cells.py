"""Milliseconds of CPU a cell: known, run, in an editor, what digests take of that; and cells side by side; as JSON.

Of small cells, beside what their values and digests take: what is left is what we add.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import stargazer as sg
from stargazer.notebook.code import Prelude
from stargazer.notebook.live import Live
from stargazer.store import active_store

CELLS, TIMES = 100, 3
FOUR = """\
# %%
import numpy as np

def sorted_sum(seed, edit):
    drawn, generator, total = np.empty(1_000_000), np.random.default_rng(seed), 0.0
    for _ in range(40):  # on memory that is there: new pages are the kernel's work, and wait for each other
        generator.random(out=drawn)
        drawn.sort()
        total += drawn[::2].sum()
    return float(total) + edit

"""


def milliseconds(work: Callable[[], object]) -> float:
    """CPU of this process, a cell."""
    began = time.process_time()
    work()
    return (time.process_time() - began) / CELLS * 1e3


def written(added: int) -> str:
    """A notebook of small cells."""
    return "# %%\nimport math\n\n" + "".join(f"# %%\nx{n} = math.sqrt({n}) + {added}\n\n" for n in range(CELLS))


def headless(path: Path, added: int) -> float:
    """One walk."""
    path.write_text(written(added))
    book = sg.Notebook(path)
    return milliseconds(book.run)


def edited(added: int) -> tuple[float, float]:
    """One kernel that runs all cells; and what digests took of it."""
    live, space, digests = Live(active_store(), sequential=True), dict[str, Any](), 0.0
    identify = Prelude.identify

    def timed(self: Prelude, *argv: Any) -> Any:
        nonlocal digests
        began = time.process_time()
        try:
            return identify(self, *argv)
        finally:
            digests += time.process_time() - began

    def run() -> None:
        for number in range(CELLS):
            looked = live.look(f"y{number} = {number} + {added}", space, str(number))
            if looked.record is not None:
                live.restore(looked, space)
                continue
            with live.watched(looked):
                exec(looked.cell.source, space)
            live.record(looked, space, [])

    Prelude.identify = timed  # type: ignore[method-assign]
    try:
        return milliseconds(run), digests / CELLS * 1e3
    finally:
        Prelude.identify = identify  # type: ignore[method-assign]


def four(folder: Path, added: int) -> tuple[float, float]:
    """Seconds of four cells one after the other, and side by side."""
    text = FOUR + "".join(f"# %%\na{n} = sorted_sum({n}, {added})\n\n" for n in range(4))
    (folder / "four.py").write_text(text)
    book = sg.Notebook(folder / "four.py")
    began = time.perf_counter()
    exec(text, {})
    between = time.perf_counter()
    book.run()
    return between - began, time.perf_counter() - between


def main(folder: Path, first: int) -> None:
    """Measure, and print; what is added to cells begins with a number, so that they are new."""
    path = folder / "cells.py"
    headless(path, -1)  # imports
    ran = [headless(path, first + n) for n in range(TIMES)]
    known = [headless(path, first + TIMES - 1) for _ in range(TIMES)]
    edited(-1)
    kernels = [edited(-1) for _ in range(TIMES)]
    whole, digests = (statistics.median(each) for each in zip(*kernels, strict=True))
    found = {"ran": statistics.median(ran), "known": statistics.median(known), "editor": whole - digests}
    plain, beside = four(folder, first)
    print(json.dumps({**found, "digests": digests, "plain": plain, "beside": beside}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
