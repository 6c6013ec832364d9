"""Random edits of real packages, as one's own code: what changes a result is never served stale."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_random_edits_are_never_served_stale(tmp_path: Path, seeds: Any) -> None:
    program = Path(__file__).with_name("edits.py")
    chosen = seeds(range(25, 50), range(1_000))  # the first 25 change no result
    command = [sys.executable, str(program), str(chosen.start), str(chosen.stop), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    print(counts)
    assert counts.get("STALE", 0) == 0, done.stderr
    assert sum(counts.values()) == len(chosen)
    assert counts.get("noticed", 0) > 0
    assert counts.get("known", 0) > 0
