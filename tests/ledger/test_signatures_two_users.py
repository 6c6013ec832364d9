"""Results in a store that two users of one machine share: whose they are, and who is believed."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import dask.config
import pytest
from signed_tasks import after, constant, made
from two_users import ALICE, BOB, as_user, needs_root

import stargazer as sg
from stargazer.errors import ConfigError
from stargazer.ledger import Ledger
from stargazer.ledger.signatures import public_key, sign_made, whose
from stargazer.store import Store

pytestmark = needs_root


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that both can reach: pytest's own is closed to others whenever another pytest begins."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder in which everybody may write, with a store in which Alice ran something."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with Store(tmp_path / "warm") as warm:  # what is imported late may lie where the two cannot read
        warm.add(Path(__file__))
        sg.trace(made(sample="s1").compute(scheduler="sync"))
        after(constant(sample="a")).compute(scheduler="sync")
        assert sg.plan(made(sample="s1")).to_dict()
    as_user(ALICE, lambda: ran(folder), tmp_path)
    for path in [folder / "store", *(folder / "store").rglob("*")]:
        if path.is_dir():
            path.chmod(0o777)
    return folder


def ran(folder: Path, sample: str = "s1") -> str:
    os.umask(0)
    with Store(folder / "store"):
        return made(sample=sample).compute(scheduler="sync").fetch().read_text()


def forge(folder: Path, sign: bool = False) -> str:
    """What Bob does: a record of Alice's call, with a result of his own."""
    os.umask(0)
    with Store(folder / "store") as store:
        ledger = Ledger(store.records)
        true = ledger.find(made(sample="s1").plan_key)
        assert true is not None
        cid = store.blobs.put_bytes(b"FORGED")
        outputs = json.loads(json.dumps(true.outputs))
        outputs["asset"]["cid"] = cid
        identifier = store.records.put(true._replace(outputs=outputs, output_cids=[cid]).to_bytes())
        if sign:
            sign_made(store.records, identifier)
        else:
            for signed in store.records.read_signatures(
                [(true.id, key) for key in store.records.signers([true.id])[true.id]]
            ).items():
                ((_, key), data) = signed
                store.records.put_signatures({(identifier, key): data})
        store.records.link_keys([true.plan_key, true.content_key], identifier)
        return identifier


def with_settings(folder: Path, work: Callable[[Store], Any], **settings: Any) -> Callable[[], Any]:
    def worked() -> Any:
        os.umask(0)
        told = {f"stargazer.{name}": value for name, value in settings.items()}
        with dask.config.set(told), Store(folder / "store") as store:
            return work(store)

    return worked


def result(_: Store) -> tuple[str, str]:
    found = made(sample="s1").compute(scheduler="sync")
    return found.fetch().read_text(), repr(sg.trace(found)).rpartition("  ")[2]


@pytest.mark.parametrize(
    ("accept", "sign", "told"),
    [
        ("anyone", False, ("FORGED", "not as signed")),
        ("anyone", True, ("FORGED", "signed by bob")),
        ("signed", False, ("true result of s1", "yours")),
        ("own", False, ("true result of s1", "yours")),
        ("own", True, ("true result of s1", "yours")),
    ],
)
def test_what_bob_forged_is_told_or_refused(
    tmp_path: Path, shared: Path, accept: str, sign: bool, told: tuple[str, str]
) -> None:
    as_user(BOB, lambda: ran(shared, "his own"), tmp_path)
    bob = as_user(BOB, public_key, tmp_path)
    as_user(BOB, lambda: forge(shared, sign), tmp_path)
    work = with_settings(shared, result, accept=accept, trust={"bob": bob} if sign else {})
    assert as_user(ALICE, work, tmp_path) == told


def test_bob_takes_what_alice_made_where_he_trusts_her(tmp_path: Path, shared: Path) -> None:
    alice = as_user(ALICE, public_key, tmp_path)

    def look(store: Store) -> str:
        record = Ledger(store.records).find(made(sample="s1").plan_key)
        return "unknown" if record is None else f"{record.user}: {whose(store.records, [record])[record.id]}"

    assert as_user(BOB, with_settings(shared, look, accept="signed"), tmp_path) == "unknown"
    trusting = with_settings(shared, look, accept="signed", trust={"alice": alice})
    assert as_user(BOB, trusting, tmp_path) == f"{ALICE}: signed by alice"
    late = with_settings(shared, look, accept="signed", trust={"alice": alice}, revoked={alice: "2020-01-01"})
    assert as_user(BOB, late, tmp_path) == "unknown"


def test_a_key_that_leads_to_anothers_call_gives_no_other_result(tmp_path: Path, shared: Path) -> None:
    as_user(ALICE, lambda: ran(shared, "s2"), tmp_path)

    def mislead() -> None:
        with Store(shared / "store") as store:
            two = Ledger(store.records).find(made(sample="s2").plan_key)
            assert two is not None
            store.records.link_keys([made(sample="s1").plan_key], two.id)

    as_user(BOB, mislead, tmp_path)
    for accept in ("anyone", "signed", "own"):
        told = as_user(ALICE, with_settings(shared, result, accept=accept), tmp_path)
        assert told == ("true result of s1", "yours")


def test_her_private_key_is_not_for_him(tmp_path: Path, shared: Path) -> None:
    assert (tmp_path / ALICE / "key.pem").stat().st_mode & 0o777 == 0o600

    def steal() -> str:
        with dask.config.set({"stargazer.key": str(tmp_path / ALICE / "key.pem")}):
            return public_key()

    with pytest.raises(ConfigError, match="cannot be read"):
        as_user(BOB, steal, tmp_path)


def test_what_both_ran_is_of_both(tmp_path: Path, shared: Path) -> None:
    def other(store: Store) -> str:
        found = after(constant(sample="x")).compute(scheduler="sync")
        return repr(sg.trace(found))

    first = as_user(ALICE, with_settings(shared, other), tmp_path)
    alice = as_user(ALICE, public_key, tmp_path)
    assert first.count("yours") == 2

    def repeat(store: Store) -> tuple[str, str | None]:
        found = after(constant(sample="y")).compute(scheduler="sync")
        record = Ledger(store.records).get(str(found.source.record))
        return repr(sg.trace(found)), None if record is None else record.same_as

    told, same = as_user(BOB, with_settings(shared, repeat, accept="signed", trust={"alice": alice}), tmp_path)
    assert same, "the same bytes were reached on another way, and what Alice ran stands for it"
    assert told.count("yours") == 2
