from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import dask.config
import pytest

from stargazer.errors import ConfigError, ToolError, ToolMissing
from stargazer.tools import identify_tool
from stargazer.tools.install import (
    DIGESTS,
    FIRST_COMPILER,
    POM,
    VERSION,
    _compare,
    class_archive,
    digest_lines,
    gatk_command,
    install_gatk,
    write_pathing_jar,
)


def pathing_jar(folder: Path, content: bytes = b"classes") -> Path:
    (folder / "lib").mkdir(parents=True)
    for name in ("a.jar", "b.jar"):
        (folder / "lib" / name).write_bytes(content + name.encode())
    write_pathing_jar(folder / "gatk.jar", ["a.jar", "b.jar"])
    return folder / "gatk.jar"


def configured(jar: Path) -> dask.config.set:
    return dask.config.set({"stargazer.gatk-jar": str(jar)})


def test_identity_is_what_runs_wherever_it_lies(tmp_path: Path) -> None:
    found = []
    for folder, content in (("here", b"classes"), ("elsewhere", b"classes"), ("other", b"changed")):
        with configured(pathing_jar(tmp_path / folder, content)):
            found.append(identify_tool("gatk"))
    assert found[0] == found[1]
    assert found[0].version == found[2].version == VERSION
    assert found[0].digest != found[2].digest


def test_a_jar_of_its_own_is_itself(tmp_path: Path) -> None:
    jar = tmp_path / "gatk-package-4.6.1.0-local.jar"
    with zipfile.ZipFile(jar, "w") as made:
        made.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\nImplementation-Version: 4.6.1.0\r\n\r\n")
    digest = hashlib.sha256(jar.read_bytes()).hexdigest()
    with configured(jar):
        assert identify_tool("gatk") == ("gatk", "4.6.1.0", digest)
    script = tmp_path / "gatk"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    link = tmp_path / "bin" / "gatk"
    link.parent.mkdir()
    link.symlink_to(script)
    with pytest.MonkeyPatch.context() as patch, dask.config.set({"stargazer.gatk-jar": None}):
        patch.setenv("PATH", str(link.parent))
        assert identify_tool("gatk") == ("gatk", "4.6.1.0", digest), "the script runs the jar beside it"
        command = gatk_command(link, heap=1 << 30, brief=False)
    assert command[:2] == [str(link), "--java-options"]
    assert "-Xmx1024m" in command[2]


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with configured(tmp_path / "nowhere.jar"), pytest.raises(ConfigError, match=r"gatk-jar.*nowhere"):
        identify_tool("gatk")
    with dask.config.set({"stargazer.gatk-jar": None}):
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ToolMissing, match="stargazer tools install gatk"):
            identify_tool("gatk")
        with pytest.raises(ToolMissing, match="openjdk-17"):
            install_gatk()
        with pytest.raises(ToolMissing, match="openjdk-17"):
            gatk_command(tmp_path / "gatk.jar", heap=1 << 30, brief=True)


def test_the_archive_of_another_java_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar, java = tmp_path / "gatk.jar", tmp_path / "java"
    java.write_text("#!/bin/sh\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not any("Shared" in word for word in gatk_command(jar, heap=1 << 30, brief=False))
    archive = class_archive(jar, str(java))
    archive.touch()
    command = gatk_command(jar, heap=1 << 30, brief=True)
    assert f"-XX:SharedArchiveFile={archive}" in command
    assert FIRST_COMPILER in command
    java.write_text("#!/bin/sh\n# updated\n")
    assert class_archive(jar, str(java)) != archive


def test_manifest_lines_are_short_and_whole(tmp_path: Path) -> None:
    names = [f"a-library-with-a-long-name-{number}.jar" for number in range(40)]
    first, second = tmp_path / "1.jar", tmp_path / "2.jar"
    write_pathing_jar(first, names)
    write_pathing_jar(second, names)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as jar:
        text = jar.read("META-INF/MANIFEST.MF").decode()
    assert max(map(len, text.split("\r\n"))) <= 72
    assert f"Class-Path: {' '.join(f'lib/{name}' for name in names)}\r\n" in text.replace("\r\n ", "")


def test_only_the_jars_that_were_tested_are_taken(tmp_path: Path) -> None:
    pathing_jar(tmp_path)
    lines = digest_lines((tmp_path / "lib").iterdir())
    _compare(lines, lines)
    for wrong in (lines[1:], [*lines, f"{'0' * 64}  c.jar\n"], [f"{'0' * 64}  a.jar\n", lines[1]]):
        with pytest.raises(ToolError, match=r"(a|c)\.jar differ; nothing was installed"):
            _compare(wrong, lines)
    listed = DIGESTS.read_text().splitlines()
    assert len(listed) == 367
    assert all(re.fullmatch(r"[0-9a-f]{64}  \S+\.jar", line) for line in listed)
    assert f"<version>{VERSION}</version>" in POM.read_text()


def test_the_real_gatk_starts(gatk: Path, tmp_path: Path, tool: Callable[[str], str]) -> None:
    tool("java")
    (tmp_path / "tmp").mkdir()
    command = gatk_command(gatk, heap=1 << 29, brief=True)
    done = subprocess.run([*command, "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"v{identify_tool('gatk').version}" in done.stdout
    if identify_tool("gatk").version == VERSION and gatk.name == "gatk.jar":
        assert identify_tool("gatk").digest == hashlib.sha256(DIGESTS.read_bytes()).hexdigest()


def test_tools_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from stargazer.cli.app import app

    for name in ("sh", "head"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(tmp_path))
    fake = tmp_path / "bwa"
    fake.write_text(f"#!{tmp_path / 'sh'}\necho Version: 0.7.17-r1188\n")
    fake.chmod(0o755)
    with configured(pathing_jar(tmp_path / "gatk")):
        rows = {row["tool"]: row for row in json.loads(CliRunner().invoke(app, ["tools", "--json"]).stdout)["tools"]}
        table = CliRunner().invoke(app, ["tools"]).stdout
    assert (rows["bwa"]["there"], rows["bwa"]["path"]) == (True, str(fake))
    assert rows["bwa"]["digest"] == hashlib.sha256(fake.read_bytes()).hexdigest()
    assert rows["gatk"]["version"] == VERSION
    assert rows["pysam"]["there"]
    assert not rows["samtools"]["there"]
    assert rows["samtools"]["how"] == "apt-get install samtools"
    assert re.search(r"^samtools +– +– +no +apt-get install samtools$", table, re.MULTILINE)
