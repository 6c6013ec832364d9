"""A scan that is known makes no call for each of its row groups, and knows by the same keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.tables import parts, scan

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("pyiceberg")


@pytest.fixture
def uri(store: sg.Store, tmp_path: Path) -> str:
    folder = tmp_path / "rows"
    folder.mkdir()
    pq.write_table(pa.table({"n": range(40)}), folder / "0.parquet", row_group_size=4)
    return folder.as_uri()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The parts of which calls were made."""
    found: list[Any] = []

    def called(part: Any, make: Any = parts.called) -> Any:
        found.append(part)
        return make(part)

    monkeypatch.setattr(parts, "called", called)
    return found


def test_what_is_known_needs_one_call(uri: str, made: list[Any]) -> None:
    first = scan(uri).to_table()
    assert len(set(made)) == 10
    made.clear()
    again = scan(uri)
    assert again.to_table().equals(first)
    assert len(made) == 1


def test_the_keys_are_those_of_the_calls(uri: str) -> None:
    found = scan(uri, where="n < 20")
    assert len(found) == len(found.calls) == 5
    first = found.calls[0]
    assert [parts._key(each, first) for each in found.parts] == [call.plan_key for call in found]
    assert [call.plan_key for call in scan(uri, where="n < 20")] == [call.plan_key for call in found]


def test_what_one_store_knows_another_one_reads(uri: str, tmp_path: Path) -> None:
    first = scan(uri).to_table()
    with sg.Store(tmp_path / "other") as other:
        elsewhere = scan(uri)
        assert sg.plan(list(elsewhere)).to_run
        assert elsewhere.to_table().equals(first)
    assert {call.spec.store for call in elsewhere} == {other.url}


def test_a_part_that_was_forgotten_is_read_again(uri: str, store: sg.Store) -> None:
    from stargazer.ledger import Ledger

    first = scan(uri).to_table()
    ledger = Ledger(store.records)
    record = ledger.find(scan(uri)[3].plan_key)
    assert record is not None
    ledger.forget([record])
    assert len(sg.plan(list(scan(uri))).to_run) == 1
    assert scan(uri).to_table().equals(first)
    assert not sg.plan(list(scan(uri))).to_run


def test_records_are_read_once_a_process(uri: str, store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found is looked up and hashed each time; what its bytes say is remembered, and is of one store."""
    from stargazer.ledger import record

    first = scan(uri).to_table()
    assert scan(uri).to_table().equals(first)
    read: list[bytes] = []

    def read_object(data: bytes, make: Any = record.read_object) -> Any:
        read.append(data)
        return make(data)

    monkeypatch.setattr(record, "read_object", read_object)
    assert scan(uri).to_table().equals(first)
    assert read == []
    found = parts.known_results(scan(uri).parts, store)
    assert [each.source.url for each in found] == [store.url] * 10
