"""Runs in a process of their own, one after the other, of which anything may be killed at any moment."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from processes import MARK, PASSED, Marked

import stargazer as sg

__all__ = ["PARTS", "Flights", "Rounds", "ended_after", "killer", "python_path"]

PARTS = 8
PATIENCE = 240.0
LEFT_WITHIN = 100.0
"""Seconds; a worker that SLURM starts after its client died waits for the scheduler for 60."""

PROGRAM = """
import json, sys
import stargazer as sg
from stargazer.errors import Cancelled, RunFailed

@sg.task
def part(work: sg.Workdir, *, i: int, number: int) -> sg.Asset:
    with open({log!r}, "a") as log:
        log.write(f"{{number}} part-{{i}}\\n")
    out = work.file(f"{{i}}.txt")
    work.run(["sh", "-c", f"setsid sleep 0.2 & sleep 0.05 && echo {{i}}"], stdout=out)
    return sg.Asset(path=out)

@sg.task
def whole(work: sg.Workdir, parts: list[sg.Asset], *, number: int) -> sg.Asset:
    with open({log!r}, "a") as log:
        log.write(f"{{number}} whole\\n")
    out = work.file("whole.txt")
    work.pipe(["cat", *(part.path for part in parts)], ["sort", "-n"], stdout=out)
    return sg.Asset(path=out)

def fly(client, number):
    try:
        flight = sg.run(whole([part(i=i, number=number) for i in range({parts})], number=number), client=client)
        return flight.result().cid
    except (RunFailed, Cancelled) as error:
        return f"{{type(error).__name__}}: {{error}}"

if __name__ == "__main__":
    profile, options = json.loads(sys.argv[1])
    client = sg.connect(profile, **options) if profile else None
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(fly(client, int(line))), flush=True)
    if client is not None:
        client.close()
"""


def python_path(folder: Path) -> str:
    """PYTHONPATH with the package under test and a folder of programs."""
    return os.pathsep.join([str(folder), str(Path(sg.__file__).parent.parent)])


class Flights:
    """A process that runs the same calls under another number whenever it is asked to.

    The number is in every key and changes no byte of a result.
    """

    def __init__(self, folder: Path, profile: str | None = None, **options: Any) -> None:
        self.folder = folder
        self.go_to(profile, **options)
        self.processes, self.log = Marked(folder), folder / "ran.log"
        (folder / "flights_program.py").write_text(PROGRAM.format(log=str(self.log), parts=PARTS))
        self.store = folder / "store"
        self.process: subprocess.Popen[str] | None = None

    def go_to(self, profile: str | None, **options: Any) -> None:
        """Run elsewhere from the next start on: what `stargazer.connect` takes, or None for threads."""
        self.place = json.dumps([profile, options])

    @property
    def environment(self) -> dict[str, str]:
        """Of this process and of schedulers and workers beside it."""
        ours = {"DASK_STARGAZER__STORE": str(self.store), MARK: str(self.folder)} | PASSED
        return os.environ | ours | {"PYTHONPATH": python_path(self.folder)}

    def ask(self, number: int) -> None:
        """Let it run the calls under this number."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()

    def told(self) -> str | None:
        """What it answers: the CID of the result, or why there is none; None where it died."""
        assert self.process is not None
        assert self.process.stdout is not None
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()
        in_time = watchdog.is_alive()
        watchdog.cancel()
        assert in_time, "it never answered"
        if not line:
            self.process.wait(60)
            return None
        return str(json.loads(line))

    def start(self) -> None:
        """Start it, where it does not run."""
        if self.process is not None and self.process.poll() is None:
            return
        self.end()
        command = [sys.executable, "-m", "flights_program", self.place]
        with (self.folder / "errors.log").open("a") as errors:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, text=True, bufsize=1,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        assert self.told() == "ready", (self.folder / "errors.log").read_text()

    def end(self) -> None:
        """Let it end in peace."""
        if self.process is not None:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            self.process.wait(60)
            self.process.stdout.close()
            self.process = None

    def fly(self, number: int) -> str | None:
        """Run the calls under a number, undisturbed."""
        self.start()
        self.ask(number)
        return self.told()

    def bodies(self, number: int) -> Counter[str]:
        """How often each body began under a number."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return Counter(name for each, name in map(str.split, lines) if each == str(number))


class Rounds:
    """Rounds of the same calls; in each something is killed at a random moment, drawn from a seed.

    Parameters
    ----------
    flights
        What is disturbed.
    faults
        By name: what kills something (and says whether it found it), and how many bodies may run again for it.
    seconds
        The longest time after which something is killed.
    again
        Called before each flight: starts what was killed beside the process.
    leave
        Called at the end: ends what runs beside the process.
    """

    def __init__(
        self,
        flights: Flights,
        faults: dict[str, tuple[Callable[[random.Random], bool], int]],
        seconds: float = 0.7,
        again: Callable[[], None] = lambda: None,
        leave: Callable[[], None] = lambda: None,
    ) -> None:
        self.flights, self.faults, self.seconds, self.again, self.leave = flights, faults, seconds, again, leave
        self.calm = flights.fly(0)
        self.killed: Counter[str] = Counter()
        self.twice = 0

    def play(self, seed: int, count: int) -> None:
        """Play so many rounds, and see after each that nothing is lost, nothing is left, and nothing ran in vain."""
        dice = random.Random(seed)
        for number in range(1, count + 1):
            fault = dice.choice(sorted(self.faults))
            allowed = self._disturbed(number, fault, dice)
            self._check(number, fault, allowed)
        self.flights.end()
        self.leave()
        assert self.flights.processes.gone(LEFT_WITHIN), self.flights.processes.shown()
        assert sg.Store(str(self.flights.store)).fsck().ok

    def _disturbed(self, number: int, fault: str, dice: random.Random) -> int:
        """One round; returns how many bodies may have run again."""
        kill, allowed = self.faults[fault]
        self.again()
        self.flights.start()
        self.flights.ask(number)
        time.sleep(dice.uniform(0.0, self.seconds))
        hit = kill(dice)
        if hit:
            self.killed[fault] += 1
        told = self.flights.told()
        if told != self.calm:
            assert hit, f"round {number}, {fault}: {told}"
            self.again()
            told = self.flights.fly(number)
        assert told == self.calm, f"round {number}, {fault}: {told}"
        return allowed if hit else 0

    def _check(self, number: int, fault: str, allowed: int) -> None:
        bodies = self.flights.bodies(number)
        assert len(bodies) == PARTS + 1
        again = sum(bodies.values()) - len(bodies)
        assert again <= allowed, f"round {number}, {fault}: {bodies}"
        self.twice += again
        processes = self.flights.processes
        assert processes.gone(15, processes.tools), f"round {number}, {fault}: {processes.shown()}"
        assert sg.Store(str(self.flights.store)).fsck().ok


def killer(victims: Callable[[], set[int]]) -> Callable[[random.Random], bool]:
    """What kills one of some processes, if there is one."""

    def kill(dice: random.Random) -> bool:
        found = sorted(victims())
        with contextlib.suppress(ProcessLookupError):
            if found:
                os.kill(dice.choice(found), signal.SIGKILL)
                return True
        return False

    return kill


@contextlib.contextmanager
def ended_after(flights: Flights) -> Iterator[Flights]:
    """Leave nothing behind, whatever the test found."""
    try:
        yield flights
    finally:
        for pid in flights.processes.all():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
