"""The two ways to run calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from distributed import Client

    with Client(n_workers=2, threads_per_worker=1, dashboard_address=":0", set_as_default=False) as client:
        yield client


@pytest.fixture(params=["threads", "workers"])
def client(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("cluster") if request.param == "workers" else None
