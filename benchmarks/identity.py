"""What the identity of code costs, beside its bounds: CPU of the first digest of a task, and of wide ones.

Processes are new; files are known to the cache of the host, as they are from the second process on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.rounds import PROGRAMS, Ratio, compare, process, temporary

__all__ = ["measure"]

BOUND = 50.0
"""Milliseconds."""


def measure(quick: bool = False) -> Iterator[Ratio]:
    """Yield each ratio as it is known.

    Parameters
    ----------
    quick
        Few rounds.
    """
    rounds = 3 if quick else 9
    with temporary() as folder:
        sharp, wide = folder / "sharp", folder / "wide"
        pieces(sharp, 200)
        modules(wide, 500)
        for case, place, figure in (
            ("first digest of a task with 200 pieces", sharp, "first"),
            ("500 own modules wide, once more", wide, "again"),
            ("502 own modules wide, in a new process", wide, "first"),
        ):
            found = [1e3 * process(PROGRAMS / "identity_digest.py", place).printed[figure] for _ in range(rounds + 1)]
            yield compare("identity", case, "its bound", found[1:], [BOUND] * rounds, "ms", aim=1)


def pieces(folder: Path, number: int) -> None:
    """Write a module whose body reaches that many functions, classes and constants."""
    folder.mkdir(parents=True)
    lines = ["import math", "from dataclasses import dataclass"]
    for each in range(number // 4):
        lines += [
            f"LIMIT_{each} = {each}",
            f"TABLE_{each} = {{'depth': LIMIT_{each}, 'names': ['a', 'b']}}",
            (
                f"@dataclass\nclass Options_{each}:\n    depth: int = LIMIT_{each}\n    name: str = 'x'\n"
                f"    def factor(self, x): return self.depth * x + TABLE_{each}['depth']"
            ),
            (
                f"def step_{each}(x):\n    found = [y for y in range(x) if y > LIMIT_{each}]\n"
                f"    return Options_{each}().factor(len(found)) + math.sqrt(abs(x))"
            ),
        ]
    calls = " + ".join(f"step_{each}(3)" for each in range(number // 4))
    (folder / "pipeline.py").write_text("\n".join([*lines, f"def body(work): return {calls}\n"]))


def modules(folder: Path, number: int) -> None:
    """Write a package of that many modules, and a body that finds one of them by a name that it puts together."""
    package = folder / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for each in range(number):
        before = f"from package.m{each - 1} import f{each - 1}\n" if each else "def f(x): return x\n"
        called = f"f{each - 1}" if each else "f"
        lines = "".join(f"def g{n}(x, y=1):\n    return [{called}(z) * y for z in range(x)]\n" for n in range(5))
        (package / f"m{each}.py").write_text(f"{before}{lines}def f{each}(x): return {called}(x) + {each}\n")
    (folder / "pipeline.py").write_text(
        f"import importlib, sys\nsys.setrecursionlimit(5000)\nimport package.m{number - 1}\n"
        "def body(work): return importlib.import_module('package.m' + '3').f3(1)\n"
    )
