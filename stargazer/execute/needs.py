"""What a call needs of the worker that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Needs", "most"]

COUNTED = ("cpus", "memory")
"""Resources that every worker has, whether it says so or not."""

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
    """

    cpus: int = 1
    memory: tuple[int, ...] = ()
    gpus: int = 0
    walltime: float | None = None
    worker: str | None = None

    @property
    def bytes(self) -> int | None:
        """Memory of the present attempt."""
        return self.memory[0] if self.memory else None

    @property
    def are_plain(self) -> bool:
        """Whether any worker will do, one call for each of its threads."""
        return self == Needs() or (self.cpus == 1 and not (self.memory or self.gpus or self.worker))

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
        return self._replace(memory=self.memory[1:]) if len(self.memory) > 1 else None


def most(workers: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the most that any of these workers has of each resource."""
    largest: dict[str, float] = {}
    for has in workers:
        for name, amount in has.items():
            largest[name] = max(amount, largest.get(name, 0.0))
    return largest
