"""Kill anything: no process is left behind, the store is whole, and the next run goes on from what had finished."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
        self.folder, self.store = folder, folder / "store"
        (folder / "program.py").write_text(PROGRAM)

    def start(self, engine: str, seconds: float, parts: int) -> subprocess.Popen[str]:
        # The name of the folder is in the environment of all that the program starts.
        env = os.environ | {"DASK_STARGAZER__STORE": str(self.store), "STARGAZER_TEST_FOLDER": str(self.folder)}
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

    def processes(self) -> set[int]:
        """Every living process that the program started, however far removed."""
        mark = f"STARGAZER_TEST_FOLDER={self.folder}".encode()
        return {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if mark in environment_of(pid)}

    def workers(self, client: int) -> set[int]:
        """Worker processes of a local Dask client."""
        spawned = {pid for pid in self.processes() if b"spawn_main" in read(f"/proc/{pid}/cmdline")}
        return spawned - {client}


def read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def environment_of(pid: int) -> bytes:
    return b"" if b"State:\tZ" in read(f"/proc/{pid}/status") else read(f"/proc/{pid}/environ")


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path)
    yield made
    for pid in made.processes():
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
    until(lambda: program.processes() == set(), 10)
    assert is_clean(program.store)


@pytest.mark.parametrize("engine", ["threads", "workers"])
def test_the_next_run_goes_on_from_what_had_finished(program: Program, engine: str) -> None:
    process = program.start(engine, 0.3, 6)
    until(lambda: len(program.ran()) >= 5)
    process.kill()
    process.communicate(timeout=30)
    until(lambda: program.processes() == set(), 10)
    before = set(program.ran())
    program.finish(engine, 0.3, 6)
    again = program.ran()[len(before) :]
    # At most the two that were running are run again.
    assert len(again) <= 6 - len(before) + 2
    assert is_clean(program.store)


def test_a_killed_worker_is_replaced(program: Program) -> None:
    process = program.start("workers", 1.5, 2)
    until(lambda: len(program.ran()) == 2)
    os.kill(min(program.workers(process.pid)), signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert sorted(program.ran()) in (["part 0", "part 0", "part 1"], ["part 0", "part 1", "part 1"])
    asset = sg.Store(str(program.store)).get(out.split()[-1])
    assert asset.fetch().read_text() == "0\n1\n"
    until(lambda: program.processes() == set(), 10)


@pytest.mark.slow
def test_kills_at_random_moments(tmp_path: Path, short: bool) -> None:
    """The result of a run that was killed again and again is that of one that was not."""
    dice = random.Random(7)
    (tmp_path / "calm").mkdir()
    calm = Program(tmp_path / "calm").finish("threads", 0.05, 8)
    for number in range(5 if short else 100):
        folder = tmp_path / f"killed-{number}"
        folder.mkdir()
        program = Program(folder)
        for _ in range(4):
            process = program.start(dice.choice(["threads", "workers"]), 0.05, 8)
            time.sleep(dice.uniform(0.2, 4.0))
            victims = sorted(program.processes())
            if victims:
                os.kill(dice.choice(victims), signal.SIGKILL)
            process.kill()
            process.communicate(timeout=60)
            until(lambda program=program: program.processes() == set(), 15)  # type: ignore[misc]
            assert is_clean(program.store)
        assert program.finish("threads", 0.05, 8) == calm
