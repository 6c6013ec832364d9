"""Does a mixed bag of calls end sooner on two kinds of workers than on one that can take them all?

Many small calls and a few large ones, on workers that a batch system starts: small workers soon, large ones late.
Beside it stands one kind, large enough for each call, with as much memory in all. Time is simulated, and so are the
calls and the batch system; what is hired, given back and packed is decided by the code that decides it in a run.

As many large calls as small ones is the case that two kinds lose: of the same memory in all they have four workers that
can take large calls, eight at once, beside six and twelve. No packing gets that back; more large workers do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.rounds import Ratio
from stargazer.client.demand import Busy, PoolKind, Work, demand
from stargazer.client.hires import Ask, Cancel, Limits, Pool, Present, Retire, Submit, Told
from stargazer.client.staffing import Staffing
from stargazer.execute.spec import fits

__all__ = ["measure"]

AIM = 1.0
GIB = float(1 << 30)
IDLE = 60.0
SLIM = ({"cpus": 8.0, "memory": 32 * GIB}, 20, 60.0)
LARGE = ({"cpus": 16.0, "memory": 256 * GIB}, 4, 600.0)
ONE = ({"cpus": 16.0, "memory": 256 * GIB}, 6, 600.0)
"""Resources of each worker, how many there may be, and seconds until one that was asked for comes."""

SMALL_CALL, LARGE_CALL = {"cpus": 2.0, "memory": 4 * GIB}, {"cpus": 4.0, "memory": 100 * GIB}


def measure(quick: bool = False) -> Iterator[Ratio]:
    """Yield how long a bag takes, and how much memory is held for how long.

    Parameters
    ----------
    quick
        Fewer bags: for trying out, not for quoting.
    """
    seeds = range(1 if quick else 9)
    for case, small, large in (("many small calls, some large", 1500, 6), ("as many large as small", 20, 20)):
        pairs = [(_played((SLIM, LARGE), small, large, seed), _played((ONE,), small, large, seed)) for seed in seeds]
        for name, index, unit, aim in (("seconds", 0, "s", AIM), ("memory held", 1, "GiB h", None)):
            yield _ratio(
                f"{case}: {name}", [(two[index], one[index]) for two, one in pairs], unit, aim if small else None
            )


def _ratio(case: str, pairs: Sequence[tuple[float, float]], unit: str, aim: float | None) -> Ratio:
    ratios = sorted(two / one for two, one in pairs)
    two, one = (sorted(values)[len(pairs) // 2] for values in zip(*pairs, strict=True))
    figures = {"ratio": ratios[len(ratios) // 2], "lowest": ratios[0], "highest": ratios[-1]}
    return Ratio(
        "pools", case, ours=two, theirs=one, beside="one kind", unit=unit, rounds=len(pairs), aim=aim, **figures
    )


@dataclass
class _Worker:
    pool: str
    free: dict[str, float]
    each: dict[str, float]
    since: float
    calls: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    worked: float = 0.0


def _played(
    kinds: Sequence[tuple[dict[str, float], int, float]], small: int, large: int, seed: int
) -> tuple[float, float]:
    """Play a bag to its end; return its seconds and the memory that was held, in GiB hours."""
    rng = random.Random(seed)
    bag: list[tuple[dict[str, float], list[float]]] = [
        (LARGE_CALL, [rng.uniform(900, 2700) for _ in range(large)]),
        (SMALL_CALL, [rng.uniform(60, 600) for _ in range(small)]),
    ]
    pools = {f"pool-{n}": kind for n, kind in enumerate(kinds)}
    staffing = Staffing({name: Pool(name, IDLE) for name in pools}, Limits(can_tell=True))
    offered = [PoolKind(name, each, 0, most, starts) for name, (each, most, starts) in pools.items()]
    here: dict[str, _Worker] = {}
    coming: list[tuple[float, str, str]] = []
    now, held = 0.0, 0.0
    while any(left for _, left in bag) or any(worker.calls for worker in here.values()):
        now += 1.0
        for _, name, pool in [each for each in coming if each[0] <= now]:
            here[name] = _Worker(pool, dict(pools[pool][0]), pools[pool][0], now, worked=now)
        coming = [each for each in coming if each[0] > now]
        _work(here, bag, now, offered)
        held += sum(worker.each["memory"] for worker in here.values()) / GIB / 3600
        busy = [Busy(worker.pool, worker.each, [needs for _, needs in worker.calls]) for worker in here.values()]
        waiting = [Work(needs, len(left)) for needs, left in bag if left]
        present = {name: Present(None if worker.calls else now - worker.worked) for name, worker in here.items()}
        for action in staffing.look(now, present, demand(offered, busy, waiting)):
            _act(action, staffing, now, pools, here, coming)
    return now, held


def _work(
    here: dict[str, _Worker], bag: list[tuple[dict[str, float], list[float]]], now: float, kinds: list[PoolKind]
) -> None:
    """Calls end, and others begin: those of the smallest kind that can take them."""
    for worker in here.values():
        for call in [call for call in worker.calls if call[0] <= now]:
            worker.calls.remove(call)
            worker.worked = now
            for name, amount in call[1].items():
                worker.free[name] += amount
        mine = next(kind for kind in kinds if kind.pool == worker.pool)
        smaller = [kind for kind in kinds if kind.each["memory"] < mine.each["memory"]]
        for needs, left in bag:
            if any(fits(needs, kind.each) for kind in smaller):
                continue
            while left and fits(needs, worker.free):
                worker.calls.append((now + left.pop(), needs))
                for name, amount in needs.items():
                    worker.free[name] -= amount


def _act(
    action: Submit | Ask | Cancel | Retire,
    staffing: Staffing,
    now: float,
    pools: dict[str, tuple[dict[str, float], int, float]],
    here: dict[str, _Worker],
    coming: list[tuple[float, str, str]],
) -> None:
    """A batch system that does as it is told."""
    if isinstance(action, Submit):
        coming += [(now + pools[action.pool][2], name, action.pool) for name in action.names]
        staffing.taken(action.names, list(action.names), now)
    elif isinstance(action, Ask):
        staffing.told(action.names, {name: Told("PENDING") for name in action.names}, now)
    elif isinstance(action, Retire):
        for name in action.names:
            staffing.retired(name, now, went=not here[name].calls)
    else:
        for name in action.names:
            here.pop(name, None)
        coming[:] = [each for each in coming if each[1] not in action.names]
        staffing.cancelled(action.names, now)
        staffing.cancelled(action.names, now)
