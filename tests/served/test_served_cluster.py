"""Workflows on workers that do not see the store: it is in the memory of the client's process, or hidden from them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from served_tasks import many, noise, report, where

import stargazer as sg
from stargazer.store import Store

SIZE = 5_000_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from distributed import LocalCluster

    env = {"DASK_STARGAZER__CACHE": str(tmp_path_factory.mktemp("workers"))}
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", env=env) as started:
        yield started


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    from distributed import Client

    with Client(cluster, set_as_default=False) as connected:
        yield connected


@pytest.fixture
def unseen() -> Iterator[Store]:
    """A store that no other process can see."""
    with Store(f"memory://{uuid.uuid4().hex}") as store:
        yield store


def test_a_workflow_runs_as_if_the_store_were_shared(client: Any, unseen: Store, tmp_path: Path) -> None:
    made = noise(seed=1, size=SIZE)
    folder = many(made, count=40)
    answer = report(made, folder)
    result = sg.run(answer, client=client).result()
    wanted = f"{SIZE} index of 1 {sum(1000 + number for number in range(40))}"
    assert unseen.read(str(result.cid)).decode() == wanted
    assert result.fetch().read_text() == wanted
    assert unseen.fsck().ok
    assert sg.run(answer, client=client).known == 1, "the ledger at home knows it"

    with Store(str(tmp_path / "shared")):
        here = report(noise(seed=1, size=SIZE), many(noise(seed=1, size=SIZE), count=40)).compute()
    assert here.cid == result.cid


def test_inputs_that_were_added_reach_the_workers(client: Any, unseen: Store, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"given" * 1000)
    added = unseen.add(tmp_path / "in")
    _, path = sg.run(where(added), client=client).result().split()
    assert Path(path).read_bytes() == b"given" * 1000
    assert "/served/" in path


def test_plain_dask_does_the_same_once_the_store_is_served(client: Any, unseen: Store) -> None:
    from stargazer.served.serving import serve

    serve(client)
    first, second = dask.compute(noise(seed=2, size=10), noise(seed=3, size=10), scheduler=client)
    assert unseen.exists(first)
    assert unseen.exists(second)
