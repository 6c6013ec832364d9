"""Make calls, plan them, and flatten them for Dask: ``one|many COUNT``.

Prints microseconds a call for each, and for the least that a call could cost: a bare Delayed and a hash.
"""

import hashlib
import itertools
import json
import sys
import time

from dask.delayed import Delayed

import stargazer as sg
from stargazer.calls.graph import flatten


@sg.task
def number(work: sg.Workdir, *, i: int) -> sg.Asset:
    out = work.file(f"{i}.txt")
    out.write_text(str(i))
    return sg.Asset(path=out)


@sg.task
def total(work: sg.Workdir, numbers: list[sg.Asset]) -> sg.Asset:
    out = work.file("total.txt")
    out.write_text(str(sum(int(n.path.read_text()) for n in numbers)))
    return sg.Asset(path=out)


def bare(count: int) -> list[Delayed]:
    keys = (hashlib.sha256(f"{'0' * 64}\n{json.dumps({'i': i})}\n{{}}".encode()).hexdigest() for i in range(count))
    return [Delayed(key, {key: i}) for i, key in enumerate(keys)]


def main() -> None:
    shape, count = sys.argv[1], int(sys.argv[2])
    number(i=-1)
    times = [time.perf_counter()]
    least = bare(count)
    times.append(time.perf_counter())
    calls = [number(i=i) for i in range(count)]
    roots = [total(calls)] if shape == "one" else calls
    times.append(time.perf_counter())
    plan = sg.plan(roots)
    times.append(time.perf_counter())
    graph, _ = flatten(roots)
    times.append(time.perf_counter())
    expected = count + (shape == "one")
    assert len(plan.to_run) == len(graph) == expected
    assert len(least) == count
    spent = (round((b - a) / count * 1e6, 2) for a, b in itertools.pairwise(times))
    print(json.dumps(dict(zip(("bare", "build", "plan", "graph"), spent, strict=True))))


if __name__ == "__main__":
    main()
