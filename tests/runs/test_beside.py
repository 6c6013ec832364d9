"""Runs are noted in the store, share work with other clients, and say when no worker comes."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from distributed import Client, LocalCluster
from small_tasks import number, shell, total

import stargazer as sg
from stargazer.errors import RunFailed
from stargazer.ledger import Ledger
from stargazer.ledger.logs import find_record, log_of
from stargazer.runs import State
from stargazer.runs.history import noted_runs
from stargazer.runs.state import RunState
from stargazer.runs.workers import Workers


def until(holds: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def test_a_client_that_is_being_closed_is_no_reason_to_end_what_watches_the_run(store: sg.Store) -> None:
    """Its scheduler is None then; what is raised in the thread beside a run would end the notes and the cancelling."""

    class Closing:
        scheduler = None

        def run_on_scheduler(self, asked: Any) -> Any:
            return self.scheduler.run_function(asked)  # type: ignore[attr-defined]

    workers = Workers(Closing(), RunState(lambda key, result: None))  # type: ignore[arg-type]
    calls: Any = {"key": number(i=1)}
    workers._calls = calls
    assert (workers.running(), workers.waits_for()) == (None, None)


def test_runs_are_noted(client: Any, store: sg.Store) -> None:
    sg.run(total([number(i=i) for i in range(3)]), client=client)
    with pytest.raises(RunFailed):
        sg.run([shell(script="exit 3"), number(i=9)], client=client)
    failed, done = noted_runs(store)
    assert (done.state, done.calls, done.count("done"), done.failures) == ("done", 4, 4, {})
    assert (failed.state, failed.count("failed"), failed.count("done")) == ("failed", 1, 1)
    assert "exit code 3" in next(iter(failed.failures.values()))
    ((label, record),) = failed.records.items()
    assert list(failed.failures) == [label]
    assert log_of(Ledger(store.records), find_record(Ledger(store.records), record[:12])) == "$ sh -c 'exit 3'\n"
    assert done.where == ("threads" if client is None else client.scheduler.address)
    sg.run(number(i=9), client=client)
    assert len(noted_runs(store)) == 2  # nothing ran
    assert store.fsck().ok


def test_a_run_is_seen_while_it_runs_and_lost_when_its_process_died(store: sg.Store, tmp_path: Path) -> None:
    go = tmp_path / "go"
    flight = sg.run(shell(script=f"until test -e {go}; do sleep 0.05; done"), wait=False)
    until(lambda: [note.state for note in noted_runs(store)] == ["running"])
    (note,) = noted_runs(store)
    silent = dataclasses.asdict(note) | {"id": note.id.replace("2", "1", 1), "updated": time.time() - 600}
    store.backend.replace(f"runs/{silent['id']}", json.dumps(silent).encode())
    assert [note.state for note in noted_runs(store)] == ["running", "lost"]
    go.touch()
    flight.result()
    assert noted_runs(store)[0].state == "done"


def test_two_clients_run_a_call_once_and_one_may_leave(store: sg.Store, tmp_path: Path) -> None:
    log, go = tmp_path / "log", tmp_path / "go"
    call = shell(script=f"echo ran >> {log}; until test -e {go}; do sleep 0.05; done; echo done")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as one,
        Client(cluster, set_as_default=False) as two,
    ):
        flights = [sg.run(call, client=each, wait=False) for each in (one, two)]
        until(lambda: all(each.status().count(State.RUNNING) == 1 for each in flights))
        flights[0].cancel()
        until(lambda: flights[0].ended)
        go.touch()
        assert flights[1].result().fetch().read_text() == "done\n"
    assert log.read_text() == "ran\n"


def test_two_schedulers_may_run_one_call_at_once(cluster: Any, store: sg.Store, tmp_path: Path) -> None:
    """Neither waits for the other; the results are one."""
    log, go = tmp_path / "log", tmp_path / "go"
    call = shell(script=f"echo ran >> {log}; until test -e {go}; do sleep 0.05; done; echo done")
    there = sg.run(call, client=cluster, wait=False)
    until(log.exists)
    here = sg.run(call, wait=False)
    until(lambda: log.read_text() == "ran\n" * 2)
    go.touch()
    assert here.result() == there.result()
    assert len(store.assemble(asset="asset")) == 1
    assert (sg.run(call).tasks_run, store.fsck().ok) == (0, True)


def test_a_run_says_when_no_worker_comes(
    store: sg.Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stargazer.runs.workers.PATIENCE", 1.0)
    caplog.set_level(logging.WARNING, "stargazer")
    with (
        LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        flight = sg.run(number(i=1), client=client, wait=False)
        until(lambda: flight.notice is not None)
        assert "no worker is there" in caplog.text
        assert "no worker is there" in flight._repr_html_()
        cluster.scale(1)
        assert flight.result().fetch().read_text() == "1"
        assert flight.notice is None


def test_a_timeline_shows_what_ran(client: Any, store: sg.Store, tmp_path: Path) -> None:
    """Two calls side by side, then one that needs both; what another run made is not shown."""
    sg.run(shell(script="echo before"), client=client)
    parts = [shell(script=f"sleep 1; echo {i}") for i in range(2)]
    flight = sg.run([total(parts), shell(script="echo before")], client=client)
    bars = sorted(flight.timeline().bars, key=lambda bar: bar.start)
    assert [bar.task for bar in bars] == ["shell", "shell", "total"]
    assert bars[2].start >= max(bar.start + bar.seconds for bar in bars[:2]) - 0.01
    flight.timeline().save(tmp_path / "run.svg")
    rectangles = ElementTree.parse(tmp_path / "run.svg").findall(".//{*}rect/{*}title")
    assert len(rectangles) == 3
