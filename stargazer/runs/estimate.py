"""What a plan will take, as far as the ledger tells: time on a profile, core-hours, bytes to be stored."""

from __future__ import annotations

import heapq
import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.calls.walk import needs
from stargazer.ledger import Ledger, walk_assets
from stargazer.ledger.usage import HOUR, Sample, Sizes, Trend, samples_of
from stargazer.profiles.kinds import kind_of
from stargazer.profiles.settings import find_profiles
from stargazer.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    """

    wall: float
    core_hours: float
    stored: float
    where: str
    records: int
    never_ran: tuple[str, ...] = ()
    maybe: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self) | {"never_ran": list(self.never_ran)}


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
    coming = [each for each in planned if each.state != "known"]
    sizes = {each.call.spec.store: Sizes(each.call.store) for each in planned}
    pasts = _pasts(coming, sizes)
    made = {each.call.key: sizes[each.call.spec.store].of(each.record.output_cids) for each in planned if each.record}
    expected: dict[str, Expected] = {}
    for each in coming:
        call, past = each.call, pasts[each.call.spec.store, each.call.name]
        if past.number:
            size = _size_of_inputs(each, sizes[call.spec.store], made)
            made[call.key] = past.amount("stored", size)
            expected[call.key] = Expected(past.amount("seconds", size), call.spec.needs.cpus, made[call.key] or 0.0)
    if not expected:
        return None
    places, most = _places(profiles)
    return Estimate(
        _wall(coming, expected, places, most),
        sum(each.seconds * min(each.cpus, most) for each in expected.values()) / HOUR,
        sum(each.stored for each in expected.values()),
        on or "threads",
        sum(past.number for past in pasts.values()),
        tuple(sorted(name for (_, name), past in pasts.items() if not past.number)),
        sum(each.state == "maybe" for each in coming),
    )


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


def _wall(planned: Sequence[Planned], expected: Mapping[str, Expected], places: float, most: float) -> float:
    """Seconds until all have ended: each begins as soon as what it needs has ended and its cores are free."""
    waits = {each.call.key: {needed.whole.key for needed in needs(each.call)} & expected.keys() for each in planned}
    waits = {key: before for key, before in waits.items() if key in expected}
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
