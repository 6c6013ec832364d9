"""Bodies that end the process of their worker: tried twice, then refused; Dask alone would try them on and on.

While a body runs, a mark of it lies beside the worker's own files. A mark whose process is gone tells the next attempt
that the one before took its worker with it. A machine that is taken away takes its marks along: that is no fault of a
call, and does not count.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.errors import MemoryExceeded, WorkerLost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.execute import TaskSpec

__all__ = ["marked"]

TRIED = 2
"""Workers that one call may end."""

TOO_LARGE = "worker-restart-memory"
"""What nannies call the end of a worker that took too much memory."""

STARVED = (
    "the system killed processes for want of memory meanwhile: declare what it takes, as in @sg.task(memory=…), and "
    "give the workers as much"
)
CRASHED = "it calls os._exit, or a library that it uses crashes; .compute(scheduler='sync') runs it alone, to see which"

FOLDER = "stargazer-bodies"

_serial = itertools.count()


@contextlib.contextmanager
def marked(worker: Any, key: str, spec: TaskSpec) -> Iterator[None]:
    """Leave a mark while a body runs on a worker that another process starts again if it dies.

    Parameters
    ----------
    worker
        That runs it.
    key
        Of the call, for Dask.
    spec
        Its task.

    Raises
    ------
    MemoryExceeded, WorkerLost
        The body ended its worker whenever it was tried.
    """
    if worker.nanny is None:
        yield
        return
    name = hashlib.sha256(f"{worker.scheduler.address} {key}".encode()).hexdigest()
    folder = Path(worker.local_directory).parent / FOLDER / name
    lost = _lost(folder)
    if lost:
        _judge(worker, spec, folder, lost)
    mark = _mark(folder)
    try:
        yield
    finally:
        _forget(folder, [mark, *lost])


def _mark(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    mark = f"{os.getpid()}-{next(_serial)}"
    (folder / mark).write_text(json.dumps({"pid": os.getpid(), "killed": _killed_for_memory()}))
    return mark


def _forget(folder: Path, marks: list[str]) -> None:
    with contextlib.suppress(OSError):
        for mark in marks:
            (folder / mark).unlink(missing_ok=True)
        folder.rmdir()


def _lost(folder: Path) -> dict[str, dict[str, int]]:
    """What was noted of attempts whose process is gone, by the name of the mark."""
    found: dict[str, dict[str, int]] = {}
    with contextlib.suppress(FileNotFoundError):
        for mark in os.listdir(folder):
            with contextlib.suppress(OSError, ValueError):
                if not _lives(int(mark.partition("-")[0])):
                    found[mark] = json.loads((folder / mark).read_text())
    return found


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _judge(worker: Any, spec: TaskSpec, folder: Path, lost: dict[str, dict[str, int]]) -> None:
    """Refuse a call that was tried often enough, or that lacked memory and may have more."""
    taken = _taken(worker, {each["pid"] for each in lost.values()})
    killed = any(_killed_for_memory() > each["killed"] for each in lost.values())
    has_more = spec.needs.after_more_memory() is not None
    if len(lost) < TRIED and not ((taken or killed) and has_more):
        return
    _forget(folder, list(lost))
    times = "once" if len(lost) == 1 else f"{len(lost)} times"
    if taken:
        raise MemoryExceeded(f"the body of {spec.name} (it ended its worker {times})", *taken)
    why = STARVED if killed else CRASHED
    raise WorkerLost(f"the body of {spec.name} ended the process of its worker {times}: {why}", killed)


def _taken(worker: Any, pids: set[int]) -> tuple[int, int] | None:
    """Return the bytes that one of some processes had when it was ended for its memory, and the limit."""
    from distributed.utils import sync

    try:
        events = sync(worker.loop, worker.scheduler.events, topic=TOO_LARGE, callback_timeout=5)
    except (OSError, TimeoutError):
        return None
    sizes = [event["rss"] for _, event in events if event.get("pid") in pids]
    return (max(sizes), int(worker.memory_manager.memory_limit or 0)) if sizes else None


def _killed_for_memory() -> int:
    """Number of processes of this machine that the system has killed for want of memory."""
    with contextlib.suppress(OSError), open("/proc/vmstat", encoding="ascii") as counts:
        for line in counts:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
