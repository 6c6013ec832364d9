"""Calls on a scheduler in another process: it has nothing of the user's code, and needs nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from machines import machines, run

TYPES = """
import enum
from dataclasses import dataclass
from typing import NamedTuple
import stargazer as sg

class {name}Mode(enum.Enum):
    TWICE = 2

@dataclass(frozen=True)
class {name}Options:
    mode: {name}Mode
    by: int = 1

class {name}Peaks(sg.Asset):
    count: int = 0

class {name}Pair(NamedTuple):
    peaks: {name}Peaks
    n: int

@sg.task
def {name}_peaks(work: sg.Workdir, *, options: {name}Options) -> {name}Pair:
    out = work.file("peaks.bed")
    out.write_text(str(helpers.times(options.mode.value, options.by)))
    return {name}Pair({name}Peaks(path=out, count=options.by), options.by)

@sg.task
def {name}_read(work: sg.Workdir, peaks: {name}Peaks, *, mode: {name}Mode = {name}Mode.TWICE, n: int = 0) -> str:
    return f"{{peaks.path.read_text()}} {{peaks.count}} {{mode.name}} {{n}}"
"""
HELPERS = "FACTOR = 10\ndef times(x, y): return FACTOR * x * y\n"
MAIN = (
    "import helpers\n"
    + TYPES.format(name="main")
    + """
import json, sys
import dask, distributed
from modtasks import mod_peaks, mod_read, modOptions, modMode

def answers(i):
    found = {}
    ways = ((main_peaks, main_read, mainOptions, mainMode), (mod_peaks, mod_read, modOptions, modMode))
    for peaks, read, options, mode in ways:
        pair = peaks(options=options(mode.TWICE, by=i))
        found[read.name] = read(pair.peaks, n=pair.n)
    return found

if __name__ == "__main__":
    client = distributed.Client(sys.argv[1], set_as_default=True)
    first = answers(1)
    results = {"compute": list(dask.compute(first)[0].values())}
    # Half of it is known now, and sent as values of the user's types.
    pair = main_peaks(options=mainOptions(mainMode.TWICE, by=1))
    results["known"] = list(dask.compute(*first.values(), main_read(pair.peaks, n=7)))
    results["whole"] = repr(dask.compute(pair, dask.delayed(lambda p: p.n + 1)(pair))[1])
    many = [main_read(main_peaks(options=mainOptions(mainMode.TWICE, by=i)).peaks) for i in range(2, 6)]
    futures = client.compute([*many, dask.delayed(str)(many[0])])
    results["futures"] = client.gather(futures)
    held = client.persist(mod_read(mod_peaks(options=modOptions(modMode.TWICE, by=9)).peaks))
    results["persist"] = held.compute()
    worker = list(client.scheduler_info()["workers"])[0]
    with dask.annotate(workers=[worker], priority=3):
        placed = main_read(main_peaks(options=mainOptions(mainMode.TWICE, by=20)).peaks)
    results["placed"] = client.compute(placed).result()
    results["imported"] = client.run_on_scheduler(
        lambda: [name for name in __import__("sys").modules if name in ("helpers", "modtasks")]
    )
    try:
        dask.compute(main_read(pair.peaks, mode="x"))
    except Exception as error:
        results["wrong"] = f"{type(error).__name__}: {error}"
    print(json.dumps(results))
"""
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("project")
    (project / "helpers.py").write_text(HELPERS)
    (project / "modtasks.py").write_text("import helpers\n" + TYPES.format(name="mod"))
    (project / "main.py").write_text(MAIN)
    return project


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Iterator[str]:
    with machines(tmp_path_factory.mktemp("machines"), project) as address:
        yield address


def test_calls_of_scripts_and_modules_run(project: Path, address: str, tmp_path: Path) -> None:
    found = run(project / "main.py", address, cwd=project, DASK_STARGAZER__STORE=str(tmp_path / "store"))
    assert found["compute"] == ["20 1 TWICE 1", "20 1 TWICE 1"]
    assert found["known"] == ["20 1 TWICE 1", "20 1 TWICE 1", "20 1 TWICE 7"]
    assert found["whole"] == "2"
    assert found["futures"] == [f"{20 * i} {i} TWICE 0" for i in range(2, 6)] + ["40 2 TWICE 0"]
    assert found["persist"] == "180 9 TWICE 0"
    assert found["placed"] == "400 20 TWICE 0"
    assert found["imported"] == []
    assert found["wrong"] == "ArgumentError: main_read: mode must be mainMode, but is 'x'"


def test_a_type_defined_anew_takes_the_place_of_the_old_on_workers_that_live(
    project: Path, address: str, tmp_path: Path
) -> None:
    script = project / "changed.py"
    for count in ("depth: int = 1", "depth: int = 1\n    note: str = 'n'"):
        text = MAIN.replace("count: int = 0", count).replace("count=options.by", "depth=options.by")
        script.write_text(text.replace("{peaks.count}", "{peaks.depth}"))
        found = run(script, address, cwd=project, DASK_STARGAZER__STORE=str(tmp_path / "store"))
        assert found["known"] == ["20 1 TWICE 1", "20 1 TWICE 1", "20 1 TWICE 7"]


MISMATCH = """
import json, sys
import distributed
import stargazer as sg
import {module} as other

@sg.task
def told(work: sg.Workdir) -> int:
    return other.times(1, 1)

@sg.task(version="1")
def trusted(work: sg.Workdir) -> int:
    return other.times(1, 1)

if __name__ == "__main__":
    with distributed.Client(sys.argv[1]):
        found = {{}}
        for call in (told(), trusted()):
            try:
                found[call.name] = call.compute()
            except Exception as error:
                found[call.name] = f"{{type(error).__name__}}: {{error}}"
    print(json.dumps(found))
"""


def test_a_worker_with_another_version_of_a_module_refuses_the_call(tmp_path: Path) -> None:
    """A task of a script travels by value, but not what it imports."""
    here, there = tmp_path / "here", tmp_path / "there"
    for place, text in ((here, HELPERS.replace("10", "11")), (there, HELPERS)):
        place.mkdir()
        (place / "helpers.py").write_text(text)
    (here / "missing.py").write_text(HELPERS)
    (here / "main.py").write_text(MISMATCH.format(module="helpers"))
    (here / "lacking.py").write_text(MISMATCH.format(module="missing"))
    store = {"DASK_STARGAZER__STORE": str(tmp_path / "store")}
    with machines(tmp_path, there) as address:
        found = run(here / "main.py", address, cwd=here, **store)
        assert found["told"].startswith("WorkerMismatch: this worker cannot run task told: helpers is another version")
        assert found["trusted"] == 10
        found = run(here / "lacking.py", address, cwd=here, **store)
        assert found["told"].startswith("WorkerMismatch: this worker cannot import a task: No module named 'missing'")
        (here / "helpers.py").write_text(f"# a comment\n{HELPERS}")
        assert run(here / "main.py", address, cwd=here, **store)["told"] == 10
