"""Several versions of a sample's file: named, and none taken in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

import stargazer as sg
from stargazer.errors import ArgumentError, AssetError, InvalidField


def reads(folder: Path, text: str, name: str = "s1_R1.fq.gz", **facts: str) -> sg.R1:
    path = folder / name
    path.write_text(text)
    return sg.add(path, sg.R1(sample_id="s1", **facts))


def test_versions_of_one_file_are_an_error_that_names_them_all(store: sg.Store, tmp_path: Path) -> None:
    first, second = reads(tmp_path, "first"), reads(tmp_path, "second", mate_cid=str(reads(tmp_path, "first").cid))
    with pytest.raises(AssetError, match="versions of the same file") as error:
        sg.assemble(asset="r1", sample_id="s1")
    assert str(first.cid) in str(error.value)
    assert str(second.cid) in str(error.value)
    assert sg.assemble(asset="r1", sample_id=["s1"], versions="newest") == [second]
    assert set(sg.assemble(asset="r1", sample_id="s1", versions="all")) == {first, second}
    assert sg.assemble(asset="r1", sample_id="s1", cid=first.cid) == [first]
    for facts in ({"sample_id": "s1"}, {}):
        with pytest.raises(InvalidField, match=r'versions=.latest.: choose "error"'):
            sg.assemble(asset="r1", versions="latest", **facts)  # type: ignore[call-overload]


def test_lanes_and_other_facts_are_no_versions(store: sg.Store, tmp_path: Path) -> None:
    lanes = {reads(tmp_path, f"lane {n}", f"s1_L00{n}_R1.fq.gz") for n in (1, 2)}
    lanes.add(reads(tmp_path, "other", "s1_L001_R1.fq.gz", sequencing_platform="ont"))
    assert set(sg.assemble(asset="r1", sample_id="s1")) == lanes


def test_who_asks_for_no_sample_gets_all(store: sg.Store, tmp_path: Path) -> None:
    both = {reads(tmp_path, "first"), reads(tmp_path, "second")}
    assert set(sg.assemble(asset="r1")) == both


def test_words_that_say_nothing_are_refused(store: sg.Store, tmp_path: Path) -> None:
    first = reads(tmp_path, "first")
    with pytest.raises(ArgumentError, match="direction='sideways'"):
        sg.trace(first, direction="sideways")  # type: ignore[arg-type]
    with pytest.raises(AssetError, match="'r1' is no draft"):
        sg.add(tmp_path / "s1_R1.fq.gz", "r1")  # type: ignore[call-overload]
