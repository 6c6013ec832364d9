"""Bodies that end the process of their worker: tried twice, then refused; Dask alone would try them on and on.

While a body runs, a mark of it lies beside the worker's own files. A mark whose process is gone tells the next attempt
that the one before took its worker with it. A machine that is taken away takes its marks along: that is no fault of a
call, and does not count. A process keeps the files of its marks open, and writes over them: to make a folder a call and
to remove it again took longer than everything else that is noted of a short call.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import MemoryExceeded, WorkerLost

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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

DIGEST, COUNT = 64, 20
NOTHING = b" " * (DIGEST + COUNT)
"""What the file of a mark holds while no body runs: always as long as a mark, so that one write replaces another."""

KEPT = 24 * 3600.0
"""Seconds for which the mark of a process that is gone is kept, if its call is not tried again."""

FRESH = 1.0
"""Seconds for which the system's count of killed processes is taken for the present one: to ask it takes a while."""

_serial = itertools.count()


class Lost(NamedTuple):
    """What is known of an attempt whose process is gone."""

    pid: int
    killed: int


class _Marks:
    """The files of the marks of this process in one folder; as many as bodies run at once."""

    def __init__(self, folder: str) -> None:
        self.folder, self.free, self.pid = folder, list[int](), os.getpid()
        self.asked, self.killed = -FRESH, 0
        os.makedirs(folder, exist_ok=True)
        _sweep(folder)

    def put(self, name: str) -> int:
        """Note that a body runs; gives the file of its mark."""
        try:
            file = self.free.pop()
        except IndexError:
            path = os.path.join(self.folder, f"{_machine()}{self.pid}-{next(_serial)}")
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if time.monotonic() - self.asked > FRESH:
            self.asked, self.killed = time.monotonic(), _killed_for_memory()
        os.pwrite(file, f"{name}{self.killed:{COUNT}d}".encode(), 0)
        return file

    def clear(self, file: int) -> None:
        """Note that it has ended."""
        os.pwrite(file, NOTHING, 0)
        self.free.append(file)


_marks: dict[str, _Marks] = {}


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
    marks = _marks_beside(worker.local_directory)
    folder = marks.folder
    lost = _lost(folder, name)
    if lost:
        _judge(worker, spec, folder, lost)
    file = marks.put(name)
    try:
        yield
    finally:
        marks.clear(file)
        _forget(folder, lost)


def _marks_beside(directory: str) -> _Marks:
    """The marks of this process beside the directory of its worker; a fork, and who finds them gone, has others."""
    marks = _marks.get(directory)
    if marks is None or marks.pid != os.getpid() or not os.path.isdir(marks.folder):
        marks = _marks[directory] = _Marks(os.path.join(os.path.dirname(directory.rstrip(os.sep)), FOLDER))
    return marks


def _forget(folder: str, lost: Iterable[str]) -> None:
    for file in lost:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, file))


def _lost(folder: str, name: str) -> dict[str, Lost]:
    """What was noted of attempts of one call whose process is gone, by the file of the mark."""
    found = {}
    for file, pid, mark in _left(folder):
        if mark[:DIGEST] == name:
            with contextlib.suppress(ValueError):
                found[file] = Lost(pid, int(mark[DIGEST:]))
    return found


def _left(folder: str) -> Iterator[tuple[str, int, str]]:
    """Yield what processes of this machine that are gone have left: file, process and mark."""
    here = _machine()
    with contextlib.suppress(FileNotFoundError):
        for file in os.listdir(folder):
            pid = file.removeprefix(here).partition("-")[0]
            if pid.isdecimal() and not _lives(int(pid)):
                with contextlib.suppress(OSError):
                    yield file, int(pid), Path(folder, file).read_text(encoding="ascii", errors="replace")


def _machine() -> str:
    """What names of this machine's marks begin with: the folder may be one that machines share."""
    return f"{os.uname().nodename}_"


def _sweep(folder: str) -> None:
    """Remove what nobody will ask for: of processes that ended idle, and of calls not tried again in a day."""
    left = list(_left(folder))
    old = time.time() - KEPT
    for file, _, mark in left:
        with contextlib.suppress(OSError):
            if not mark.strip() or os.stat(os.path.join(folder, file)).st_mtime < old:
                _forget(folder, [file])


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _judge(worker: Any, spec: TaskSpec, folder: str, lost: dict[str, Lost]) -> None:
    """Refuse a call that was tried often enough, or that lacked memory and may have more."""
    taken = _taken(worker, {each.pid for each in lost.values()})
    killed = any(_killed_for_memory() > each.killed for each in lost.values())
    has_more = spec.needs.after_more_memory() is not None
    if len(lost) < TRIED and not ((taken or killed) and has_more):
        return
    _forget(folder, lost)
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
