"""A store whose disk is not mounted any more: nothing is written in its place, and nothing is said not to be known."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.errors import StargazerError, StoreGone


@pytest.fixture
def store(tmp_path: Path) -> Iterator[sg.Store]:
    with sg.Store(tmp_path / "store") as opened:
        yield opened


@sg.task
def lengthened(work: sg.Workdir, *, times: int) -> int:
    return times * 2


@sg.task
def leaving(work: sg.Workdir, *, store: str, away: str) -> int:
    os.rename(store, away)
    return 1


@sg.task
def leaving_before_it_writes(work: sg.Workdir, *, store: str, away: str) -> sg.Asset:
    os.rename(store, away)
    path = work.path / "made.txt"
    path.write_text("made")
    return sg.Asset(path=path)


def root_of(store: sg.Store) -> Path:
    return Path(store.url.removeprefix("file://"))


def everything(store: sg.Store) -> list[Callable[[Path], object]]:
    return [
        lambda _: sg.run(lengthened(times=1)).result(),
        lambda _: sg.run(lengthened(times=2)).result(),
        lambda _: sg.plan(lengthened(times=1)),
        lambda file: sg.add(file),
        lambda _: store.find(),
        lambda _: store.fsck(),
        lambda _: store.gc(),
        lambda _: sg.names.set("numbers", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"),
        lambda _: sg.runs.list(),
    ]


@pytest.mark.parametrize("mount_point", [False, True])
def test_what_is_asked_of_a_store_that_is_gone_is_refused(store: sg.Store, tmp_path: Path, mount_point: bool) -> None:
    file = tmp_path / "reads.txt"
    file.write_text("ACGT")
    assert sg.run(lengthened(times=1)).result() == 2
    root, away = root_of(store), tmp_path / "away"
    root.rename(away)
    if mount_point:
        root.mkdir()
    for ask in everything(store):
        with pytest.raises(StoreGone, match="not any more"):
            ask(file)
    assert not root.exists() or not list(root.iterdir())
    if mount_point:
        root.rmdir()
    away.rename(root)
    assert len(sg.plan(lengthened(times=1)).known) == 1
    assert sg.run(lengthened(times=2)).result() == 4


@pytest.mark.parametrize("task", [leaving, leaving_before_it_writes])
def test_a_store_that_goes_while_a_call_runs_fails_the_call(store: sg.Store, tmp_path: Path, task: sg.Task) -> None:
    root, away = root_of(store), tmp_path / "away"
    with pytest.raises(StargazerError, match="not any more"):
        sg.run(task(store=str(root), away=str(away))).result()
    assert not root.exists()
    away.rename(root)
    assert store.fsck().ok


def test_workers_say_that_the_store_is_gone(store: sg.Store, tmp_path: Path) -> None:
    root, away = root_of(store), tmp_path / "away"
    with sg.connect("local", workers=1):
        assert sg.run(lengthened(times=3)).result() == 6
        root.rename(away)
        with pytest.raises(StargazerError, match="not any more"):
            sg.run(lengthened(times=4)).result()
    assert not root.exists()
