"""What is installed runs when it is used, and the current folder holds data before it holds code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stargazer.errors import ToolError
from stargazer.tools import install

PLUGIN = {
    "evil-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
    "evil-1.0.dist-info/entry_points.txt": "[stargazer.tasks]\nmine = evil:tasks\n",
    "evil.py": "open('RAN', 'w')\n",
}


def stargazer(folder: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, in a folder."""
    code = f"import sys; sys.path.append({str(path)!r}); from stargazer.cli import main; main()" if path else MAIN
    argv = [sys.executable, "-P", "-c", code, *arguments]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


MAIN = "from stargazer.cli import main; main()"


def test_plugins_are_named_and_not_loaded(tmp_path: Path) -> None:
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    for name, text in PLUGIN.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    done = stargazer(here, "config", "--plugins", "--json", path=site)
    assert done.returncode == 0, done.stderr
    mine = {"group": "stargazer.tasks", "name": "mine", "place": "evil:tasks", "package": "evil 1.0"}
    assert mine in json.loads(done.stdout)["plugins"]
    assert "evil:tasks" in stargazer(here, "config", "--plugins", path=site).stdout
    assert not (here / "RAN").exists()


@pytest.mark.parametrize(
    "command", [["run", "payload:main"], ["plan", "payload:main"], ["connect", "--check", "local", "--for", "payload"]]
)
def test_a_module_of_the_current_folder_is_no_code_before_it_is_named(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "payload.py").write_text("open('RAN', 'w')\ndef main(): ...\n")
    done = stargazer(tmp_path, *command)
    assert done.returncode == 2
    assert "no module 'payload' is installed" in " ".join(done.stderr.split()).replace("│ ", "")
    assert not (tmp_path / "RAN").exists()


@pytest.mark.parametrize("name", ["yaml.py", "typer.py", "pysam.py", "rich.py", "zarr.py", "dask.py"])
def test_data_of_the_current_folder_never_runs(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("open('RAN', 'w')\n")
    (tmp_path / "x.txt").write_text("x")
    for command in (["add", "x.txt", "--store", "store"], ["ls", "--store", "store"], ["config"]):
        done = stargazer(tmp_path, *command)
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "RAN").exists()


def test_what_was_installed_is_compared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lib = tmp_path / "lib"
    lib.mkdir()
    (lib / "a.jar").write_bytes(b"tested")
    digest = "".join(install.digest_lines([lib / "a.jar"]))
    (tmp_path / "digests").write_text(digest)
    monkeypatch.setattr(install, "DIGESTS", tmp_path / "digests")
    install._compare_installed(tmp_path)
    for change in (lambda: (lib / "a.jar").write_bytes(b"changed"), lambda: (lib / "b.jar").write_bytes(b"more")):
        change()
        with pytest.raises(ToolError, match=r"differ") as raised:
            install._compare_installed(tmp_path)
        assert "install it anew" in raised.value.__notes__[0]
