"""What somebody with a store may put there: trees that lead out or never end, odd modes, dates of no calendar."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.cid.cid import binary, text_of
from stargazer.cid.dagpb import encode
from stargazer.errors import AssetError, CIDError, OutputError, StargazerError, StoreError
from stargazer.ledger import Ledger
from stargazer.store import Store, layout
from stargazer.store.directories import OddEntry

DIRECTORY = b"\x08\x01"
"""UnixFS data of a plain directory."""


def planted(store: Store, entries: Sequence[tuple[bytes, str]]) -> str:
    """A directory node written by hand, whatever its names."""
    _ = store.context.header
    block = encode([(binary(cid), name, 1) for name, cid in entries], DIRECTORY)
    cid = text_of(b"\x01\x70\x12\x20" + hashlib.sha256(block).digest())
    store.backend.replace(layout.tree(cid), block)
    return cid


NAMES = [b"..", b".", b"a/../../../evil", b"/etc/cron.d/x", b"", b"a\0b", b"\xff\xfe", b"../" * 40 + b"x"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_in_a_tree_leads_out_of_it(store: Store, tmp_path: Path, name: bytes) -> None:
    cid = planted(store, [(name, store.blobs.put_bytes(b"x"))])
    for verb in (lambda: store.stage(sg.Asset(cid=cid, name="d"), tmp_path / "a"), lambda: store.fetch(cid)):
        with pytest.warns(OddEntry, match="set aside"):
            verb()
    assert [path for path in (tmp_path / "a").rglob("*") if path.is_file()] == []
    assert not (tmp_path / "evil").exists()
    assert store.gc(grace=-60, recent=0).removed


@pytest.mark.parametrize("second", [b"3", None])
def test_of_a_name_that_comes_twice_the_first_is_read(store: Store, tmp_path: Path, second: bytes | None) -> None:
    """A link, and a folder of its name below which files are then written: git's case, which has no links here."""
    one, folder = store.blobs.put_bytes(b"1"), planted(store, [(b"y", store.blobs.put_bytes(b"2"))])
    other = folder if second is None else store.blobs.put_bytes(second)
    for number, links in enumerate(([(b"x", one), (b"x", other)], [(b"x", other), (b"x", one)])):
        cid = planted(store, links)
        with pytest.warns(OddEntry, match="'x' appears twice"):
            staged = store.stage(sg.Asset(cid=cid, name="d"), tmp_path / str(number))
        first = folder if number and second is None else second if number else b"1"
        laid = staged.path / "x"
        assert [each.name for each in laid.iterdir()] == ["y"] if first == folder else laid.read_bytes() == first


@pytest.mark.timeout(120)
def test_ten_nodes_do_not_stand_for_ten_thousand_million_files(store: Store, tmp_path: Path) -> None:
    cid = store.blobs.put_bytes(b"x")
    for _ in range(12):
        cid = planted(store, [(b"d%d" % number, cid) for number in range(10)])
    with pytest.raises(CIDError, match="nearly all of them repeated"):
        store.stage(sg.Asset(cid=cid, name="d"), tmp_path / "work")
    with pytest.raises(CIDError, match="nearly all of them repeated"):
        store.fetch(cid)
    assert store.dirs.closure([cid])
    store.gc(grace=-60, recent=0)


def test_a_tree_that_repeats_itself_as_people_write_them_is_laid_out(store: Store, tmp_path: Path) -> None:
    cid = store.blobs.put_bytes(b"x")
    for _ in range(3):
        cid = planted(store, [(b"d%02d" % number, cid) for number in range(12)])
    path = store.stage(sg.Asset(cid=cid, name="d"), tmp_path / "work").path
    assert len([each for each in path.rglob("*") if each.is_file()]) == 12**3


def test_a_tree_has_an_end_below(store: Store, tmp_path: Path) -> None:
    cid = store.blobs.put_bytes(b"x")
    for _ in range(400):
        cid = planted(store, [(b"d", cid)])
    with pytest.raises(CIDError, match="more than 256 levels"):
        store.stage(sg.Asset(cid=cid, name="d"), tmp_path / "work")


def test_names_that_the_disk_does_not_take_are_told(store: Store, tmp_path: Path) -> None:
    cid = store.blobs.put_bytes(b"x")
    for _ in range(100):
        cid = planted(store, [(b"n" * 200, cid)])
    with pytest.raises(AssetError, match="no file of this disk can be called so"):
        store.stage(sg.Asset(cid=cid, name="d"), tmp_path / "work")


@sg.task
def odd_output(work: sg.Workdir, *, how: str, victim: str) -> sg.Asset:
    out = work.file("o.txt")
    if how == "set-user-id":
        out.write_bytes(b"x" * 400_000)
        out.chmod(0o6777)
    elif how == "hard link":
        os.link(victim, out)
    elif how == "link":
        out.symlink_to(victim)
    elif how == "pipe":
        os.mkfifo(out)
    else:
        out = work.directory("o")
        os.link(victim, out / "h")
        (out / "s").write_bytes(b"z" * 400_000)
        (out / "s").chmod(0o4777)
    return sg.Asset(path=out)


@pytest.mark.filterwarnings("ignore:.*beside its inputs")
@pytest.mark.parametrize("how", ["set-user-id", "hard link", "link", "pipe", "folder"])
def test_what_a_tool_leaves_is_stored_as_plain_bytes_or_refused(store: Store, tmp_path: Path, how: str) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"v" * 400_000)
    victim.chmod(0o640)
    before = victim.stat()
    if how in ("link", "pipe"):
        with pytest.raises((OutputError, StoreError)):
            odd_output(how=how, victim=str(victim)).compute()
    else:
        made = odd_output(how=how, victim=str(victim)).compute()
        cids = [cid for _, cid in store.dirs.walk(made.cid) if cid] if how == "folder" else [made.cid]
        for blob in (os.stat(store.blobs.file(cid)) for cid in cids):
            assert (stat.S_IMODE(blob.st_mode), blob.st_nlink) == (0o444, 1)
    after = victim.stat()
    assert (after.st_mode, after.st_nlink, after.st_ino) == (before.st_mode, before.st_nlink, before.st_ino)
    assert victim.read_bytes() == b"v" * 400_000


def test_a_file_with_the_right_to_be_somebody_loses_it(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "tool"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o6755)
    asset = sg.add(path)
    for laid in (store.stage(asset, tmp_path / "a").path, store.stage(asset, tmp_path / "b", copy=True).path):
        assert not laid.stat().st_mode & 0o7111


@pytest.mark.parametrize("ahead", [0.0, 1e9])
def test_a_mark_holds_no_longer_than_the_grace_whatever_its_date(store: Store, ahead: float) -> None:
    cid = store.blobs.put_bytes(b"x" * 10)
    tmp = Path(store.backend.path("tmp"))
    for name in (f"held-{cid}", f"held-{cid}.1"):
        (tmp / name).write_text("x")
        os.utime(tmp / name, (time.time() + ahead,) * 2)
    store.gc(grace=-60, recent=0)
    assert layout.blob(cid) in store.gc(grace=-60, recent=0).removed


@pytest.mark.parametrize("name", ["x.99999999999999999999", "x", "-rf.1", "x.-1", "a\nb.5"])
def test_what_somebody_put_into_quarantine_goes_and_nothing_behind_it(store: Store, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    (outside / "in").mkdir(parents=True)
    (outside / "in" / "thesis").write_text("thesis")
    _ = store.context.header
    quarantine = Path(store.backend.path("quarantine"))
    quarantine.mkdir()
    (quarantine / name).mkdir()
    (quarantine / name / "l").symlink_to(outside)
    os.link(outside / "in" / "thesis", quarantine / name / "hard")
    (quarantine / f"l{name}").symlink_to(outside)
    (quarantine / name / "closed").mkdir(mode=0o000)
    for path in (quarantine / name, quarantine / f"l{name}"):
        os.utime(path, (time.time() + 1e9,) * 2, follow_symlinks=False)
    store.gc(grace=-60, recent=0)
    assert list(quarantine.iterdir()) == []
    assert (outside / "in" / "thesis").read_text() == "thesis"


def test_a_file_that_somebody_linked_in_the_place_of_a_record_keeps_its_time(store: Store, tmp_path: Path) -> None:
    """That a record was of use is noted in its mtime; found by the fuzzer."""
    made = dated(number=3).compute()
    mine, record = tmp_path / "thesis.txt", Path(store.backend.path(layout.record(made.source.record)))
    mine.write_text("thesis")
    os.utime(mine, (1e9, 1e9))
    record.unlink()
    os.link(mine, record)
    with Store(store.url):
        assert repr(sg.plan(dated(number=3)))
        dated(number=3).compute()
    assert mine.stat().st_mtime == 1e9
    assert mine.read_text() == "thesis"


DATES = [
    ("9999-12-31T23:59:59-23:59", 1.0),
    ("0001-01-01T00:00:00+23:59", 1.0),
    ("2026-01-01T00:00:00+00:00", 1e300),
    ("2026-01-01T00:00:00+00:00", -1e300),
    ("9999", 3.0),
    ("", 1.0),
]


@sg.task
def dated(work: sg.Workdir, *, number: int) -> sg.Asset:
    out = work.file("q.txt")
    out.write_text(str(number))
    return sg.Asset(path=out)


@pytest.mark.parametrize(("started", "seconds"), DATES)
def test_dates_of_no_calendar_stop_nobody(store: Store, tmp_path: Path, started: str, seconds: float) -> None:
    call = dated(number=1)
    ledger, made = Ledger(store.records), call.compute()
    record = ledger.get(made.source.record)
    assert record is not None
    odd = record._replace(started=started, seconds=seconds, cpu_seconds=seconds, peak_bytes=1e300)  # type: ignore[arg-type]
    identifier = store.records.put(odd.to_bytes())
    store.records.link_keys([record.plan_key, record.content_key], identifier)
    lineage = sg.trace(dated(number=1).compute())
    assert repr(lineage)
    assert lineage._repr_html_()
    assert repr(sg.plan(dated(number=1)))
    assert store.gc(grace=0, recent=0, budget=10, dry_run=True).kept >= 0
    pytest.importorskip("rocrate")
    try:
        assert (lineage.to_rocrate(tmp_path / "crate") / "ro-crate-metadata.json").exists()
    except StargazerError as error:
        assert str(error)


def test_a_lineage_of_diamonds_is_walked_once(store: Store) -> None:
    """Two inputs of two outputs each, forty times: as many ways as a billion times a thousand."""

    @sg.task
    def two(work: sg.Workdir, a: sg.Asset, b: sg.Asset) -> tuple[sg.Asset, sg.Asset]:
        made = []
        for name in "xy":
            out = work.file(f"{name}.txt")
            out.write_text(hashlib.sha256((name + a.path.read_text() + b.path.read_text()).encode()).hexdigest())
            made.append(sg.Asset(path=out))
        return made[0], made[1]

    calls = (dated(number=0), dated(number=1))
    for _ in range(40):
        whole = two(*calls)
        calls = (whole[0], whole[1])
    lineage = sg.trace(calls[0].compute(scheduler="sync"))
    assert len(lineage.records) == 42
    assert len(repr(lineage)) < 50_000
    assert len(lineage.to_mermaid()) < 50_000


@pytest.mark.parametrize("size", [0, 100, 101])
def test_an_object_larger_than_any_record_is_torn_and_not_read(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    from stargazer.store.backends import objects

    monkeypatch.setattr(objects, "LARGEST", 100)
    monkeypatch.setattr(objects, "_WITHIN", {"start": 0, "end": 101})
    backend = Store(f"memory://large-{size}").backend
    backend.replace("pins/a", b"x" * size)
    backend.replace("pins/b", b"b")
    expected = b"x" * size if size <= 100 else b""
    assert backend.read("pins/a") == expected
    assert backend.read_many(["pins/a", "pins/b", "pins/c"]) == {"pins/a": expected, "pins/b": b"b"}
