"""Notes on tools: this user's own, or none."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer import config
from stargazer.tools import identify_tool, identity


@pytest.fixture(autouse=True)
def forgetful() -> None:
    identity._identify_binary.cache_clear()


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No script: these are asked once a process, and not noted."""
    (tmp_path / "bin").mkdir()
    shutil.copy(shutil.which("sort") or "", tmp_path / "bin" / "noted")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")


def forged(note: Path) -> None:
    note.write_text(json.dumps({"name": "noted", "version": "9.9.9", "digest": "f" * 64}))


def given_away(note: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file away")
    forged(note)
    os.chown(note, 65534, 65534)


def linked(note: Path) -> None:
    other = note.with_name("other")
    forged(other)
    note.unlink()
    note.symlink_to(other)


def odd(note: Path) -> None:
    note.write_text(json.dumps({"name": "noted", "version": 9, "digest": None}))


def pipe(note: Path) -> None:
    note.unlink()
    os.mkfifo(note)


def deep(note: Path) -> None:
    note.write_text("[" * 60_000)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("change", [given_away, linked, odd, pipe, deep])
def test_a_note_that_is_not_ones_own_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    program(tmp_path, monkeypatch)
    first = identify_tool("noted")
    assert first.version not in ("unknown", "9.9.9")
    folder = config.cache_dir() / "tools"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (note,) = folder.iterdir()
    change(note)
    identity._identify_binary.cache_clear()
    assert identify_tool("noted") == first
