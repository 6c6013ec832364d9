"""`stargazer demo scrna`: from counts to clusters, markers and a report, twice."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stargazer.cid import cid_of_path

pytest.importorskip("anndata")

Run = Callable[..., Any]
MAIN = "from stargazer.cli import main; main()"


def demo(*arguments: str | Path) -> dict[str, Any]:
    """Run the real command; what it printed, as JSON."""
    command = [sys.executable, "-c", MAIN, "demo", "scrna", "--json", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=570)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.slow
def test_simulated_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import anndata
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    first = demo("--small", "--out", "results")
    assert first["n_clusters"] == 4
    assert first["ari"] >= 0.99
    assert first["marker_recovery"] >= 0.95
    assert first["doublet_auc"] >= 0.95
    assert (first["tasks_run"], first["tasks_run_second"]) == (8, 0)
    assert first["second_run_seconds"] < first["seconds"] / 4
    assert sorted(os.listdir("results")) == ["annotated.h5ad", "markers.csv", "report.html"]
    assert first["out"]["report"] == first["report"]["path"] == "results/report.html"
    assert cid_of_path("results/report.html") == first["report"]["cid"]
    cells = anndata.read_h5ad("results/annotated.h5ad")
    assert cells.shape == (first["n_cells"], first["n_genes"])
    assert cells.obs["leiden"].nunique() == 4
    markers = pd.read_csv("results/markers.csv")
    assert len(markers) == 4 * first["n_genes"]
    assert markers.groupby("group")["scores"].apply(lambda scores: scores.is_monotonic_decreasing).all()
    stored = sum(f.stat().st_size for f in tmp_path.rglob("demo-store/**/*") if f.is_file())
    assert 100_000 < first["stored_bytes"] < stored
    again = demo("--small", "--workers", "1")
    assert again["tasks_run"] == 0, "another process ran it again"
    assert again["annotated"] == first["annotated"]
    assert again["out"] == {}
    page = Path(again["report"]["path"])
    assert page.suffix == page.resolve().suffix == ".html", "a browser would show the page as text"


def test_real_cells(shared_data: Path, tmp_path: Path) -> None:
    import anndata
    from sklearn.metrics import adjusted_rand_score

    data = shared_data / "scrna" / "sc_celseq2.h5ad"
    answer = demo(
        *("--data", data, "--organism", "human", "--resolution", "0.3", "--no-umap"),
        *("--out", tmp_path / "out", "--store", tmp_path / "elsewhere"),
    )
    assert answer["n_clusters"] == 3
    assert "ari" not in answer
    assert answer["sample_id"] == "sc_celseq2"
    assert any("62 spike-ins" in note for note in answer["notes"])
    cells = anndata.read_h5ad(tmp_path / "out" / "annotated.h5ad")
    single = cells.obs["demuxlet_cls"] == "SNG"
    assert adjusted_rand_score(cells.obs["cell_line"][single], cells.obs["leiden"][single]) == 1.0
    assert "X_umap" not in cells.obsm
    assert not (tmp_path / "default-store").exists()


def test_options_are_the_parameters_of_the_workflow() -> None:
    from stargazer.cli.demo import OUTSIDE, scrna
    from stargazer.workflows import cluster_cells

    options = {
        name: parameter.default
        for name, parameter in inspect.signature(scrna).parameters.items()
        if name not in (*OUTSIDE, "ctx")
    }
    workflow = inspect.signature(cluster_cells).parameters
    assert options == {name: workflow[name].default for name in workflow if name != "cells"}


def test_wrong_usage(stargazer: Run, tmp_path: Path) -> None:
    assert "not there" in stargazer("demo", "scrna", "--data", tmp_path / "nowhere.h5ad", code=2).err
    (tmp_path / "file").write_text("")
    stargazer("demo", "scrna", "--small", "--data", tmp_path, code=2)
    stargazer("demo", "scrna", "--small", "--out", tmp_path / "file", code=2)
    assert "is empty: give a .h5ad" in stargazer("demo", "scrna", "--data", tmp_path / "file", code=1).err
    assert "'elf' is not known" in stargazer("demo", "scrna", "--small", "--organism", "elf", code=1).err
    assert "no column 'lane'" in stargazer("demo", "scrna", "--small", "--batch_key", "lane", code=1).err


@pytest.mark.parametrize("package", ["igraph", "anndata"])
def test_without_the_extra(tmp_path: Path, package: str) -> None:
    command = [sys.executable, "-c", f"import sys; sys.modules[{package!r}] = None; {MAIN}", "demo", "scrna", "--small"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"need {package}, which is not installed" in done.stderr
    assert "pip install '.[scrna]'" in done.stderr
    assert "Traceback" not in done.stderr
