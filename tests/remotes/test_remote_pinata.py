"""Pinata, as a stand-in of ours has it, and the real one where PINATA_JWT is set."""

from __future__ import annotations

import json
import logging
import os
import traceback
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import dask.config
import pytest
from pinata_stand_in import JWT, PinataStandIn, standing_in

import stargazer as sg
from stargazer.errors import ConfigError, RemoteCannot, RemoteError, RemoteLacks, RemoteRefused
from stargazer.remotes import fetch_into, push, read_remote
from stargazer.remotes.pinata import Pinata
from stargazer.remotes.read import fetch_range
from stargazer.store import Store

Random = Callable[[int], Path]
MIB = 1 << 20


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[PinataStandIn]:
    monkeypatch.setenv("PINATA_JWT", JWT)
    with standing_in() as started:
        yield started


def account(service: PinataStandIn, network: str = "private", **options: object) -> Pinata:
    entry = {"pinata": network, "api": service.url, "uploads": service.url, "timeout": 60, **options}
    gateway = f"{service.url}/gateway" if network == "private" else service.url
    made = read_remote({"gateway": gateway, **entry})
    assert isinstance(made, Pinata)
    return made


@pytest.mark.parametrize("network", ["public", "private"])
def test_a_file_goes_and_comes_back_with_its_facts(
    network: str, service: PinataStandIn, store: Store, tmp_path: Path, random_file: Random
) -> None:
    path = random_file(3 * MIB)
    reads = store.add(path, sg.R1(sample_id="s1"), name="s1_R1.fq.gz")
    remote = account(service, network)
    push(store, reads, remote)
    [entry] = service.files[network]
    assert (entry["cid"], entry["name"], entry["keyvalues"]) == (
        reads.cid,
        "s1_R1.fq.gz",
        {"asset": "r1", "sample_id": "s1"},
    )
    assert remote.has(str(reads.cid))
    assert remote.query(asset="r1", sample_id=["s0", "s1"]) == [reads]
    assert remote.query(asset="r1", sample_id="s2") == []
    other = Store(tmp_path / "other")
    fetch_into(other, str(reads.cid), [remote])
    assert other.read(str(reads.cid)) == path.read_bytes()
    assert fetch_range(remote, str(reads.cid), 10, 20) == path.read_bytes()[10:20]
    push(store, reads, remote)
    assert len(service.files[network]) == 1
    push(store, store.update(reads, sample_id="s9"), remote)
    assert [each["keyvalues"]["sample_id"] for each in service.files[network]] == ["s9"]


def test_large_files_go_in_parts_and_go_on_after_a_break(
    service: PinataStandIn, store: Store, random_file: Random
) -> None:
    path = random_file(5 * MIB)
    stored = store.add(path)
    remote = account(service)
    remote.large, remote.part, service.breaks_after = 2 * MIB, MIB, 3 * MIB
    with pytest.raises(RemoteError, match="403"):
        push(store, stored, remote)
    sent: list[int] = []
    again = account(service)
    again.large, again.part = 2 * MIB, MIB
    push(store, stored, again, sent.append)
    assert sum(sent) == 2 * MIB
    assert service.most_part == MIB
    assert len(service.uploads) == 1
    assert service.bytes[str(stored.cid)] == path.read_bytes()
    notes = store.context.cache / "uploads"
    assert not list(notes.iterdir())


def test_another_cid_is_an_error_with_both_names(service: PinataStandIn, store: Store, random_file: Random) -> None:
    stored = store.add(random_file(100))
    service.wrong_cid = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    with pytest.raises(RemoteRefused, match=f"{service.wrong_cid}.*{stored.cid}"):
        push(store, stored, account(service))


def test_lists_come_page_by_page_and_all_matches_are_deleted(
    service: PinataStandIn, store: Store, random_file: Random
) -> None:
    remote = account(service)
    for number in range(8):
        push(store, store.add(random_file(10 + number), sg.Asset(facts={"batch": "one"})), remote)
    assert len(remote.query(batch="one")) == 8
    assert sum(path == "/v3/files/private" for _, path in service.requests) >= 3
    cid = service.files["private"][0]["cid"]
    service.keep(service.bytes[cid], "private", "again", {})
    with pytest.raises(RemoteError, match=f"2 files match, and none was deleted(?s:.*){cid}"):
        remote.delete_all(cid=cid)
    assert remote.delete_all(cid=cid, several=True) == 2
    assert not remote.has(cid)
    with pytest.raises(RemoteError, match="say which"):
        remote.delete_all()
    with pytest.raises(RemoteLacks):
        remote.delete(str(uuid.uuid4()))


def test_a_rate_limit_is_obeyed(service: PinataStandIn) -> None:
    remote = account(service)
    service.busy = 2
    with dask.config.set({"stargazer.remote-patience": 60}):  # the waits alone are two of the usual three seconds
        assert not remote.has("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")
    waits = [later - sooner for sooner, later in zip(service.answers, service.answers[1:], strict=False)]
    assert len(waits) == 2
    assert min(waits) > 0.9


def test_more_facts_than_fit_are_refused(service: PinataStandIn, store: Store, random_file: Random) -> None:
    many = sg.Asset(facts={f"fact_{number}": str(number) for number in range(11)})
    with pytest.raises(RemoteCannot, match=r"has 1\d facts .*Pinata keeps 10"):
        push(store, store.add(random_file(10), many), account(service))
    assert not service.files["private"]


def test_directories_are_refused_with_the_reason(service: PinataStandIn, store: Store, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(RemoteCannot, match="is a directory"):
        push(store, store.add(tmp_path / "folder"), account(service))


def test_a_harmed_file_is_refused(service: PinataStandIn, store: Store, origin: Store, random_file: Random) -> None:
    stored = origin.add(random_file(700_000))
    remote = account(service)
    push(origin, stored, remote)
    service.bytes[str(stored.cid)] = service.bytes[str(stored.cid)][:-1] + b"?"
    with pytest.raises(RemoteError, match="pinata sent a file as"):
        fetch_into(store, str(stored.cid), [remote])
    assert not store.has(str(stored.cid))


def test_an_endless_file_is_refused(service: PinataStandIn, store: Store, origin: Store, random_file: Random) -> None:
    stored = origin.add(random_file(700_000))
    remote = account(service)
    push(origin, stored, remote)
    service.endless = True
    with pytest.raises(RemoteError, match="pinata sends more than the 700000 bytes that the file has"):
        fetch_into(store, str(stored.cid), [remote])
    assert not store.has(str(stored.cid))


def test_browsers_may_upload_without_the_token(service: PinataStandIn) -> None:
    url = account(service).sign("x.fq.gz", most=MIB, facts=sg.R1(sample_id="s1"))
    assert "X-Signature" in url


def test_without_the_token_the_variable_is_named(
    service: PinataStandIn, store: Store, random_file: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PINATA_JWT")
    with pytest.raises(ConfigError, match="the environment variable PINATA_JWT is not set"):
        push(store, store.add(random_file(10)), account(service))


def everything_written(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for base, _, names in os.walk(folder):
        for name in names:
            yield Path(base, name), Path(base, name).read_bytes()


def test_no_secret_is_written_anywhere(
    service: PinataStandIn,
    store: Store,
    tmp_path: Path,
    random_file: Random,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    remote = account(service)
    reads = store.add(random_file(5 * MIB), sg.R1(sample_id="s1"))
    remote.large, remote.part, service.breaks_after = 2 * MIB, MIB, 3 * MIB
    errors: list[BaseException] = []

    def tried(act: Callable[[], object]) -> None:
        try:
            act()
        except RemoteError as error:
            errors.append(error)

    tried(lambda: push(store, reads, remote))
    tried(lambda: push(store, reads, remote))
    other = Store(tmp_path / "other")
    fetch_into(other, str(reads.cid), [remote])
    remote.sign("x")
    monkeypatch.setenv("PINATA_JWT", f"{JWT}-that-is-wrong")
    tried(lambda: account(service).has(str(reads.cid)))
    tried(lambda: account(service, api="http://127.0.0.1:9").has(str(reads.cid)))
    service.signed.clear()
    assert len(errors) == 3
    told = "".join(line for error in errors for line in traceback.format_exception(error))
    told += repr(remote) + caplog.text + "".join(capfd.readouterr())
    assert "download_link" in told
    secrets = [JWT.encode(), b"a-secret-that-nobody-may-see", b"X-Signature=", b"upload-signature"]
    for path, data in [(Path("what was told"), told.encode()), *everything_written(tmp_path)]:
        assert not [secret for secret in secrets if secret in data or secret.decode() in str(path)], path
    assert JWT not in json.dumps(sg.trace(reads).to_dict())


def test_tools_do_not_see_the_token(service: PinataStandIn) -> None:
    from stargazer import config

    assert os.environ["PINATA_JWT"] == JWT
    assert "PINATA_JWT" not in config.environment()


@pytest.mark.skipif("PINATA_JWT" not in os.environ, reason="PINATA_JWT is not set: it holds a token of Pinata's")
def test_the_real_service(store: Store, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text(f"stargazer {uuid.uuid4()}\n")
    stored = store.add(tmp_path / "note.txt", sg.Asset(facts={"kind": "test"}))
    remote = read_remote({"pinata": "public"})
    assert isinstance(remote, Pinata)
    push(store, stored, remote)
    try:
        assert remote.query(cid=stored.cid)[0].cid == stored.cid
    finally:
        assert remote.delete_all(cid=str(stored.cid)) == 1
