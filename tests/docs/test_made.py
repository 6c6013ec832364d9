"""What scripts make of the code for the documentation is what lies there."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

MAKE = Path(__file__).parents[2] / "docs" / "make"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_make_{name}", MAKE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_architecture_is_the_import_contract() -> None:
    architecture = script("architecture")
    rows = architecture.layers()
    again = "run python docs/make/architecture.py"
    assert architecture.PICTURE.read_text() == architecture.picture(rows), again
    assert architecture.PAGE.read_text() == architecture.page(architecture.PAGE.read_text(), rows), again


def test_every_package_belongs_to_a_part() -> None:
    architecture = script("architecture")
    assert all(architecture.summary(name) for row in architecture.layers() for name in row)
    assert {architecture.group(name) for row in architecture.layers() for name in row} == set(architecture.GROUPS)


def test_reference_describes_every_public_name(tmp_path: Path) -> None:
    """In another process: pdoc executes what stands below ``if TYPE_CHECKING``, and defines classes for checkers."""
    command = [sys.executable, MAKE / "reference.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    described, _, what = done.stdout.strip().partition(" ")
    assert what == "public names"
    assert int(described) > 250
    assert "Make a file or directory an asset" in (tmp_path / "stargazer.html").read_text()
