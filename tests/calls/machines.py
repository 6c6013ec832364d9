"""A Dask scheduler and a worker, each a process of its own, as on a real set of machines."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def python_path(*places: Path) -> str:
    """PYTHONPATH with the package under test, and `places` before it."""
    import stargazer

    package = Path(stargazer.__file__).parent.parent
    return os.pathsep.join(map(str, (*places, package)))


@contextlib.contextmanager
def machines(directory: Path, project: Path, *, workers: int = 1) -> Iterator[str]:
    """Start a scheduler, which has nothing of the project, and workers, which have; gives the address."""
    file = directory / "scheduler.json"
    quiet = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error"}
    common = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    scheduler = _start(["scheduler", "--port", "0", *common], directory, quiet | {"PYTHONPATH": python_path()})
    options = ["--nworkers", str(workers), "--nthreads", "1"]
    worker = _start(["worker", *options, *common], directory, quiet | {"PYTHONPATH": python_path(project)})
    try:
        yield _address(file)
    finally:
        for process in (worker, scheduler):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _start(arguments: list[str], directory: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dask", *arguments]
    log = (directory / f"{arguments[0]}.log").open("wb")
    with log:
        return subprocess.Popen(
            command, cwd=directory, env=os.environ | env, stdout=log, stderr=log, start_new_session=True
        )


def _address(file: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            address: str = json.loads(file.read_text())["address"]
            return address
        time.sleep(0.1)
    raise TimeoutError(f"no scheduler wrote {file}")


def run(script: Path, *arguments: str, cwd: Path, **env: str) -> Any:
    """Run a script as a user would; what it prints last is JSON."""
    done = subprocess.run(
        [sys.executable, script.name, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": python_path()} | env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
