"""Bundles: all of it or nothing, once, with the facts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import stargazer as sg
from stargazer.cli.app import app
from stargazer.errors import DataError, NotFound, RemoteLacks
from stargazer.remotes import bundles, find_bundle, make_bundle, read_bundle, read_remote
from stargazer.store import Store, layout

Configure = Callable[..., None]
HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


@pytest.fixture
def lab(tmp_path: Path) -> Store:
    """A store with reads, an alignment with its index, and a directory."""
    made = Store(tmp_path / "lab")
    for name in ("s1_R1.fq.gz", "s1_R2.fq.gz", "x.bam", "x.bam.bai"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    (tmp_path / "table.zarr").mkdir()
    (tmp_path / "table.zarr/.zgroup").write_text("{}")
    made.add(tmp_path / "s1_R1.fq.gz", sg.R1(sample_id="s1"))
    made.add(tmp_path / "s1_R2.fq.gz", sg.R2(sample_id="s1"))
    made.add(
        tmp_path / "x.bam", sg.Alignment(sample_id="s1"), companions=[sg.AlignmentIndex(path=tmp_path / "x.bam.bai")]
    )
    made.add(tmp_path / "table.zarr")
    return made


def everything(lab: Store) -> list[sg.Asset]:
    return [*lab.assemble(asset=["r1", "r2", "alignment"]), *lab.assemble(name="table.zarr")]


def test_a_bundle_gives_back_what_went_into_it(lab: Store, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(make_bundle("all", everything(lab), lab, "Everything.").to_yaml())
    bundle = read_bundle(path)
    assert (bundle.name, bundle.description) == ("all", "Everything.")
    assert bundle.size == 1000 * len("s1_R1.fq.gzs1_R2.fq.gzx.bamx.bam.bai") + 2
    came: list[int] = []
    fetched = bundle.fetch(store, [read_remote({"store": lab.url})], came.append)
    assert {each.id for each in fetched} == {each.id for each in everything(lab)}
    assert sum(came) == bundle.size
    [bam] = store.assemble(asset="alignment", sample_id="s1")
    assert [companion.name for companion in bam.companions] == ["x.bam.bai"]
    assert store.fsck().ok
    bundle.fetch(store, [], came.append)
    assert sum(came) == bundle.size


def test_of_a_broken_bundle_nothing_is_known(lab: Store, store: Store) -> None:
    bundle = make_bundle("all", everything(lab), lab)
    lost = next(cid for cid in bundle.cids if cid == lab.assemble(asset="r2")[0].cid)
    lab.backend.remove(layout.blob(lost))
    with pytest.raises(RemoteLacks, match=r"(?s)bundle all: s1_R2.fq.gz cannot be had: .*lab does not have"):
        bundle.fetch(store, [read_remote({"store": lab.url, "name": "lab"})])
    assert store.find() == []
    assert store.fsck().ok


def test_wrong_sizes_are_told(lab: Store, store: Store, tmp_path: Path) -> None:
    content = yaml.safe_load(make_bundle("all", everything(lab), lab).to_yaml())
    content["assets"][0]["size"] += 1
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(DataError, match="bytes, not"):
        read_bundle(tmp_path / "wrong.yaml").fetch(store, [read_remote({"store": lab.url})])
    assert store.find() == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("assets: [", "is no bundle"),
        ("[]", "is no bundle"),
        ("{name: x, assets: [], files: []}", "has no files"),
        ("assets: [{asset: r1}]", r"assets\[0\] must be a mapping with a 'cid'"),
        ("assets: [{cid: bafy}]", r"assets\[0\]: 'bafy' is no CID"),
        (f"assets: [{{cid: {HELLO}, sha: x}}]", "has no place for sha"),
        (f"assets: [{{cid: {HELLO}, name: ../x}}]", "expected the name of a file"),
        (f"assets: [{{cid: {HELLO}, size: many}}]", "size is 'many'"),
        (f"assets: [{{cid: {HELLO}, asset: r1, facts: {{colour: red}}}}]", "colour"),
        (f"assets: [{{cid: {HELLO}, companions: [{{cid: x}}]}}]", r"assets\[0\].companions\[0\]"),
    ],
)
def test_malformed_bundles_are_refused(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(DataError, match=complaint):
        read_bundle(tmp_path / "bad.yaml")


def test_bundles_that_ship() -> None:
    assert {each.name for each in bundles()} == {"scrna_demo", "variant_calling_demo"}
    demo = find_bundle("variant_calling_demo")
    assert [(each.asset_key, each.name) for each in demo.assets] == [
        ("reference", "GRCh38_TP53.fa"),
        ("r1", "NA12829_TP53_R1.fq.gz"),
        ("r2", "NA12829_TP53_R2.fq.gz"),
    ]
    cells = find_bundle("scrna_demo")
    assert [(each.name, each.declared["sample_id"], each.declared["organism"]) for each in cells.assets] == [
        ("s1d1.h5ad", "s1d1", ""),
        ("s1d3.h5ad", "s1d3", ""),
    ]
    with pytest.raises(NotFound, match="there are scrna_demo, variant_calling_demo"):
        find_bundle("other")


def test_on_the_command_line(
    lab: Store, store: Store, tmp_path: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner()
    results = [str(each.cid) for each in lab.assemble(name="table.zarr")]
    made = run.invoke(app, ["bundle", "make", "reads", "asset=r1", "sample_id=s1", *results, "--store", lab.url])
    assert made.stdout == "reads.yaml\n", made.output
    fetched = run.invoke(app, ["bundle", "fetch", "reads.yaml", "--from", lab.url])
    assert "s1_R1.fq.gz" in fetched.stdout, fetched.output
    assert [each.name for each in store.assemble(asset="r1")] == ["s1_R1.fq.gz"]
    assert store.find(name="table.zarr")
    again = run.invoke(app, ["bundle", "fetch", "reads.yaml"])
    assert again.stdout == fetched.stdout
    assert "variant_calling_demo" in run.invoke(app, ["bundles"]).stdout
    nobody = run.invoke(app, ["bundle", "fetch", "variant_calling_demo"])
    assert nobody.exit_code == 1
    assert "no remote is configured" in nobody.output


def test_a_file_of_cells_keeps_its_cid_until_a_task_needs_it(lab: Store, tmp_path: Path, shared_data: Path) -> None:
    pytest.importorskip("anndata")
    from stargazer.cid import cid_of_path
    from stargazer.tasks.scrna import concat, qc_filter

    file = shared_data / "scrna/sc_celseq2.h5ad"
    plain = lab.add(file)
    cells = sg.AnnData(cid=plain.cid, name="cells.h5ad", sample_id="s", stage="raw", organism="human")
    with Store(tmp_path / "mine") as mine:
        [raw] = make_bundle("cells", [cells], lab).fetch(mine, [read_remote({"store": lab.url})])
        assert raw.cid == cid_of_path(file)
        done = qc_filter(raw, max_pct_mt=100, doublets=False).compute()
        other = qc_filter(mine.add(file, sg.AnnData(sample_id="s", organism="human")), max_pct_mt=100, doublets=False)
        assert done.name == "cells.zarr"
        assert mine.resolve(f"{done.cid}/X") == mine.resolve(f"{other.compute().cid}/X")
        with pytest.raises(DataError, match="are the same cells"):
            concat([raw, raw]).compute()
