"""A call computed on a Dask client, whose graph grows: this process wires, the workers run what was wired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.calls.graph import delayed_of, flatten, known_values, part_of
from stargazer.calls.growth import Growth
from stargazer.calls.late import Late
from stargazer.calls.node import run
from stargazer.calls.resources import granted_on
from stargazer.calls.walk import needs
from stargazer.errors import WiringError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from distributed import Client, Future

    from stargazer.calls.call import Call

__all__ = ["compute_afar", "grows"]


def grows(root: Call) -> bool:
    """Whether a call that is not known needs one that wires others, or is one; nothing is asked of the ledger."""
    seen, todo = set[str](), [root.whole]
    while todo:
        call = todo.pop()
        if call.spec.wires:
            return True
        below = {each.whole.key: each.whole for each in needs(call)}
        todo += [each for key, each in below.items() if key not in seen]
        seen |= below.keys()
    return False


def compute_afar(root: Call, client: Client) -> Any:
    """Return the result of a call.

    Parameters
    ----------
    root
        The call.
    client
        A synchronous client.

    Raises
    ------
    Exception
        What the first call raised that failed.
    """
    return _Flight(root, client).result()


class _Flight:
    """One call in flight."""

    def __init__(self, root: Call, client: Client) -> None:
        graph, calls = flatten([root], with_outputs=True)
        self._root, self._client = root, client
        self._growth = Growth(graph, calls)
        self._late = Late(self._growth, dict.fromkeys([root.key, *calls]), run)
        self._futures: dict[str, Future[Any]] = {}
        self._results: dict[str, Any] = {}

    def result(self) -> Any:
        from distributed import as_completed

        key = self._root.key
        try:
            self._late.arrived({})
            completed = as_completed(self._send(), loop=self._client.loop, raise_errors=False)
            for batch in completed.batches():
                self._arrived(batch)
                for future in self._send():
                    completed.add(future)
        finally:
            for future in self._futures.values():
                future.release()
        if key in self._results:
            return self._results[key]
        if found := known_values(self._growth.graph[key]):
            return found[0]
        raise WiringError(f"what {self._root.name} needs waits for itself, and never ends")

    def _send(self) -> list[Future[Any]]:
        """Send what can be sent now, and return the futures."""
        sent: list[Future[Any]] = []
        while True:
            for error in self._late.failed.values():
                raise error
            ready = [key for key in self._late.sendable() if key not in self._futures]
            sent += self._sent(ready) if ready else []
            there = [self._futures[key] for key in self._late.wanted - self._results.keys() if key in self._futures]
            if not self._gather(each for each in there if each.status == "finished"):
                return sent

    def _sent(self, ready: list[str]) -> list[Future[Any]]:
        calls = {key: self._growth.calls[key] for key in ready if key in self._growth.calls}
        graph = part_of(self._growth.graph, ready)
        made = self._client.compute(delayed_of(graph, calls, ready, granted_on(self._client, calls)))
        self._futures |= dict(zip(ready, made, strict=True))
        return list(made)

    def _arrived(self, batch: Iterable[Future[Any]]) -> None:
        ended = list(batch)
        for future in ended:
            if future.status != "finished":
                self._raise(future)
        wanted = {*self._late.wanted, self._root.key}
        self._gather(each for each in ended if each.key in wanted)

    def _gather(self, futures: Iterable[Future[Any]]) -> bool:
        """Take results, and tell those who wait for them; return whether there were any."""
        found = self._client.gather({str(each.key): each for each in futures})
        self._results |= found
        self._late.arrived(found)
        return bool(found)

    def _raise(self, future: Future[Any]) -> None:
        error = future.exception() or future.result()  # the latter raises that it was cancelled
        call = self._growth.calls.get(str(future.key))
        if call is not None and (place := self._growth.place(call.plan_key)):
            error.add_note(f"this was {call.name} of {place}")
        raise error
