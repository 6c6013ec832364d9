"""Large files go to S3 in parts: of an upload that breaks off nobody sees anything, and the next one is whole."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from buckets import Buckets, Front

from stargazer.errors import StoreError, StoreReadOnly
from stargazer.store import Store, layout

CHUNK = 1 << 16
PARTS = 4
IN_PARTS = f"import s3fs.core; s3fs.core.calculate_chunksize = lambda *_, **__: {CHUNK}"
ADD = "import sys; from stargazer.store import Store; Store(sys.argv[1]).add(sys.argv[2])"
Meddle = Callable[..., tuple[Front, str]]


@pytest.fixture(autouse=True)
def small_parts(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs.core

    monkeypatch.setattr(s3fs.core, "calculate_chunksize", lambda *_, **__: CHUNK)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(buckets.credentials))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.fixture
def meddling(buckets: Buckets) -> Iterator[Meddle]:
    """Make a front that meddles, and the address of a store behind it."""
    made: list[Front] = []

    def make(meddles: Callable[[str], str | tuple[int, str] | None]) -> tuple[Front, str]:
        made.append(Front(buckets, meddles=meddles))
        return made[-1], f"s3://lab/{uuid.uuid4().hex}?profile=admin&endpoint={made[-1].url}"

    yield make
    for front in made:
        front.close()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * (PARTS * CHUNK // 256))
    return path


def in_turn(step: str, *what: str | tuple[int, str]) -> Callable[[str], str | tuple[int, str] | None]:
    left = list(what)
    return lambda found: left.pop(0) if left and found == step else None


def always(**what: tuple[int, str]) -> Callable[[str], tuple[int, str] | None]:
    return lambda found: what.get(found.replace(" ", "_"))


def directly(url: str, buckets: Buckets) -> Store:
    """The same store, with nothing between."""
    return Store(f"{url.partition('?')[0]}?profile=admin&endpoint={buckets.url}")


def blobs(store: Store) -> list[str]:
    return [entry.place.rpartition("/")[2] for entry in store.backend.entries("blobs")]


def unfinished(url: str, buckets: Buckets) -> int:
    prefix = url.partition("?")[0].removeprefix("s3://lab/")
    return len(buckets.admin.list_multipart_uploads(Bucket="lab", Prefix=prefix).get("Uploads", []))


def check_next_is_whole(url: str, buckets: Buckets, large: Path) -> None:
    store = directly(url, buckets)
    cid = str(store.add(large).cid)
    assert blobs(store) == [cid]
    assert store.fsck().ok


@pytest.mark.parametrize(
    ("step", "what"),
    [
        ("part 2", ["reset"]),
        ("part 2", ["lost"]),
        ("begin", ["lost"]),
        ("complete", ["reset"]),
        ("complete", ["lost"]),
        ("complete", ["lost", (404, "NoSuchUpload")]),
        ("complete", [(409, "ConditionalRequestConflict")]),
        ("complete", [(501, "NotImplemented")]),
    ],
)
def test_what_passes_is_no_failure(
    step: str, what: list[str | tuple[int, str]], meddling: Meddle, buckets: Buckets, large: Path
) -> None:
    front, url = meddling(in_turn(step, *what))
    stored = Store(url).add(large)
    assert front.steps.count(step) > 1, "it was met"
    store = directly(url, buckets)
    assert blobs(store) == [stored.cid]
    assert store.read(str(stored.cid)) == large.read_bytes()


@pytest.mark.parametrize(
    ("refusals", "kind", "told"),
    [
        ({"part_2": (403, "AccessDenied")}, StoreReadOnly, "no right to put"),
        ({"part_2": (400, "BadDigest")}, StoreError, "BadDigest"),
        ({"part_2": (400, "ExpiredToken")}, StoreError, "log in again"),
        ({"part_2": (400, "ExpiredToken"), "abort": (403, "AccessDenied")}, StoreError, "log in again"),
        ({"part_2": (404, "NoSuchUpload"), "abort": (404, "NoSuchUpload")}, StoreError, "broke off"),
        ({"complete": (404, "NoSuchUpload")}, StoreError, "broke off"),
        ({"complete": (400, "InvalidPart")}, StoreError, "InvalidPart"),
    ],
)
def test_of_what_was_refused_nothing_is_seen_and_the_first_reason_is_told(
    refusals: dict[str, tuple[int, str]],
    kind: type[StoreError],
    told: str,
    meddling: Meddle,
    buckets: Buckets,
    large: Path,
) -> None:
    front, url = meddling(always(**refusals))
    with pytest.raises(StoreError, match=told) as caught:
        Store(url).add(large)
    assert type(caught.value) is kind
    assert "abort" in front.steps, "the parts are taken away where that can be done"
    store = directly(url, buckets)
    assert not blobs(store)
    assert not store.find()
    check_next_is_whole(url, buckets, large)


def test_the_first_reason_is_told_where_nothing_is_put_on_conditions(meddling: Meddle, large: Path) -> None:
    left = [(501, "NotImplemented"), (400, "ExpiredToken")]
    answers = {"abort": (403, "AccessDenied")}
    _, url = meddling(lambda found: left.pop(0) if left and found == "complete" else answers.get(found))
    with pytest.raises(StoreError, match="log in again"):
        Store(url).add(large)
    assert not left, "it was tried without"


@pytest.mark.parametrize("step", ["part 3", "complete"])
def test_of_an_upload_that_was_killed_nothing_is_seen_but_by_who_lists_uploads(
    step: str, meddling: Meddle, buckets: Buckets, large: Path
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def kills(found: str) -> str | None:
        if found != step:
            return None
        started[0].kill()
        started[0].wait()
        return "reset"

    _, url = meddling(kills)
    cid = str(directly(url, buckets).blobs.hashed(str(large)).cid)
    started.append(subprocess.Popen([sys.executable, "-c", f"{IN_PARTS}\n{ADD}", url, str(large)]))
    started[0].wait(120)
    assert started[0].returncode == -9
    store = directly(url, buckets)
    assert not blobs(store)
    assert not store.has(cid)
    assert store.backend.stat(layout.blob(cid)) is None
    assert unfinished(url, buckets) == 1, "docs/remotes.md says which rule takes it away"
    check_next_is_whole(url, buckets, large)
    assert unfinished(url, buckets) == 1
