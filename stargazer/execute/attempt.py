"""One run of a task's body."""

from __future__ import annotations

import datetime
import os
import platform
import stat
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.assets import Asset
from stargazer.errors import Cancelled, OutputError, StargazerError
from stargazer.ledger import Record
from stargazer.ledger.keys import call_key, input_keys, plain
from stargazer.ledger.results import encode, map_assets, walk_assets
from stargazer.store.staging import members
from stargazer.workdir import INPUTS, Scratch, Workdir

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stargazer.execute.order import Order
    from stargazer.ledger import Ledger

__all__ = ["Attempt"]


class Attempt:
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
        values = {name: plain(value) for name, value in parameters.items()}
        keys = {name: input_keys(value) for name, value in inputs.items()}
        self.plan_key, self.content_key = plan_key, call_key(order.key, values, keys)
        self.known: dict[str, Any] = {
            "task": order.task.name,
            "plan_key": plan_key,
            "content_key": self.content_key,
            "code": order.code,
            "manifest": dict(order.manifest),
            "parameters": values,
            "inputs": {name: map_assets(value, lambda asset: asset.id) for name, value in inputs.items()},
            "tools": [asdict(tool) for tool in order.tools],
            "libraries": dict(order.libraries),
            "producers": {asset.id: asset.source.record for asset in given if asset.source and asset.source.record},
            "input_cids": [asset.cid for asset in given if asset.cid],
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "host": platform.node(),
            "python": platform.python_version(),
        }

    def result(self, cancelled: Callable[[], bool]) -> Any:
        """Early cut-off where the same bytes were reached on another way; else run."""
        record = self.ledger.find(self.content_key) if self.content_key != self.plan_key else None
        if record is None:
            return self.run(cancelled)
        return self.ledger.results(self.ledger.point(record, self.plan_key), self.order.task.result_type)

    def run(self, cancelled: Callable[[], bool]) -> Any:
        """Stage, run the body, save what it made and append the record; return the result that counts."""
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
                    self._append(work, clock, cpu_clock, status="failed", error=f"{type(error).__name__}: {error}")
                raise
            cids = [asset.cid for asset in walk_assets(outputs) if asset.cid]
            record = self._append(work, clock, cpu_clock, status="ok", outputs=encoded, output_cids=cids)
        if record.outputs is encoded and isinstance(outputs, Asset):
            return self.store.handle(outputs, record.id)
        return self.ledger.results(record, task.result_type)

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
        if draft.path is None or not str(draft.path).startswith(f"{work.path}{os.sep}"):
            raise OutputError(
                f"{self.order.task.name} returned {draft!r}, which is not in its work directory; "
                "write it to work.file(…), or copy it there"
            )
        if not os.path.exists(draft.path):
            raise OutputError(f"{self.order.task.name} returned {draft!r}, but wrote no file {draft.path.name}")
        return self.store.save(draft, link=link)

    def _passed_on(self, staged: Asset) -> Asset:
        """An input that the body returns as it is, perhaps with other facts."""
        companions = tuple(map(self._passed_on, staged.companions))
        bare = replace(staged, path=None, source=None, companions=companions)  # type: ignore[arg-type]
        return self.store.put(bare)

    def _append(self, work: Workdir, clock: float, cpu_clock: float, **members: Any) -> Record:
        log = work.log()
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


def _lie_apart(made: Any) -> bool:
    """Whether no path of a result leads to the file of another: then no links are needed where files lay."""
    paths = [each.path for asset in walk_assets(made) for each in members(asset) if each.path is not None]
    try:
        found = [os.lstat(path) for path in paths]
    except OSError:
        return False
    return all(stat.S_ISREG(each.st_mode) for each in found) and len({each.st_ino for each in found}) == len(found)
