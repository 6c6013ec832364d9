"""One line connects, whatever is at the other end; a check tells what would not work there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dask.config
import pytest
from distributed import LocalCluster

import stargazer as sg
from stargazer.catalog.targets import find_tasks
from stargazer.client.checks import check_profile
from stargazer.client.jobqueue import Asked, _cluster_class
from stargazer.errors import ConfigError
from stargazer.profiles.settings import find_profile


@sg.task
def letter(work: sg.Workdir, *, of: str) -> sg.Asset:
    out = work.file("letter.txt")
    out.write_text(of)
    return sg.Asset(path=out)


@sg.task(tools=["no-such-tool"])
def unlucky(work: sg.Workdir) -> sg.Asset:
    raise NotImplementedError


@sg.task(cpus=64, memory="1 PiB", gpus=2, worker="fast")
def immense(work: sg.Workdir) -> sg.Asset:
    raise NotImplementedError


@sg.task(memory="2 PiB")
def worse(work: sg.Workdir) -> sg.Asset:
    raise NotImplementedError


@sg.task(cpus=1, memory="1 MiB", walltime="2 h")
def modest(work: sg.Workdir) -> sg.Asset:
    raise NotImplementedError


def findings(profile: str, store: sg.Store, *tasks: Any) -> dict[str, bool]:
    return {found.what: found.ok for found in check_profile(find_profile(profile), store, tasks)}


@pytest.mark.parametrize("profile", ["threads", "local"])
def test_the_same_line_runs_everywhere(store: sg.Store, profile: str) -> None:
    with sg.connect(profile, cpus=2, workers=1):
        assert sg.run(letter(of="a")).result().fetch().read_text() == "a"
        assert letter(of="b").compute().fetch().read_text() == "b"


def test_an_address_is_checked_and_used(store: sg.Store) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        address = cluster.scheduler_address
        with sg.connect(address) as client:
            assert sg.run(letter(of="c"), client=client).tasks_run == 1
        assert findings(address, store, letter) == dict.fromkeys(["workers", "resources", "store", "versions"], True)
        assert findings(address, store, unlucky)["no-such-tool"] is False


def test_a_store_that_workers_do_not_see_is_served_or_told() -> None:
    profiles = {
        "mine": {"kind": "local", "workers": 1},
        "sharing": {"kind": "local", "workers": 1, "store": "shared"},
    }
    with sg.Store("memory://only-here") as store, dask.config.set({"stargazer.profiles": profiles}):
        found = {each.what: each for each in check_profile(find_profile("mine"), store)}
        assert found["store"] == ("store", True, "memory://only-here is served to 1 worker, over Dask's connections")
        found = {each.what: each for each in check_profile(find_profile("sharing"), store)}
        assert not found["store"].ok
        assert "though the profile says `store: shared`" in found["store"].told


def test_a_store_may_be_served_to_workers_that_see_it(store: sg.Store) -> None:
    with sg.connect("local", workers=1, store="served") as client:
        assert sg.run(letter(of="served"), client=client).tasks_run == 1
        assert client.cluster.scheduler.plugins["stargazer-desk"].home.received > 0  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="one of auto, shared, served"):
        find_profile("local", store="nowhere")


def test_a_check_tells_what_tasks_lack(store: sg.Store) -> None:
    found = {each.what: each for each in check_profile(find_profile("local", workers=1), store, [modest])}
    assert all(each.ok for each in found.values())
    assert "modest wants the most, 1.00 MiB" in found["memory"].told
    assert "modest takes up to 02:00:00" in found["walltime"].told
    found = {each.what: each for each in check_profile(find_profile("local"), store, [modest, immense, worse])}
    assert {what for what, each in found.items() if not each.ok} == {"memory", "gpus", "worker:fast"}
    assert "task worse needs 2.00 PiB" in found["memory"].told
    assert found["memory"].told.endswith("not enough for immense either")
    assert found["cpus"].told.endswith("immense wants the most, 64, and takes all")
    remarks = check_profile(find_profile("local"), store, [worse], strict=False)
    assert all(each.ok for each in remarks)
    assert any(each.told.endswith("not enough for worse") for each in remarks)


def test_tasks_of_a_file_are_those_that_its_workflows_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "reaching.py").write_text(REACHING)
    assert [task.name for task in find_tasks(f"{tmp_path}/reaching.py:analyse")] == ["mine"]
    assert {"mine", "other", "bwa_mem"} <= {task.name for task in find_tasks(f"{tmp_path}/reaching.py")}
    assert "bwa_mem" in {task.name for task in find_tasks(f"{tmp_path}/reaching.py:variants")}


REACHING = """
import stargazer as sg
from stargazer.workflows import germline_short_variant_discovery

@sg.task
def mine(work: sg.Workdir) -> sg.Asset: ...
@sg.task
def other(work: sg.Workdir) -> sg.Asset: ...

def wired(): return mine()
def analyse(): return wired()
def variants(**given): return germline_short_variant_discovery(**given)
"""


def test_a_local_worker_that_dask_gave_up_is_started_anew() -> None:
    with sg.connect("local", workers=2) as client, dask.config.set({"distributed.deploy.lost-worker-timeout": "10 ms"}):
        before = client.run(os.getpid)
        os.kill(next(iter(before.values())), signal.SIGKILL)
        deadline = time.monotonic() + 120
        while len(now := client.run(os.getpid, on_error="ignore")) < 2 or now == before:
            assert time.monotonic() < deadline, "it never came back"
            time.sleep(0.1)
        time.sleep(0.1)
        assert client.submit(os.getpid).result() in now.values()


@pytest.mark.parametrize(
    ("system", "lines"),
    [
        ("pbs", ["#PBS -q long", "#PBS -A lab", "#PBS -l walltime=02:30:00"]),
        ("lsf", ["#BSUB -q long", '#BSUB -P "lab"', "#BSUB -W 02:30"]),
        ("sge", ["#$ -q long", "#$ -P lab", "#$ -l h_rt=02:30:00"]),
        ("moab", ["#PBS -q long", "#PBS -A lab"]),
    ],
)
def test_what_a_profile_says_reaches_every_batch_system(tmp_path: Path, system: str, lines: list[str]) -> None:
    pytest.importorskip("dask_jobqueue")
    options = {"queue": "long", "account": "lab", "walltime": "150 min"}
    script = job_script(find_profile(system, cpus=2, memory="2 GiB", names=["fast"], shared=str(tmp_path), **options))
    assert set(lines) <= set(script.splitlines())
    assert "--resources cpus=2,memory=2147483648,worker:fast=2" in script
    assert "--protocol tls://" in script


def job_script(profile: Any) -> str:
    """What would be submitted; the scheduler is started, workers are not."""
    with _cluster_class(profile.kind)(**Asked(profile).arguments()) as cluster:
        return str(cluster.job_script())


KEPT = """
import signal, threading
from stargazer.client.jobqueue import _cluster_class
thread = threading.Thread(target=lambda: print(_cluster_class("slurm").__name__))
thread.start()
thread.join()
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


def test_ctrl_c_stays_what_it_is(tmp_path: Path) -> None:
    """dask-jobqueue would change it when it is imported, and cannot be imported in a thread for that."""
    pytest.importorskip("dask_jobqueue")
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "SLURMCluster\n"), done.stderr


def test_what_a_batch_system_does_not_know_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    with pytest.raises(ConfigError, match="htcondor knows no queue"):
        sg.connect("htcondor", cpus=1, memory="1 GiB", queue="long", shared=str(tmp_path))


def test_a_batch_system_without_sizes_is_an_error() -> None:
    pytest.importorskip("dask_jobqueue")
    with pytest.raises(ConfigError, match=r"profiles.pbs.cpus is not set, nor is jobqueue.pbs.cores"):
        sg.connect("pbs")
