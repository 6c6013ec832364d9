"""Large files go in and out in constant memory, of the service and of whoever asks it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_serve import COMMAND

import stargazer as sg
from stargazer import config

SIZE = 300 << 20 if config.variable("STARGAZER_SHORT") else 5 << 30
ROOM = 96 << 20
"""Bytes that memory may grow by, whatever the size of the file."""

CLIENT = """
import resource, sys
from pathlib import Path
import stargazer as sg

url, path, store = sys.argv[1:]
Path("small.bin").write_bytes(b"small")
client = sg.ServiceClient(url, store=sg.Store(store))
client.fetch(client.add("small.bin"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
added = client.add(path)
fetched = client.fetch(added)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(added.cid, fetched.stat().st_size, (after - before) << 10)
"""


def peak(process: int) -> int:
    """The most memory that a process ever had, in bytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def write(path: Path, size: int) -> None:
    """A file whose blocks all differ, and cost nothing to make."""
    piece = os.urandom(1 << 20)
    with path.open("wb") as file:
        for number in range(size >> 20):
            file.write(number.to_bytes(8, "big") + piece[8:])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.timeout(3600)
def test_large_files_take_no_memory(tmp_path: Path) -> None:
    write(tmp_path / "large.bin", SIZE)
    (tmp_path / "small").mkdir()
    command = [*COMMAND, "serve", "--port", "0", "--store", str(tmp_path / "served")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        small = sg.ServiceClient(url, store=sg.Store(str(tmp_path / "small" / "store")))
        (tmp_path / "x.bin").write_bytes(b"x")
        small.fetch(small.add(tmp_path / "x.bin"))
        before = peak(server.pid)
        words = [sys.executable, "-c", CLIENT, url, str(tmp_path / "large.bin"), str(tmp_path / "mine")]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        if done.returncode:
            server.terminate()  # nobody would end it, and the test would wait for it
        assert not done.returncode, done.stderr
        cid, size, grown = done.stdout.split()
        assert int(size) == SIZE
        assert sg.Store(str(tmp_path / "served")).has(cid)
        assert int(grown) < ROOM
        assert peak(server.pid) - before < ROOM
        server.terminate()
