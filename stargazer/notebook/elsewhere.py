"""Run a notebook where the packages of its header are: an environment on top of this one, which uv makes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from stargazer.errors import NotebookError, ToolMissing
from stargazer.notebook.environment import missing_packages

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from stargazer.notebook.document import Document

__all__ = ["INSIDE", "lock", "python_with", "uv_command", "with_uv"]

INSIDE = "--in-its-environment"
"""Option of the program that is started again: it does not start itself once more."""

START = "from stargazer.cli import main; main()"


def uv_command(document: Document, arguments: Sequence[str]) -> list[str]:
    """Return the command that runs this program where a notebook's packages are; empty where nothing is missing.

    What is here is there as well; only what is missing, or of another version, is laid over it.

    Raises
    ------
    NotebookError
        Something is missing that uv cannot bring, or there is no uv.
    """
    lacking = missing_packages(document)
    if not lacking:
        return []
    if python := [each for each in lacking if each.startswith("Python ")]:
        raise NotebookError(f"{document.path}: its header asks for {python[0]}; start it with such a Python")
    wanted = [each.rpartition(" (")[0] for each in lacking]
    uv = _uv(f"{document.path}: its header asks for {', '.join(lacking)}")
    return [*python_with(wanted, uv), "-P", "-c", START, *arguments, INSIDE]


def python_with(packages: Iterable[str], uv: str) -> list[str]:
    """Return the beginning of a command: this Python, with packages laid over what is here.

    Parameters
    ----------
    packages
        As headers ask for them.
    uv
        Path of uv.
    """
    laid = [word for each in packages for word in ("--with", each)]
    return [uv, "run", "--no-project", "--python", sys.executable, *laid, "python"]


def _uv(told: str) -> str:
    from stargazer.tools.identity import locate_tool

    try:
        return locate_tool("uv")
    except ToolMissing:
        raise NotebookError(
            f"{told}. Install that here, or install uv (`pip install uv`), which brings it for the run"
        ) from None


def with_uv(document: Document, arguments: Sequence[str]) -> None:
    """Become the program that runs where a notebook's packages are; return where nothing is missing.

    Raises
    ------
    NotebookError
        As `uv_command`.
    """
    if command := uv_command(document, arguments):
        sys.stdout.flush()
        os.execv(command[0], command)


def lock(path: Path) -> Path:
    """Write ``FILE.lock`` beside a notebook: each package of its header with the one version that uv chooses.

    uv runs in the user's own environment: that says where it finds packages, and by which proxy.

    Raises
    ------
    NotebookError
        There is no uv, or it finds no versions that go together.
    """
    from stargazer.config import command_environment
    from stargazer.errors import ToolFailed
    from stargazer.tools import Workdir

    _uv(f"{path}: to lock its packages uv is needed")
    try:
        Workdir(path.absolute().parent, env=command_environment()).run(["uv", "lock", "--script", path.name])
    except ToolFailed as error:
        raise NotebookError(f"{path}: uv cannot lock its packages: {error}") from None
    return path.with_name(f"{path.name}.lock")
