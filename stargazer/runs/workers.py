"""Run a graph on the workers of a Dask client."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stargazer.calls.elements import element
from stargazer.calls.graph import delayed_of, part_of
from stargazer.calls.growth import Growth
from stargazer.calls.late import Late
from stargazer.calls.node import run as node
from stargazer.calls.resources import capacity_of, check_environments, granted_on, until_let_go
from stargazer.calls.walk import needs
from stargazer.errors import NeedUnmet, OutputError, WiringError, WorkerLost
from stargazer.profiles.profile import offer_of
from stargazer.relay.client import serve
from stargazer.runs.grouping import Grouping
from stargazer.runs.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from distributed import Client, Future

    from stargazer.calls.call import Call
    from stargazer.runs.state import RunState

__all__ = ["Workers"]

PATIENCE = 30.0
"""Seconds to wait for workers of a client that was made without a profile."""

PAUSE, LONGEST_PAUSE = 0.0005, 0.05
"""Seconds between looks at what has ended, by the number of calls still to come: results are fetched many at once."""

LOOK = 0.05
"""Seconds between looks at calls that are held back."""


class Workers:
    """The workers of a Dask client.

    Parameters
    ----------
    client
        A synchronous client.
    watch
        Told of everything.
    """

    node = staticmethod(node)
    take = staticmethod(element)

    def __init__(self, client: Client, watch: RunState) -> None:
        self.client, self.watch = client, watch
        self._futures: dict[str, Future[Any]] = {}
        self._calls: dict[str, Call] = {}
        self._cancelled, self._has_sent = False, False
        self._growth = Growth({}, {})
        self._granted: dict[str, dict[str, float]] = {}
        self._grouping = Grouping(client, watch, {}, {})
        self._lost_before = len(self._ended())

    def begin(self, run: str, what: str) -> None:
        """Let workers that are hired for a run have its name."""
        if (offer := offer_of(self.client)) is not None:
            offer.named(run, what)

    def lost(self) -> list[str]:
        """How workers ended, since this run began, that nobody gave back."""
        return self._ended()[self._lost_before :]

    def _ended(self) -> list[str]:
        offer = offer_of(self.client)
        return offer.ended() if offer else []

    def execute(self, graph: dict[str, Any], calls: dict[str, Call], keys: list[str]) -> dict[str, Any]:
        """Run the graph to its end; return the results of `keys`, without those that failed."""
        from distributed import as_completed

        serve(self.client)
        check_environments(calls.values(), self.client)
        self._forget_old_failures(calls)
        self._calls, self._granted, self._has_sent = calls, {}, False
        growth = self._growth = self.watch.grows(Growth(graph, calls, self.node, self.take, self.watch.done_keys))
        grouping = self._grouping = Grouping(self.client, self.watch, graph, calls)
        late = Late(growth, dict.fromkeys([*keys, *calls]), self.node, self._expect)
        late.arrived({})
        results: dict[str, Any] = {}
        asked = {*keys, *_wholes(graph, [key for key in keys if key not in calls])}
        try:
            self._send(late, results)
            completed = as_completed(list(self._futures.values()), loop=self.client.loop, raise_errors=False)
            for batch in self._batches(completed):
                arrived = self._gather([each for each in batch if each.key in asked or each.key in late.wanted])
                come = self._of_groups(batch)
                arrived |= {key: come[key] for key in come if key in asked or key in late.wanted}
                results |= arrived
                failed = grouping.failed()
                if (late or grouping) and not self._cancelled:
                    failed += [str(future.key) for future in batch if future.status != "finished"]
                    self._drop(failed, late)
                    late.arrived({key: arrived[key] for key in arrived.keys() & late.wanted})
                    for future in self._send(late, results):
                        completed.add(future)
                for future in batch:
                    self._note(calls.get(str(future.key)), future, results.get(str(future.key)))
                self._blame([calls[str(future.key)] for future in batch if future.key in calls])
                time.sleep(min(LONGEST_PAUSE, completed.count() * PAUSE))
            self._blame(calls.values())
            self._leave(late)
        finally:
            grouping.close()
            self._release()
        return {key: results[key] for key in keys if key in results}

    def _batches(self, completed: Any) -> Iterator[list[Future[Any]]]:
        """Yield futures as they end; now and then none, while calls are held back that may have to be sent."""
        while not completed.is_empty() or (self._grouping and not self._cancelled):
            if not self._grouping:
                with contextlib.suppress(StopIteration):
                    yield completed.next_batch()
                continue
            if not completed.has_ready():
                with completed.thread_condition:
                    completed.thread_condition.wait(LOOK)
            yield completed.next_batch(block=False)

    def _of_groups(self, batch: list[Future[Any]]) -> dict[str, Any]:
        """Take groups out of what has ended; return the results of their calls."""
        grouping = self._grouping
        groups = [future for future in batch if future.key in grouping]
        if groups:
            batch[:] = [future for future in batch if future.key not in grouping]
            grouping.ended(groups, self._gather(groups))
            for future in groups:
                self._futures.pop(str(future.key)).release()
        grouping.look()
        return {key: grouping.results[key] for key in grouping.fresh()}

    def _expect(self, calls: dict[str, Call]) -> None:
        """Calls were wired that nobody knew of."""
        self._forget_old_failures(calls)
        self.watch.expect(calls)

    def _send(self, late: Late, results: dict[str, Any]) -> list[Future[Any]]:
        """Send what can be sent now; return the futures of what is new."""
        sent: list[Future[Any]] = []
        while True:
            for key, error in late.failed.items():
                self._fail(key, error, late)
            for key in late.known.keys() - results.keys():
                results[key] = late.known[key]
                self.watch.done(self._calls[key].plan_key, results[key])
            sent += self._sent(late)
            # What is wired may want results that nobody did when they came.
            lacking, come = late.lacking, (results, self._grouping.results)
            there = [self._futures[key] for key in lacking - results.keys() if key in self._futures]
            known = {key: each[key] for each in come for key in lacking & each.keys()}
            if not late or not (arrived := self._gather(there) | known):
                return sent
            results |= arrived
            late.arrived(arrived)

    def _sent(self, late: Late) -> list[Future[Any]]:
        ready = [key for key in late.sendable() if key not in self._futures]
        alone = self._grouping.split(self._runnable(ready, late) if ready else [])
        sent = {**self._sent_alone(alone), **self._grouping.send(self._granted)}
        self._futures |= sent
        self._has_sent = self._has_sent or bool(sent)
        if self._cancelled:  # while these were sent: `cancel` could not know of them
            self.cancel()
        return list(sent.values())

    def _sent_alone(self, ready: list[str]) -> dict[str, Future[Any]]:
        if not ready:
            return {}
        graph, new = self._growth.graph, {key: self._calls[key] for key in ready if key in self._calls}
        is_part = self._growth or self._has_sent or self._grouping
        part = part_of(graph, ready) if is_part else graph
        made = self.client.compute(delayed_of(part, new, ready, self._granted))
        return dict(zip(ready, made, strict=True))

    def _runnable(self, ready: list[str], late: Late) -> list[str]:
        """Those of some nodes that a worker could run; of the others only these fail, once anything was sent."""
        new = {key: self._calls[key] for key in ready if key in self._calls}
        try:
            self._granted |= granted_on(self.client, new)
        except NeedUnmet:
            if not self._has_sent:
                raise
        else:
            return ready
        capacity, graph = capacity_of(self.client), self._growth.graph
        why = {key: capacity.unmet(call.name, call.spec.needs) for key, call in new.items()}
        unmet = {key: message for key, message in why.items() if message}
        for key, message in unmet.items():
            self._fail(key, NeedUnmet(message), late)
        lost = unmet.keys() | late.spoilt(unmet)
        left = [key for key in ready if key not in lost and lost.isdisjoint(graph[key].dependencies)]
        self._granted |= capacity.granted({key: new[key] for key in left if key in new})
        return left

    def _leave(self, late: Late) -> None:
        """What waits still, though nothing runs, was cancelled or waits for what failed; or it waits for itself."""
        if self._cancelled or self._grouping.is_over:  # also what has wired others that will not come
            for call in self._calls.values():
                if self.watch.state(call.plan_key) in (State.WAITING, State.RUNNING):
                    self.watch.cancelled(call.plan_key)
            return
        for call in late.waiting:
            if any(map(self._is_spoilt, needs(call))):
                self._drop([call.key], late)
                self.watch.skipped(call.plan_key)
            else:
                self._fail(call.key, WiringError(f"what {call.name} is given waits for it, and never ends"), late)

    def _fail(self, key: str, error: Exception, late: Late) -> None:
        """A call cannot be sent, ever."""
        call = self._calls.get(key)
        if call is not None and self.watch.state(call.plan_key) is State.WAITING:
            self.watch.failed(call.plan_key, error)
            self._drop([key], late)

    def _drop(self, keys: list[str], late: Late) -> None:
        """What needs these calls was held back, and is not sent any more."""
        spoilt = late.spoilt(keys) - self._futures.keys()
        late.drop(spoilt)
        for key in spoilt:
            if self.watch.state(plan_key := self._calls[key].plan_key) is not State.SKIPPED:  # told of once
                self.watch.skipped(plan_key)

    def _gather(self, futures: list[Future[Any]]) -> dict[str, Any]:
        """Results of those futures that have one, in one exchange with each worker."""
        finished = {str(future.key): future for future in futures if future.status == "finished"}
        return dict(self.client.gather(finished, errors="skip")) if finished else {}

    def cancel(self) -> None:
        """Release the calls: those that nobody else waits for are ended."""
        self._cancelled = True
        # `Client.cancel` trips over calls whose dependents it has just released, and logs that.
        for future in list(self._futures.values()):
            future.release()

    def _release(self) -> None:
        """Hold nothing more, and wait until the client knows: a key that is held keeps its old inputs and failure."""
        keys = set(self._futures)
        for future in self._futures.values():
            future.release()
        self._futures.clear()
        until_let_go(self.client, keys)

    def running(self) -> set[str] | None:
        """Plan keys of the calls that workers execute, as the scheduler heard last; None if it cannot be asked."""

        def executing(dask_scheduler: Any) -> list[str]:
            return [task.key for worker in dask_scheduler.workers.values() for task in worker.executing]

        if not self._calls:
            return None
        try:
            keys = self.client.run_on_scheduler(executing)
        except (OSError, RuntimeError, TypeError, ValueError, ImportError):
            return None
        except AttributeError:  # of a client that is being closed, which has no scheduler any more
            return None
        return {self._calls[key].plan_key for key in keys if key in self._calls} | self._grouping.running(keys)

    @property
    def dashboard(self) -> str | None:
        """Address of Dask's dashboard, which wants bokeh; where no profile opened it, it answers this machine alone."""
        import importlib.util

        if not importlib.util.find_spec("bokeh"):
            return None
        link, offer = urlsplit(str(self.client.dashboard_link)), offer_of(self.client)
        opened = offer is None or offer.profile.kind == "address" or offer.profile.dashboard
        return link.geturl() if opened else link._replace(netloc=f"127.0.0.1:{link.port}").geturl()

    @property
    def where(self) -> str:
        """The profile, or the address of the scheduler."""
        offer = offer_of(self.client)
        return offer.where if offer else str(getattr(self.client.scheduler, "address", ""))

    @property
    def patience(self) -> float:
        """Seconds to wait for workers before it is told that none comes."""
        offer = offer_of(self.client)
        return offer.profile.patience if offer else PATIENCE

    def waits_for(self) -> str | None:
        """Why nothing runs on any worker though there is work; None where something does, or nobody can be asked."""
        try:
            workers, busy = self.client.run_on_scheduler(_presence) if self._calls else (1, 1)
        except (OSError, RuntimeError, TypeError, ValueError, ImportError):
            return None
        except AttributeError:  # of a client that is being closed, which has no scheduler any more
            return None
        if busy:
            return None
        offer = offer_of(self.client)
        trouble = offer.trouble() if offer else None
        return trouble or ("no worker is there" if not workers else "no worker takes the calls that wait")

    def _forget_old_failures(self, calls: dict[str, Call]) -> None:
        """A failed key would answer with its old exception as long as a future of this client holds it."""
        held = [key for key, state in self.client.futures.items() if key in calls and state.status == "error"]
        if held:
            from distributed import Future

            self.client.retry([Future(key, self.client) for key in held])

    def _note(self, call: Call | None, future: Future[Any], result: Any) -> None:
        if call is None:
            self._note_element(future)
        elif future.status == "finished":
            self.watch.done(call.plan_key, result)
        elif future.status == "error":
            self.watch.failed(call.plan_key, self._explained(call, future.exception()))
        else:
            self.watch.cancelled(call.plan_key)

    def _explained(self, call: Call, error: Any) -> Any:
        """What Dask says of a call whose workers were lost, with what the batch system says of the last."""
        from distributed.scheduler import KilledWorker

        if not isinstance(error, KilledWorker):
            return error
        name = str(getattr(error.last_worker, "name", ""))
        how = next((text for text in reversed(self._ended()) if text.startswith(f"{name} ")), f"the last was {name}")
        return WorkerLost(f"task {call.name} lost its worker {error.allowed_failures + 1} times; {how}")

    def _note_element(self, future: Future[Any]) -> None:
        """That a result has no such element fails only what needs it; other errors are its whole call's."""
        if future.status == "error" and isinstance(error := future.exception(), OutputError):
            _, index, label = self._growth.graph[str(future.key)].args
            self.watch.lacks(label, index, error)

    def _blame(self, calls: Iterable[Call]) -> None:
        """Dask gives a failure to all that depends on it; here only the call that failed is to blame."""
        failures = self.watch.failures
        failed = [call for call in calls if call.plan_key in failures]
        for call in [call for call in failed if any(map(self._is_spoilt, self._needed(call)))]:
            failures.pop(call.plan_key, None)
            self.watch.skipped(call.plan_key)

    def _needed(self, call: Call) -> list[Call]:
        """What a call takes the results of, also of what it has wired itself."""
        return [*needs(call), *self._growth.wired.get(call.key, ())]

    def _is_spoilt(self, needed: Call) -> bool:
        key = needed.whole.plan_key
        return key in self.watch.failures or self.watch.state(key) is State.SKIPPED


def _presence(dask_scheduler: Any) -> tuple[int, int]:
    workers = dask_scheduler.workers.values()
    return len(workers), sum(len(worker.processing) for worker in workers)


def _wholes(graph: dict[str, Any], keys: list[str]) -> set[str]:
    """Keys of the calls of whose results `keys` are elements."""
    return {str(needed) for key in keys for needed in graph[key].dependencies}
