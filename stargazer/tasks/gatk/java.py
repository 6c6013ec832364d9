"""How tasks run GATK."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.errors import DataError, MemoryExceeded, ToolFailed
from stargazer.tools.identity import locate_tool
from stargazer.tools.install import gatk_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stargazer.tools import Workdir

    Argument = str | int | float | Path

__all__ = ["CALLER", "run_gatk"]

CALLER = "gatk"
"""How facts name what GATK made."""

BRIEF = 64 << 20
"""Bytes of input up to which a step takes seconds, and Java's first compiler is enough."""

STARVED = ("java.lang.OutOfMemoryError", "insufficient memory for the Java Runtime", "Too small maximum heap")
"""What Java says when it has too little memory."""

LISTS = (".list", ".args")
"""Ends of names for which GATK takes a file for names of other files, one a line, wherever it takes several."""

USUAL_MEMORY = 2 << 30
HEAP = 0.75
"""Share of a task's memory for Java's objects; Java itself and native code want the rest."""


def run_gatk(work: Workdir, command: Sequence[Argument], *inputs: Path) -> None:
    """Run a tool of GATK.

    Parameters
    ----------
    work
        The scratch directory.
    command
        ``"gatk"``, the name of the tool, and its arguments.
    *inputs
        The large files that it reads, whose size tells whether the step is a matter of seconds. How Java compiles and
        how much memory it has changes no result.

    Raises
    ------
    ToolFailed
        It failed; its last words say why.
    MemoryExceeded
        The memory of the task was not enough for Java.
    ToolMissing
        There is no GATK or no Java.
    DataError
        A file has a name for which GATK would read it as a list of other files.
    """
    _refuse_lists(command)
    heap = int((work.memory or USUAL_MEMORY) * HEAP)
    brief = sum(path.stat().st_size for path in inputs if path.is_file()) < BRIEF
    (work.path / "tmp").mkdir(exist_ok=True)
    try:
        work.run([*gatk_command(locate_tool(CALLER), heap=heap, brief=brief), *command[1:]])
    except ToolFailed as error:
        if not any(words in error.tail for words in STARVED):
            raise
        raise MemoryExceeded(error.command, work.peak_bytes, work.memory or USUAL_MEMORY, error.tail) from error


def _refuse_lists(command: Sequence[Argument]) -> None:
    if named := [word.name for word in command if isinstance(word, Path) and word.name.lower().endswith(LISTS)]:
        raise DataError(f"GATK takes {named[0]} for a list of files, by its name, and would read those: rename it")
