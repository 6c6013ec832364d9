"""On the worker: find → stage → body → save → append."""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from stargazer import config
from stargazer.assets import Asset
from stargazer.errors import Cancelled, OutputError, StargazerError, WorkerMismatch
from stargazer.ledger import Ledger, Record
from stargazer.ledger.keys import call_key, input_keys, plain
from stargazer.ledger.results import encode, map_assets, walk_assets
from stargazer.store import Store
from stargazer.store.staging import members
from stargazer.tool import ToolIdentity, identify_tool, library_version
from stargazer.workdir import INPUTS, Scratch, Workdir

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Order", "Work", "execute"]


class Work(Protocol):
    """What `execute` must know of a task."""

    name: str
    cpus: int
    memory: int | None
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

    def check_code(self, code: str) -> None:
        """Raise `CodeChanged` where its code has another digest here."""


@dataclass(frozen=True)
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
        self.task.check_code(self.code)
        for wanted in self.tools:
            found = identify_tool(wanted.name)
            if found != wanted:
                raise WorkerMismatch(_mismatch(wanted.name, _shown(wanted), _shown(found)))
        for name, version in self.libraries.items():
            if library_version(name) != version:
                raise WorkerMismatch(_mismatch(name, version, library_version(name)))


def execute(
    order: Order,
    plan_key: str,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, Any],
    cancelled: Callable[[], bool] = lambda: False,
) -> Any:
    """Return the result of a call, from the ledger or by running its body.

    Parameters
    ----------
    order
        The task and what it needs.
    plan_key
        Key of the call, made where it was wired.
    inputs
        Stored assets by parameter: one, a list or a dict of them, or None.
    parameters
        Plain values by name.
    cancelled
        Asked now and then while tools run.

    Raises
    ------
    BlobLost
        An input is gone or corrupt.
    WorkerMismatch
        This worker has other code, tools or libraries.
    Exception
        Whatever the body raises.
    """
    ledger = Ledger(Store.open(order.store))
    record = ledger.find(plan_key) or _reached_before(order, plan_key, inputs, parameters, ledger)
    if record is None:
        record = _Attempt(order, plan_key, inputs, parameters, ledger).run(cancelled)
    return ledger.results(record, order.task.result_type)


def _content_key(order: Order, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    values = {name: plain(value) for name, value in parameters.items()}
    return call_key(order.key, values, {name: input_keys(value) for name, value in inputs.items()})


def _reached_before(
    order: Order, plan_key: str, inputs: Mapping[str, Any], parameters: Mapping[str, Any], ledger: Ledger
) -> Record | None:
    """Early cut-off: the same bytes were reached on another way."""
    content_key = _content_key(order, inputs, parameters)
    record = ledger.find(content_key) if content_key != plan_key else None
    return ledger.point(record, plan_key) if record else None


class _Attempt:
    """One run of a task's body."""

    def __init__(
        self,
        order: Order,
        plan_key: str,
        inputs: Mapping[str, Any],
        parameters: Mapping[str, Any],
        ledger: Ledger,
    ) -> None:
        self.order, self.inputs, self.parameters = order, inputs, parameters
        self.ledger, self.store = ledger, ledger.store
        given = list(walk_assets(list(inputs.values())))
        self.record = Record(
            task=order.task.name,
            status="failed",
            plan_key=plan_key,
            content_key=_content_key(order, inputs, parameters),
            code=order.code,
            manifest=dict(order.manifest),
            parameters={name: plain(value) for name, value in parameters.items()},
            inputs={name: map_assets(value, lambda asset: asset.id) for name, value in inputs.items()},
            tools=[dataclasses.asdict(tool) for tool in order.tools],
            libraries=dict(order.libraries),
            producers={asset.id: asset.source.record for asset in given if asset.source and asset.source.record},
            input_cids=[asset.cid for asset in given if asset.cid],
            started=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            host=platform.node(),
            python=platform.python_version(),
        )

    def run(self, cancelled: Callable[[], bool]) -> Record:
        """Stage, run the body, save what it made and append the record."""
        self.order.check_here()
        task = self.order.task
        with Scratch(config.scratch_dir() or self.store.scratch) as scratch:
            work = Workdir(scratch.path, cpus=task.cpus, memory=task.memory, cancelled=cancelled)
            clock, cpu_clock = time.perf_counter(), time.thread_time()
            try:
                made = self._body(work)
                link = not _lie_apart(made)
                outputs = map_assets(made, lambda draft: self._save(draft, work, link))
                encoded = encode(outputs)
            except Exception as error:
                if not isinstance(error, Cancelled):
                    self._append(work, clock, cpu_clock, error=f"{type(error).__name__}: {error}")
                raise
            cids = [asset.cid for asset in walk_assets(outputs) if asset.cid]
            return self._append(work, clock, cpu_clock, status="ok", outputs=encoded, output_cids=cids)

    def _body(self, work: Workdir) -> Any:
        staged = {name: self._stage(value, work, name) for name, value in self.inputs.items()}
        task = self.order.task
        made = task.body(work, *(staged[name] for name in task.positional), **self.parameters)
        for asset in walk_assets(list(staged.values())):
            try:
                self.store.check_staged(asset)
            except StargazerError as error:
                error.add_note(f"noticed when task {task.name} ended; its result is not kept")
                raise
        return made

    def _stage(self, value: Any, work: Workdir, place: str) -> Any:
        """Stage each asset in a directory of its own, or those of a list in one, where their files cannot meet."""
        if isinstance(value, Asset):
            return self.store.stage(value, work.path / INPUTS / place, copy=self.order.task.copy_inputs)
        if isinstance(value, (list, dict)):
            assets = list(value.values()) if isinstance(value, dict) else value
            places = [place] * len(assets) if _unrelated(assets) else [f"{place}/{n}" for n in range(len(assets))]
            staged = [self._stage(asset, work, where) for asset, where in zip(assets, places, strict=True)]
            return dict(zip(value, staged, strict=True)) if isinstance(value, dict) else staged
        return value

    def _save(self, draft: Asset, work: Workdir, link: bool) -> Asset:
        if draft.cid is not None:
            return self._passed_on(draft)
        if draft.path is None or not draft.path.is_relative_to(work.path):
            raise OutputError(
                f"{self.order.task.name} returned {draft!r}, which is not in its work directory; "
                "write it to work.file(…), or copy it there"
            )
        if not draft.path.exists():
            raise OutputError(f"{self.order.task.name} returned {draft!r}, but wrote no file {draft.path.name}")
        return self.store.save(draft, link=link)

    def _passed_on(self, staged: Asset) -> Asset:
        """An input that the body returns as it is, perhaps with other facts."""
        companions = tuple(map(self._passed_on, staged.companions))
        bare = dataclasses.replace(staged, path=None, source=None, companions=companions)  # type: ignore[arg-type]
        return self.store.put(bare)

    def _append(self, work: Workdir, clock: float, cpu_clock: float, **members: Any) -> Record:
        log = work.log()
        record = dataclasses.replace(
            self.record,
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


def _lie_apart(made: Any) -> bool:
    """Whether no path of a result leads to the file of another: then no links are needed where files lay."""
    paths = [each.path for asset in walk_assets(made) for each in members(asset) if each.path is not None]
    try:
        found = [os.lstat(path) for path in paths]
    except OSError:
        return False
    return all(stat.S_ISREG(each.st_mode) for each in found) and len({each.st_ino for each in found}) == len(found)


def _shown(tool: ToolIdentity) -> str:
    return f"{tool.version} (sha256 {tool.digest[:12]}…)"


def _mismatch(name: str, wanted: str, found: str) -> str:
    return (
        f"this worker has {name} {found}, but the call was made with {wanted}; "
        "use the same environment for the client and its workers"
    )
