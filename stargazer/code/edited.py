"""Was a file edited after its code was read? Then its text is not what runs."""

from __future__ import annotations
import __future__

import functools
import os
import time
from types import CodeType

__all__ = ["runs"]

MARGIN = 2.0
"""Seconds by which the clock of a file server may be behind."""


def _process_start() -> float:
    try:
        with open("/proc/self/stat", "rb") as stat:
            ticks = int(stat.read().rpartition(b")")[2].split()[19])
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError, IndexError):
        return 0.0


STARTED = _process_start()
FLAGS = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names})


def runs(code: CodeType, text: str) -> bool:
    """Whether `text`, what its file says now, is what `code` was compiled from.

    A file that nobody touched since the process started is believed; another is compiled and compared.
    """
    try:
        found = os.stat(code.co_filename)
    except (OSError, ValueError):
        return True
    if max(found.st_mtime, found.st_ctime) < STARTED - MARGIN:
        return True
    candidates = _codes(text, code.co_flags & FLAGS).get((code.co_name, code.co_firstlineno), [])
    return any(_same(code, candidate) for candidate in candidates)


@functools.lru_cache(maxsize=256)
def _codes(text: str, flags: int) -> dict[tuple[str, int], list[CodeType]]:
    found: dict[tuple[str, int], list[CodeType]] = {}
    try:
        todo = [compile(text, "<source>", "exec", flags=flags, dont_inherit=True)]
    except (SyntaxError, ValueError):
        todo = []
    while todo:
        inner = [const for const in todo.pop().co_consts if isinstance(const, CodeType)]
        todo += inner
        for code in inner:
            found.setdefault((code.co_name, code.co_firstlineno), []).append(code)
    return found


def _same(one: CodeType, other: CodeType) -> bool:
    """Whether two codes are the same function; one may stand in a function's body, as marimo writes its cells."""
    if one.co_freevars == other.co_freevars and (one.co_code != other.co_code or one.co_names != other.co_names):
        return False
    if _names(one) != _names(other) or len(one.co_consts) != len(other.co_consts):
        return False
    pairs = list(zip(one.co_consts, other.co_consts, strict=True))
    plain = [(ascii(a), ascii(b)) for a, b in pairs if not isinstance(a, (CodeType, frozenset))]
    nested = [(a, b) for a, b in pairs if isinstance(a, CodeType) and isinstance(b, CodeType)]
    return all(a == b for a, b in plain) and all(_same(a, b) for a, b in nested)


def _names(code: CodeType) -> set[str]:
    return {*code.co_names, *code.co_freevars, *code.co_cellvars, *code.co_varnames}
