"""Demand is how many workers of each kind there is work for: calls are packed as they would run, without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from stargazer.execute.spec import fits, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Busy", "Load", "Move", "PoolKind", "Work", "demand", "fits", "moves", "smallest"]

PLAIN = {"cpus": 1.0}
"""What a call takes that names nothing."""


class PoolKind(NamedTuple):
    """A kind of workers that may be hired.

    Parameters
    ----------
    pool
        Its name.
    each
        Resources of each worker.
    minimum, maximum
        How many there may be.
    starts
        Seconds that one takes to come, as far as is known.
    """

    pool: str
    each: Mapping[str, float]
    minimum: int = 0
    maximum: int = 10
    starts: float = 0.0


class Work(NamedTuple):
    """Calls of one kind that could run now, and have not begun.

    Parameters
    ----------
    needs
        Resources of each; empty where any worker will do.
    number
        Of calls.
    seconds
        That one takes; None where nobody knows.
    """

    needs: Mapping[str, float]
    number: int
    seconds: float | None = None


class Busy(NamedTuple):
    """A worker that is here.

    Parameters
    ----------
    pool
        Of which it is.
    each
        Its resources.
    takes
        Resources that the calls take which it executes, call by call.
    """

    pool: str
    each: Mapping[str, float]
    takes: Sequence[Mapping[str, float]] = ()


class Load(NamedTuple):
    """A worker with what it was given.

    Parameters
    ----------
    worker
        Which.
    each
        Its resources.
    calls
        What each call takes, by its key: those that it executes first, then those that wait there.
    running
        How many it executes.
    """

    worker: str
    each: Mapping[str, float]
    calls: Mapping[str, Mapping[str, float]]
    running: int = 0


class Move(NamedTuple):
    """A call that waits on one worker, while another has room."""

    call: str
    source: str
    target: str


@dataclass
class _Place:
    """A worker while it is filled."""

    pool: str
    free: dict[str, float]
    is_used: bool = False
    is_new: bool = False

    def take(self, needs: Mapping[str, float], number: int) -> int:
        """Take as many of these calls as fit beside each other; return how many."""
        room = min((int(self.free.get(name, 0.0) // amount) for name, amount in needs.items()), default=0)
        taken = min(room, number)
        for name, amount in needs.items():
            self.free[name] = self.free.get(name, 0.0) - taken * amount
        self.is_used = self.is_used or taken > 0
        return taken


def smallest(needs: Mapping[str, float], kinds: Iterable[PoolKind]) -> PoolKind | None:
    """Return the smallest kind of workers that can take a call; None where none can."""
    return min((kind for kind in kinds if fits(needs, kind.each)), key=lambda kind: size(kind.each), default=None)


def demand(kinds: Sequence[PoolKind], here: Iterable[Busy], work: Iterable[Work]) -> dict[str, int]:
    """Return the number of workers of each pool that would all have something to do.

    Parameters
    ----------
    kinds
        What may be hired.
    here
        Workers that are there, and take calls.
    work
        What waits. Largest first, calls are put beside those that run, then on workers that rest, then on new ones of
        the smallest kind that can take them.
    """
    places = [_filled(busy) for busy in here]
    waiting = sorted((_named(each) for each in work), key=lambda each: size(each.needs), reverse=True)
    for each in waiting:
        _place(each, places, kinds)
    return {kind.pool: _bounded(kind, places, waiting, kinds) for kind in kinds}


def moves(loads: Sequence[Load]) -> list[Move]:
    """Return which waiting calls to move to other workers: Dask gives calls to workers that have no room for them.

    Dask moves calls from workers that have more of them than threads, whatever else they take. Four calls that fill
    the memory of a worker of four threads each would run there one after the other.

    Parameters
    ----------
    loads
        Of all workers that take calls. The fullest that still has room is chosen, so that others may rest.
    """
    free, waiting = {}, []
    for load in loads:
        place = _Place(load.worker, dict(load.each))
        for number, (call, needs) in enumerate(load.calls.items()):
            if not place.take(needs, 1) and number >= load.running:
                waiting.append((call, load.worker, needs))
        free[load.worker] = place
    found = []
    for call, source, needs in sorted(waiting, key=lambda each: size(each[2]), reverse=True):
        others = sorted((place for place in free.values() if place.pool != source), key=_fullest_first)
        target = next((place for place in others if place.take(needs, 1)), None)
        if target is not None:
            found.append(Move(call, source, target.pool))
    return found


def _fullest_first(place: _Place) -> tuple[bool, tuple[float, ...]]:
    """Workers that rest come last, and before them those that have most left: they are the next to rest."""
    return not place.is_used, size(place.free)


def _named(work: Work) -> Work:
    return work._replace(needs=PLAIN | dict(work.needs))


def _filled(busy: Busy) -> _Place:
    free = dict(busy.each) if "cpus" in busy.each else {"cpus": 1.0, **busy.each}
    place = _Place(busy.pool, free)
    for takes in busy.takes:
        place.is_used = True
        for name, amount in (PLAIN | dict(takes)).items():
            place.free[name] = place.free.get(name, 0.0) - amount
    return place


def _place(work: Work, places: list[_Place], kinds: Sequence[PoolKind]) -> None:
    left = work.number
    for place in sorted(places, key=lambda place: (not place.is_used, place.is_new)):
        left -= place.take(work.needs, left)
        if not left:
            return
    kind = smallest(work.needs, kinds)
    while left and kind and sum(place.is_used and place.pool == kind.pool for place in places) < kind.maximum:
        places.append(new := _Place(kind.pool, dict(kind.each), is_new=True))
        taken = new.take(work.needs, left)
        if not taken:
            return
        left -= taken


def _bounded(kind: PoolKind, places: list[_Place], waiting: list[Work], kinds: Sequence[PoolKind]) -> int:
    mine = [place for place in places if place.pool == kind.pool]
    old, new = sum(place.is_used and not place.is_new for place in mine), sum(place.is_new for place in mine)
    new = min(new, _worth(kind, sum(not place.is_new for place in mine), waiting, kinds))
    return max(kind.minimum, min(kind.maximum, old + new))


def _worth(kind: PoolKind, here: int, waiting: list[Work], kinds: Sequence[PoolKind]) -> int:
    """New workers that would come before the work is done by those that are there."""
    mine = [work for work in waiting if smallest(work.needs, kinds) == kind]
    if not here or not kind.starts or any(work.seconds is None for work in mine):
        return kind.maximum
    seconds = sum(work.number * (work.seconds or 0.0) / _beside(work.needs, kind.each) for work in mine)
    return 0 if seconds <= here * kind.starts else int(seconds // kind.starts)


def _beside(needs: Mapping[str, float], each: Mapping[str, float]) -> int:
    """How many of such calls run beside each other on one worker."""
    return max(1, min((int(each.get(name, 0.0) // amount) for name, amount in needs.items() if amount), default=1))
