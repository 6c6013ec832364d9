"""A scratch directory where others may write: what they put in its place is neither believed nor emptied."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.errors import InputChanged
from stargazer.remotes.streams import Partial
from stargazer.store import Store
from stargazer.tools.scratch import Scratch

CID = "bafkreibnbvqwfbu7qw43sgrqh54eknzqnu3tyz2zdsrymssuoswaax6tya"


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    folder = tmp_path / "precious"
    (folder / "inputs" / "deep").mkdir(parents=True)
    for name in ("thesis.txt", "inputs/data", "inputs/deep/data"):
        (folder / name).write_text("thesis")
    return folder


def intact(folder: Path) -> bool:
    names = ("thesis.txt", "inputs/data", "inputs/deep/data")
    return all((folder / name).read_text() == "thesis" for name in names)


def link(place: Path, precious: Path) -> None:
    place.symlink_to(precious)


def folder(place: Path, precious: Path) -> None:
    place.mkdir(mode=0o777)
    (place / "o.txt").write_text("forged")


@pytest.mark.parametrize("plant", [link, folder])
def test_what_took_its_place_is_not_emptied(
    tmp_path: Path, precious: Path, plant: Callable[[Path, Path], None]
) -> None:
    with Scratch(tmp_path / "tmp", "key") as scratch:
        place = scratch.path()
        scratch.check()
        place.rename(place.with_name("away"))
        plant(place, precious)
        with pytest.raises(InputChanged, match="moved away"):
            scratch.check()
    assert intact(precious)
    assert not os.path.lexists(place)


def test_a_link_in_the_place_of_its_inputs_is_not_followed(tmp_path: Path, precious: Path) -> None:
    with Scratch(tmp_path / "tmp", "key") as scratch:
        (scratch.path() / "inputs").symlink_to(precious)
        (scratch.path() / "file").write_text("x")
    assert intact(precious)


@pytest.mark.parametrize("plant", [link, folder])
def test_an_idle_one_that_was_replaced_is_not_used(
    tmp_path: Path, precious: Path, plant: Callable[[Path, Path], None]
) -> None:
    with Scratch(tmp_path / "tmp", "key") as scratch:
        place = scratch.path()
    assert place.is_dir()  # it waits for the next call
    place.rename(place.with_name("away"))  # its number is not given to another while it is there
    plant(place, precious)
    with Scratch(tmp_path / "tmp", "key") as scratch:
        assert list(scratch.path().iterdir()) == []
        (scratch.path() / "mine").write_text("x")
        scratch.check()
    assert intact(precious)


def test_one_is_used_again(tmp_path: Path) -> None:
    numbers = set()
    for _ in range(3):
        with Scratch(tmp_path / "tmp", "key") as scratch:
            numbers.add(scratch.path().stat().st_ino)
            (scratch.path() / "inputs").mkdir(exist_ok=True)
            (scratch.path() / "inputs" / "x").write_text("x")
    assert len(numbers) == 1


def test_a_call_whose_directory_was_replaced_keeps_nothing(tmp_path: Path) -> None:
    @sg.task
    def writes(work: sg.Workdir) -> sg.Asset:
        out = work.file("o.txt")
        work.path.rename(work.path.with_name("away"))
        folder(work.path, work.path)
        return sg.Asset(path=out)

    with sg.Store(str(tmp_path / "store")) as store, pytest.raises(InputChanged, match=r"stargazer\.scratch"):
        writes().compute(scheduler="sync")
    assert store.records.ids() == []


def thesis_link(place: Path, thesis: Path) -> None:
    place.symlink_to(thesis)


def thesis_name(place: Path, thesis: Path) -> None:
    os.link(thesis, place)


def pipe(place: Path, _: Path) -> None:
    os.mkfifo(place)


def open_to_all(place: Path, _: Path) -> None:
    place.write_text("half")
    place.chmod(0o666)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("plant", [thesis_link, thesis_name, pipe, open_to_all])
def test_what_lies_where_a_fetch_left_its_part_is_not_written_to(
    local: Store, precious: Path, plant: Callable[[Path, Path], None]
) -> None:
    _ = local.context.header
    place = local.context.scratch / f"fetch-{CID}"
    plant(place, precious / "thesis.txt")
    with Partial(local, CID) as partial:
        partial.write(0, b"fetched")
        assert partial.read(0, 7) == b"fetched"
        assert Path(partial.path) != place
    assert intact(precious)


def test_a_part_of_ones_own_is_taken_up(local: Store) -> None:
    with Partial(local, CID) as partial:
        partial.write(0, b"half")
    with Partial(local, CID) as partial:
        assert partial.found == 4
