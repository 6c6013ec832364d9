"""What own modules do to others' things as they are imported: settings of libraries, registrations, patches.

No name of a task leads to ``np.set_printoptions(precision=3)``, and what ``str(array)`` gives depends on it. So such
statements count for each task whose module imports theirs, with all that they name. What modules do to their own things
is seen in the values of these, and counts only for who reaches them.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import re
import sys
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from stargazer.fingerprint.canonical import Plain, Scalar
from stargazer.fingerprint.dynamic import RUNS_TEXT
from stargazer.fingerprint.objects import spread
from stargazer.fingerprint.origin import ENGINE, is_standard, module_of
from stargazer.fingerprint.parsing import parse, walk
from stargazer.fingerprint.source import dotted, function_nodes, module_statements
from stargazer.fingerprint.state import WRITERS, is_task, running
from stargazer.fingerprint.watch import MISSING
from stargazer.fingerprint.wide import ANY_BELOW, absolute, acts, is_effect_name, is_unused, loads, loads_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Effects", "in_order", "loaded"]

SHARED = re.compile(r"^(get|current|default|root|instance)|context$|options$|config$|settings$|^patch")
"""Functions whose result a library keeps for itself, too."""

DATA = ("builtins", "numpy", "pandas", "scipy", "collections", "datetime", "re", "pathlib", "argparse", "logging")
"""Packages whose objects belong to who made them; messages are told to people."""

OF_PEOPLE = frozenset({"basicConfig", "captureWarnings"})
FUNCTION = (FunctionType, BuiltinFunctionType, MethodType)

MADE_BY = ("__new__", "__init__", "__post_init__", "__enter__", "__exit__", "__call__")
"""Methods of a class that run where one of its objects is made, entered or called."""

OF_ATTRIBUTES: dict[type, tuple[str, ...]] = {
    ast.Load: ("__getattr__", "__getattribute__"), ast.Store: ("__setattr__",), ast.Del: ("__delattr__",),
}  # fmt: skip
OF_ITEMS: dict[type, str] = {ast.Load: "__getitem__", ast.Store: "__setitem__", ast.Del: "__delitem__"}
OF_OPERATORS: dict[type, str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.MatMult: "matmul", ast.Div: "truediv", ast.Mod: "mod",
    ast.FloorDiv: "floordiv", ast.Pow: "pow", ast.LShift: "lshift", ast.RShift: "rshift", ast.BitOr: "or",
    ast.BitXor: "xor", ast.BitAnd: "and",
}  # fmt: skip

MADE_OF = ("__new__", "__init__", "__prepare__", "__call__")
"""Methods of a metaclass that run where a class is made."""


def loaded(start: ModuleType, is_own: Callable[[str], bool]) -> list[ModuleType]:
    """Own modules that were imported because `start` was: it, what it imports at its top, packages, and so on."""
    found: dict[str, ModuleType] = {}
    todo = [start]
    while todo:
        module = todo.pop()
        if isinstance(module, ModuleType) and module.__name__ not in found:
            found[module.__name__] = module
            todo += [sys.modules[name] for name in _imported(module) if name in sys.modules and is_own(name)]
    return [found[name] for name in sorted(found)]


def in_order(starts: Iterable[str], acting: dict[str, list[ast.stmt]], is_own: Callable[[str], bool]) -> list[str]:
    """Modules that change what is not their own, in the order in which they do: of two settings the last one holds.

    Parameters
    ----------
    starts
        Names of the modules that are imported first.
    acting
        Statements of modules that do, by the name of the module.
    is_own
        Whether a module's code counts.
    """
    order: list[str] = []
    seen: set[str] = set()
    todo: list[tuple[str, bool]] = [(name, True) for name in reversed(list(starts))]
    while todo:
        name, is_import = todo.pop()
        if not is_import:
            order += [name] if order[-1:] != [name] else []
        elif name in sys.modules and name not in seen and is_own(name):
            seen.add(name)
            todo += reversed(list(_steps(sys.modules[name], acting.get(name, []))))
    return order


def _steps(module: ModuleType, acting: list[ast.stmt]) -> Iterator[tuple[str, bool]]:
    """What happens as a module is imported: another one is, or it changes something itself."""
    if not acting:
        yield from ((name, True) for name in _imported(module))
        return
    package = str(getattr(module, "__package__", None) or "")
    yield from ((name, True) for name in _parents_of(module))
    for statement in module_statements(module.__name__):
        yield from ((name, True) for each in loads((statement,)) for name in _meant(each, package))
        if any(statement is each for each in acting):
            yield module.__name__, False


def _imported(module: ModuleType) -> Iterator[str]:
    package = str(getattr(module, "__package__", None) or "")
    yield from _parents_of(module)
    for each in loads_of(getattr(module, "__file__", None), module.__name__):
        yield from _meant(each, package)


def _meant(load: tuple[str, int, tuple[str, ...]], package: str) -> Iterator[str]:
    """Names of the modules that an import loads."""
    name, level, names = load
    if level == ANY_BELOW:
        yield from sorted(each for each in list(sys.modules) if each.startswith(f"{package}.") and package)
        return
    whole = absolute(name, level, package)
    yield from _parents(f"{whole}.")
    yield from (f"{whole}.{each}" for each in names if each != "*")


def _parents_of(module: ModuleType) -> Iterator[str]:
    return _parents(str(getattr(getattr(module, "__spec__", None), "name", "") or module.__name__))


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")[:-1]
    return (".".join(parts[: count + 1]) for count in range(len(parts)))


class Effects:
    """Finds the statements of own modules that change what is not their own.

    Parameters
    ----------
    is_own
        Whether a module's code counts.
    """

    def __init__(self, is_own: Callable[[str], bool]) -> None:
        self._is_own = is_own
        self._seen: set[int] = set()

    def of(self, module: ModuleType) -> list[ast.stmt]:
        """Statements at the top of a module that do."""
        file = getattr(module, "__file__", None)
        if file and not acts(file):
            return []
        tree = module_statements(module.__name__)
        app = type(vars(module).get("app")).__module__
        interactive = not file or module.__name__ == "__main__" or app.startswith("marimo")
        return [each for each in tree if self._is_one(each, vars(module), () if interactive else tree)]

    def _is_one(self, statement: ast.stmt, space: dict[str, Any], tree: tuple[ast.stmt, ...]) -> bool:
        self._seen = set()
        if self._acts([statement], space, {}, top=bool(tree)):
            return True
        return is_unused(statement, tree) and self._is_library_loaded(statement) if tree else False

    def _is_library_loaded(self, statement: ast.stmt) -> bool:
        """Whether an import, whose name nobody uses, is of a library: it can only be there for what it does."""
        names = [statement.module or ""] if isinstance(statement, ast.ImportFrom) else []
        names += [each.name for each in statement.names] if isinstance(statement, ast.Import) else []
        tops = {name.partition(".")[0] for name in names}
        return not any(is_standard(top) or self._is_own(top) or top in ("", ENGINE, "__future__") for top in tops)

    def _acts(self, nodes: Iterable[ast.AST], space: dict[str, Any], local: dict[str, bool], *, top: bool) -> bool:
        """Whether what runs of some code changes what is others'.

        Parameters
        ----------
        nodes
            Statements.
        space, local
            Globals, and the variables of a function: whether each may be a library's.
        top
            Whether a call of a library's function, whose value nobody takes, is for what it does.
        """
        for node in (each for root in nodes for each in running(root)):
            if self._operator_acts(node, space, local):
                return True
            if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
                if self._is_others(node.value, space, local):
                    return True
            elif isinstance(node, ast.Call) and self._call_acts(node, space, local):
                return True
            elif top and isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                if self._is_function_of_library(node.value.func, space, local):
                    return True
            elif (above := getattr(node, "decorator_list", ())) and any(
                self._registers(each, space, local) for each in above
            ):
                return not is_task(node)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and self._definition_acts(node, space, local):
                return True
        return False

    def _operator_acts(self, node: ast.AST, space: dict[str, Any], local: dict[str, bool]) -> bool:
        """Whether an operator, a property or the like of an own class does, which runs without being called."""
        for operand, names in _operators(node):
            cls = self._own_class(operand, space, local)
            for found in (inspect.getattr_static(cls, name, None) for name in names) if cls is not None else ():
                if any(self._function_acts(each, [], space, local) for each in self._run_by(found)):
                    return True
        return False

    def _run_by(self, member: Any) -> Iterator[FunctionType]:
        """Own functions that run where a member of a class is got at: those of a property, or a method of operators."""
        if isinstance(member, property):
            found = [member.fget, member.fset, member.fdel]
        else:
            found = [member] if str(getattr(member, "__name__", "")).startswith("__") else []
        yield from (each for each in found if isinstance(each, FunctionType) and self._is_own(module_of(each)))

    def _own_class(self, node: ast.expr, space: dict[str, Any], local: dict[str, bool]) -> type | None:
        """The own class of what an expression gives, where that is plain to see."""
        if isinstance(node, ast.Call):
            cls = self._value(node.func, space, local)
        else:
            value = self._value(node, space, local) if dotted(node) else MISSING
            cls = type(value)
        return cls if isinstance(cls, type) and self._is_own(cls.__module__) else None

    def _definition_acts(
        self, node: ast.FunctionDef | ast.ClassDef, space: dict[str, Any], local: dict[str, bool]
    ) -> bool:
        """Whether what stands above a definition, or what makes a class of it, does."""
        made = space.get(node.name) if isinstance(node, ast.ClassDef) and not local else None
        if isinstance(made, type) and any(self._function_acts(each, [], space, local) for each in self._hooks(made)):
            return True
        if is_task(node):
            return False
        for decorator in node.decorator_list:
            above = self._own_function(decorator.func if isinstance(decorator, ast.Call) else decorator, space, local)
            if above is not None and self._function_acts(above, [], space, local, nested=True):
                return True
            runs = above is not None and _calls_what_it_is_given(above, isinstance(decorator, ast.Call))
            if runs and self._acts(node.body, space, dict.fromkeys(_parameters(node), False), top=False):
                return True
        return False

    def _hooks(self, cls: type) -> Iterator[FunctionType]:
        """Own functions that ran when a class was made: of its bases, its metaclass, its descriptors."""
        found = [vars(base).get("__init_subclass__") for base in cls.__mro__[1:] if self._is_own(base.__module__)]
        makers = [maker for maker in inspect.getmro(type(cls)) if self._is_own(maker.__module__)]
        found += [vars(maker).get(name) for maker in makers for name in MADE_OF]
        kinds = [type(each) for each in vars(cls).values() if self._is_own(type(each).__module__)]
        found += [vars(kind).get("__set_name__") for kind in kinds]
        yield from (each for each in map(_plain, found) if isinstance(each, FunctionType))

    def _own_function(self, node: ast.expr, space: dict[str, Any], local: dict[str, bool]) -> FunctionType | None:
        """The own function that an expression leads to, also under decorators that say what they wrap."""
        value = _plain(self._value(node, space, local))
        if isinstance(value, MethodType):
            value = value.__func__
        value = value.func if isinstance(value, functools.partial) else value
        value = inspect.unwrap(value) if isinstance(value, FunctionType) else value
        return value if isinstance(value, FunctionType) and self._is_own(module_of(value)) else None

    def _registers(self, decorator: ast.expr, space: dict[str, Any], local: dict[str, bool]) -> bool:
        chain = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if not any("regist" in part or "accessor" in part or "implements" in part for part in chain):
            return False
        return self._is_others(ast.Name(chain[0], ast.Load()), space, local)

    def _call_acts(self, call: ast.Call, space: dict[str, Any], local: dict[str, bool]) -> bool:
        value = self._value(call.func, space, local)
        function = self._own_function(call.func, space, local)
        if function is not None and self._function_acts(function, call.args, space, local):
            return True
        if any(value is each for each in RUNS_TEXT):
            return self._text_acts(call, space, local)
        if isinstance(value, type) and self._is_own(value.__module__):
            made = [each for name in MADE_BY if isinstance(each := vars(value).get(name), FunctionType)]
            return any(self._function_acts(each, call.args, space, local) for each in made)
        if value in (setattr, delattr):
            return bool(call.args) and self._is_others(call.args[0], space, local)
        if getattr(value, "__module__", "") and str(value.__module__).partition(".")[0] == ENGINE:
            return False
        if any(self._given_acts(each, space, local) for each in [*call.args, *(k.value for k in call.keywords)]):
            return True
        one_of = walk(call.func) if isinstance(call.func, (ast.Subscript, ast.IfExp, ast.BoolOp)) else ()
        if any(self._one_acts(each, space, local) for each in one_of if isinstance(each, ast.expr)):
            return True
        return function is None and self._library_acts(call, value, space, local)

    def _library_acts(self, call: ast.Call, value: Any, space: dict[str, Any], local: dict[str, bool]) -> bool:
        """Whether a function of a library is called for what it changes, by its name."""
        if isinstance(call.func, ast.Lambda):
            return self._acts([call.func.body], space, local, top=False)
        name = call.func.attr if isinstance(call.func, ast.Attribute) else "".join(dotted(call.func))
        if isinstance(value, functools.partial):
            value, name = value.func, str(getattr(value.func, "__name__", ""))
            return (is_effect_name(name) or name in WRITERS) and self._is_of_library(value)
        if not dotted(call.func) and isinstance(call.func, ast.Call):
            name = str(getattr(value, "__name__", ""))
        if not (is_effect_name(name) or name in WRITERS) or name in OF_PEOPLE:
            return False
        if isinstance(call.func, ast.Attribute):
            return self._is_others(call.func.value, space, local)
        return self._is_function_of_library(call.func, space, local)

    def _given_acts(self, node: ast.expr, space: dict[str, Any], local: dict[str, bool]) -> bool:
        """Whether a function that is given to another does, if that calls it: ``map(setup, names)``."""
        if isinstance(node, ast.Lambda):
            return self._acts([node.body], space, local, top=False)
        function = self._own_function(node, space, local) if isinstance(node, (ast.Name, ast.Attribute)) else None
        return function is not None and self._function_acts(function, [], space, local)

    def _one_acts(self, node: ast.expr, space: dict[str, Any], local: dict[str, bool]) -> bool:
        """The same of each function in a table."""
        table = self._value(node, space, local) if isinstance(node, ast.Name) else MISSING
        within = [each for each in spread(table) if type(each) is FunctionType and self._is_own(module_of(each))]
        return self._given_acts(node, space, local) or any(self._function_acts(e, [], space, local) for e in within)

    def _text_acts(self, call: ast.Call, space: dict[str, Any], local: dict[str, bool]) -> bool:
        """Whether a text that is run may; who knows, where it is no constant."""
        text = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if not isinstance(text, str) or self._value(call.func, space, local) not in (exec, eval):
            return True
        try:
            return self._acts(parse(text).body, space, local, top=True)
        except SyntaxError:
            return False

    def _function_acts(
        self,
        function: FunctionType,
        arguments: Iterable[ast.expr],
        space: dict[str, Any],
        local: dict[str, bool],
        *,
        nested: bool = False,
    ) -> bool:
        """Whether an own function does, when it is called; or one that it makes, as decorators do."""
        if id(function) in self._seen:
            return False
        self._seen.add(id(function))
        given = any(self._is_others(each, space, local) for each in arguments)
        nodes = [each for node in function_nodes(function) for each in (walk(node) if nested else [node])]
        for node in nodes:
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            inside = {each.arg: given for each in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]}
            for each in walk(node):
                targets, value = _bound(each)
                for name in targets:
                    inside[name] = inside.get(name, False) or self._is_others(value, function.__globals__, inside)
            if self._acts(node.body, function.__globals__, inside, top=False):
                return True
        return False

    def _is_function_of_library(self, function: ast.expr, space: dict[str, Any], local: dict[str, bool]) -> bool:
        return self._is_of_library(self._value(function, space, local))

    def _is_of_library(self, value: Any) -> bool:
        if not isinstance(value, FUNCTION) or isinstance(value, MethodType):
            return False
        module = str(getattr(value, "__module__", None) or "builtins")
        if value.__name__ in OF_PEOPLE:
            return False
        return module != "builtins" and module.partition(".")[0] != ENGINE and not self._is_own(module)

    def _is_others(self, node: ast.expr | None, space: dict[str, Any], local: dict[str, bool]) -> bool:
        """Whether an expression gives something that a library has: its module, a class, an object that it keeps."""
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            return any(self._is_others(each, space, local) for each in node.elts)
        if isinstance(node, ast.Subscript):
            return self._is_others(node.value, space, local)
        if isinstance(node, ast.Call):
            function = self._value(node.func, space, local)
            name = str(getattr(function, "__name__", "") or "")
            if function is getattr and node.args:
                return self._is_others(node.args[0], space, local)
            of_library = self._is_function_of_library(node.func, space, local)
            return (of_library and bool(SHARED.search(name))) or (
                isinstance(node.func, ast.Attribute) and function is MISSING
                and self._is_others(node.func.value, space, local) and bool(SHARED.search(node.func.attr))
            )  # fmt: skip
        chain = dotted(node) if node is not None else ()
        if not chain:
            return isinstance(node, ast.Attribute) and self._is_others(node.value, space, local)
        if chain[0] in local:
            return local[chain[0]]
        return self._is_others_thing(self._value_of(chain[:1], space), chain, space)

    def _is_others_thing(self, value: Any, chain: tuple[str, ...], space: dict[str, Any]) -> bool:
        for attribute in chain[1:]:
            if not (isinstance(value, ModuleType) and self._is_own(value.__name__)):
                break
            space, value, chain = vars(value), vars(value).get(attribute, MISSING), chain[1:]
        if value is MISSING or type(value) in (*Plain, *Scalar):
            return False
        if isinstance(value, ModuleType):
            return not self._is_own(value.__name__) and value.__name__.partition(".")[0] != ENGINE
        if isinstance(value, type):
            return not self._is_own(value.__module__) and value.__module__.partition(".")[0] != ENGINE
        if isinstance(value, FUNCTION):
            home = str(getattr(value, "__module__", None) or "builtins")
            return home != "builtins" and not self._is_own(home) and home.partition(".")[0] != ENGINE
        home = type(value).__module__
        if self._is_own(home) or home.partition(".")[0] in (*DATA, ENGINE):
            return False
        return self._is_shared(chain[0], space)

    def _is_shared(self, name: str, space: dict[str, Any]) -> bool:
        """Whether a variable of an own module holds an object that a library keeps for itself, too."""
        for statement in module_statements(str(space.get("__name__", ""))):
            for each in walk(statement):
                targets, value = _bound(each)
                if name in targets:
                    called = self._value(value.func, space, {}) if isinstance(value, ast.Call) else MISSING
                    return isinstance(called, FUNCTION) or not isinstance(value, ast.Call)
                if isinstance(each, ast.ImportFrom) and name in {a.asname or a.name for a in each.names}:
                    return True
        return False

    def _value(self, node: ast.expr, space: dict[str, Any], local: dict[str, bool]) -> Any:
        chain = dotted(node)
        if chain:
            return MISSING if chain[0] in local else self._value_of(chain, space)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):  # ``Setup().go``
            made = self._value(node.value.func, space, local)
            own = isinstance(made, type) and self._is_own(made.__module__)
            return _plain(inspect.getattr_static(made, node.attr, MISSING)) if own else MISSING
        if isinstance(node, ast.Call) and self._value(node.func, space, local) is getattr and len(node.args) > 1:
            name = node.args[1].value if isinstance(node.args[1], ast.Constant) else None
            return self._value(ast.Attribute(node.args[0], str(name), ast.Load()), space, local)
        return MISSING

    def _value_of(self, chain: tuple[str, ...], space: dict[str, Any]) -> Any:
        value = space.get(chain[0], getattr(builtins, chain[0], MISSING))
        for attribute in chain[1:]:
            if value is MISSING:
                return MISSING
            if isinstance(value, (ModuleType, type)) or not self._is_own(type(value).__module__):
                value = _plainly(value, attribute)
            else:
                value = inspect.getattr_static(type(value), attribute, MISSING)
        return getattr(value, "__func__", value) if isinstance(value, (staticmethod, classmethod)) else value


def _operators(node: ast.AST) -> Iterator[tuple[ast.expr, tuple[str, ...]]]:
    """What an expression or statement works on, and by which methods of it."""
    if isinstance(node, ast.Attribute):
        yield node.value, (node.attr, *OF_ATTRIBUTES[type(node.ctx)])
    elif isinstance(node, ast.Subscript):
        yield node.value, (OF_ITEMS[type(node.ctx)],)
    elif isinstance(node, (ast.BinOp, ast.AugAssign)):
        name = OF_OPERATORS[type(node.op)]
        sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
        yield from ((side, (f"__{name}__", f"__r{name}__", f"__i{name}__")) for side in sides)
    elif isinstance(node, (ast.For, ast.comprehension)):
        yield node.iter, ("__iter__", "__next__")


def _plain(value: Any) -> Any:
    return value.__func__ if isinstance(value, (staticmethod, classmethod)) else value


def _parameters(node: ast.AST) -> list[str]:
    arguments = getattr(node, "args", None)
    return [each.arg for each in [*arguments.posonlyargs, *arguments.args]] if arguments is not None else []


def _calls_what_it_is_given(function: FunctionType, is_factory: bool) -> bool:
    """Whether a decorator calls at once what stands under it; a factory of one, whether what it makes does."""
    for node in function_nodes(function):
        inner = [each for each in getattr(node, "body", []) if isinstance(each, ast.FunctionDef)]
        if any(_calls_parameter(top) for top in (inner if is_factory else [node])):
            return True
    return False


def _calls_parameter(node: ast.AST) -> bool:
    names = {(name,) for name in _parameters(node)}
    body = getattr(node, "body", [])
    inside = (each for part in (body if isinstance(body, list) else [body]) for each in running(part))
    return any(isinstance(each, ast.Call) and dotted(each.func)[:1] in names for each in inside)


def _plainly(value: Any, attribute: str) -> Any:
    """An attribute, where getting it runs no code of others."""
    if isinstance(value, ModuleType):
        return vars(value).get(attribute, MISSING)
    found = inspect.getattr_static(value, attribute, MISSING)
    return getattr(found, "__func__", found)


def _bound(node: ast.AST) -> tuple[list[str], ast.expr | None]:
    """Names that a statement binds, and to what."""
    targets: list[ast.expr] = []
    value: ast.expr | None = None
    if isinstance(node, ast.Assign):
        targets, value = node.targets, node.value
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
        targets, value = [node.target], node.value
    elif isinstance(node, (ast.For, ast.comprehension)):
        targets, value = [node.target], node.iter
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        targets, value = [node.optional_vars], node.context_expr
    return [each.id for target in targets for each in walk(target) if isinstance(each, ast.Name)], value
