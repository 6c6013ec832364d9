"""The process of one open notebook: marimo, with the installed packages first; ``python -P -m stargazer.app.kernel``.

marimo puts the notebook's folder before everything else where it is not on the path yet, so that a folder
``stargazer/`` there would be taken for the package. Here it stands last, in the processes too that marimo starts: they
get the path as it is.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main(file: str, cpus: int, arguments: list[str]) -> None:
    """Run marimo in the folder of a notebook.

    Parameters
    ----------
    file
        The notebook, by its whole path.
    cpus
        Processors that it may use; 0 for all.
    arguments
        What marimo is given.
    """
    from importlib.metadata import entry_points

    folder = os.path.dirname(file)
    os.chdir(folder)
    sys.path[:] = [each for each in sys.path if each not in ("", ".", folder)]
    sys.path += [folder]
    if cpus and hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        first = os.getpid() % len(allowed)
        os.sched_setaffinity(0, (allowed[first:] + allowed[:first])[:cpus])
    (command,) = entry_points(group="console_scripts", name="marimo")
    sys.argv = ["marimo", *arguments]
    command.load()()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
