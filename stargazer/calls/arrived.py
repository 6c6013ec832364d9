"""Tasks that came from another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.calls.task import Task
from stargazer.code import digest_of
from stargazer.errors import CodeChanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.execute import Order

__all__ = ["imported", "rebuilt"]


class ArrivedTask(Task):
    """A task that came by value: it has the identity that it was sent with, for there is no source here.

    What it imports here did not come with it, and must be what it was where the task was sent from.
    """

    _sent_code: str
    _imports_here: dict[str, tuple[tuple[str, ...], str | None]]

    def check_code(self, order: Order) -> None:
        if self._sent_code != order.code:
            raise CodeChanged(f"task {self.name} came with other code than its call was made with")
        for module in list(self._imports_here):
            names, digest = self._imports_here[module]
            if digest_of(module, names) not in (digest, None):
                raise CodeChanged(
                    f"{module} is another version here than where task {self.name} was sent from: give clients and "
                    "workers the same files, and start the workers anew"
                )
            del self._imports_here[module]


def imported(module: str, qualname: str) -> Task:
    """Return the task that stands under a name in a module."""
    import importlib

    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    assert isinstance(found, Task)
    return found


def rebuilt(body: Callable[..., Any], options: dict[str, Any], code: str, imports: dict[str, Any]) -> Task:
    """Return a task that was sent by value."""
    task = ArrivedTask(body, **options)
    task._sent_code, task._imports_here = code, imports
    return task
