"""How fast do files travel between a store and workers that do not see it?

A file goes to a worker's cache, and another comes back into the store, beside Dask's own transfer of a result of that
size from the worker's memory to the client's (and of data to a worker). Ours are read from a disk, hashed at both ends
and written to a disk; Dask's go from memory to memory, unchecked. MB/s, so more is better; aim: a quarter of Dask's.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from distributed import Client, Nanny, Scheduler, SpecCluster, wait

import stargazer as sg
from benchmarks.rounds import Ratio, compare, in_turns, temporary
from stargazer.relay.client import serve
from stargazer.relay.worker import reach

__all__ = ["measure"]

MB = 1_000_000
AIM = 0.25
MANY, SMALL = 1000, 4096


def measure(quick: bool = False) -> Iterator[Ratio]:
    """Yield each ratio as it is known.

    Parameters
    ----------
    quick
        Smaller files and fewer rounds: for trying out, not for quoting.
    """
    size, rounds = (32 * MB, 1) if quick else (256 * MB, 5)
    with temporary() as directory, sg.Store(str(directory / "store")) as store:
        worker = {"cls": Nanny, "options": {"nthreads": 1, "config": {"stargazer": {"cache": f"{directory}/far"}}}}
        scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": ":0"}}
        with SpecCluster(workers={0: worker}, scheduler=scheduler) as cluster, Client(cluster) as client:
            serve(client, "served")
            yield _beside(
                "to a worker", size, rounds, _fetching(client, store, directory, size), _scattering(client, size)
            )
            yield _beside("from a worker", size, rounds, _sending(client, store, size), _gathering(client, size))
            many = MANY // 10 if quick else MANY
            ours, theirs = _sending_many(client, store, many), _gathering_many(client, many)
            yield _beside(f"from a worker, in {many} files", many * SMALL, rounds, ours, theirs)


def _beside(way: str, size: int, rounds: int, ours: Callable[[], float], theirs: Callable[[], float]) -> Ratio:
    found = in_turns({"ours": ours, "dask": theirs}, rounds)
    speeds = {name: [size / MB / seconds for seconds in each] for name, each in found.items()}
    aim = AIM if "files" not in way else None
    case = f"{size / MB:.0f} MB {way}"
    return compare("blob_transfer", case, "Dask", speeds["ours"], speeds["dask"], "MB/s", aim=aim, better="higher")


def _fetching(client: Client, store: sg.Store, directory: Path, size: int) -> Callable[[], float]:
    def fetch() -> float:
        path = directory / "fresh"
        path.write_bytes(_noise(size))
        cid = store.add(path).cid
        return float(client.submit(_fetch, store.url, store.id, cid, pure=False).result())

    return fetch


def _sending(client: Client, store: sg.Store, size: int) -> Callable[[], float]:
    return lambda: float(client.submit(_send, store.url, store.id, 1, size, pure=False).result())


def _sending_many(client: Client, store: sg.Store, many: int) -> Callable[[], float]:
    return lambda: float(client.submit(_send, store.url, store.id, many, SMALL, pure=False).result())


def _scattering(client: Client, size: int) -> Callable[[], float]:
    def scatter() -> float:
        data = _noise(size)
        start = time.perf_counter()
        client.scatter(data, direct=True, hash=False)
        return time.perf_counter() - start

    return scatter


def _gathering(client: Client, size: int) -> Callable[[], float]:
    return _gathering_many(client, 1, size)


def _gathering_many(client: Client, many: int, size: int = SMALL) -> Callable[[], float]:
    def gather() -> float:
        futures = [client.submit(_noise, size, pure=False) for _ in range(many)]
        wait(futures)
        start = time.perf_counter()
        client.gather(futures, direct=True)
        return time.perf_counter() - start

    return gather


def _fetch(url: str, identifier: str, cid: str) -> float:
    store = _store(url, identifier)
    start = time.perf_counter()
    store.blobs.path(cid)
    return time.perf_counter() - start


def _send(url: str, identifier: str, many: int, size: int) -> float:
    store = _store(url, identifier)
    folder = store.context.scratch / uuid.uuid4().hex
    folder.mkdir(parents=True)
    for number in range(many):
        (folder / f"{number}").write_bytes(_noise(size))
    start = time.perf_counter()
    store.dirs.put(folder if many > 1 else folder / "0", move=True)
    return time.perf_counter() - start


def _store(url: str, identifier: str) -> sg.Store:
    from distributed import get_worker

    reach(get_worker(), url, identifier)
    return sg.Store.open(url)


def _noise(size: int) -> bytes:
    """Bytes that nobody has yet."""
    import random

    return random.Random(uuid.uuid4().int).randbytes(size)
