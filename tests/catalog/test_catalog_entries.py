"""Which tasks and workflows there are, and what is told of them."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import dask
import flows as own
import pytest

import stargazer as sg
from stargazer import catalog
from stargazer.catalog import sources
from stargazer.catalog.catalog import bind_entry
from stargazer.catalog.entries import entry_of
from stargazer.catalog.outputs import _outputs
from stargazer.errors import ConfigError, UnknownName

Shelf = tuple[sg.Store, dict[str, list[sg.Asset]]]


def test_every_task_and_workflow_is_there_once_with_all_that_is_known() -> None:
    entries = catalog.list()
    names = [entry.name for entry in entries]
    assert len(set(names)) == len(names)
    assert {"bwa_mem", "call_sheet", "cluster_cells", "gatk.mark_duplicates", "general.mark_duplicates"} <= set(names)
    for entry in entries:
        assert entry.summary, entry.name
        assert entry.outputs, entry.name
        assert "any" not in {output.type for output in entry.outputs}, entry.name
        for param in entry.params:
            assert param.text, f"{entry.name}: {param.name} is not explained"
            assert param.type != "any value", f"{entry.name}: {param.name}"


def test_a_name_that_two_have_is_an_error_that_lists_both() -> None:
    with pytest.raises(UnknownName, match=r"gatk\.mark_duplicates, general\.mark_duplicates"):
        catalog.get("mark_duplicates")
    assert catalog.get("gatk.mark_duplicates").home == "stargazer.tasks.gatk.alignments:mark_duplicates"
    assert catalog.get("general.bwa_mem") is catalog.get("bwa_mem")
    with pytest.raises(UnknownName, match="Did you mean bwa_mem"):
        catalog.get("bwa_men")


def test_a_function_that_wires_has_no_work_directory_before_its_parameters(store: sg.Store, tmp_path: Path) -> None:
    @sg.task
    def copied(work: sg.Workdir, part: sg.Asset) -> sg.Asset:
        out = work.file("copy.txt")
        out.write_text(part.path.read_text())
        return sg.Asset(path=out)

    @sg.dynamic
    def copies(grid: list[list[sg.Asset]], most: int = 2) -> list[sg.Asset]:
        return [copied(part) for row in grid for part in row[:most]]

    entry = entry_of(copies)
    assert [(param.name, str(param.kind)) for param in entry.params] == [("grid", "list[list[Asset]]"), ("most", "int")]
    (tmp_path / "a.txt").write_text("a")
    part = sg.add(tmp_path / "a.txt")
    (made,) = bind_entry(entry, {"grid": [[part.cid]], "most": 1}).wire().compute()
    assert made.fetch().read_text() == "a"


def test_words_are_looked_for_in_names_types_and_tools() -> None:
    assert {entry.name for entry in catalog.list("task", "fastp")} == {"fastp"}
    assert "haplotype_caller" in {entry.name for entry in catalog.list(word="GATK")}
    assert all(entry.category == "workflow" for entry in catalog.list("workflow"))
    assert "variant_filtration" not in {entry.name for entry in catalog.list(word="alignmentstats")}


def test_an_entry_tells_needs_and_tools() -> None:
    entry = entry_of(own.count)
    assert entry.needs["cpus"] == 2
    assert entry.needs["memory"] == 2**30
    assert [(tool.name, tool.when) for tool in entry.tools] == [("samtools", {"engine": "native"})]
    assert [(param.name, param.text) for param in entry.params][:1] == [("reads", "What is counted.")]
    assert [param.text for param in entry.params if param.name in ("k", "share")] == ["How.", "How."]


def test_outputs_of_workflows_are_read_from_their_code() -> None:
    assert entry_of(own.one).outputs == (("table", "Asset"), ("total", "int"))
    assert entry_of(own.many).outputs == (("result", "list[Asset]"),)
    assert [tuple(output) for output in entry_of(own.pair).outputs] == [
        ("first.table", "Asset"), ("first.total", "int"), ("table", "Asset"), ("total", "any"),
    ]  # fmt: skip


def test_outputs_of_workflows_are_what_their_calls_give(shelf: Shelf) -> None:
    store, assets = shelf
    lane = {"r1": assets["r1"][0].cid, "r2": assets["r2"][0].cid}
    given: dict[str, dict[str, Any]] = {
        "align_sample": {"reference": assets["reference"][0].cid, "lanes": [lane]},
        "index_reference": {"reference": assets["reference"][0].cid},
        "call_cohort": {"reference": assets["reference"][0].cid, "samples": {"s1": [lane]}, "cohort_id": "c"},
        "report_cohort": {"reference": assets["reference"][0].cid, "samples": {"s1": [lane]}, "cohort_id": "c"},
        "cluster_cells": {"cells": assets["anndata"][0].id},
        "scrna_clustering_pipeline": {"sample_id": f"stargazer://asset/{assets['anndata'][0].id}"},
        "measure_cohort": {
            "reference": assets["reference"][0].cid, "alignments": [assets["alignment"][0].cid],
            "duplicates": [assets["duplicate_metrics"][0].cid], "variants": assets["variants"][0].cid, "cohort_id": "c",
        },
    }  # fmt: skip
    for name, values in given.items():
        call = catalog.bind(name, values, store=store).wire()
        assert tuple(_outputs(call.returns)) == catalog.get(name).outputs, name


@pytest.mark.usefixtures("fresh")
def test_what_cannot_be_imported_is_listed_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stargazer.tasks.scrna", None)
    monkeypatch.setitem(sys.modules, "stargazer.workflows.clustering", None)
    monkeypatch.setitem(sys.modules, "stargazer.workflows.project", None)
    monkeypatch.setitem(sys.modules, "stargazer.workflows.cells_sheet", None)
    absent = {entry.name: entry for entry in catalog.list() if entry.how}
    assert {"cluster", "qc_filter", "cluster_cells"} <= absent.keys()
    assert all("stargazer-dask[scrna]" in entry.how for entry in absent.values())
    with pytest.raises(UnknownName, match=r"cluster_cells cannot be imported here: pip install .*\[scrna\]"):
        catalog.bind("cluster_cells", {})


@pytest.mark.usefixtures("fresh")
def test_files_and_modules_of_the_settings_are_listed(
    flows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    with dask.config.set({"stargazer.catalog": [flows, str(broken), "no_such_module"]}):
        found = {entry.name: entry for entry in catalog.list() if entry.group in ("flows", "broken", "no_such_module")}
        assert set(found) == {"count", "one", "many", "pair", "broken", "no_such_module"}
        assert catalog.get("count").function is own.count
        assert "ZeroDivisionError" in found["broken"].how
        assert "no module" in found["no_such_module"].how
    with dask.config.set({"stargazer.catalog": ["flows.py"]}), pytest.raises(ConfigError, match="whole path"):
        catalog.list()
    with dask.config.set({"stargazer.catalog": "flows"}), pytest.raises(ConfigError, match="list"):
        catalog.list()


@pytest.mark.usefixtures("fresh")
def test_entry_points_of_other_packages_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("lab", "flows", "stargazer.tasks"),
        EntryPoint("bwa_mem", "flows:count", "stargazer.tasks"),
        EntryPoint("gone", "no_such_package:task", "stargazer.tasks"),
    ]
    monkeypatch.setattr(sources, "entry_points", lambda group: points)
    found = {entry.name: entry for entry in catalog.list()}
    assert found["one"].group == "lab"
    assert {"bwa_mem.bwa_mem", "general.bwa_mem"} <= found.keys()
    assert found["gone"].how == "no_such_package:task: pip install no_such_package"
