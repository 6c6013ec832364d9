"""No stale hit for who looks for one: each change of ``hostile.txt`` is noticed, as sharply as the table says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from changes import changes

HOSTILE = changes("hostile.txt")
EXPECTED = {change.name: change.expected for change in HOSTILE}


def outcomes(folder: Path, names: list[str]) -> dict[str, Any]:
    """What came of changes, in a process that forks one for each version."""
    program = Path(__file__).with_name("hostile.py")
    command = [sys.executable, str(program), str(folder), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3_000)
    assert done.returncode == 0, done.stderr[-5_000:]
    return dict(json.loads(done.stdout))


def check(folder: Path, names: list[str]) -> None:
    found = outcomes(folder, names)
    assert found.keys() == set(names)
    wrong = {name: told["outcome"] for name, told in found.items() if told["outcome"] != EXPECTED[name]}
    assert wrong == {}, json.dumps({name: found[name]["seen"] for name in wrong}, indent=1)[-20_000:]


def test_what_hides_best_is_noticed(tmp_path: Path) -> None:
    check(tmp_path, list(EXPECTED)[::12])


@pytest.mark.slow
def test_no_change_of_the_table_is_served_stale(tmp_path: Path, short: bool) -> None:
    check(tmp_path, list(EXPECTED)[5 :: 6 if short else 1])


def test_the_table_is_long() -> None:
    assert len(EXPECTED) == len(HOSTILE) > 130
