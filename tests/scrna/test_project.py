"""A project of ten samples: two conditions, three donors each, two batches, soup, doublets, one failed, one swapped."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from odd_cells import MT
from scipy import sparse
from typer.testing import CliRunner

import stargazer as sg
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.cli.app import app
from stargazer.errors import DataError
from stargazer.store import Store

DESIGN = [
    ("d1", "ctrl", 0), ("d1", "ctrl", 1), ("d2", "ctrl", 0), ("d3", "ctrl", 1),
    ("d4", "stim", 0), ("d5", "stim", 1), ("d6", "stim", 0), ("d6", "stim", 1),
]  # fmt: skip
PLANTED = range(100, 120)


def simulate(here: Path, n: int = 120, genes: int = 400, seed: int = 0) -> Path:
    """Files and a sheet; four types, of which all answer to the condition in the same genes."""
    rng = np.random.default_rng(seed)
    names = [f"GENE{i:04d}" for i in range(genes - 13)] + MT
    base = rng.lognormal(0, 1.0, genes)
    base[-13:] = base[:-13].sum() * 0.05 / 13
    types = np.tile(base, (4, 1))
    for kind in range(4):
        types[kind, kind * 20 : kind * 20 + 20] *= 10
    batches = np.exp(rng.normal(0, 0.3, (2, genes)))
    own = {donor: np.exp(rng.normal(0, 0.1, genes)) for donor, *_ in DESIGN}
    rows = []

    def write(name: str, counts: Any, labels: Any, genes_of: list[str], row: tuple[str, ...]) -> None:
        obs = pd.DataFrame(
            {"truth": pd.Categorical([f"t{each}" for each in labels])}, index=[f"C{i}" for i in range(len(labels))]
        )
        matrix = sparse.csr_matrix(counts.astype(np.float32))
        anndata.AnnData(matrix, obs=obs, var=pd.DataFrame(index=genes_of)).write_h5ad(here / f"{name}.h5ad")
        rows.append((name, f"{name}.h5ad", *row))

    def counts(donor: str, condition: str, batch: int) -> tuple[Any, Any]:
        labels = rng.integers(0, 4, n)
        shares = types[labels] * batches[batch] * own.get(donor, 1.0)
        if condition == "stim":
            shares[:, PLANTED] *= 3
        shares /= shares.sum(axis=1, keepdims=True)
        expected = (0.95 * shares + 0.05 * base / base.sum()) * (1_500 * rng.lognormal(0, 0.2, n))[:, None]
        doublets = rng.random(n) < 0.05
        expected[doublets] += expected[rng.integers(0, n, int(doublets.sum()))]
        return rng.poisson(expected), labels

    for number, (donor, condition, batch) in enumerate(DESIGN, 1):
        write(f"s{number}", *counts(donor, condition, batch), names, (condition, donor, f"b{batch}", "human"))
    write("s9", rng.poisson(0.02, (n, genes)), np.zeros(n, int), names, ("ctrl", "d3", "b0", "human"))
    mouse = [f"mt-{name[3:].capitalize()}" if name in MT else name.capitalize() for name in names]
    write("s10", *counts("d5", "stim", 0), mouse, ("stim", "d5", "b1", "human"))
    table = pd.DataFrame(rows, columns=["sample", "path", "condition", "donor", "batch", "organism"])
    table.to_csv(here / "samples.csv", index=False)
    return here / "samples.csv"


OPTIONS = ("--min-genes", "60", "--n-top-genes", "150", "--n-pcs", "12", "--reference", "ctrl")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    here = tmp_path_factory.mktemp("project")
    sheet = simulate(here)
    types = "cell_type,gene\n" + "".join(
        f"type{kind},GENE{kind * 20 + i:04d}\n" for kind in range(4) for i in range(20)
    )
    (here / "types.csv").write_text(types)
    arguments = ["scrna", str(sheet), "--out", str(here / "out"), "--store", str(here / "store"), "--json", *OPTIONS]
    done = CliRunner().invoke(app, [*arguments, "--markers", str(here / "types.csv")])
    assert done.exit_code == 0, done.output
    return here, json.loads(done.stdout)


LONG = pytest.mark.skipif(bool(os.environ.get("STARGAZER_SHORT")), reason="the long form alone")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
class TestOneCommand:
    def test_it_writes_what_people_look_at(self, project: tuple[Path, dict[str, Any]]) -> None:
        here, told = project
        assert sorted(os.listdir(here / "out")) == [
            "annotated.h5ad",
            "differential_expression.tsv",
            "manifest.json",
            "markers.csv",
            "pseudobulk.design.tsv",
            "pseudobulk.tsv",
            "report.html",
            "scrna_samples_mqc.tsv",
        ]
        assert told["samples"] == 10
        assert told["n_cells"] > 700

    @LONG
    def test_multiqc_shows_the_samples(self, project: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
        import subprocess
        import sys

        command = [sys.executable, "-m", "multiqc", str(project[0] / "out"), "-o", str(tmp_path), "--no-ansi", "-q"]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        assert "Single cells" in (tmp_path / "multiqc_report.html").read_text()
        table = pd.read_csv(tmp_path / "multiqc_data" / "multiqc_stargazer_scrna_table.txt", sep="\t")
        assert len(table) == 10

    def test_the_failed_and_the_swapped_sample_are_told_and_left_out(
        self, project: tuple[Path, dict[str, Any]]
    ) -> None:
        here, _ = project
        cells = anndata.read_h5ad(here / "out" / "annotated.h5ad")
        assert set(cells.obs["sample"]) == {f"s{number}" for number in range(1, 9)}
        page = (here / "out" / "report.html").read_text()
        first = page.index("s9 is not among the cells: ")
        assert "no cells to call" in page[first : first + 200]
        second = page.index("s10 is not among the cells: ")
        assert "named like those of mouse" in page[second : second + 300]
        assert first < second < page.index("<h2>Samples")

    def test_types_are_found_and_batches_mixed(self, project: tuple[Path, dict[str, Any]]) -> None:
        from sklearn.metrics import adjusted_rand_score

        here, told = project
        with sg.Store(here / "store") as store:
            tree = AnnDataTree(store.get(told["cells"]).fetch())
        cells = anndata.read_h5ad(here / "out" / "annotated.h5ad")
        assert adjusted_rand_score(cells.obs["truth"], cells.obs["leiden"]) > 0.85
        named = cells.obs["cell_type"].astype(str).str.replace("type", "t")
        assert (named == cells.obs["truth"].astype(str)).mean() > 0.85
        measured = tree.stages()["measure_integration"]
        assert measured["after"]["ilisi"] > measured["before"]["ilisi"]
        stability = tree.stages()["compare_resolutions"]
        assert len(stability["resolutions"]) == len(stability["stability"]) == 3
        assert max(stability["stability"]) > 0.8

    def test_planted_differences_are_found(self, project: tuple[Path, dict[str, Any]]) -> None:
        here, _ = project
        table = pd.read_csv(here / "out" / "differential_expression.tsv", sep="\t")
        table["planted"] = table["gene"].isin([f"GENE{place:04d}" for place in PLANTED])
        called = table[table["padj"] < 0.05]
        assert sorted(table["group"].unique()) == [0, 1, 2, 3], "all types are compared"
        recall = called["planted"].sum() / table["planted"].sum()
        assert recall > 0.9
        assert (~called["planted"]).mean() <= 0.05
        page = (here / "out" / "report.html").read_text()
        best = called.loc[called["planted"]].sort_values("padj").groupby("group")["gene"].first()
        shown = page[page.index("<h2>stim against ctrl") :]
        assert all(gene in shown for gene in best)

    @LONG
    def test_an_unchanged_project_runs_nothing_and_an_eleventh_sample_alone(
        self, project: tuple[Path, dict[str, Any]], tmp_path: Path
    ) -> None:
        here, told = project
        arguments = ["scrna", str(here / "samples.csv"), "--store", str(here / "store"), "--json", *OPTIONS]
        arguments += ["--markers", str(here / "types.csv")]
        again = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "a")])
        assert json.loads(again.stdout)["tasks_run"] == 0
        assert json.loads(again.stdout)["report"] == told["report"]
        more = anndata.read_h5ad(here / "s1.h5ad")[5:].copy()
        more.write_h5ad(here / "s11.h5ad")
        sheet = here / "more.csv"
        sheet.write_text((here / "samples.csv").read_text() + "s11,s11.h5ad,ctrl,d7,b0,human\n")
        arguments[1] = str(sheet)
        grown = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "b")])
        ran = json.loads(grown.stdout)
        assert ran["n_cells"] > told["n_cells"]
        assert ran["tasks_run"] < told["tasks_run"] - 25, "samples that were there are not run again"


def test_a_wrong_sheet_stops_everything_before_it_begins(store: Store, tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text("sample,path\ns1,none.h5ad\n")
    with pytest.raises(DataError, match="no file or folder"):
        sg.workflows.scrna(str(tmp_path / "samples.csv"))
    done = CliRunner().invoke(app, ["scrna", str(tmp_path / "samples.csv"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "line 2: there is no file or folder" in done.output
    assert not (tmp_path / "out").exists()


def test_check_only_checks(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.h5ad").write_bytes(b"x")
    (tmp_path / "samples.csv").write_text("sample,path\ns1,a.h5ad\n")
    done = CliRunner().invoke(app, ["scrna", str(tmp_path / "samples.csv"), "--out", str(tmp_path / "out"), "--check"])
    assert (done.exit_code, done.output) == (0, f"{tmp_path / 'samples.csv'}: 1 samples, no mistakes\n")


def test_files_that_cannot_be_read_are_told_together_before_anything_runs(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.h5ad").write_bytes(b"no such file")
    (tmp_path / "b.h5").write_bytes(b"")
    (tmp_path / "samples.csv").write_text("sample,path\ns1,a.h5ad\ns2,b.h5\n")
    with pytest.raises(DataError, match=r"(?s)cannot be read:\n  line 2: .*a\.h5ad.*\n  line 3: .*b\.h5"):
        sg.workflows.scrna(str(tmp_path / "samples.csv"))
