"""The folder of a project: what a run does not make is not in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from odd_cells import cells, saved
from typer.testing import CliRunner

from stargazer.cli.app import app
from stargazer.errors import DataError
from stargazer.workflows.outputs import check_project

OPTIONS = ("--min-genes", "5", "--n-top-genes", "60", "--n-pcs", "8", "--max-pct-mt", "100")


def made(sheet: Path, out: Path) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["scrna", str(sheet), "--out", str(out), "--store", "store", "--json", *OPTIONS])
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_sums_of_conditions_that_are_no_longer_in_the_sheet_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    for seed, name in enumerate(("a", "b")):
        saved(cells(150, 120, seed=seed), tmp_path / f"{name}.h5ad")
    sheet = tmp_path / "s.csv"
    sheet.write_text("sample,path,condition\na,a.h5ad,ctrl\nb,b.h5ad,stim\n")
    told = made(sheet, out)
    assert "pseudobulk.tsv" in os.listdir(out)
    rows = json.loads((out / "manifest.json").read_text())["files"]
    assert {row["file"] for row in rows} == set(os.listdir(out)) - {"manifest.json"}
    assert {row["cid"] for row in rows if row["file"] == "report.html"} == {told["report"]}
    (out / "differential_expression.mine.tsv").write_text("mine")
    sheet.write_text("sample,path\na,a.h5ad\nb,b.h5ad\n")
    made(sheet, out)
    assert sorted(os.listdir(out)) == [
        "annotated.h5ad",
        "differential_expression.mine.tsv",
        "manifest.json",
        "markers.csv",
        "report.html",
        "scrna_samples_mqc.tsv",
    ]


@pytest.mark.parametrize("name", ["markers.csv", "annotated.h5ad", "manifest.json"])
def test_what_a_person_has_in_the_folder_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Marker genes and cells that the command itself is given, and the manifest of something else."""
    monkeypatch.chdir(tmp_path)
    saved(cells(40, 60), tmp_path / "a.h5ad")
    (tmp_path / "s.csv").write_text("sample,path\na,a.h5ad\n")
    (tmp_path / name).write_text('{"project": "mine", "files": [{"file": "a.h5ad"}]}')
    done = CliRunner().invoke(app, ["scrna", "s.csv", "--out", ".", "--store", "store"])
    assert done.exit_code
    assert f"has {name}, which no earlier run put there" in done.output + str(done.exception)
    assert not (tmp_path / "store").exists()  # nothing ran


def test_the_folder_of_a_version_without_manifests_is_taken(tmp_path: Path) -> None:
    for name in ("report.html", "annotated.h5ad", "markers.csv", "pseudobulk.tsv"):
        (tmp_path / name).write_text("theirs")
    check_project(tmp_path)
    (tmp_path / "report.html").unlink()
    with pytest.raises(DataError, match=r"has annotated\.h5ad, markers\.csv, pseudobulk\.tsv, which"):
        check_project(tmp_path)
