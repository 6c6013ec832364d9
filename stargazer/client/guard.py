"""Scripts that start processes without a main guard: each process would run the script again, and start processes."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.errors import ConfigError

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["check_guard"]

ASKED = {"__name__", "current_process", "parent_process"}
"""Names by which a script asks whether it is the one that was started."""

ENDED = {"exit", "_exit", "quit"}


def check_guard() -> None:
    """Refuse to start processes from the body of a script that they would run again.

    Raises
    ------
    ConfigError
        Says what to write.
    """
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    frame = _frame_of(vars(main)) if main is not None and file else None
    if frame is None or frame.f_code.co_filename != file:
        return
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    if not _is_guarded(tree, frame.f_lineno):
        raise ConfigError(
            f"{Path(file).name}, line {frame.f_lineno}: processes on this machine run the script again as they start; "
            'put what starts them below `if __name__ == "__main__":`, or use sg.connect("threads")'
        )


def _frame_of(namespace: dict[str, object]) -> FrameType | None:
    """The frame of the script itself, if it runs now in this thread."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and not (frame.f_globals is namespace and frame.f_code.co_name == "<module>"):
        frame = frame.f_back
    return frame


def _is_guarded(tree: ast.Module, line: int) -> bool:
    """Whether a line stands below a question for the module's name, or behind one that ends the module."""
    asked = [node for node in ast.walk(tree) if isinstance(node, ast.If) and _names(node.test) & ASKED]
    inside = any(node.lineno <= line <= (node.end_lineno or line) for node in asked)
    return inside or any((node.end_lineno or line) < line and _ends(node) for node in asked)


def _ends(node: ast.If) -> bool:
    return any(isinstance(part, ast.Raise) for part in ast.walk(node)) or bool(_names(node) & ENDED)


def _names(node: ast.AST) -> set[str]:
    """Names of variables and attributes in a piece of code."""
    parts = list(ast.walk(node))
    names = {part.id for part in parts if isinstance(part, ast.Name)}
    return names | {part.attr for part in parts if isinstance(part, ast.Attribute)}
