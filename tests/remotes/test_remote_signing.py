"""Signed records: whoever pushes vouches, and what a trusted signer signed is believed of any store."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from pathlib import Path

import dask.config
import pytest
from text_tasks import made, upper, wired
from typer.testing import CliRunner

import stargazer as sg
from stargazer import config
from stargazer.cli.app import app
from stargazer.errors import ConfigError, NotFound, RemoteError
from stargazer.remotes import RemoteWarning
from stargazer.remotes.trust import make_key, public_key
from stargazer.store import Store, layout
from stargazer.store.records import seal

Configure = Callable[..., None]


@pytest.fixture
def anna(tmp_path: Path) -> str:
    """The public key of whoever pushes; the private one is in force."""
    with dask.config.set({"stargazer.key": str(tmp_path / "keys/anna.pem")}):
        yield make_key()


@pytest.fixture
def lab(store: Store, anna: str, tmp_path: Path) -> Store:
    """A store that nobody trusts, with a result that Anna pushed."""
    _, result = made(store, tmp_path)
    sg.push(result, to=str(tmp_path / "lab"), lineage=True)
    return Store(tmp_path / "lab")


def another_key(tmp_path: Path) -> str:
    with dask.config.set({"stargazer.key": str(tmp_path / "keys/ben.pem")}):
        return make_key()


def tasks_run(lab: Store, tmp_path: Path, configure: Configure, **trust: str) -> int:
    """How many tasks run on a second machine that believes some signers."""
    configure({"store": lab.url, "name": "lab"})
    with dask.config.set({"stargazer.trust": trust}), Store(tmp_path / "mine") as mine:
        flight = sg.run(wired(mine.add(tmp_path / "text.txt")), progress=False)
        assert flight.result().fetch().read_text() == "HELLO-HELLO"
        assert mine.fsck().ok
        return flight.tasks_run


def signatures(lab: Store) -> list[str]:
    return [entry.place for entry in lab.backend.entries("signatures")]


def test_signed_records_are_believed_of_any_store(lab: Store, anna: str, tmp_path: Path, configure: Configure) -> None:
    assert len(signatures(lab)) == 2
    assert lab.fsck().ok
    assert lab.fsck().strays == ()
    assert tasks_run(lab, tmp_path, configure, anna=anna) == 0
    mine = Store(tmp_path / "mine")
    assert sorted(signatures(mine)) == sorted(signatures(lab)), "signatures go along"
    sg.push(mine.find(name="twice.txt")[0], to=str(tmp_path / "third"), lineage=True)
    assert Store(tmp_path / "third").fsck().ok


def test_a_stranger_is_not_believed(lab: Store, anna: str, tmp_path: Path, configure: Configure) -> None:
    ben = another_key(tmp_path)
    with pytest.warns(RemoteWarning, match=r"lab knows \w+, and is not trusted: record \w+ is signed by none of ben"):
        assert tasks_run(lab, tmp_path, configure, ben=ben) == 2


def test_nobody_is_believed_and_nobody_is_asked(lab: Store, tmp_path: Path, configure: Configure) -> None:
    assert tasks_run(lab, tmp_path, configure) == 2


def test_a_signature_that_does_not_fit_is_refused(lab: Store, anna: str, tmp_path: Path, configure: Configure) -> None:
    for place in signatures(lab):
        lab.backend.replace(place, seal(bytes(64)))
    with pytest.warns(RemoteWarning, match=r"has a signature of anna that does not fit it"):
        assert tasks_run(lab, tmp_path, configure, anna=anna) == 2
    with dask.config.set({"stargazer.trust": {"anna": anna}}), Store(tmp_path / "third"):
        cid = str(lab.find(name="twice.txt")[0].cid)
        with pytest.raises(RemoteError, match=r"lab: record \w+ has a signature of anna that does not fit it"):
            sg.fetch(cid, lineage=True)


def test_a_signed_record_answers_for_its_own_keys_only(
    lab: Store, anna: str, tmp_path: Path, configure: Configure
) -> None:
    """A store may not let the key of one call lead to the signed record of another."""
    other = wired(Store(tmp_path / "store").find(name="text.txt")[0], sep="+")
    record = json.loads(
        next(iter(lab.records.get_many(e.place[-64:] for e in lab.backend.entries("records")).values()))
    )
    for entry in list(lab.backend.entries("records")):
        if json.loads(lab.backend.read(entry.place) or b"")["task"].endswith("twice"):
            lab.records.link_keys([other.plan_key], entry.place[-64:])
    assert record["status"] == "ok"
    configure({"store": lab.url, "name": "lab"})
    with dask.config.set({"stargazer.trust": {"anna": anna}}), Store(tmp_path / "mine") as mine:
        theirs = wired(mine.add(tmp_path / "text.txt"), sep="+")
        assert theirs.plan_key == other.plan_key
        assert theirs.compute().fetch().read_text() == "HELLO+HELLO"


def test_harm_to_a_signed_record_makes_it_another_one(
    lab: Store, anna: str, tmp_path: Path, configure: Configure
) -> None:
    for entry in list(lab.backend.entries("records")):
        data = lab.backend.read(entry.place) or b""
        record = json.loads(data)
        harmed = lab.records.put(data.replace(b'"seconds":', b'"seconds":1', 1))
        lab.records.link_keys([record["plan_key"], record["content_key"]], harmed)
    with pytest.warns(RemoteWarning, match="is signed by none of anna"):
        assert tasks_run(lab, tmp_path, configure, anna=anna) == 2


def test_ancestors_that_nobody_signed_stay_behind(lab: Store, anna: str, tmp_path: Path, configure: Configure) -> None:
    with Store(tmp_path / "store") as own:
        first = sg.trace(upper(own.find(name="text.txt")[0])[0].compute()).records[0]
    lab.backend.remove(next(place for place in signatures(lab) if first.id in place))
    assert tasks_run(lab, tmp_path, configure, anna=anna) == 0
    with Store(tmp_path / "mine") as mine:
        assert [record.task for record in sg.trace(mine.find(name="twice.txt")[0]).records] == ["twice"]


def test_keys_on_the_command_line(tmp_path: Path) -> None:
    run = CliRunner()
    path = tmp_path / "deep/key.pem"
    with dask.config.set({"stargazer.key": str(path)}):
        with pytest.raises(NotFound, match="stargazer keys make"):
            public_key()
        assert run.invoke(app, ["keys", "show"]).exit_code == 1
        done = run.invoke(app, ["keys", "make", "--json"])
        told = json.loads(done.stdout)
        assert told["file"] == str(path)
        assert base64.b64decode(told["public"].removeprefix("ed25519:"))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().splitlines()[1] not in done.output
        assert run.invoke(app, ["keys", "show"]).stdout == told["public"] + "\n"
        again = run.invoke(app, ["keys", "make"])
        assert (again.exit_code, "is there already" in again.output) == (1, True)
        path.chmod(0o640)
        with pytest.raises(ConfigError, match="chmod 600"):
            public_key()
        path.chmod(0o600)
        path.write_text("no key")
        with pytest.raises(ConfigError, match="holds no Ed25519 key"):
            public_key()


@pytest.mark.parametrize("key", ["anna", "ed25519:", "ed25519:AAAA", 7, "ed25519:!!!!"])
def test_what_is_no_key_is_refused(key: object, store: Store, tmp_path: Path, configure: Configure) -> None:
    configure({"store": str(tmp_path / "lab")})
    with (
        dask.config.set({"stargazer.trust": {"anna": key}}),
        pytest.raises(ConfigError, match=r"stargazer.trust.anna is .*stargazer keys show"),
    ):
        made(store, tmp_path)


def test_the_key_is_in_the_users_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with dask.config.set({"stargazer.key": None}):
        assert config.key_file() == tmp_path / "stargazer/key.pem"


def test_torn_signatures_are_told_of(lab: Store) -> None:
    [place, _] = signatures(lab)
    lab.backend.replace(place, b"torn")
    lab.backend.replace(layout.signature("a" * 64, "x"), b"stray")
    found = lab.fsck()
    assert found.torn == (place,)
    assert found.strays == (f"signatures/aa/{'a' * 64}.x",)
    assert lab.fsck().ok
