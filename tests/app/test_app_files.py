"""Files: found, shown, added in pieces, and what was made of what."""

from __future__ import annotations

import asyncio
import re
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import stargazer as sg
from stargazer.app import make_app
from stargazer.app.access import PAGE_HEADER, Access
from stargazer.app.graph import graph_around
from stargazer.app.uploads import Uploads
from stargazer.cid import cid_of_path
from stargazer.errors import ArgumentError, AssetError, Conflict
from stargazer.mcp import previews
from stargazer.store import Store


@sg.task
def upper(work: sg.Workdir, text: sg.Asset, *, number: int = 0) -> sg.Asset:
    """Write a text in capitals."""
    out = work.file(f"upper-{number}.txt")
    out.write_text(text.path.read_text().upper() + str(number))
    return sg.Asset(path=out)


@sg.task
def joined(work: sg.Workdir, texts: list[sg.Asset]) -> sg.Asset:
    """Join texts."""
    out = work.file("all.txt")
    out.write_text("".join(each.path.read_text() for each in texts))
    return sg.Asset(path=out)


@pytest.fixture
def words(store: Store, tmp_path: Path) -> sg.Asset:
    (tmp_path / "words.txt").write_text("<script>alert(1)</script>\nsecond line\n")
    return sg.add(tmp_path / "words.txt")


@pytest.fixture
def pages(store: Store, tmp_path: Path) -> Iterator[TestClient]:
    access = Access("token")
    app = make_app(tmp_path / "root", access, store, folder=tmp_path / "private")
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        client.get("/?token=token")
        client.headers[PAGE_HEADER] = access.page_token
        yield client


def test_a_page_of_files_in_order_and_how_many_there_are(store: Store, tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / f"r{number}.fq").write_text(f"@r\n{'A' * (number + 1)}\n+\n{'I' * (number + 1)}\n")
        sg.add(tmp_path / f"r{number}.fq", sg.R1(sample_id=f"s{number % 2}"))
    total, found = store.queries.page({"asset": "r1"}, 2, 3)
    assert (total, [each.name for each in found]) == (7, ["r2.fq", "r3.fq", "r4.fq"])
    total, found = store.queries.page({"sample_id": "s1"}, 0, 50)
    assert (total, [each.name for each in found]) == (3, ["r1.fq", "r3.fq", "r5.fq"])
    assert store.queries.page({"sample_id": "s9"}, 0, 50) == (0, [])
    with pytest.raises(AssetError):
        store.queries.page({"no_such_fact": "x"}, 0, 50)


def test_the_graph_goes_up_and_down_from_the_middle(store: Store, words: sg.Asset) -> None:
    middle = upper(words).compute()
    last = joined([upper(words, number=n) for n in range(3)]).compute()
    graph = graph_around(store, middle)
    assert {each.name for each in graph.files.values()} == {"words.txt", "upper-0.txt", "all.txt"}
    assert sorted(each.task for each in graph.calls.values()) == ["joined", "upper"]
    assert graph.left_out == 0
    below = graph_around(store, words)
    assert {each.name for each in below.files.values()} == {f"upper-{n}.txt" for n in range(3)} | {
        "words.txt",
        "all.txt",
    }
    assert len(below.edges) == 3 + 3 + 3 + 1
    few = graph_around(store, last, limit=4)
    assert few.size == 4
    assert few.left_out > 0
    drawn = ElementTree.fromstring(below.svg("/base"))
    links = {each.get("href") for each in drawn.iter("{http://www.w3.org/2000/svg}a")}
    assert f"/base/files/{words.id}" in links
    places = [(int(r.get("x", 0)), int(r.get("y", 0))) for r in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(set(places)) == below.size, "no box lies on another"


def test_a_file_that_is_made_of_itself_ends(store: Store, tmp_path: Path) -> None:
    @sg.task
    def same(work: sg.Workdir, text: sg.Asset) -> sg.Asset:
        out = work.file("same.txt")
        out.write_text(text.path.read_text())
        return sg.Asset(path=out)

    (tmp_path / "same.txt").write_text("x")
    made = same(sg.add(tmp_path / "same.txt")).compute()
    graph = graph_around(store, made)
    assert graph.size == 2
    assert graph.svg("").startswith("<svg")


def test_the_pages_of_a_file(pages: TestClient, words: sg.Asset) -> None:
    made = upper(words, number=3).compute()
    table = pages.get("/files").text
    assert "words.txt" in table
    assert "upper-3.txt" in table
    assert "2 files" in table
    assert "1 file" in pages.get("/files?facts=name%3Dwords.txt").text
    assert "no asset type has a fact" in pages.get("/files?facts=colour%3Dred").text
    card = pages.get(f"/files/{words.id}").text
    assert "&lt;script&gt;alert(1)" in card
    assert "<script>alert" not in card
    assert "upper" in card
    assert str(words.cid) in card
    assert "upper" in pages.get(f"/files/{made.id}").text
    taken = pages.get(f"/download/file/{words.id}")
    assert taken.content == words.fetch().read_bytes()
    assert taken.headers["content-disposition"] == 'attachment; filename="words.txt"'
    assert taken.headers["content-type"] == "application/octet-stream"
    for wrong in ("x" * 64, "0" * 64, "%2e%2e", "bafkreia"):
        assert pages.get(f"/files/{wrong}").status_code in (400, 404)


def test_a_page_fetches_no_large_file_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "LARGEST", 4)
    (tmp_path / "words.txt").write_text("many words")
    access = Access("token")
    with Store(f"memory://{tmp_path.name}-elsewhere") as store:
        asset = sg.add(tmp_path / "words.txt")
        app = make_app(tmp_path / "root", access, store, folder=tmp_path / "private")
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            client.get("/?token=token")
            told = client.get(f"/files/{asset.id}").text
    assert "large and not on this machine" in told
    assert "many words" not in told


def test_a_file_says_what_it_is_called(pages: TestClient, words: sg.Asset, store: Store) -> None:
    store.names.set("lab/words", words)
    store.names.set("lab/words", words)
    assert "lab/words@1" in pages.get(f"/files/{words.id}").text


def test_facts_pins_and_forgetting(pages: TestClient, store: Store, tmp_path: Path) -> None:
    (tmp_path / "r.fq").write_text("@r\nA\n+\nI\n")
    reads = sg.add(tmp_path / "r.fq", sg.R1(sample_id="s1"))
    answer = pages.post(f"/api/files/{reads.id}/facts", json={"sample_id": "s2"})
    assert answer.status_code == 200, answer.text
    (now,) = sg.assemble(asset="r1")
    assert now.sample_id == "s2"
    assert answer.json()["go"] == f"/files/{now.id}"
    wrong = pages.post(f"/api/files/{now.id}/facts", json={"colour": "red"})
    assert wrong.status_code == 400
    assert "colour" in wrong.json()["error"]
    assert pages.post(f"/api/files/{now.id}/pin", json={"name": "paper"}).status_code == 200
    assert [each.cid for each in store.pins()["paper"]] == [now.cid]
    assert pages.post(f"/api/files/{now.id}/pin", json={"name": "../x"}).status_code == 400
    assert pages.post(f"/api/files/{now.id}/delete", json={}).status_code == 200
    assert sg.assemble(asset="r1", missing="skip") == []


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _broken(piece: bytes) -> AsyncIterator[bytes]:
    yield piece
    raise ConnectionError


def test_an_upload_goes_on_where_it_was(tmp_path: Path, store: Store) -> None:
    uploads, data = Uploads(tmp_path / "uploads"), bytes(range(256)) * 1000
    (tmp_path / "same").write_bytes(data)
    begun = uploads.begin("r.fq", len(data), "r1", {"sample_id": "s1"}, "key")
    with pytest.raises(ConnectionError):
        asyncio.run(uploads.take(begun["id"], 0, _broken(data[:1000])))
    again = Uploads(tmp_path / "uploads").begin("r.fq", len(data), "r1", {"sample_id": "s1"}, "key")
    assert (again["id"], again["offset"]) == (begun["id"], 1000)
    with pytest.raises(Conflict, match="1,000 bytes have arrived"):
        asyncio.run(uploads.take(begun["id"], 0, _pieces(data)))
    with pytest.raises(Conflict, match="of 256,000"):
        uploads.finish(begun["id"], store)
    with pytest.raises(ArgumentError, match="more than"):
        asyncio.run(uploads.take(begun["id"], 1000, _pieces(data)))
    asyncio.run(uploads.take(begun["id"], 1000, _pieces(data[1000:5000], data[5000:])))
    made = uploads.finish(begun["id"], store)
    assert (made.cid, made.sample_id, made.name) == (cid_of_path(tmp_path / "same"), "s1", "r.fq")
    assert uploads.state(begun["id"])["offset"] == 0, "its bytes are in the store, and nowhere else"
    assert uploads.finish(begun["id"], store).id == made.id, "an answer that was lost is told again"
    anew = uploads.begin("r.fq", len(data), "r1", {"sample_id": "s1"}, "key")
    assert anew["offset"] == 0, "another file may have that name, size and time"
    with pytest.raises(Conflict, match="0 of 256,000"):
        uploads.finish(anew["id"], store)


def test_a_page_that_is_reloaded_while_it_waits_for_the_store(tmp_path: Path, store: Store) -> None:
    uploads, go, waits = Uploads(tmp_path / "uploads"), threading.Event(), threading.Event()
    number = uploads.begin("r.bin", 4, "asset", {}, "")["id"]
    asyncio.run(uploads.take(number, 0, _pieces(b"1234")))

    class Slow:
        get = store.get

        def add(self, *args: Any, **options: Any) -> sg.Asset:
            waits.set()
            assert go.wait(60)
            return store.add(*args, **options)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(uploads.finish, number, Slow())  # type: ignore[arg-type]
        assert waits.wait(60)
        second = pool.submit(uploads.finish, number, store)
        go.set()
        assert first.result(60).id == second.result(60).id


def test_two_pages_that_send_one_file_do_not_mix_it(tmp_path: Path, store: Store) -> None:
    uploads = Uploads(tmp_path / "uploads")
    number = uploads.begin("r.bin", 4, "asset", {}, "")["id"]

    async def both() -> None:
        wait = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"12"
            await wait.wait()
            yield b"34"

        first = asyncio.create_task(uploads.take(number, 0, slow()))
        await asyncio.sleep(0)
        with pytest.raises(Conflict, match="another page"):
            await uploads.take(number, 0, _pieces(b"xxxx"))
        wait.set()
        await first

    asyncio.run(both())
    assert uploads.finish(number, store).fetch().read_bytes() == b"1234"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\0b", "x" * 256])
def test_names_that_no_upload_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match="name of a file"):
        Uploads(tmp_path).begin(name, 1, "asset", {}, "")
    assert list(tmp_path.iterdir()) == []


def test_wrong_facts_are_told_before_a_byte_is_sent(pages: TestClient) -> None:
    asked = {"name": "x", "size": 1, "type": "r1", "facts": {"colour": "red"}, "key": ""}
    answer = pages.post("/api/uploads", json=asked)
    assert answer.status_code == 400
    assert "colour" in answer.json()["error"]
    assert pages.post("/api/uploads", json={**asked, "type": "no_type"}).status_code == 400
    assert pages.post("/api/uploads", json={**asked, "size": "1"}).status_code == 400
    for number in ("..", "0" * 32, "x"):
        assert pages.put(f"/api/uploads/{number}?offset=0", content=b"x").status_code == 404


def test_an_upload_through_the_pages(pages: TestClient, store: Store) -> None:
    form = pages.get("/files/add").text
    assert '"sample_id"' in re.findall(r'id="kinds">(.*?)</script>', form, re.DOTALL)[0]
    begun = pages.post("/api/uploads", json={"name": "a.txt", "size": 5, "type": "", "facts": {}, "key": "1"}).json()
    assert pages.put(f"/api/uploads/{begun['id']}?offset=0", content=b"12").json()["offset"] == 2
    assert pages.put(f"/api/uploads/{begun['id']}?offset=2", content=b"345").json()["offset"] == 5
    made = pages.post(f"/api/uploads/{begun['id']}/finish", json={}).json()
    assert store.get(made["id"]).fetch().read_bytes() == b"12345"
    empty = pages.post("/api/uploads", json={"name": "empty", "size": 0, "type": "", "facts": {}, "key": ""}).json()
    assert pages.post(f"/api/uploads/{empty['id']}/finish", json={}).status_code == 201
    left = pages.post("/api/uploads", json={"name": "b", "size": 5, "type": "", "facts": {}, "key": ""}).json()
    assert pages.delete(f"/api/uploads/{left['id']}").status_code == 200
