from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
from mcp_agents import asked, refused, with_client

import stargazer as sg
from stargazer.catalog.sources import _entries
from stargazer.mcp.place import Place
from stargazer.mcp.server import make_server

FLOWS = str(Path(__file__).with_name("mcp_flows.py"))

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def flows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The catalog has the tasks of `mcp_flows.py`, here and in servers that tests start."""
    monkeypatch.setenv("DASK_STARGAZER__CATALOG", f"['{FLOWS}']")
    _entries.cache_clear()
    with dask.config.set({"stargazer.catalog": [FLOWS]}):
        yield
    _entries.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a server is started."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def place(store: sg.Store, folder: Path) -> Iterator[Place]:
    found = Place(store)
    yield found
    found.flights.end_all(30)


@pytest.fixture
def ask(place: Place) -> Ask:
    """Ask a server in this process."""
    server = make_server(place)

    def call(name: str, /, **arguments: Any) -> Any:
        return with_client(server, lambda client: asked(client, name, **arguments))

    return call


@pytest.fixture
def refuse(place: Place) -> Callable[..., str]:
    """Ask a server in this process for what it refuses."""
    server = make_server(place)

    def call(name: str, /, **arguments: Any) -> Any:
        return with_client(server, lambda client: refused(client, name, **arguments))

    return call
