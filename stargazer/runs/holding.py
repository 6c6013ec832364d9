"""What a run relies on stays, whatever garbage collection runs beside it."""

from __future__ import annotations

import contextlib
import threading
import uuid
from typing import TYPE_CHECKING, Any

from stargazer.calls.wiring import known_values
from stargazer.ledger import walk_assets
from stargazer.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.calls import Call

__all__ = ["held"]

LEASE = 3600.0
"""Seconds for which a lease holds if the run dies without a word."""

RENEWED_EVERY = LEASE / 4


@contextlib.contextmanager
def held(graph: dict[str, Any], calls: dict[str, Call]) -> Iterator[None]:
    """Hold a lease on the known results in a graph and the stored inputs of its calls, renewed as long as it runs."""
    stores = {call.order.store for call in calls.values()}
    if not stores:
        yield
        return
    with Store.open(stores.pop()).lease(f"run-{uuid.uuid4().hex}", _relied_on(graph, calls), seconds=LEASE) as lease:
        ended = threading.Event()
        thread = threading.Thread(target=_renew, args=(lease, ended), name="stargazer-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _relied_on(graph: dict[str, Any], calls: dict[str, Call]) -> set[str]:
    known = [value for node in graph.values() for value in known_values(node)]
    given = [value for call in calls.values() for value in call.inputs.values()]
    return {cid for asset in walk_assets([*known, *given]) for cid in _cids(asset)}


def _cids(asset: Any) -> Iterator[str]:
    if asset.cid:
        yield asset.cid
    for companion in asset.companions:
        yield from _cids(companion)


def _renew(lease: Any, ended: threading.Event) -> None:
    while not ended.wait(RENEWED_EVERY):
        lease.renew()
