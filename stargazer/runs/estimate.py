"""What a plan will take, as far as the ledger tells: time on a profile, core-hours, bytes to be stored."""

from __future__ import annotations

import heapq
import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.calls.walk import needs
from stargazer.ledger import Ledger, Record, walk_assets
from stargazer.ledger.record import cids_in
from stargazer.ledger.usage import HOUR, Sample, Sizes, Trend, samples_of
from stargazer.profiles.kinds import kind_of
from stargazer.profiles.settings import find_profiles
from stargazer.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stargazer.calls.call import Call
    from stargazer.profiles.profile import Profile
    from stargazer.runs.planner import Planned

__all__ = ["Estimate", "estimated"]

MOST_RECORDS = 200
"""Newest records of a task that count."""


@dataclass(frozen=True)
class Estimate:
    """What a plan will probably take.

    Parameters
    ----------
    wall
        Seconds from beginning to end on that profile, if its workers come at once; without tasks that never ran.
    core_hours
        Processor cores that calls ask for, times hours.
    stored
        Bytes that come into the store.
    where
        The profile.
    records
        How many records it rests on.
    never_ran
        Tasks of which no record tells, and which are in no number here.
    maybe
        Calls that are counted and may turn out to be known.
    as_last_time
        Functions that wire calls of which nobody knows yet: those that they wired last time are counted.
    """

    wall: float
    core_hours: float
    stored: float
    where: str
    records: int
    never_ran: tuple[str, ...] = ()
    maybe: int = 0
    as_last_time: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self) | {"never_ran": list(self.never_ran), "as_last_time": list(self.as_last_time)}


class Expected(NamedTuple):
    """What one call will probably take.

    Parameters
    ----------
    seconds
        Wall time.
    cpus
        That it asks for.
    stored
        Bytes that it makes.
    """

    seconds: float
    cpus: float
    stored: float


class _Past:
    """What records tell of one task.

    Parameters
    ----------
    samples
        Calls that ended well, the newest first.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.number = len(samples)
        self.cpus = samples[0].cpus if samples else 1.0
        self._lines = {name: _line(samples, name) for name in ("seconds", "stored")}
        self._middle = {name: _median(samples, name) for name in ("seconds", "stored")}

    def amount(self, name: str, size: float | None) -> float:
        """Seconds or bytes for an input of that size."""
        line = self._lines[name]
        return line.at(size) if line is not None and size is not None else self._middle[name]


def estimated(planned: Sequence[Planned], on: str | None = None) -> Estimate | None:
    """Return what the calls that would run will take; None where no record tells of any of them.

    Parameters
    ----------
    planned
        Calls of a plan, each after those that it needs.
    on
        A profile; by default the threads of this process.
    """
    profiles = find_profiles(on or "threads")
    forecast = _Forecast(planned)
    if not forecast.records:
        return None
    expected = forecast.expected
    places, most = _places(profiles)
    return Estimate(
        _wall(forecast.waits, expected, places, most),
        sum(each.seconds * min(each.cpus, most) for each in expected.values()) / HOUR,
        sum(each.stored for each in expected.values()),
        on or "threads",
        forecast.records,
        tuple(sorted(forecast.never_ran)),
        sum(each.state == "maybe" for each in planned),
        tuple(sorted(forecast.as_last_time)),
    )


class _Forecast:
    """What each call that would run will take, and what it waits for.

    Parameters
    ----------
    planned
        Calls of a plan, each after those that it needs.
    """

    def __init__(self, planned: Sequence[Planned]) -> None:
        coming = [each for each in planned if each.state != "known"]
        self._sizes = {each.call.spec.store: Sizes(each.call.store) for each in planned}
        self._pasts = _pasts([each for each in coming if not each.call.spec.wires], self._sizes)
        self._made = {each.call.key: self._size_of_result(each.call, each.record) for each in planned if each.record}
        self.expected: dict[str, Expected] = {}
        self.waits: dict[str, set[str]] = {}
        self.never_ran = {name for (_, name), past in self._pasts.items() if not past.number}
        self.as_last_time: set[str] = set()
        self.records = sum(past.number for past in self._pasts.values())
        for each in coming:
            self.waits[each.call.key] = {needed.whole.key for needed in needs(each.call)}
            take = self._take_wiring if each.call.spec.wires else self._take
            take(each)

    def _take(self, each: Planned) -> None:
        call, past = each.call, self._pasts[each.call.spec.store, each.call.name]
        if past.number:
            size = _size_of_inputs(each, self._sizes[call.spec.store], self._made)
            stored = self._made[call.key] = past.amount("stored", size)
            # Where functions of the inputs say how many processors it takes, nobody has asked them yet.
            asks = any(option == "cpus" for option, _ in call.spec.needs.functions)
            cpus = past.cpus if asks else call.spec.needs.cpus
            self.expected[call.key] = Expected(past.amount("seconds", size), cpus, stored or 0.0)

    def _take_wiring(self, each: Planned) -> None:
        """Wiring itself takes no time worth speaking of; what is wired does, and what comes after waits for it."""
        call = each.call
        self.expected[call.key] = Expected(0.0, 0.0, 0.0)
        if each.grows is None:
            self.waits[call.key] |= {wired.whole.key for wired in each.wired}
            self._made[call.key] = _sum(self._made.get(wired.whole.key) for wired in each.wired)
            return
        last = next(iter(Ledger(call.store.records).newest(call.name)), None)  # the very last may have failed
        found = {} if last is None else _wired_last_time(Ledger(call.store.records), last)
        if last is None or (last.wired and not found):
            self.never_ran.add(call.name)
            return
        self.as_last_time.add(call.name)
        self._made[call.key] = self._size_of_result(call, last)
        self._take_last_time(call, found)

    def _take_last_time(self, call: Call, found: Mapping[str, tuple[Record, set[str]]]) -> None:
        """Count what a function wired last time as if it were wired now, after all that it waits for."""
        waits = set(self.waits[call.key])
        bodies = {name: record for name, (record, _) in found.items() if not record.wires}
        samples = samples_of(bodies.values(), self._sizes[call.spec.store])
        told = {name: Expected(s.seconds, s.cpus, s.stored or 0.0) for name, s in zip(bodies, samples, strict=True)}
        for name, (_, before) in found.items():
            key = f"{call.key} {name}"
            self.expected[key] = told.get(name, Expected(0.0, 0.0, 0.0))
            self.waits[key] = {f"{call.key} {each}" for each in before} or waits
            self.waits[call.key].add(key)
        self.records += len(bodies)

    def _size_of_result(self, call: Call, record: Record) -> float | None:
        """Bytes of what a call gave; a function that wires has made none of it itself."""
        made = cids_in(record.outputs) if record.wires else record.output_cids
        return self._sizes[call.spec.store].of(made)


def _wired_last_time(ledger: Ledger, last: Record) -> dict[str, tuple[Record, set[str]]]:
    """Return the records of what a function wired, by id, each with the ids of those that had to end before it.

    Of calls that only gave plain values to others no record tells; they are left out.
    """
    given = set(_texts(list(last.inputs.values())))
    found: dict[str, tuple[Record, set[str]]] = {}
    todo = list(ledger.lookup(last.wired).values())
    while todo:
        record = todo.pop()
        if record.id in found:
            continue
        makers = {name for asset, name in record.producers.items() if asset not in given}
        before = [each for each in map(ledger.get, makers) if each is not None]
        before += ledger.lookup(record.wired).values() if record.wired else ()
        found[record.id] = record, {each.id for each in before}
        todo += before
    return found


def _texts(value: Any) -> Iterator[str]:
    """Ids of the assets that a record says a call was given."""
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(each)


def _sum(sizes: Iterator[float | None]) -> float | None:
    """All together; None where one is not known."""
    found = list(sizes)
    return None if None in found else sum(size for size in found if size is not None)


def _pasts(planned: Sequence[Planned], sizes: Mapping[str, Sizes]) -> dict[tuple[str, str], _Past]:
    """What the ledgers tell of the tasks of some calls, by store and name."""
    found = {}
    for url, name in dict.fromkeys((each.call.spec.store, each.call.name) for each in planned):
        records = Ledger(Store.open(url).records).newest(name, MOST_RECORDS)
        found[url, name] = _Past(samples_of([record for record in records if not record.same_as], sizes[url]))
    return found


def _size_of_inputs(planned: Planned, sizes: Sizes, made: Mapping[str, float | None]) -> float | None:
    """Bytes of what a call is given: stored files, and what the calls before it made or will; None if not all tell."""
    call = planned.call
    before = [made.get(key) for key in {needed.whole.key for needed in needs(call)}]
    stored = sizes.of(asset.cid for asset in walk_assets(list(call.inputs.values())))
    found = [size for size in (stored, *before) if size is not None]
    return sum(found) if len(found) == len(before) + 1 else None


def _places(profiles: Sequence[Profile]) -> tuple[float, float]:
    """Cores of all workers together, and of the largest."""
    sizes = [kind.size(profile) for profile in profiles if (kind := kind_of(profile.kind)) is not None]
    return sum(size.cpus * size.workers for size in sizes), max(size.cpus for size in sizes)


def _wall(waiting: Mapping[str, set[str]], expected: Mapping[str, Expected], places: float, most: float) -> float:
    """Seconds until all have ended: each begins as soon as what it needs has ended and its cores are free."""
    waits = {key: before & expected.keys() for key, before in waiting.items() if key in expected}
    after: dict[str, list[str]] = defaultdict(list)
    for key, before in waits.items():
        for each in before:
            after[each].append(key)
    ready, now, free = [key for key, before in waits.items() if not before], 0.0, places
    running: list[tuple[float, str, float]] = []
    while ready or running:
        while ready and (not running or min(expected[ready[-1]].cpus, most) <= free):
            key = ready.pop()
            taken = min(expected[key].cpus, most, places)
            free -= taken
            heapq.heappush(running, (now + expected[key].seconds, key, taken))
        now, key, taken = heapq.heappop(running)
        free += taken
        for each in after[key]:
            waits[each].discard(key)
            if not waits[each]:
                ready.insert(0, each)
    return now


def _line(samples: Sequence[Sample], name: str) -> Trend | None:
    points = [(each.size, getattr(each, name)) for each in samples if each.size is not None]
    return Trend.of([(size, amount) for size, amount in points if amount is not None])


def _median(samples: Sequence[Sample], name: str) -> float:
    found = [amount for each in samples if (amount := getattr(each, name)) is not None]
    return float(statistics.median(found)) if found else 0.0
