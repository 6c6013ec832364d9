"""``stargazer tasks`` and ``describe``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]
FLOWS = Path(__file__).parents[1] / "catalog" / "flows.py"


def test_tasks_lists_what_has_a_word(stargazer: Run) -> None:
    told = stargazer("tasks", "mark_dup").out
    assert "gatk.mark_duplicates" in told
    assert "general.mark_duplicates" in told
    found = stargazer("tasks", "--json").json["entries"]
    assert {"bwa_mem", "call_sheet"} <= {entry["name"] for entry in found}
    assert {entry["category"] for entry in found} == {"task", "workflow"}
    assert not stargazer("tasks", "no such thing").out
    chosen = stargazer("tasks", "--category", "workflow", "--json").json["entries"]
    assert {entry["category"] for entry in chosen} == {"workflow"}


def test_describe_tells_what_it_takes_and_gives(stargazer: Run) -> None:
    told = stargazer("describe", "bwa_mem").out
    for part in ("r2: R2 | None = None", "result: Alignment", "pybwa (engine=embedded)", "cpus: 2"):
        assert part in told
    found = stargazer("describe", "call_sheet", "--json").json
    assert found["schema"]["$defs"]["GatkOptions"]["properties"]["padding"]["default"] == 100
    assert "several of 'mark_duplicates'" in stargazer("describe", "mark_duplicates", code=2).err


def test_describe_takes_functions_of_files(stargazer: Run) -> None:
    assert stargazer("describe", f"{FLOWS}:pair", "--json").json["outputs"][0] == {
        "name": "first.table",
        "type": "Asset",
    }
    told = stargazer("describe", f"{FLOWS}", code=2).err
    assert all(name in told for name in ("count", "one", "many", "pair"))
    assert "no_such_flow" in stargazer("describe", f"{FLOWS}:no_such_flow", code=2).err
