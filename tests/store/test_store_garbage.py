"""What is kept, what goes, and what a check finds."""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stargazer.assets import R1, Asset, Reference
from stargazer.errors import ArgumentError, NotFound, StoreError
from stargazer.store import Store, gc, layout, records
from stargazer.store.blobs import local as localblobs
from stargazer.store.folders import is_in_use, scratch_name

File = Callable[..., Path]
NOW = -60.0  # a grace that has run out for what was written this moment


def made(
    store: Store,
    file: File,
    content: str,
    *,
    name: str = "",
    days_ago: float = 0.0,
    inputs: tuple[Asset, ...] = (),
    outputs: tuple[Asset, ...] = (),
    **members: object,
) -> Asset:
    """Store what a task made, with its ledger record."""
    path = file(f"work/{content}", f"made: {content}")
    return recorded(store, store.save(Asset(path=path)), name or content, days_ago, inputs, outputs, **members)


def made_folder(store: Store, path: Path, name: str) -> Asset:
    return recorded(store, store.save(Asset(path=path)), name, 0.0, ())


def recorded(
    store: Store,
    stored: Asset,
    name: str,
    days_ago: float,
    inputs: tuple[Asset, ...],
    outputs: tuple[Asset, ...] = (),
    **members: object,
) -> Asset:
    started = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days_ago)
    record = {
        "task": name,
        "status": "ok",
        "started": started.isoformat(),
        "outputs": {"list": [{"asset": each.to_dict()} for each in (stored, *outputs)]},
        "output_cids": [stored.cid, *(each.cid for each in outputs)],
        "input_cids": [each.cid for each in inputs],
        **members,
    }
    store.records.put(json.dumps(record).encode())
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
    orphan = store.blobs.put_bytes(b"nothing leads here")
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
    assert store.roots.held() == {asset.cid}
    lease.renew("bafyfurther")
    assert store.roots.held() == {asset.cid, "bafyfurther"}
    store.lease("run", [asset], seconds=-1000)
    assert store.roots.held() == set()
    lease.renew()
    lease.release()
    assert store.roots.held() == set()


def test_what_somebody_relies_on_again_stays(local: Store, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old blob that nothing needs is found by a writer just before it would be swept."""
    monkeypatch.setattr(localblobs, "HELD_AFTER", -1.0)
    cid, soon = local.blobs.put_bytes(b"old"), time.time() + 60
    assert local.blobs.put_bytes(b"old") == cid
    assert local.backend.sweep([layout.blob(cid)], soon) == set()
    assert local.read(cid) == b"old"
    assert local.gc(grace=NOW).removed == ()
    assert local.gc(grace=NOW).removed == (layout.blob(cid),)


def test_what_killed_processes_left_goes_after_the_grace(local: Store) -> None:
    local.blobs.put_bytes(b"x")
    work, half = local.context.scratch / "work-1", local.context.scratch / "0123-9-9"
    (work / "deep").mkdir(parents=True)
    (work / "deep" / "file").write_text("half")
    half.write_text("half")
    assert local.gc().leftovers == ()
    assert local.gc(grace=NOW, dry_run=True).leftovers == (str(half), str(work))
    assert half.exists()
    assert local.gc(grace=NOW).leftovers == (str(half), str(work))
    assert list(local.context.scratch.iterdir()) == []


def test_a_check_finds_what_is_corrupt_missing_or_torn(store: Store, file: File) -> None:
    folder = store.add(file("d/x/y", "y").parent.parent)
    bad, gone, good = store.add(file("1", "bad")), store.add(file("2", "gone")), store.add(file("3", "good"))
    record = store.records.put(b"record")
    store.records.set_keys({"key": b"value"})
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


def used(store: Store, asset: Asset, *, days_ago: float) -> None:
    """Let the record that made an asset be of use at a time, as a hit notes it."""
    ((identifier, _),) = store.records.where(output=asset.cid)
    if store.backend.quick:
        then = time.time() - days_ago * 86400
        os.utime(store.backend.path(layout.record(identifier)), (then, then))
    elif days_ago == 0:
        store.backend.note_use([layout.record(identifier)])


def test_what_is_of_use_stays_however_old_it_is(store: Store, file: File) -> None:
    daily, unused = made(store, file, "daily", days_ago=90), made(store, file, "unused", days_ago=90)
    used(store, daily, days_ago=0)
    store.gc(grace=NOW)
    assert store.exists(daily)
    assert not store.exists(unused)
    if store.backend.quick:
        used(store, daily, days_ago=31)
        store.gc(grace=NOW)
        assert not store.exists(daily)


def test_a_hit_is_noted_and_not_each_time(store: Store, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "JUST_NOW", 60.0)
    result = made(store, file, "daily", days_ago=3)
    ((identifier, _),) = store.records.where(output=result.cid)
    store.records.link_keys(["a" * 64], identifier)
    noted: list[list[str]] = []
    note = store.backend.note_use
    monkeypatch.setattr(store.backend, "note_use", lambda places: (noted.append(list(places)), note(noted[-1])))
    for _ in range(3):
        assert store.records.behind(["a" * 64])["a" * 64][0] == identifier
    assert noted == [[layout.record(identifier)]]
    fresh = Store(store.url)
    assert fresh.records.behind(["a" * 64])
    assert len(noted) == 1  # another process: it is noted already
    assert store.backend.used_since([layout.record(identifier)], time.time() - 60)
    store.gc(grace=NOW, recent=86400)
    assert store.exists(result)


def test_what_was_made_just_now_is_not_noted(local: Store, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "JUST_NOW", 60.0)
    ((identifier, _),) = local.records.where(output=made(local, file, "new").cid)
    local.records.link_keys(["a" * 64], identifier)
    monkeypatch.setattr(local.backend, "note_use", lambda places: pytest.fail("one write a hit"))
    assert local.records.behind(["a" * 64])


def test_temporary_results_do_not_wait(store: Store, file: File) -> None:
    kept, temp = made(store, file, "kept"), made(store, file, "temp", temp=True)
    both = made(store, file, "both", temp=True)
    made(store, file, "both", name="lasting")
    made(store, file, "reader", inputs=(temp,))
    store.gc()
    assert store.exists(temp)  # the grace period counts for it
    store.gc(grace=NOW)
    assert not store.exists(temp)
    assert store.exists(kept)
    assert store.exists(both)


def test_a_budget_takes_what_is_cheap_and_long_unused_first(store: Store, file: File) -> None:
    added = store.add(file("added", "x" * 1000))
    results = {
        "dear": made(store, file, "dear", seconds=1000.0),
        "cheap": made(store, file, "cheap", seconds=1e-6),
        "older": made(store, file, "older", seconds=0.1, days_ago=20),
        "newer": made(store, file, "newer", seconds=0.1, days_ago=10),
        "pinned": made(store, file, "pinned", seconds=0.0),
    }
    store.pin("p", results["pinned"])
    sizes = {name: store.size(str(asset.cid)) or 0 for name, asset in results.items()}
    total = 1000 + sum(sizes.values())
    order = ["cheap", "older", "newer", "dear"]
    assert store.gc(grace=NOW, budget=total).removed == ()
    for number, name in enumerate(order):
        planned = store.gc(grace=NOW, budget=total - 1, dry_run=True)
        swept = store.gc(grace=NOW, budget=total - 1)
        assert planned.removed == swept.removed
        assert [each for each in order if not store.exists(results[each])] == order[: number + 1], name
        total -= sizes[name]
        assert swept.kept_bytes == total
    rest = store.gc(grace=NOW, budget=0)
    assert rest.kept_bytes == 1000 + sizes["pinned"]
    assert store.exists(added)
    assert store.fsck().ok


def test_a_budget_keeps_what_two_results_share_and_what_is_young(store: Store, file: File) -> None:
    for name in ("one", "two"):
        file(f"{name}/same", "s" * 500)
        file(f"{name}/own", name * 100)
    one, two = (made_folder(store, file(f"{name}/same", "s" * 500).parent, name) for name in ("one", "two"))
    assert store.gc(budget=0).removed == ()
    size = store.gc(dry_run=True).kept_bytes
    swept = store.gc(grace=NOW, budget=size - 1)
    left = [each for each in (one, two) if store.exists(each)]
    assert len(left) == 1
    assert swept.kept_bytes > 500
    assert len(swept.results) == 1
    assert {path.name for path in store.fetch(left[0]).iterdir()} == {"same", "own"}


def test_a_budget_is_a_size_however_it_is_written(store: Store, file: File) -> None:
    old = made(store, file, "old", seconds=0.1)
    assert store.gc(grace=NOW, budget="1 GB").removed == ()
    for wrong in ("500 apples", -1, True, "", "GB"):
        with pytest.raises(ArgumentError, match="is no size; write for instance '500GB'"):
            store.gc(grace=NOW, budget=wrong)
    assert store.exists(old)
    store.gc(grace=NOW, budget="1 B")
    assert not store.exists(old)


def test_what_goes_is_told_before_it_does(store: Store, file: File) -> None:
    old = made(store, file, "old", days_ago=90)
    told: list[tuple[int, bool]] = []
    swept = store.gc(grace=NOW, told=lambda plan: told.append((len(plan.results), store.exists(old))))
    assert told == [(1, True)]
    assert len(swept.results) == 1
    assert not store.exists(old)


def test_scratch_directories_of_living_tasks_stay_however_quiet_they_are(local: Store) -> None:
    _ = local.context.header
    mine, dead = (
        local.context.scratch / scratch_name(),
        local.context.scratch / scratch_name().replace(f"-{os.getpid()}-", "-4194305-"),
    )
    elsewhere = [local.context.scratch / f"work-{'0' * 8}-{pid}-0-{'a' * 8}" for pid in (1, 2)]
    for place in (mine, dead, *elsewhere):
        (place / "inputs").mkdir(parents=True)
    assert local.gc(grace=NOW).leftovers == (str(dead),)
    assert all(place.exists() for place in (mine, *elsewhere))  # those of another machine gave a sign of life of late
    assert is_in_use(elsewhere[0].name, time.time() - 1700)
    assert not is_in_use(elsewhere[0].name, time.time() - 1900)
    assert is_in_use(mine.name, 0.0)


def test_what_a_failed_call_left_stays_for_a_day(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _ = local.context.header
    failed = local.context.scratch / "failed-0123"
    failed.mkdir()
    assert local.gc(grace=NOW).leftovers == ()
    monkeypatch.setattr(gc, "DAY", 0.0)
    assert local.gc(grace=NOW).leftovers == (str(failed),)
