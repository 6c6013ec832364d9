"""Stores that are seen from one side only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from houses import House

from stargazer.store import Store


@pytest.fixture
def house(store: Store, tmp_path: Path) -> Iterator[House]:
    """The process that sees the store."""
    opened = House(store, tmp_path / "worker")
    yield opened
    opened.close()


@pytest.fixture
def far(house: House) -> Store:
    """The store as a worker has it."""
    return house.worker()


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Make a file of some bytes."""

    def make(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return make
