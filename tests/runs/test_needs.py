"""What tasks need of the machines that run them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.config
import pytest
from distributed import Client, LocalCluster
from marking_tasks import at_once, heavy, size_of, small, wide

import stargazer as sg
from stargazer.errors import DefinitionError, MemoryExceeded, NeedUnmet, RunFailed
from stargazer.profiles.profile import Offer, offers
from stargazer.profiles.settings import find_profile

MIB = 1 << 20
HUNGRY = "import sys, time; x = bytearray(int(sys.argv[1])); print(len(x)); time.sleep(float(sys.argv[2]))"


@sg.task(worker="fast")
def placed(work: sg.Workdir, *, i: int) -> sg.Asset:
    out = work.file("pid.txt")
    out.write_text(str(os.getpid()))
    return sg.Asset(path=out)


@sg.task(gpus=1)
def graphic(work: sg.Workdir) -> sg.Asset:
    raise NotImplementedError


@sg.task(memory="1 PiB")
def immense(work: sg.Workdir) -> sg.Asset:
    raise NotImplementedError


@sg.task(walltime="2 h")
def long(work: sg.Workdir, *, i: int) -> sg.Asset:
    out = work.file("pid.txt")
    out.write_text(str(os.getpid()))
    return sg.Asset(path=out)


@sg.task(memory="60 MiB")
def starved(work: sg.Workdir, *, size: int) -> sg.Asset:
    out = work.file("size.txt")
    work.run(["sh", "-c", 'python3 -c "$0" "$1" 60', HUNGRY, size], stdout=out)
    return sg.Asset(path=out)


@sg.task(memory=["60 MiB", "1 GiB"])
def growing(work: sg.Workdir, *, size: int) -> sg.Asset:
    out = work.file("size.txt")
    work.run(["python", "-c", HUNGRY, size, 1 if work.memory == 60 * MIB else 0], stdout=out)
    return sg.Asset(path=out)


@sg.task(memory=["60 MiB", "1 GiB"])
def thinking(work: sg.Workdir, *, size: int) -> sg.Asset:
    """Takes memory in this very process, and lets no exception stop it."""
    held = bytearray(size)
    deadline = time.monotonic() + (60 if work.memory == 60 * MIB else 0)
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):
            time.sleep(0.01)
    out = work.file("size.txt")
    out.write_text(f"{len(held)}\n")
    return sg.Asset(path=out)


@sg.task(memory="60 MiB")
def both(work: sg.Workdir) -> sg.Asset:
    held, out = bytearray(45 * MIB), work.file("size.txt")
    work.run(["python", "-c", HUNGRY, 45 * MIB, 60], stdout=out)
    return sg.Asset(path=out, note=str(len(held)))


@pytest.fixture(scope="module")
def four() -> Iterator[Client]:
    """Two workers of four processors and a gigabyte; one answers to a name."""
    with sg.connect("local", workers=1, cpus=4, memory="1 GiB") as client:
        yield client


@pytest.mark.parametrize("way", ["run", "compute", "dask.compute", "client.compute"])
def test_calls_share_workers(four: Client, store: sg.Store, tmp_path: Path, way: str) -> None:
    log = tmp_path / "log"
    calls = [make(i=i, log=str(log)) for i in range(2) for make in (small, wide, heavy)]
    if way == "run":
        sg.run(calls)
    elif way == "compute":
        gathered(calls).compute()
    elif way == "dask.compute":
        dask.compute(*calls)
    else:
        four.gather(four.compute(calls))
    moments = list(at_once(log))
    assert len(moments) == 12
    assert max(map(size_of, moments)) <= 4
    assert max(sum(what.startswith("heavy") for what in running) for running in moments) == 1


@sg.task
def gathered(work: sg.Workdir, parts: list[sg.Asset]) -> int:
    return len(parts)


@pytest.mark.parametrize("task", [graphic, immense, placed])
def test_what_nothing_can_meet_is_an_error_at_once(four: Client, store: sg.Store, task: Any) -> None:
    call = task(i=1) if task is placed else task()
    for client in (None, four):
        with pytest.raises(NeedUnmet, match=task.name):
            sg.run(call, client=client)
    with pytest.raises(NeedUnmet, match=task.name):
        call.compute()


def test_named_workers(store: sg.Store) -> None:
    with LocalCluster(n_workers=0, dashboard_address=":0") as cluster:
        for number, name in enumerate(["slow", "fast"]):
            spec = cluster.new_worker_spec()
            ((_, made),) = spec.items()
            made = made | {"options": made["options"] | {"resources": {f"worker:{name}": 1}, "nthreads": 1}}
            cluster.worker_spec[number] = made
        cluster.sync(cluster._correct_state)
        with sg.connect(cluster.scheduler_address) as client:
            client.wait_for_workers(2)
            has = client.run_on_scheduler(
                lambda dask_scheduler: {next(iter(w.resources)): w.address for w in dask_scheduler.workers.values()}
            )
            pid = client.run(os.getpid)[has["worker:fast"]]
            results = sg.run([placed(i=i) for i in range(4)]).result()
            assert {int(asset.fetch().read_text()) for asset in results} == {pid}


def test_a_walltime_must_be_long_enough(store: sg.Store) -> None:
    with Client(n_workers=1, threads_per_worker=1, dashboard_address=":0") as client:
        offers(client, Offer(find_profile("slurm", walltime="1 h"), {"cpus": 1.0, "memory": 1e9}))
        with pytest.raises(NeedUnmet, match="takes up to 02:00:00, but workers of slurm end after 01:00:00"):
            sg.run(long(i=0))


def test_a_worker_that_ends_soon_leaves_long_calls_to_others(store: sg.Store) -> None:
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=":0") as client:
        first, second = client.run(os.getpid).items()
        client.run(ends_in, 600.0, workers=[first[0]])
        results = sg.run([long(i=i) for i in range(3)]).result()
        assert {int(asset.fetch().read_text()) for asset in results} == {second[1]}


def ends_in(seconds: float, dask_worker: Any) -> None:
    dask_worker.stargazer_ends = time.time() + seconds


@pytest.mark.parametrize("engine", ["threads", "workers"])
def test_a_call_that_takes_too_much_memory_is_ended(four: Client, store: sg.Store, engine: str) -> None:
    began = time.monotonic()
    with pytest.raises(RunFailed, match=r"starved(.|\n)*of memory, but was to stay below 0.06 GiB") as failed:
        sg.run(starved(size=300 * MIB), client=four if engine == "workers" else None)
    assert isinstance(failed.value.__cause__, MemoryExceeded)
    assert time.monotonic() - began < 55  # it would sleep for a minute


def test_more_memory_is_tried_where_less_was_not_enough(four: Client, store: sg.Store) -> None:
    for client in (None, four):
        size = (200 if client else 210) * MIB
        flight = sg.run(growing(size=size), client=client)
        assert flight.result().fetch().read_text() == f"{size}\n"
        assert flight.failures == {}


@pytest.mark.parametrize("task", [growing, thinking])
def test_a_call_that_is_computed_gets_more_memory_too(store: sg.Store, task: Any) -> None:
    with sg.connect("local", workers=1, cpus=1, memory="2 GiB") as client:
        began = time.monotonic()
        made = gathered([task(size=220 * MIB)])
        assert made.compute() == 1
        assert sg.run(task(size=221 * MIB), client=client).result().fetch().read_text() == f"{221 * MIB}\n"
        assert time.monotonic() - began < 55
    if task is growing:
        assert gathered([task(size=222 * MIB)]).compute() == 1


def test_a_body_and_its_tools_are_counted_together(store: sg.Store) -> None:
    with sg.connect("local", workers=1, cpus=1), pytest.raises(MemoryExceeded, match=r"to stay below 0\.06 GiB"):
        both().compute()


@pytest.mark.parametrize(
    "options", [{"gpus": -1}, {"walltime": "soon"}, {"worker": ""}, {"memory": ["1 GiB", "much"]}, {"cpus": 0}], ids=str
)
def test_needs_that_no_task_has(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=next(iter(options))):
        sg.task(**options)(lambda work: None)


def test_a_call_takes_two_jobs_of_a_batch_system_for_its_memory_at_most(store: sg.Store) -> None:
    """A job that is ended takes along all that runs there; what our own watch ends costs nobody anything."""
    from stargazer.calls.resources import Retry
    from stargazer.errors import MemoryExceeded, WorkerOutOfMemory

    @sg.task(memory=["1 GiB", "2 GiB", "3 GiB"])
    def hungry(work: sg.Workdir, *, number: int) -> sg.Asset:
        raise NotImplementedError

    for failure, tried in ((WorkerOutOfMemory("its job was ended"), 2), (MemoryExceeded("sort", 5, 4), 3)):
        retry, call = Retry(), hungry(number=tried)
        attempts = 1
        while retry.is_worth_it({call.plan_key: failure}, [call]):
            attempts += 1
        assert attempts == tried
        assert call.spec.needs.bytes == tried << 30
