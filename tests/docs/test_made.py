"""What scripts make of the code for the documentation is what lies there."""

from __future__ import annotations

import importlib.util
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
    described = script("reference").build(tmp_path)
    assert described > 250
    assert "Make a file or directory an asset" in (tmp_path / "stargazer.html").read_text()
