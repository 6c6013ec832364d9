"""CARs out of a store and into one, where things are, and a remote that is kept in step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from dags import Asked, Dag, Peer
from nodes import Node
from pinata_stand_in import JWT, standing_in
from typer.testing import CliRunner

import stargazer as sg
from stargazer.cid import cid_of_bytes
from stargazer.cid.cid import binary
from stargazer.cid.dagpb import varint
from stargazer.cli.app import app
from stargazer.errors import DataError, RemoteCannot, RemoteError, RemoteRefused
from stargazer.remotes import RemoteWarning, push, read_remote
from stargazer.remotes.car import car_section
from stargazer.remotes.cars import export_car, import_car
from stargazer.remotes.kubo import Kubo
from stargazer.remotes.pinata import Pinata
from stargazer.remotes.places import mirror, where
from stargazer.store import Store, layout

Start = Callable[..., Peer]
DATA = bytes(range(256)) * 3000


@pytest.fixture
def folder(store: Store, tmp_path: Path) -> str:
    root = tmp_path / "folder"
    (root / "below").mkdir(parents=True)
    (root / "below/large").write_bytes(DATA)
    (root / "small").write_text("small")
    return str(store.add(root).cid)


def test_a_car_goes_there_and_back(folder: str, store: Store, tmp_path: Path) -> None:
    run, car = CliRunner(), tmp_path / "folder.car"
    assert run.invoke(app, ["export", folder, "--car", str(car), "--store", store.url]).exit_code == 0
    told = run.invoke(app, ["import", str(car), "--store", str(tmp_path / "other")])
    assert told.output.strip() == folder
    other = Store(tmp_path / "other")
    assert dict(other.walk(folder)) == dict(store.walk(folder))
    assert other.fsck().ok
    again = export_car(other, folder, tmp_path / "again.car")
    assert again.read_bytes() == car.read_bytes()


def test_kubo_reads_our_cars_and_we_read_its(folder: str, store: Store, tmp_path: Path, node: Node) -> None:
    car = export_car(store, folder, tmp_path / "ours.car")
    node.run("dag", "import", "--pin-roots=false", car)
    assert node.run("cat", f"{folder}/below/large") == DATA
    (tmp_path / "theirs.car").write_bytes(node.run("dag", "export", "--progress=false", folder))
    other = Store(tmp_path / "other")
    assert import_car(other, tmp_path / "theirs.car") == [folder]
    assert other.fsck().ok


def test_cars_that_are_wrong_are_refused(folder: str, store: Store, tmp_path: Path) -> None:
    whole = export_car(store, folder, tmp_path / "ours.car").read_bytes()
    other, car = Store(tmp_path / "other"), tmp_path / "wrong.car"
    for data in (b"", b"no CAR at all", whole[:-10], whole[:40]):
        car.write_bytes(data)
        with pytest.raises((DataError, RemoteError)):
            import_car(other, car)
    car.write_bytes(whole.replace(DATA[:1000], DATA[1:1001]))
    with pytest.raises((RemoteRefused, RemoteError), match="not what this CID names"):
        import_car(other, car)
    assert not other.has(folder)


def raw_with(digits: bytes) -> bytes:
    """A block whose hash has some bytes in it."""
    return next(b"%d" % at for at in range(10**7) if digits in hashlib.sha256(b"%d" % at).digest())


def test_a_root_is_read_whatever_the_bytes_of_its_hash(tmp_path: Path) -> None:
    """In a header a link begins with d8 2a, which one hash in two thousand has as well."""
    dag, car, other = Dag(), tmp_path / "x.car", Store(tmp_path / "other")
    root = dag.raw(raw_with(b"\xd8\x2a"))
    car.write_bytes(dag.car(root))
    assert import_car(other, car) == [root]
    assert other.has(root)


def cbor_link(cid: bytes) -> bytes:
    return b"\xd8\x2a\x58" + bytes([len(cid) + 1]) + b"\x00" + cid


def test_all_roots_of_a_header_are_taken_in_any_form_and_others_are_told(tmp_path: Path) -> None:
    dag, car, other = Dag(), tmp_path / "x.car", Store(tmp_path / "other")
    one, two = dag.raw(b"one"), dag.raw(b"two")
    cbor = b"\x01\x71\x12\x20" + bytes(32)
    links = b"\x98\x03" + cbor_link(binary(one)) + cbor_link(cbor) + cbor_link(binary(two))
    header = b"\xa3gversion\x01eextra\xf6eroots" + links
    sections = b"".join(car_section(cid, dag[cid]) for cid in (one, two))
    car.write_bytes(varint(len(header)) + header + sections)
    with pytest.warns(RemoteWarning, match="1 roots more that are neither files nor directories"):
        assert import_car(other, car) == [one, two]


@pytest.mark.parametrize(
    "header",
    [
        b"\x81" * 200 + b"\x01",
        b"\xbb" + b"\xff" * 8,
        b"\xa1gversion\x01",
        b"\xa2eroots\x01gversion\x01",
        b"\xa2eroots\x80gversion\x03",
        b"\xa2eroots\x80gversion\x01\x00",
        b"\xa1\x80gversion",
        b"\xa2eroots\x81\xd8\x2a\x58\xffgversion\x01",
        b"\xa2erootsi\xff\xff\xff\xff\xff\xff\xff\xff\xffgversion\x01",
        b"\x9f\xff",
        b"\xfb" + bytes(8),
    ],
)
def test_a_header_of_another_form_is_one_clear_error(header: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.car").write_bytes(varint(len(header)) + header)
    with pytest.raises(DataError, match=r"x\.car: what was sent is no CAR"):
        import_car(Store(tmp_path / "other"), tmp_path / "x.car")


def test_where_something_is(
    folder: str, store: Store, tmp_path: Path, peer: Start, configure: Callable[..., None]
) -> None:
    dag = Dag()
    cid = dag.raw(b"somewhere")
    lab = Store(tmp_path / "lab")
    lab.blobs.put_bytes(b"somewhere")
    liar = peer(Dag({cid: b"elsewhere"}))
    remotes = [
        read_remote({"store": lab.url, "name": "lab"}),
        read_remote({"gateway": peer(dag).url, "name": "good"}),
        read_remote({"gateway": peer(Dag()).url, "name": "empty"}),
        read_remote({"gateway": liar.url, "name": "liar"}),
    ]
    own, *others = where(cid, store, remotes)
    assert not own.has
    assert [(each.name, each.has, each.size) for each in others] == [
        ("lab", True, 9), ("good", True, 9), ("empty", False, None), ("liar", None, None),
    ]  # fmt: skip
    assert [each.told.partition(" ")[0] for each in others] == ["believed", "checked", "", "liar"]
    configure({"store": lab.url, "name": "lab"})
    told = CliRunner().invoke(app, ["where", f"ipfs://{cid}", "--json"])
    assert [each["has"] for each in json.loads(told.output)["places"]] == [False, True]
    assert CliRunner().invoke(app, ["where", dag.raw(b"nowhere")]).exit_code == 1


def test_a_directory_is_as_large_as_its_files(folder: str, store: Store) -> None:
    files = [cid for _, cid in store.walk(folder) if cid is not None]
    assert where(folder, store, [])[0].size == sum(len(store.read(cid)) for cid in files) > 0


def test_a_mirror_sends_what_is_lacking_and_what_was_lost(folder: str, store: Store, tmp_path: Path) -> None:
    lab = Store(tmp_path / "lab")
    remote = read_remote({"store": lab.url, "name": "lab"})
    assets = [store.get(folder), store.add(tmp_path / "folder/small", sg.R1(sample_id="s"))]
    first = mirror(store, assets, remote)
    assert folder in first.sent
    assert not first.failed
    assert lab.assemble(asset="r1", sample_id="s") == [assets[1]]
    assert mirror(store, assets, remote).sent == ()
    lab.backend.remove(layout.blob(str(assets[1].cid)))
    again = mirror(store, assets, remote)
    assert again.sent
    assert lab.has(str(assets[1].cid))
    told = CliRunner().invoke(app, ["mirror", "--to", str(tmp_path / "lab"), "--store", store.url])
    assert told.exit_code == 0
    assert "0 failed" in told.output


def test_a_mirror_that_cannot_send_goes_on_and_says_so(
    folder: str, store: Store, peer: Start, configure: Callable[..., None]
) -> None:
    configure({"gateway": peer(Dag()).url, "name": "readonly"})
    told = CliRunner().invoke(app, ["mirror", "--to", "readonly", "--store", store.url])
    assert told.exit_code == 1
    assert "cannot be written to" in told.output


@pytest.mark.parametrize("how", ["", "car", "files"])
def test_directories_go_to_an_account_as_it_is_said(
    how: str, folder: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINATA_JWT", JWT)
    with standing_in() as service:
        options = {"directories": how} if how else {}
        urls = dict.fromkeys(("api", "uploads", "gateway"), service.url)
        network = "public" if how == "car" else "private"
        remote = read_remote({"pinata": network, "group": "g1", "timeout": 20, **urls, **options})
        if not how:
            with pytest.raises(RemoteCannot, match="`directories: car`"):
                push(store, store.get(folder), remote)
        elif how == "car":
            service.wrong_cid = cid_of_bytes(b"an old service takes a CAR for a file")
            with pytest.raises(RemoteRefused, match=folder):
                push(store, store.get(folder), remote)
            service.wrong_cid = ""
            push(store, store.get(folder), remote)
            assert [each["cid"] for each in service.files["public"]][-1:] == [folder]
            private = read_remote({"pinata": "private", "directories": "car", "name": "priv", **urls})
            before = len(service.requests)
            with pytest.raises(RemoteCannot, match="public network only"):
                push(store, store.get(folder), private)
            assert {command for command, _ in service.requests[before:]} == {"GET"}, "nothing was sent"
        else:
            with pytest.warns(RemoteWarning, match="one by one"):
                push(store, store.get(folder), remote)
            cids = {child for _, child in store.walk(folder) if child}
            assert {each["cid"] for each in service.files["private"]} == cids


def test_a_directory_as_a_car_keeps_its_cid(
    folder: str, store: Store, peer: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINATA_JWT", JWT)

    def answers(asked: Asked) -> None:
        if asked.command == "GET":
            return asked.answer(b'{"data": {"files": []}}')
        assert b'name="car"' in asked.sent
        assert b'name="group_id"' in asked.sent
        return asked.answer(json.dumps({"data": {"id": "i1", "cid": folder}}).encode())

    url = peer(Dag(), answers).url
    urls = dict.fromkeys(("api", "uploads", "gateway"), url)
    remote = read_remote({"pinata": "public", "directories": "car", "group": "g1", "timeout": 20, **urls})
    push(store, store.get(folder), remote)


def test_a_large_directory_goes_as_a_car_in_parts(folder: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINATA_JWT", JWT)
    with standing_in() as service:
        urls = dict.fromkeys(("api", "uploads", "gateway"), service.url)
        remote = read_remote({"pinata": "public", "directories": "car", "timeout": 20, **urls})
        assert isinstance(remote, Pinata)
        remote.large, remote.part = 100_000, 65_536
        service.breaks_after = 200_000
        with pytest.raises(RemoteError, match="answered 403"):
            push(store, store.get(folder), remote)
        push(store, store.get(folder), remote)
        assert [each["cid"] for each in service.files["public"]] == [folder]
        assert len(service.uploads) == 1, "it went on where it was"


def test_a_pin_that_takes_longer_than_an_answer_is_waited_for(folder: str, store: Store, peer: Start) -> None:
    import time

    def answers(asked: Asked) -> None:
        command = asked.place.removeprefix("/api/v0/")
        if command == "pin/add":
            time.sleep(1.5)
            return asked.chunked(b'{"Progress": 3}\n{"Pins": ["x"]}\n')
        if command == "dag/import":
            return asked.answer(b"{}")
        return asked.answer(b'{"Message": "block was not found locally: not found"}', 500)

    started = peer(Dag(), answers)
    remote = read_remote({"kubo": started.url, "timeout": 0.7})
    assert isinstance(remote, Kubo)
    remote.push(folder, store)
    places = [each.place.rpartition("/")[2] for each in started.asked]
    commands = [each for each in places if each in ("add", "import")]
    assert commands == ["import", "add"]
