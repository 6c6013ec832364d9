from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

SHAKE_MAX = 47_185_923


@pytest.fixture(scope="session")
def shake() -> Callable[[int], bytes]:
    """The bytes that all vectors are made of; every length is a prefix of the longest."""
    made: list[bytes] = []

    def take(size: int) -> bytes:
        if size <= 1_100_000:
            return hashlib.shake_256(b"stargazer").digest(size)
        if not made:
            made.append(hashlib.shake_256(b"stargazer").digest(SHAKE_MAX))
        return made[0][:size]

    return take


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of public test data."""
    folder = os.environ.get("STARGAZER_TEST_DATA")
    if not folder:
        pytest.skip("STARGAZER_TEST_DATA is not set: it names the folder of public test data")
    return Path(folder)


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[[dict[str, bytes | None]], Path]:
    """Make a directory from paths and contents; None makes an empty directory."""
    count = 0

    def make(contents: dict[str, bytes | None]) -> Path:
        nonlocal count
        count += 1
        root = tmp_path / f"tree{count}"
        root.mkdir()
        for name, content in contents.items():
            path = root / name
            (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_bytes(content)
        return root

    return make
