"""Runs of their own that tests start end with them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

import stargazer as sg
from stargazer.tools.apart import is_alive


@pytest.fixture(autouse=True)
def drivers_end(store: sg.Store) -> Iterator[None]:
    """End the drivers that a test leaves."""
    yield
    for run in sg.runs.list(store):
        pid = run.where["pid"]
        if pid and pid != os.getpid() and is_alive(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
