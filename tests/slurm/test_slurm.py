"""Calls on workers that a real SLURM starts, ends and takes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from slurm_queue import Queue, until
from slurm_tasks import endless, part, whole

import stargazer as sg
from stargazer.client.checks import check_profile
from stargazer.errors import ConfigError, NeedUnmet
from stargazer.profiles.settings import find_profile

CLIENT = """
import sys
import stargazer as sg
from slurm_tasks import part

if __name__ == "__main__":
    log, shared = sys.argv[1:]
    with sg.connect("slurm", cpus=1, memory="500 MB", walltime="10 min", workers=2, shared=shared, interface="lo"):
        sg.run([part(i=i, log=log, script="sleep 1234") for i in range(2)])
"""


def lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def test_workers_come_for_work_and_go_when_idle(queue: Queue, store: sg.Store, tmp_path: Path) -> None:
    log = tmp_path / "ran"
    with sg.connect("slurm", workers="0-3", idle="1 s", **queue.options) as client:
        assert queue.running() == []
        assert str(client.scheduler.address).startswith("tls://")
        answer = whole([part(i=i, log=str(log), script="sleep 0.2") for i in range(6)])
        assert sg.run(answer).result().fetch().read_text() == "0\n1\n2\n3\n4\n5\n"
        assert len(lines(log)) == 6
        assert 1 <= len({number for _, number in lines(log)}) <= 3
        until(lambda: queue.running() == [])


def test_a_worker_taken_away_is_replaced_and_its_call_runs_again(queue: Queue, store: sg.Store, tmp_path: Path) -> None:
    log, go = tmp_path / "ran", tmp_path / "go"
    script = f"until test -e {go}; do sleep 0.1; done"
    with sg.connect("slurm", workers=2, **queue.options):
        flight = sg.run([part(i=i, log=str(log), script=script) for i in range(4)], wait=False)
        until(lambda: len(lines(log)) == 2)
        lost, number = lines(log)[0]
        queue.cancel(number)
        until(lambda: len(lines(log)) >= 3)
        go.touch()
        assert [asset.fetch().read_text() for asset in flight.result()] == ["0\n", "1\n", "2\n", "3\n"]
    ran = Counter(i for i, _ in lines(log))
    assert sum(ran.values()) == 5
    assert ran[lost] == 2
    assert len({number for _, number in lines(log)}) == 3


def test_workers_need_not_see_the_store(queue: Queue, tmp_path: Path) -> None:
    log = tmp_path / "ran"
    with sg.Store("memory://in-the-client-alone") as store, sg.connect("slurm", workers=2, **queue.options):
        answer = whole([part(i=i, log=str(log), script="true") for i in range(4)])
        result = sg.run(answer).result()
        assert store.read(str(result.cid)) == b"0\n1\n2\n3\n"
        assert store.fsck().ok
    assert len(lines(log)) == 4


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"queue": "no-such-partition"}, "invalid partition specified: no-such-partition"),
        ({"cpus": 64}, "More processors requested than permitted"),
        ({"walltime": "2 h"}, "Requested time limit is invalid"),
    ],
)
def test_what_slurm_would_never_start_is_an_error_at_once(queue: Queue, change: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        sg.connect("slurm", **{**queue.options, **change})


def test_a_killed_client_leaves_no_worker_and_no_tool(queue: Queue, store: sg.Store, tmp_path: Path) -> None:
    log = tmp_path / "ran"
    (tmp_path / "client.py").write_text(CLIENT)
    with (tmp_path / "out").open("w") as out:
        command = [sys.executable, "client.py", str(log), str(queue.folder)]
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=tmp_path, start_new_session=True)
    until(lambda: len(lines(log)) == 2)
    assert tools()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not tools())
    until(lambda: queue.running() == [])


def test_ctrl_c_is_told_and_ends_everything(queue: Queue, tmp_path: Path) -> None:
    log = tmp_path / "ran"
    (tmp_path / "client.py").write_text(CLIENT)
    command = [sys.executable, "client.py", str(log), str(queue.folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True)
    until(lambda: len(lines(log)) == 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in err
    until(lambda: not tools())
    until(lambda: queue.running() == [])


def tools() -> list[str]:
    found = [Path(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit()]
    return [str(path) for path in found if path.exists() and b"sleep\x001234" in path.read_bytes()]


def test_a_check_asks_real_workers(queue: Queue, store: sg.Store) -> None:
    import dask.config

    options = queue.options | {"kind": "slurm", "workers": "0-2"}
    with dask.config.set({"stargazer.profiles.lab": options}):
        findings = {each.what: each for each in check_profile(find_profile("lab"), store, [part, endless])}
    assert {what for what, each in findings.items() if not each.ok} == {"walltime"}
    assert "task endless takes up to 01:00:00, but workers of lab end after 00:10:00" in findings["walltime"].told
    assert findings["cpus"].told == "a worker has 1; part wants the most, 1"
    assert "encrypted" in findings["workers"].told


@pytest.mark.slow
def test_work_longer_than_the_walltime(queue: Queue, store: sg.Store, tmp_path: Path, short: bool) -> None:
    """Every body runs once, and once more at most for each worker that SLURM ended."""
    log, count, seconds = tmp_path / "ran", *((10, 12) if short else (40, 20))
    with sg.connect("slurm", **queue.options | {"walltime": "1 min", "workers": 2 if short else 6}):
        answer = whole([part(i=i, log=str(log), script=f"sleep {seconds}") for i in range(count)])
        text = sg.run(answer).result().fetch().read_text()
    assert text.split() == [str(i) for i in range(count)]
    workers = {number for _, number in lines(log)}
    killed = len(workers) - (2 if short else 6)
    assert count <= len(lines(log)) <= count + killed
    assert max(Counter(i for i, _ in lines(log)).values()) <= 2
    assert store.fsck().ok


def test_a_task_longer_than_the_walltime_is_refused(queue: Queue, store: sg.Store) -> None:
    with (
        sg.connect("slurm", workers="0-1", **queue.options),
        pytest.raises(NeedUnmet, match="task endless takes up to"),
    ):
        sg.run(endless())
