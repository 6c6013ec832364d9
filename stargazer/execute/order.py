"""What all calls of one task share on their way to workers, and whether a worker may run them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from stargazer.errors import WorkerMismatch
from stargazer.tool import ToolIdentity, identify_tool, library_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stargazer.execute.needs import Needs

__all__ = ["Order", "Work"]


class Work(Protocol):
    """What `execute` must know of a task."""

    name: str
    needs: Needs
    copy_inputs: bool

    @property
    def positional(self) -> tuple[str, ...]:
        """Names of its asset parameters."""

    @property
    def result_type(self) -> type | None:
        """The ``NamedTuple`` class that it returns, if it does."""

    @property
    def body(self) -> Callable[..., Any]:
        """The undecorated function."""

    def bound(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Check inputs and parameters, now that none is a call any more."""

    def checked(self, made: Any) -> Any:
        """Return what the body returned, if it is what it declares to return."""

    def with_needs(self, needs: Needs) -> Work:
        """Return the same task with other needs."""

    def check_code(self, order: Order) -> None:
        """Raise `CodeChanged` where its code has another digest here."""


@dataclass(frozen=True, eq=False)
class Order:
    """What all calls of one task in one store share, as it travels to workers.

    Parameters
    ----------
    task
        The task; it pickles by name or, from a notebook, by value.
    key
        `stargazer.ledger.keys.task_key` of it.
    code, manifest
        Identity of its code, derived where the call was made.
    tools, libraries
        What the worker must have, exactly.
    store, store_id
        URL and id of the store.
    """

    task: Work
    key: str
    code: str
    manifest: Mapping[str, str]
    tools: tuple[ToolIdentity, ...]
    libraries: Mapping[str, str]
    store: str
    store_id: str

    def check_here(self) -> None:
        """Refuse to run where code, tools or libraries are others.

        Raises
        ------
        WorkerMismatch
            Names what differs, and both versions.
        """
        self.task.check_code(self)
        for wanted in self.tools:
            found = identify_tool(wanted.name)
            if found != wanted:
                raise WorkerMismatch(_mismatch(wanted.name, _shown(wanted), _shown(found)))
        for name, version in self.libraries.items():
            if library_version(name) != version:
                raise WorkerMismatch(_mismatch(name, version, library_version(name)))


def _shown(tool: ToolIdentity) -> str:
    return f"{tool.version} (sha256 {tool.digest[:12]}…)"


def _mismatch(name: str, wanted: str, found: str) -> str:
    return (
        f"this worker has {name} {found}, but the call was made with {wanted}; "
        "use the same environment for the client and its workers"
    )
