"""Small systems to run tools in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from systems import system_of
from typer.testing import CliRunner

from stargazer.cli.app import app

PROGRAMS = ("sh", "cat", "ls", "tr", "sleep", "tail", "touch", "hostname", "true")


@pytest.fixture(scope="session")
def system(tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole system in a folder: a shell and little else. Bubblewrap runs it."""
    tool("bwrap")
    return system_of(tmp_path_factory.mktemp("system"), PROGRAMS)


class Answer:
    """What a command line gave."""

    def __init__(self, out: str) -> None:
        self.out = out

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def stargazer() -> Callable[..., Answer]:
    """Run the command line."""

    def run(*arguments: str | Path) -> Answer:
        result = CliRunner().invoke(app, list(map(str, arguments)))
        assert result.exit_code == 0, f"{result.stdout}\n{result.stderr}\n{result.exception!r}"
        return Answer(result.stdout)

    return run
