"""The result of a call, from the ledger or by running its body."""

from __future__ import annotations

import contextlib
import datetime
import functools
import logging
import os
import platform
import time
import warnings
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.assets import Asset
from stargazer.errors import Cancelled, DataWarning, OutputError, StargazerError, StoreError, StoreFull, ToolFailed
from stargazer.execute.findings import Findings
from stargazer.execute.outputs import Aside, Outputs
from stargazer.ledger import Ledger, Record
from stargazer.ledger.keys import Kept, Naming, call_key, contents_of, input_keys, is_simple, own_copy, plain
from stargazer.ledger.logs import origin_text, remember
from stargazer.ledger.reads import ALWAYS, CHANGED
from stargazer.ledger.record import encode, ids_of, walk_assets
from stargazer.store import Store
from stargazer.store.backends.local import is_full
from stargazer.store.context import fetch_missing
from stargazer.tools import INPUTS, Scratch, Workdir
from stargazer.tools.ending import Ending
from stargazer.tools.memory import Growth, give_back
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from stargazer.execute.spec import TaskSpec
    from stargazer.store.blobs.verified import Signature
    from stargazer.tools.enclosure import Enclosure

__all__ = ["Attempt", "cut_off", "described", "execute", "own_places"]

PAUSE, LONGEST_PAUSE, POLL = 1.0, 60.0, 0.2
"""Seconds before a call is tried again, twice as long each time; and between two looks at whether it is cancelled."""


def execute(
    spec: TaskSpec,
    plan_key: str,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, Any],
    cancelled: Callable[[], bool] = lambda: False,
    *,
    alone: bool = False,
    before: Sequence[str] = (),
    strict: bool = False,
    warn: Callable[[str, type[Warning]], None] = warnings.warn,
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
    before
        Plan keys of the calls whose results it takes: what their bodies read beside their inputs counts here, too.
    strict
        Whether hidden inputs are errors, whatever this process's own settings say.
    warn
        Called with a message and a category of warnings.

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
    ledger = Ledger(Store.open(spec.store).records)
    record = None if spec.renewal else ledger.find(plan_key)
    if record is not None:
        return ledger.results(record, spec.task.result_type)
    # Only where a body runs: what is known must not pay for all that watches bodies.

    inputs, parameters = spec.task.bound(inputs, parameters)
    options: dict[str, Any] = {"alone": alone, "before": before, "strict": strict, "warn": warn}
    return _tried(
        lambda: Attempt(spec, plan_key, inputs, parameters, ledger, **options).result(cancelled), spec, cancelled
    )


def _tried(attempt: Callable[[], Any], spec: TaskSpec, cancelled: Callable[[], bool]) -> Any:
    """Try as often as the task says where a tool fails; each failure has a record of its own."""
    retries = spec.needs.retries
    for number in range(retries + 1):
        try:
            return attempt()
        except ToolFailed as error:
            if number == retries or error.killed:
                if number:
                    error.add_note(f"tried {number + 1} times")
                raise
            logging.getLogger("stargazer").warning("%s is tried again: %s", spec.name, error)
        _pause(min(LONGEST_PAUSE, PAUSE * 2**number), spec.name, cancelled)
    raise AssertionError("unreachable")


def _pause(seconds: float, task: str, cancelled: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if cancelled():
            raise Cancelled(f"cancelled before {task} was tried again")
        time.sleep(min(left, POLL))


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
        before: Sequence[str] = (),
        strict: bool = False,
        warn: Callable[[str, type[Warning]], None] = warnings.warn,
    ) -> None:
        memory = spec.needs.bytes
        self.growth = Growth(spec.name, memory) if alone and memory else None
        self.spec, self.inputs, self.parameters = spec, inputs, parameters
        self.ledger, self.store = ledger, Store.open(spec.store)
        self._before, self._warn = before, warn
        self._told: list[str] = []
        self._enclosure: Enclosure | None = None
        self._configured, own = config.scratch_dir(), self.store.context.scratch_place
        self._parent = self._configured or own
        places = own_places(self._configured, own, self.store.context.cache)
        told: dict[str, Any] = {"strict": strict or config.strict(), "alone_online": self.store.context.is_offline}
        self._findings = Findings(spec, places, parameters, **told)
        self.plan_key = plan_key
        self.known = described(spec, plan_key, inputs, parameters, self.store)
        self.content_key: str = self.known["content_key"]

    def result(self, cancelled: Callable[[], bool]) -> Any:
        """Early cut-off where the same bytes were reached on another way; else run."""
        record = cut_off(self.ledger, self.spec, self.known, self._before)
        return self.run(cancelled) if record is None else self.ledger.results(record, self.spec.task.result_type)

    def tried(self, cancelled: Callable[[], bool]) -> Any:
        """Stage and run the body; return what it made, as a record would say it. Nothing is recorded."""
        with self._at_work(cancelled, "") as (work, ending):
            return encode(self._outputs(work, ending, Aside(self.store)))

    @contextlib.contextmanager
    def _at_work(self, cancelled: Callable[[], bool], key: str) -> Iterator[tuple[Workdir, Ending]]:
        """A work directory for the body, once all that it needs is here; under a key it stays if the body fails."""
        self.spec.check_here()
        fetch_missing(self.store, list(walk_assets(list(self.inputs.values()))))
        needs, own = self.spec.needs, self.growth.now if self.growth else lambda: 0
        ending = self._ending(cancelled)
        passed: dict[str, Any] = {"env": self.spec.env, "secrets": self.spec.secrets, "own_memory": own}
        passed |= {"noted": self._findings.command, "cancelled": ending.is_due, "warned": self._told.append}
        if any(tool.is_environment for tool in self.spec.tools):
            from stargazer.tools.enclosure import enclosed

            self._enclosure = passed["enclosure"] = enclosed(self.spec.tools)
        with self.store.blobs.in_use(), Scratch(self._parent, key) as self.scratch:
            yield Workdir(self._scratch_path, cpus=needs.cpus, memory=needs.bytes, **passed), ending

    def _scratch_path(self) -> Path:
        """The scratch directory, made only where the store still is.

        It lies where the settings say, or where the store takes outputs for nothing.
        """
        if self._configured is None:
            self.store.backend.scratch()
        return self.scratch.path()

    def run(self, cancelled: Callable[[], bool]) -> Any:
        """Stage, run the body, save what it made and append the record; return the result that counts."""
        with self._at_work(cancelled, self.content_key) as (work, ending):
            clock, cpu_clock = time.perf_counter(), time.thread_time()
            try:
                outputs = self._outputs(work, ending)
                encoded = encode(outputs)
            except Exception as error:
                if not isinstance(error, Cancelled):
                    self._append_failure(work, clock, cpu_clock, error)
                raise
            cids = [asset.cid for asset in walk_assets(outputs) if asset.cid]
            found: dict[str, Any] = {"reads": self._findings.reads, "noted": [*self._told, *self._findings.noted]}
            record = self._append(work, clock, cpu_clock, status="ok", outputs=encoded, output_cids=cids, **found)
        give_back(time.perf_counter() - clock)
        if record.outputs is encoded and isinstance(outputs, Asset):
            return self.store.assets.handle(outputs, record.id)
        return self.ledger.results(record, self.spec.task.result_type)

    def _ending(self, cancelled: Callable[[], bool]) -> Ending:
        more: dict[str, Any] = {"excess": self.growth.excess} if self.growth else {}
        if self.spec.task.reads_are_inputs:
            more["declared"] = "# @timeout"
        return Ending(self.spec.name, cancelled, self.spec.needs.walltime, **more)

    def _outputs(self, work: Workdir, ending: Ending, target: Any = None) -> Any:
        seen: dict[str, Signature] = {}
        staged = {name: self._stage(value, work.path / INPUTS / name, seen) for name, value in self.inputs.items()}
        spec, inputs = self.spec, list(walk_assets(list(staged.values())))
        try:
            made = spec.task.checked(self._made(work, staged, ending))
        except SystemExit as error:
            raise OutputError(f"{spec.name} called sys.exit({error.code!r}) instead of returning its result") from error
        for asset in inputs:
            try:
                self.store.staging.check(asset, seen)
            except StargazerError as error:
                error.add_note(f"noticed when task {spec.name} ended; its result is not kept")
                raise
        self.scratch.check()
        saved = Outputs(spec.name, target or self.store, work, inputs, copies=spec.copy_inputs).save(made)
        self.scratch.check()
        self._findings.tell(self._warn)
        for text in self._told:
            self._warn(visible(f"{spec.name}: {text}"), DataWarning)
        return saved

    def _made(self, work: Workdir, staged: dict[str, Any], ending: Ending) -> Any:
        def body() -> Any:
            task = self.spec.task
            if self.spec.executor is not None:
                self._findings.reads |= reads_afar(self.spec, self._findings)
                return task.sent(self.spec.executor, self.spec, work, staged, self.parameters)
            with self._findings.watched() if task.is_watched else contextlib.nullcontext():
                return task.body(
                    work,
                    *(staged[name] for name in task.positional),
                    **{name: own_copy(value) for name, value in self.parameters.items()},
                )

        try:
            if self.growth:
                self.growth.begin()
            return ending.run(body)
        except OSError as error:
            if isinstance(error, StargazerError) or not is_full(error):
                raise
            place = f"{self.spec.name} wrote to its scratch directory in {self._parent}"
            told = f"no space left while {place}; free some, or let the setting stargazer.scratch name a larger disk"
            raise StoreFull(error.errno, told) from error

    def _stage(self, value: Any, folder: Path, seen: dict[str, Signature]) -> Any:
        """Stage each asset in a directory of its own, or those of a list in one, where their files cannot meet."""
        if isinstance(value, Asset):
            return self.store.stage(value, folder, copy=self.spec.copy_inputs, seen=seen)
        if isinstance(value, (list, dict)):
            assets = list(value.values()) if isinstance(value, dict) else value
            apart = [folder / str(number) for number in range(len(assets))]
            places = [folder] * len(assets) if _unrelated(assets) else apart
            staged = [self._stage(asset, place, seen) for asset, place in zip(assets, places, strict=True)]
            return dict(zip(value, staged, strict=True)) if isinstance(value, dict) else staged
        return value

    def _append_failure(self, work: Workdir, clock: float, cpu_clock: float, error: Exception) -> None:
        """Tell what failed; where the store cannot take that either, the error itself is the one to be raised."""
        with contextlib.suppress(OSError):
            work.mask_logs()
        with contextlib.suppress(StoreError, OSError):
            remember(
                error,
                self._append(
                    work,
                    clock,
                    cpu_clock,
                    status="failed",
                    scratch=self.scratch.kept_for(error),
                    error=work.masked(f"{type(error).__name__}: {error}"),
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
            passed=work.passed(),
            environment=self._enclosure.told() if self._enclosure else {},
            log=self.store.blobs.put_bytes(log) if log else None,
            **members,
        )
        before = self.ledger.readers(self._before) if record.status == "ok" else None
        return self.ledger.append(record, before, newest=self.spec.again)


def reads_afar(spec: TaskSpec, findings: Findings) -> dict[str, str]:
    """What the result of a body depends on that runs elsewhere: on all that is there, where that has no name."""
    unnamed = spec.executor is not None and spec.executor.runtime is None
    return {**({ALWAYS: CHANGED} if unnamed else {}), **spec.task.also_read(findings.body)}


@functools.lru_cache(maxsize=64)
def own_places(configured: Path | None, scratch: Path, cache: Path) -> tuple[str, ...]:
    """Where the engine has its files, as the paths are written and without symbolic links: no body reads data there."""
    places = [str(configured or scratch), str(scratch.parent), str(cache.parent.parent)]
    return tuple({*map(os.path.abspath, places), *map(os.path.realpath, places)})


def _unrelated(assets: Sequence[Asset]) -> bool:
    """Whether no tool could take a file of one for the index of another: no two names begin alike."""
    stems = [asset.name.partition(".")[0] for asset in assets]
    return all(stems) and len(set(stems)) == len(stems) and not any(asset.companions for asset in assets)


# What a record says of a call before it ran, and whether another way led to the same.


def described(
    spec: TaskSpec, plan_key: str, inputs: Mapping[str, Any], parameters: Mapping[str, Any], store: Store
) -> dict[str, Any]:
    """Return the members of a record that are known before the call runs, both of its keys among them.

    Parameters
    ----------
    spec, plan_key
        Of the call.
    inputs, parameters
        Stored assets and plain values by name.
    store
        Takes the content of arrays and data frames among the parameters: keys only name them.
    """
    given = list(walk_assets(list(inputs.values())))
    values = {name: _written(value, spec, store) for name, value in parameters.items()}
    keys = {name: input_keys(value, spec.kinds) for name, value in inputs.items()}
    return {
        "task": spec.name,
        "plan_key": plan_key,
        "content_key": call_key(spec.key, values, keys),
        "code": spec.code,
        "manifest": dict(spec.manifest),
        "parameters": values,
        "inputs": {name: ids_of(value) for name, value in inputs.items()},
        "tools": [tool._asdict() for tool in spec.tools],
        "libraries": dict(spec.libraries),
        "env": dict(spec.env),
        "producers": {asset.id: asset.source.record for asset in given if asset.source and asset.source.record},
        "named": {asset.id: name for asset in given if (name := getattr(asset.source, "named", ""))},
        "input_cids": [*(asset.cid for asset in given if asset.cid), *_kept_contents(parameters, store)],
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        "host": platform.node(),
        "python": platform.python_version(),
        "home": spec.home,
        "temp": spec.temp,
        "commit": spec.commit,
        "dirty": spec.dirty,
        "diff": spec.diff,
        "user": config.user_name(),
        "principal": spec.principal,
        "asked": _asked(spec),
        "image": config.image(),
    }


def _written(value: Any, spec: TaskSpec, store: Store) -> Any:
    """A parameter as keys and records have it; a named tuple that a call before this one gave was never kept."""
    if type(value) is Kept or is_simple(value):
        return plain(value)
    return plain(value, Naming(spec.task.module, store.context.profile))


def _asked(spec: TaskSpec) -> dict[str, float]:
    """What a call runs with, where that is more than any call: what it used can be compared with it."""
    given = {"cpus": spec.needs.cpus if spec.needs.cpus > 1 else 0, "memory": spec.needs.bytes or 0}
    return {name: amount for name, amount in given.items() if amount}


def _kept_contents(parameters: Mapping[str, Any], store: Store) -> list[str]:
    kept = (value.open() for value in parameters.values() if type(value) is Kept)
    return [store.blobs.put_bytes(data) for value in kept for data in contents_of(value)]


def cut_off(ledger: Ledger, spec: TaskSpec, known: Mapping[str, Any], before: Sequence[str]) -> Record | None:
    """Return the record of a call whose inputs came out as they were once before; its plan key leads there now.

    Parameters
    ----------
    ledger
        Where to look.
    spec
        Of the call.
    known
        From `described`.
    before
        Plan keys of the calls whose results it takes.
    """
    key, plan_key = known["content_key"], known["plan_key"]
    asked = (key != plan_key or spec.renewal) and not spec.again
    record = ledger.find_or_take([key], with_outputs=True).get(key) if asked else None
    if record is None:
        return None
    return ledger.point(record, plan_key, known["producers"], before=ledger.readers(before))
