"""Scratch directories are used again, and no call meets what another left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stargazer.tools import INPUTS, Scratch, Workdir


def test_a_body_that_writes_nothing_costs_no_directory(tmp_path: Path) -> None:
    with Scratch(tmp_path / "tmp") as scratch:
        Workdir(scratch.path)
    assert not (tmp_path / "tmp").exists()


def test_the_next_call_finds_an_empty_directory_under_another_name(tmp_path: Path) -> None:
    with Scratch(tmp_path) as first:
        (first.path() / "out.txt").write_text("1")
        (first.path() / "link").symlink_to("out.txt")
        (first.path() / INPUTS / "reads").mkdir(parents=True)
        (first.path() / INPUTS / "reads" / "r.fq").write_text("ACGT")
        inode = first.path().stat().st_ino
    with Scratch(tmp_path) as second:
        assert second.path() != first.path()
        assert second.path().stat().st_ino == inode
        assert [path for path in second.path().rglob("*") if not path.is_dir()] == []
        with pytest.raises(FileNotFoundError):
            (first.path() / "late.txt").write_text("a thread that outlived its call")


def test_two_calls_at_once_have_two_directories(tmp_path: Path) -> None:
    with Scratch(tmp_path) as first, Scratch(tmp_path) as second:
        assert first.path() != second.path()
    with Scratch(tmp_path) as first, Scratch(tmp_path) as second:
        assert first.path() != second.path()


def test_a_directory_in_which_a_tool_ran_is_not_used_again(tmp_path: Path) -> None:
    with Scratch(tmp_path) as scratch:
        Workdir(scratch.path).run(["true"])
        (scratch.path() / "locked").mkdir(0o500)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_call_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), Scratch(tmp_path) as scratch:
        os.mkdir(scratch.path())
    assert list(tmp_path.iterdir()) == []


def test_forks_do_not_share_and_a_process_that_ends_leaves_nothing(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from stargazer.tools import Scratch
parent = Path(sys.argv[1])
with Scratch(parent) as scratch:
    (scratch.path() / "inputs").mkdir()
child = os.fork()
with Scratch(parent) as scratch:
    (scratch.path() / str(os.getpid())).touch()
    names = os.listdir(scratch.path())
    assert sorted(set(names) - {"inputs"}) == [str(os.getpid())], names
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, env=os.environ)
    assert list(tmp_path.iterdir()) == []
