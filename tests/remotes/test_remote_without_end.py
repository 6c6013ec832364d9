"""What a neighbour or a file sends without end: each ends, in an error or on another way, and little is kept of it."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dags import Asked, Dag, Peer

from stargazer.cid import address, parse
from stargazer.cid.cid import is_read
from stargazer.errors import CIDError, DataError, RemoteError, RemoteRefused, StoreFull
from stargazer.remotes import fetch_into, read_remote
from stargazer.remotes.blocks import RemoteWarning
from stargazer.remotes.car import car_header, car_section
from stargazer.remotes.cars import import_car
from stargazer.remotes.pinata import Pinata
from stargazer.store import Store, layout

Start = Callable[..., Peer]
OTHERS = {
    "zeros": bytes(1 << 16),
    "inlined blocks": b"\x0b\x01\x55\x00\x07abcdefg" * 5000,
    "other data": (b"\x25\x01\x71\x12\x20" + bytes(32) + b"\xa0") * 2000,
}


@pytest.mark.parametrize("kind", OTHERS, ids=OTHERS)
def test_a_car_of_what_is_passed_over_ends(kind: str, store: Store, peer: Start) -> None:
    dag = Dag()
    folder = dag.directory((dag.raw(b"some bytes"), b"file", 10))

    def answers(asked: Asked) -> None:
        if asked.kind != "car":
            return asked.serve()
        asked.send_response(200)
        asked.send_header("Content-Type", "application/vnd.ipld.car")
        asked.send_header("Transfer-Encoding", "chunked")
        asked.end_headers()
        piece = car_header(folder)
        while True:
            asked.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            piece = OTHERS[kind]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RemoteWarning)
        fetch_into(store, folder, [read_remote({"gateway": peer(dag, answers).url, "timeout": 20})])
    assert store.read(f"{folder}/file") == b"some bytes"


def test_a_car_file_that_is_padded_is_read_and_its_holes_are_not(store: Store, tmp_path: Path) -> None:
    dag = Dag()
    folder = dag.directory((dag.raw(b"some bytes"), b"file", 10))
    path = tmp_path / "padded.car"
    path.write_bytes(dag.car(folder))
    os.truncate(path, 1 << 40)
    assert import_car(store, path) == [folder]


def test_a_car_that_is_no_file_is_refused_at_once(store: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.car")
    with pytest.raises(CIDError, match=r"pipe\.car.* is a"):
        import_car(store, tmp_path / "pipe.car")
    with pytest.raises(CIDError, match="is a"):
        import_car(store, tmp_path)


@pytest.mark.parametrize(
    "sign", ["k1", "z2", "f8", "bq", "Qm"], ids=["base36", "base58", "base16", "base32", "version 0"]
)
def test_a_text_that_is_longer_than_any_cid_is_not_read(sign: str) -> None:
    with pytest.raises(CIDError, match="characters, and a CID") as caught:
        parse(sign[0] + sign[1:] * 3_000_000)
    assert len(str(caught.value)) < 200


def test_a_number_in_a_link_has_an_end() -> None:
    assert not is_read(b"\x01" + b"\xff" * 2_000_000)
    assert not is_read(b"\xff" * 2_000_000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ipns://k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8", "is a name of IPNS"),
        ("https://gw.example/ipns/x?token=geheim", "is a name of IPNS"),
        ("https://me:geheim@x.ipns.gw.example/", "is a name of IPNS"),
        ("https://gw.example/files/x?X-Signature=geheim", "has no CID in it"),
        ("https://me:geheim@gw.example/files/x#geheim", "has no CID in it"),
        ("https://me:geheim@bafy.ipfs.gw.example/", "is no CID"),
        ("bafyqaaa", "names dag-cbor data"),
    ],
    ids=["ipns", "ipns url", "ipns host", "signature", "password", "password and host", "other data"],
)
def test_what_is_no_address_is_told_without_what_is_secret_in_it(text: str, told: str) -> None:
    with pytest.raises(CIDError, match=told) as caught:
        address(text)
    assert "geheim" not in str(caught.value)


CID = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"dweb:/ipfs/{CID}", CID),
        (f"ipfs:{CID}", CID),
        (f"ipfs%3A%2F%2F{CID}%2Fa", f"{CID}/a"),
        (f"https%3A%2F%2Fdweb.link%2Fipfs%2F{CID}", CID),
        (f"/ipfs/{CID}/ipns/x", f"{CID}/ipns/x"),
        (f"https://dweb.link/ipfs/{CID}/ipns/x", f"{CID}/ipns/x"),
        (f"https://{CID}.ipfs.dweb.link/ipns/x", f"{CID}/ipns/x"),
        (f"https://me:secret@{CID}.ipfs.dweb.link/a", f"{CID}/a"),
    ],
    ids=["dweb", "no slashes", "encoded", "encoded url", "folder ipns", "folder in url", "folder in host", "password"],
)
def test_more_of_what_people_paste_is_a_cid(text: str, found: str) -> None:
    assert address(text) == found


# Accounts.


def entry(number: int, cid: str = CID, **more: Any) -> dict[str, Any]:
    return {"id": f"id{number}", "name": f"n{number}", "cid": cid, "size": 3, "keyvalues": {}, **more}


@pytest.fixture
def account(peer: Start, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pinata]:
    """An account whose lists are made by a test, and that notes what was deleted."""
    monkeypatch.setenv("PINATA_JWT", "a-token-of-this-test")

    def start(page: Callable[[int], dict[str, Any]], body: Callable[[Asked], None] | None = None) -> Pinata:
        counted = iter(range(1_000_000))

        def answers(asked: Asked) -> None:
            if body and asked.place.startswith("/ipfs/"):
                return body(asked)
            told = None if asked.command == "DELETE" else page(next(counted))
            return asked.answer(json.dumps({"data": told}).encode())

        started = peer(Dag(), answers)
        made = read_remote({"pinata": "public", "api": started.url, "uploads": started.url, "gateway": started.url})
        assert isinstance(made, Pinata)
        made.deleted = lambda: [each.place for each in started.asked if each.command == "DELETE"]  # type: ignore[attr-defined]
        return made

    return start


@pytest.mark.parametrize("files", [0, 1, 2], ids=["empty", "the same", "others"])
def test_a_list_that_goes_on_and_on_ends(files: int, account: Callable[..., Pinata]) -> None:
    other = Dag().raw(b"other")

    def page(number: int) -> dict[str, Any]:
        found = [[], [entry(1, other)], [entry(number, other)]][files]
        return {"files": found, "next_page_token": f"t{number}"}

    with pytest.raises(RemoteRefused, match=r"again and again|page after page"):
        account(page).has(CID)


def test_a_file_that_is_listed_twice_is_deleted_once(account: Callable[..., Pinata]) -> None:
    twice = account(lambda _: {"files": [entry(1), entry(1)]})
    assert twice.delete_all(cid=CID) == 1
    assert twice.deleted() == ["/v3/files/public/id1"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("odd", ["../groups/x", "a/b", "x?y", "z" * 1_000_000], ids=["up", "path", "query", "long"])
def test_an_id_that_leads_elsewhere_is_set_aside_before_anything_is_deleted(
    odd: str, account: Callable[..., Pinata]
) -> None:
    made = account(lambda _: {"files": [entry(1), entry(2, id=odd), entry(3)]})
    assert made.delete_all(cid=CID, several=True) == 2
    assert made.deleted() == ["/v3/files/public/id1", "/v3/files/public/id3"]  # type: ignore[attr-defined]
    with pytest.raises(RemoteError, match="is no id of a file"):
        made.update(odd, name="x", keyvalues={})


@pytest.mark.parametrize(
    "odd",
    [{"cid": "k" + "1" * 1_000_000}, {"name": ["a"]}, {"name": {"a": 1}}, {"name": "\ud800"}, {"id": 7}, {"id": None}],
    ids=["long cid", "list", "mapping", "half a letter", "number", "null"],
)
def test_entries_of_other_shapes_are_set_aside_in_short_words(
    odd: dict[str, Any], account: Callable[..., Pinata]
) -> None:
    made = account(lambda _: {"files": [{**entry(1), **odd}, entry(2)]})
    with pytest.warns(match="was set aside") as caught:
        assert [each["id"] for each in made.files()] == ["id2"]
    assert all(len(str(each.message)) < 400 for each in caught)


def test_facts_of_other_shapes_are_no_facts(account: Callable[..., Pinata]) -> None:
    facts = {"asset": "r1", "sample_id": None, "mate": ["x"], "owner": {"a": 1}}
    found = account(lambda _: {"files": [entry(1, keyvalues=facts)]}).query()
    assert [(each.asset_key, each.sample_id) for each in found] == [("r1", "")]  # type: ignore[attr-defined]


def test_a_file_that_announces_more_than_the_account_knows_is_refused_before_its_first_byte(
    account: Callable[..., Pinata], store: Store
) -> None:
    sent = []

    def giant(asked: Asked) -> None:
        asked.send_response(200)
        asked.send_header("Content-Length", str(10**13))
        asked.end_headers()
        for _ in range(200):
            asked.wfile.write(bytes(1 << 20))
            sent.append(1)
        asked.close_connection = True

    with pytest.raises(RemoteError, match="announces 10000000000000 bytes of a file that has 3"):
        fetch_into(store, CID, [account(lambda _: {"files": [entry(1)]}, giant)])
    assert len(sent) < 100
    assert not list(store.context.scratch.iterdir())


def test_a_large_file_of_which_the_account_knows_nothing_comes_as_it_is_announced(
    account: Callable[..., Pinata], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The public gateway has files of others, too."""
    monkeypatch.setattr("stargazer.remotes.http._SMALL", 4)
    cid = Dag().raw(b"some bytes")
    fetch_into(store, cid, [account(lambda _: {"files": []}, lambda asked: asked.answer(b"some bytes"))])
    assert store.read(cid) == b"some bytes"


@pytest.mark.parametrize("size", [3 << 20, 1 << 43], ids=["a few blocks", "terabytes"])
@pytest.mark.parametrize("codec", ["raw", "dag-pb"])
def test_a_sparse_file_in_the_place_of_a_blob_fills_no_disk(
    size: int, codec: str, store: Store, origin: Store, tmp_path: Path
) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"x" * (10 if codec == "raw" else 3 << 20))
    cid = str(origin.add(text).cid)
    blob = Path(origin.backend.path(layout.blob(cid)))
    blob.unlink()
    blob.touch()
    try:
        os.truncate(blob, size)
    except OSError:
        pytest.skip("no file of this disk may be so large")
    with pytest.raises((RemoteError, StoreFull)):
        fetch_into(store, cid, [read_remote({"store": origin.url})])
    assert not store.has(cid)
    assert sum(path.stat().st_size for path in store.context.scratch.iterdir()) == 0


def test_a_block_of_a_car_that_is_another_is_refused(store: Store, tmp_path: Path) -> None:
    dag = Dag()
    leaf = dag.raw(b"some bytes")
    folder = dag.directory((leaf, b"file", 10))
    path = tmp_path / "harmed.car"
    path.write_bytes(car_header(folder) + car_section(leaf, b"other byte") + dag.car(folder)[len(car_header(folder)) :])
    with pytest.raises((RemoteError, DataError), match="not what this CID names"):
        import_car(store, path)
    assert not store.has(folder)
