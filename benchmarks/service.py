"""What does asking a service cost? A hit over HTTP, warm row groups, an append to a table of many files.

Beside a bare answer of the same server, the same Arrow files mapped into memory, and the whole table read anew. Aims: a
hit takes at most 5 ms of the server; 100 warm row groups at most 1.2 × mapping the same files; a cell on an executor at
most 50 ms more than a process of Python that does nothing.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import uvicorn
from pyiceberg.catalog.sql import SqlCatalog
from starlette.applications import Starlette

import stargazer as sg
from benchmarks.rounds import Ratio, clock, compare, in_turns, temporary
from stargazer.service.application import application
from stargazer.service.executor import Executor, worker_application
from stargazer.service.serving import listening
from stargazer.service.settings import Settings
from stargazer.tables import scan

__all__ = ["measure"]

AIM_HIT, AIM_WARM, AIM_CELL = 5.0, 1.2, 50.0
GROUPS, ROWS = 100, 100_000


def measure(quick: bool = False) -> Iterator[Ratio]:
    """Yield each ratio as it is known.

    Parameters
    ----------
    quick
        Fewer rounds and smaller tables: for trying out, not for quoting.
    """
    with temporary() as directory, sg.Store(str(directory / "store")) as store:
        yield from hits(store, directory, 50 if quick else 500)
        yield from tables(directory, 1_000 if quick else ROWS, 3 if quick else 9)
        yield from cells(5 if quick else 50)


@sg.task
def copied(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
    """Copy a file."""
    out = work.file("copy.txt")
    out.write_text(words.path.read_text())
    return sg.Asset(path=out)


def hits(store: sg.Store, directory: Path, requests: int) -> Iterator[Ratio]:
    """A known artifact, asked for over HTTP, beside an answer that asks nothing of the engine."""
    (directory / "words.txt").write_text("words")
    words = store.add(directory / "words.txt")
    sg.transform("copied@v1")(copied)
    body = {"inputs": [words.id], "transform": {"executor": "copied@v1"}}
    url, end = _served(application(Settings({"default": store.url})))
    try:
        with httpx.Client(base_url=url) as client:

            def asked(method: str, path: str, **options: Any) -> float:
                answer = client.request(method, path, **options)
                answer.raise_for_status()
                return answer.elapsed.total_seconds() * 1e3

            asked("POST", "/v1/materialize", json=body)
            runs = {
                "ours": lambda: asked("POST", "/v1/materialize", json=body),
                "bare": lambda: asked("GET", "/health"),
            }
            found = in_turns(runs, requests)
        yield compare(
            "service", "a hit over HTTP", "a bare answer", found["ours"], found["bare"], "ms", aim=AIM_HIT, of="ours"
        )
    finally:
        end()


def _served(app: Starlette) -> tuple[str, Callable[[], None]]:
    opened = listening("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)

    def end() -> None:
        server.should_exit = True
        thread.join()
        opened.close()

    return f"http://127.0.0.1:{opened.getsockname()[1]}", end


def tables(directory: Path, rows: int, rounds: int) -> Iterator[Ratio]:
    """Row groups that are known, and a table to which one file was appended."""
    warehouse = directory / "warehouse"
    warehouse.mkdir()
    catalog = SqlCatalog("default", uri=f"sqlite:///{warehouse}/catalog.db", warehouse=f"file://{warehouse}")
    catalog.create_namespace("db")
    table = catalog.create_table("db.events", schema=_rows(0, 1).schema)
    for number in range(GROUPS):
        table.append(_rows(number * rows, rows))
    uri = f"file://{warehouse}#db.events"
    parts = [str(part.fetch()) for part in sg.run(list(scan(uri, ["id", "value"])), progress=False).result()]
    runs = {
        "ours": lambda: clock(lambda: _summed(scan(uri, ["id", "value"]).to_table())).wall,
        "bare": lambda: clock(lambda: _summed(pa.concat_tables(map(_mapped, parts)))).wall,
    }
    found = in_turns(runs, rounds)
    yield compare(
        "service", f"{GROUPS} warm row groups", "the same files mapped", found["ours"], found["bare"], "s", aim=AIM_WARM
    )
    appended = []
    for number in range(rounds):
        table.append(_rows((GROUPS + number) * rows, rows))
        ours = clock(lambda: scan(uri, ["id", "value"]).to_table()).wall
        theirs = clock(lambda: catalog.load_table("db.events").scan(selected_fields=("id", "value")).to_arrow()).wall
        appended.append((ours, theirs))
    ours, theirs = zip(*appended, strict=True)
    yield compare("service", "after an append of one file", "pyiceberg, all files", ours, theirs, "s")


def cells(rounds: int) -> Iterator[Ratio]:
    """A small cell on an executor of this machine, beside the process of Python that it needs anyway."""
    url, end = _served(worker_application("secret"))
    far = Executor(url, "secret")
    bare = [sys.executable, "-c", "b = 2"]
    try:
        runs = {
            "ours": lambda: clock(lambda: far.execute("b = a + 1", {"a": 1})).wall * 1e3,
            "bare": lambda: clock(lambda: subprocess.run(bare, check=True)).wall * 1e3,
        }
        found = in_turns(runs, rounds)
        over = [ours - theirs for ours, theirs in zip(found["ours"], found["bare"], strict=True)]
        yield compare(
            "service", "a cell on an executor, more than", "a bare process", over, found["bare"], "ms", aim=AIM_CELL,
            of="ours",
        )  # fmt: skip
    finally:
        end()


def _mapped(path: str) -> pa.Table:
    """An Arrow file as whoever has only pyarrow maps it."""
    return pa.ipc.open_file(pa.memory_map(path)).read_all()


def _rows(start: int, count: int) -> pa.Table:
    numbers = pa.array(range(start, start + count))
    return pa.table({"id": numbers, "value": numbers.cast(pa.float64()), "note": numbers.cast(pa.string())})


def _summed(table: pa.Table) -> float:
    """Touch every page, as whoever reads a table does."""
    import pyarrow.compute as pc

    return float(pc.sum(table["value"]).as_py()) + float(pc.sum(table["id"]).as_py())
