"""Which methods are tools, and what programs may expect of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from mcp.types import ToolAnnotations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ASKS", "MAKES", "READS", "REMOVES", "REPLACES", "RUNS", "tool", "tools_of"]

READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
"""Changes nothing."""

RUNS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
"""Makes something, once: asked for again, it is there."""

MAKES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
"""Makes something new each time."""

REMOVES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
"""Ends or removes something."""

REPLACES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False)
"""Takes the place of what was there; asked for again, it is another change, or refused."""

ASKS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
"""Makes something, once, of what others on the net have."""

F = TypeVar("F", bound="Callable[..., Any]")


def tool(hints: ToolAnnotations) -> Callable[[F], F]:
    """Mark a method as a tool of the server; its docstring is what programs read of it."""

    def mark(method: F) -> F:
        method.mcp_hints = hints  # type: ignore[attr-defined]
        return method

    return mark


def tools_of(owner: object) -> Iterator[tuple[Callable[..., Any], ToolAnnotations]]:
    """Yield the tools of an object, in the order in which its class has them."""
    for name, method in vars(type(owner)).items():
        hints = getattr(method, "mcp_hints", None)
        if hints is not None:
            yield getattr(owner, name), hints
