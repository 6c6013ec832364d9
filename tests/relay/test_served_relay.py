"""A scheduler elsewhere that does not see the store either: workers reach the client by it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served_tasks import many, noise, report

import stargazer as sg
from stargazer.store import Store

SIZE = 40_000_000


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """Address of a scheduler with one worker, both processes of their own."""
    env = os.environ | {"PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    file = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--scheduler-file", file, "--port", "0"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", file, "--no-nanny"]
    started = [
        subprocess.Popen([*map(str, each), *more], env=env, stderr=subprocess.DEVNULL)
        for each, more in ((command, ["--no-dashboard", "--host", "127.0.0.1"]), (worker, ["--nthreads", "1"]))
    ]
    try:
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        import json

        yield json.loads(file.read_text())["address"]
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_workers_reach_the_client_by_the_scheduler(scheduler: str) -> None:
    with Store(f"memory://{uuid.uuid4().hex}") as store:
        made = noise(seed=1, size=5_000_000)
        with sg.connect(scheduler) as client:
            result = sg.run(report(made, many(made, count=20)), client=client).result()
            assert result.fetch().read_text() == f"5000000 index of 1 {sum(1000 + number for number in range(20))}"

            gone = sg.run(noise(seed=2, size=SIZE), client=client, wait=False)
            wait_for_parts(store)
        assert gone.wait(60)
        with sg.connect(scheduler) as client:
            result = sg.run(noise(seed=2, size=SIZE), client=client).result()
        assert store.size(str(result.cid)) == SIZE
        assert store.fsck().ok
        assert half_there(store) == []


def wait_for_parts(store: Store) -> None:
    """Wait until a large file is on its way home."""
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size > 1 << 20 for path in half_there(store)) and time.monotonic() < deadline:
        time.sleep(0.001)


def half_there(store: Store) -> Any:
    return [path for path in (store.context.cache / "tmp").glob("*") if path.is_file()]
