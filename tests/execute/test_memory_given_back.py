"""What a body freed is not kept by the process for the next one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Arrays below the size from which the C library asks the system for each, one that lives above them all.
PROGRAM = """
import os, sys
import numpy as np
import stargazer as sg
from stargazer.tools import memory

memory.LONG = float(sys.argv[1])
living = []

@sg.task
def freed(work: sg.Workdir) -> sg.Asset:
    many = [np.ones(8_000) for _ in range(6_000)]
    living.append(np.ones(8_000))
    out = work.file("sum.txt")
    out.write_text(str(sum(each[0] for each in many)))
    return sg.Asset(path=out)

with sg.Store(sys.argv[2]):
    freed().compute()
print(memory.resident(os.getpid()) // 2**20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU's C library alone keeps it")
def test_what_a_long_body_freed_is_given_back(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    held = {}
    for longest in ("0", "1e9"):
        command = [sys.executable, "program.py", longest, str(tmp_path / longest)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        held[longest] = int(done.stdout)
    assert held["0"] < held["1e9"] - 200, held
