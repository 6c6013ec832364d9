"""No module of the package needs another that needs it, not even through imports inside functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / "stargazer").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    """Names that are imported anywhere, but for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from imported(other)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imported(node)


def needed() -> dict[str, set[str]]:
    found = modules()

    def module_of(name: str) -> str:
        while name and name not in found:
            name = name.rpartition(".")[0]
        return name

    needs = {}
    for module, path in found.items():
        tree = ast.parse(path.read_text("utf-8"))
        needs[module] = {module_of(name) for name in imported(tree)} - {"", "stargazer", module}
    return needs


def circles(needs: dict[str, set[str]]) -> list[list[str]]:
    """Sets of modules that all need each other (Tarjan, 1972)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_: list[str] = []
    found = []

    def visit(module: str) -> None:
        numbers[module] = lowest[module] = len(numbers)
        open_.append(module)
        for other in sorted(needs[module]):
            if other not in numbers:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in open_:
                lowest[module] = min(lowest[module], numbers[other])
        if lowest[module] == numbers[module]:
            circle = open_[open_.index(module) :]
            del open_[open_.index(module) :]
            if len(circle) > 1:
                found.append(sorted(circle))

    for module in needs:
        if module not in numbers:
            visit(module)
    return found


def test_no_module_needs_what_needs_it() -> None:
    assert circles(needed()) == []


def test_a_circle_through_a_function_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert list(imported(ast.parse("def f():\n    import a.b\nif TYPE_CHECKING:\n    import c"))) == ["a.b"]


def test_a_file_is_no_longer_than_one_concept_needs() -> None:
    lines = {name: len(path.read_text("utf-8").splitlines()) for name, path in modules().items()}
    assert {name: count for name, count in lines.items() if count > 600} == {}
