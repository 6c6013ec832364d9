"""On the home host: runs a workflow on workers of the far one. Writes where its scheduler is, and what came of it.

``at_home.py FOLDER here`` starts a scheduler in this process; ``at_home.py FOLDER tls://…`` uses one elsewhere.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from served_tasks import many, noise, report, where

import stargazer as sg
from stargazer.errors import RunFailed
from stargazer.relay.client import serve

SIZE = 30_000_000


def main() -> None:
    folder, scheduler = Path(sys.argv[1]), sys.argv[2]
    with sg.Store(str(folder / "hidden" / "store")) as store, _client(folder, scheduler) as client:
        client.wait_for_workers(1, timeout=60)
        (folder / "input").write_bytes(bytes(range(256)) * (SIZE // 256))
        _write(folder / "ready", "ready")
        added = store.add(folder / "input")
        told = {"store": store.url, "checked": _checked(client, store), **_run(added)}
        found = store.fsck()
        told |= {
            "ok": found.ok,
            "strays": found.strays,
            "tmp": [str(path) for path in Path(store.context.scratch).glob("*-*")],
        }
        _write(folder / "told", json.dumps(told))


def _run(added: sg.Asset) -> dict[str, Any]:
    made = noise(seed=1, size=SIZE)
    try:
        result, place = sg.run(report(made, many(made, count=20)), where(added, turn=0)).result()
    except RunFailed as error:
        return {"failed": sorted({type(each).__name__ for each in error.failures.values()}), "said": str(error)}
    return {"report": result.fetch().read_text(), "place": place}


def _checked(client: Any, store: sg.Store) -> str:
    from stargazer.client.checks import _store

    return _store(client, store).told


def _client(folder: Path, scheduler: str) -> Any:
    if scheduler != "here":
        return sg.connect(scheduler)
    from distributed import Client, Scheduler, Security, SpecCluster

    options = {"host": "10.213.7.1", "protocol": "tls://", "security": Security(), "dashboard_address": ":0"}
    cluster = SpecCluster(workers={}, scheduler={"cls": Scheduler, "options": options}, security=Security())
    _write(folder / "address", cluster.scheduler_address)
    client = Client(cluster, security=Security())
    serve(client)
    return client


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n")


if __name__ == "__main__":
    main()
