"""What a body reads beside its inputs: noticed, recorded, and asked for before a result is taken as known."""

from __future__ import annotations

import functools
import linecache
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import pytest

import stargazer as sg
from stargazer.cid import cid_of_file
from stargazer.errors import UndeclaredInput
from stargazer.execute.findings import HiddenInput
from stargazer.ledger import Ledger, Record
from stargazer.store import Store
from stargazer.store.records import StoredRecords

pytestmark = pytest.mark.filterwarnings("ignore::stargazer.execute.findings.HiddenInput")


class Desk:
    """A folder with a file that bodies read behind their calls' backs, and a log of the bodies that ran."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.file = path / "settings.txt"
        self.file.write_text("one")
        self._log = path / "ran.log"

    def ran(self) -> list[str]:
        """Bodies that ran since the last question."""
        found = self._log.read_text().split() if self._log.exists() else []
        self._log.unlink(missing_ok=True)
        return found


@pytest.fixture
def desk(tmp_path: Path, store: Store) -> Desk:
    (tmp_path / "desk").mkdir()
    return Desk(tmp_path / "desk")


def note(desk: str, name: str) -> Path:
    """Write down that a body ran; the file that it reads."""
    with open(f"{desk}/ran.log", "a") as log:
        print(name, file=log)
    return Path(desk, "settings.txt")


def record_of(store: Store, call: Any) -> Record:
    record = Ledger(store.records).find(call.plan_key)
    assert record is not None
    return record


@sg.task
def plain(work: sg.Workdir, *, desk: str) -> str:
    return note(desk, "plain").read_text()


@sg.task
def by_descriptor(work: sg.Workdir, *, desk: str) -> str:
    descriptor = os.open(note(desk, "by_descriptor"), os.O_RDONLY)
    try:
        return os.read(descriptor, 100).decode()
    finally:
        os.close(descriptor)


@sg.task
def on_a_thread(work: sg.Workdir, *, desk: str) -> str:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(note(desk, "on_a_thread").read_text()))
    thread.start()
    thread.join()
    return found[0]


@sg.task
def in_a_pool(work: sg.Workdir, *, desk: str) -> str:
    with ThreadPoolExecutor(2) as pool:
        return "".join(pool.map(lambda path: path.read_text(), [note(desk, "in_a_pool")]))


@sg.task
def by_a_program(work: sg.Workdir, *, desk: str) -> str:
    return work.output(["cat", note(desk, "by_a_program")])


@sg.task
def by_an_option(work: sg.Workdir, *, desk: str) -> str:
    out = work.file("out.txt")
    work.run(["dd", f"if={note(desk, 'by_an_option')}", "status=none"], stdout=out)
    return out.read_text()


@sg.task
def by_a_shell(work: sg.Workdir, *, desk: str) -> str:
    return work.output(["sh", "-c", f"cat '{note(desk, 'by_a_shell')}'"])


@sg.task
def by_a_link(work: sg.Workdir, *, desk: str) -> str:
    os.symlink(note(desk, "by_a_link"), work.path / "linked.txt")
    return work.output(["cat", "linked.txt"])


@sg.task
def by_stdin(work: sg.Workdir, *, desk: str) -> str:
    out = work.file("out.txt")
    work.run(["cat"], stdin=note(desk, "by_stdin"), stdout=out)
    return out.read_text()


@sg.task
def by_itself(work: sg.Workdir, *, desk: str) -> str:
    return subprocess.run(["cat", str(note(desk, "by_itself"))], capture_output=True, text=True, check=True).stdout


@sg.task
def by_a_shell_of_its_own(work: sg.Workdir, *, desk: str) -> str:
    command = f"cat {note(desk, 'by_a_shell_of_its_own')}"
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout


@sg.task
def by_lines(work: sg.Workdir, *, desk: str) -> str:
    linecache.clearcache()
    return linecache.getline(str(note(desk, "by_lines")), 1).strip()


@sg.task
def by_copy(work: sg.Workdir, *, desk: str) -> str:
    return Path(shutil.copy(note(desk, "by_copy"), work.path)).read_text()


READERS = [
    by_a_link,
    by_stdin,
    by_itself,
    by_a_shell_of_its_own,
    by_lines,
    by_copy,
    plain,
    by_descriptor,
    on_a_thread,
    in_a_pool,
    by_a_program,
    by_an_option,
    by_a_shell,
]


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
@pytest.mark.parametrize("task", READERS, ids=lambda task: task.name)
def test_a_file_that_changes_is_noticed_and_one_that_is_as_it_was_is_known(
    desk: Desk, task: Any, scheduler: str, store: Store
) -> None:
    with dask.config.set(scheduler=scheduler):
        for text, bodies in (("one", 1), ("one", 0), ("two", 1), ("one", 0), ("two", 0), ("three", 1)):
            desk.file.write_text(text)
            assert task(desk=desk.path).compute() == text
            assert desk.ran() == [task.name] * bodies, text
    assert record_of(store, task(desk=desk.path)).reads == {str(desk.file): cid_of_file(desk.file)}


def test_a_reader_is_warned_with_what_to_do(desk: Desk, store: Store) -> None:
    with pytest.warns(
        HiddenInput, match=r"task plain read .*settings\.txt beside its inputs: add it \(sg\.add\) and pass"
    ):
        plain(desk=desk.path).compute(scheduler="sync")
    (told, _) = record_of(store, plain(desk=desk.path)).noted
    assert told.startswith(f"read {desk.file}")


def test_strict_makes_it_an_error_and_keeps_nothing(desk: Desk) -> None:
    with dask.config.set({"stargazer.strict": True}), pytest.raises(UndeclaredInput, match=r"settings\.txt beside"):
        plain(desk=desk.path).compute(scheduler="sync")
    assert plain(desk=desk.path).known() is None
    assert [record.status for record in failures(plain(desk=desk.path).store)] == ["failed"]


def failures(store: Store) -> list[Record]:
    found = (Record.from_bytes(data, name) for name, data in store.records.where(task="plain"))
    return [record for record in found if record is not None and record.status == "failed"]


def test_same_size_and_time_are_no_proof(desk: Desk) -> None:
    def read() -> str:
        return str(plain(desk=desk.path).compute(scheduler="sync"))

    before = desk.file.stat()
    assert read() == "one"
    desk.file.write_text("two")
    os.utime(desk.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read() == "two"


@sg.task
def with_default(work: sg.Workdir, *, desk: str) -> str:
    note(desk, "with_default")
    try:
        return Path(desk, "optional.txt").read_text()
    except FileNotFoundError:
        return "default"


def test_a_file_that_is_missing_is_read_as_well(desk: Desk) -> None:
    def read() -> str:
        return str(with_default(desk=desk.path).compute(scheduler="sync"))

    assert (read(), read(), desk.ran()) == ("default", "default", ["with_default"])
    Path(desk.path, "optional.txt").write_text("given")
    assert (read(), read(), desk.ran()) == ("given", "given", ["with_default"])
    Path(desk.path, "optional.txt").unlink()
    assert (read(), desk.ran()) == ("default", [])


@sg.task
def listing(work: sg.Workdir, *, desk: str) -> list[str]:
    note(desk, "listing")
    return sorted(path.name for path in Path(desk).glob("*.csv"))


def test_names_in_a_folder_count(desk: Desk, tmp_path: Path) -> None:
    desk._log.touch()
    assert listing(desk=desk.path).compute(scheduler="sync") == []
    assert listing(desk=desk.path).compute(scheduler="sync") == []
    Path(desk.path, "a.csv").touch()
    assert listing(desk=desk.path).compute(scheduler="sync") == ["a.csv"]
    assert len(desk._log.read_text().split()) == 2


@sg.task
def by_folder(work: sg.Workdir, *, folder: str) -> str:
    return work.output(["grep", "-rh", "name", folder])


@sg.task
def by_linked_folder(work: sg.Workdir, *, folder: str) -> str:
    (work.path / "data").symlink_to(folder)
    return work.output(["grep", "-rh", "name", "data/"])


@pytest.mark.parametrize("task", [by_folder, by_linked_folder], ids=lambda task: task.name)
def test_a_folder_that_a_program_is_given_counts_with_all_that_lies_in_it(
    task: Any, desk: Desk, tmp_path: Path
) -> None:
    folder = tmp_path / "database" / "below"
    folder.mkdir(parents=True)
    for text, known in (("name 1", False), ("name 1", True), ("name 2", False)):
        if not known:
            (folder / "a.txt").write_text(text)
        call = task(folder=str(folder.parent))
        assert (call.known() is not None) == known
        assert call.compute(scheduler="sync").strip() == text


PACKAGE = """
import pkgutil, warnings
from importlib import resources
import stargazer as sg
warnings.simplefilter("ignore")

@sg.task
def t(work: sg.Workdir) -> str:
    data = pkgutil.get_data("own_package", "table.txt").decode()
    return data + resources.files("own_package").joinpath("other.txt").read_text()

print(t().compute(scheduler="sync"))
"""


def test_data_beside_own_modules_count(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "__init__.py").touch()
    (tmp_path / "main.py").write_text(PACKAGE)
    for table, other in (("a", "b"), ("c", "b"), ("c", "d")):
        (tmp_path / "own_package" / "table.txt").write_text(table)
        (tmp_path / "own_package" / "other.txt").write_text(other)
        done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout.strip() == table + other, done.stderr


SETTINGS = """
import warnings
import stargazer as sg
warnings.simplefilter("ignore")

@sg.task
def t(work: sg.Workdir, *, i: int) -> str:
    import own_settings
    return own_settings.TEXT + str(i)

print(*[t(i=i).compute(scheduler="sync") for i in (1, 2)])
"""


def test_what_an_own_module_reads_when_a_body_imports_it_counts(desk: Desk, tmp_path: Path) -> None:
    """The second body finds it imported."""
    (tmp_path / "own_settings.py").write_text(f"TEXT = open({str(desk.file)!r}).read()\n")
    (tmp_path / "main.py").write_text(SETTINGS)
    for text in ("one", "two"):
        desk.file.write_text(text)
        done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True)
        if "CodeChanged" in done.stderr:
            pytest.skip("what is imported later is taken for code that changed")
        assert done.stdout.split() == [f"{text}1", f"{text}2"], done.stderr


@sg.task
def rows(work: sg.Workdir, *, desk: str) -> int:
    note(desk, "rows")
    return int(sqlite3.connect(f"{desk}/table.db").execute("select count(*) from t").fetchone()[0])


def test_a_database_counts(desk: Desk) -> None:
    connection = sqlite3.connect(f"{desk.path}/table.db")
    connection.execute("create table t(a)")
    connection.commit()
    assert [rows(desk=desk.path).compute(scheduler="sync") for _ in range(2)] == [0, 0]
    connection.execute("insert into t values (1)")
    connection.commit()
    assert [rows(desk=desk.path).compute(scheduler="sync") for _ in range(2)] == [1, 1]
    assert desk.ran() == ["rows", "rows"]


@sg.task
def own_files_only(work: sg.Workdir, given: sg.Asset, *, desk: str) -> str:
    """Everything here is the body's own, or no data at all."""
    import decimal  # noqa: F401 - Python's own

    note(desk, "own_files_only")
    out = work.file("here.txt")
    out.write_text(given.path.read_text())
    with tempfile.NamedTemporaryFile("w+") as file, tempfile.TemporaryDirectory() as folder:
        file.write(out.read_text())
        file.flush()
        Path(folder, "copy").write_text(Path(file.name).read_text())
        work.run(["cp", given.path, "copied"])
        linked = given.path.resolve().read_text()
        return (
            Path(folder, "copy").read_text()
            + (work.path / "copied").read_text()
            + linked
            + str(os.listdir(work.path) != [])
        )


def test_what_is_the_bodys_own_is_no_hidden_input(desk: Desk, store: Store) -> None:
    call = own_files_only(sg.add(desk.file), desk=desk.path)
    assert call.compute(scheduler="sync") == "oneoneoneTrue"
    assert record_of(store, call).reads == {}
    assert desk.ran() == ["own_files_only"]


# Lineages: a plan key stands for all calls before it, which may have read something.


@sg.task
def length(work: sg.Workdir, *, desk: str) -> int:
    return len(note(desk, "length").read_text())


@sg.task
def parts(work: sg.Workdir, *, desk: str) -> list[sg.Asset]:
    """As many files as the settings have letters: perhaps none."""
    text = note(desk, "parts").read_text()
    paths = [work.file(f"{place}.txt") for place in range(len(text))]
    for path, letter in zip(paths, text, strict=True):
        path.write_text(letter)
    return [sg.Asset(path=path) for path in paths]


@sg.task
def joined(work: sg.Workdir, given: list[sg.Asset], *, desk: str, size: int = 0) -> sg.Asset:
    note(desk, "joined")
    out = work.file("joined.txt")
    out.write_text(",".join(each.path.read_text() for each in given) + f" {size}")
    return sg.Asset(path=out)


@sg.task
def upper(work: sg.Workdir, given: sg.Asset, *, desk: str) -> str:
    note(desk, "upper")
    return given.path.read_text().upper()


def chain(desk: Desk) -> sg.Call:
    """Hidden reads at the beginning of two ways, of which one passes a plain value."""
    return upper(joined(parts(desk=desk.path), desk=desk.path, size=length(desk=desk.path)), desk=desk.path)


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_a_known_workflow_asks_for_what_its_first_calls_read(desk: Desk, scheduler: str) -> None:
    everything = ["joined", "length", "parts", "upper"]
    table = (("ab", "A,B 2", everything), ("ab", "A,B 2", []), ("", " 0", everything), ("ba", "B,A 2", everything))
    with dask.config.set(scheduler=scheduler):
        for text, wanted, bodies in (*table, ("ab", "A,B 2", []), ("", " 0", [])):
            desk.file.write_text(text)
            assert chain(desk).compute() == wanted
            assert sorted(desk.ran()) == bodies, text


def test_sg_run_and_plans_ask_as_well(desk: Desk) -> None:
    desk.file.write_text("ab")
    assert sg.run(chain(desk), progress=False).result() == "A,B 2"
    assert [planned.state for planned in sg.plan(chain(desk))] == ["known"]
    desk.file.write_text("xyz")
    planned = {each.call.name: each for each in sg.plan(chain(desk))}
    assert len(planned) == 4
    (reason,) = planned["parts"].reasons
    assert (reason.kind, reason.text) == ("read", f"{desk.file} changed since it was read")
    assert sg.run(chain(desk), progress=False).result() == "X,Y,Z 3"


@sg.task
def fixed(work: sg.Workdir, *, desk: str) -> list[sg.Asset]:
    """As `parts` while the settings are "ab", without a look at them."""
    paths = [work.file(f"{place}.txt") for place in range(2)]
    for path, letter in zip(paths, "ab", strict=True):
        path.write_text(letter)
    return [sg.Asset(path=path) for path in paths]


def test_a_record_that_was_reached_on_a_way_without_reads_does_not_hide_those_of_another_way(desk: Desk) -> None:
    """Early cut-off gives both wirings one record of `joined`; only one of them read something before."""
    desk.file.write_text("ab")
    without = upper(joined(fixed(desk=desk.path), desk=desk.path, size=2), desk=desk.path)
    assert without.compute(scheduler="sync") == "A,B 2"
    assert chain(desk).compute(scheduler="sync") == "A,B 2"
    assert sorted(desk.ran()) == ["joined", "length", "parts", "upper"]
    desk.file.write_text("xyz")
    assert without.known() == ("A,B 2",)
    assert chain(desk).known() is None
    assert chain(desk).compute(scheduler="sync") == "X,Y,Z 3"


def test_eight_sets_stand_under_a_key(desk: Desk) -> None:
    texts = [f"text {number}" for number in range(10)]
    for text in texts:
        desk.file.write_text(text)
        assert plain(desk=desk.path).compute(scheduler="sync") == text
    known = []
    for text in texts:
        desk.file.write_text(text)
        known.append(plain(desk=desk.path).known())
    assert known == [None, None, *((text,) for text in texts[2:])]


def test_a_workflow_that_read_nothing_costs_one_look_at_its_last_call(
    desk: Desk, store: Store, monkeypatch: Any
) -> None:
    call = upper(joined(fixed(desk=desk.path), desk=desk.path), desk=desk.path)
    call.compute(scheduler="sync")
    asked: list[list[str]] = []
    look = StoredRecords.behind
    monkeypatch.setattr(StoredRecords, "behind", lambda self, keys: look(self, asked.append(list(keys)) or asked[-1]))
    monkeypatch.setattr(
        StoredRecords, "get_many", lambda self, names: dict.fromkeys(names) and pytest.fail("one file is enough")
    )
    assert call.compute(scheduler="sync") == "A,B 0"
    assert asked == [[call.plan_key]]


# Files that libraries written in C open, of which Python tells nothing


@sg.task
def by_arrow(work: sg.Workdir, *, table: str) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_table(table).num_rows)


@sg.task
def by_hdf(work: sg.Workdir, *, table: str) -> int:
    import h5py

    with h5py.File(table) as file:
        return len(file["rows"])


def write_parquet(path: Path, rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"rows": range(rows)}), path)


def write_hdf(path: Path, rows: int) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["rows"] = list(range(rows))


TABLES = {"by_arrow": (by_arrow, write_parquet, "pyarrow"), "by_hdf": (by_hdf, write_hdf, "h5py")}


@pytest.mark.parametrize("name", TABLES)
def test_a_file_that_is_opened_in_c_counts_where_it_is_named(name: str, desk: Desk, tmp_path: Path) -> None:
    task, write, library = TABLES[name]
    pytest.importorskip(library)
    for rows, known in ((1, False), (1, True), (2, False), (1, True)):
        table = tmp_path / "table"
        write(table, rows)
        assert (task(table=str(table)).known() is not None) == known
        assert task(table=str(table)).compute(scheduler="sync") == rows


# Variables of the environment


MODE = "STARGAZER_TEST_MODE"


@sg.task
def by_getenv(work: sg.Workdir, *, desk: str) -> str:
    note(desk, "by_getenv")
    return str(os.getenv("STARGAZER_TEST_MODE"))


@sg.task
def by_constant(work: sg.Workdir, *, desk: str) -> str:
    note(desk, "by_constant")
    return str(os.environ.get(MODE))


@sg.task
def by_subscript(work: sg.Workdir, *, desk: str) -> str:
    note(desk, "by_subscript")
    found = "STARGAZER_TEST_MODE" in os.environ
    return os.environ["STARGAZER_TEST_MODE"] if found else "None"


def setting(name: str) -> str:
    return str(os.environ.get(name))


@sg.task
def by_helper(work: sg.Workdir, *, desk: str) -> str:
    note(desk, "by_helper")
    return setting("STARGAZER_TEST_MODE")


@sg.task
def by_registry(work: sg.Workdir, *, desk: str) -> str:
    note(desk, "by_registry")
    return str(REGISTRY["setting"]("STARGAZER_TEST_MODE"))


REGISTRY = {"setting": setting}


class Settings:
    @property
    def mode(self) -> str:
        return str(os.environ.get("STARGAZER_TEST_MODE"))


@sg.task
def by_class(work: sg.Workdir, *, desk: str) -> str:
    note(desk, "by_class")
    return Settings().mode


@pytest.mark.parametrize(
    "task", [by_getenv, by_constant, by_subscript, by_helper, by_registry, by_class], ids=lambda task: task.name
)
def test_variables_that_the_source_names_count(desk: Desk, task: Any, monkeypatch: Any, store: Store) -> None:
    for value, bodies in ((None, 1), ("a", 1), ("a", 0), ("b", 1), (None, 0), ("a", 0)):
        monkeypatch.delenv(MODE, raising=False)
        if value is not None:
            monkeypatch.setenv(MODE, value)
        assert task(desk=desk.path).compute(scheduler="sync") == str(value)
        assert desk.ran() == [task.name] * bodies, value
    reads = record_of(store, task(desk=desk.path)).reads
    assert list(reads) == [f"${MODE}"]
    assert reads[f"${MODE}"] != "a", "a variable may be a secret"


def test_a_variable_is_warned_of_and_an_error_with_strict(desk: Desk) -> None:
    with pytest.warns(HiddenInput, match=f"reads the environment \\({MODE}\\): pass it as a parameter"):
        by_getenv(desk=desk.path).compute(scheduler="sync")
    Path(desk.path, "other").mkdir()
    with dask.config.set({"stargazer.strict": True}), pytest.raises(UndeclaredInput, match=MODE):
        by_getenv(desk=f"{desk.path}/other").compute(scheduler="sync")


# The network


@sg.task
def asks(work: sg.Workdir, *, port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        return connection.recv(10).decode()


@pytest.fixture
def port() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        served = threading.Thread(target=lambda: [server.accept()[0].sendall(b"hello") for _ in range(1)])
        served.start()
        yield server.getsockname()[1]
        served.join(10)


def test_the_network_is_noted_and_warned_of(desk: Desk, port: int, store: Store) -> None:
    with pytest.warns(HiddenInput, match=rf"asked the network \(127\.0\.0\.1:{port}\): fetch what it needs beforehand"):
        assert asks(port=port).compute(scheduler="sync") == "hello"
    assert any(str(port) in line for line in record_of(store, asks(port=port)).noted)


def test_the_network_is_an_error_with_strict(desk: Desk, port: int) -> None:
    with dask.config.set({"stargazer.strict": True}), pytest.raises(UndeclaredInput, match="network"):
        asks(port=port).compute(scheduler="sync")


# Bodies beside each other, and caches between them


@sg.task
def beside(work: sg.Workdir, *, desk: str, i: int) -> str:
    GATE.wait(20)
    text = Path(desk, f"{i}.txt").read_text()
    GATE.wait(20)
    return text


class Gate:
    """Lets bodies go on together; no part of what they are."""

    def __init__(self, parties: int) -> None:
        self._barrier = threading.Barrier(parties)

    def wait(self, seconds: float) -> None:
        self._barrier.wait(seconds)

    def __stargazer_token__(self) -> str:
        return "gate"


GATE = Gate(2)


@pytest.mark.filterwarnings("ignore::stargazer.fingerprint.identity.UncertainIdentity")
def test_bodies_on_threads_are_not_blamed_for_each_other(desk: Desk, store: Store) -> None:
    calls = [beside(desk=desk.path, i=i) for i in range(2)]
    for i in range(2):
        Path(desk.path, f"{i}.txt").write_text(str(i))
    assert list(dask.compute(*calls, scheduler="threads", num_workers=2)) == ["0", "1"]
    for i, call in enumerate(calls):
        assert list(record_of(store, call).reads) == [f"{desk.path}/{i}.txt"]


CACHED = """
import functools, warnings
import stargazer as sg
warnings.simplefilter("ignore")

SETTINGS = {settings!r}
{cache}

@sg.task
def t(work: sg.Workdir, *, i: int) -> str:
    with open({log!r}, "a") as log:
        print(i, file=log)
    return kept() + str(i)

print(*[t(i=i).compute(scheduler="sync") for i in (1, 2)])
"""

CACHES = {
    "lru_cache": "@functools.lru_cache(maxsize=None)\ndef kept(): return open(SETTINGS).read()",
    "function attribute": """
def kept():
    if not hasattr(kept, 'text'): kept.text = open(SETTINGS).read()
    return kept.text
kept.other = 1
""",
    "class attribute": """
class Kept:
    text = None
def kept():
    if Kept.text is None: Kept.text = open(SETTINGS).read()
    return Kept.text
""",
    "cached_property": """
class Kept:
    @functools.cached_property
    def text(self): return open(SETTINGS).read()
KEPT = Kept()
def kept(): return KEPT.text
""",
}


@pytest.mark.parametrize("cache", CACHES)
def test_what_a_cache_read_once_counts_for_all_that_take_it_from_there(cache: str, desk: Desk, tmp_path: Path) -> None:
    """The second call reads no file: the first one did, into a cache."""
    script = tmp_path / "cached.py"
    script.write_text(CACHED.format(settings=str(desk.file), log=str(desk._log), cache=CACHES[cache]))
    for value, bodies in (("one", ["1", "2"]), ("one", []), ("two", ["1", "2"])):
        desk.file.write_text(value)
        done = subprocess.run([sys.executable, script], capture_output=True, text=True)
        if "CodeChanged" in done.stderr:
            pytest.skip("what this keeps is taken for code that changed")
        assert done.stdout.split() == [f"{value}1", f"{value}2"], done.stderr
        assert (desk.ran() == bodies) or (cache != "lru_cache" and bodies == [])


BOX: dict[str, Any] = {"text": None}
SINGLE: str | None = None


def boxed(desk: str) -> str:
    if BOX["text"] is None:
        BOX["text"] = Path(desk, "settings.txt").read_text()
    return str(BOX["text"])


def single(desk: str) -> str:
    global SINGLE
    if SINGLE is None:
        SINGLE = Path(desk, "settings.txt").read_text()
    return SINGLE


@pytest.mark.parametrize("keeper", [boxed, single], ids=["dictionary", "global"])
def test_what_keeps_something_is_found_in_the_code(keeper: Any, desk: Desk) -> None:
    from stargazer.execute.named import named_by

    def body() -> str:
        return str(keeper(desk.path))

    holders = named_by(body, keeper.__name__).holders
    before = {holder.key: holder.state() for holder in holders}
    assert body() == "one"
    changed = [holder.label for holder in holders if holder.state() != before[holder.key]]
    assert changed == [{"boxed": "BOX", "single": "SINGLE"}[keeper.__name__]]


@functools.lru_cache(maxsize=1)
def cached(desk: str) -> str:
    return Path(desk, "settings.txt").read_text()


@sg.task
def from_cache(work: sg.Workdir, *, desk: str, i: int) -> str:
    note(desk, "from_cache")
    return f"{cached(desk)}{i}"


def test_a_cache_that_is_older_than_its_file_gives_no_lasting_result(desk: Desk) -> None:
    first, second = from_cache(desk=desk.path, i=1), from_cache(desk=desk.path, i=2)
    assert first.compute(scheduler="sync") == "one1"
    desk.file.write_text("two")
    assert second.compute(scheduler="sync") == "one2", "this process still has the old text"
    assert second.known() is None
    cached.cache_clear()
    assert second.compute(scheduler="sync") == "two2"
    assert second.known() == ("two2",)


STEPS = [threading.Event(), threading.Event()]


@sg.task
def fills(work: sg.Workdir, *, desk: str) -> str:
    text = cached(desk)
    go_on(0)
    wait_for(1)
    return text


@sg.task
def takes(work: sg.Workdir, *, desk: str) -> str:
    wait_for(0)
    text = cached(desk)
    go_on(1)
    return text


def go_on(step: int) -> None:
    STEPS[step].set()


def wait_for(step: int) -> None:
    assert STEPS[step].wait(20)


@pytest.mark.filterwarnings("ignore::stargazer.fingerprint.identity.UncertainIdentity")
def test_what_a_body_that_still_runs_read_into_a_cache_counts_for_who_takes_it_from_there(
    desk: Desk, store: Store
) -> None:
    cached.cache_clear()
    calls = [fills(desk=desk.path), takes(desk=desk.path)]
    assert dask.compute(*calls, scheduler="threads", num_workers=2) == ("one", "one")
    for call in calls:
        assert list(record_of(store, call).reads) == [str(desk.file)]
    desk.file.write_text("two")
    assert [call.known() for call in calls] == [None, None]


def test_the_read_is_part_of_what_is_taken_to_another_store(desk: Desk, store: Store, tmp_path: Path) -> None:
    from stargazer.remotes import push_lineage
    from stargazer.remotes.store import StoreRemote

    desk.file.write_text("ab")
    call = joined(parts(desk=desk.path), desk=desk.path)
    stored = call.compute(scheduler="sync")
    with Store(str(tmp_path / "other")) as other:
        push_lineage(store, stored, StoreRemote("other", other.url, trusted=True), inputs=True)
        again = joined(parts(desk=desk.path), desk=desk.path)
        assert again.known() is not None
        desk.file.write_text("abc")
        assert again.known() is None


WORKERS = """
import sys, warnings
import dask
import stargazer as sg
from hidden_tasks import read

if __name__ == "__main__":
    with sg.connect("local", workers=1, cpus=1):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            print(sg.run(read(settings=sys.argv[1]), progress=False).result())
            __import__("time").sleep(1)
        print([str(each.message)[:14] for each in caught if each.category.__name__ == "HiddenInput"])
        with dask.config.set({"stargazer.strict": True}):
            try:
                sg.run(read(settings=sys.argv[1], other=1), progress=False).result()
            except sg.errors.RunFailed as failed:
                print(*(type(error).__name__ for error in failed.failures.values()))
    print(read(settings=sys.argv[1]).known())
    with open(sys.argv[1], "w") as file:
        file.write("two")
    print(read(settings=sys.argv[1]).known())
"""

TASKS = """
import stargazer as sg

@sg.task
def read(work: sg.Workdir, *, settings: str, other: int = 0) -> str:
    return open(settings).read()
"""


def test_what_a_body_reads_on_a_worker_is_told_where_the_client_is(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "hidden_tasks.py").write_text(TASKS)
    (tmp_path / "main.py").write_text(WORKERS)
    done = subprocess.run(
        [sys.executable, "main.py", desk.file], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["one", "['task read read']", "UndeclaredInput", "('one',)", "None"], done.stderr


@sg.task
def clearing(work: sg.Workdir, *, desk: str) -> str:
    note(desk, "clearing")
    shutil.rmtree(f"{desk}/out", ignore_errors=True)
    os.makedirs(f"{desk}/out/new")
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(f"{folder}/inner/deep")
    return "cleared"


def test_folders_that_are_removed_are_not_read(desk: Desk, store: Store) -> None:
    os.makedirs(f"{desk.path}/out/old/deep")
    call = clearing(desk=desk.path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", HiddenInput)
        call.compute()
    assert record_of(store, call).reads == {}


@sg.task
def walking(work: sg.Workdir, *, desk: str) -> list[str]:
    return sorted(name for _, _, names, _ in os.fwalk(f"{desk}/tree") for name in names)


def test_a_walk_by_descriptors_reads_the_folders_of_its_tree_and_no_others(desk: Desk, store: Store) -> None:
    for name in ("a", "b", "c/a"):
        os.makedirs(f"{desk.path}/tree/{name}")
    call = walking(desk=desk.path)
    call.compute()
    places = {f"{desk.path}/tree/{name}" for name in ("", "a/", "b/", "c/", "c/a/")}
    assert record_of(store, call).reads.keys() == places


@sg.task
def looks_for_what_it_is_given(work: sg.Workdir, *, path: str) -> bool:
    return os.path.exists(path)


@sg.task
def weighs_what_it_is_given(work: sg.Workdir, *, path: str) -> int:
    return Path(path).stat().st_size


@sg.dynamic
def wires_by_what_is_there(path: str) -> list[bool]:
    return [looks_for_what_it_is_given(path="/")] if os.path.exists(path) else []


@sg.task
def only_named(work: sg.Workdir, *, path: str) -> str:
    return path


def test_a_path_that_is_given_counts_by_what_is_there_where_code_asks_for_that(desk: Desk, store: Store) -> None:
    """No event tells of `exists` and `stat`, in bodies and in functions that wire."""
    path = str(desk.file)
    calls = [
        looks_for_what_it_is_given(path=path),
        weighs_what_it_is_given(path=path),
        wires_by_what_is_there(path=path),
        only_named(path=path),
    ]
    before = [True, 3, [True], path]
    assert [call.compute() for call in calls] == before
    assert [call.known() for call in calls] == [(value,) for value in before]
    desk.file.write_text("longer")
    assert [call.known() for call in calls] == [(True,), None, ([True],), (path,)]
    desk.file.unlink()
    assert [call.known() for call in calls] == [None, None, None, (path,)]
    assert [calls[0].compute(), calls[2].compute()] == [False, []]
    desk.file.write_text("one")
    assert [call.known() for call in calls] == [(value,) for value in before]
