"""`stargazer add`, `ls`, `get`, `pin`, `gc` and `fsck`."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.cid import cid_of_path

Run = Callable[..., "object"]


@pytest.fixture
def reads(stargazer: Run) -> str:
    """CID of reads in the store."""
    Path("s1_R1.fq").write_text("@r\nACGT\n+\nIIII\n")
    return stargazer("add", "s1_R1.fq", "--as", "r1", "--fact", "sample_id=s1").out.split()[0]


def test_add_prints_what_cid_prints(stargazer: Run, reads: str) -> None:
    assert stargazer("cid", "s1_R1.fq").out.split()[0] == reads
    (asset,) = sg.assemble(asset="r1")
    assert (asset.cid, asset.sample_id, asset.name) == (reads, "s1", "s1_R1.fq")


def test_facts_have_their_types(stargazer: Run) -> None:
    Path("v.vcf").write_text("x")
    facts = ["--fact", "sample_count=3", "--fact", 'source_samples=["a","b"]']
    added = stargazer("add", "v.vcf", "--as", "variants", *facts, "--name", "cohort.vcf", "--json").json
    assert added["facts"]["sample_count"] == 3
    assert added["name"] == "cohort.vcf"
    assert sg.Store.get(sg.active_store(), added["id"]).sample_count == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--as", "variants", "--fact", "sample_count=many"], "sample_count"),
        (["--as", "r1", "--fact", "sampel_id=s1"], "sample_id"),
        (["--as", "red1"], "r1"),
        (["--fact", "sample_id"], "name=value"),
        (["--fact", "cid=x"], "--as"),
    ],
)
def test_wrong_facts_are_wrong_usage(stargazer: Run, arguments: list[str], told: str) -> None:
    Path("f").write_text("x")
    assert told in stargazer("add", "f", *arguments, code=2).err
    assert not sg.active_store().made, "something was stored all the same"


def test_add_a_missing_file(stargazer: Run) -> None:
    assert "missing.bam" in stargazer("add", "missing.bam", code=1).err


def test_companions_come_along(stargazer: Run, tmp_path: Path) -> None:
    Path("ref.fa").write_text(">c\nA\n")
    Path("ref.fa.fai").write_text("c\t1\t3\t1\t2\n")
    added = stargazer("add", "ref.fa", "--as", "reference", "--companion", "reference_index=ref.fa.fai", "--json").json
    assert [each["type"] for each in added["companions"]] == ["reference_index"]
    got = stargazer("get", added["cid"], "--out", tmp_path / "out", "--json").json
    assert got["path"] == str(tmp_path / "out"), "a path that is no directory is the copy's"
    got = stargazer("get", added["id"], "--out", f"{tmp_path}/folder/", "--json").json
    assert Path(got["path"]).read_text() == ">c\nA\n"
    assert [Path(each).name for each in got["companions"]] == ["ref.fa.fai"]


def test_get_gives_the_real_name_and_replaces_nothing(stargazer: Run, reads: str) -> None:
    Path("s1_R1.fq").write_text("mine")
    assert "s1_R1.fq is there already" in stargazer("get", reads, code=1).err
    assert Path("s1_R1.fq").read_text() == "mine"
    assert stargazer("get", reads, "--force").out == "s1_R1.fq\n"
    assert cid_of_path("s1_R1.fq") == reads
    Path("s1_R1.fq").write_text("the copy is the user's own")
    stargazer("get", reads, "--out", "copy.fq")
    assert cid_of_path("copy.fq") == reads
    assert sorted(os.listdir(".")) == ["copy.fq", "s1_R1.fq"], "something was left behind"


def test_get_a_directory(stargazer: Run) -> None:
    Path("tree/sub").mkdir(parents=True)
    Path("tree/sub/f").write_text("f")
    name = stargazer("add", "tree").out.split()[0]
    stargazer("get", name, "--out", "copy")
    assert cid_of_path("copy") == name
    assert stargazer("get", name).out == "tree\n", "it is there, and the same"
    Path("tree/more").write_text("mine")
    assert "already" in stargazer("get", name, code=1).err
    stargazer("get", name, "--force")
    assert cid_of_path("tree") == name


def test_get_what_is_not_there(stargazer: Run, reads: str) -> None:
    other = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    assert other in stargazer("get", other, code=1).err
    stargazer("get", "f" * 64, code=1)
    assert "neither a CID nor the id" in stargazer("get", "s1_R1.fq", code=2).err


def test_ls_filters(stargazer: Run, reads: str) -> None:
    Path("s2.fq").write_text("@r\nA\n+\nI\n")
    stargazer("add", "s2.fq", "--as", "r1", "--fact", "sample_id=s2")
    rows = [line.split("\t") for line in stargazer("ls", "asset=r1").out.splitlines()]
    assert [row[1:] for row in rows] == [["r1", "s1_R1.fq", "sample_id=s1"], ["r1", "s2.fq", "sample_id=s2"]]
    assert rows[0][0] == reads
    assert len(stargazer("ls", "sample_id=s1", "sample_id=s2", "--json").json["assets"]) == 2
    assert [each["cid"] for each in stargazer("ls", "asset=r1", "sample_id=s1", "--json").json["assets"]] == [reads]
    assert stargazer("ls", "asset=variants", "--json").json == {"assets": []}
    assert stargazer("ls", "asset=variants").out == ""


def test_ls_shows_what_there_is_and_tells_what_is_not(stargazer: Run, reads: str) -> None:
    both = stargazer("ls", "asset=r1", "sample_id=s1", "sample_id=s3", code=1)
    assert both.out.startswith(f"{reads}\tr1\t")
    assert "has no r1 with sample_id='s3'\n" in both.err
    some = stargazer("ls", "sample_id=s1", "sample_id=s3", "--json", code=1).json
    assert [each["cid"] for each in some["assets"]] == [reads]
    none = stargazer("ls", "sample_id=s3", "--json", code=1)
    assert none.json["assets"] == []
    assert "sample_id='s3'" in none.json["missing"]
    assert "sample_id='s3'" in none.err
    assert stargazer("ls", "sample_id=s3", code=1).out == ""


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("asset=r1 sampel_id=s1", "Did you mean sample_id?"),
        ("sampel_id=s1", "Did you mean sample_id?"),
        ("asset=r3", "Did you mean r"),
        ("asset=bam", "no asset type 'bam'"),
        ("s1", "name=value"),
        ("asset=variants sample_count=many", "sample_count"),
    ],
)
def test_ls_refuses_filters_that_can_match_nothing(stargazer: Run, wrong: str, told: str) -> None:
    assert told in " ".join(stargazer("ls", *wrong.split(), code=2).err.replace("│", " ").split())


def test_add_names_the_nearest_type(stargazer: Run) -> None:
    Path("f.fq").write_text("@r\nA\n+\nI\n")
    err = stargazer("add", "f.fq", "--as", "referense", code=2).err
    assert "Did you mean reference?" in " ".join(err.replace("│", " ").split())
    assert "Did you mean sample_id?" in stargazer("add", "f.fq", "--as", "r1", "--fact", "sampel_id=s1", code=2).err


def test_ls_in_a_terminal_is_a_table(stargazer: Run, reads: str) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from stargazer.cli import main; main()", "ls"]
    process = subprocess.Popen(command, stdout=theirs, env=os.environ | {"TERM": "xterm", "COLUMNS": "80"})
    os.close(theirs)
    assert process.wait(60) == 0
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "cid" in shown
    assert "1 asset; CIDs in full" in shown
    assert f"{reads[:8]}…{reads[-4:]}" in shown


def test_store_option_and_configured_store_are_two(stargazer: Run, reads: str, tmp_path: Path) -> None:
    assert "there is no store at" in stargazer("ls", "--store", tmp_path / "other", "--json", code=1).err
    assert not (tmp_path / "other").exists(), "looking made a store"


def test_pins_keep_what_gc_would_take(stargazer: Run, reads: str) -> None:
    sg.active_store().delete(sg.active_store().get(reads))
    stargazer("pin", "paper", reads)
    assert [each["cid"] for each in stargazer("pins", "--json").json["paper"]] == [reads]
    assert stargazer("pins").out.split()[:2] == ["paper", reads]
    stargazer("gc", "--grace", "0")
    stargazer("get", reads, "--out", "kept.fq")
    stargazer("unpin", "paper")
    would = stargazer("gc", "--grace", "0", "--dry-run", "--json").json
    assert would["dry_run"] is True
    assert any(reads in place for place in would["removed"])
    assert stargazer("gc", "--grace", "0").out.startswith("removed ")
    stargazer("get", reads, "--out", "gone.fq", code=1)
    stargazer("unpin", "paper", code=1)


def test_gc_keeps_what_is_young(stargazer: Run, reads: str) -> None:
    sg.active_store().delete(sg.active_store().get(reads))
    assert stargazer("gc", "--json").json["removed"] == []
    stargazer("gc", "--grace", "soon", code=2)


def test_pin_of_what_is_not_there(stargazer: Run, reads: str) -> None:
    stargazer("pin", "paper", "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", code=1)
    assert stargazer("pins", "--json").json == {}


def test_fsck(stargazer: Run, reads: str) -> None:
    checked = stargazer("fsck", "--json").json
    assert (checked["ok"], checked["files"]) == (True, 1)
    assert "all good" in stargazer("fsck").out
    blob = next(path for path in Path(sg.active_store().url.removeprefix("file://")).rglob(reads))
    blob.chmod(0o600)
    blob.write_text("!")
    answer = stargazer("fsck", "--json", code=1)
    assert answer.json["corrupt"] == [reads]
    assert "1 corrupt" in answer.err
