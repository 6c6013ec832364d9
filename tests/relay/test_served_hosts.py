"""Two hosts without a common directory, over encrypted connections."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from at_home import SIZE
from hosts import FAR, HERE, Hosts, refused, two_hosts, wait_for

from stargazer import config

WORKER = (
    "-m",
    "distributed.cli.dask_worker",
    "--nworkers",
    1,
    "--nthreads",
    1,
    "--no-dashboard",
    "--death-timeout",
    60,
)
REPORT = f"{SIZE} index of 1 {sum(1000 + number for number in range(20))}"


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    if why := refused():
        if "netns" in config.required_tools():
            pytest.fail(f"{why}, but STARGAZER_REQUIRE_TOOLS names netns")
        pytest.skip(why)
    (tmp_path / "hidden").mkdir()
    (tmp_path / "far").mkdir()
    with two_hosts(tmp_path, tmp_path / "hidden") as made:
        yield made


def worker(hosts: Hosts, address: str, **options: Any) -> Any:
    options = {"DASK_STARGAZER__CACHE": str(hosts.folder / "far"), **options}
    return hosts.start(1, *WORKER, "--local-directory", hosts.folder / "far", address, **options)


def told(hosts: Hosts) -> Any:
    try:
        return json.loads(wait_for(hosts.folder / "told"))
    except TimeoutError:
        raise AssertionError(hosts.logs()) from None


def check(found: Any, hosts: Hosts) -> None:
    assert found["report"] == REPORT
    assert found["place"].split()[1].startswith(str(hosts.folder / "far" / "served"))
    assert found["checked"] == f"{found['store']} is served to 1 worker, over Dask's connections"
    assert (found["ok"], found["strays"], found["tmp"]) == (True, [], [])


def test_the_home_has_the_scheduler(hosts: Hosts) -> None:
    """As with `sg.connect("slurm")`, from a machine without the cluster's disks."""
    hosts.start(0, HERE / "at_home.py", hosts.folder, "here")
    worker(hosts, wait_for(hosts.folder / "address"))
    check(told(hosts), hosts)


@pytest.mark.slow
def test_scheduler_and_workers_are_elsewhere(hosts: Hosts) -> None:
    """As in a cloud. Nobody there can call the client; the cable is out for a moment while files go over it."""
    address = f"tls://{FAR}:8786"
    arguments = ("--host", FAR, "--port", 8786, "--protocol", "tls", "--no-dashboard")
    hosts.start(1, "-m", "distributed.cli.dask_scheduler", *arguments)
    worker(hosts, address)
    hosts.start(0, HERE / "at_home.py", hosts.folder, address)
    wait_for(hosts.folder / "ready")
    for _ in range(3):
        time.sleep(0.3)
        hosts.cable("down")
        time.sleep(0.5)
        hosts.cable("up")
    check(told(hosts), hosts)


@pytest.mark.slow
def test_a_full_disk_of_the_far_host_fails_clearly(hosts: Hosts) -> None:
    hosts.start(0, HERE / "at_home.py", hosts.folder, "here")
    small = hosts.folder / "small"
    small.mkdir()
    address = wait_for(hosts.folder / "address")
    worker(hosts, address, small_cache=small, DASK_STARGAZER__CACHE=str(small))
    found = told(hosts)
    assert "StoreFull" in found["failed"] or "OSError" in found["failed"], found
    assert "no space left" in found["said"].lower()
    assert (found["ok"], found["strays"], found["tmp"]) == (True, [], [])
