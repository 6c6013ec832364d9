from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stargazer.cli.app import app


class Answer:
    """What a command line gave."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def stargazer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Answer]:
    """Run the command line in a new directory, and check the exit code."""
    desk = tmp_path / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments: str | Path, code: int = 0, stdin: bytes | None = None) -> Answer:
        result = CliRunner().invoke(app, list(map(str, arguments)), input=stdin)
        told = f"{result.stdout}\n{result.stderr}"
        assert isinstance(result.exception, SystemExit | None), told + repr(result.exception)
        assert result.exit_code == code, told
        assert "Traceback" not in result.stderr
        assert bool(result.stderr) or code == 0, "a failure without a message"
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run
