"""Odd files of all kinds in all folders of a store: every verb is right, or gives one clear error, within seconds."""

from __future__ import annotations

import hashlib
import importlib
import os
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
from disk_watch import watched

import stargazer as sg
from stargazer.errors import StargazerError
from stargazer.ledger.lineage import trace
from stargazer.remotes.lineage import push_lineage
from stargazer.remotes.push import push
from stargazer.remotes.store import StoreRemote

LONGEST, AT_ALL = 5.0, 60.0
"""Seconds that a verb may compute, and that it may take where others use the machine as well."""
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


SYSTEM = ("/", "/etc", "/etc/passwd", "/dev/null", "/dev/zero", "/dev/tty")
"""Where odd links lead, whose modes and owners root could change."""


def _mode(path: str) -> tuple[Any, ...]:
    seen = os.stat(path) if os.path.exists(path) else None
    return () if seen is None else (seen.st_ino, seen.st_mode, seen.st_uid, seen.st_gid)


class Case:
    """A store with something odd in it, and what people do there."""

    def __init__(self, root: Path, model: Path, source: Path, seed: int, caches: tuple[Path, ...]) -> None:
        self.caches = caches
        self.chance, self.root, self.source = random.Random(seed), root / "store", source
        self.outside = root / "outside"
        (self.outside / "aa").mkdir(parents=True)
        (self.outside / "thesis.txt").write_text("thesis")
        (self.outside / "aa" / ("a" * 64)).write_text("chapter")
        (self.outside / "records" / "aa").mkdir(parents=True)
        for name in ("home", "here", "tmp"):
            (root / name).mkdir()
            (root / name / "mine.txt").write_text("mine")
        shutil.copytree(model, self.root)
        self.odd = importlib.import_module("odd_files")
        self.tasks = importlib.import_module("odd_tasks")
        self.planted = [
            self.odd.plant(self.root, self.outside, self.chance) for _ in range(self.chance.choice([1, 1, 3]))
        ]
        self.elsewhere = (self.outside, root / "home", root / "here")
        self.before = self.look()

    def kinds(self) -> set[tuple[str, str]]:
        """What was planted, and in which part of the store."""
        told = [each.partition(" at ") for each in self.planted]
        return {(what, place.split("'")[1].partition("/")[0]) for what, at, place in told if at}

    def look(self) -> list[dict[str, tuple[Any, ...]]]:
        """What lies where nothing may change: others' files, the home, the current folder, and the system's."""
        return [*map(snapshot, self.elsewhere), {name: _mode(name) for name in SYSTEM}]

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
            with watched(self.root, self.root.with_name("other"), self.root.with_name("tmp"), *self.caches) as changed:
                self.try_out(verb)
            assert changed == [], (verb.__name__, self.planted)
            assert self.look() == self.before, (verb.__name__, self.planted)

    def try_out(self, verb: Callable[[], None]) -> None:
        signal.setitimer(signal.ITIMER_PROF, LONGEST)
        signal.setitimer(signal.ITIMER_REAL, AT_ALL)
        try:
            with sg.Store(str(self.root)):
                verb()
        except StargazerError as error:
            assert str(error), self.planted
        except Hung as error:
            raise AssertionError(f"{verb.__name__} took too long: {self.planted}") from error
        except Exception as error:
            raise AssertionError(f"{verb.__name__}: {type(error).__name__}: {self.planted}") from error
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
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


def fuzz(
    tmp_path: Path, model: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, seeds: range, *, new: bool = False
) -> None:
    """Check a case a seed; or of them those where something lies that did not lie in that part before."""
    seen: set[tuple[str, str]] = set()
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr("stargazer.store.store._opened", {})
    before = {name: signal.signal(name, stop) for name in (signal.SIGALRM, signal.SIGPROF)}
    try:
        for seed in seeds:
            folder = tmp_path / "case"
            folder.mkdir()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                case = Case(folder, *model, seed, (tmp_path / "cache", tmp_path / "keys", model[0]))
                monkeypatch.setenv("HOME", str(folder / "home"))
                monkeypatch.setattr("tempfile.tempdir", str(folder / "tmp"))
                monkeypatch.chdir(folder / "here")
                if not new or case.kinds() - seen:
                    with dask.config.set({"stargazer.key": str(tmp_path / "keys" / "key.pem")}):
                        case.check()
                seen |= case.kinds()
            monkeypatch.chdir(tmp_path)
            shutil.rmtree(folder)
            sg.store.store._opened.clear()
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@pytest.mark.timeout(300)
def test_odd_files_harm_nobody(tmp_path: Path, model: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz(tmp_path, model, monkeypatch, range(30))


@pytest.mark.parametrize("leads", ["outside", "..", "keys"])
def test_nothing_is_planted_where_a_link_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leads: str) -> None:
    """Else the files of whoever runs these tests are unlinked, and odd ones made beside them."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    odd = importlib.import_module("odd_files")
    root, outside = tmp_path / "store", tmp_path / "outside"
    (outside / "aa").mkdir(parents=True)
    (outside / "thesis.txt").write_text("thesis")
    root.mkdir()
    (root / "keys").symlink_to(outside if leads == "outside" else leads)
    before = snapshot(outside), sorted(os.listdir(tmp_path))
    monkeypatch.setattr(odd.layout, "TOP", ("keys",))
    for seed in range(200):
        odd.plant(root, outside, random.Random(seed))
        if not (root / "keys").is_symlink():
            shutil.rmtree(root)
            root.mkdir()
            (root / "keys").symlink_to(outside if leads == "outside" else leads)
    assert (snapshot(outside), sorted(os.listdir(tmp_path))) == before


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_odd_files_harm_nobody(
    tmp_path: Path, model: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, seeds: Any, short: bool
) -> None:
    fuzz(tmp_path, model, monkeypatch, seeds(range(1000, 1200), range(1000, 6000)), new=short)
