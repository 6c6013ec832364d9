"""What calls took of what they had asked for, as records tell it, and what to ask for next time."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import StargazerError
from stargazer.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stargazer.ledger.record import Record
    from stargazer.store import Store

__all__ = ["Sample", "Sizes", "TaskUse", "Trend", "samples_of", "usage"]

MOST_RECORDS = 1000
"""Newest records of a task that count."""

ENOUGH, SPREAD, EXPLAINED = 5, 1.5, 0.5
"""A trend by size wants so many calls, the largest input so many times the smallest, and so much of the variance."""

SPARE = 1.25
"""What is advised is so many times what was needed."""

MEBIBYTE, GIBIBYTE = 1 << 20, 1 << 30
HOUR = 3600.0


class Sample(NamedTuple):
    """One call that really ran.

    Parameters
    ----------
    seconds, cpu_seconds
        Wall and processor time.
    peak
        Largest resident memory of a tool, in bytes; 0 where it ran none.
    size
        Bytes of its inputs; None where some are not here.
    stored
        Bytes that it made; None where some are not here.
    cpus, memory
        That it was given; 0 bytes where it asked for no memory.
    is_ok
        Whether it ended well.
    """

    seconds: float
    cpu_seconds: float
    peak: float
    size: float | None
    stored: float | None
    cpus: float
    memory: float
    is_ok: bool


class Trend(NamedTuple):
    """A straight line: an amount by bytes of the inputs.

    Parameters
    ----------
    base
        Of an empty input.
    per_byte
        More for each byte.
    """

    base: float
    per_byte: float

    def at(self, size: float) -> float:
        """The amount for an input."""
        return max(0.0, self.base + self.per_byte * size)

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]]) -> Trend | None:
        """Fit sizes and amounts; None where size does not matter, or nobody can tell."""
        if len(points) < ENOUGH or max(points)[0] < SPREAD * max(1.0, min(points)[0]):
            return None
        sizes, amounts = zip(*points, strict=True)
        if len(set(amounts)) == 1 or statistics.correlation(sizes, amounts) < math.sqrt(EXPLAINED):
            return None
        slope, intercept = statistics.linear_regression(sizes, amounts)
        return cls(max(0.0, intercept), slope)


@dataclass(frozen=True)
class TaskUse:
    """What the calls of one task took.

    Parameters
    ----------
    task
        Its name.
    calls, failed
        How many ran, and how many of these failed.
    seconds, longest, total
        Median and longest time of those that ended well, and the sum of all, in seconds.
    cpus, memory
        That the newest was given; memory in bytes, 0 where none was asked for.
    cpu_share
        Processor time of all as part of what they were given, from 0 to 1.
    peak
        Largest memory of a tool, in bytes; 0 where none ran.
    unused
        Core-hours that were given and not used.
    by_size
        Straight lines by bytes of the inputs, where size matters: of ``seconds`` and of ``peak``.
    advice
        What to ask for next time, as arguments of the task.
    """

    task: str
    calls: int
    failed: int
    seconds: float
    longest: float
    total: float
    cpus: float
    memory: float
    cpu_share: float
    peak: float
    unused: float
    by_size: dict[str, Trend]
    advice: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        lines = {name: trend._asdict() for name, trend in self.by_size.items()}
        return asdict(self) | {"by_size": lines}


class Sizes:
    """Bytes of stored files and directories, looked up once.

    Parameters
    ----------
    store
        In which they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, float | None] = {}

    def of(self, cids: Iterable[str | None]) -> float | None:
        """Bytes of all together; None where one is not here."""
        each = [self._one(cid) for cid in dict.fromkeys(cids) if cid]
        found = [size for size in each if size is not None]
        return sum(found) if len(found) == len(each) else None

    def _one(self, cid: str) -> float | None:
        if cid not in self._known:
            try:
                self._known[cid] = self._size(cid)
            except (StargazerError, OSError):
                self._known[cid] = None
        return self._known[cid]

    def _size(self, cid: str) -> float | None:
        store = self._store
        if not store.is_directory(cid):
            return store.size(cid)
        return self.of(file for _, file in store.walk(cid) if file)


def usage(store: Store, task: str | None = None, records: Iterable[str] | None = None) -> list[TaskUse]:
    """Return what calls took, by task, those that wasted most first.

    Parameters
    ----------
    store
        Whose ledger is asked.
    task
        Only this one.
    records
        Only the calls that these records, by id, tell of.
    """
    ledger = Ledger(store.records)
    if records is None:
        found = ledger.tried(task)
    else:
        found = [each for each in map(ledger.get, dict.fromkeys(records)) if each is not None]
        found = [each for each in found if task is None or each.task == task]
    by_task: dict[str, list[Record]] = defaultdict(list)
    for record in found:
        if not record.wires:  # it asked for nothing: what it wired stands for itself
            by_task[record.task].append(record)
    sizes = Sizes(store)
    uses = [_use(name, samples_of(each[:MOST_RECORDS], sizes)) for name, each in by_task.items()]
    return sorted(uses, key=lambda use: (-use.unused, use.task))


def samples_of(records: Iterable[Record], sizes: Sizes) -> list[Sample]:
    """Return what records tell of calls that ran, in their order."""
    return [
        Sample(
            record.seconds,
            record.cpu_seconds,
            record.peak_bytes,
            sizes.of(record.input_cids),
            sizes.of(record.output_cids),
            record.asked.get("cpus", 1.0),
            record.asked.get("memory", 0.0),
            record.status == "ok",
        )
        for record in records
    ]


def _use(task: str, samples: list[Sample]) -> TaskUse:
    good = [sample for sample in samples if sample.is_ok]
    times = [sample.seconds for sample in good] or [0.0]
    given = sum(sample.seconds * sample.cpus for sample in samples)
    used = sum(min(sample.cpu_seconds, sample.seconds * sample.cpus) for sample in samples)
    lines = {"seconds": _by_size(good, "seconds"), "peak": _by_size([each for each in good if each.peak], "peak")}
    by_size = {name: line for name, line in lines.items() if line is not None}
    share = used / given if given else 0.0
    peak = max((sample.peak for sample in samples), default=0.0)
    newest = samples[0]
    return TaskUse(
        task,
        len(samples),
        len(samples) - len(good),
        statistics.median(times),
        max(times),
        sum(sample.seconds for sample in samples),
        newest.cpus,
        newest.memory,
        round(share, 4),
        peak,
        (given - used) / HOUR,
        by_size,
        _advice(newest, share, peak, by_size.get("peak")),
    )


def _by_size(samples: list[Sample], amount: str) -> Trend | None:
    return Trend.of([(each.size, getattr(each, amount)) for each in samples if each.size is not None])


def _advice(newest: Sample, share: float, peak: float, line: Trend | None) -> dict[str, str]:
    """What to ask for, where it is another amount than what was asked for."""
    advice = {}
    wanted = max(1, math.ceil(share * newest.cpus * SPARE))
    if wanted < newest.cpus:
        advice["cpus"] = str(wanted)
    if not peak:
        return advice
    if line is not None:
        base, slope = memory_text(SPARE * line.base), SPARE * line.per_byte
        advice["memory"] = f"{base} + {slope:.2g} × the size of the inputs"
    elif not newest.memory or not peak <= newest.memory <= 2 * SPARE * peak:
        advice["memory"] = memory_text(SPARE * peak)
    return advice


def memory_text(size: float) -> str:
    """Bytes as people write them in a task, rounded up: ``512 MiB``, ``12 GiB``."""
    if size < GIBIBYTE:
        return f"{max(1, math.ceil(size / (64 * MEBIBYTE)) * 64)} MiB"
    return f"{math.ceil(size / GIBIBYTE)} GiB"
