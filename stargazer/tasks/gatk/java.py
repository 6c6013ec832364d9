"""How tasks run GATK."""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.errors import DataError, MemoryExceeded, ToolFailed
from stargazer.tools.identity import locate_tool
from stargazer.tools.install import gatk_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stargazer.tools import Workdir

    Argument = str | int | float | Path

__all__ = ["CALLER", "Extra", "cause_of", "check_tools", "run_gatk"]

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


Extra = dict[str, list[str]]
"""Further arguments, by the name of the tool: ``{"HaplotypeCaller": ["--pcr-indel-model", "NONE"]}``."""

UTF_8 = ("env", "LC_ALL=C.UTF-8")
"""Java takes the letters that names of files have from the locale, and others than ASCII for question marks in C."""

TEMPORARY = "-Djava.io.tmpdir=tmp"
PLAIN = re.compile(r"[A-Za-z0-9_./-]+")

CAUSE = re.compile(r"^(?:Exception in thread \S+ |Caused by: )?([\w$.]*(?:Exception|Error)\b[^\n]*)", re.MULTILINE)
USER_ERROR = re.compile(r"^A USER ERROR has occurred: ([^\n]*(?:\n(?!\*+\n|\n|Set the)[^\n]+)*)", re.MULTILINE)


def cause_of(log: str) -> str:
    """The line of a Java program's log that says why it failed; empty where none does."""
    if told := USER_ERROR.findall(log):
        return str(told[-1]).strip()
    found = CAUSE.findall(log)
    return str(found[0]).strip() if found else ""


@contextlib.contextmanager
def _temporary(work: Workdir) -> Iterator[str]:
    """Where Java has its temporary files: GATK does not find them again below a folder with a blank in its name."""
    if PLAIN.fullmatch(str(work.path)):
        yield "tmp"
    else:
        with tempfile.TemporaryDirectory(prefix="stargazer-gatk-") as place:
            yield place


def run_gatk(work: Workdir, command: Sequence[Argument], *inputs: Path, extra: Extra | None = None) -> None:
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
    extra
        Further arguments, by tool.

    Raises
    ------
    ToolFailed
        It failed; the exception's own line stands first.
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
    more = (extra or {}).get(str(command[1]), [])
    before = len(work.log())
    java = gatk_command(locate_tool(CALLER), heap=heap, brief=brief)
    try:
        with _temporary(work) as place:
            words = [word.replace(TEMPORARY, f"-Djava.io.tmpdir={place}") for word in java]
            work.run([*UTF_8, *words, *command[1:], *more])
    except ToolFailed as error:
        if any(words in error.tail for words in STARVED):
            raise MemoryExceeded(error.command, work.peak_bytes, work.memory or USUAL_MEMORY, error.tail) from error
        cause = cause_of(work.log()[before:].decode("utf-8", "replace"))
        if not cause or error.tail.startswith(cause):
            raise
        raise ToolFailed(error.command, error.code, f"{cause}\n{error.tail}") from error


def _refuse_lists(command: Sequence[Argument]) -> None:
    if named := [word.name for word in command if isinstance(word, Path) and word.name.lower().endswith(LISTS)]:
        raise DataError(f"GATK takes {named[0]} for a list of files, by its name, and would read those: rename it")


TOOLS = (
    *("SortSam", "MarkDuplicates", "BaseRecalibrator", "ApplyBQSR", "HaplotypeCaller", "GenomicsDBImport"),
    *("GenotypeGVCFs", "VariantFiltration", "VariantRecalibrator", "ApplyVQSR"),
)
"""Tools of the workflow that take further arguments."""


def check_tools(extra: Mapping[str, Sequence[str]]) -> None:
    """Refuse arguments of a tool that the workflow does not run.

    Raises
    ------
    DataError
        There is one.
    """
    if unknown := sorted(set(extra) - set(TOOLS)):
        raise DataError(f"extra arguments are given for {', '.join(unknown)}; tools that take some: {', '.join(TOOLS)}")
    if wrong := [tool for tool, words in extra.items() if isinstance(words, str)]:
        raise DataError(f"extra arguments of {', '.join(wrong)} are a list of words, as a shell would split them")
