from __future__ import annotations

from pathlib import Path

import pytest
from flow_desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text("")
    return Desk(root)
