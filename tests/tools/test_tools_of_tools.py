"""A tool that is a process of ours, and starts tools itself: as an execution of an executor does."""

from __future__ import annotations

import os
import subprocess
import sys

from stargazer.tools.reaper import bearers
from stargazer.tools.started import OWNER

INNER = """
from stargazer.tools.process import reaper
print(reaper()._watcher.pid, flush=True)
input()
"""


def test_who_ends_it_does_not_end_what_ends_its_tools() -> None:
    mark = f"{OWNER}=of-the-outer-one"
    env = os.environ | {OWNER: "of-the-outer-one", f"INNER_{OWNER}": "of-the-outer-one"}
    process = subprocess.Popen(
        [sys.executable, "-c", INNER], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        reaper = int(process.stdout.readline())
        found = bearers(f"{mark}\0".encode())
        process.communicate("\n")
    assert process.pid in found
    assert reaper not in found
