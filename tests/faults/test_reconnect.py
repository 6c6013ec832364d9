"""The scheduler lives on when a client dies; who comes back asks for the same calls, and sees how they stand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flights import python_path
from machines import machines
from processes import MARK, PASSED, Marked, until
from reconnect_tasks import held_up

import stargazer as sg
from stargazer.runs import State
from stargazer.runs.history import noted_runs

CLIENT = """
import sys
import stargazer as sg
from reconnect_tasks import held_up

if __name__ == "__main__":
    address, folder, *names = sys.argv[1:]
    with sg.connect(address):
        sg.run([held_up(name=n, log=f"{folder}/ran", until=f"{folder}/{n}") for n in names], progress=False)
"""


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a scheduler with a worker for each call: which of them Dask begins with is not said."""
    here = Path(__file__).parent
    monkeypatch.setenv("DASK_STARGAZER__STORE", str(tmp_path / "store"))
    for name, value in (PASSED | {MARK: str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    with machines(tmp_path, here, workers=4) as found:
        yield found


def started(folder: Path, address: str, *names: str) -> subprocess.Popen[bytes]:
    (folder / "client.py").write_text(CLIENT)
    env = os.environ | {"PYTHONPATH": python_path(Path(__file__).parent)}
    command = [sys.executable, "client.py", address, str(folder), *names]
    with (folder / "client.log").open("a") as log:
        return subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)


def ran(folder: Path) -> Counter[str]:
    log = folder / "ran"
    return Counter(log.read_text().split()) if log.exists() else Counter()


def test_status_after_a_reconnect(address: str, tmp_path: Path, store: sg.Store) -> None:
    processes = Marked(tmp_path)
    (tmp_path / "done").touch()
    one = started(tmp_path, address, "done", "shared", "own", "later")
    until(lambda: set(ran(tmp_path)) >= {"done", "shared", "own", "later"}, 120)
    two = started(tmp_path, address, "shared")

    def clients_that_wait(dask_scheduler: Any) -> int:
        clients = dask_scheduler.clients.values()
        return sum(1 for client in clients if any(task.state == "processing" for task in client.wants_what))

    with sg.connect(address) as client:
        until(lambda: client.run_on_scheduler(clients_that_wait) >= 2, 120)
        one.send_signal(signal.SIGKILL)
        one.wait()
        until(lambda: not held(processes, "own") and not held(processes, "later"), 30)
        assert held(processes, "shared"), "what a colleague waits for goes on"
        calls = [
            held_up(name=name, log=f"{tmp_path}/ran", until=f"{tmp_path}/{name}")
            for name in ("done", "shared", "own", "later")
        ]
        flight = sg.run(calls, wait=False)
        assert flight.known == 1
        until(lambda: flight.status().count(State.RUNNING) == 3)
        assert flight.status().count() == 3
        for name in ("shared", "own", "later"):
            (tmp_path / name).touch()
        assert [asset.fetch().read_text() for asset in flight.result()] == ["done\n", "shared\n", "own\n", "later\n"]
    assert two.wait(60) == 0
    assert ran(tmp_path) == {"done": 1, "shared": 1, "own": 2, "later": 2}
    assert [note.state for note in noted_runs(store)].count("done") == 2
    assert store.fsck().ok


def held(processes: Marked, name: str) -> set[int]:
    """The shells that wait for a name."""
    return {pid for pid in processes.tools() if f"; echo {name}\0".encode() in processes.command(pid)}
