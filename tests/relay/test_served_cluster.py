"""Workflows on workers that do not see the store: it is in the memory of the client's process, or hidden from them."""

from __future__ import annotations

import logging
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from served_tasks import both, many, noise, report, where

import stargazer as sg
from stargazer.errors import StoreUnseen
from stargazer.relay.client import serve
from stargazer.store import Store

SIZE = 5_000_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two workers, each with a cache of its own, as on two hosts."""
    from distributed import Nanny, Scheduler, SpecCluster

    folders = [tmp_path_factory.mktemp("host") for _ in range(2)]
    workers = {
        number: {"cls": Nanny, "options": {"nthreads": 1, "config": {"stargazer": {"cache": str(folder)}}}}
        for number, folder in enumerate(folders)
    }
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": ":0"}}
    with SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.ERROR) as started:
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
    _, path = sg.run(where(added, turn=0), client=client).result().split()
    assert Path(path).read_bytes() == b"given" * 1000
    assert "/served/" in path


def test_plain_dask_does_the_same_once_the_store_is_served(client: Any, unseen: Store) -> None:
    serve(client)
    first, second = dask.compute(noise(seed=2, size=10), noise(seed=3, size=10), scheduler=client)
    assert unseen.exists(first)
    assert unseen.exists(second)


def home_of(client: Any) -> Any:
    return client.cluster.scheduler.plugins["stargazer-desk"].home


def test_calls_run_where_their_files_lie(client: Any, unseen: Store) -> None:
    serve(client)
    home = home_of(client)
    before = home.sent
    made = [noise(seed=seed, size=SIZE) for seed in range(20, 22)]  # one a worker: where one waits, a file may travel
    found = [each for each, _ in sg.run([[each, where(each, turn=0)] for each in made], client=client).result()]
    assert home.sent == before, "what follows a call in a run goes where it ran"
    places = {str(asset.cid): address for asset in found for address in lies(client, asset)}
    assert len(set(places.values())) == 2, "both workers made some"
    pair = [next(asset for asset in found if places[str(asset.cid)] == each) for each in sorted(set(places.values()))]
    for turn in range(1, 6):
        sg.run([where(asset, turn=turn) for asset in reversed(pair)], client=client)
    assert home.sent == before, "and so do later runs"


def test_of_two_inputs_the_smaller_one_travels(client: Any, unseen: Store) -> None:
    large, small = noise(seed=30, size=2 * SIZE), noise(seed=31, size=SIZE // 2)
    kept = sg.run([large, small], client=client).result()
    for turn in range(4):
        places = [lies(client, asset) for asset in kept]
        before = home_of(client).sent
        sg.run(both(kept[1], kept[0], turn=turn), client=client)
        assert home_of(client).sent - before == (0 if places[0] & places[1] else SIZE // 2 + len("index of 31"))


def lies(client: Any, asset: sg.Asset) -> set[str]:
    return set(client.cluster.scheduler.plugins["stargazer-places"].lie.get(str(asset.cid), ()))


@pytest.mark.slow
def test_a_worker_that_is_killed_while_it_sends_leaves_nothing_half_done(client: Any, unseen: Store) -> None:
    serve(client)
    home = home_of(client)
    before = home.received
    run = sg.run(noise(seed=40, size=12 * SIZE), client=client, wait=False)
    deadline = time.monotonic() + 60
    while home.received - before < SIZE and time.monotonic() < deadline:
        time.sleep(0.002)
    (busy,) = [each for each in client.cluster.scheduler.workers.values() if each.processing]
    os.kill(client.run(os.getpid, workers=[busy.address])[busy.address], signal.SIGKILL)
    assert unseen.size(str(run.result().cid)) == 12 * SIZE
    assert home.received - before > 12 * SIZE, "it was killed midway"
    assert unseen.fsck().ok
    assert [path for path in (unseen.context.cache / "tmp").glob("*") if path.is_file()] == []


def test_a_store_that_is_shared_is_not_served(client: Any, store: Store) -> None:
    serve(client)
    before = home_of(client).sent
    _, path = sg.run(where(noise(seed=50, size=SIZE), turn=0), client=client).result().split()
    assert path.startswith(store.backend.path("blobs"))
    assert home_of(client).sent == before


def test_a_client_whose_store_nobody_serves_is_told(cluster: Any, tmp_path: Path) -> None:
    """Another scheduler, which no `sg.connect` and no `sg.run` has seen."""
    from distributed import Client, Nanny, Scheduler, SpecCluster

    worker = {"cls": Nanny, "options": {"nthreads": 1, "config": {"stargazer": {"cache": str(tmp_path)}}}}
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": ":0"}}
    with (
        Store(f"memory://{uuid.uuid4().hex}"),
        SpecCluster(workers={0: worker}, scheduler=scheduler, silence_logs=logging.CRITICAL) as other,
        Client(other, set_as_default=False) as plain,
        pytest.raises(StoreUnseen, match=r"connect with sg\.connect, or use sg\.run"),
    ):
        dask.compute(noise(seed=60, size=10), scheduler=plain)
