"""Does it stay linear? 10,000 and 100,000 calls made and planned, and 10,000 trivial ones run on a Dask client.

In one root, and in as many roots as calls. Aims: at most 25 µs to make and plan a call, whatever their number; running
takes at most 1.25 × one flat layer of bare Dask that does the same, and 1.3 × its processor time. Each of ours leaves a
record in the ledger; bare Dask's leave nothing.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import stargazer as sg
from benchmarks.rounds import PROGRAMS, Ratio, Spent, compare, in_turns, process, temporary
from benchmarks.workers import local_client, spent_on

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["measure"]

SIZES = 10_000, 100_000
AIM_CALL, AIM_LINEAR, AIM_RUN, AIM_CPU = 25.0, 1.5, 1.25, 1.3
LEAST = "a Delayed and a SHA-256"


def measure(quick: bool = False) -> Iterator[Ratio]:
    """Yield each ratio as it is known.

    Parameters
    ----------
    quick
        Fewer rounds and calls: for trying out, not for quoting.
    """
    sizes = (1000, 10_000) if quick else SIZES
    with temporary() as directory:
        for shape in ("one", "many"):
            yield from wiring(shape, sizes, directory, 3)
        yield from running(sizes[0], directory, 3 if quick else 5)


def wiring(shape: str, sizes: tuple[int, int], directory: Path, rounds: int) -> Iterator[Ratio]:
    """Make and plan calls of which nothing is known: microseconds a call, and whether more calls cost more each."""
    store = {"DASK_STARGAZER__STORE": f"{directory}/empty"}
    program = PROGRAMS / "scale_calls.py"
    runs = {size: partial(process, program, shape, size, env=store) for size in sizes}
    found = {size: [ended.printed for ended in each] for size, each in in_turns(runs, rounds).items()}
    spent = {size: [printed["build"] + printed["plan"] for printed in each] for size, each in found.items()}
    form = "1 root" if shape == "one" else "as many roots"
    for size in sizes:
        least = [printed["bare"] for printed in found[size]]
        case = f"make and plan {size:,} calls, {form}"
        yield compare("scale", case, LEAST, spent[size], least, "µs", aim=AIM_CALL, of="ours")
    case = f"{sizes[1]:,} calls, {form}: µs a call"
    yield compare("scale", case, f"{sizes[0]:,} calls", spent[sizes[1]], spent[sizes[0]], "µs", aim=AIM_LINEAR)


def running(count: int, directory: Path, rounds: int) -> Iterator[Ratio]:
    """Run trivial calls on a client: the function returns its argument."""
    serial = itertools.count()
    with sg.Store(directory / "ran"), local_client() as client:
        for form, ours, theirs in (("1 root", reduce_calls, reduce_layer), ("as many roots", all_calls, all_layer)):

            def timed(run: Callable[[Client, int, int], int]) -> Spent:
                gc.collect()
                return spent_on(client, lambda: check(run(client, next(serial) * count, count), count))

            found = in_turns({"ours": partial(timed, ours), "dask": partial(timed, theirs)}, rounds)
            for kind, unit, aim in (("wall", "s", AIM_RUN), ("cpu", "CPU s", AIM_CPU)):
                figures = ([getattr(spent, kind) for spent in found[name]] for name in ("ours", "dask"))
                case = f"run {count:,} trivial calls, {form}{', CPU of all processes' if kind == 'cpu' else ''}"
                yield compare("scale", case, "one flat layer of bare Dask", *figures, unit, aim=aim)


def same(i: int) -> int:
    """The trivial function."""
    return i


def total(numbers: list[int]) -> int:
    """Add them up."""
    return sum(numbers)


def check(found: int, count: int) -> None:
    """Fail unless the sum is that of as many numbers in a row."""
    assert (found - count * (count - 1) // 2) % count == 0, found


@sg.task
def number(work: sg.Workdir, *, i: int) -> int:
    """The same as a task."""
    return i


def calls(first: int, count: int) -> list[sg.Call]:
    """Trivial calls of ours."""
    return [number(i=i) for i in range(first, first + count)]


def reduce_calls(client: Client, first: int, count: int) -> int:
    """Our calls below one plain Delayed."""
    from dask import delayed

    return delayed(total)(calls(first, count)).compute(scheduler=client)


def all_calls(client: Client, first: int, count: int) -> int:
    """Our calls, each a root."""
    return sum(sg.run(calls(first, count), client=client, progress=False).result())


def layer(first: int, count: int) -> dict[str, Any]:
    """The same as the flattest graph that Dask can have."""
    from dask._task_spec import Task

    return {f"same-{i}": Task(f"same-{i}", same, i) for i in range(first, first + count)}


def reduce_layer(client: Client, first: int, count: int) -> int:
    """Bare Dask's layer with one task on top."""
    from dask._task_spec import List, Task, TaskRef
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph

    graph = layer(first, count)
    root = f"total-{first}"
    graph[root] = Task(root, total, List(*map(TaskRef, graph)))
    return Delayed(root, HighLevelGraph.from_collections(root, graph)).compute(scheduler=client)


def all_layer(client: Client, first: int, count: int) -> int:
    """Bare Dask's layer, each a root."""
    graph = layer(first, count)
    return sum(client.get(graph, list(graph)))
