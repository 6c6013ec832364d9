"""Services for tests, and two tenants with people of all sorts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from services import Served, person, serving

import stargazer as sg
from stargazer.service.settings import Limits, Settings


@pytest.fixture
def serve() -> Iterator[Callable[[Settings], Served]]:
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(serving(settings))


@pytest.fixture
def lab(tmp_path: Path) -> Settings:
    """Two tenants, and people with some scopes each."""
    stores = {"lab": str(tmp_path / "lab"), "clinic": str(tmp_path / "clinic")}
    tokens = (
        person("anna", "lab", "read", "run", "write", tables=("*",)),
        person("ben", "lab", "read"),
        person("root", "lab", "admin"),
        person("carl", "clinic", "read", "run", "write"),
        person("nobody", "lab"),
        person("dora", "lab", "read", "run", "write", names=("open/*",), tables=("file:///open/*",)),
    )
    return Settings(stores, tokens, limits=Limits(2, 1 << 40))


@pytest.fixture
def letters(lab: Settings, tmp_path: Path) -> tuple[sg.Asset, sg.Asset]:
    """Two files in the store of the lab."""
    with sg.Store(lab.stores["lab"]):
        (tmp_path / "a.txt").write_text("abc")
        (tmp_path / "b.txt").write_text("bcd")
        return sg.add(tmp_path / "a.txt"), sg.add(tmp_path / "b.txt")
