"""A changed line of any module that shapes results changes the tasks that reach it; in copies of the package."""

from __future__ import annotations

import ast
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from builtin import Place, builtin_tasks, reached, science_modules

import stargazer

PACKAGE = Path(stargazer.__file__).parent
TELL = """
import json, sys
from builtin import builtin_tasks
from stargazer.tools.identity import EMBEDDED_TOOLS, identify_tool
import stargazer
tasks = {name: task.code for name, task in builtin_tasks().items()}
told = {name: [code.digest, code.manifest] for name, code in tasks.items()}
print(json.dumps([stargazer.__file__, told, {name: identify_tool(name).digest for name in EMBEDDED_TOOLS}]))
"""

Reached = dict[str, set[Place]]
Told = tuple[dict[str, tuple[str, dict[str, str]]], dict[str, str]]


@functools.cache
def reaches() -> Reached:
    """What each task reaches; not asked where tests are only collected, for it takes seconds."""
    return {name: reached(task.body.__module__, task.name) for name, task in builtin_tasks().items()}


def told(folder: Path) -> Told:
    """Digest and manifest of each built-in task in a copy, and digests of the embedded tools."""
    paths = os.pathsep.join([str(folder), str(Path(__file__).parent)])
    command = [sys.executable, "-W", "error", "-c", TELL]
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    place, tasks, tools = json.loads(done.stdout)
    assert place.startswith(str(folder))
    return tasks, tools


def copy(place: Path) -> Path:
    shutil.copytree(PACKAGE, place / "stargazer", ignore=shutil.ignore_patterns("__pycache__"))
    return place


def source(folder: Path, module: str) -> Path:
    path = folder.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def changed(file: Path, wanted: Iterable[str], *, most: int = sys.maxsize) -> list[str]:
    """Change a line of functions of a module, or of the first method of classes; names of what was changed."""
    lines = file.read_text("utf-8").splitlines(keepends=True)
    tops = [node for node in ast.parse("".join(lines)).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    done: list[str] = []
    for top in reversed(tops):
        function = next((each for each in ast.walk(top) if isinstance(each, ast.FunctionDef)), None)
        if function is None or top.name not in wanted or len(done) == most:
            continue
        documented = ast.get_docstring(function) is not None and len(function.body) > 1
        first = function.body[1 if documented else 0]
        if not lines[first.lineno - 1][: first.col_offset].strip():
            lines.insert(first.lineno - 1, f"{' ' * first.col_offset}changed = 1\n")
            done.append(top.name)
    file.write_text("".join(lines), "utf-8")
    return done


def names_in(module: str) -> set[str]:
    return {name for places in reaches().values() for place, name in places if place == module}


def of_piece(label: str, name: str) -> bool:
    return label.partition("#")[0].split(".")[0] == name


@pytest.mark.slow
def test_every_changed_module_is_seen_in_the_pieces_of_each_task_that_reaches_it(tmp_path: Path) -> None:
    """All functions are changed at once: the pieces tell which of them a task has seen."""
    reached_by_any = {module for places in reaches().values() for module, _ in places}
    modules = sorted(reached_by_any & set(science_modules()))
    tasks = builtin_tasks()
    before, tools = told(copy(tmp_path / "before"))
    folder = copy(tmp_path / "after")
    places = {module: changed(source(folder, module), names_in(module)) for module in modules}
    for each in ("bwa", "htslib", "fastq"):
        with open(folder / "stargazer" / "embedded" / f"{each}.py", "a", encoding="utf-8") as file:
            file.write("\nCHANGED = 1\n")
    after, tools_after = told(folder)
    missed = []
    for task, there in reaches().items():
        (digest, pieces), (digest_after, pieces_after) = before[task], after[task]
        assert digest == tasks[task].code.digest, f"{task} has another digest in another folder"
        assert digest != digest_after
        for module, name in ((module, name) for module, name in there if name in places.get(module, ())):
            labels = [label for label in pieces_after if of_piece(label, name)]
            if all(pieces.get(label) == pieces_after[label] for label in labels):
                missed.append(f"{task}: {module}:{name}")
    assert missed == []
    assert sum(map(bool, places.values())) > len(modules) * 0.8
    assert sum(map(len, places.values())) > 200
    assert all(tools[name] != tools_after[name] for name in tools)


SAMPLE = science_modules()[:: 16 if os.environ.get("STARGAZER_SHORT") else 1]
"""Modules for which processes are started; that each counts, the ordinary tests see by the pieces of the tasks."""


@pytest.mark.slow
@pytest.mark.parametrize("module", SAMPLE)
def test_a_changed_module_changes_each_task_that_reaches_it(tmp_path: Path, module: str) -> None:
    if not names_in(module):
        pytest.skip(f"no task reaches {module}")
    folder = copy(tmp_path)
    names = changed(source(folder, module), names_in(module), most=1)
    if not names:
        pytest.skip(f"{module} has no function that a task reaches; its constants count by value")
    after, _ = told(folder)
    tasks = builtin_tasks()
    users = [task for task, places in reaches().items() if (module, names[0]) in places]
    assert users
    assert [task for task in users if after[task][0] == tasks[task].code.digest] == []
