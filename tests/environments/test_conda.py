"""Environments of conda: what counts is the lock file, which must have what the environment asks for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest
import yaml

import stargazer as sg
from stargazer.errors import DefinitionError, ToolFailed, ToolMissing
from stargazer.tools.condalock import conda_platform, read_lock
from stargazer.tools.enclosure import build

pytestmark = pytest.mark.usefixtures("store")

ENV = """
name: tools
channels: [conda-forge, bioconda]
dependencies:
  - shout =1.2
  - bioconda::libshout >=3,<4
"""
HASH = "0123456789abcdef" * 2
CHANNEL = "https://conda.example/linux-64"
LOCK = f"""# made by hand
@EXPLICIT
{CHANNEL}/shout-1.2.1-h1_0.conda#{HASH}
{CHANNEL}/libshout-3.4-0.tar.bz2#{HASH}
"""

CLIENT = f"""#!{sys.executable}
# Stands in for micromamba, which comes from no registry that is reached here: makes of each package one command.
import json, pathlib, sys

if "--version" in sys.argv:
    print("2.0.5")
    raise SystemExit
assert sys.argv[1:3] == ["create", "--yes"], sys.argv
prefix = pathlib.Path(sys.argv[sys.argv.index("--prefix") + 1])
lines = pathlib.Path(sys.argv[sys.argv.index("--file") + 1]).read_text().split()
assert lines.pop(0) == "@EXPLICIT"
(prefix / "conda-meta").mkdir(parents=True)
(prefix / "bin").mkdir()
for line in lines:
    url, _, digest = line.partition("#")
    stem = url.rpartition("/")[2].removesuffix(".conda").removesuffix(".tar.bz2")
    if "broken" in stem:
        sys.exit("no such package in any channel")
    if "left" not in stem:
        (prefix / f"conda-meta/{{stem}}.json").write_text(json.dumps({{"md5": digest}}))
    command = prefix / "bin" / stem.rsplit("-", 2)[0]
    command.write_text('#!/bin/sh\\ntr a-z A-Z\\necho "' + stem + ' $CONDA_PREFIX" >&2\\n')
    command.chmod(0o755)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an environment and its lock; a client of conda is on PATH."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    here = tmp_path / "steps"
    (tmp_path / "bin").mkdir()
    here.mkdir()
    (here / "env.yml").write_text(ENV)
    (here / "env.lock").write_text(LOCK)
    client = tmp_path / "bin/micromamba"
    client.write_text(CLIENT)
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    return here


def body(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
    out = work.file("out.txt")
    work.pipe(["cat", words.path], ["shout"], stdout=out)
    return sg.Asset(path=out)


@pytest.fixture
def words(tmp_path: Path) -> sg.Asset:
    path = tmp_path / "words.txt"
    path.write_text("hello\n")
    return sg.add(path)


STEPS = """
import stargazer as sg

@sg.task(conda="env.yml", tools=["shout"])
def shouted(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
    out = work.file("out.txt")
    work.pipe(["cat", words.path], ["shout"], stdout=out)
    return sg.Asset(path=out)
"""


def test_built_once_it_runs_tools_and_the_record_says_which(
    folder: Path, words: sg.Asset, stargazer: Callable[..., Any], store: sg.Store
) -> None:
    (folder / "steps.py").write_text(STEPS)
    source = f"conda:{folder / 'env.yml'}"
    call = sg.task(conda=str(folder / "env.yml"))(body)(words)
    with pytest.raises(ToolMissing, match=r"env\.yml was not built here: stargazer tools build"):
        sg.run(call).result()
    (row,) = stargazer("tools", "build", folder / "steps.py", "--json").json["environments"]
    assert (row["environment"], row["there"], row["tasks"]) == (source, True, ["shouted"])
    made = sg.run(call).result()
    assert made.fetch().read_text() == "HELLO\n"
    record = sg.trace(made).records[0]
    assert record.environment == {
        "kind": "conda", "source": str(folder / "env.yml"), "runtime": "micromamba 2.0.5",
        "digest": f"sha256:{row['digest']}",
    }  # fmt: skip
    assert (record.reads, list(record.noted)) == ({}, [])
    assert record.log is not None
    assert b"shout-1.2.1-h1_0" in store.read(record.log)


def test_a_program_that_is_none_of_its_own_is_told(folder: Path, words: sg.Asset, tmp_path: Path) -> None:
    build(f"conda:{folder / 'env.yml'}")
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\ncat\n")
    other.chmod(0o755)

    @sg.task(conda=str(folder / "env.yml"))
    def foreign(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
        out = work.file("out.txt")
        work.pipe(["cat", words.path], [str(other)], stdout=out)
        return sg.Asset(path=out)

    with pytest.warns(UserWarning, match="without declaring it"):
        made = foreign(words).compute()
    assert f"!{other}" in sg.trace(made).records[0].reads


def test_the_lock_counts_and_not_where_packages_come_from(folder: Path, words: sg.Asset) -> None:
    here = sg.task(conda=str(folder / "env.yml"))(body)(words).plan_key
    (folder / "env.lock").write_text(LOCK.replace(CHANNEL, "https://mirror.example/conda/linux-64"))
    assert sg.task(conda=str(folder / "env.yml"))(body)(words).plan_key == here
    (folder / "env.yml").write_text(ENV.replace("=1.2", ">=1.2"))
    assert sg.task(conda=str(folder / "env.yml"))(body)(words).plan_key == here
    (folder / "env.lock").write_text(LOCK.replace("3.4-0", "3.5-0"))
    assert sg.task(conda=str(folder / "env.yml"))(body)(words).plan_key != here


@pytest.mark.parametrize(
    ("env", "lock", "told"),
    [
        (ENV, None, r"has no lock file beside it.*conda-lock -k explicit -p"),
        (ENV, LOCK.replace("shout-1.2.1", "shout-1.3"), r"it has shout 1\.3, and not =1\.2: make it"),
        (ENV, LOCK.replace("libshout-3.4", "libshout-4.0"), r"libshout 4\.0, and not >=3,<4"),
        (ENV, LOCK.replace("/shout-1.2.1", "/other-1.2.1"), "shout is not in it"),
        (ENV, LOCK.replace(f"#{HASH}", ""), "has no hash"),
        (ENV, LOCK.replace("@EXPLICIT", ""), "no line @EXPLICIT"),
        (ENV, "@EXPLICIT\n", "names no package"),
        (ENV + "  - pip: [x]\n", LOCK, "have those of pip from conda"),
        ("name: x\n", LOCK, "lists no dependencies"),
        (ENV.replace("=1.2", "=1.2=h2_0"), LOCK, r"and not =1\.2=h2_0"),
    ],
)
def test_a_lock_that_does_not_fit_is_refused(
    folder: Path, words: sg.Asset, env: str, lock: str | None, told: str
) -> None:
    (folder / "env.yml").write_text(env)
    (folder / "env.lock").unlink()
    if lock is not None:
        (folder / "env.lock").write_text(lock)
    with pytest.raises(DefinitionError, match=told):
        sg.task(conda=str(folder / "env.yml"))(body)(words)


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ("shout", True), ("shout *", True), ("shout 1.2.1", True), ("shout 1.2.*", True), ("shout==1.2.1", True),
        ("shout=1.2.1=h1_0", True), ("shout 1.2.1 h1_*", True), ("shout >=1.2,!=1.2.2", True), ("shout ~=1.2.0", True),
        ("shout 1.1|>=1.2", True), ("shout=1.2.10", False), ("shout==1.2", False), ("shout <1.2", False),
        ("shout ~=1.1.0", False), ("shout 1.3.*", False), ("shout !=1.2.*", False), ("shout=1", True),
    ],
)  # fmt: skip
def test_versions_are_compared_as_conda_compares_them(folder: Path, asked: str, fits: bool) -> None:
    (folder / "env.yml").write_text(yaml.safe_dump({"dependencies": [asked]}))
    if fits:
        assert [each.name for each in read_lock(folder / "env.yml").packages] == ["libshout", "shout"]
    else:
        with pytest.raises(DefinitionError, match="does not fit"):
            read_lock(folder / "env.yml")


def test_files_of_conda_lock_are_read_too(folder: Path) -> None:
    explicit = read_lock(folder / "env.yml").digest
    (folder / "env.lock").unlink()
    entries = [
        {"name": name, "version": version, "manager": "conda", "platform": platform, "hash": {"md5": HASH},
         "url": f"{CHANNEL}/{name}-{version}-{end}"}
        for platform in (conda_platform(), "plan-9")
        for name, version, end in (("shout", "1.2.1", "h1_0.conda"), ("libshout", "3.4", "0.tar.bz2"))
    ]  # fmt: skip
    (folder / "conda-lock.yml").write_text(yaml.safe_dump({"version": 1, "package": entries}))
    assert read_lock(folder / "env.yml").digest == explicit
    entries[0]["manager"] = "pip"
    (folder / "conda-lock.yml").write_text(yaml.safe_dump({"version": 1, "package": entries}))
    with pytest.raises(DefinitionError, match="come from pip"):
        read_lock(folder / "env.yml")


@pytest.mark.parametrize(
    ("package", "error", "told"),
    [("broken", ToolFailed, "no such package"), ("left", ToolMissing, "it lacks left-1-0")],
)
def test_what_could_not_be_built_leaves_nothing(
    folder: Path, words: sg.Asset, package: str, error: type[Exception], told: str
) -> None:
    (folder / "env.lock").write_text(f"{LOCK}{CHANNEL}/{package}-1-0.conda#{HASH}\n")
    with pytest.raises(error, match=told):
        build(f"conda:{folder / 'env.yml'}")
    with pytest.raises(ToolMissing, match="was not built here"):
        sg.run(sg.task(conda=str(folder / "env.yml"))(body)(words)).result()


def test_the_list_names_environments_and_what_is_missing(folder: Path, stargazer: Callable[..., Any]) -> None:
    (folder / "listed.py").write_text(STEPS)
    with dask.config.set({"stargazer.catalog": [str(folder / "listed.py")]}):
        found = stargazer("tools", "--json").json["environments"]
        assert [(row["environment"], row["there"]) for row in found] == [(f"conda:{folder / 'env.yml'}", False)]
        assert "stargazer tools build" in stargazer("tools").out
