"""What is kept, what goes, and what a check finds."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stargazer.assets import R1, Asset, Reference
from stargazer.errors import NotFound, StoreError
from stargazer.store import Store, layout
from stargazer.store.blobs import local as localblobs

File = Callable[..., Path]
NOW = -60.0  # a grace that has run out for what was written this moment


def made(
    store: Store,
    file: File,
    name: str,
    *,
    days_ago: float = 0.0,
    inputs: tuple[Asset, ...] = (),
    outputs: tuple[Asset, ...] = (),
) -> Asset:
    """Store what a task made, with its ledger record."""
    path = file(f"work/{name}", f"made: {name}")
    stored = store.save(Asset(path=path))
    started = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days_ago)
    record = {
        "task": name,
        "status": "ok",
        "started": started.isoformat(),
        "outputs": {"list": [{"asset": each.to_dict()} for each in (stored, *outputs)]},
        "output_cids": [stored.cid, *(each.cid for each in outputs)],
        "input_cids": [each.cid for each in inputs],
    }
    store.put_record(json.dumps(record).encode())
    return stored


def test_only_what_nothing_needs_goes(store: Store, file: File) -> None:
    added = store.add(file("user.fq", "cannot be computed"), R1(sample_id="s1"), companions=[file("user.idx", "idx")])
    folder = store.add(file("d/x/y", "y").parent.parent)
    recent, old = made(store, file, "recent"), made(store, file, "old", days_ago=90)
    pinned, leased = made(store, file, "pinned", days_ago=90), made(store, file, "leased", days_ago=90)
    read = made(store, file, "read", days_ago=90)
    made(store, file, "reader", inputs=(read,))
    also_added = made(store, file, "added too", days_ago=90)
    store.add(file("work/again", "made: added too"))
    unrecorded = store.save(Asset(path=file("work/unrecorded", "no record can make this again")))
    store.pin("paper", pinned)
    orphan = store.put_bytes(b"nothing leads here")
    with store.lease("run-1", [leased]):
        assert store.gc().removed == ()
        planned = store.gc(grace=NOW, dry_run=True)
        assert store.exists(old)
        swept = store.gc(grace=NOW)
    assert planned.removed == swept.removed
    assert not swept.dry_run
    assert planned.dry_run
    assert swept.removed == tuple(sorted([layout.asset(old.id), layout.blob(str(old.cid)), layout.blob(orphan)]))
    assert swept.bytes == len("made: old") + len("nothing leads here")
    for asset in (added, folder, recent, pinned, leased, read, also_added, unrecorded):
        assert store.exists(asset)
        assert store.get(asset.id) == asset
    assert not store.exists(old)
    assert old not in store.find()
    assert store.fsck().ok
    store.unpin("paper")
    assert set(store.gc(grace=NOW).removed) >= {layout.blob(str(pinned.cid)), layout.blob(str(leased.cid))}


def test_a_record_goes_with_the_bytes_of_a_companion(store: Store, file: File) -> None:
    added = store.add(file("ref.fa", ">a"), Reference(build="b"))
    index = made(store, file, "ref.fai", days_ago=90)
    joined = store.put(replace(added, companions=(index,), source=None))
    made(store, file, "joins", days_ago=90, outputs=(joined,))
    swept = store.gc(grace=NOW)
    assert {layout.asset(joined.id), layout.blob(str(index.cid))} <= set(swept.removed)
    assert store.find(asset=Reference) == [added]
    assert store.exists(added)
    assert store.fsck().ok


def test_what_was_deleted_goes_with_the_next_collection(store: Store, file: File) -> None:
    folder = store.add(file("d/x/y", "y").parent.parent)
    twice = store.add(file("same", "bytes"), R1(sample_id="s1")), store.add(file("same", "bytes"), R1(sample_id="s2"))
    store.delete(store.update(folder, name="renamed"))
    store.delete(twice[0])
    swept = store.gc(grace=NOW)
    assert not store.exists(folder)
    assert store.exists(twice[1])
    assert sorted(place.split("/")[0] for place in swept.removed) == ["blobs", "trees", "trees"]
    assert store.fsck().ok


def test_pins_hold_have_names_and_can_be_replaced(store: Store, file: File) -> None:
    one, two = store.add(file("1", "one")), store.add(file("2", "two"))
    store.pin("p", one, str(two.cid))
    assert [asset.cid for asset in store.pins()["p"]] == [one.cid, two.cid]
    store.pin("p", two)
    assert store.pins() == {"p": [two]}
    store.unpin("p")
    assert store.pins() == {}
    with pytest.raises(NotFound, match="no pin 'p'"):
        store.unpin("p")
    with pytest.raises(NotFound, match="does not have the bytes"):
        store.pin("q", "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")


def test_a_torn_pin_stops_the_collection(store: Store, file: File) -> None:
    store.pin("p", store.add(file("1", "one")))
    store.backend.replace(layout.pin("p"), b"torn")
    with pytest.raises(StoreError, match="pins/p"):
        store.gc(grace=NOW)
    assert store.fsck().torn == (layout.pin("p"),)


def test_a_lease_runs_out_unless_it_is_renewed(store: Store, file: File) -> None:
    asset = store.add(file("1", "one"))
    lease = store.lease("run", [asset], seconds=1000)
    assert store.held() == {asset.cid}
    lease.renew("bafyfurther")
    assert store.held() == {asset.cid, "bafyfurther"}
    store.lease("run", [asset], seconds=-1000)
    assert store.held() == set()
    lease.renew()
    lease.release()
    assert store.held() == set()


def test_what_somebody_relies_on_again_stays(local: Store, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old blob that nothing needs is found by a writer just before it would be swept."""
    monkeypatch.setattr(localblobs, "HELD_AFTER", -1.0)
    cid, soon = local.put_bytes(b"old"), time.time() + 60
    assert local.put_bytes(b"old") == cid
    assert local.backend.sweep([layout.blob(cid)], soon) == set()
    assert local.read(cid) == b"old"
    assert local.gc(grace=NOW).removed == ()
    assert local.gc(grace=NOW).removed == (layout.blob(cid),)


def test_what_killed_processes_left_goes_after_the_grace(local: Store) -> None:
    local.put_bytes(b"x")
    work, half = local.scratch / "work-1", local.scratch / "0123-9-9"
    (work / "deep").mkdir(parents=True)
    (work / "deep" / "file").write_text("half")
    half.write_text("half")
    assert local.gc().leftovers == ()
    assert local.gc(grace=NOW, dry_run=True).leftovers == (str(half), str(work))
    assert half.exists()
    assert local.gc(grace=NOW).leftovers == (str(half), str(work))
    assert list(local.scratch.iterdir()) == []


def test_a_check_finds_what_is_corrupt_missing_or_torn(store: Store, file: File) -> None:
    folder = store.add(file("d/x/y", "y").parent.parent)
    bad, gone, good = store.add(file("1", "bad")), store.add(file("2", "gone")), store.add(file("3", "good"))
    record = store.put_record(b"record")
    store.set_keys({"key": b"value"})
    assert store.fsck().ok
    store.backend.replace(layout.blob(str(bad.cid)), b"BAD")
    store.backend.remove(layout.blob(str(gone.cid)))
    store.backend.replace(layout.tree(str(folder.cid)), b"torn")
    store.backend.replace(layout.record(record), b"reco")
    store.backend.replace(layout.key("key"), b"")
    store.backend.replace("blobs/stray", b"")
    found = store.fsck()
    assert set(found.corrupt) == {bad.cid, folder.cid}
    assert set(found.torn) == {layout.record(record), layout.key("key")}
    assert found.missing == {asset.cid: (asset.id,) for asset in (bad, gone, folder)}
    assert found.strays == ("blobs/stray",)
    assert found.files == 3
    assert not found.ok
    again = store.fsck()
    assert (again.corrupt, again.torn) == ((), ())
    assert store.read(str(good.cid)) == b"good"
    for name, content in (("1", "bad"), ("2", "gone")):
        store.add(file(name, content))
    store.add(file("d/x/y", "y").parent.parent)
    assert store.fsck().ok
