"""What every command has: help with an example, exit codes, nothing slow to import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import stargazer as sg

COMMANDS = [
    "cid", "add", "ls", "get", "run", "plan", "trace", "fsck", "gc", "pin", "unpin", "pins", "config", "connect",
    "runs", "demo germline",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(stargazer: Callable[..., object], command: str) -> None:
    text = stargazer(*command.split(), "--help").out  # type: ignore[attr-defined]
    assert f"  stargazer {command}" in text.partition("Example")[2]
    assert "--json" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_wrong_usage_is_2(stargazer: Callable[..., object], command: str) -> None:
    stargazer(*command.split(), "--no-such-option", code=2)


def test_version_and_unknown_command(stargazer: Callable[..., object]) -> None:
    assert stargazer("--version").out.split() == ["stargazer", sg.__version__]  # type: ignore[attr-defined]
    stargazer("frobnicate", code=2)


def test_a_broken_setting_is_told(stargazer: Callable[..., object], tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.json").write_text("{")
    told = stargazer("ls", "--store", tmp_path / "store", code=1)
    assert "store.json is damaged" in told.err  # type: ignore[attr-defined]


def test_cid_imports_nothing_slow(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello world")
    source = """
import sys
from stargazer.cli import main
try:
    main()
except SystemExit as end:
    heavy = {"dask", "distributed", "fsspec", "rich", "numpy", "sqlite3", "asyncio"} & sys.modules.keys()
    print(end.code, sorted(heavy))
"""
    command = [sys.executable, "-c", source, "cid", "f"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    cid = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    assert done.stdout.splitlines() == [f"{cid}  f", "0 []"]


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}.txt").write_text(str(number))
    line = f'{sys.executable} -c "from stargazer.cli import main; main()" cid *.txt | head -n 1'
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("0.txt\n")
    assert done.stderr == ""


def test_without_stdout(tmp_path: Path) -> None:
    (tmp_path / "reads").write_text("x")
    line = 'exec "$0" -c "from stargazer.cli import main; main()" cid reads >&-'
    told = subprocess.run(["sh", "-c", line, sys.executable], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("command", ["fsck", "gc"])
def test_a_store_that_is_not_there_is_not_well(stargazer: Callable[..., object], tmp_path: Path, command: str) -> None:
    stargazer(command, "--store", tmp_path / "typo", code=1)
    assert not (tmp_path / "typo").exists()


def test_an_empty_store_is_none(stargazer: Callable[..., object], tmp_path: Path) -> None:
    stargazer("ls", "--store", "", code=1)
    (tmp_path / "file").write_text("x")
    stargazer("ls", "--store", tmp_path / "file", code=1)
