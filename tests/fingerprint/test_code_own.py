"""Whose code counts by its text, and whose by its version."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from stargazer.fingerprint import origin

FOLDER, ARCHIVE = {"url": "file:///x", "dir_info": {}}, {"url": "https://x", "archive_info": {}}
REPOSITORY = {"url": "https://x", "vcs_info": {"vcs": "git", "commit_id": "0123abc"}}


class Installed:
    """A folder of installed packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "site-packages"
        self.folder.mkdir()

    def add(self, name: str, version: str, files: dict[str, str], url: object = None) -> None:
        for old in self.folder.glob(f"{name}-*.dist-info"):
            for each in old.iterdir():
                each.unlink()
            old.rmdir()
        info = self.folder / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        if url is not None:
            (info / "direct_url.json").write_text(json.dumps(url))
        for file, text in files.items():
            (self.folder / file).parent.mkdir(exist_ok=True)
            (self.folder / file).write_text(text)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    made = Installed(tmp_path)
    monkeypatch.syspath_prepend(made.folder)
    return made


@pytest.mark.parametrize(("url", "own"), [(None, False), (ARCHIVE, False), (FOLDER, True), (REPOSITORY, True)], ids=str)
def test_own_is_what_was_installed_from_a_folder_or_a_repository(installed: Installed, url: object, own: bool) -> None:
    installed.add("first_of_mine", "1.0", {"first_of_mine/__init__.py": ""}, url)
    assert origin.is_own("first_of_mine.inner", "__main__") is own
    assert origin.distribution_of("first_of_mine", "__main__") == (None if own else "first_of_mine")


def test_own_is_what_came_with_the_task(installed: Installed) -> None:
    installed.add("both_of_mine", "1.0", {"one_of_mine/__init__.py": "", "two_of_mine.py": ""})
    installed.add("other_of_yours", "1.0", {"three_of_yours.py": ""})
    assert origin.is_own("two_of_mine", "one_of_mine.tasks")
    assert not origin.is_own("three_of_yours", "one_of_mine.tasks")
    assert not origin.is_own("two_of_mine", "__main__")


def test_a_module_of_the_name_of_a_library_of_python_is_own(tmp_path: Path) -> None:
    (tmp_path / "statistics.py").write_text("def f(): return 1\n")
    code = "import statistics\nfrom stargazer.fingerprint.origin import is_own as own\n"
    code += "print(own('statistics', ''), own('json', ''))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


SCRIPT = """
import stargazer as sg
import used_here, unused_here

def f(): return used_here.value()

@sg.task{options}
def t(work: sg.Workdir) -> int:
    return f()

print("KEY", t().spec.key, dict(t().spec.libraries))
"""


def _key(tmp_path: Path, installed: Installed, options: str = "") -> str:
    (tmp_path / "script.py").write_text(SCRIPT.format(options=options))
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(installed.folder), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_upgrade_of_what_the_code_names_runs_it_and_of_nothing_else(tmp_path: Path, installed: Installed) -> None:
    installed.add("used_here", "1.0", {"used_here.py": "def value(): return 1\n"})
    installed.add("unused_here", "1.0", {"unused_here.py": ""})
    first = _key(tmp_path, installed)
    assert "{'used_here': '1.0'}" in first
    installed.add("unused_here", "2.0", {"unused_here.py": ""})
    assert _key(tmp_path, installed) == first
    installed.add("used_here", "2.0", {"used_here.py": "def value(): return 1\n"})
    assert _key(tmp_path, installed) != first


def test_uses_narrows_what_counts(tmp_path: Path, installed: Installed) -> None:
    for version in ("1.0", "2.0"):
        installed.add("used_here", version, {"used_here.py": "def value(): return 1\n"})
        installed.add("unused_here", "1.0", {"unused_here.py": ""})
        assert "{}" in _key(tmp_path, installed, "(uses=[])")
        assert "{'unused_here': '1.0'}" in _key(tmp_path, installed, "(uses=['unused_here'])")


def test_a_library_from_a_repository_counts_by_its_commit(tmp_path: Path, installed: Installed) -> None:
    installed.add("used_here", "1.0", {"used_here.py": "def value(): return 1\n"}, REPOSITORY)
    installed.add("unused_here", "1.0", {"unused_here.py": ""})
    assert "{'used_here': '1.0@0123abc'}" in _key(tmp_path, installed, "(uses=['used_here'])")
    assert "{}" in _key(tmp_path, installed)  # its text counts


def test_an_upgrade_of_what_says_its_version_in_the_older_way_runs_it(tmp_path: Path, installed: Installed) -> None:
    installed.add("unused_here", "1.0", {"unused_here.py": ""})
    (installed.folder / "used_here.py").write_text("def value(): return 1\n")
    place = installed.folder / "used_here-0.egg-info"
    for version in ("1.0", "2.0"):
        place.write_text(f"Metadata-Version: 1.1\nName: used_here\nVersion: {version}\n")
        assert f"{{'used_here': '{version}'}}" in _key(tmp_path, installed)
    place.unlink()
    place.mkdir()
    (place / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: used_here\nVersion: 3.0\n")
    (place / "top_level.txt").write_text("used_here\n")
    assert "{'used_here': '3.0'}" in _key(tmp_path, installed)


SETS = "import numpy\nnumpy.set_printoptions(precision={})\n"
READS = """
import sys
{imports}
import numpy as np
from stargazer.fingerprint import identify

class Level:
    def text(self): return str(np.array([1 / 3]))

def body(work): return {body}

print(identify(body, "body").digest, body(None))
"""


def _seen(tmp_path: Path, imports: str, path: Path) -> tuple[str, str]:
    (tmp_path / "script.py").write_text(READS.format(imports=imports, body="Level().text()"))
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    digest, _, result = done.stdout.partition(" ")
    return digest, result


def test_what_each_python_imports_as_it_begins_counts_by_what_it_sets(tmp_path: Path) -> None:
    custom = tmp_path / "custom"
    custom.mkdir()
    seen = []
    for text in (SETS.format(2), SETS.format(2), SETS.format(11), "x = 1\n"):  # of other sizes, or Python sees none
        (custom / "sitecustomize.py").write_text(text)
        seen.append(_seen(tmp_path, "", custom))
    first, again, other, none = seen
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]
    (custom / "sitecustomize.py").write_text("x = 22\n")
    assert _seen(tmp_path, "", custom)[0] == none[0] == _seen(tmp_path, "", tmp_path / "nowhere")[0]


def test_a_module_that_python_ran_as_it_was_a_moment_before_is_refused(tmp_path: Path) -> None:
    """Python keeps what it compiled by size and second of a file: a result of one text had the key of another."""
    own = tmp_path / "own_settings.py"
    own.write_text(SETS.format(2))
    os.utime(own, (1_700_000_000, 1_700_000_000))
    first = _seen(tmp_path, "import own_settings", tmp_path)
    own.write_text(SETS.format(5))
    os.utime(own, (1_700_000_000, 1_700_000_000))
    with pytest.raises(AssertionError, match=r"CodeChanged: .*own_settings\.py.*remove the __pycache__"):
        _seen(tmp_path, "import own_settings", tmp_path)
    shutil.rmtree(tmp_path / "__pycache__")
    other = _seen(tmp_path, "import own_settings", tmp_path)
    assert (first[0] == other[0], first[1] == other[1]) == (False, False)


def test_a_module_in_an_archive_counts_by_what_it_sets(tmp_path: Path) -> None:
    seen = []
    for precision in (2, 2, 5):
        with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
            archive.writestr("own_settings.py", SETS.format(precision))
        seen.append(_seen(tmp_path, "import own_settings", tmp_path / "own.zip"))
    assert seen[0] == seen[1]
    assert seen[0][0] != seen[2][0]
    assert seen[0][1] != seen[2][1]
