"""Parse source, whatever other threads parse meanwhile."""

from __future__ import annotations

import ast
import re
import time
from typing import Any

__all__ = ["lines_of", "parse"]

TRIES = 20


def parse(source: str | bytes, filename: str = "<unknown>", mode: str = "exec") -> Any:
    """Return the tree of some source, as `ast.parse` does.

    CPython 3.11 counts how deep it is in a tree for all threads together. Where another takes over in the middle, the
    one that is disturbed ends with a SystemError ("AST constructor recursion depth mismatch"), and may begin anew.

    Parameters
    ----------
    source, filename, mode
        As for `ast.parse`.

    Raises
    ------
    SyntaxError, ValueError
        It is no Python.
    """
    for attempt in range(TRIES):
        try:
            return ast.parse(source, filename, mode)
        except SystemError:
            if attempt == TRIES - 1:
                raise
            time.sleep(0.001 * attempt)
    raise AssertionError("unreachable")


def lines_of(text: str, ends: bool = False) -> list[str]:
    """Return the lines of some source as the parser counts them.

    `str.splitlines` also ends lines at form feeds and at Unicode's separators, which stand between the pages of old
    sources and in texts that were pasted: whoever takes lines by the numbers of a tree would take others.

    Parameters
    ----------
    text
        As files come when they are read as text: a line feed ends a line.
    ends
        Keep the ends.
    """
    return re.findall(r"[^\n]*\n|[^\n]+", text) if ends else text.removesuffix("\n").split("\n") if text else []
