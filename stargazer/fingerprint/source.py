"""Find the syntax tree of a function, class or module that is already running."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import linecache
import opcode
import sys
from types import CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import CodeChanged
from stargazer.fingerprint.compiled import is_as_imported, is_of_another_text, line_in, runs
from stargazer.fingerprint.parsing import children, parse, tree_of, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "Chain",
    "Import",
    "References",
    "check_module",
    "class_node",
    "defaults_in",
    "dotted",
    "enclosing_node",
    "file_text",
    "function_nodes",
    "global_names",
    "is_ambiguous",
    "methods",
    "module_statements",
    "module_tree",
    "parameter_types",
    "references",
    "texts_set_outside",
    "unpacked",
]


def function_nodes(function: FunctionType) -> list[ast.AST]:
    """Return the syntax trees that `function` may have been made from: one, or several lambdas of one line.

    An empty list means that its source is nowhere to be found.

    Raises
    ------
    CodeChanged
        The file was edited after the function was imported.
    """
    code, scope = function.__code__, function.__globals__
    text, line = _text(code.co_filename, scope), code.co_firstlineno
    if text and not runs(code, text, scope):
        if code.co_filename == "<string>":
            return []  # what dataclasses make; since Python 3.13 the text of ``python -c`` has that name too
        linecache.checkcache(code.co_filename)
        text = _text(code.co_filename, scope)
        if not runs(code, text, scope):
            moved = line_in(code, text)  # a comment came above it since
            if moved is None:
                raise CodeChanged(_edited(code.co_filename, function.__qualname__))
            line = moved
    found = _functions(text).get((code.co_name, line), [])
    there = line - code.co_firstlineno
    return found if len(found) < 2 else [node for node in found if _has_places(node, code, there)] or found


def _has_places(node: ast.AST, code: CodeType, lower: int) -> bool:
    """Whether compiled code lies where a node does, some lines lower: of several lambdas of a line, it is of one."""
    first = (node.lineno, node.col_offset)  # type: ignore[attr-defined]
    last = (node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
    for line, end, column, end_column in code.co_positions():
        if line is None or end is None or column is None or end_column is None or (column, end_column) == (0, 0):
            continue
        if (line + lower, column) < first or (end + lower, end_column) > last:
            return False
    return True


def defaults_in(node: ast.AST) -> list[ast.expr]:
    """Return the expressions that a function's defaults are made of."""
    arguments = getattr(node, "args", None)
    return [*arguments.defaults, *filter(None, arguments.kw_defaults)] if arguments is not None else []


def texts_set_outside(function: FunctionType, node: ast.AST, told: Callable[[Any], str]) -> list[str]:
    """Docstring and annotations of a function, where somebody set others than its text has."""
    lines = []
    written = ast.get_docstring(node, clean=False) if isinstance(node, ast.FunctionDef) else None
    if inspect.cleandoc(function.__doc__ or "") != inspect.cleandoc(written or ""):
        lines.append(f"text {function.__doc__!a}")
    arguments = getattr(node, "args", None)
    if arguments is None:
        return lines
    all_of_them = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    said = {each.arg: each.annotation for each in all_of_them if each is not None and each.annotation is not None}
    said |= {"return": node.returns} if getattr(node, "returns", None) is not None else {}  # type: ignore[attr-defined]
    there = dict(function.__annotations__)
    plain = [name for name, each in said.items() if isinstance(each, ast.Name) and not isinstance(there.get(name), str)]
    other = [name for name in plain if there.get(name) is not _named(said[name].id, function)]
    if there.keys() != said.keys() or other:
        lines.append(f"annotations {told(there)}")
    return lines


def _named(name: str, function: FunctionType) -> Any:
    return function.__globals__.get(name, getattr(builtins, name, None))


def _edited(filename: str, name: str) -> str:
    return (
        f"{filename} was edited after {name} was read from it, or what runs was compiled from another text; "
        "start the script again, or import it again (restart the kernel or use importlib.reload); "
        "if that does not help, remove the __pycache__ beside the file"
    )


def enclosing_node(function: FunctionType) -> ast.AST | None:
    """Return the syntax tree of the function at the top of a file that `function` was made in."""
    outer = function.__qualname__.partition(".<locals>")[0]
    text = _text(function.__code__.co_filename, function.__globals__)
    line = function.__code__.co_firstlineno
    tops = _parse(text).body
    inside = (node for node in tops for each in walk(node) if _spans(each, outer.rpartition(".")[2], line))
    return next(inside, None)


def _spans(node: ast.AST, name: str, line: int) -> bool:
    is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name
    return is_function and node.lineno <= line <= (node.end_lineno or line)  # type: ignore[attr-defined]


def check_module(module: Any) -> None:
    """Refuse a module whose file is no longer what was imported.

    Raises
    ------
    CodeChanged
        The file was edited since; or as it was imported, Python took what it had compiled of an earlier text.
    """
    filename = str(getattr(module, "__file__", None) or "")
    if not filename.endswith(".py"):
        return
    if is_of_another_text(module, lambda: _text(filename, vars(module))):
        raise CodeChanged(_edited(filename, f"module {module.__name__}"))
    if not is_as_imported(module, lambda: _text(filename, vars(module))):
        linecache.checkcache(filename)
        if not is_as_imported(module, lambda: _text(filename, vars(module))):
            raise CodeChanged(_edited(filename, f"module {module.__name__}"))


def file_text(module: Any) -> str | None:
    """Text of a module's file as it is now; None of one without a file in Python."""
    filename = str(getattr(module, "__file__", None) or "")
    if not filename.endswith(".py"):
        return None
    linecache.checkcache(filename)
    return _text(filename, vars(module))


def module_statements(name: str) -> tuple[ast.stmt, ...]:
    """Return the statements at the top of a module, those of a notebook's cells among them; none without source."""
    module = sys.modules.get(name)
    if module is None:
        return ()
    if getattr(module, "__file__", None):
        tree = module_tree(module)
        return unpacked(tree) if tree is not None else ()
    if name != "__main__":
        return ()
    cells = [filename for filename in linecache.cache if filename.startswith("<ipython") or "ipykernel" in filename]
    return tuple(node for filename in cells for node in _parse(_text(filename, None)).body)


@functools.lru_cache(maxsize=256)
def unpacked(tree: ast.Module) -> tuple[ast.stmt, ...]:
    """Statements of a module; those of marimo's cells stand in functions there."""
    return tuple(
        inner
        for node in tree.body
        for inner in (node.body if _is_cell(node) else [node])  # type: ignore[attr-defined]
    )


def _is_cell(node: ast.stmt) -> bool:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    made_by = [each.func if isinstance(each, ast.Call) else each for each in decorators]
    return any(isinstance(each, ast.Attribute) and each.attr == "cell" for each in made_by)


def class_node(cls: type) -> ast.ClassDef | None:
    """Return the syntax tree of `cls`, or None where it has no source."""
    for filename, namespace in _files_of(cls):
        text = _text(filename, namespace)
        found = _classes(text).get(cls.__qualname__.rpartition("<locals>.")[2], [])
        if found:
            return next((node for node in found if _is_made_by(cls, node)), found[-1])
    return None


def is_ambiguous(cls: type, node: ast.ClassDef) -> bool:
    """Whether a file has several classes of that name, and none of them is known to be the one."""
    for filename, namespace in _files_of(cls):
        found = _classes(_text(filename, namespace)).get(cls.__qualname__.rpartition("<locals>.")[2], [])
        if found:
            return len(found) > 1 and not _is_made_by(cls, node)
    return False


def module_tree(module: Any) -> ast.Module | None:
    """Return the syntax tree of a whole module, or None where it has no source."""
    check_module(module)
    filename = getattr(module, "__file__", None)
    text = _text(filename, vars(module)) if filename else ""
    return _parse(text) if filename and text else None


def methods(cls: type) -> list[FunctionType]:
    """Return the functions written in the body of `cls`: not those that dataclasses, enums or named tuples add."""
    parts: list[Any] = []
    for member in vars(cls).values():
        if type(member) is FunctionType and not vars(member):
            parts.append(member)
        elif type(member) not in NO_METHOD:
            parts += [getattr(member, name, None) for name in ("fget", "fset", "fdel", "func")]
            parts.append(inspect.unwrap(getattr(member, "__func__", member)))
    prefix = f"{cls.__qualname__}."
    return [p for p in parts if isinstance(p, FunctionType) and p.__code__.co_qualname.startswith(prefix)]


_joined: dict[str, tuple[list[str], str]] = {}
"""Texts of files, with the lines that they were put together from, which are others once a file is read again."""


def _text(filename: str, namespace: dict[str, Any] | None) -> str:
    """Text of a file. One object as long as it is the same: what is kept by texts then needs not compare them."""
    lines = linecache.getlines(filename, namespace)
    kept = _joined.get(filename)
    if kept is None or kept[0] is not lines:
        kept = _joined[filename] = lines, "".join(lines)
    return kept[1]


NO_METHOD = frozenset(
    (str, int, float, bool, type(None), tuple, list, dict, GetSetDescriptorType, MemberDescriptorType)
)
"""Types of members that hold no function as a method."""


def _is_made_by(cls: type, node: ast.ClassDef) -> bool:
    """Whether `cls`, of which there are several of one name in a file, stands at `node`."""
    line = getattr(cls, "__firstlineno__", None)  # since Python 3.13
    lines = [line] if line else [method.__code__.co_firstlineno for method in methods(cls)]
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return any(first <= line <= (node.end_lineno or first) for line in lines)


def _files_of(cls: type) -> Iterator[tuple[str, dict[str, Any] | None]]:
    for method in methods(cls):
        yield method.__code__.co_filename, method.__globals__
    module = sys.modules.get(cls.__module__)
    if getattr(module, "__file__", None):
        check_module(module)
        yield str(module.__file__), vars(module)  # type: ignore[union-attr]
    # Cells of a notebook: newest first, for a class may have been defined more than once.
    for filename in reversed(list(linecache.cache)):
        if filename.startswith("<") or "ipykernel" in filename or "__marimo__" in filename:
            yield filename, None


NOTHING = ast.Module(body=[], type_ignores=[])


def _parse(text: str) -> ast.Module:
    try:
        return tree_of(text)
    except SyntaxError:
        return NOTHING


@functools.lru_cache(maxsize=256)
def _functions(text: str) -> dict[tuple[str, int], list[ast.AST]]:
    found: dict[tuple[str, int], list[ast.AST]] = {}
    for node in walk(_parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found.setdefault((node.name, first), []).append(node)
            if first < node.lineno:  # marimo leaves the decorators of functions away
                found.setdefault((node.name, node.lineno), []).append(node)
        elif isinstance(node, ast.Lambda):
            found.setdefault(("<lambda>", node.lineno), []).append(node)
    return found


@functools.lru_cache(maxsize=256)
def _classes(text: str) -> dict[str, list[ast.ClassDef]]:
    found: dict[str, list[ast.ClassDef]] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in children(node):
            if not isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case)):
                continue  # no class stands in an expression
            inner = prefix
            if isinstance(child, ast.ClassDef):
                found.setdefault(prefix + child.name, []).append(child)
                inner = f"{prefix}{child.name}."
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                inner = ""
            visit(child, inner)

    visit(_parse(text), "")
    return found


# Which names a piece of code refers to.


Chain = tuple[str, ...]
READS_GLOBAL = {
    opcode.opmap[name]: shift
    for name, shift in (("LOAD_GLOBAL", 1), ("LOAD_NAME", 0), ("LOAD_FROM_DICT_OR_GLOBALS", 0))
    if name in opcode.opmap
}
"""Instructions, and by how many bits their operand is more than the number of a name."""


class Import(NamedTuple):
    """An import inside a function.

    Parameters
    ----------
    module, level, name
        As in ``from ..module import name``; `name` is None for ``import module``.
    loaded
        The whole module that the statement loads: ``import a.b`` binds ``a``, but loads ``a.b``.
    """

    module: str
    level: int
    name: str | None
    loaded: str


class References(ast.NodeVisitor):
    """Dotted names that are read (``h.double`` is ``("h", "double")``) and names that are imported inside.

    Annotations of functions are passed over unless ``full``, as in `stargazer.fingerprint.canonical`; with
    ``bodies=False`` what stands in functions, too, for it has a scope of its own. A name may be
    imported in several places.
    """

    def __init__(self, *, bodies: bool = True, full: bool = False) -> None:
        self._bodies, self._full = bodies, full
        self.chains: set[Chain] = set()
        self.imports: dict[str, list[Import]] = {}
        self._in_function = False

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.chains.add((node.id,))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = dotted(node)
        if chain:
            self.chains.add(chain)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            module = alias.name if alias.asname else alias.name.partition(".")[0]
            self._note(alias.asname or module, Import(module, 0, None, alias.name))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._note(alias.asname or alias.name, Import(node.module or "", node.level, alias.name, ""))

    def visit_arg(self, node: ast.arg) -> None:
        if self._full:
            self._visit_annotation(node.annotation)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._visit_all([node.target, node.value])
        if self._full or not self._in_function:
            self._visit_annotation(node.annotation)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.enter(node.args, [node.body])

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._visit_all(node.decorator_list)
        if self._full:
            self._visit_annotation(node.returns)
        self.enter(node.args, node.body if self._bodies else [])

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outer, self._in_function = self._in_function, False
        self.generic_visit(node)
        self._in_function = outer

    def enter(self, arguments: ast.arguments, body: list[Any]) -> None:
        """Visit a function's defaults and body."""
        self._visit_all([*arguments.defaults, *arguments.kw_defaults])
        if self._full:
            everything = (
                *arguments.posonlyargs,
                *arguments.args,
                *arguments.kwonlyargs,
                arguments.vararg,
                arguments.kwarg,
            )
            self._visit_all(list(everything))
        outer, self._in_function = self._in_function, True
        self._visit_all(body)
        self._in_function = outer

    def _visit_all(self, nodes: list[Any]) -> None:
        for node in filter(None, nodes):
            self.visit(node)

    def _visit_annotation(self, annotation: ast.expr | None) -> None:
        """Visit an annotation, and what is written in it as text."""
        todo = [annotation] if annotation else []
        while todo:
            node = todo.pop()
            self.visit(node)
            constants = [part.value for part in walk(node) if isinstance(part, ast.Constant)]
            todo += [_parsed(text) for text in constants if isinstance(text, str)]

    def _note(self, name: str, what: Import) -> None:
        self.imports.setdefault(name, []).append(what)


def references(
    nodes: Sequence[ast.AST], *, skip_decorators: bool = False, bodies: bool = True, full: bool = False
) -> References:
    """Collect the references of `nodes`; optionally not those in the decorators of the nodes themselves."""
    found = References(bodies=bodies, full=full)
    for node in nodes:
        if skip_decorators and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.enter(node.args, node.body)
        else:
            found.visit(node)
    return found


def parameter_types(node: ast.AST) -> set[Chain]:
    """Return the names in the annotations of a function's parameters, also in those written as strings."""
    found = References()
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        arguments = node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            found._visit_annotation(argument.annotation)
    return found.chains


def _parsed(text: str) -> ast.expr:
    try:
        tree: ast.Expression = parse(text, mode="eval")
        return tree.body
    except SyntaxError:
        return ast.Constant(None)


def dotted(node: ast.AST) -> Chain:
    """Return the dotted name that an expression is, or nothing."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


@functools.lru_cache(maxsize=8192)
def global_names(code: CodeType) -> frozenset[str]:
    """Names that `code` and the code inside it read from their module."""
    local = {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
    names = set(code.co_names)
    if names & local:
        # A local name that is an attribute's name too; inlined comprehensions may have a global one beside it.
        names = (names - local) | (names & _globals_read(code))
    for const in code.co_consts:
        if isinstance(const, CodeType):
            names |= global_names(const)
    return frozenset(names)


def _globals_read(code: CodeType) -> set[str]:
    """Names of the instructions that read globals; `dis` says the same, ten times slower."""
    found, argument = set(), 0
    for operation, operand in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        argument = (argument << 8) | operand
        if operation in READS_GLOBAL:
            found.add(code.co_names[argument >> READS_GLOBAL[operation]])
        if operation != opcode.EXTENDED_ARG:
            argument = 0
    return found
