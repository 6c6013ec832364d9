"""Programs that a body started by itself end with all that these have started."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from pathlib import Path

import pytest

from stargazer.tools import started


def test_what_a_program_has_started_is_found_before_that_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that ends at once leaves what it started to nobody: it would run on for ever."""
    kill, place = os.kill, tmp_path / "inner"
    ended: list[int] = []

    def ends_at_once(pid: int, number: int) -> None:
        kill(pid, number)
        ended.append(pid)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)

    shell = subprocess.Popen(["sh", "-c", f"sleep 600 & echo $! > {place}; echo; wait"], stdout=subprocess.PIPE)
    assert shell.stdout is not None
    with shell.stdout:
        shell.stdout.readline()
    monkeypatch.setattr(started.os, "kill", ends_at_once)
    started.end_programs(threading.get_ident(), 600.0, kill=True)
    inner = int(place.read_text())
    with contextlib.suppress(ProcessLookupError):
        kill(inner, 9)
    assert ended == [shell.pid, inner]
