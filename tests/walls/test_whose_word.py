"""Whose result it is: what thieves, namesakes and floods of signatures can make others believe."""

from __future__ import annotations

import json
import os
import pwd
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dask.config
import pytest
from signed_tasks import made
from test_signatures import forged, key_of, person, record_of

import stargazer as sg
from stargazer import config
from stargazer.errors import ConfigError
from stargazer.ledger import Ledger
from stargazer.ledger.signatures import own_key, public_key, sign_made, whose
from stargazer.remotes.trust import judge
from stargazer.store import Store, layout
from stargazer.store.records import seal


def believing(tmp_path: Path, **settings: Any) -> Any:
    anna = key_of(tmp_path, "anna")
    told = {"trust": {"anna": anna}, "accept": "signed", **settings}
    return dask.config.set({f"stargazer.{name}": value for name, value in told.items()})


def test_a_thief_cannot_write_a_date_of_last_year(store: Store, tmp_path: Path) -> None:
    with person(tmp_path, "anna"):
        true = record_of(made(sample="s1").compute())
        since = datetime.now(UTC) + timedelta(seconds=0.5)
        time.sleep(1.0)
        false = forged(true, store, started="2020-01-01T00:00:00+00:00")  # the thief has her key
        sign_made(store, false.id)
    anna = key_of(tmp_path, "anna")
    with person(tmp_path, "ben"), believing(tmp_path, revoked={anna: since.isoformat()}):
        assert whose(store, [true, false]) == {true.id: "signed by anna", false.id: "unsigned"}
        assert Ledger(store).find(true.plan_key) is None
        store.records.link_keys([true.plan_key], true.id)
        found = Ledger(store).find(true.plan_key)
        assert found is not None
        assert found.id == true.id


def test_the_mtime_of_a_signature_counts_for_nothing(store: Store, tmp_path: Path) -> None:
    with person(tmp_path, "anna"):
        record = record_of(made(sample="s1").compute())
        key = own_key().public_key().public_bytes_raw().hex()
    before = datetime.now(UTC) - timedelta(days=1)
    old = record._replace(started="2020-01-01T00:00:00+00:00")
    identifier = store.records.put(old.to_bytes())
    with person(tmp_path, "anna"):
        sign_made(store, identifier)
    os.utime(store.backend.path(layout.signature(identifier, key)), (0, 0))
    with person(tmp_path, "ben"), believing(tmp_path, revoked={key_of(tmp_path, "anna"): before.isoformat()}):
        assert whose(store, [old._replace(id=identifier)]) == {identifier: "unsigned"}


def test_what_a_remote_has_of_a_revoked_key_is_not_believed(store: Store, tmp_path: Path) -> None:
    with person(tmp_path, "anna"):
        record = record_of(made(sample="s1").compute())
    anna = key_of(tmp_path, "anna")
    with person(tmp_path, "ben"), believing(tmp_path, revoked={anna: "2100-01-01"}):
        assert "whose key was revoked" in judge(store, [record.id])[record.id].reason
        assert whose(store, [record]) == {record.id: "signed by anna"}, "it lay in one's own store before that time"


def test_the_user_that_a_record_names_is_its_word_alone(store: Store) -> None:
    record = record_of(made(sample="s1").compute())
    false = forged(record, store, user="root")
    shown = repr(sg.trace(made(sample="s1").compute()))
    assert shown.endswith("  unsigned")
    assert whose(store, [false]) == {false.id: "unsigned"}


@pytest.mark.parametrize("name", ["yours", "unsigned", "anna\x1b[2K", "\u202eanna"])
def test_a_name_in_trust_is_no_verdict(store: Store, tmp_path: Path, name: str) -> None:
    with person(tmp_path, "anna"):
        record = record_of(made(sample="s1").compute())
    with person(tmp_path, "ben"), believing(tmp_path, trust={name: key_of(tmp_path, "anna")}):
        assert whose(store, [record]) == {record.id: f"signed by {name}"}
        shown = repr(sg.trace(made(sample="s1").compute()))
        assert "signed by" in shown
        assert "\x1b" not in shown
        assert "\u202e" not in shown


def test_a_flood_of_signatures_hides_none_that_counts(store: Store, tmp_path: Path) -> None:
    with person(tmp_path, "anna"):
        record = record_of(made(sample="s1").compute())
    store.records.put_signatures({(record.id, f"{number:064x}"): bytes(64) for number in range(500)})
    with person(tmp_path, "ben"), believing(tmp_path):
        began = time.process_time()
        assert whose(store, [record]) == {record.id: "signed by anna"}
        assert Ledger(store).find(record.plan_key) is not None
        assert time.process_time() - began < 5


@pytest.mark.parametrize("data", [b"", bytes(64), b"\xff" * 64, b"x" * 100_000])
def test_a_signature_that_somebody_spoilt_is_told_and_the_call_runs_again(
    store: Store, tmp_path: Path, data: bytes
) -> None:
    with person(tmp_path, "anna"):
        record = record_of(made(sample="s1").compute())
        key = own_key().public_key().public_bytes_raw().hex()
        store.backend.replace(layout.signature(record.id, key), seal(data))
        assert whose(store, [record])[record.id] == "not as signed"
        with dask.config.set({"stargazer.accept": "own"}):
            assert Ledger(store).find(record.plan_key) is None
            assert made(sample="s1").compute().fetch().read_text() == "true result of s1"


def test_a_repeat_of_a_record_that_is_not_there_is_no_hit(store: Store, tmp_path: Path) -> None:
    with person(tmp_path, "anna"):
        record = record_of(made(sample="s1").compute())
        ghost = forged(record, store, same_as="f" * 64)
        sign_made(store, ghost.id)
        assert Ledger(store, "own").find(record.plan_key) is None


@pytest.mark.parametrize("kind", ["os.system", "__import__", "x; import os", "None", "_private"])
def test_names_of_a_result_make_no_code(store: Store, kind: str) -> None:
    record = record_of(made(sample="s1").compute())
    outputs = {"tuple": [{"value": 1}], "fields": ["__class__" if kind == "None" else "a"], "type": kind}
    identifier = store.records.put(record._replace(outputs=outputs, output_cids=[]).to_bytes())
    store.records.link_keys([record.content_key, record.plan_key], identifier)
    found = made(sample="s1").compute()
    if isinstance(found, tuple):
        assert type(found).__mro__[1:] == (tuple, object)
        assert tuple(found) == (1,)
    else:
        assert found.fetch().read_text() == "true result of s1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_somebody_else_signs_nothing(store: Store) -> None:
    made(sample="s1").compute()
    os.chown(config.key_file(), pwd.getpwnam("nobody").pw_uid, -1)
    time.sleep(1.1)
    with pytest.raises(ConfigError, match="belongs to somebody else"):
        public_key()
    with pytest.warns(UserWarning, match="not signed"):
        assert repr(sg.trace(made(sample="s2").compute())).endswith("  unsigned")


def test_a_run_that_was_signed_is_no_signature_of_a_record(store: Store) -> None:
    """What is signed of records begins with words that no note of a run begins with."""
    from stargazer.ledger.signatures import sign_text, statement

    record = record_of(made(sample="s1").compute())
    key, _, digits = sign_text(json.dumps({"id": record.id}).encode()).partition(".")
    store.records.put_signatures({(record.id, key): bytes.fromhex(digits)})
    assert whose(store, [record]) == {record.id: "not as signed"}
    assert not json.dumps({"a": 1}).encode().startswith(statement("")[:1])
