"""Everything that shapes results counts towards a built-in task, in whatever folder it stands; the engine does not."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from builtin import builtin_tasks, reached, science_modules

from stargazer.fingerprint import wide
from stargazer.fingerprint.origin import SCIENCE, is_own

TASKS = builtin_tasks()
NO_TASK_USES = (
    *("stargazer.workflows", "stargazer.bio.simulate", "stargazer.embedded"),
    *("stargazer.bio.singlecell.exports", "stargazer.bio.singlecell.memory", "stargazer.tasks.scrna.integrations"),
    "stargazer.bio.singlecell.soup",
)
"""Workflows wire, the simulator makes data, what runs as a program is part of the tool's identity, exports are written
where somebody asks an asset for them, cells in memory where somebody adds them, integrations are for tasks of other
packages, and a sheet is warned of soup before anything runs: no task of ours uses these."""

NO_PIECES = {"_Limit", "_drafts"}
"""What the code itself changes stands in the pieces of those who name it, by the statements that bind it."""


@pytest.mark.parametrize("name", TASKS)
def test_a_manifest_holds_all_that_the_sources_lead_to(name: str) -> None:
    task = TASKS[name]
    identity = task.code
    pieces = {piece.partition("#")[0].rpartition(".")[2] for piece in identity.manifest}
    missing = []
    for module, top in reached(task.body.__module__, task.name):
        named = {each.partition(".")[0] for each in identity.imports.get(module, ())}
        if top not in named | pieces | NO_PIECES:
            missing.append(f"{module}:{top}")
    assert missing == []


DIGESTS = """
import json
from builtin import builtin_tasks
print(json.dumps({name: [task.code.digest, task.code.manifest] for name, task in builtin_tasks().items()}))
"""


def test_no_seed_of_hashes_is_part_of_a_built_in_task() -> None:
    """A table made of a set has another order in each process: one that planned, and one that ran, had two keys."""
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    env, folder = {**os.environ, "PYTHONHASHSEED": seed}, Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", DIGESTS], cwd=folder, env=env, capture_output=True, check=True)
    there = json.loads(done.stdout)
    assert there.keys() == TASKS.keys()
    differs = {
        name: sorted(set(manifest.items()) ^ set(TASKS[name].code.manifest.items()))
        for name, (digest, manifest) in there.items()
        if digest != TASKS[name].code.digest
    }
    assert differs == {}


def test_the_plain_reading_reaches_far() -> None:
    modules = {module for name, task in TASKS.items() for module, _ in reached(task.body.__module__, task.name)}
    others = {module for module in science_modules() if module not in modules and not module.startswith(NO_TASK_USES)}
    packages = {module.rpartition(".")[0] for module in science_modules()}
    assert others - packages == set()


@pytest.mark.parametrize(
    "module", ["store.blobs", "ledger.keys", "calls.task", "execute.execute", "runs.run", "fingerprint.reach"]
)
def test_the_engine_never_counts(module: str) -> None:
    assert not is_own(f"stargazer.{module}", "stargazer.tasks.general.bwa")


def test_names_that_begin_alike_are_told_apart() -> None:
    assert all(is_own(name, "anything") and is_own(f"{name}.inner", "anything") for name in SCIENCE)
    assert not is_own("stargazer.cellsandmore", "stargazer.tasks.general.bwa")


def test_names_of_all_modules_of_a_task_are_looked_for_once() -> None:
    """Each of our tasks asks a hundred modules in turn; where fewer were kept, each would be read again each time."""
    bodies = [tuple(ast.parse("import a\nimport b\nb.c\n").body) for _ in range(200)]
    before = wide._names_in.cache_info().misses
    found = {wide.is_unused(statement, body) for _ in range(3) for body in bodies for statement in body[:1]}
    assert found == {True}
    assert wide._names_in.cache_info().misses - before == len(bodies)
