"""Rights in buckets, as S3 checks them: what a store does that may read only, may not list, or finds no bucket."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import dask.config
import pytest
from buckets import Buckets, Front

import stargazer as sg
from stargazer.errors import BlobLost, RemoteError, RemoteLacks, StoreError, StoreReadOnly, Unreadable
from stargazer.remotes import fetch_into, read_remote
from stargazer.store import Store, layout

MISSING = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


@sg.task
def counted(work: sg.Workdir, reads: sg.R1, *, n: int = 1) -> sg.Asset:
    out = work.file("n.txt")
    out.write_text(f"{n} {reads.path.stat().st_size}")
    return sg.Asset(path=out)


@pytest.fixture(autouse=True)
def profiles(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users come from their profiles only: the keys of the environment are nobody's."""
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(buckets.credentials))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nobody")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.fixture
def place() -> str:
    return f"s3://lab/{uuid.uuid4().hex}"


@pytest.fixture
def front(buckets: Buckets) -> Iterator[Front]:
    """S3 as those see it who may not list."""
    made = Front(buckets, hides=True)
    yield made
    made.close()


@pytest.fixture
def at(buckets: Buckets, place: str) -> Callable[[str], Store]:
    """The store, as a user sees it: in a cache of its own."""

    def opened(user: str, endpoint: str = buckets.url) -> Store:
        return Store(f"{place}?profile={user}&endpoint={endpoint}")

    return opened


@pytest.fixture
def filled(at: Callable[[str], Store], tmp_path: Path) -> sg.R1:
    """Reads in the store, and a call that it knows."""
    (tmp_path / "reads.fq").write_bytes(b"reads" * 1000)
    with at("writer") as store:
        reads = store.add(tmp_path / "reads.fq", sg.R1(sample_id="s1"))
        counted(reads).compute()
    return reads


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[[], None]:
    """Look as another host does: nothing is cached."""

    def move() -> None:
        dask.config.set({"stargazer.cache": str(tmp_path / uuid.uuid4().hex)})

    return move


def test_profile_and_endpoint_stand_in_the_address_and_are_those_of_each_store(
    at: Callable[[str], Store], filled: sg.R1, place: str, buckets: Buckets
) -> None:
    assert filled.source.url == f"{place}?endpoint={buckets.url}&profile=writer"
    assert at("reader").read(str(filled.cid)) == b"reads" * 1000
    with pytest.raises(StoreError, match="no right to get objects"):
        at("stranger")


def test_a_store_that_may_be_read_only_answers_and_says_so_where_something_would_be_written(
    at: Callable[[str], Store], filled: sg.R1, tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    elsewhere()
    store, other = at("reader"), Store(tmp_path / "other")
    (tmp_path / "new").write_text("new")
    with store:
        (reads,) = sg.assemble(asset="r1")
        assert reads.fetch().read_bytes() == b"reads" * 1000
        assert counted(reads).known() is not None
        assert counted(reads).compute().fetch().read_text() == "1 5000"
        assert store.fsck().ok
        assert store.gc(dry_run=True)
    writes: dict[str, Callable[[], object]] = {
        "add": lambda: store.add(tmp_path / "new"),
        "a new call": lambda: counted(reads, n=7).compute(),
        "push": lambda: sg.push(other.add(tmp_path / "new"), to=store.url),
        "pin": lambda: store.pin("x", reads),
        "update": lambda: store.update(reads, sample_id="s2"),
        "delete": lambda: store.delete(reads),
        "a name": lambda: store.names.set("cohort/x", reads),
        "a lease": lambda: store.lease("run", [reads]),
    }
    for what, write in writes.items():
        with store, pytest.raises(StoreReadOnly, match="no right to put or delete") as caught:
            write()
        assert "docs/remotes.md" in str(caught.value), what


def test_to_whom_what_is_missing_is_forbidden_it_is_missing(
    at: Callable[..., Store], filled: sg.R1, front: Front, tmp_path: Path, elsewhere: Callable[[], None], place: str
) -> None:
    elsewhere()
    store = at("getter", front.url)
    entry = {"store": place, "name": "lab", "profile": "getter", "endpoint": front.url, "trust": True}
    remote = read_remote(entry)
    assert not store.has(MISSING)
    assert store.read(str(filled.cid)) == b"reads" * 1000
    with pytest.raises(BlobLost, match="missing"):
        store.read(MISSING)
    own = Store(tmp_path / "own")
    fetch_into(own, str(filled.cid), [remote])
    assert own.has(str(filled.cid))
    with pytest.raises(RemoteLacks):
        fetch_into(own, MISSING, [remote])
    (tmp_path / "hello").write_text("hello")
    second = Store(tmp_path / "second")
    hello = str(second.add(tmp_path / "hello").cid)
    fetch_into(own, hello, [remote, read_remote({"store": second.url})])
    assert own.read(hello) == b"hello"
    with dask.config.set({"stargazer.remotes": [entry]}), Store(tmp_path / "third"):
        reads = sg.add(tmp_path / "reads.fq", sg.R1(sample_id="s1"))
        assert "known" in str(sg.plan(counted(reads)))
        assert counted(reads).compute().fetch().read_text() == "1 5000"
        assert counted(reads, n=5).compute().fetch().read_text() == "5 5000"


def test_who_may_not_list_is_told_so_and_not_that_there_is_nothing(
    at: Callable[..., Store], filled: sg.R1, front: Front, elsewhere: Callable[[], None]
) -> None:
    elsewhere()
    with pytest.raises(StoreError, match="no right to list objects"):
        at("getter", front.url).find(asset="r1")


def test_a_bucket_that_is_not_there_is_not_taken_for_one_without_the_file(buckets: Buckets, tmp_path: Path) -> None:
    url = f"s3://nowhere/x?profile=admin&endpoint={buckets.url}"
    (tmp_path / "a").write_text("a")
    with pytest.raises(StoreError, match="no bucket"):
        Store(url).add(tmp_path / "a")
    with pytest.raises(RemoteError, match="no bucket"):
        fetch_into(Store(tmp_path / "own"), MISSING, [read_remote({"store": url})])


def test_what_is_archived_is_named_and_the_rest_is_checked(
    at: Callable[[str], Store],
    filled: sg.R1,
    buckets: Buckets,
    place: str,
    tmp_path: Path,
    elsewhere: Callable[[], None],
) -> None:
    prefix, cid = place.removeprefix("s3://lab/"), str(filled.cid)
    key = f"{prefix}/{layout.blob(cid)}"
    buckets.admin.copy_object(Bucket="lab", Key=key, CopySource={"Bucket": "lab", "Key": key}, StorageClass="GLACIER")
    elsewhere()
    store = at("writer")
    (tmp_path / "other").write_text("other")
    other = store.add(tmp_path / "other")
    store.backend.replace(layout.blob(str(other.cid)), b"harmed")
    elsewhere()
    checked = at("writer").fsck()
    assert not checked.ok
    assert checked.unreadable == (cid,)
    assert str(other.cid) in checked.corrupt
    assert cid not in checked.corrupt
    with pytest.raises(Unreadable, match="archived"):
        at("writer").read(cid)
    with pytest.raises(RemoteError, match="archived"):
        fetch_into(Store(tmp_path / "own"), cid, [read_remote({"store": store.url, "name": "lab"})])
    names = [entry.place for entry in store.backend.entries("quarantine")]
    assert not [name for name in names if cid in name]


def test_who_pays_is_said_where_it_was_asked_for(buckets: Buckets, place: str, tmp_path: Path) -> None:
    front = Front(buckets)
    (tmp_path / "a").write_text("a")
    try:
        Store(f"{place}?profile=writer&endpoint={front.url}").add(tmp_path / "a")
        assert set(front.payers) == {None}
        front.payers.clear()
        entry = {"store": place, "profile": "writer", "endpoint": front.url, "requester-pays": True}
        remote = read_remote(entry)
        assert remote.has(str(Store(place + f"?profile=reader&endpoint={buckets.url}").find()[0].cid))
        assert set(front.payers) == {"requester"}
    finally:
        front.close()
