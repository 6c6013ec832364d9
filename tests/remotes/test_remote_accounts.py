"""What an account of a pinning service lists is not believed; what was sent is not sent twice."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
from dags import Asked, Dag, Peer
from pinata_stand_in import JWT, PinataStandIn, standing_in
from typer.testing import CliRunner

import stargazer as sg
from stargazer.cid import cid_of_bytes
from stargazer.cli.app import app
from stargazer.errors import RemoteCannot, RemoteError
from stargazer.remotes import RemoteWarning, fetch_into, push, read_remote
from stargazer.remotes.pinata import Pinata
from stargazer.store import Store

HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
Start = Callable[..., Peer]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[PinataStandIn]:
    monkeypatch.setenv("PINATA_JWT", JWT)
    with standing_in() as started:
        yield started


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINATA_JWT", JWT)


def account(url: str, network: str = "private", **options: object) -> Pinata:
    made = read_remote({"pinata": network, "api": url, "uploads": url, "gateway": url, "timeout": 1, **options})
    assert isinstance(made, Pinata)
    return made


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ({"cid": None}, "cid is None"),
        ({"cid": ""}, "cid is ''"),
        ({"cid": "pending"}, "is no CID"),
        ({"name": ""}, "name is ''"),
        ({"name": "  "}, "name is '  '"),
        ({"cdi": HELLO}, "no fact 'cdi'"),
        ({"asset": None}, "asset is None"),
        ({"sample_id": ""}, "sample_id is ''"),
        ({}, "say which"),
    ],
)
def test_what_names_nothing_deletes_nothing(wanted: dict[str, Any], complaint: str, service: PinataStandIn) -> None:
    for number in range(7):
        service.keep(b"%d" % number, "private", f"f{number}", {"sample_id": f"s{number}"})
    with pytest.raises(RemoteError, match=complaint):
        account(service.url).delete_all(**wanted)
    assert len(service.files["private"]) == 7


def test_facts_delete_what_has_them_and_no_more(service: PinataStandIn) -> None:
    for number in range(7):
        service.keep(b"%d" % number, "private", f"f{number}", {"asset": "r1", "sample_id": f"s{number}"})
    remote = account(service.url)
    assert remote.delete_all(sample_id="s1") == 1
    with pytest.raises(RemoteError, match=r"6 files match, and none was deleted(?s:.*)f6"):
        remote.delete_all(asset=sg.R1)
    assert len(service.files["private"]) == 6
    assert remote.delete_all(asset="r1", several=True) == 6


class Listing:
    """A service that ignores every filter."""

    def __init__(self, files: list[Any]) -> None:
        self.files, self.changed = files, list[tuple[str, str]]()

    def __call__(self, asked: Asked) -> None:
        if asked.command == "GET":
            return asked.answer(json.dumps({"data": {"files": self.files, "next_page_token": ""}}).encode())
        self.changed.append((asked.command, asked.place))
        return asked.answer(json.dumps({"data": {"id": "i9", "cid": self.files[0]["cid"]}}).encode())


OTHERS = [
    {"id": str(number), "cid": HELLO, "name": f"n{number}", "keyvalues": {"sample_id": "x"}} for number in range(5)
]


@pytest.mark.parametrize("wanted", [{"cid": EMPTY}, {"name": "n"}, {"name": "n1.bak"}, {"sample_id": "s1"}])
def test_a_service_that_ignores_a_filter_loses_nothing(wanted: dict[str, str], peer: Start) -> None:
    listing = Listing(OTHERS)
    remote = account(peer(Dag(), listing).url)
    assert remote.delete_all(**wanted) == 0
    assert not remote.has(EMPTY)
    assert not listing.changed


def test_a_name_that_contains_another_stays(peer: Start) -> None:
    listing = Listing([{"id": "1", "cid": HELLO, "name": "s1.fq"}, {"id": "2", "cid": EMPTY, "name": "s1.fq.bak"}])
    assert account(peer(Dag(), listing).url).delete_all(name="s1.fq") == 1
    assert listing.changed == [("DELETE", "/v3/files/private/1")]


def test_a_push_does_not_overwrite_the_facts_of_another_file(peer: Start, store: Store, tmp_path: Path) -> None:
    (tmp_path / "reads.fq").write_bytes(b"reads")
    reads = store.add(tmp_path / "reads.fq", sg.R1(sample_id="s1"))
    changed: list[tuple[str, str]] = []

    def answers(asked: Asked) -> None:
        if asked.command == "GET":
            return asked.answer(json.dumps({"data": {"files": OTHERS}}).encode())
        changed.append((asked.command, asked.place))
        return asked.answer(json.dumps({"data": {"id": "i9", "cid": reads.cid}}).encode())

    push(store, reads, account(peer(Dag(), answers).url))
    assert changed == [("POST", "/v3/files")]


ODD: list[Any] = [
    {"id": "1", "cid": "pending", "name": "x"},
    {"id": "2", "cid": None},
    {"id": "3", "cid": "bafyreianqjvyh7qmnvmfydpk7cpdgvhz6kcm7ycq6rkm23axmk4gzmd67q"},
    {"id": "4", "cid": HELLO, "keyvalues": "a text"},
    {"cid": HELLO},
    "a text",
    None,
    {"id": 7, "cid": HELLO},
    {"id": "8", "cid": ["a", "list"]},
]


def test_odd_entries_are_set_aside_and_told(peer: Start) -> None:
    good = {"id": "0", "cid": EMPTY, "name": "good", "keyvalues": None}
    base36 = {"id": "9", "cid": "kvfjs0crjwvuiluj79tx8jcf73k9hkm5tzq3xq2uv3m0wqhnjn4v0xc0d0v"}
    remote = account(peer(Dag(), Listing([*ODD, good, base36])).url)
    with pytest.warns(RemoteWarning, match=r"set aside: 1 has the CID 'pending'.*and \d+ more"):
        assert EMPTY in [asset.cid for asset in remote.query()]
    with pytest.warns(RemoteWarning, match="set aside"):
        assert next(each["id"] for each in list(remote.files())) == "0"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert remote.has(EMPTY)


@pytest.mark.parametrize("entry", [{"cid": "z" + "b" * 48}, {"cid": "m" * 50}, {"cid": "bafkqabtimvwgy3yk"}])
def test_cids_in_other_bases_are_read_or_set_aside(entry: dict[str, str], peer: Start) -> None:
    remote = account(peer(Dag(), Listing([{"id": "1", **entry}])).url)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        found = list(remote.files())
    assert [each["cid"] for each in found] == (["bafkqabtimvwgy3yk"] if entry["cid"].startswith("bafkq") else [])


def test_names_that_are_paths_are_no_names_of_files(peer: Start) -> None:
    files = [{"id": "1", "cid": HELLO, "name": "../../etc/passwd", "keyvalues": {"asset": "r1", "sample_id": "s"}}]
    [asset] = account(peer(Dag(), Listing(files)).url).query(asset="r1")
    assert asset.name == ""


def test_a_private_account_is_asked_for_its_gateways_once(peer: Start, store: Store) -> None:
    data = b"private bytes"
    cid = cid_of_bytes(data)

    def answers(asked: Asked) -> None:
        if asked.place == "/v3/gateways":
            return asked.answer(json.dumps({"data": {"rows": [{"domain": None}, {"domain": "lab"}]}}).encode())
        return asked.answer(b"{}", 404)

    started = peer(Dag({cid: data}), answers)
    remote = read_remote({"pinata": "private", "api": started.url, "uploads": started.url, "timeout": 1})
    assert isinstance(remote, Pinata)
    assert remote.gateway.base == remote.gateway.base == "https://lab.mypinata.cloud"
    assert [each.place for each in started.asked] == ["/v3/gateways"]
    none = read_remote(
        {"pinata": "private", "api": peer(Dag(), lambda asked: asked.answer(b'{"data":{"rows":[]}}')).url}
    )
    with pytest.raises(RemoteCannot, match="has no gateway"):
        next(iter(none.stream(cid)))  # type: ignore[attr-defined]


def test_gateways_are_asked_for_where_the_services_own_tools_do_it_too(peer: Start) -> None:
    def answers(asked: Asked) -> None:
        if asked.place == "/v3/ipfs/gateways":
            return asked.answer(json.dumps({"data": {"rows": [{"domain": "lab"}]}}).encode())
        return asked.answer(b"{}", 404)

    remote = read_remote({"pinata": "private", "api": peer(Dag(), answers).url, "timeout": 1})
    assert isinstance(remote, Pinata)
    assert remote.gateway.base == "https://lab.mypinata.cloud"


def test_a_file_that_is_pending_is_waited_for_and_not_sent_twice(peer: Start, store: Store, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"pending bytes")
    stored = store.add(tmp_path / "x")
    looked: list[int] = []

    def answers(asked: Asked) -> None:
        if asked.command == "GET" and asked.place.endswith("/i9"):
            looked.append(1)
            cid = "pending" if len(looked) < 3 else stored.cid
            return asked.answer(json.dumps({"data": {"id": "i9", "cid": cid}}).encode())
        if asked.command == "GET":
            return asked.answer(b'{"data": {"files": []}}')
        return asked.answer(b'{"data": {"id": "i9", "cid": "pending"}}')

    started = peer(Dag(), answers)
    push(store, stored, account(started.url))
    assert len(looked) == 3
    assert sum(each.command == "POST" for each in started.asked) == 1


class Taking:
    """A service that takes a file, and names it as late as a test says; ``None`` is an id that it forgot."""

    def __init__(self, *names: str | None) -> None:
        self.names, self.posts, self.refusals = list(names), 0, 0

    def __call__(self, asked: Asked) -> None:
        if asked.command == "GET" and asked.place.endswith("/i9"):
            name = self.names.pop(0) if len(self.names) > 1 else self.names[0]
            if name is None:
                return asked.answer(b"{}", 404)
            return asked.answer(json.dumps({"data": {"id": "i9", "cid": name}}).encode())
        if asked.command == "GET":
            return asked.answer(b'{"data": {"files": []}}')
        if self.refusals:
            self.refusals -= 1
            return asked.answer(b"busy", 429, Retry_After="0.1")
        self.posts += 1
        return asked.answer(b'{"data": {"id": "i9", "cid": "pending"}}')


@pytest.fixture(params=["file", "directory"])
def thing(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> sg.Asset:
    """A file, or a directory, which goes as a CAR."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "x").write_bytes(b"x")
    return store.add(folder / "x" if request.param == "file" else folder)


def test_what_is_looked_at_for_longer_than_we_wait_is_not_sent_a_second_time(
    thing: sg.Asset, peer: Start, store: Store
) -> None:
    taking = Taking("pending")
    remote = account(peer(Dag(), taking).url, "public", directories="car")
    with dask.config.set({"stargazer.remote-patience": 1}):
        for _ in range(2):
            with pytest.raises(RemoteError, match="has not named it yet"):
                push(store, thing, remote)
            assert taking.posts == 1
    taking.names = [str(thing.cid)]
    push(store, thing, remote)
    assert taking.posts == 1


def test_what_the_service_forgot_while_it_looked_at_it_is_sent_again(
    thing: sg.Asset, peer: Start, store: Store
) -> None:
    taking = Taking("pending")
    remote = account(peer(Dag(), taking).url, "public", directories="car")
    with dask.config.set({"stargazer.remote-patience": 1}), pytest.raises(RemoteError, match="has not named it yet"):
        push(store, thing, remote)
    taking.names = [None, str(thing.cid)]
    push(store, thing, remote)
    assert taking.posts == 2


def test_a_service_that_is_busy_is_waited_for_whatever_is_sent(thing: sg.Asset, peer: Start, store: Store) -> None:
    taking = Taking(str(thing.cid))
    taking.refusals = 2
    push(store, thing, account(peer(Dag(), taking).url, "public", directories="car"))
    assert taking.posts == 1


class Uploads:
    """TUS with one thing that goes wrong."""

    def __init__(self, wrong: Callable[[Uploads, Asked], bool]) -> None:
        self.wrong, self.data, self.length, self.begun = wrong, bytearray(), 0, 0
        self.failed: list[int] = []
        self.cid = ""
        self.sent = 0

    def __call__(self, asked: Asked) -> None:
        if asked.command == "GET":
            whole = len(self.data) == self.length > 0
            files = [{"id": "i1", "cid": self.cid}] if whole else []
            return asked.answer(json.dumps({"data": {"files": files}}).encode())
        if asked.command == "PATCH":
            self.sent += len(asked.sent)
        if self.wrong(self, asked):
            return None
        if asked.command == "POST":
            self.begun, self.length, self.data = self.begun + 1, int(asked.headers["Upload-Length"]), bytearray()
            return asked.answer(b"", 201, Location=f"/v3/files/u{self.begun}")
        if asked.place != f"/v3/files/u{self.begun}":
            return asked.answer(b"", 404)
        if asked.command == "HEAD":
            return asked.answer(b"", Upload_Offset=str(len(self.data)), Upload_Length=str(self.length))
        if int(asked.headers["Upload-Offset"]) != len(self.data):
            return asked.answer(b"conflict", 409)
        self.data += asked.sent
        more = {"upload_cid": self.cid} if len(self.data) == self.length else {}
        return asked.answer(b"", 204, Upload_Offset=str(len(self.data)), **more)


def once(uploads: Uploads, asked: Asked, times: int, do: Callable[[], None]) -> bool:
    if len(uploads.failed) >= times:
        return False
    uploads.failed.append(1)
    do()
    return True


def has_it_already(uploads: Uploads, asked: Asked) -> bool:
    def takes() -> None:
        uploads.data += asked.sent
        asked.answer(b"conflict", 409)

    return asked.headers.get("Upload-Offset") == "65536" and once(uploads, asked, 1, takes)


def locked(uploads: Uploads, asked: Asked) -> bool:
    return asked.command == "PATCH" and once(uploads, asked, 2, lambda: asked.answer(b"locked", 423))


def fails_then_head_fails(uploads: Uploads, asked: Asked) -> bool:
    if asked.command == "PATCH" and asked.headers["Upload-Offset"] == "131072" and not uploads.failed:
        return once(uploads, asked, 1, asked.reset)
    return (
        asked.command == "HEAD"
        and 0 < len(uploads.failed) < 4
        and once(uploads, asked, 4, lambda: asked.answer(b"", 502))
    )


def last_answer_is_lost(uploads: Uploads, asked: Asked) -> bool:
    def takes() -> None:
        uploads.data += asked.sent
        asked.reset()

    last = asked.command == "PATCH" and int(asked.headers["Upload-Offset"]) + len(asked.sent) == uploads.length
    return last and once(uploads, asked, 1, takes)


def busy(uploads: Uploads, asked: Asked) -> bool:
    return asked.command == "PATCH" and once(uploads, asked, 1, lambda: asked.answer(b"", 503, Retry_After="0.3"))


@pytest.mark.parametrize("wrong", [has_it_already, locked, fails_then_head_fails, last_answer_is_lost, busy])
def test_an_upload_in_parts_goes_on_and_is_never_begun_anew(
    wrong: Callable[[Uploads, Asked], bool], peer: Start, store: Store, random_file: Callable[[int], Path]
) -> None:
    stored = store.add(random_file(300_000))
    uploads = Uploads(wrong)
    uploads.cid = str(stored.cid)
    remote = account(peer(Dag(), uploads).url)
    remote.large, remote.part = 100_000, 65_536
    push(store, stored, remote)
    assert uploads.begun == 1
    assert bytes(uploads.data) == store.read(str(stored.cid))
    assert uploads.sent <= 300_000 + len(uploads.failed) * 65_536


def test_an_upload_that_expired_is_begun_once_more(
    peer: Start, store: Store, random_file: Callable[[int], Path]
) -> None:
    def expires(uploads: Uploads, asked: Asked) -> bool:
        late = asked.command == "PATCH" and asked.headers["Upload-Offset"] == "131072"
        return late and once(uploads, asked, 1, lambda: asked.answer(b"gone", 410))

    stored = store.add(random_file(300_000))
    uploads = Uploads(expires)
    uploads.cid = str(stored.cid)
    remote = account(peer(Dag(), uploads).url)
    remote.large, remote.part = 100_000, 65_536
    push(store, stored, remote)
    assert uploads.begun == 2


def test_a_service_that_wants_to_be_left_alone_for_hours_is_told_so_at_once(
    peer: Start, store: Store, random_file: Callable[[int], Path]
) -> None:
    stored = store.add(random_file(100))
    for wait in ("7200", "inf", "1e400"):
        remote = account(peer(Dag(), lambda asked, wait=wait: asked.answer(b"later", 503, Retry_After=wait)).url)
        with pytest.raises(RemoteError, match="503"):
            push(store, stored, remote)


@pytest.mark.parametrize("encoded", ["chunked", "gzip"])
def test_a_public_gateway_that_tells_no_length_is_read_as_far_as_the_account_says(
    encoded: str, peer: Start, store: Store
) -> None:
    import gzip

    data = b"public bytes " * 1000
    cid = cid_of_bytes(data)

    def answers(asked: Asked) -> None:
        if asked.command == "GET" and asked.place.startswith("/ipfs/"):
            return (
                asked.chunked(data)
                if encoded == "chunked"
                else asked.answer(gzip.compress(data), Content_Encoding="gzip")
            )
        return asked.answer(json.dumps({"data": {"files": [{"id": "1", "cid": cid, "size": len(data)}]}}).encode())

    fetch_into(store, cid, [account(peer(Dag(), answers).url, "public")])
    assert store.read(cid) == data


def test_the_command_line_shows_what_it_would_delete(
    service: PinataStandIn, configure: Callable[..., None], store: Store
) -> None:
    for number in range(3):
        service.keep(b"%d" % number, "private", "same.fq", {"asset": "r1"})
    configure({"pinata": "private", "name": "pin", "api": service.url, "uploads": service.url, "gateway": service.url})
    run = CliRunner()
    told = run.invoke(app, ["delete", "--from", "pin", "name=same.fq"])
    assert told.exit_code == 1
    assert told.output.count("same.fq") == 3
    assert len(service.files["private"]) == 3
    assert run.invoke(app, ["delete", "--from", "pin", "sample_id="]).exit_code != 0
    assert run.invoke(app, ["delete", "--from", "pin", "name=same.fq", "--all"]).exit_code == 0
    assert not service.files["private"]
