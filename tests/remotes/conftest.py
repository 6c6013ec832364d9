"""What tests of remotes share: a store that has things, gateways that serve them, settings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dask.config
import pytest
from dags import Peer, peering
from gateways import Gateway, serving
from nodes import Node, make, running

from stargazer.remotes import read_remote
from stargazer.remotes.kubo import Kubo
from stargazer.store import Store

MIB = 1 << 20


@pytest.fixture
def origin(tmp_path: Path) -> Store:
    """The store of somebody else."""
    return Store(str(tmp_path / "origin"))


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered of remotes that failed in another test, nor of its secrets."""
    monkeypatch.setattr("stargazer.remotes.fallback._failed", {})
    monkeypatch.setattr("stargazer.remotes.fallback._doubted", set())
    monkeypatch.setattr("stargazer.remotes.redaction._guarded", {})


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Nobody is waited for long where a test does not say so."""
    with dask.config.set({"stargazer.remote-patience": 3}):
        yield


@pytest.fixture
def random_file(tmp_path: Path) -> Callable[[int], Path]:
    """A file of so many bytes, of which no two chunks are equal."""

    def make(size: int) -> Path:
        path = tmp_path / f"random-{size}"
        path.write_bytes(hashlib.shake_256(b"remotes").digest(size))
        return path

    return make


@pytest.fixture
def serve() -> Iterator[Callable[..., Gateway]]:
    """Start gateways that end with the test."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(serving(*args, **options))


@pytest.fixture
def configure() -> Iterator[Callable[..., None]]:
    """Set `stargazer.remotes` for the test."""
    with ExitStack() as stack:

        def set_remotes(*entries: dict[str, Any]) -> None:
            stack.enter_context(dask.config.set({"stargazer.remotes": list(entries)}))

        yield set_remotes


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Start servers that answer as a test says, and end with it."""
    with ExitStack() as stack:
        yield lambda *args: stack.enter_context(peering(*args))


@pytest.fixture(scope="session")
def node(tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A Kubo node that runs."""
    with running(make(tool("ipfs"), tmp_path_factory.mktemp("kubo") / "repo")) as started:
        yield started


@pytest.fixture
def kubo(node: Node) -> Kubo:
    """The same, as a remote."""
    made = read_remote({"kubo": node.rpc, "name": "home", "timeout": 120})
    assert isinstance(made, Kubo)
    return made
