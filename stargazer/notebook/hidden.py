"""What cells leave in libraries for those after them: drawn numbers, and settings."""

from __future__ import annotations

import ast
import sys
from collections.abc import MutableMapping, MutableSequence, MutableSet
from typing import TYPE_CHECKING, Any

from stargazer.fingerprint.parsing import children
from stargazer.notebook.code import root_set_up
from stargazer.notebook.effects import full_names, samples_rows
from stargazer.notebook.names import kind_in
from stargazer.notebook.state import MUTATORS, root_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from stargazer.notebook.code import Prelude
    from stargazer.notebook.document import Cell

__all__ = ["SEEDS", "hidden_order", "is_quiet", "names_read", "seeded_anew"]

OWN_GENERATORS = {
    "Random", "SystemRandom", "default_rng", "Generator", "RandomState", "SeedSequence", "BitGenerator", "PCG64",
    "PCG64DXSM", "Philox", "SFC64", "MT19937", "getstate", "get_state",
}  # fmt: skip
"""What `random` and `numpy.random` have beside draws from the generator that the whole process shares."""

SHARED = (
    "it draws random numbers from where other cells draw them, too; with a generator of its own, random.Random(1) or "
    "np.random.default_rng(1), it would be kept"
)

BARE = {
    "simplefilter", "filterwarnings", "resetwarnings", "basicConfig", "rc", "rcdefaults", "seterr", "setlocale",
    "setrecursionlimit", "setcontext", "manual_seed",
}  # fmt: skip
"""Functions that set up a library, also by a name of their own; all that begin with ``set_`` are such."""

SEEDS = {"seed", "manual_seed", "set_seed"}
"""Functions after which numbers begin anew."""

CHANGING = (MutableMapping, MutableSequence, MutableSet)
ADDING = {"addHandler", "addFilter", "addLevelName"}
"""Methods of loggers that take something of a cell's."""

FOR_A_WHILE = {
    "catch_warnings", "errstate", "localcontext", "option_context", "rc_context", "printoptions", "context",
    "patch", "object", "dict", "EnvironmentVarGuard", "set_options", "config_context",
}  # fmt: skip
"""Context managers after which settings are what they were."""


def hidden_order(
    order: Sequence[Cell],
    rest: Mapping[Cell, Sequence[int]],
    prelude: Prelude,
    *,
    all_seen: bool = True,
    placed: Mapping[Cell, Collection[int]] | None = None,
) -> dict[Cell, str]:
    """Why cells run each time, one after the other, whose order counts though no name tells of it.

    What one cell leaves in a library, those after it find there: numbers drawn from the generator of the process, what
    a library was set up with by the value of another cell, or in a function. What is set up with constants is code, and
    in keys.

    Parameters
    ----------
    order, rest
        Cells of code, and of each the statements that are no code.
    prelude
        The code.
    all_seen
        Whether these are all cells; a program that shows them one by one may have others that draw.
    placed
        Of each cell, the statements by which it sets up what cells after it are known by.
    """
    drawing = [cell for cell in order if _draws(cell, rest[cell], prelude)]
    found = dict.fromkeys(drawing, SHARED) if len(drawing) > 1 or not all_seen else {}
    where = ""
    for cell in order:
        if where:
            found.setdefault(cell, where)
        others = [number for number in rest[cell] if number not in (placed or {}).get(cell, ())]
        if not where and (told := _sets_up(cell, others, prelude)):
            root, how = told
            found[cell] = f"it sets up {root} {how}"
            where = f"{root} is set up before it {how.partition(';')[0]}"
    return found


def seeded_anew(
    order: Sequence[Cell], rest: Mapping[Cell, Sequence[int]], prelude: Prelude
) -> tuple[dict[Cell, str], set[Cell]]:
    """Find seeds that are set again, or after numbers were drawn: these begin anew, also in the same cell.

    After the last of these holds what the code sets up by itself, so cells there are kept as ever.

    Parameters
    ----------
    order, rest
        Cells of code, in the order in which they run, and of each the statements that are no code.
    prelude
        The code: only what it imports is set up, all else is data.

    Returns
    -------
    tuple
        Why cells run each time, one after the other, from the first of these to the last; and which of them set up
        something.
    """
    where: dict[str, list[int]] = {}
    for number, cell in enumerate(order):
        for _, what, _ in _set_up_in(cell, prelude):
            where.setdefault(what, []).append(number)
    wrong = sorted((where[what][0], what) for what in _seeded_anew(order, rest, prelude))
    if not wrong:
        return {}, set()
    begin, what = wrong[0]
    among = order[begin : max(where[each][-1] for _, each in wrong) + 1]
    why = f"{what} is set up several times, or late; once, before all that needs it, it would be code"
    return dict.fromkeys(among, why), {order[number] for numbers in where.values() for number in numbers} & set(among)


def _set_up_in(cell: Cell, prelude: Prelude) -> Iterator[tuple[int, str, str]]:
    """Statements by which a cell sets up a library: their number, what they set, and their text."""
    for place, node in enumerate(cell.tree.body):
        if prelude.is_imported(root_set_up(node)) and not is_quiet(node, prelude) and (what := _what_is_set(node)):
            yield place, what, ast.unparse(node)


def _seeded_anew(order: Sequence[Cell], rest: Mapping[Cell, Sequence[int]], prelude: Prelude) -> set[str]:
    """Seeds that are set again, or after numbers were drawn."""
    found, seen, is_drawn = set[str](), set[str](), False
    for cell in order:
        for place, what, _ in _set_up_in(cell, prelude):
            if what.rpartition(".")[2] in SEEDS:
                before = [cell.tree.body[number] for number in rest[cell] if number < place]
                found |= {what} if what in seen or is_drawn or _draws_in(before, prelude) else set()
                seen.add(what)
        is_drawn = is_drawn or _draws(cell, rest[cell], prelude)
    return found


def is_quiet(node: ast.stmt, prelude: Prelude) -> bool:
    """Whether a statement says which warnings are shown, which changes no result; those made errors would."""
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call) or not call.args or not isinstance(call.args[0], ast.Constant):
        return False
    head, _, rest = ast.unparse(call.func).partition(".")
    name = ".".join(filter(None, (prelude.imported_from(head), rest)))
    return name in ("warnings.filterwarnings", "warnings.simplefilter") and call.args[0].value != "error"


def _what_is_set(node: ast.stmt) -> str:
    if isinstance(node, ast.Assign):
        return ", ".join(map(ast.unparse, node.targets))
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call):
        return ""
    first = call.args[0] if call.args and isinstance(call.args[0], ast.Constant) else None
    which = f"({first.value!r})" if first is not None and isinstance(first.value, str) else ""
    return f"{ast.unparse(call.func)}{which}"


def _draws(cell: Cell, rest: Sequence[int], prelude: Prelude) -> bool:
    nodes = [cell.tree.body[number] for number in rest]
    return _draws_in([*nodes, *prelude.nodes_of(prelude.reached(names_read(nodes)))], prelude)


def names_read(nodes: Sequence[ast.stmt]) -> set[str]:
    """Names that statements read, those too that their own cell defines."""
    every = (each for node in nodes for each in kind_in(node, ast.Name))
    return {each.id for each in every if isinstance(each.ctx, ast.Load)}


def _draws_in(nodes: Sequence[ast.stmt], prelude: Prelude) -> bool:
    if samples_rows(nodes):
        return True
    for name in full_names(nodes, prelude):
        parts = name.split(".")
        drawn = parts[1:] if parts[0] == "random" else parts[2:] if parts[:2] == ["numpy", "random"] else []
        if drawn and (drawn[0] not in OWN_GENERATORS or len(drawn) > 1):
            return True
    return False


# Settings.


def _sets_up(cell: Cell, rest: Sequence[int], prelude: Prelude) -> tuple[str, str] | None:
    """What a cell sets up that is no code, and how; None where it sets up nothing."""
    for number in rest:
        node = cell.tree.body[number]
        if is_quiet(node, prelude):
            continue
        if (root := root_set_up(node)) and prelude.is_imported(root):
            return root, "with what a cell made; with a constant (N = 1) it would be code"
        if root := _bare(node, prelude):
            return root, "by a name of its own; by that of its module (np.set_printoptions(…)) it would be code"
        if root := _changed_library(node, prelude):
            return root, "while it runs; with a constant (os.environ['A'] = '1'), at the top, it would be code"
    for name in sorted(prelude.reached(names_read([cell.tree.body[number] for number in rest]))):
        for node in prelude.nodes_of([name]):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (root := _inside(node, prelude)):
                return root, f"in {name}; where nothing else needs it, let {name} set it back"
    return None


def _bare(node: ast.stmt, prelude: Prelude) -> str:
    call = node.value if isinstance(node, ast.Expr) else None
    name = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
    meant = prelude.imported_from(name).rpartition(".")[2]
    return name if meant in BARE or meant.startswith("set_") else ""


def _changed_library(node: ast.stmt, prelude: Prelude) -> str:
    """The library of which a statement changes a list or a dict: ``os.environ.pop("A")``, ``del os.environ["A"]``."""
    for each in kind_in(node, ast.Delete, ast.Call, ast.Assign, ast.AugAssign):
        for place in _changed_in(each):
            if _found(place, prelude) is sys.path:
                continue  # it counts for imports alone, and these are code
            if prelude.is_imported(root_of(place)) and isinstance(_found(place, prelude), CHANGING):
                return root_of(place)
        called = each.func if isinstance(each, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr in ADDING:
            return next((n.id for n in kind_in(called, ast.Name) if prelude.is_imported(n.id)), "")
    return ""


def _changed_in(node: ast.AST) -> Iterator[ast.expr]:
    """What a node changes by an item or a method, and of which it deletes something."""
    if isinstance(node, ast.Delete):
        yield from (place.value for place in node.targets if isinstance(place, (ast.Attribute, ast.Subscript)))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
        yield node.func.value
    elif isinstance(node, (ast.Assign, ast.AugAssign)):
        places = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (place.value for place in places if isinstance(place, ast.Subscript))


def _found(node: ast.expr, prelude: Prelude) -> Any:
    """What a chain of names stands for, where all of it is there without anything being called."""
    if isinstance(node, ast.Attribute):
        return getattr(_found(node.value, prelude), node.attr, None)
    return prelude.namespace.get(node.id) if isinstance(node, ast.Name) else None


def _inside(node: ast.AST, prelude: Prelude) -> str:
    """What a function sets up and does not set back. Seeds are drawn from, and count there."""
    own = {each.arg for each in kind_in(node, ast.arg)}
    for each in _lasting(node):
        if _is_seed(each) or is_quiet(each, prelude):
            continue
        root = root_set_up(each) or _bare(each, prelude) or _changed_library(each, prelude)
        if root and root not in own and prelude.is_imported(root):
            return root
    return ""


def _is_seed(node: ast.stmt) -> bool:
    called = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr == "seed"


def _lasting(node: ast.AST) -> Iterator[ast.stmt]:
    """Simple statements of a function, without those in a block that sets things back."""
    for each in children(node):
        if isinstance(each, (ast.With, ast.AsyncWith)) and any(_sets_back(item) for item in each.items):
            continue
        if isinstance(each, (ast.Assign, ast.AugAssign, ast.Expr, ast.Delete)):
            yield each
        yield from _lasting(each)


def _sets_back(item: ast.withitem) -> bool:
    called = item.context_expr.func if isinstance(item.context_expr, ast.Call) else item.context_expr
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name in FOR_A_WHILE
