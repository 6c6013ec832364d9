"""Kill anything: no process is left behind, the store is whole, and the next run goes on from what had finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import MARK, PASSED, Marked, until

import stargazer as sg

PROGRAM = """
import sys, uuid
import stargazer as sg

@sg.task
def part(work: sg.Workdir, *, i: int, seconds: float) -> sg.Asset:
    with open("ran.log", "a") as log:
        log.write(f"part {i}\\n")
    out = work.file(f"{i}.txt")
    work.run(["sh", "-c", f"setsid sleep {seconds}1 & sleep {seconds}; echo {i}"], stdout=out)
    return sg.Asset(path=out)

@sg.task
def whole(work: sg.Workdir, parts: list[sg.Asset]) -> sg.Asset:
    out = work.file("whole.txt")
    work.pipe(["cat", *(part.path for part in parts)], ["sort", "-n"], stdout=out)
    return sg.Asset(path=out)

if __name__ == "__main__":
    client = sg.connect("local", workers=2) if sys.argv[1] == "workers" else None
    print("ready", flush=True)
    flight = sg.run(whole([part(i=i, seconds=float(sys.argv[2])) for i in range(int(sys.argv[3]))]), client=client)
    print(flight.result().cid, flush=True)
    if client is not None:
        client.close()
"""


class Program:
    """A script in a process of its own, which a test may kill."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.processes = folder, folder / "store", Marked(folder)
        (folder / "program.py").write_text(PROGRAM)

    def start(self, engine: str, seconds: float, parts: int) -> subprocess.Popen[str]:
        # The name of the folder is in the environment of all that the program starts.
        env = os.environ | {"DASK_STARGAZER__STORE": str(self.store), MARK: str(self.folder)} | PASSED
        command = [sys.executable, "program.py", engine, str(seconds), str(parts)]
        return subprocess.Popen(
            command, cwd=self.folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def finish(self, engine: str, seconds: float, parts: int) -> str:
        process = self.start(engine, seconds, parts)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return out.split()[-1]

    def ran(self) -> list[str]:
        log = self.folder / "ran.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path)
    yield made
    for pid in made.processes.all():
        os.kill(pid, signal.SIGKILL)


def is_clean(store: Path) -> bool:
    return sg.Store(str(store)).fsck().ok


@pytest.mark.parametrize("engine", ["threads", "workers"])
@pytest.mark.parametrize("name", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_client_leaves_nothing_behind(program: Program, engine: str, name: signal.Signals) -> None:
    process = program.start(engine, 30, 2)
    until(lambda: len(program.ran()) == 2)
    process.send_signal(name)
    process.communicate(timeout=30)
    until(lambda: program.processes.all() == set(), 10)
    assert is_clean(program.store)


@pytest.mark.parametrize("engine", ["threads", "workers"])
def test_the_next_run_goes_on_from_what_had_finished(program: Program, engine: str) -> None:
    process = program.start(engine, 0.3, 6)
    until(lambda: len(program.ran()) >= 5)
    process.kill()
    process.communicate(timeout=30)
    until(lambda: program.processes.all() == set(), 10)
    before = set(program.ran())
    program.finish(engine, 0.3, 6)
    again = program.ran()[len(before) :]
    # At most the two that were running are run again.
    assert len(again) <= 6 - len(before) + 2
    assert is_clean(program.store)


def test_a_killed_worker_is_replaced(program: Program) -> None:
    process = program.start("workers", 1.5, 2)
    until(lambda: len(program.ran()) == 2)
    os.kill(min(program.processes.workers()), signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert sorted(program.ran()) in (["part 0", "part 0", "part 1"], ["part 0", "part 1", "part 1"])
    asset = sg.Store(str(program.store)).get(out.split()[-1])
    assert asset.fetch().read_text() == "0\n1\n"
    until(lambda: program.processes.all() == set(), 10)
