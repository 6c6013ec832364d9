"""Lines of IPython in cells: magics and shell commands, told apart from Python that looks like them."""

from __future__ import annotations

import ast
import io
import re
import tokenize

from stargazer.fingerprint.parsing import lines_of

__all__ = ["NO_PYTHON", "commands", "without_magics"]

MAGIC = re.compile(r"^\s*[%!]")
SHELL = re.compile(r"^\s*(%%|!)")
OF_PYTHON = re.compile(r"^\s*%%(time|capture)\s*$")
"""Magics whose cells are Python, and bind what it binds."""
NO_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What the compiler raises of text: a NUL, or brackets in brackets without end, are no SyntaxError to it."""


def without_magics(source: str) -> str:
    """Line magics are settings of a kernel: comments for everybody else, as jupytext writes them."""
    lines = lines_of(source)
    for number in commands(source):
        if not SHELL.match(lines[number]) or OF_PYTHON.match(lines[number]):
            lines[number] = f"# {lines[number]}"
    return "\n".join(lines)


def commands(source: str) -> list[int]:
    """Numbers, from 0, of lines that are IPython's: with ``%`` or ``!`` where a statement would begin.

    Within a string, or in an expression that goes on (``% 3`` below ``(10``), the same letters are Python's own.
    """
    lines = lines_of(source)
    if not any(MAGIC.match(line) for line in lines) or _is_python(source):
        return []
    found = []
    for number, line in enumerate(lines):
        if MAGIC.match(line) and not _goes_on(lines[:number]):
            found.append(number)
            lines[number] = ""
    return found


def _is_python(source: str) -> bool:
    try:
        compile(source, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except NO_PYTHON:
        return False
    return True


def _goes_on(lines: list[str]) -> bool:
    """Whether lines end within a string, brackets or a statement that a backslash continues."""
    if lines and lines[-1].endswith("\\"):
        return True
    try:
        list(tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline))
    except tokenize.TokenError as error:
        return any(words in str(error) for words in ("multi-line", "triple-quoted"))
    except SyntaxError:
        return False
    return False
