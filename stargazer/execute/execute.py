"""The result of a call, from the ledger or by running its body."""

from __future__ import annotations

import contextlib
import datetime
import platform
import time
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.assets import Asset
from stargazer.errors import Cancelled, OutputError, StargazerError, StoreError, StoreFull
from stargazer.execute.outputs import Outputs
from stargazer.ledger import Ledger, Record
from stargazer.ledger.codec import encode, map_assets, walk_assets
from stargazer.ledger.keys import call_key, input_keys, plain
from stargazer.ledger.logs import origin_text, remember
from stargazer.store import Store
from stargazer.store.backends.local import is_full
from stargazer.store.fallback import fetch_missing
from stargazer.tools import INPUTS, Scratch, Workdir
from stargazer.tools.memory import Growth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stargazer.execute.spec import TaskSpec
    from stargazer.store.blobs.verified import Signature

__all__ = ["Attempt", "execute"]


def execute(
    spec: TaskSpec,
    plan_key: str,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, Any],
    cancelled: Callable[[], bool] = lambda: False,
    *,
    alone: bool = False,
) -> Any:
    """Return the result of a call, from the ledger or by running its body.

    Parameters
    ----------
    spec
        The task and what it needs.
    plan_key
        Key of the call, made where it was wired.
    inputs
        Stored assets by parameter: one, a list or a dict of them, or None.
    parameters
        Plain values by name.
    cancelled
        Asked now and then while tools run.
    alone
        Whether no other call runs in this process, so that its memory is this call's.

    Raises
    ------
    ArgumentError
        What a call before this one gave does not fit.
    BlobLost
        An input is gone or corrupt.
    WorkerMismatch
        This worker has other code, tools or libraries.
    Exception
        Whatever the body raises.
    """
    ledger = Ledger(Store.open(spec.store))
    record = ledger.find(plan_key)
    if record is not None:
        return ledger.results(record, spec.task.result_type)
    inputs, parameters = spec.task.bound(inputs, parameters)
    return Attempt(spec, plan_key, inputs, parameters, ledger, alone=alone).result(cancelled)


# One run of a task's body.


class Attempt:
    """One run of a task's body."""

    def __init__(
        self,
        spec: TaskSpec,
        plan_key: str,
        inputs: Mapping[str, Any],
        parameters: Mapping[str, Any],
        ledger: Ledger,
        *,
        alone: bool = False,
    ) -> None:
        memory = spec.needs.bytes
        self.growth = Growth(spec.name, memory) if alone and memory else None
        self.spec, self.inputs, self.parameters = spec, inputs, parameters
        self.ledger, self.store = ledger, ledger.store
        given = list(walk_assets(list(inputs.values())))
        values = {name: plain(value) for name, value in parameters.items()}
        keys = {name: input_keys(value) for name, value in inputs.items()}
        self.plan_key, self.content_key = plan_key, call_key(spec.key, values, keys)
        self.known: dict[str, Any] = {
            "task": spec.name,
            "plan_key": plan_key,
            "content_key": self.content_key,
            "code": spec.code,
            "manifest": dict(spec.manifest),
            "parameters": values,
            "inputs": {name: map_assets(value, lambda asset: asset.id) for name, value in inputs.items()},
            "tools": [tool._asdict() for tool in spec.tools],
            "libraries": dict(spec.libraries),
            "producers": {asset.id: asset.source.record for asset in given if asset.source and asset.source.record},
            "input_cids": [asset.cid for asset in given if asset.cid],
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "host": platform.node(),
            "python": platform.python_version(),
            "user": config.user_name(),
        }

    def result(self, cancelled: Callable[[], bool]) -> Any:
        """Early cut-off where the same bytes were reached on another way; else run."""
        key = self.content_key
        record = self.ledger.find_or_take([key], with_outputs=True).get(key) if key != self.plan_key else None
        if record is None:
            return self.run(cancelled)
        record = self.ledger.point(record, self.plan_key, self.known["producers"])
        return self.ledger.results(record, self.spec.task.result_type)

    def run(self, cancelled: Callable[[], bool]) -> Any:
        """Stage, run the body, save what it made and append the record; return the result that counts."""
        self.spec.check_here()
        fetch_missing(self.store, list(walk_assets(list(self.inputs.values()))))
        task = self.spec.task
        needs, own = task.needs, {"own_memory": self.growth.now} if self.growth else {}
        with self.store.in_use(), Scratch(config.scratch_dir() or self.store.scratch) as scratch:
            work = Workdir(scratch.path, cpus=needs.cpus, memory=needs.bytes, cancelled=cancelled, **own)
            clock, cpu_clock = time.perf_counter(), time.thread_time()
            try:
                outputs = self._outputs(work)
                encoded = encode(outputs)
            except Exception as error:
                if not isinstance(error, Cancelled):
                    self._append_failure(work, clock, cpu_clock, error)
                raise
            cids = [asset.cid for asset in walk_assets(outputs) if asset.cid]
            record = self._append(work, clock, cpu_clock, status="ok", outputs=encoded, output_cids=cids)
        if record.outputs is encoded and isinstance(outputs, Asset):
            return self.store.handle(outputs, record.id)
        return self.ledger.results(record, task.result_type)

    def _outputs(self, work: Workdir) -> Any:
        seen: dict[str, Signature] = {}
        staged = {name: self._stage(value, work, name, seen) for name, value in self.inputs.items()}
        task, inputs = self.spec.task, list(walk_assets(list(staged.values())))
        try:
            made = task.checked(self._made(work, staged))
        except SystemExit as error:
            raise OutputError(f"{task.name} called sys.exit({error.code!r}) instead of returning its result") from error
        for asset in inputs:
            try:
                self.store.check_staged(asset, seen)
            except StargazerError as error:
                error.add_note(f"noticed when task {task.name} ended; its result is not kept")
                raise
        return Outputs(task.name, self.store, work, inputs, copies=task.copy_inputs).save(made)

    def _made(self, work: Workdir, staged: dict[str, Any]) -> Any:
        def body() -> Any:
            task = self.spec.task
            return task.body(work, *(staged[name] for name in task.positional), **self.parameters)

        try:
            return self.growth.watched(body) if self.growth else body()
        except OSError as error:
            if isinstance(error, StargazerError) or not is_full(error):
                raise
            place = f"{self.spec.name} wrote to its scratch directory in {config.scratch_dir() or self.store.scratch}"
            told = f"no space left while {place}; free some, or let the setting stargazer.scratch name a larger disk"
            raise StoreFull(error.errno, told) from error

    def _stage(self, value: Any, work: Workdir, place: str, seen: dict[str, Signature]) -> Any:
        """Stage each asset in a directory of its own, or those of a list in one, where their files cannot meet."""
        if isinstance(value, Asset):
            folder = work.path / INPUTS / place
            return self.store.stage(value, folder, copy=self.spec.copy_inputs, seen=seen)
        if isinstance(value, (list, dict)):
            assets = list(value.values()) if isinstance(value, dict) else value
            places = [place] * len(assets) if _unrelated(assets) else [f"{place}/{n}" for n in range(len(assets))]
            staged = [self._stage(asset, work, where, seen) for asset, where in zip(assets, places, strict=True)]
            return dict(zip(value, staged, strict=True)) if isinstance(value, dict) else staged
        return value

    def _append_failure(self, work: Workdir, clock: float, cpu_clock: float, error: Exception) -> None:
        """Tell what failed; where the store cannot take that either, the error itself is the one to be raised."""
        with contextlib.suppress(StoreError, OSError):
            remember(
                error,
                self._append(
                    work,
                    clock,
                    cpu_clock,
                    status="failed",
                    error=f"{type(error).__name__}: {error}",
                    origin=origin_text(error, self.spec.task.body),
                ),
            )

    def _append(self, work: Workdir, clock: float, cpu_clock: float, origin: str = "", **members: Any) -> Record:
        log = work.log() + origin.encode("utf-8", "replace")
        record = Record(
            **self.known,
            seconds=round(time.perf_counter() - clock, 6),
            cpu_seconds=round(time.thread_time() - cpu_clock + work.cpu_seconds, 6),
            peak_bytes=work.peak_bytes,
            log=self.store.put_bytes(log) if log else None,
            **members,
        )
        return self.ledger.append(record)


def _unrelated(assets: Sequence[Asset]) -> bool:
    """Whether no tool could take a file of one for the index of another: no two names begin alike."""
    stems = [asset.name.partition(".")[0] for asset in assets]
    return all(stems) and len(set(stems)) == len(stems) and not any(asset.companions for asset in assets)
