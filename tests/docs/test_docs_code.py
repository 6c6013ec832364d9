"""What stands in README and docs runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import stargazer.assets
from stargazer.assets import Asset

ROOT = Path(__file__).parents[2]
INSTALLED = "docs/extending.md"
"""Shows the code of a package, which the tests of plug-ins install and run."""

PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if str(page.relative_to(ROOT)) != INSTALLED
)

Blocks = Callable[[str, str], list[str]]


def run(script: Path) -> str:
    done = subprocess.run([sys.executable, script], cwd=script.parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run(page: str, blocks: Blocks, folder: Path) -> None:
    code = "\n".join(blocks(page, "python"))
    if not code:
        pytest.skip("no code on this page")
    (folder / "page.py").write_text(code)
    run(folder / "page.py")


@pytest.mark.slow
def test_pages_run_one_after_the_other_in_one_store(blocks: Blocks, folder: Path) -> None:
    """Whoever reads all pages has what the earlier ones stored."""
    pages = [page for page in PAGES if blocks(page, "python")]
    failed = {}
    for page in pages:
        (folder / "page.py").write_text("\n".join(blocks(page, "python")))
        done = subprocess.run([sys.executable, "page.py"], cwd=folder, capture_output=True, text=True, timeout=300)
        if done.returncode:
            failed[page] = done.stderr
    assert not failed


def test_the_readme_example_is_known_the_second_time(blocks: Blocks, folder: Path) -> None:
    (code,) = blocks("README.md", "python")
    (folder / "example.py").write_text(code)
    first, second = run(folder / "example.py"), run(folder / "example.py")
    assert "4 of 4 calls would run" in first
    assert "bafkreiazlapcpxt45uap6hhfbmqepz5fm7dwwhf25ov6l3yd67bqc65vw4 9" in first
    assert "nothing would run" in second
    assert "bafkreiazlapcpxt45uap6hhfbmqepz5fm7dwwhf25ov6l3yd67bqc65vw4 9" in second


@pytest.fixture(scope="module")
def tree() -> Any:
    """All commands, as Typer makes them of functions."""
    from stargazer.cli.app import app

    return get_command(app)


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist_with_their_options(page: str, blocks: Blocks, tree: Any) -> None:
    for line in "\n".join(blocks(page, "sh")).splitlines():
        if not line.startswith("stargazer "):
            continue
        command, words = tree, line.split()[1:]
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        options = {name for parameter in command.params for name in parameter.opts}
        unknown = [word for word in words if word.startswith("--") and word not in options]
        assert command.name not in (None, "stargazer"), line
        assert not unknown, line


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (ROOT / page).parent.joinpath(target).exists(), target


def test_the_table_of_types_is_complete() -> None:
    rows = re.findall(r"^\| `(.+)` \| `(.+)` \| (.+) \|$", (ROOT / "docs/assets.md").read_text("utf-8"), re.MULTILINE)
    told = {
        name: (key, re.findall(r"`(\w+)`", facts))
        for keys, names, facts in rows
        for key, name in zip(keys.split("`, `"), names.split("`, `"), strict=True)
    }
    types = [getattr(stargazer.assets, name) for name in stargazer.assets.__all__]
    found = {
        each.__name__: (each.asset_key, list(each().declared))
        for each in types
        if isinstance(each, type) and issubclass(each, Asset) and each is not Asset
    }
    assert told == found
