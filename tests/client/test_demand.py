"""How many workers of each kind there is work for, and which calls wait where they need not; no queue is needed."""

from __future__ import annotations

from stargazer.client.demand import Busy, Load, Move, PoolKind, Work, demand, moves, smallest

GIB = float(1 << 30)


def has(cpus: float, memory: float) -> dict[str, float]:
    return {"cpus": cpus, "memory": memory * GIB}


SLIM, LARGE = PoolKind("slim", has(8, 32), 0, 20), PoolKind("large", has(16, 256), 0, 4)


def test_pools_grow_by_what_waits_as_it_would_pack() -> None:
    kinds = [SLIM, LARGE]
    assert demand(kinds, [], [Work(has(2, 4), 9), Work(has(4, 100), 5)]) == {"slim": 0, "large": 3}
    assert demand(kinds, [], [Work(has(2, 4), 9)]) == {"slim": 3, "large": 0}
    assert demand(kinds, [], [Work(has(4, 100), 100)]) == {"slim": 0, "large": 4}
    assert demand(kinds, [], [Work({}, 17)]) == {"slim": 3, "large": 0}
    assert smallest(has(4, 100), kinds) == LARGE
    assert smallest(has(4, 1000), kinds) is None


def test_what_waits_goes_beside_what_runs_before_anybody_is_hired() -> None:
    here = [Busy("large", has(16, 256), [has(4, 100)]), Busy("slim", has(8, 32))]
    assert demand([SLIM, LARGE], here, [Work(has(4, 100), 1)]) == {"slim": 0, "large": 1}
    assert demand([SLIM, LARGE], here, [Work(has(4, 100), 3)]) == {"slim": 0, "large": 2}


def test_calls_that_wait_fill_the_fullest_worker_that_has_room() -> None:
    """The others come to rest: one that rests already is the last that gets something."""
    full = Load("full", has(4, 8), {"a": has(2, 6), "b": has(1, 4), "c": has(1, 2)}, running=1)
    rests, half = Load("rests", has(4, 8), {}), Load("half", has(4, 8), {"x": has(1, 2)}, running=1)
    nearly = Load("nearly", has(4, 8), {"y": has(3, 4)}, running=1)
    assert moves([full, rests, half, nearly]) == [Move("b", "full", "nearly")]
    assert moves([full, rests, half]) == [Move("b", "full", "half")]
    assert moves([full, rests]) == [Move("b", "full", "rests")]
    assert moves([full]) == []


def test_what_runs_is_never_moved() -> None:
    crowded = Load("crowded", has(1, 8), {"a": has(1, 6), "b": has(1, 6)}, running=2)
    assert moves([crowded, Load("rests", has(4, 8), {})]) == []
