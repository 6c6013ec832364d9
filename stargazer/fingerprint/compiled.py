"""Whether the text of a file is what this process runs: only then may it stand for the code in a key.

Functions are compiled again and compared. Of classes and constants no code is left to compare: their files must be as
they were when a task was first made, or still say of everything what the process has.
"""

from __future__ import annotations
import __future__

import ast
import collections
import functools
import importlib.machinery
import marshal
import os
import sys
import time
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from stargazer.fingerprint.origin import INSTALLED, STANDARD
from stargazer.fingerprint.parsing import lines_of, parse, tree_of, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["is_as_imported", "is_of_another_text", "line_in", "note_modules", "runs"]

MARGIN = 2.0
"""Seconds by which the clock of a file server may be behind."""

FLAGS = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names})

Stamp = tuple[int, int, int, int, int]
_stamps: dict[str, Stamp] = {}
_noted = 0


def _process_start() -> float:
    try:
        with open("/proc/self/stat", "rb") as stat:
            ticks = int(stat.read().rpartition(b")")[2].split()[19])
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError, IndexError):
        return 0.0


STARTED = _process_start()


def note_modules() -> None:
    """Note how the files of all modules are that were imported so far; asked when a task is made, so it is cheap."""
    global _noted
    modules = list(sys.modules.values())
    for module in modules[min(_noted, len(modules)) :]:
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not file.startswith(STANDARD) and not any(each in file for each in INSTALLED):
            found = _stamp(file)
            if found is not None:
                _stamps.setdefault(file, found)
    _noted = len(modules)


def runs(code: CodeType, text: str, namespace: dict[str, Any] | None = None) -> bool:
    """Whether `text`, what its file says now, is what `code` was compiled from.

    Where something else than Python's own loader makes code of a file, its text is believed while nobody touches it.
    """
    ways = (_codes_near, _codes_alone, _codes_of_all)
    for candidates in ways if _is_asked_seldom(text) else reversed(ways):
        found = candidates(text, code.co_firstlineno, code.co_flags & FLAGS)
        if any(_same(code, each) for each in _named(found, code.co_name, code.co_firstlineno)):
            return True
    return _is_rewritten(namespace or {}) and not _is_touched(code.co_filename)


def line_in(code: CodeType, text: str) -> int | None:
    """Line of a text at which the function stands that `code` was compiled from, where lines above it came or went."""
    for each in _all_codes(text, code.co_flags & FLAGS):
        if each.co_qualname == code.co_qualname and _same(code, each):
            return each.co_firstlineno
    return None


def is_as_imported(module: ModuleType, text: Callable[[], str]) -> bool:
    """Whether the text of a module's file is what was imported, as far as classes and constants tell.

    The text is asked for only where the file is not as it was.
    """
    file = str(module.__file__)
    now, then = _stamp(file), _stamps.get(file)
    if now == then or now is None:
        return True
    if then is None and not _is_touched(file):
        return True
    if not _is_rewritten(vars(module)) and not _says_what_is(module, text()):
        return False
    _stamps[file] = now
    return True


def is_of_another_text(module: ModuleType, text: Callable[[], str]) -> bool:
    """Whether Python made a module of what it keeps compiled of an earlier text.

    It tells texts apart by their size and by the second in which they were written: of two of one second it runs the
    first. Only where the file is younger than what was compiled the two are compared.
    """
    spec = module.__spec__
    if spec is None or type(spec.loader) is not importlib.machinery.SourceFileLoader or not spec.cached:
        return False
    return _is_older(spec.cached, str(module.__file__)) and not _compiles_to(text(), spec.cached)


def _is_older(compiled: str, file: str) -> bool:
    try:
        found, made = os.stat(file), os.stat(compiled).st_mtime_ns
    except (OSError, ValueError):
        return False
    return max(found.st_mtime_ns, found.st_ctime_ns) >= made


@functools.lru_cache(maxsize=256)
def _compiles_to(text: str, kept: str) -> bool:
    """Whether what is kept compiled, behind 16 bytes of header, is the code of a text."""
    try:
        with open(kept, "rb") as stream:
            code = marshal.loads(stream.read()[16:])
        return bool(compile(text, "<source>", "exec", dont_inherit=True) == code)
    except (OSError, ValueError, EOFError, TypeError, SyntaxError):
        return True  # gone or in another form since: nothing that can be compared


def _stamp(file: str) -> Stamp | None:
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _is_touched(file: str) -> bool:
    """Whether somebody wrote to a file since the process started."""
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return False
    return max(found.st_mtime, found.st_ctime) >= STARTED - MARGIN


def _is_rewritten(namespace: dict[str, Any]) -> bool:
    """Whether a loader of somebody else made a module: pytest rewrites assertions, others check types."""
    loader = namespace.get("__loader__")
    if "@pytest_ar" in namespace:
        return True
    plain = importlib.machinery.SourceFileLoader, importlib.machinery.SourcelessFileLoader
    return isinstance(loader, plain) and type(loader) not in plain


Codes = dict[tuple[str, int], list[CodeType]]


def _named(codes: Codes, name: str, line: int) -> list[CodeType]:
    """Codes of a name that begin at a line; or before it, for marimo leaves the decorators of functions away."""
    exact = codes.get((name, line))
    return exact or [each for (other, first), many in codes.items() if other == name and first < line for each in many]


SELDOM = 8
"""Functions of a file that are compiled one by one, before the file is compiled as a whole."""


def _is_asked_seldom(text: str) -> bool:
    asked = _times_asked(text)
    asked[0] += 1
    return asked[0] <= SELDOM


@functools.lru_cache(maxsize=256)
def _times_asked(text: str) -> list[int]:
    return [0]


def _codes_near(text: str, line: int, flags: int) -> Codes:
    """Code of the statement at the top of a file that a line belongs to."""
    return _codes_around(text, line, flags, _statements(text)[1])


def _codes_alone(text: str, line: int, flags: int) -> Codes:
    """Code of that statement as IPython compiles it: one by one, so that no import is known to it."""
    return _codes_around(text, line, flags, "")


def _codes_around(text: str, line: int, flags: int, imported: str) -> Codes:
    for first, last in _statements(text)[0]:
        if first <= line <= last:
            return _compiled(text, first, last, imported, flags)
    return {}


def _codes_of_all(text: str, line: int, flags: int) -> Codes:
    return _compiled(text, 1, text.count("\n") + 1, "", flags)


@functools.lru_cache(maxsize=256)
def _statements(text: str) -> tuple[list[tuple[int, int]], str]:
    """First and last line of each statement at the top of a file; names that are imported there.

    Calls of these are compiled in another way.
    """
    try:
        body = tree_of(text).body
    except (SyntaxError, ValueError):
        return [], ""
    starts = [min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) for node in body]
    spans = [(start, node.end_lineno or start) for start, node in zip(starts, body, strict=True)]
    names = [each.name for node in body if isinstance(node, ast.Import) for each in node.names if not each.asname]
    names += [
        each.asname or each.name
        for node in body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for each in node.names
    ]
    plain = sorted({name.partition(".")[0] for name in names if name != "*"})
    return spans, f"import {','.join(plain)}" if plain else ""


@functools.lru_cache(maxsize=2048)
def _compiled(text: str, first: int, last: int, imported: str, flags: int) -> Codes:
    found: Codes = {}
    before = f"{imported}{chr(10) * (first - 1)}" if first > 1 else ""
    for code in _all_codes(before + "".join(_lines(text)[first - 1 : last]), flags):
        found.setdefault((code.co_name, code.co_firstlineno), []).append(code)
    return found


@functools.lru_cache(maxsize=256)
def _lines(text: str) -> list[str]:
    return lines_of(text, ends=True)


def _all_codes(text: str, flags: int) -> Iterator[CodeType]:
    try:
        todo = [compile(text, "<source>", "exec", flags=flags, dont_inherit=True)]
    except (SyntaxError, ValueError):
        todo = []
    while todo:
        inner = [const for const in todo.pop().co_consts if isinstance(const, CodeType)]
        todo += inner
        yield from inner


def _same(one: CodeType, other: CodeType) -> bool:
    """Whether two codes are the same function; one may stand in a function's body, as marimo writes its cells."""
    if one.co_freevars == other.co_freevars and (one.co_code != other.co_code or one.co_names != other.co_names):
        return False
    if _names(one) != _names(other) or len(one.co_consts) != len(other.co_consts):
        return False
    pairs = list(zip(one.co_consts, other.co_consts, strict=True))
    plain = [(a, b) for a, b in pairs if not isinstance(a, (CodeType, frozenset))]
    nested = [(a, b) for a, b in pairs if isinstance(a, CodeType) and isinstance(b, CodeType)]
    return all(_alike(a, b) for a, b in plain) and all(_same(a, b) for a, b in nested)


def _alike(one: Any, other: Any) -> bool:
    """Equal constants; of texts of several lines, the margin may differ: a cell is further left than its function."""
    if isinstance(one, str) and isinstance(other, str) and "\n" in one:
        return [line.strip() for line in one.splitlines()] == [line.strip() for line in other.splitlines()]
    return ascii(one) == ascii(other)


def _names(code: CodeType) -> set[str]:
    return {*code.co_names, *code.co_freevars, *code.co_cellvars, *code.co_varnames}


def _says_what_is(module: ModuleType, text: str) -> bool:
    """Whether a text has the functions that a module has, and its plain constants."""
    try:
        tree = parse(text)
    except (SyntaxError, ValueError):
        return False
    by_name: dict[str, list[CodeType]] = {}
    for code in _all_codes(text, _flags(tree)):
        by_name.setdefault(code.co_qualname, []).append(code)
    live = list(_function_nodes(vars(module), module.__name__))
    if not all(any(_same(each.__code__, code) for code in by_name.get(each.__code__.co_qualname, [])) for each in live):
        return False
    return all(_constants_agree(body, space) for body, space in _spaces(tree, vars(module)))


def _flags(tree: ast.Module) -> int:
    names = [
        a.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for a in node.names
    ]
    return sum({getattr(__future__, name).compiler_flag for name in names})


def _function_nodes(space: Any, module: str) -> Iterator[FunctionType]:
    for value in list(space.values()):
        function = getattr(value, "__func__", getattr(value, "fget", value))
        if isinstance(function, FunctionType) and function.__globals__.get("__name__") == module:
            if not function.__code__.co_filename.startswith("<"):
                yield function
        elif isinstance(value, type) and value.__module__ == module and space is not vars(value):
            yield from _function_nodes(vars(value), module)


def _spaces(tree: ast.Module, space: Any) -> Iterator[tuple[list[ast.stmt], Any]]:
    """The bodies of a module and of its classes, each with what it made."""
    yield tree.body, space
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            made = space.get(node.name)
            yield node.body, vars(made) if isinstance(made, type) else {}


def _constants_agree(body: list[ast.stmt], space: Any) -> bool:
    """Whether what a body says outright (``K = 1``, ``x: int = 1``, ``def f``) is what there is."""
    names = [node for each in body for node in walk(each) if isinstance(node, ast.Name)]
    deleted = {node.id for node in names if isinstance(node.ctx, ast.Del)}
    bound = collections.Counter(node.id for node in names if isinstance(node.ctx, ast.Store))
    for node in body:
        name = node.name if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else ""
        if name and not name.startswith("__") and name not in {*space, *deleted}:
            return False
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        said = _literal(getattr(node, "value", None))
        for target in targets:
            if isinstance(target, ast.Name) and said is not None and bound[target.id] == 1:
                there = space.get(target.id, said)
                if type(there) in SCALARS and ascii(said) != ascii(there):
                    return False
    return True


SCALARS = (bool, int, float, complex, str, bytes)


def _literal(node: ast.expr | None) -> Any:
    """A number or text that an expression is; None if it is anything else."""
    return node.value if isinstance(node, ast.Constant) and type(node.value) in SCALARS else None
