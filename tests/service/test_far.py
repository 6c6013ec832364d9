"""Cells and tasks that name an executor run there: in a real ``stargazer worker serve``."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import httpx
import pytest
from afar import broken, endless, joined

import stargazer as sg
from stargazer.errors import Cancelled, ConfigError, DataError, RunFailed
from stargazer.executors import find_place
from stargazer.ledger import Ledger
from stargazer.profiles.settings import find_profile

pd = pytest.importorskip("pandas")

TOKEN = "STARGAZER_TEST_EXECUTOR_TOKEN"
HERE = Path(__file__).parent
WORKER = [sys.executable, "-c", "from stargazer.cli import main; main()", "worker", "serve", "--port", "0"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    env = {**os.environ, "STARGAZER_WORKER_TOKEN": "kept", "PYTHONPATH": str(HERE)}
    env["DASK_STARGAZER__ENV"] = "['PYTHONPATH']"
    with subprocess.Popen(WORKER, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture
def profile(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.setenv(TOKEN, "kept")
    said: dict[str, Any] = {"kind": "executor", "url": url, "token": TOKEN, "runtime": "test-1"}
    with dask.config.set({"stargazer.profiles.far": said}):
        yield said


def text(name: str, words: str) -> sg.Asset:
    Path(name).write_text(words)
    return sg.add(name)


@pytest.mark.usefixtures("profile", "store")
def test_a_task_runs_there_and_is_known_here() -> None:
    one, two = text("one.txt", "a"), text("two.txt", "b")
    call = joined([one, two], two, sep="+")
    made = call.compute()
    assert (made.fetch() / "words.txt").read_text() == "a+b+b"
    assert sorted(path.name for path in made.fetch().iterdir()) == ["empty", "words.txt"]
    assert made.facts["process"] != os.getpid()
    assert joined([one, two], two, sep="+").compute() == made
    record = sg.trace(made).roots[0].record
    assert record is not None
    assert record.log is not None
    assert b"said" in sg.active_store().read(record.log)


def test_what_was_made_counts_for_its_runtime(profile: dict[str, Any], store: sg.Store) -> None:
    words = text("one.txt", "a")
    first = joined([words])
    with dask.config.set({"stargazer.profiles.far": {**profile, "runtime": "test-2"}}):
        assert joined([words]).plan_key != first.plan_key
    with dask.config.set({"stargazer.profiles.far": {"kind": "local"}}):
        assert joined([words]).plan_key != first.plan_key
    unnamed = {name: value for name, value in profile.items() if name != "runtime"}
    with dask.config.set({"stargazer.profiles.far": unnamed}):
        call = joined([words])
        one, two = call.compute(), joined([words]).compute()
        assert one.facts["process"] != two.facts["process"], "without a runtime nothing is known"
        assert Ledger(store.records).find(call.plan_key) is None


@pytest.mark.usefixtures("profile", "store")
def test_failures_are_told_as_here() -> None:
    words = text("one.txt", "a")
    with pytest.raises(DataError, match=r"no column x.*on far"):
        broken(words).compute()

    @sg.task(worker="far")
    def here_alone(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
        return words

    with pytest.raises(sg.errors.ArgumentError, match=r"as a pickle.*profiles\.far\.trust: true"):
        here_alone(words).compute()


def test_a_task_of_other_code_is_refused(
    profile: dict[str, Any], monkeypatch: pytest.MonkeyPatch, store: sg.Store
) -> None:
    import afar

    source = Path(afar.__file__).read_text().replace("no column x", "no column y")
    Path("elsewhere").mkdir()
    Path("elsewhere/afar.py").write_text(source)
    spec = __import__("importlib.util", fromlist=["x"]).spec_from_file_location("afar", "elsewhere/afar.py")
    changed = __import__("importlib.util", fromlist=["x"]).module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "afar", changed)
    spec.loader.exec_module(changed)
    with pytest.raises(sg.errors.WorkerMismatch, match="other code"):
        changed.broken(text("one.txt", "a")).compute()


def test_cancelling_ends_it_there(profile: dict[str, Any], store: sg.Store, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flight = sg.run(endless(flag=flag), wait=False)
    until(flag.exists)
    flight.cancel()
    with pytest.raises((Cancelled, RunFailed)):
        flight.result()
    until(lambda: httpx.get(f"{profile['url']}/health", timeout=60).json()["active_executions"] == 0)


def until(holds: Any) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


NOTEBOOK = """# %%
import os
import pandas as pd
SCALE = 2
def grown(frame):
    return frame * SCALE

# %%
frame = pd.DataFrame({"a": [1, 2, 3]})
here = os.getpid()

# %%
# @worker far
print("far away")
large = grown(frame)
there = os.getpid()
large.a.sum()

# %%
total = int(large.a.sum())
"""


def cells(source: str = NOTEBOOK) -> sg.Notebook:
    Path("book.py").write_text(source)
    return sg.Notebook("book.py")


@pytest.mark.usefixtures("profile", "store")
def test_a_cell_runs_there_and_its_readers_here() -> None:
    book = cells().run()
    assert [row.state for row in book.report.rows[1:]] == ["ran"] * 3, book.report
    assert book["large"].equals(pd.DataFrame({"a": [2, 4, 6]}))
    assert (book["total"], book["here"]) == (12, os.getpid())
    assert book["there"] != os.getpid()
    shown = str(book.report.rows[2].outputs)
    assert "far away" in shown
    assert "12" in shown
    again = cells().run()
    assert [row.state for row in again.report.rows[1:]] == ["known"] * 3


def test_without_a_runtime_a_cell_runs_each_time(profile: dict[str, Any], store: sg.Store) -> None:
    unnamed = {name: value for name, value in profile.items() if name != "runtime"}
    with dask.config.set({"stargazer.profiles.far": unnamed}):
        one, two = cells().run(), cells().run()
    assert one["there"] != two["there"]
    assert two["total"] == one["total"]


@pytest.mark.usefixtures("profile", "store")
def test_cells_that_cannot_go_there_say_why() -> None:
    def error(cell: str) -> str:
        rows = cells(f"# %%\nf = [lambda: 1]\nx = [1]\n\n# %%\n# @worker far\n{cell}\n").run().report.rows
        return str(rows[-1].error)

    assert "ValueError: wrong" in error("raise ValueError('wrong')")
    assert "cannot come back from far" in error("y = object()")
    assert "@worker far" in error("import time\ny = time.time()")
    assert "@mount are of this machine" in error("# @env A=1\ny = 1")


@pytest.mark.usefixtures("profile", "store")
def test_what_a_cell_changes_there_is_seen() -> None:
    book = cells("# %%\nx = [1]\n\n# %%\n# @worker far\nx.append(2)\ny = len(x)\n\n# %%\nz = sum(x)\n").run()
    assert (book["x"], book["y"], book["z"]) == ([1, 2], 2, 3)


def test_profiles_are_checked(profile: dict[str, Any], store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from stargazer.client.checks import check_profile

    told = {each.what: each for each in check_profile(find_profile("far"), store, [joined])}
    assert all(each.ok for each in told.values()), told
    assert told.keys() == {"executor", "cells", "tasks", "runtime"}
    with pytest.raises(ConfigError, match="worker='far'"):
        sg.connect("far")
    for wrong in ({"url": "far"}, {"token": "sg_secret-word"}, {"trust": "yes"}, {"workers": 3}):
        with dask.config.set({"stargazer.profiles.far": {**profile, **wrong}}), pytest.raises(ConfigError) as error:
            find_place("far")
        assert "secret-word" not in str(error.value)
    monkeypatch.delenv(TOKEN)
    (failed,) = check_profile(find_profile("far"), store)
    assert not failed.ok
    assert TOKEN in failed.told
    assert find_place("nobody") is None


def test_what_reads_what_came_to_the_same_there_is_known(profile: dict[str, Any], store: sg.Store) -> None:
    unnamed = {name: value for name, value in profile.items() if name != "runtime"}
    text = "# %%\n# @worker far\nn = [3]\n\n# %%\nm = n + [1]\n\n# %%\nk = len(m)\n"
    with dask.config.set({"stargazer.profiles.far": unnamed}):
        for last in (["ran", "ran", "ran"], ["ran", "known", "known"]):
            book = cells(text).run()
            assert (book["m"], book["k"]) == ([3, 1], 2)
            assert [row.state for row in book.report.rows] == last


@pytest.mark.usefixtures("profile", "store")
def test_a_setting_with_a_value_does_not_reach_there() -> None:
    text = (
        "# %%\nimport pandas as pd\n\n# %%\nn = 3\npd.set_option('display.max_rows', n)\n\n# %%\n# @worker far\ny = 1\n"
    )
    with pd.option_context("display.max_rows", 60):
        rows = cells(text).run().report.rows
    assert "pd is set up in a cell before it, and not on far" in str(rows[-1].error)
