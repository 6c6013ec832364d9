"""Assets of a task by filters, and results as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

import stargazer as sg
from stargazer import catalog
from stargazer.catalog.entries import entry_of
from stargazer.errors import ArgumentError


@sg.task
def align(
    work: sg.Workdir,
    ref: sg.Reference,
    r1: sg.R1,
    r2: sg.R2 | None = None,
    extra: sg.Asset | None = None,
    *,
    k: int = 1,
) -> sg.Asset:
    """Align."""
    out = work.file("out.txt")
    out.write_text("x")
    return sg.Asset(path=out)


@sg.task
def merge(work: sg.Workdir, reads: list[sg.R1]) -> sg.Asset:
    """Merge."""
    out = work.file("out.txt")
    out.write_text("x")
    return sg.Asset(path=out)


ALIGN, MERGE = entry_of(align), entry_of(merge)


class Two(NamedTuple):
    first: object
    rest: object


@pytest.fixture
def assets(store: sg.Store, tmp_path: Path) -> dict[str, sg.Asset]:
    def add(name: str, draft: sg.Asset) -> sg.Asset:
        (tmp_path / name).write_text(name)
        return store.add(tmp_path / name, draft)

    return {
        "ref": add("ref.fa", sg.Reference(build="GRCh38")),
        "old": add("old.fa", sg.Reference(build="b37")),
        "s1": add("s1.fq", sg.R1(sample_id="s1")),
        "s1r2": add("s1_2.fq", sg.R2(sample_id="s1")),
        "s2": add("s2.fq", sg.R1(sample_id="s2")),
    }


def test_each_parameter_gets_the_filters_that_its_type_knows(store: sg.Store, assets: dict[str, sg.Asset]) -> None:
    bound = catalog.bind_filtered(ALIGN, {"build": "GRCh38", "sample_id": "s1"}, {"k": 2}, store=store)
    assert bound.arguments == {"k": 2, "ref": assets["ref"], "r1": assets["s1"], "r2": assets["s1r2"]}


def test_what_may_be_left_out_is_where_nothing_fits(store: sg.Store, assets: dict[str, sg.Asset]) -> None:
    bound = catalog.bind_filtered(ALIGN, {"build": "b37", "sample_id": "s2"}, {}, store=store)
    assert bound.arguments == {"ref": assets["old"], "r1": assets["s2"]}


def test_an_input_given_by_name_needs_no_filter(store: sg.Store, assets: dict[str, sg.Asset]) -> None:
    sg.names.set("refs/old", assets["old"], store=store)
    given = {"ref": "refs/old@1", "r1": {"sample_id": "s2"}}
    assert catalog.bind_filtered(ALIGN, {}, given, store=store).arguments == {"ref": assets["old"], "r1": assets["s2"]}


def test_a_list_takes_all_that_fit(store: sg.Store, assets: dict[str, sg.Asset]) -> None:
    bound = catalog.bind_filtered(MERGE, {"sample_id": ["s1", "s2"]}, {}, store=store)
    assert bound.arguments == {"reads": [assets["s1"], assets["s2"]]}


@pytest.mark.parametrize(
    ("filters", "inputs", "told"),
    [
        ({"sample_id": "s1"}, {}, "ref: 2 assets fit"),
        ({"build": "GRCh38", "sample_id": "s9"}, {}, "r1: .*has no r1.* with sample_id"),
        ({"build": "GRCh38", "sample_id": "s1", "colour": "red"}, {}, "fact 'colour'.*Known: .*build"),
        ({"build": "GRCh38", "sample_id": "s1"}, {"kk": 1}, "no parameter 'kk'.*takes ref, r1"),
        ({"sample_id": ["s1", "s9"]}, {"ref": {"build": "b37"}}, "s9"),
        ({"build": "GRCh38", "sample_id": "s9"}, {"k": "many"}, "(?s)s9.*k: "),
    ],
)
def test_wrong_filters_are_told_all_at_once(
    store: sg.Store, assets: dict[str, sg.Asset], filters: dict[str, object], inputs: dict[str, object], told: str
) -> None:
    with pytest.raises(ArgumentError, match=told):
        catalog.bind_filtered(ALIGN, filters, inputs, store=store)


def test_results_are_json_and_taken_back(store: sg.Store, assets: dict[str, sg.Asset]) -> None:
    told = catalog.marshal(Two(assets["s1"], (assets["ref"], {"n": float("inf")}, [Path("a")])))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["rest"]["o1"] == {"n": None}
    assert told["rest"]["o2"] == ["a"]
    assert told["first"]["size"] == len("s1.fq")
    assert "path" not in told["first"]
    assert told["first"]["keyvalues"]["sample_id"] == "s1"
    assert catalog.bind_filtered(MERGE, {}, {"reads": [told["first"]]}, store=store).arguments == {
        "reads": [assets["s1"]]
    }
    assert Path(catalog.asset_json(assets["s1"], path=True)["path"]).read_text() == "s1.fq"
