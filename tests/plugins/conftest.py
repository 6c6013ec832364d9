"""The package of a laboratory, installed as pip installs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LAB = Path(__file__).with_name("lab")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder into which pip installed it, without a network."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(LAB, folder / "source")  # building leaves traces
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    argv = [sys.executable, "-m", "pip", "install", *options, "--target", folder / "site", folder / "source"]
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False, timeout=300)
    if done.returncode and "No module named pip" in done.stderr:
        pytest.skip("there is no pip here")
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture
def lab(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, so that this process finds it."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed)])
    yield installed
    for name in [name for name in sys.modules if name.partition(".")[0] == "lab_stargazer"]:
        if name != "lab_stargazer.assets":  # a class of assets is defined once
            del sys.modules[name]
