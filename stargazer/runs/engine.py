"""What a run needs of whatever runs its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.calls.call import Call

__all__ = ["Engine"]


class Engine(Protocol):
    """What runs a graph: threads here, or the workers of a client."""

    @property
    def node(self) -> Callable[..., Any]:
        """What a node of the graph runs."""

    @property
    def take(self) -> Callable[..., Any]:
        """What takes an element of a result."""

    def execute(self, graph: dict[str, Any], calls: dict[str, Call], keys: list[str]) -> dict[str, Any]:
        """Run a graph to its end; return the results of `keys`, without those that failed."""

    def cancel(self) -> None:
        """Start nothing more, and end what runs."""

    def begin(self, run: str, what: str) -> None:
        """A run begins: workers that are hired for it are named after it."""

    def lost(self) -> list[str]:
        """How workers ended since then that nobody gave back."""

    def running(self) -> set[str] | None:
        """Plan keys of the calls that run now; None where the watch is told anyway."""

    def waits_for(self) -> str | None:
        """Why nothing runs though there is work; None where something does."""

    @property
    def dashboard(self) -> str | None:
        """Address of Dask's dashboard, if there is one."""

    @property
    def where(self) -> str:
        """What it runs on, in a word."""

    @property
    def patience(self) -> float:
        """Seconds to wait for workers before it is told that none comes."""
