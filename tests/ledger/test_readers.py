"""What calls before one relied on is asked of each once a second, and not for each call that takes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from listed_tasks import pieces, reading

from stargazer.ledger import Ledger, Record
from stargazer.ledger import ledger as module
from stargazer.store import Store


def test_the_record_of_a_list_is_not_read_for_each_element(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pieces(count=40)
    found.compute(scheduler="sync")
    whole = Ledger(store.records).find(found.plan_key)
    assert whole is not None
    read: list[str] = []
    parse = Record.from_bytes

    def counting(data: bytes, identifier: str) -> Record | None:
        read.append(identifier)
        return parse(data, identifier)

    def asked(seconds: float, *, noted: bool) -> int:
        monkeypatch.setattr(module, "FRESH", seconds)
        module._relies_on_nothing.clear()
        module._read_nothing.clear()
        read.clear()
        before = Ledger(store.records, read=counting)
        with monkeypatch.context() as patched:
            if not noted:
                patched.setattr(module, "_note", lambda notes, found: None)
            for _ in range(40):
                assert before.readers([found.plan_key]) == ()
        return read.count(whole.id)

    assert (asked(3600.0, noted=True), asked(-1.0, noted=True), asked(-1.0, noted=False)) == (1, 1, 40)


def test_what_was_just_recorded_is_not_read_again_by_who_takes_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FRESH", -1.0)
    calls = [pieces(count=count) for count in (2, 3)]
    for call in calls:
        call.compute(scheduler="sync")
    known = Ledger(store.records, read=lambda data, identifier: pytest.fail(f"{identifier} was read"))
    assert known.readers([call.plan_key for call in calls]) == ()


def test_a_key_that_was_turned_to_the_record_of_another_call_is_not_believed(store: Store) -> None:
    mine, other = pieces(count=2), pieces(count=3)
    for call in (mine, other):
        call.compute(scheduler="sync")
    ledger = Ledger(store.records)
    found = ledger.find(other.plan_key)
    assert found is not None
    assert ledger.readers([mine.plan_key]) == ()
    module._relies_on_nothing.clear()
    store.records.set_keys({mine.plan_key: found.id.encode()})
    assert ledger.readers([mine.plan_key]) is None, "what is noted of that record is its own keys"


@pytest.mark.filterwarnings("ignore::stargazer.execute.findings.HiddenInput")
def test_what_relies_on_reads_is_looked_at_each_time(store: Store, tmp_path: Path) -> None:
    beside = tmp_path / "beside.txt"
    beside.write_text("21")
    call = reading(beside=str(beside))
    call.compute(scheduler="sync")
    ledger = Ledger(store.records)
    record = ledger.find(call.plan_key)
    assert record is not None
    assert [ledger.readers([call.plan_key]) for _ in range(2)] == [(record.id,), (record.id,)]
    beside.write_text("4")
    assert ledger.readers([call.plan_key]) is None


def test_nothing_is_told_of_a_call_that_never_ran(store: Store) -> None:
    ledger = Ledger(store.records)
    call = pieces(count=3)
    assert ledger.readers([call.plan_key]) is None
    call.compute(scheduler="sync")
    assert ledger.readers([call.plan_key]) == ()
