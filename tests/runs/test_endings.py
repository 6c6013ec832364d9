"""Bodies and workers that do not end by themselves: cancelled, over their time, or taking their worker with them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client
from small_tasks import number, shell, total

import stargazer as sg
import stargazer.execute.execute as executing
from stargazer.errors import (
    ArgumentError,
    Cancelled,
    MemoryExceeded,
    NeedUnmet,
    ToolFailed,
    WalltimeExceeded,
    WorkerLost,
)
from stargazer.ledger import Ledger
from stargazer.ledger.logs import record_of

SOON = 15.0
"""Seconds within which something ends that would take a minute by itself."""


def noted(place: str) -> list[str]:
    return Path(place).read_text().split() if Path(place).exists() else []


@sg.task
def steps(work: sg.Workdir, *, note: str, seconds: float = 60.0, stubborn: bool = False) -> int:
    """Take many small steps in Python; if stubborn, go on after the first error."""
    Path(note).write_text("began")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            time.sleep(0.01)
        except Exception:
            if not stubborn:
                raise
    return 1


@sg.task(walltime=0.3)
def late(work: sg.Workdir, *, tool: bool) -> sg.Asset:
    out = work.file("out.txt")
    if tool:
        work.run(["sleep", "60.0451"], stdout=out)
    for _ in range(6000):
        time.sleep(0.01)
    return sg.Asset(path=out)


def until(holds: Any) -> None:
    deadline = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


@pytest.fixture(params=["threads of this process", "threads of a client"])
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "threads of this process":
        yield None
        return
    with sg.connect("threads", cpus=2) as client:
        yield client


@pytest.mark.parametrize("stubborn", [False, True])
def test_cancel_ends_a_body_in_python(engine: Any, store: sg.Store, tmp_path: Path, stubborn: bool) -> None:
    began = time.monotonic()
    run = sg.run(steps(note=str(tmp_path / "note"), stubborn=stubborn), client=engine, wait=False)
    until(lambda: noted(str(tmp_path / "note")))
    run.cancel()
    with pytest.raises(Cancelled):
        run.result()
    until(lambda: not store.context.scratch.exists() or not any(map(_is_used, store.context.scratch.iterdir())))
    assert time.monotonic() - began < SOON


def _is_used(scratch: Path) -> bool:
    """Whether a body still works there: emptied directories are kept for the next."""
    return scratch.is_dir() and any(scratch.iterdir())


def test_a_body_that_ends_in_time_is_left_alone(store: sg.Store, tmp_path: Path) -> None:
    call = steps.__class__(steps.body, walltime="1 h")(note=str(tmp_path / "note"), seconds=0.0)
    assert call.compute(scheduler="threads") == 1


@pytest.mark.parametrize("tool", [False, True])
def test_a_walltime_ends_a_body_and_its_tools(engine: Any, store: sg.Store, tool: bool) -> None:
    began = time.monotonic()
    call = late(tool=tool)
    run = sg.run(call, client=engine, wait=False)
    run.wait()
    (error,) = run.failures.values()
    assert isinstance(error, WalltimeExceeded)
    assert str(error).startswith("late took longer than the 0.3 s that it declares, and was ended")
    record = Ledger(store.records).get(str(record_of(error)))
    assert record is not None
    assert (record.status, record.error) == ("failed", f"WalltimeExceeded: {error}")
    assert time.monotonic() - began < SOON
    until(lambda: not subprocess.run(["pgrep", "-f", "^sleep 60.0451$"], capture_output=True, check=False).stdout)


KILLER = """
import os, time
import stargazer as sg

@sg.task
def killer(work: sg.Workdir, *, how: str) -> int:
    with open("ran.log", "a") as log:
        log.write(how + "\\n")
    if how == "exits":
        os._exit(3)
    hold = []
    for _ in range(200 * (how == "grows")):
        hold.append(b"x" * (1 << 25))
        time.sleep(0.02)
    return 1

if __name__ == "__main__":
    with sg.connect("local", workers=1, memory="500 MiB") as client:
        run = sg.run([killer(how=how) for how in ("exits", "grows", "sound")], client=client, wait=False)
        run.wait()
        for error in run.failures.values():
            print(type(error).__name__, str(error).replace("\\n", " "))
        print(run.status().tasks["killer"])
"""


def test_a_body_that_ends_its_worker_is_tried_twice(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(KILLER)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    assert "WorkerLost the body of killer ended the process of its worker 2 times: it calls os._exit, or" in done.stdout
    assert "MemoryExceeded the body of killer (it ended its worker 2 times) took 0." in done.stdout
    ran = noted(str(tmp_path / "ran.log"))
    assert (ran.count("exits"), ran.count("grows")) == (2, 2)
    assert "<State.DONE: 'done'>: 1" in done.stdout


def test_what_ends_workers_is_told_from_what_lacks_memory() -> None:
    from stargazer.calls.resources import lacked_memory

    assert not lacked_memory(WorkerLost("…"))
    assert lacked_memory(WorkerLost("…", memory=True))
    assert lacked_memory(MemoryExceeded("…", 2, 1))


@sg.task(retries=2)
def moody(work: sg.Workdir, *, count: str, good: int, code: int = 3) -> int:
    """Fail until it was tried often enough."""
    with open(count, "a") as log:
        log.write("tried\n")
    if len(noted(count)) < good:
        work.run(["sh", "-c", f"echo 'no licence today' >&2; exit {code}"])
    return len(noted(count))


def test_tools_that_fail_for_reasons_of_the_day_are_tried_again(
    store: sg.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executing, "PAUSE", 0.001)
    assert moody(count=str(tmp_path / "a"), good=3).compute(scheduler="threads") == 3
    with pytest.raises(ToolFailed, match="no licence today") as failed:
        moody(count=str(tmp_path / "b"), good=9).compute(scheduler="threads")
    assert failed.value.__notes__[-1] == "tried 3 times"
    assert len(noted(str(tmp_path / "b"))) == 3


def test_nothing_is_tried_again_unless_a_task_says_so(store: sg.Store, tmp_path: Path) -> None:
    once = sg.task(moody.body)
    with pytest.raises(ToolFailed):
        once(count=str(tmp_path / "a"), good=9).compute(scheduler="threads")
    assert len(noted(str(tmp_path / "a"))) == 1
    assert once(count=str(tmp_path / "c"), good=9).plan_key == moody(count=str(tmp_path / "c"), good=9).plan_key


@sg.task(cpus=2)
def wide(work: sg.Workdir, *, i: int, log: str) -> int:
    """Note how many others run at the same time."""
    with open(log, "a") as file:
        file.write(f"+{i}\n")
    time.sleep(0.05)
    with open(log, "a") as file:
        file.write(f"-{i}\n")
    return i


@pytest.mark.parametrize("way", ["compute", "dask.compute"])
def test_without_a_client_calls_take_what_they_need(store: sg.Store, tmp_path: Path, way: str) -> None:
    calls = [wide(i=i, log=str(tmp_path / "log")) for i in range(4)]
    with dask.config.set({"stargazer.profiles.threads": {"kind": "threads", "cpus": 3}, "scheduler": "threads"}):
        done = dask.compute(*calls) if way == "dask.compute" else dask.delayed(tuple)(calls).compute()
    assert done == (0, 1, 2, 3)
    lines = noted(str(tmp_path / "log"))
    assert [line[0] for line in lines] == ["+", "-"] * 4


def test_without_a_client_what_nothing_can_meet_is_an_error(store: sg.Store, tmp_path: Path) -> None:
    greedy = sg.task(gpus=64)(wide.body)
    with pytest.raises(NeedUnmet, match="wide needs 64 gpus, but threads of this process have 0 gpus at most"):
        greedy(i=1, log=str(tmp_path / "log")).compute(scheduler="threads")


@sg.task
def nested(work: sg.Workdir, *, log: str) -> int:
    """Compute calls inside of a body."""
    return sum(dask.compute(*[wide(i=i, log=log) for i in range(3)], scheduler="threads"))


def test_a_body_that_computes_calls_does_not_wait_for_its_own_place(store: sg.Store, tmp_path: Path) -> None:
    with dask.config.set({"stargazer.profiles.threads": {"kind": "threads", "cpus": 1}}):
        assert nested(log=str(tmp_path / "log")).compute(scheduler="threads") == 3


def test_asynchronous_clients(store: sg.Store, tmp_path: Path) -> None:
    asyncio.run(_asynchronous(tmp_path))


async def _asynchronous(tmp_path: Path) -> None:
    async with Client(asynchronous=True, processes=False, n_workers=1, dashboard_address=":0") as client:
        for wrong in (lambda: sg.run(number(i=1), client=client), lambda: sg.run(number(i=1)), number(i=1).compute):
            with pytest.raises(ArgumentError, match="this client is asynchronous: write `await"):
                wrong()
        assert (await client.compute(number(i=1))).fetch().read_text() == "1"
        run = await sg.run_async(total([number(i=i) for i in range(4)]))
        assert run.result().fetch().read_text() == "6"
        assert number(i=1).compute().name == "1.txt"
        with pytest.raises(sg.errors.RunFailed, match="exit code 3"):
            await sg.run_async(shell(script="exit 3"), client=client)
        flight = asyncio.create_task(sg.run_async(steps(note=str(tmp_path / "note")), client=client))
        while not noted(str(tmp_path / "note")):
            await asyncio.sleep(0.01)
        flight.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(flight, SOON)
    assert (await sg.run_async([number(i=9)])).result()[0].name == "9.txt"


TWICE = """
import time
import stargazer as sg

@sg.task
def steps(work: sg.Workdir) -> int:
    print("began", flush=True)
    for _ in range(6000):
        time.sleep(0.01)
    return 1

if __name__ == "__main__":
    with sg.connect("local", workers=1):
        sg.run(steps(), progress=False)
"""


def test_a_second_ctrl_c_ends_local_workers_at_once(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(TWICE)
    program = subprocess.Popen(
        [sys.executable, "program.py"], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert program.stdout is not None
    assert program.stdout.readline() == "began\n"
    began = time.monotonic()
    program.send_signal(signal.SIGINT)
    time.sleep(0.2)
    program.send_signal(signal.SIGINT)
    _, told = program.communicate(timeout=60)
    assert time.monotonic() - began < SOON
    assert told.rstrip().endswith("KeyboardInterrupt")
    until(lambda: not subprocess.run(["pgrep", "-g", str(program.pid)], capture_output=True, check=False).stdout)
