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
