"""A call computed where it stands: once more with what a failure taught, and on a Dask client where its graph grows.

On a client this process wires, the workers run what was wired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dask.delayed import Delayed

from stargazer.calls.graph import delayed_of, flatten, known_values, part_of
from stargazer.calls.growth import Growth
from stargazer.calls.late import Late
from stargazer.calls.node import run
from stargazer.calls.resources import default_client, give_more_within, granted_on, until_let_go
from stargazer.calls.walk import needs, walk
from stargazer.errors import ArgumentError, BlobLost, NeedUnmet, ToolError, WiringError
from stargazer.store.context import mark_unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from distributed import Client, Future

    from stargazer.calls.call import Call

__all__ = ["computed"]


def computed(root: Call, **kwargs: Any) -> Any:
    """Return the result of a call of which nothing is known, by running what is missing.

    Parameters
    ----------
    root
        The call.
    **kwargs
        For `dask.compute`.

    Raises
    ------
    BlobLost
        Bytes are gone that no call can make again.
    Exception
        Whatever a task raises.
    """
    lost: set[str] = set()
    starved: ToolError | None = None
    while True:
        _refuse_asynchronous(kwargs)
        try:
            if not kwargs and (client := default_client()) is not None and _grows(root):
                return _Flight(root, client).result()
            return Delayed.compute(root, **kwargs)
        except BlobLost as error:
            if error.cid in lost:
                raise
            lost.add(error.cid)
            mark_unavailable(error)
        except ToolError as error:
            if not give_more_within(root, error):
                raise
            starved = error
        except NeedUnmet as error:
            if starved is None:
                raise
            starved.add_note(f"with more memory it cannot be tried: {error}")
            raise starved from None
        except KeyboardInterrupt:
            _end_tools()
            raise
        until_let_go(default_client(), [root.key, *(call.key for call in walk(root))])
        if (result := root.known()) is not None:
            return result[0]


def _refuse_asynchronous(kwargs: dict[str, Any]) -> None:
    """An asynchronous client gives Dask a coroutine where it waits for results."""
    if "scheduler" not in kwargs and (client := default_client()) is not None and client.asynchronous:
        raise ArgumentError(
            "this client is asynchronous: write `await client.compute(call)`, or `await sg.run_async(call)`"
        )


def _end_tools() -> None:
    from stargazer.tools import end_all

    end_all()


def _grows(root: Call) -> bool:
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


class _Flight:
    """One call in flight on a synchronous client."""

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
