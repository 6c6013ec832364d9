"""Where a body finds its inputs: no file lies beside one that it does not belong to."""

from __future__ import annotations

from pathlib import Path

import pytest

import stargazer as sg


@sg.task
def listing(work: sg.Workdir, files: list[sg.Asset], more: dict[str, sg.Asset]) -> str:
    staged = [*files, *more.values()]
    texts = [asset.path.read_text() for asset in staged]
    beside = [sorted(path.name for path in asset.path.parent.iterdir()) for asset in staged]
    return f"{texts} {beside}"


def add(tmp_path: Path, name: str, text: str, **options: object) -> sg.Asset:
    path = tmp_path / text / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return sg.add(path, **options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("store")
def test_files_of_one_list_that_could_be_taken_for_each_others_index_lie_apart(tmp_path: Path) -> None:
    files = [add(tmp_path, "s1.bam", "a"), add(tmp_path, "s1.bai", "b"), add(tmp_path, "s2.bam", "c")]
    beside = {"x": add(tmp_path, "s1.bam", "d"), "y": add(tmp_path, "s1.bam", "e")}
    found = listing(files, beside).compute(scheduler="sync")
    names = [["s1.bam"], ["s1.bai"], ["s2.bam"], ["s1.bam"], ["s1.bam"]]
    assert found == f"{list('abcde')} {names}"


@pytest.mark.usefixtures("store")
def test_companions_lie_beside_their_file_alone(tmp_path: Path) -> None:
    index = add(tmp_path, "s1.bam.bai", "i")
    files = [add(tmp_path, "s1.bam", "a", companions=[index]), add(tmp_path, "s2.bam", "c")]
    found = listing(files, {}).compute(scheduler="sync")
    assert found == f"{list('ac')} {[['s1.bam', 's1.bam.bai'], ['s2.bam']]}"
