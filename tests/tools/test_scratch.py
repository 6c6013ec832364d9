"""Scratch directories are used again, and no call meets what another left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stargazer.errors import Cancelled, StoreFull
from stargazer.tools import INPUTS, Scratch, Workdir
from stargazer.tools import scratch as scratch_module


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


def fail(parent: Path, key: str, error: BaseException, text: str = "half") -> str | None:
    """Work in a scratch directory until an error; return where the directory should stay."""
    with pytest.raises(type(error)), Scratch(parent, key) as scratch:  # noqa: PT012 - a body that fails half-way
        (scratch.path() / "half").write_text(text)
        (scratch.path() / "locked").mkdir(0o500)
        place = scratch.kept_for(error)
        raise error
    return place


def kept(parent: Path) -> list[Path]:
    return sorted(parent.glob("failed-*"))


def test_what_a_failed_call_wrote_stays_until_it_ends_well(tmp_path: Path) -> None:
    key = "0123456789abcdef" * 4
    for text in ("first", "second"):
        place = fail(tmp_path, key, ValueError("broken"), text)
        assert kept(tmp_path) == [Path(str(place))]
        assert (kept(tmp_path)[0] / "half").read_text() == text
    with Scratch(tmp_path, "f" * 64) as scratch:
        (scratch.path() / "out").write_text("another call")
    assert len(kept(tmp_path)) == 1
    with Scratch(tmp_path, key):
        pass  # a body that writes nothing ends well, too
    assert kept(tmp_path) == []


@pytest.mark.parametrize("error", [Cancelled("by hand"), StoreFull(28, "no space left"), KeyboardInterrupt()])
def test_what_was_cancelled_or_filled_the_disk_goes(tmp_path: Path, error: BaseException) -> None:
    assert fail(tmp_path, "a" * 64, error) is None
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_nearly_full_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_module, "ROOM", 1.1)
    assert fail(tmp_path, "a" * 64, ValueError("broken")) is None
    assert list(tmp_path.iterdir()) == []


def test_what_failed_more_than_a_day_ago_goes_with_the_next_process(tmp_path: Path) -> None:
    for name, age in (("failed-old", 90_000), ("failed-new", 80_000)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    with Scratch(tmp_path) as scratch:
        scratch.path()
    assert [path.name for path in kept(tmp_path)] == ["failed-new"]


def test_a_directory_in_use_gives_signs_of_life(tmp_path: Path) -> None:
    code = """
import os, sys, time
from pathlib import Path
from stargazer.store.folders import is_in_use
from stargazer.tools import scratch as module
module.BEAT = 0.05
with module.Scratch(Path(sys.argv[1])) as scratch:
    path = scratch.path()
    os.utime(path, (0, 0))
    deadline = time.time() + 20
    while os.stat(path).st_mtime == 0:
        assert time.time() < deadline, "no sign"
        time.sleep(0.01)
    assert is_in_use(path.name, 0.0)
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
