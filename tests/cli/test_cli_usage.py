"""What every command has: help with an example, exit codes, nothing slow to import."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("pin ../x bafkreidlq2zhh7zu7tqz224aj37vup2xi6w2j2vcf4outqa6klo3pb23jm", "no name for a pin"),
        ("unpin ../x", "no name for a pin"),
        ("run germline_short_variant_discovery build=x --on nosuch", "there is no profile 'nosuch'"),
        ("run germline_short_variant_discovery build=x --on local --workers many", "a number from 1"),
        ("connect nosuch", "there is no profile 'nosuch'"),
        ("add file --companion zzz", "'zzz': a companion is a file"),
        ("add file --companion reference_index=zzz", "there is no such file"),
    ],
)
def test_what_is_not_understood_is_2(stargazer: Callable[..., Any], command: str, told: str) -> None:
    Path("file").write_text("x")
    assert told in " ".join(stargazer(*command.split(), code=2).err.split())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def (", "broken.py, line 1: invalid syntax: def ("),
        ("import stargazer\nimport nosuchthing", "broken.py, line 2: No module named 'nosuchthing'"),
        ("\n1 / 0", "broken.py, line 2: ZeroDivisionError"),
        ("import stargazer as sg\n@sg.task(tool=['x'])\ndef f(work): ...", "did you mean 'tools'?"),
    ],
)
def test_a_workflow_file_that_cannot_be_imported(stargazer: Callable[..., Any], text: str, told: str) -> None:
    Path("broken.py").write_text(text)
    assert told in stargazer("plan", "broken.py:go", code=1).err


READ_ONLY = """
import sys
import stargazer as sg
from stargazer.errors import StoreReadOnly

@sg.task
def number(work: sg.Workdir, *, i: int) -> sg.Asset:
    out = work.file("number.txt")
    out.write_text(str(i))
    return sg.Asset(path=out)

first = number(i=1).compute().cid
if "again" in sys.argv:
    for what in (lambda: number(i=2).compute(), lambda: sg.run(number(i=2)), lambda: sg.add("number.txt")):
        try:
            what()
        except StoreReadOnly as error:
            print(error)
"""


def test_a_store_that_can_only_be_read(tmp_path: Path) -> None:
    """What is known is still found; what is new is told clearly."""
    (tmp_path / "number.txt").write_text("x")
    (tmp_path / "program.py").write_text(READ_ONLY)
    subprocess.run([sys.executable, "program.py"], cwd=tmp_path, check=True)
    places = [tmp_path / "default-store", *(tmp_path / "default-store").rglob("*")]
    for place in filter(Path.is_dir, places):
        place.chmod(0o555)
    # What root may do everywhere is taken from it.
    plain = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    try:
        done = subprocess.run(
            [*plain, sys.executable, "program.py", "again"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    finally:
        for place in filter(Path.is_dir, places):
            place.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cannot write") == 3
    assert done.stdout.count("can be read, but new calls want one that can be written to") == 3


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
