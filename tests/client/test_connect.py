"""One line connects, whatever is at the other end; a check tells what would not work there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

import stargazer as sg
from stargazer.client.checks import check_profile
from stargazer.errors import ConfigError
from stargazer.profiles.reading import find_profile


@sg.task
def letter(work: sg.Workdir, *, of: str) -> sg.Asset:
    out = work.file("letter.txt")
    out.write_text(of)
    return sg.Asset(path=out)


@sg.task(tools=["no-such-tool"])
def unlucky(work: sg.Workdir) -> sg.Asset:
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
        assert findings(address, store, letter) == {"workers": True, "store": True, "versions": True}
        assert findings(address, store, unlucky)["no-such-tool"] is False


def test_a_store_that_workers_cannot_write_is_found(tmp_path: Path) -> None:
    with sg.Store("memory://only-here") as store:
        assert findings("local", store) == {"workers": True, "store": False, "versions": True}


def test_a_batch_system_without_sizes_is_an_error() -> None:
    pytest.importorskip("dask_jobqueue")
    with pytest.raises(ConfigError, match=r"profiles.pbs.cpus is not set, nor is jobqueue.pbs.cores"):
        sg.connect("pbs")
