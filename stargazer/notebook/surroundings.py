"""What code sets for its own thread alone, carried to the threads in which cells run.

The precision of decimals, NumPy's ways with division by zero and of printing are variables of a context: a kernel that
runs all cells in one thread has them in each, and threads that run cells side by side would not.
"""

from __future__ import annotations

import contextlib
import contextvars
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Surroundings"]

OF_DECIMALS = "decimal_context"
"""Name of the variable with the context of decimals, which code changes in place: it is copied, not passed on."""


class Surroundings:
    """Variables of the context that code has changed."""

    def __init__(self) -> None:
        self._changed: dict[contextvars.ContextVar[Any], Any] = {}
        self._decimals: Any = None

    def note(self, run: Callable[[], object]) -> None:
        """Run code as a new thread would, and note what it changes; here nothing changes."""
        context = contextvars.copy_context()

        def anew() -> None:
            if (module := sys.modules.get("decimal")) is not None:
                module.setcontext(module.DefaultContext.copy())
            before = dict(contextvars.copy_context())
            run()
            self._take(before)

        context.run(anew)

    @contextlib.contextmanager
    def again(self, *, keep: bool = False) -> Iterator[None]:
        """Have the noted values within, and what was there before afterwards.

        Parameters
        ----------
        keep
            Note what changes within, for what runs later.
        """
        tokens = [(name, name.set(value)) for name, value in self._changed.items()]
        module = sys.modules.get("decimal")
        decimals = module.getcontext() if module is not None else None
        if module is not None:
            module.setcontext((self._decimals or module.DefaultContext).copy())
        before = dict(contextvars.copy_context())
        try:
            yield
        finally:
            if keep:
                self._take(before)
            if module is not None:
                module.setcontext(decimals)
            for name, token in reversed(tokens):
                name.reset(token)

    def _take(self, before: dict[contextvars.ContextVar[Any], Any]) -> None:
        now = contextvars.copy_context().items()
        self._changed |= {
            name: value for name, value in now if name.name != OF_DECIMALS and before.get(name) is not value
        }
        module = sys.modules.get("decimal")
        self._decimals = None if module is None else module.getcontext().copy()
