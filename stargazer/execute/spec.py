"""What all calls of one task share on their way to workers, and whether a worker may run them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from stargazer.errors import WorkerMismatch
from stargazer.tools import ToolIdentity, identify_tool, library_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Needs", "TaskSpec", "Work", "fits", "most", "size"]


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

    def check_code(self, spec: TaskSpec) -> None:
        """Raise `CodeChanged` where its code has another digest here."""


@dataclass(frozen=True, eq=False)
class TaskSpec:
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


# What a call needs of the worker that runs it.


COUNTED = ("cpus", "memory")
"""Resources that every worker has, whether it says so or not."""

ATTEMPTS = 5
"""Times that a call is tried whose memory is a function of the attempt."""

CLAMPED = "cpus"
"""Of processors a call takes all there are, where its machine has fewer: it takes longer, and comes to the same."""


class Needs(NamedTuple):
    """What a call needs. In no key: it changes nothing of the result.

    Parameters
    ----------
    cpus
        Threads.
    memory
        Sizes in bytes, to be tried in turn where the one before was not enough; empty where none is declared.
    gpus
        Number of them.
    walltime
        Seconds that it takes at most; None where nobody knows.
    worker
        Name that the worker must have.
    functions
        Options that are functions of the call's inputs and parameters, by their names, and of ``attempt``.
    attempt
        Which it is, from 1.
    are_given
        Whether the functions have been asked, or there are none.
    """

    cpus: int = 1
    memory: tuple[int, ...] = ()
    gpus: int = 0
    walltime: float | None = None
    worker: str | None = None
    functions: tuple[tuple[str, Callable[..., Any]], ...] = ()
    attempt: int = 1
    are_given: bool = True

    @property
    def bytes(self) -> int | None:
        """Memory of the present attempt."""
        return self.memory[0] if self.memory else None

    @property
    def are_plain(self) -> bool:
        """Whether any worker will do, one call for each of its threads."""
        return self.cpus == 1 and not (self.memory or self.gpus or self.worker or self.functions)

    def resources(self) -> dict[str, float]:
        """Return them as Dask counts resources."""
        wanted = {"cpus": self.cpus, "memory": self.bytes or 0, "gpus": self.gpus}
        named = {f"worker:{self.worker}": 1.0} if self.worker else {}
        return {name: float(amount) for name, amount in wanted.items() if amount} | named

    def fitted(self, largest: Mapping[str, float], *, clamp: bool) -> dict[str, float]:
        """Return the resources to ask for, of workers of which the largest has so much; plain workers count none."""
        wanted = {name: amount for name, amount in self.resources().items() if name not in COUNTED or name in largest}
        if clamp and CLAMPED in largest:
            wanted[CLAMPED] = min(wanted[CLAMPED], largest[CLAMPED])
        return wanted

    def after_more_memory(self) -> Needs | None:
        """Return the needs of the next attempt, where memory was not enough; None if this one was the last."""
        if len(self.memory) > 1:
            return self._replace(memory=self.memory[1:])
        grows = any(option == "memory" and takes_attempt(function) for option, function in self.functions)
        return self._replace(attempt=self.attempt + 1, are_given=False) if grows and self.attempt < ATTEMPTS else None


def takes_attempt(function: Callable[..., Any]) -> bool:
    """Whether a function of needs asks which attempt it is."""
    return "attempt" in inspect.signature(function).parameters


def fits(needs: Mapping[str, float], each: Mapping[str, float]) -> bool:
    """Whether a worker with these resources could take a call alone."""
    return all(amount <= each.get(name, 0.0) for name, amount in needs.items())


def size(each: Mapping[str, float]) -> tuple[float, ...]:
    """Return what kinds of workers are compared by: graphics cards are dearest, then memory, then processors."""
    return (each.get("gpus", 0.0), each.get("memory", 0.0), each.get("cpus", 0.0), float(len(each)))


def most(workers: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the most that any of these workers has of each resource."""
    largest: dict[str, float] = {}
    for has in workers:
        for name, amount in has.items():
            largest[name] = max(amount, largest.get(name, 0.0))
    return largest
