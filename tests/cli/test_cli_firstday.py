"""What a new user meets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import stargazer as sg
from stargazer.cli.app import app

Run = Callable[..., Any]

FLOW = """
import stargazer as sg

@sg.task
def count(work: sg.Workdir, reads: sg.R1, masks: list[sg.Asset] | None = None, *, n: int = 1) -> sg.Asset:
    out = work.file("count.txt")
    work.run(["cat", reads.path], stdout=out)
    return sg.Asset(path=out)

@sg.task
def breaks(work: sg.Workdir, reads: sg.R1) -> sg.Asset:
    work.run(["ls", "no-such-file-here"])
    return sg.Asset(path=work.file("never"))

def counted(reads: sg.R1, n: int = 1) -> sg.Call:
    return count(reads, n=n)

def broken(reads: sg.R1) -> sg.Call:
    return breaks(reads)
"""


@pytest.fixture
def flow(stargazer: Run, request: pytest.FixtureRequest) -> str:
    name = f"first_{abs(hash(request.node.name)) % 10**8}.py"
    Path(name).write_text(FLOW)
    Path("s1_R1.fq").write_text("@r\nA\n+\nI\n")
    return name


def test_a_failure_is_one_object_with_the_logs(stargazer: Run, flow: str, tmp_path: Path) -> None:
    told = stargazer("run", f"{flow}:broken", "reads=s1_R1.fq", "--add", "--json", "--store", tmp_path / "s", code=1)
    found = told.json
    assert found["error"]["type"] == "RunFailed"
    assert found["run"].startswith("broken-")
    (failure,) = found["failures"]
    assert failure["type"] == "ToolFailed"
    assert "ls no-such-file-here" in failure["log"]
    assert failure["record"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("get bafkreihcrxxpz6klyar", 1), ("get nothing", 2), ("run no_such_flow", 2), ("describe mark_duplicates", 2),
        ("ls asset=r9", 2), ("trace bafkreidlq2zhh7zu7tqz224aj37vup2xi6w2j2vcf4outqa6klo3pb23jm", 1),
        ("names nobody", 1), ("log nothing", 1), ("run samtools_stats", 2), ("config nosuch", 2),
    ],
)  # fmt: skip
def test_every_failure_is_one_object(stargazer: Run, tmp_path: Path, command: str, code: int) -> None:
    sg.Store(tmp_path / "s").blobs.put_bytes(b"x")
    store = [] if command.startswith(("config", "describe")) else ["--store", f"{tmp_path}/s"]
    told = stargazer(*command.split(), "--json", *store, code=code)
    assert set(told.json) == {"error"}
    assert told.json["error"]["message"]


@pytest.mark.parametrize("typed", [["--json"], ["--json", "ls"], ["--nothing", "ls", "--json"]])
def test_what_is_no_command_is_one_object_too(stargazer: Run, typed: list[str]) -> None:
    assert stargazer(*typed, code=2).json["error"]["type"] == "Usage"


def test_lists_stand_under_a_name(stargazer: Run, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "s", "--json")
    Path("a.txt").write_text("abc")
    added = stargazer("add", "a.txt", *store).json
    (place,) = stargazer("where", added["cid"], *store).json["places"]
    assert (place["has"], place["size"]) == (True, 3)
    stargazer("export", added["cid"], "--car", "a.car", *store)
    assert stargazer("import", "a.car", *store).json == {"cids": [added["cid"]]}


def test_what_names_an_asset_elsewhere_names_one_for_where_and_ls(stargazer: Run, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "s", "--json")
    for name in ("a", "b"):
        Path(f"{name}.txt").write_text(name)
    added, other = (stargazer("add", f"{name}.txt", *store).json for name in ("a", "b"))
    stargazer("name", "demo/a", added["id"], *store)
    cid = added["cid"]
    short = f"{cid[:10]}…{cid[-4:]}"
    for text in (
        cid[:16],
        short,
        added["id"][:12],
        added["id"],
        "demo/a@1",
        "demo/a@latest",
        added["uri"],
        f"ipfs://{cid}",
    ):
        (place,) = stargazer("where", text, *store).json["places"]
        assert (place["has"], place["size"]) == (True, 1), text
    for text in (cid, cid[:16], short):
        assert [each["cid"] for each in stargazer("ls", f"cid={text}", *store).json["assets"]] == [cid]
    with sg.Store(tmp_path / "s"):
        assert [each.cid for each in sg.assemble(cid=[cid[:16], other["cid"]])] == [cid, other["cid"]]
        for number in range(33):  # CIDs differ by one of 32 letters there, so two of these begin alike
            Path("n.txt").write_text(str(number))
            sg.add("n.txt")
        begins = Counter(each.cid[:8] for each in sg.assemble(asset="asset"))
        with pytest.raises(sg.errors.NotFound, match="not unique"):
            sg.assemble(cid=begins.most_common(1)[0][0])
    gone = stargazer("ls", "cid=bafkreizzzzzz", *store, code=1).json
    assert "bafkreizzzzzz" in gone["missing"]


def test_a_file_where_an_asset_is_wanted(stargazer: Run, flow: str, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "s")
    told = stargazer("run", f"{flow}:counted", "reads=s1_R1.fq", *store, code=2).err
    assert "stargazer add s1_R1.fq --as r1" in " ".join(told.split())
    result = stargazer("run", f"{flow}:counted", "reads=s1_R1.fq", "--add", "--json", *store).json
    assert result["tasks_run"] == 1
    (reads,) = sg.Store(tmp_path / "s").find(asset="r1")
    assert reads.name == "s1_R1.fq"
    listed = stargazer("run", f"{flow}:count", "reads=s1_R1.fq", f"masks=s1_R1.fq,{reads.id[:12]}", "--add", *store)
    assert listed.out


def test_no_message_is_pythons_own(stargazer: Run, flow: str, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "s")
    told = stargazer("plan", f"{flow}:counted", "reads=s1_R1.fq", "--add", "n=x", *store, code=2).err
    assert "n=x: is no whole number" in told
    assert "invalid literal" not in told
    listed = stargazer("run", flow, *store, code=2).err
    assert all(name in listed for name in ("count", "counted", "broken"))


def test_runs_shows_the_time_that_run_showed(stargazer: Run, flow: str, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "s", "--json")
    ran = stargazer("run", f"{flow}:counted", "reads=s1_R1.fq", "--add", *store).json
    (noted,) = stargazer("runs", ran["run"], *store).json["runs"]
    assert noted["seconds"] > 0
    assert noted["seconds"] == pytest.approx(ran["seconds"], abs=0.2)


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found = []
    for name, command in group.commands.items():
        inner = commands(command, (*path, name)) if hasattr(command, "commands") else []
        found += inner or [((*path, name), command)]
    return found


COMMANDS = commands(get_command(app))
WITHOUT_STORE = {
    "cid", "tasks", "describe", "completion", "config", "keys", "tools", "remotes", "bundles", "delete", "worker",
}  # fmt: skip
OF_FILES = {"new", "scan", "pair", "sync", "diff", "status", "audit", "check", "migrate", "lab", "env"}
"""Commands of notebooks as files: they open no store."""


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_every_command_has_an_example_json_and_a_store(path: tuple[str, ...], command: Any) -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    assert f"stargazer {' '.join(path)}" in (command.epilog or "")
    assert "--json" in options
    without = path[0] in WITHOUT_STORE or (path[0] == "nb" and path[1] in OF_FILES)
    assert "--store" in options or without


@pytest.mark.parametrize(
    "asked",
    [
        {"COMP_WORDS": "stargazer des", "COMP_CWORD": "1", "_STARGAZER_COMPLETE": "complete_bash"},
        {"_TYPER_COMPLETE_ARGS": "stargazer des", "_STARGAZER_COMPLETE": "complete_zsh"},
        {"_TYPER_COMPLETE_ARGS": "stargazer des", "_TYPER_COMPLETE_FISH_ACTION": "get-args",
         "_STARGAZER_COMPLETE": "complete_fish"},
    ],
)  # fmt: skip
def test_shells_complete_commands(stargazer: Run, asked: dict[str, str]) -> None:
    shell = asked["_STARGAZER_COMPLETE"].partition("_")[2]
    assert "_STARGAZER_COMPLETE=complete_" + shell in stargazer("completion", shell).out
    command = [sys.executable, "-c", "from stargazer.cli import main; main()"]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert "describe" in done.stdout, done.stderr
