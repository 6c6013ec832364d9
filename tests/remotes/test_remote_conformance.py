"""What gateways must answer to who reads: our own, and Kubo's beside it, so that the table is not ours alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import dask.config
import pytest
from conformance import CASES, LARGE, Answer, Case, ask, faults, made
from nodes import Node

from stargazer.remotes import push, read_remote
from stargazer.store import Store


class Place(NamedTuple):
    """Stores and gateways that the cases are asked of."""

    store: Store
    names: dict[str, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    base = tmp_path_factory.mktemp("conformance")
    with dask.config.set({"stargazer.cache": str(base / "cache")}):
        store = Store(base / "store")
        yield Place(store, made(base, store))


@pytest.fixture(scope="module")
def ours(place: Place) -> Iterator[str]:
    """The gateway of `stargazer serve`."""
    uvicorn = pytest.importorskip("uvicorn")
    from stargazer.service.application import application
    from stargazer.service.serving import listening
    from stargazer.service.settings import Settings

    opened = listening("127.0.0.1", 0)
    app = application(Settings({"default": place.store.url}))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 300
    while not server.started:
        assert time.monotonic() < deadline, "the service does not start"
        time.sleep(0.01)
    yield f"http://127.0.0.1:{opened.getsockname()[1]}"
    server.should_exit = True
    thread.join(60)
    opened.close()


@pytest.fixture(scope="module")
def kubos(node: Node, place: Place) -> str:
    """Kubo's gateway, which has the same tree."""
    root = place.store.get(place.names["root"])
    push(place.store, root, read_remote({"kubo": node.rpc, "name": "home", "timeout": 120}))
    return node.gateway


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_gateway(case: Case, ours: str, place: Place) -> None:
    assert faults(case, ask(ours, case, place.names), place.names) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_kubos_gateway(case: Case, kubos: str, place: Place) -> None:
    assert faults(case, ask(kubos, case, place.names), place.names) == []


@pytest.mark.parametrize(
    ("case", "spoil", "told"),
    [
        (Case("bytes", "{large}", body=LARGE), lambda a: a._replace(body=a.body[:-1]), "bytes that are not"),
        (Case("status", "{large}"), lambda a: a._replace(status=206), "status 206"),
        (Case("header", "{large}", headers={"Etag": '"{large}"'}), lambda a: a._replace(headers={}), "Etag is ''"),
        (
            Case("blocks", "{large}?format=car", blocks=(1, 4)),
            lambda a: a._replace(body=a.body[:-4] + b"more"),
            "is not",
        ),
        (Case("count", "{large}?format=car", blocks=(1, 5)), lambda a: a, "(1, 4) nodes and raw blocks"),
    ],
    ids=lambda each: each.name if isinstance(each, Case) else "",
)
def test_the_table_sees_what_is_wrong(
    case: Case, spoil: Callable[[Answer], Answer], told: str, ours: str, place: Place
) -> None:
    (fault,) = faults(case, spoil(ask(ours, case, place.names)), place.names)
    assert told in fault
