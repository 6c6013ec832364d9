"""Memory of both ends while a large file goes there and another comes back."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from served_tasks import noise, turned

import stargazer as sg

MIB = 1 << 20
MOST = 40 * MIB
"""Three parts of 2 MiB are under way; messages are copied some times, and allocators keep some."""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are read from Linux's /proc")
@pytest.mark.parametrize("size", [96 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_file(size: int, store: sg.Store, tmp_path: Path, short: bool) -> None:
    size = min(size, 256 * MIB) if short else size
    with (tmp_path / "large").open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(4096) * 256)
    added = store.add(tmp_path / "large")
    (tmp_path / "large").unlink()
    with sg.connect("local", workers=1, store="served") as client:
        sg.run(turned(noise(seed=1, size=3 * MIB)), client=client)
        forget_peak()
        client.run(forget_peak)
        before, (far_before,) = peak(), client.run(peak).values()
        result = sg.run(turned(added), client=client).result()
        (far_after,) = client.run(peak).values()
        assert store.size(str(result.cid)) == size
        home = client.cluster.scheduler.plugins["stargazer-desk"].home  # type: ignore[union-attr]
        assert (home.sent, home.received) == (size, size + 6 * MIB + len("index of 1"))
        grown = {"home": (peak() - before) // MIB, "worker": (far_after - far_before) // MIB}
    assert max(grown.values()) < MOST // MIB, grown


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Most bytes of memory that this process had since then."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
