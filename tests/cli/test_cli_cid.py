"""`stargazer cid`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer import cid

HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"

Run = Callable[..., "object"]


@pytest.fixture
def big() -> bytes:
    """A little more than three chunks; neither end is what tests put there, which chance makes of one in 256."""
    return b"." + os.urandom(3 * 262144 + 3) + b"."


def test_lines_as_sha256sum_writes_them(stargazer: Run) -> None:
    Path("a").write_bytes(b"hello world")
    Path("d/.hidden").mkdir(parents=True)
    Path("d/.hidden/x").write_bytes(b"x")
    Path("new\nline").write_bytes(b"hello world")
    lines = stargazer("cid", "a", "d", "./a", "new\nline").out.splitlines()
    assert lines == [f"{HELLO}  a", f"{cid.cid_of_path('d')}  d", f"{HELLO}  ./a", f"\\{HELLO}  new\\nline"]


def test_stdin(stargazer: Run) -> None:
    assert stargazer("cid", "-", stdin=b"hello world").out == f"{HELLO}  -\n"


def test_json_is_one_value(stargazer: Run) -> None:
    Path("a").write_bytes(b"hello world")
    assert stargazer("cid", "--json", "a").json == {"named": [{"cid": HELLO, "path": "a"}]}


def test_profile(stargazer: Run, big: bytes) -> None:
    Path("big").write_bytes(big)
    out = stargazer("cid", "--profile", "unixfs-v1-2025", "big").out
    assert out.split()[0] == cid.cid_of_bytes(big, cid.UNIXFS_2025) != cid.cid_of_bytes(big)
    assert "unixfs-v1-2025" in stargazer("cid", "--profile", "sha1", "big", code=2).err


def test_one_that_fails_does_not_stop_the_others(stargazer: Run) -> None:
    Path("a").write_bytes(b"hello world")
    answer = stargazer("cid", "missing", "a", code=1)
    assert answer.out == f"{HELLO}  a\n"
    assert "missing: No such file or directory" in answer.err


def test_symlinks_are_refused_unless_asked_for(stargazer: Run) -> None:
    Path("a").write_bytes(b"hello world")
    Path("l").symlink_to("a")
    assert "symlink" in stargazer("cid", "l", code=1).err
    assert stargazer("cid", "--follow-symlinks", "l").out == f"{HELLO}  l\n"


def test_check(stargazer: Run, big: bytes) -> None:
    Path("big").write_bytes(big)
    name = cid.cid_of_bytes(big)
    assert stargazer("cid", "--check", name, "big").out == "big: OK\n"
    old = cid.cid_of_bytes(big, cid.UNIXFS_2025)
    assert stargazer("cid", "--check", old, "big").out == "big: OK\n", "a CID of another profile names it as well"


def test_check_without_a_store_knows_the_whole_only(stargazer: Run, big: bytes) -> None:
    Path("big").write_bytes(big)
    name = cid.cid_of_bytes(big)
    Path("big").write_bytes(b"!" + big[1:])
    answer = stargazer("cid", "--check", name, "--json", "big", code=1)
    assert answer.json == {
        "path": "big",
        "ok": False,
        "expected": name,
        "found": cid.cid_of_path("big"),
        "parts": ["the whole file"],
    }


def test_check_says_which_bytes_where_the_store_knows_them(stargazer: Run, big: bytes) -> None:
    Path("big").write_bytes(big)
    name = stargazer("add", "big").out.split()[0]
    Path("big").write_bytes(big[:300_000] + bytes([big[300_000] ^ 1]) + big[300_001:])
    answer = stargazer("cid", "--check", name, "big", code=1)
    assert "bytes 262144-524287" in answer.err
    assert answer.out == ""


def test_check_names_the_files_of_a_directory(stargazer: Run, big: bytes) -> None:
    Path("d/sub").mkdir(parents=True)
    Path("d/sub/big").write_bytes(big)
    Path("d/same").write_bytes(b"same")
    Path("d/gone").write_bytes(b"gone")
    name = stargazer("add", "d").out.split()[0]
    Path("d/gone").unlink()
    Path("d/new").write_bytes(b"new")
    Path("d/sub/big").write_bytes(big[:-1] + b"!")
    answer = stargazer("cid", "--check", name, "--json", "d", code=1)
    assert answer.json["parts"] == ["gone: missing", "new: not in the expected tree", "sub/big: bytes 786432-786436"]


@pytest.mark.parametrize("arguments", [["nonsense", "a"], [HELLO, "a", "b"], [HELLO, "-"]])
def test_wrong_checks(stargazer: Run, arguments: list[str]) -> None:
    Path("a").write_bytes(b"hello world")
    stargazer("cid", "--check", *arguments, code=2)


def test_names_that_are_not_text(tmp_path: Path) -> None:
    name = b"\xff\xfe.fa"
    (tmp_path / os.fsdecode(name)).write_bytes(b"hello world")
    command = [sys.executable, "-c", "from stargazer.cli import main; main()", "cid"]
    done = subprocess.run([*command, name], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == f"{HELLO}  ".encode() + name + b"\n"
    done = subprocess.run([*command, "--json", name], cwd=tmp_path, capture_output=True, check=True)
    assert os.fsencode(json.loads(done.stdout)["named"][0]["path"]) == name


def test_check_of_a_missing_file_failed(stargazer: Run) -> None:
    assert "No such file" in stargazer("cid", "--check", HELLO, "missing", code=1).err
