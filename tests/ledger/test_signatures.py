"""Whose result it is: signed when it is made, told where it is shown, and believed as the settings say."""

from __future__ import annotations

import contextlib
import json
import stat
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dask.config
import pytest
from signed_tasks import after, constant, made
from typer.testing import CliRunner

import stargazer as sg
from stargazer import config
from stargazer.cli.app import app
from stargazer.errors import ConfigError
from stargazer.ledger import Ledger, Record
from stargazer.ledger.signatures import fits, own_key, public_key, sign_made, statement, whose
from stargazer.remotes import RemoteWarning
from stargazer.store import Store, layout
from stargazer.store.records import seal

BEFORE, LATER = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)


@contextlib.contextmanager
def person(tmp_path: Path, name: str) -> Iterator[None]:
    """Be somebody: with a key of one's own."""
    with dask.config.set({"stargazer.key": str(tmp_path / "people" / name / "key.pem")}):
        yield


def key_of(tmp_path: Path, name: str) -> str:
    with person(tmp_path, name):
        return public_key()


def record_of(asset: Any) -> Record:
    record = Ledger(sg.active_store().records).get(asset.source.record)
    assert record is not None
    return record


def forged(record: Record, store: Store, text: str = "FORGED", **changed: Any) -> Record:
    """Write a record of a call that never ran, and let the keys of the true one lead to it."""
    cid = store.blobs.put_bytes(text.encode())
    asset = json.loads(json.dumps(record.outputs)) | {}
    asset["asset"]["cid"] = cid
    false = record._replace(outputs=asset, output_cids=[cid], host="another-host", **changed)
    identifier = store.records.put(false.to_bytes())
    store.records.link_keys([record.content_key, record.plan_key], identifier)
    return false._replace(id=identifier)


def test_a_key_is_made_at_the_first_use_and_what_runs_is_signed(store: Store) -> None:
    assert not config.key_file().exists()
    result = made(sample="s1").compute()
    record = record_of(result)
    assert stat.S_IMODE(config.key_file().stat().st_mode) == 0o600
    assert record.user == config.user_name()
    assert store.records.signers([record.id]) == {record.id: {own_key().public_key().public_bytes_raw().hex()}}
    assert whose(store.records, [record]) == {record.id: "yours"}
    assert store.fsck().ok
    assert store.fsck().strays == ()


def test_whose_it_is_is_shown_by_trace_plan_and_runs(store: Store, tmp_path: Path) -> None:
    with person(tmp_path, "anna"):
        result = sg.run(made(sample="s1"), progress=False).result()
        assert repr(sg.trace(result)).endswith("  yours")
        assert repr(sg.plan(made(sample="s1"))).endswith("made  yours")
        assert sg.trace(result).to_dict()[0]["whose"] == "yours"
        assert "yours" in CliRunner().invoke(app, ["runs", "--store", store.url]).output
    anna = key_of(tmp_path, "anna")
    with person(tmp_path, "ben"), dask.config.set({"stargazer.trust": {"anna": anna}}):
        assert repr(sg.trace(result)).endswith("  signed by anna")
        assert repr(sg.plan(made(sample="s1"))).endswith("signed by anna")
        assert sg.plan(made(sample="s1")).to_dict()["calls"][0]["whose"] == "signed by anna"
        assert "signed by anna" in CliRunner().invoke(app, ["runs", "--store", store.url]).output
        assert "signed by anna" in sg.trace(result)._repr_html_()
    with person(tmp_path, "ben"):
        assert f"signed by {anna[:16]}…, whom stargazer.trust does not name" in repr(sg.trace(result))
    (place,) = [entry.place for entry in store.backend.entries("signatures")]
    store.backend.replace(place, seal(bytes(64)))
    with person(tmp_path, "anna"):
        assert repr(sg.trace(result)).endswith("  not as signed")
    store.backend.remove(place)
    assert repr(sg.trace(result)).endswith("  unsigned")
    assert repr(sg.plan(made(sample="s1"))).endswith("unsigned")
    (entry,) = store.backend.entries("runs")
    store.backend.replace(entry.place, (store.backend.read(entry.place) or b"").replace(b'"known": 0', b'"known": 7'))
    assert "not as signed" in CliRunner().invoke(app, ["runs", "--store", store.url]).output


def test_a_forged_record_is_shown_as_what_it_is(store: Store) -> None:
    record = record_of(made(sample="s1").compute())
    forged(record, store)
    result = made(sample="s1").compute()
    assert result.fetch().read_text() == "FORGED", "by default anyone is believed who may write to the store"
    assert repr(sg.trace(result)).endswith("  unsigned")


@pytest.mark.parametrize("accept", ["signed", "own"])
def test_a_forged_record_is_no_hit_where_signatures_are_wanted(store: Store, accept: str) -> None:
    with dask.config.set({"stargazer.accept": accept}):
        record = record_of(made(sample="s1").compute())
        false = forged(record, store)
        for key in (own_key().public_key().public_bytes_raw().hex(), "a" * 64, "ff" * 32):
            store.records.put_signatures({(false.id, key): bytes(64)})
        result = made(sample="s1").compute()
        assert result.fetch().read_text() == "true result of s1"
        assert made(sample="s1").compute().source.record == result.source.record
    assert repr(sg.trace(result)).endswith("  yours")


def test_a_signature_of_another_record_does_not_count(store: Store) -> None:
    with dask.config.set({"stargazer.accept": "own"}):
        record = record_of(made(sample="s1").compute())
        false = forged(record, store)
        ((_, key), signature) = next(
            iter(store.records.read_signatures([(record.id, own_key().public_key().public_bytes_raw().hex())]).items())
        )
        store.records.put_signatures({(false.id, key): signature})
        assert made(sample="s1").compute().fetch().read_text() == "true result of s1"
        assert whose(store.records, [false]) == {false.id: "not as signed"}


def test_hits_of_a_colleague_are_those_that_one_accepts(store: Store, tmp_path: Path) -> None:
    with person(tmp_path, "anna"):
        theirs = made(sample="s1").compute()
    anna = key_of(tmp_path, "anna")
    with person(tmp_path, "ben"):
        for accept, trust, known in (
            ("anyone", {}, True),
            ("signed", {"anna": anna}, True),
            ("signed", {}, False),
            ("own", {"anna": anna}, False),
        ):
            with dask.config.set({"stargazer.accept": accept, "stargazer.trust": trust}):
                assert (made(sample="s1").compute().source.record == theirs.source.record) is known, (accept, trust)
                Ledger(store.records).point(record_of(theirs), record_of(theirs).plan_key)


@pytest.mark.parametrize("accept", ["everyone", "", "Signed"])
def test_a_setting_that_is_none_is_refused(store: Store, accept: str) -> None:
    if not accept:
        return
    with dask.config.set({"stargazer.accept": accept}), pytest.raises(ConfigError, match="anyone or signed or own"):
        made(sample="s1").compute()


def test_a_key_leads_only_to_a_record_in_which_it_stands(store: Store) -> None:
    first, second = made(sample="s1").compute(), made(sample="s2").compute()
    one, two = record_of(first), record_of(second)
    for accept in ("anyone", "signed", "own"):
        store.records.link_keys([one.plan_key, one.content_key], two.id)
        with dask.config.set({"stargazer.accept": accept}):
            assert Ledger(store.records).find(one.plan_key) is None
            assert made(sample="s1").compute().fetch().read_text() == "true result of s1"
    for pointer in (b"x" * 64, b"../../etc/passwd", two.id.encode() + b"\n", b""):
        store.records.set_keys({one.plan_key: pointer})
        assert made(sample="s1").compute().fetch().read_text() == "true result of s1"


@pytest.mark.parametrize("accept", ["anyone", "signed", "own"])
def test_what_is_reached_on_another_way_is_known_by_a_record_of_its_own(store: Store, accept: str) -> None:
    with dask.config.set({"stargazer.accept": accept}):
        first = after(constant(sample="a")).compute()
        second = after(constant(sample="b")).compute()
        assert (first.cid, first) == (second.cid, second)
        again = after(constant(sample="b"))
        record = Ledger(store.records).find(again.plan_key)
        assert record is not None
        assert (record.plan_key, record.same_as) == (again.plan_key, first.source.record)
        assert again.compute().source.record == second.source.record == record.id
        assert whose(store.records, [record]) == {record.id: "yours"}
        assert [each.id for each in Ledger(store.records).producers(str(first.cid))] == [first.source.record]
        assert len(Ledger(store.records).newest("after")) == 1


def test_a_repeat_of_what_nobody_signed_is_no_hit_where_signatures_are_wanted(store: Store) -> None:
    """Who says that bytes are the same vouches for that, and not for who made them."""
    first = after(constant(sample="a")).compute()
    (place,) = [each.place for each in store.backend.entries("signatures") if first.source.record in each.place]
    store.backend.remove(place)
    after(constant(sample="b")).compute()
    again = after(constant(sample="b"))
    assert Ledger(store.records).find(again.plan_key) is not None
    assert Ledger(store.records, "own").find(again.plan_key) is None


def test_a_lineage_goes_along_with_its_repeats(store: Store, tmp_path: Path) -> None:
    after(constant(sample="a")).compute()
    result = after(constant(sample="b")).compute()
    sg.push(result, to=str(tmp_path / "lab"), lineage=True)
    with Store(tmp_path / "lab") as lab:
        assert Ledger(lab.records).find(after(constant(sample="a")).plan_key) is not None
        assert Ledger(lab.records).find(after(constant(sample="b")).plan_key) is not None
        assert lab.fsck().ok


def test_a_push_signs_nothing_anew_and_names_what_nobody_signed(store: Store, tmp_path: Path) -> None:
    with person(tmp_path, "anna"):
        first = made(sample="s1").compute()
    with person(tmp_path, "ben"):
        result = after(made(sample="s1")).compute()
        sg.push(result, to=str(tmp_path / "lab"), lineage=True)
        lab = Store(tmp_path / "lab")
        signers = lab.records.signers([first.source.record, result.source.record])
        with person(tmp_path, "anna"):
            own = own_key().public_key().public_bytes_raw().hex()
        assert signers[first.source.record] == {own}
        assert signers[result.source.record] == {own_key().public_key().public_bytes_raw().hex()}
        (place,) = [each.place for each in store.backend.entries("signatures") if first.source.record in each.place]
        store.backend.remove(place)
        with pytest.warns(RemoteWarning, match=rf"nobody signed.*: made \({first.source.record[:12]}\)"):
            sg.push(result, to=str(tmp_path / "other"), lineage=True)
        assert first.source.record not in Store(tmp_path / "other").records.signers([first.source.record])


def test_what_a_revoked_key_signed_later_counts_as_unsigned(store: Store, tmp_path: Path) -> None:
    with person(tmp_path, "anna"):
        record = record_of(made(sample="s1").compute())
    anna = key_of(tmp_path, "anna")
    for since, word in ((BEFORE, "unsigned"), (LATER, "signed by anna")):
        settings = {"trust": {"anna": anna}, "revoked": {anna: since.isoformat()}, "accept": "signed"}
        with person(tmp_path, "ben"), dask.config.set({f"stargazer.{name}": value for name, value in settings.items()}):
            assert whose(store.records, [record]) == {record.id: word}
            assert (Ledger(store.records).find(record.plan_key) is None) is (word == "unsigned")
    for revoked in ({anna: "soon"}, {"anna": BEFORE.isoformat()}):
        with dask.config.set({"stargazer.revoked": revoked}), pytest.raises(ConfigError, match="revoked"):
            whose(store.records, [record])


def test_a_remote_is_not_believed_for_a_key_that_was_revoked(store: Store, tmp_path: Path) -> None:
    from stargazer.remotes.trust import judge

    with person(tmp_path, "anna"):
        record = record_of(made(sample="s1").compute())
    anna = key_of(tmp_path, "anna")
    with dask.config.set({"stargazer.trust": {"anna": anna}}):
        assert judge(store, [record.id])[record.id].believed
        for since in (BEFORE, LATER):  # nothing in another's store proves when it was signed
            with dask.config.set({"stargazer.revoked": {anna: since.isoformat()}}):
                verdict = judge(store, [record.id])[record.id]
                assert not verdict.believed
                assert "whose key was revoked" in verdict.reason


def test_ones_own_key_is_revoked_on_the_command_line(store: Store) -> None:
    earlier = record_of(made(sample="s1").compute())
    first = public_key()
    time.sleep(1.1)
    told = json.loads(CliRunner().invoke(app, ["keys", "revoke", "--json"]).stdout)
    assert told["public"] == first
    later = record_of(made(sample="s2").compute())
    assert public_key() != first
    assert whose(store.records, [earlier, later]) == {earlier.id: "yours", later.id: "yours"}
    assert CliRunner().invoke(app, ["keys", "revoke", first, "--since", BEFORE.isoformat()]).exit_code == 0
    assert whose(store.records, [earlier]) == {earlier.id: "unsigned"}
    assert CliRunner().invoke(app, ["keys", "revoke", "--since", "soon"]).exit_code == 2
    assert CliRunner().invoke(app, ["keys", "revoke", "no key"]).exit_code == 1


def test_a_key_that_others_may_read_signs_nothing_and_stops_nothing(store: Store) -> None:
    made(sample="s1").compute()
    config.key_file().chmod(0o644)
    time.sleep(1.1)
    with pytest.warns(UserWarning, match="not signed: others may read"):
        result = made(sample="s2").compute()
    assert repr(sg.trace(result)).endswith("  unsigned")


def test_without_the_library_records_are_unsigned(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    result = made(sample="s1").compute()
    assert repr(sg.trace(result)).endswith("  unsigned")
    assert not config.key_file().exists()


def test_a_signature_is_made_in_some_microseconds(store: Store) -> None:
    made(sample="s1").compute()
    key = own_key()
    best = min(_seconds(lambda: key.sign(statement("a" * 64))) for _ in range(200))
    assert best < 200e-6, "60 on a machine with nothing else to do"
    assert fits("a" * 64, key.public_key().public_bytes_raw().hex(), key.sign(statement("a" * 64)))


def _seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@pytest.mark.parametrize(
    "name", ["a" * 64 + ".xyz", "a" * 64 + "." + "b" * 63, "a" * 64 + ".", "." + "b" * 64, "a" * 64 + "." + "B" * 64]
)
def test_odd_signatures_are_nobodys(store: Store, name: str) -> None:
    record = record_of(made(sample="s1").compute())
    own = {entry.place for entry in store.backend.entries("signatures")}
    store.backend.replace(f"signatures/{record.id[-3:-1]}/{name.replace('a' * 64, record.id)}", b"odd")
    assert whose(store.records, [record]) == {record.id: "yours"}
    assert store.fsck().torn == ()
    assert len(store.fsck().strays) == 1
    assert own <= {entry.place for entry in store.backend.entries("signatures")}


def test_many_signatures_of_strangers_cost_little(store: Store) -> None:
    record = record_of(made(sample="s1").compute())
    for number in range(300):
        store.records.put_signatures({(record.id, f"{number:064x}"): bytes(64)})
    began = time.process_time()
    assert whose(store.records, [record]) == {record.id: "yours"}
    assert time.process_time() - began < 1


def test_records_of_before_still_read_and_new_ones_say_no_more_than_they_must() -> None:
    old = {
        "task": "t", "status": "ok", "plan_key": "a" * 64, "content_key": "b" * 64, "code": "c", "manifest": {},
        "parameters": {}, "inputs": {}, "tools": [], "libraries": {}, "producers": {}, "input_cids": [],
        "output_cids": [], "outputs": {"value": 1}, "started": "2026-01-01T00:00:00.000+00:00", "seconds": 1.0,
        "cpu_seconds": 1.0, "peak_bytes": 0, "host": "h", "python": "3.11", "log": None, "error": None,
        "differs_from": None, "format": 1,
    }  # fmt: skip
    data = json.dumps(old, sort_keys=True, separators=(",", ":")).encode()
    record = Record.from_bytes(data, "x")
    assert record is not None
    assert record.to_bytes() == data
    assert b'"user":"anna"' in record._replace(user="anna").to_bytes()


def test_a_record_can_be_signed_by_who_did_not_run_it_and_says_who_did(store: Store, tmp_path: Path) -> None:
    with person(tmp_path, "anna"):
        record = record_of(made(sample="s1").compute())
    for entry in list(store.backend.entries("signatures")):
        store.backend.remove(entry.place)
    with person(tmp_path, "ben"):
        sign_made(store.records, record.id)
        assert whose(store.records, [record]) == {record.id: "yours"}
    assert layout.signature(record.id, "x").startswith("signatures/")
