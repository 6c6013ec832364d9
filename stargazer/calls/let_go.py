"""Keys that a Dask client holds keep their old inputs and failures: they must go before they can run anew."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from distributed import Client

__all__ = ["default_client", "until_let_go"]

WITHIN = 2.0
"""Seconds to wait for futures to go; a user's own futures of the same keys do not."""


def until_let_go(client: Client | None, keys: Iterable[str]) -> None:
    """Wait until a client has noticed that its futures were released."""
    held, deadline = set(keys), time.monotonic() + WITHIN
    while client is not None and held & client.futures.keys() and time.monotonic() < deadline:
        time.sleep(0.001)


def default_client() -> Client | None:
    """Return the client that Dask computes with by default, if there is one; never makes one."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client as find

    try:
        client: Client = find()
    except ValueError:
        return None
    return client
