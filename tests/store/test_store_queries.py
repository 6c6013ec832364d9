"""Finding assets by facts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer.assets import (
    R1,
    R2,
    AlignerIndex,
    Alignment,
    AlignmentIndex,
    Asset,
    Reference,
    ReferenceIndex,
    Variants,
    canonical,
)
from stargazer.errors import AssetError, InvalidField, NotFound, UnknownField
from stargazer.store import Store, layout

File = Callable[..., Path]


class Peaks(Asset):
    sample_id: str = ""
    count: int = 0


class PeaksIndex(Asset):
    companion_of = "peaks_cid"
    peaks_cid: str = ""


def test_filters_take_scalars_lists_types_and_text(store: Store, file: File) -> None:
    for sample in ("s1", "s2", "s3"):
        store.add(file(f"{sample}_R1.fq", f"{sample} 1"), R1(sample_id=sample))
        store.add(file(f"{sample}_R2.fq", f"{sample} 2"), R2(sample_id=sample))
    marked = store.add(file("m.bam"), Alignment(sample_id="s1", duplicates_marked=True))
    plain = store.add(file("p.bam"), Alignment(sample_id="s1"))
    assert [a.name for a in store.assemble(asset="r1")] == ["s1_R1.fq", "s2_R1.fq", "s3_R1.fq"]
    assert [a.name for a in store.assemble(asset=[R1, "r2"], sample_id=["s3", "s1"])] == [
        "s1_R1.fq", "s3_R1.fq", "s1_R2.fq", "s3_R2.fq",
    ]  # fmt: skip
    assert store.assemble(asset=Alignment, duplicates_marked=True) == [marked]
    assert store.assemble(asset=Alignment, duplicates_marked="true") == [marked]
    assert store.assemble(duplicates_marked=[True, "false"], sample_id="s1") == [marked, plain]
    assert store.assemble(sample_id="s2", name="s2_R2.fq")[0].asset_key == "r2"
    assert store.assemble(cid=[marked.cid, plain.cid], duplicates_marked=False) == [plain]
    assert store.assemble(asset="variants") == []
    assert len(store.assemble()) == 8
    assert store.assemble()[0].fetch().exists()


def test_a_wrong_filter_is_an_error_that_says_so(store: Store) -> None:
    with pytest.raises(UnknownField, match="sample_id"):
        store.assemble(asset="r1", sampel_id="s1")
    with pytest.raises(InvalidField, match="sample_count"):
        store.assemble(asset=Variants, sample_count="many")
    with pytest.raises(InvalidField, match="duplicates_marked"):
        store.find(asset="alignment", duplicates_marked=1)


@pytest.fixture
def reads(store: Store, file: File) -> list[Asset]:
    """R1 of s1 and s2, R2 of s1; s3 was deleted."""
    drafts = {"s1_R1": R1(sample_id="s1"), "s2_R1": R1(sample_id="s2"), "s1_R2": R2(sample_id="s1")}
    found = [store.add(file(name, name), draft) for name, draft in drafts.items()]
    store.delete(store.add(file("s3", "s3"), R1(sample_id="s3")))
    return found


ABSENT = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


@pytest.mark.parametrize(
    ("filters", "named", "unnamed", "left"),
    [
        ({"asset": "r1", "sample_id": ["s1", "s4"]}, ["r1", "sample_id='s4'"], ["s1"], ["s1_R1"]),
        ({"asset": R1, "sample_id": ["s3", "s2", "s4"]}, ["sample_id='s3' or 's4'"], ["s2"], ["s2_R1"]),
        ({"sample_id": "nobody"}, ["sample_id='nobody'"], [], []),
        ({"asset": ["r1", "r2"], "sample_id": ["s1", "s2"]}, [], [], ["s1_R1", "s2_R1", "s1_R2"]),
        ({"asset": "r2", "sample_id": ["s1", "s2"]}, ["r2", "sample_id='s2'"], ["s1"], ["s1_R2"]),
        ({"cid": ABSENT}, [ABSENT], [], []),
        ({"name": ["s1_R1", "s9_R1"]}, ["name='s9_R1'"], ["s1_R1"], ["s1_R1"]),
        ({"sample_id": ["s1", "s2"], "name": "s1_R1"}, ["sample_id='s2'", "the other filters"], ["s1_R1"], ["s1_R1"]),
        ({"sample_id": "s2", "name": "s1_R1"}, ["sample_id='s2' and name='s1_R1'"], [], []),
        ({"sample_id": ["s1", "x"], "name": ["s1_R1", "y"]}, ["sample_id='x'", "name='y'"], ["s1_R1"], ["s1_R1"]),
        ({"sample_id": ("s1", "s1")}, [], [], ["s1_R1", "s1_R2"]),
        ({"asset": "r1", "sample_id": []}, [], [], []),
    ],
)
def test_each_value_that_nothing_has_is_named(
    store: Store, reads: list[Asset], filters: dict[str, object], named: list[str], unnamed: list[str], left: list[str]
) -> None:
    assert [each.name for each in store.assemble(**filters, missing="skip")] == left
    if not named:
        assert [each.name for each in store.assemble(**filters)] == left
        return
    with pytest.raises(NotFound, match="skip") as caught:
        store.assemble(**filters)
    told = str(caught.value).removeprefix(store.url)
    assert all(each in told for each in named), told
    assert not any(f"'{each}'" in told for each in unnamed), told


def test_values_are_missed_in_the_type_that_they_are_read_in(store: Store, file: File) -> None:
    bam = store.add(file("a.bam"), Alignment(duplicates_marked=True))
    few = store.add(file("few", "few"), Peaks(count=3))
    free = store.add(file("free", "free"), Asset(facts={"asset": "counts", "count": "3", "tags": ["a"]}))
    assert store.assemble(count=["3"]) == [free, few]
    assert store.assemble(tags=[["a"]]) == [free]
    assert store.assemble(asset="alignment", duplicates_marked="true") == [bam]
    for filters, told in (
        ({"count": ["3", 4]}, "count=4;"),
        ({"duplicates_marked": ["true", False]}, "duplicates_marked=False;"),
        ({"tags": [["a"], ["b"]]}, r"tags=\['b'\];"),
        ({"asset": "counts", "lane": 1}, "counts with lane=1;"),
    ):
        with pytest.raises(NotFound, match=told):
            store.assemble(**filters)


def test_an_older_version_of_a_record_is_no_answer(store: Store, file: File) -> None:
    first = store.add(file("a"), R1(sample_id="old"))
    second = store.update(first, sample_id="new")
    assert store.assemble(sample_id="new") == [second]
    with pytest.raises(NotFound, match="'old'"):
        store.assemble(sample_id=["old", "new"])


@pytest.mark.parametrize("ask", [Store.assemble, Store.find])
@pytest.mark.parametrize(
    ("filters", "error", "told"),
    [
        ({"asset": "r3"}, AssetError, r"no asset type 'r3'\. Did you mean r[12]\?"),
        ({"asset": ["r1", "alignmnet"]}, AssetError, r"no asset type 'alignmnet'\. Did you mean alignment\?"),
        ({"asset": "Reference"}, AssetError, "Did you mean reference"),
        ({"asset": "cuonts"}, AssetError, "Did you mean counts"),
        ({"sampel_id": "s1"}, UnknownField, r"'sampel_id'.*Did you mean sample_id\?"),
        ({"lanee": 3}, UnknownField, r"'lanee'.*Did you mean lane\?"),
        ({"aset": "r1"}, UnknownField, r"Did you mean asset\?"),
        ({"asset": "r1", "sampel_id": "s1"}, UnknownField, r"sampel_id.*Did you mean sample_id\?"),
    ],
)
def test_names_that_nothing_has_are_errors_with_the_nearest(
    store: Store,
    file: File,
    ask: Callable[..., list[Asset]],
    filters: dict[str, str],
    error: type[Exception],
    told: str,
) -> None:
    free = store.add(file("f"), Asset(facts={"asset": "counts", "lane": 3}))
    assert ask(store, asset="counts", lane=3) == ask(store, lane=3) == [free]
    with pytest.raises(error, match=told):
        ask(store, **filters)
    if ask is Store.assemble:
        with pytest.raises(error, match=told):
            ask(store, **filters, missing="skip")


def test_missing_is_error_or_skip_and_a_fact_of_that_name_is_found_by_find(store: Store, file: File) -> None:
    odd = store.add(file("f"), Asset(missing="yes"))
    with pytest.raises(InvalidField, match='"error" or "skip"'):
        store.assemble(missing="yes")  # type: ignore[arg-type]
    assert store.find(missing="yes") == store.answer({"missing": "yes"}).assets == [odd]


def test_free_facts_and_types_of_ones_own_are_found(store: Store, file: File) -> None:
    free = store.add(file("f"), Asset(facts={"asset": "counts", "lane": 3, "tags": ["a", "b"]}))
    own = store.add(file("p"), Peaks(sample_id="s1", count=3))
    index = store.add(file("p.idx"), PeaksIndex(peaks_cid=own.cid))
    assert store.find(lane=3) == store.find(asset="counts", lane="json:3") == [free]
    assert store.find(tags=[["a", "b"]]) == [free]
    assert store.find(lane="3") == []
    assert [a.companions for a in store.assemble(asset=Peaks, count="3")] == [(index,)]


def test_companions_come_along_by_their_link_and_once(store: Store, file: File) -> None:
    reference = store.add(file("ref.fa", "ref"), Reference(build="b"))
    cid = str(reference.cid)
    fai = store.add(file("ref.fa.fai", "fai"), ReferenceIndex(build="b", reference_cid=cid))
    for aligner in ("bwa", "bwa-mem2"):
        for ending in ("amb", "ann"):
            path = file(f"{aligner}/ref.fa.{ending}", f"{aligner} {ending}")
            store.add(path, AlignerIndex(build="b", aligner=aligner, reference_cid=cid))
    bai = AlignmentIndex(path=file("a.bam.bai", "bai"))
    bam = store.add(file("a.bam", "bam"), Alignment(reference_cid=cid), companions=[bai])
    (found,) = store.assemble(asset="reference", build="b")
    assert [c.name for c in found.companions] == ["ref.fa.amb", "ref.fa.ann", "ref.fa.fai"]
    assert {c.aligner for c in found.companions if isinstance(c, AlignerIndex)} == {"bwa"}
    assert found.companion(ReferenceIndex) == fai
    assert store.assemble(asset="alignment") == [bam]
    assert found.fetch().with_name("ref.fa.fai").read_text() == "fai"


def test_an_index_made_later_and_one_stored_with_its_file_are_one_asset(store: Store, file: File) -> None:
    alone = store.add(file("a.bam", "bam"), Alignment(sample_id="s1"))
    together = store.add(file("a.bam", "bam"), Alignment(sample_id="s1"), companions=[
        AlignmentIndex(path=file("a.bam.bai", "bai"), sample_id="s1"),
    ])  # fmt: skip
    assert alone.id != together.id
    assert store.assemble(asset="alignment", sample_id="s1") == [together]


def test_an_update_supersedes_and_loses_nothing(store: Store, file: File, elsewhere: Callable[..., Store]) -> None:
    first = store.add(file("a.bam"), Alignment(sample_id="s1", tool="x"))
    second = store.update(first, duplicates_marked="true", name="b.bam")
    assert second.cid == first.cid
    assert second.declared == {**first.declared, "duplicates_marked": True}
    for same in (store, elsewhere(store)):
        assert same.find(asset="alignment") == [second]
        assert same.get(first.id) == first
        assert same.get(str(first.cid)) == second
        assert same.history(first) == same.history(second) == [second, first]
    assert second.fetch().name == "b.bam"
    back = store.update(second, duplicates_marked=False, name="a.bam")
    assert back == first
    assert store.find(asset="alignment") == [first]
    assert store.update(first) == first
    assert store.find(asset="alignment") == [first]
    free = store.update(store.add(file("f", "free"), Asset(facts={"one": 1})), two=2)
    assert free.facts == {"one": 1, "two": 2}
    with pytest.raises(UnknownField):
        store.update(first, samples="s1")


def test_what_is_deleted_is_gone_everywhere_and_may_come_back(
    store: Store, file: File, elsewhere: Callable[..., Store]
) -> None:
    other = elsewhere(store)
    bai = AlignmentIndex(path=file("a.bam.bai", "bai"))
    first = store.add(file("a.bam"), Alignment(sample_id="s1"), companions=[bai])
    kept = store.add(file("a.bam"), R1(sample_id="same bytes"))
    second = store.update(first, tool="t")
    assert other.find(sample_id="s1") == [second]
    store.delete(second)
    for same in (store, other, elsewhere(store)):
        assert same.find(asset=["alignment", "alignment_index"]) == []
        assert same.find() == [kept]
        with pytest.raises(NotFound):
            same.get(first.id)
    with pytest.raises(NotFound):
        store.delete(second)
    assert store.add(file("a.bam"), Alignment(sample_id="s1"), companions=[bai]) == first
    assert other.find(asset="alignment") == store.find(asset="alignment") == [first]
    store.delete(kept.id)
    assert store.find(asset="r1") == []


def test_malformed_records_are_left_out_and_told_by_fsck(store: Store, file: File) -> None:
    good = store.add(file("a"), R1(sample_id="s1"))
    other_version = (
        b'{"asset":"r1","cid":"%s","companions":[],"facts":{"gone":1,"sample_id":"s1"},"format":1,"name":"x"}'
    )
    other_version = other_version.replace(b"%s", str(good.cid).encode())
    for data in (b"{}", b"[1]", b"\xff", b'{"asset": 1, "cid": [], "name": {}, "facts": 3}', other_version):
        store.backend.replace(layout.asset(hashlib.sha256(data).hexdigest()), data)
    torn = "f" * 64
    store.backend.replace(layout.asset(torn), b"torn")
    with pytest.warns(UserWarning, match="gone"):
        assert Store(store.url).assemble(sample_id="s1") == [good]
    report = store.fsck()
    assert len(report.torn) == 5
    assert layout.asset(torn) in report.torn
    assert report.unknown == (hashlib.sha256(other_version).hexdigest(),)
    assert not report.ok
    assert store.fsck().ok


def test_the_index_may_be_deleted_or_damaged_at_any_time(local: Store, file: File, cache: Path) -> None:
    stored = local.add(file("a"), R1(sample_id="s1"))
    assert local.find() == [stored]
    (index,) = cache.rglob("*.sqlite")
    index.write_bytes(b"no database at all" * 1000)
    assert local.find() == [stored]
    with index.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(os.urandom(20 * 4096))
    assert local.find() == [stored]
    for path in index.parent.glob("index*"):
        path.unlink()
    assert local.find() == [stored]


def test_looking_makes_no_store(url: str) -> None:
    store = Store(url)
    assert store.find() == store.assemble() == store.records.where(task="t") == []
    assert store.assemble(sample_id="s1", missing="skip") == []
    with pytest.raises(NotFound, match="sample_id='s1'"):
        store.assemble(sample_id="s1")
    assert store.pins() == store.records.get_keys(["key"]) == {}
    assert not store.made
    assert store.backend.names("") == []


def test_a_record_of_the_same_moment_is_not_overlooked(
    local: Store, file: File, elsewhere: Callable[..., Store]
) -> None:
    """A folder whose clock is coarse keeps its mtime while a second name is made in it."""
    other = elsewhere(local)
    first = local.add(file("0"), Peaks(count=0))
    folder = Path(local.backend.path(layout.asset(first.id))).parent
    whole_second = (folder.stat().st_mtime_ns // 10**9 * 10**9,) * 2
    os.utime(folder, ns=whole_second)
    assert len(other.find()) == 1
    number = 1
    while (second := local.put(Peaks(cid=first.cid, name="0", count=number))).id[-3:-1] != first.id[-3:-1]:
        number += 1
    os.utime(folder, ns=whole_second)
    assert second in other.find(asset="peaks")


def test_one_of_many_records_is_found(local: Store) -> None:
    cid = local.blobs.put_bytes(b"reads")
    for number in range(2000):
        asset = Alignment(cid=cid, name=f"{number}.bam", sample_id=f"s{number}", sorted="coordinate")
        place = Path(local.backend.path(layout.asset(asset.id)))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(canonical(asset))
    for number in (77, 1000):
        (found,) = local.assemble(asset="alignment", sorted="coordinate", sample_id=f"s{number}")
        assert found.name == f"{number}.bam"


def test_an_id_that_begins_as_cids_do_is_an_id(store: Store, file: File) -> None:
    drafts = (Asset(cid=store.blobs.put_bytes(b"x"), number=number) for number in range(100_000))
    begun = next(draft for draft in drafts if draft.id.startswith("baf"))
    assert store.put(begun).id == begun.id
    assert store.get(begun.id) == begun
    with pytest.raises(NotFound, match="no asset record baf"):
        store.get("baf" + "0" * 61)


def test_a_type_that_was_named_and_has_nothing_is_an_error_where_others_have(store: Store, file: File) -> None:
    forward = store.add(file("r1.fq"), R1(sample_id="s1"))
    with pytest.raises(NotFound, match=r"has no r1 or r2 with asset='r2'"):
        store.assemble(asset=[R1, "r2"], sample_id="s1")
    with pytest.raises(NotFound, match="asset='variants'"):
        store.assemble(asset=["r1", "variants"])
    assert store.assemble(asset=[R1, "r2"], sample_id="s1", missing="skip") == [forward]
    assert store.assemble(asset=["r2", "variants"]) == []
    reverse = store.add(file("r2.fq"), R2(sample_id="s1"))
    assert store.assemble(asset=[R1, "r2"], sample_id="s1") == [forward, reverse]
