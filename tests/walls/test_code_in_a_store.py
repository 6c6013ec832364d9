"""What lies in a store that others write to is no code: values that run when they are read, and runs that go on."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dask.config
import pytest

import stargazer as sg
from stargazer.assets.notebook import DATA_ALONE, NotebookValue
from stargazer.cid import cid_of_path
from stargazer.errors import ConfigError, NotebookError, NotFound
from stargazer.ledger import Ledger, Record
from stargazer.ledger.believed import not_looked_at
from stargazer.ledger.record import VALUE, runs_code
from stargazer.ledger.signatures import make_key, public_key, sign_made, sign_text, whose_text
from stargazer.notebook.codecs import BUILT_IN
from stargazer.runs.history import Note, find_run, read_job, whose_may_go_on
from stargazer.store import Store, layout

pytest.importorskip("pyarrow")


@sg.task
def made(work: sg.Workdir, *, sample: str) -> sg.Asset:
    out = work.file("r.txt")
    out.write_text(f"true result of {sample}")
    return sg.Asset(path=out)


BOOK = """\
# %%
from fractions import Fraction

# %% third
third = Fraction(1, 3)

# %% number
number = 7
"""


class Evil:
    """A pickle of it makes a folder where it is read."""

    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.place,)


@contextlib.contextmanager
def person(tmp_path: Path, name: str, **settings: Any) -> Iterator[str]:
    """Be somebody, with a key of one's own; the key."""
    told = {f"stargazer.{key}": value for key, value in settings.items()}
    with dask.config.set({"stargazer.key": str(tmp_path / "people" / name / "key.pem"), **told}):
        with contextlib.suppress(ConfigError):  # there is one already
            make_key()
        yield public_key()


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.py"
    path.write_text(BOOK)
    return path


def share(store: Store) -> None:
    """Let others write to a store's folder."""
    for folder in ("", "records", "keys"):
        place = Path(store.url.removeprefix("file://")) / folder
        place.mkdir(exist_ok=True)
        place.chmod(0o777)


def record_of(book: Path, store: Store, name: str) -> Record:
    sg.Notebook(book, store).run()
    run = sg.Notebook(book, store).run()
    row = next(row for row in run.report.rows if name in row.defs)
    record = Ledger(store.records).get(row.record)
    assert record is not None
    return record


def forge(store: Store, record: Record, name: str, data: bytes, codec: str = "pickle") -> Record:
    """Let the keys of a cell lead to a record with another value."""
    outputs = json.loads(json.dumps(record.outputs))
    asset = next(value["asset"] for each, value in outputs["dict"] if each == name)
    asset |= {"cid": store.blobs.put_bytes(data), "facts": asset["facts"] | {"codec": codec}}
    false = record._replace(outputs=outputs, output_cids=[asset["cid"]])
    identifier = store.records.put(false.to_bytes())
    store.records.link_keys([record.content_key, record.plan_key], identifier)
    return false._replace(id=identifier)


@pytest.mark.parametrize("codec", ["pickle", "name", "module"])
def test_a_value_that_somebody_put_there_runs_nothing(
    store: Store, tmp_path: Path, book: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "RAN"
    (tmp_path / "evil_of_bob.py").write_text(f"open({str(ran)!r}, 'w')\nvalue = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    data = {"pickle": pickle.dumps(Evil(ran)), "name": b"evil_of_bob:value ", "module": b"evil_of_bob "}[codec]
    with person(tmp_path, "anna"):
        record = record_of(book, store, "third")
    share(store)
    with person(tmp_path, "bob"):
        sign_made(store.records, forge(store, record, "third", data, codec).id)
    with person(tmp_path, "anna"):
        assert str(sg.Notebook(book, store).run()["third"]) == "1/3"
        assert not ran.exists()
        # What ran again is hers, and known.
        assert [row.state for row in sg.Notebook(book, store).run().report.rows if "third" in row.defs] == ["known"]


def test_values_of_people_whom_one_trusts_are_known(store: Store, tmp_path: Path, book: Path) -> None:
    with person(tmp_path, "bob") as bob:
        record_of(book, store, "third")
    share(store)
    states = {}
    for name, trust in (("anna", {"bob": bob}), ("carl", {})):
        with person(tmp_path, name, trust=trust):
            rows = sg.Notebook(book, store).run().report.rows
            states[name] = {row.defs[0]: row.state for row in rows if row.defs and row.state != "live"}
    assert states["anna"] == {"third": "known", "number": "known"}
    assert states["carl"] == {"third": "ran", "number": "known"}, "a number is data, whoever made it"


def test_in_a_store_of_ones_own_nothing_has_to_be_signed(store: Store, tmp_path: Path, book: Path) -> None:
    with person(tmp_path, "anna"):
        record_of(book, store, "third")
    for entry in list(store.backend.entries("signatures")):
        store.backend.remove(entry.place)
    with person(tmp_path, "ben"):
        assert {row.state for row in sg.Notebook(book, store).run().report.rows} <= {"known", "live"}
    share(store)
    with person(tmp_path, "ben"):
        assert "ran" in {row.state for row in sg.Notebook(book, store).run().report.rows}


def test_every_codec_is_known_to_be_data_or_is_not_believed() -> None:
    """A new codec that runs code when it is read must not stand among those that are data."""
    assert NotebookValue.asset_key == VALUE
    runs = {"pickle", "module", "name", "zarr"}
    assert {each.name for each in BUILT_IN} - DATA_ALONE == runs - {"pickle"}
    value = {"asset": {"asset": "notebook_value", "cid": "x", "facts": {"codec": "json"}}}
    assert not runs_code({"dict": [["a", value], ["b", {"value": 1}]]})
    for facts in ([], None, "codec", {"codec": ["json"]}, {"codec": {}}):
        assert runs_code({"asset": {**value["asset"], "facts": facts}})
    for codec in (*runs, "own:Spectrum", "unheard-of", None):
        asset = {**value["asset"], "facts": {"codec": codec}}
        one = {"asset": asset}
        assert all(map(runs_code, (one, {"list": [{"tuple": [one]}]}, {"dict": [["a", one]]})))


def noted(store: Store) -> Note:
    note = Note.new("threads", 0, "flow")
    note.write(store)
    return find_run(store, note.id)


def test_a_run_of_somebody_else_does_not_go_on_as_oneself(store: Store, tmp_path: Path) -> None:
    """It would unpickle what that person left: also where anybody's results are believed, which is the default."""
    with person(tmp_path, "bob") as bob:
        note = noted(store)
    with person(tmp_path, "anna"):
        assert whose_may_go_on(store, find_run(store, note.id)), "nobody else writes there"
        share(store)
        assert not whose_may_go_on(store, find_run(store, note.id))
    with person(tmp_path, "anna", trust={"bob": bob}):
        assert whose_may_go_on(store, find_run(store, note.id))
    with person(tmp_path, "anna", trust={"bob": bob}, accept="own"):
        assert not whose_may_go_on(store, find_run(store, note.id))
    with person(tmp_path, "bob"):
        assert whose_may_go_on(store, find_run(store, note.id))


def test_a_run_that_a_revoked_key_signed_later_is_nobodys(store: Store, tmp_path: Path) -> None:
    with person(tmp_path, "bob") as bob:
        note = noted(store)
        place = store.backend.path(layout.run(note.id))
        os.utime(place, (0, 0))
    early, late = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 1))
    with person(tmp_path, "anna", trust={"bob": bob}, revoked={bob: late.isoformat()}):
        assert find_run(store, note.id).whose == "signed by bob", "it lay there before"
    share(store)
    with person(tmp_path, "anna", trust={"bob": bob}, revoked={bob: early.isoformat()}):
        assert find_run(store, note.id).whose == "unsigned"
        assert not whose_may_go_on(store, find_run(store, note.id))


def test_a_text_of_a_revoked_key_counts_by_when_it_lay_here(tmp_path: Path) -> None:
    with person(tmp_path, "bob") as bob:
        signature = sign_text(b"text")
    now = time.time()
    with person(tmp_path, "anna", trust={"bob": bob}, revoked={bob: datetime.now(UTC).isoformat()}):
        assert whose_text(b"text", signature, lambda: now - 100) == "signed by bob"
        assert whose_text(b"text", signature, lambda: now + 100) == "unsigned"
        assert whose_text(b"text", signature) == "unsigned"
        assert whose_text(b"other", signature, lambda: now - 100) == "not as signed"


def test_a_snapshot_of_a_revoked_key_counts_by_when_it_came(store: Store, tmp_path: Path, book: Path) -> None:
    from stargazer.notebook import find_snapshot, freeze

    with person(tmp_path, "bob") as bob:
        made = freeze(book, name="one", store=store)
    early, late = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 1))
    for since, told in ((late, "signed by bob"), (early, "unsigned")):
        with person(tmp_path, "anna", trust={"bob": bob}, revoked={bob: since.isoformat()}):
            assert find_snapshot(made.cid, store).whose == told


@pytest.mark.parametrize("notebook", ["/etc/passwd", "/dev/zero", "../x.py", "other.py", ""])
def test_a_snapshot_names_no_notebook_but_its_own(store: Store, tmp_path: Path, book: Path, notebook: str) -> None:
    """What it names is shown, copied into the workspace, and run."""
    from stargazer.notebook import find_snapshot, freeze
    from stargazer.notebook.snapshots import SIGNATURE, SNAPSHOT

    made = freeze(book, name="one", store=store)
    folder = tmp_path / "changed"
    folder.mkdir()
    for path in sorted(store.fetch(made.asset).rglob("*")):
        if path.is_file() and path.name != SIGNATURE:
            target = folder / path.relative_to(store.fetch(made.asset))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    about = json.loads((folder / SNAPSHOT).read_text())
    (folder / SNAPSHOT).write_text(json.dumps(about | {"notebook": notebook}))
    changed = store.add(folder)
    with pytest.raises(NotebookError, match=r"a path of snapshot\.json cannot be read"):
        find_snapshot(str(changed.cid), store)
    with pytest.raises(NotFound):
        find_snapshot("nothing", store)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "kind",
    [
        *("a tool", "a tree", "no file of a disk", "a file without end", "no time", "a wanted one"),
        "no file of a disk, seen from here",
    ],
)
def test_what_a_strangers_record_names_is_not_run_and_not_read_for_ever(
    store: Store, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for whenever the call is looked up, also by a plan."""
    ran, evil, huge = tmp_path / "RAN", tmp_path / "evil", tmp_path / "huge"
    evil.write_text(f"#!/bin/sh\ntouch {ran}\necho 1.2.3\n")
    evil.chmod(0o755)
    with huge.open("wb") as file:
        file.truncate(9 << 30)
    (tmp_path / "link").symlink_to("/proc/version")
    names = {"a tool": f"@tool {evil}", "a tree": "///", "no file of a disk": str(tmp_path / "link")}
    names |= {"a file without end": f">{huge}", "no time": "@until", "a wanted one": str(evil)}
    names["no file of a disk, seen from here"] = os.path.relpath("/proc/version")
    value = cid_of_path(evil) if kind == "a wanted one" else "1.2.3 x"
    with person(tmp_path, "anna"):
        true = Ledger(store.records).get(str(made(sample="s1").compute(scheduler="sync").source.record))
    assert true is not None
    share(store)
    with person(tmp_path, "bob"):
        cid = store.blobs.put_bytes(b"FORGED")
        outputs = json.loads(json.dumps(true.outputs))
        outputs["asset"]["cid"] = cid
        false = true._replace(outputs=outputs, output_cids=[cid], reads={names[kind]: value})
        identifier = store.records.put(false.to_bytes())
        store.backend.remove(layout.key(true.plan_key))
        store.backend.remove(layout.key(true.content_key))
        store.records.link_keys([true.plan_key, true.content_key], identifier, (identifier,))
    with person(tmp_path, "anna"):
        told = repr(sg.plan(made(sample="s1")))
        assert ("known" if kind == "a wanted one" else "not accepted" if kind != "no time" else "run") in told
        text = made(sample="s1").compute(scheduler="sync").fetch().read_text()
    assert text == ("FORGED" if kind == "a wanted one" else "true result of s1"), "anybody's results are believed"
    assert not ran.exists()


def test_in_a_store_of_ones_own_no_file_is_looked_at_for_whose_it_is(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that are known would else cost a look more at each file that they read."""
    looked: list[Any] = []
    monkeypatch.setattr("stargazer.ledger.reads.asks_much", lambda reads: looked.append(reads) or True)
    made(sample="s1").compute(scheduler="sync")
    record = Ledger(store.records).newest(made.name)[0]
    reading = {record.id: record._replace(reads={"/etc/hostname": "x"})}
    assert not not_looked_at(store.records, reading)
    assert not looked
    share(store)
    not_looked_at(store.records, reading)
    assert looked


def test_a_strangers_call_is_not_run_once_more_as_oneself(store: Store, tmp_path: Path) -> None:
    """What a task was given may be further arguments of its tools, and where they write."""
    with person(tmp_path, "bob") as bob:
        made(sample="s1").compute(scheduler="sync")
    share(store)
    with person(tmp_path, "anna"):
        report = sg.verify(store=store, tasks=[made])
        assert [(call.outcome, "signed by ed25519" in call.why) for call in report.calls] == [
            ("cannot be made again", True)
        ]
    with person(tmp_path, "anna", trust={"bob": bob}):
        assert [call.outcome for call in sg.verify(store=store, tasks=[made]).calls] == ["same"]
    with person(tmp_path, "bob"):
        assert [call.outcome for call in sg.verify(store=store, tasks=[made]).calls] == ["same"]


@pytest.mark.parametrize(
    ("job", "good"),
    [
        *((job, True) for job in ("1234", "1234;cluster", "12.server", "12[].server", "Moab.7", "12_3", "JOB-1")),
        *((job, False) for job in ("--user=anna", "-u anna", "", "1 2", "$(id)", "1\n2", "x" * 300, 7, ["1"])),
    ],
)
def test_the_number_of_a_job_is_no_option(store: Store, job: Any, good: bool) -> None:
    """`stargazer cancel` gives it to the batch system, and whoever may write to the store may have written it."""
    _ = store.context.header
    store.backend.replace(layout.driver("run-1", "job"), json.dumps({"job": job}).encode())
    assert read_job(store, "run-1") == (job if good else None)
