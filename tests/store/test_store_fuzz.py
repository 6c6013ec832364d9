"""Odd files of all kinds in all folders of a store: every verb is right, or gives one clear error, within seconds."""

from __future__ import annotations

import hashlib
import importlib
import random
import shutil
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import dask
import pytest

import stargazer as sg
from stargazer.errors import StargazerError
from stargazer.ledger.lineage import trace
from stargazer.remotes.lineage import push_lineage
from stargazer.remotes.push import push
from stargazer.remotes.store import StoreRemote

LONGEST = 5.0
NOW = -60.0


class Hung(BaseException):
    """A verb took too long."""


def stop(_: int, __: FrameType | None) -> None:
    raise Hung


def snapshot(folder: Path) -> dict[str, tuple[Any, ...]]:
    """What lies in a folder; links to a file may come and go, which changes its ctime."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        seen = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (seen.st_ino, seen.st_mode, seen.st_uid, seen.st_size, seen.st_mtime_ns, content)
    return found


class Case:
    """A store with something odd in it, and what people do there."""

    def __init__(self, root: Path, model: Path, source: Path, seed: int) -> None:
        self.chance, self.root, self.source = random.Random(seed), root / "store", source
        self.outside = root / "outside"
        (self.outside / "aa").mkdir(parents=True)
        (self.outside / "thesis.txt").write_text("thesis")
        (self.outside / "aa" / ("a" * 64)).write_text("chapter")
        (self.outside / "records" / "aa").mkdir(parents=True)
        shutil.copytree(model, self.root)
        self.odd = importlib.import_module("odd_files")
        self.tasks = importlib.import_module("odd_tasks")
        self.planted = [
            self.odd.plant(self.root, self.outside, self.chance) for _ in range(self.chance.choice([1, 1, 3]))
        ]
        self.before = snapshot(self.outside)

    def call(self, times: int) -> Any:
        asset = sg.add(self.source)
        return self.tasks.joined([self.tasks.letters(asset, times=times), self.tasks.letters(asset, times=1)])

    def ls(self) -> None:
        sg.assemble()

    def add(self) -> None:
        assert sg.add(self.source).fetch().read_bytes() == b"source"
        sg.active_store().pin("mine", sg.add(self.source))

    def run(self) -> None:
        for times in (2, 3):
            assert self.call(times).compute(scheduler="sync").fetch().read_bytes() == b"source" * (times + 1)

    def plan(self) -> None:
        assert repr(sg.plan(self.call(2)))

    def trace(self) -> None:
        lineage = trace(sg.active_store(), self.call(2).compute(scheduler="sync"))
        assert "joined" in repr(lineage)
        assert lineage.to_dict()

    def gc(self) -> None:
        sg.active_store().gc(grace=NOW, recent=0, dry_run=self.chance.random() < 0.5)

    def fsck(self) -> None:
        sg.active_store().fsck()
        left = {place.partition("/")[0] for place in sg.active_store().fsck().torn}
        assert left <= {"pins", "leases"}

    def push(self) -> None:
        remote = StoreRemote("other", str(self.root.with_name("other")), trusted=True)
        result = self.call(2).compute(scheduler="sync")
        push(sg.active_store(), result, remote)
        push_lineage(sg.active_store(), result, remote)
        assert remote.store.read(str(result.cid)) == b"source" * 3

    def get(self) -> None:
        sg.active_store().pins()
        for asset in sg.assemble():
            asset.fetch()

    def runs(self) -> None:
        from stargazer.runs.history import noted_runs

        noted_runs(sg.active_store())

    def check(self) -> None:
        verbs = [self.ls, self.add, self.run, self.plan, self.trace, self.gc, self.fsck, self.push, self.get, self.runs]
        for verb in self.chance.sample(verbs, len(verbs)):
            self.try_out(verb)
            assert snapshot(self.outside) == self.before, (verb.__name__, self.planted)

    def try_out(self, verb: Callable[[], None]) -> None:
        signal.setitimer(signal.ITIMER_REAL, LONGEST)
        try:
            with sg.Store(str(self.root)):
                verb()
        except StargazerError as error:
            assert str(error), self.planted
        except Hung as error:
            raise AssertionError(f"{verb.__name__} took more than {LONGEST} s: {self.planted}") from error
        except Exception as error:
            raise AssertionError(f"{verb.__name__}: {type(error).__name__}: {self.planted}") from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store in which something ran, and a file that was added to it."""
    folder = tmp_path_factory.mktemp("model")
    source = folder / "source.txt"
    source.write_bytes(b"source")
    with pytest.MonkeyPatch.context() as patch, dask.config.set({"stargazer.cache": str(folder / "cache")}):
        patch.syspath_prepend(str(Path(__file__).parent))
        tasks = importlib.import_module("odd_tasks")
        with sg.Store(str(folder / "store")) as store:
            asset = sg.add(source)
            result = tasks.joined([tasks.letters(asset, times=2), tasks.letters(asset, times=1)]).compute(
                scheduler="sync"
            )
            (folder / "d" / "x").mkdir(parents=True)
            (folder / "d" / "x" / "y").write_text("y")
            store.pin("paper", result, sg.add(folder / "d"))
            store.lease("run", [result])
    return folder / "store", source


def fuzz(tmp_path: Path, model: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, seeds: range) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr("stargazer.store.store._opened", {})
    before = signal.signal(signal.SIGALRM, stop)
    try:
        for seed in seeds:
            folder = tmp_path / "case"
            folder.mkdir()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                Case(folder, *model, seed).check()
            shutil.rmtree(folder)
            sg.store.store._opened.clear()
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.timeout(300)
def test_odd_files_harm_nobody(tmp_path: Path, model: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz(tmp_path, model, monkeypatch, range(30))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_odd_files_harm_nobody(
    tmp_path: Path, model: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, short: bool
) -> None:
    fuzz(tmp_path, model, monkeypatch, range(1000, 1200 if short else 6000))
