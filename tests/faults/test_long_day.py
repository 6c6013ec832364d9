"""A day's worth of small runs in one session leaves neither memory nor files nor threads nor processes behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from flights import python_path
from processes import MARK, PASSED, Marked

PROGRAM = """
import gc, json, os, sys
import psutil
import stargazer as sg
from stargazer.calls.walk import CALLS
from stargazer.errors import RunFailed

@sg.task
def number(work: sg.Workdir, *, i: int) -> sg.Asset:
    out = work.file("number.txt")
    out.write_text(str(i))
    return sg.Asset(path=out)

@sg.task(memory="1 GiB")
def tooled(work: sg.Workdir, given: sg.Asset, *, i: int) -> sg.Asset:
    out = work.file("copy.txt")
    work.run(["false"] if i % 10 == 3 else ["cat", given.path], stdout=out)
    return sg.Asset(path=out)

@sg.task
def total(work: sg.Workdir, given: list[sg.Asset]) -> int:
    return sum(int(each.path.read_text()) for each in given)

def fly(client, i):
    calls = [number(i=i), number(i=i + 1)] + ([tooled(number(i=i), i=i)] if i % 5 == 3 else [])
    try:
        sg.run(total(calls), client=client, progress=False)
    except RunFailed:
        assert i % 10 == 3
    if i % 50 == 0:
        flight = sg.run(number(i=-i - 1), client=client, wait=False)
        flight.cancel()
        flight.wait()

def measured(client):
    gc.collect()  # failures hold their calls in cycles
    me = psutil.Process()
    each = [me, *me.children(recursive=True)]
    scratch = sg.Store(sys.argv[3]).context.scratch
    return {
        "memory": sum(process.memory_info().rss for process in each),
        "descriptors": sum(process.num_fds() for process in each),
        "threads": sum(process.num_threads() for process in each),
        "processes": len(each),
        "calls": len(CALLS),
        "held": len(client.futures) if client is not None else 0,
        "scratch": sum(len(files) for at, _, files in os.walk(scratch) if "/failed-" not in at),
    }

if __name__ == "__main__":
    kind, count = sys.argv[1], int(sys.argv[2])
    with sg.Store(sys.argv[3]):
        client = sg.connect("local", workers=2, cpus=1) if kind == "local" else None
        for i in range(count):
            fly(client, i)
            if i + 1 == count // 3:
                before = measured(client)
        print(json.dumps([before, measured(client)]), flush=True)
        if client is not None:
            client.close()
"""


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["threads", "local"])
def test_many_small_runs(tmp_path: Path, kind: str, short: bool) -> None:
    (tmp_path / "day.py").write_text(PROGRAM)
    count = 150 if short else 6000 if kind == "threads" else 3000
    env = os.environ | {"PYTHONPATH": python_path(tmp_path), MARK: str(tmp_path)} | PASSED
    command = [sys.executable, "day.py", kind, str(count), str(tmp_path / "store")]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    before, after = json.loads(done.stdout.splitlines()[-1])
    print(kind, count, before, after)
    grown = after["memory"] - before["memory"]
    # Caches that have an end fill: what a run costs for ever must be nearly nothing.
    assert grown < (8e6 if kind == "threads" else 40e6) + 2e3 * count, (before, after)
    assert after["descriptors"] <= before["descriptors"] + 6
    assert after["threads"] <= before["threads"] + 4
    assert after["processes"] <= before["processes"]
    assert after["calls"] <= before["calls"] + 8
    assert (after["held"], after["scratch"]) == (0, 0)
    assert Marked(tmp_path).gone(30)
    # What a failed call wrote stays for a day, so that one can look.
    kept = [path.name for path in (tmp_path / "store" / "tmp").iterdir()]
    assert len(kept) == sum(i % 10 == 3 for i in range(count))
    assert all(name.startswith("failed-") for name in kept)
