"""Runs of their own from Python: they outlive what started them, and every process sees them."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from unattended_tasks import LONGEST, letter, measured, shell, until, waiting

import stargazer as sg
from stargazer import config
from stargazer.driver.asking import resume
from stargazer.errors import ArgumentError, Cancelled, ConfigError, NotFound, RunFailed, RunLost
from stargazer.tools.apart import is_alive


def test_a_run_of_its_own_gives_what_the_calls_give(store: sg.Store) -> None:
    pair = measured(letter(text="hello"))
    run = sg.run({"pair": pair, "all": [letter(text="a"), letter(text="b")]}, detach=True, name="letters")
    assert run.state in ("pending", "running")
    found = sg.runs.get(run.id).result(LONGEST)
    assert (found["pair"].length, found["pair"].text.fetch().read_text()) == (5, "hello")
    assert [each.fetch().read_text() for each in found["all"]] == ["a", "b"]
    assert found["pair"].text == pair.compute().text
    assert found["pair"].text.source.record
    assert (run.state, run.workflow, run.progress, run.failures) == ("done", "letters", 1.0, {})
    assert run.counts == {"done": 4, "known": 0}
    assert run.ended > run.started
    assert run.where["pid"]
    assert run.where["host"]
    assert run.where["on"] == "threads"
    assert [each.id for each in sg.runs.list()] == [run.id]
    assert run.log().count("made") == 4
    assert store.fsck().ok


def test_what_is_known_already_is_told_at_once(store: sg.Store) -> None:
    letter(text="known").compute()
    run = sg.run(letter(text="known"), detach=True)
    assert run.result(LONGEST).fetch().read_text() == "known"
    assert run.counts == {"known": 1}
    assert run.progress == 1.0


def test_failures_come_with_their_names(store: sg.Store) -> None:
    run = sg.run([shell(script="exit 3"), letter(text="fine")], detach=True)
    with pytest.raises(RunFailed, match="exit code 3"):
        run.result(LONGEST)
    assert run.state == "failed"
    assert run.counts["done"] == 1
    assert "exit code 3" in next(iter(run.failures.values()))


def test_cancelling_ends_tools(store: sg.Store, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    run = sg.run(shell(script=f"echo $$ > {pid}; exec sleep 600"), detach=True)
    until(lambda: pid.exists() and pid.read_text().strip())
    assert not run.wait(0)
    assert run.state == "running"
    sg.runs.get(run.id, store).cancel()
    assert run.wait(LONGEST)
    assert run.state == "cancelled"
    until(lambda: not is_alive(int(pid.read_text())))
    with pytest.raises(Cancelled, match="resume"):
        run.result()


def test_what_runs_on_workers_is_told_to_who_watches(store: sg.Store, tmp_path: Path) -> None:
    go = tmp_path / "go"
    run = sg.run(shell(letter(text="one"), script=waiting(go)), detach=True, on="local")
    until(lambda: run.counts == {"done": 1, "running": 1, "known": 0})
    go.touch()
    run.result(LONGEST)
    assert run.counts == {"done": 2, "known": 0}


def test_a_run_counts_what_all_of_its_drivers_did(store: sg.Store, tmp_path: Path) -> None:
    go, known = tmp_path / "go", letter(text="known")
    known.compute()
    run = sg.run([known, letter(text="one"), shell(letter(text="two"), script=waiting(go))], detach=True)
    until(lambda: run.counts.get("running") == 1 and run.counts["done"] == 2)
    os.kill(run.where["pid"], signal.SIGKILL)
    until(lambda: run.state == "lost")
    before = run.seconds
    assert before > 0
    go.touch()
    resume(run).result(LONGEST)
    assert run.counts == {"done": 3, "known": 1}
    assert run.note.tasks == {"letter": {"done": 2}, "shell": {"done": 1}}
    assert run.progress == 1.0
    assert run.seconds > before


def test_a_plain_run_is_cancelled_from_elsewhere_too(store: sg.Store, tmp_path: Path) -> None:
    flight = sg.run(shell(script=waiting(tmp_path / "never")), wait=False)
    sg.runs.get(flight.id).cancel()
    with pytest.raises(Cancelled):
        flight.result()
    assert sg.runs.get(flight.id).state == "cancelled"


def test_a_driver_that_is_killed_is_lost_at_once_and_leaves_no_tool(store: sg.Store, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    run = sg.run(shell(script=f"echo $$ > {pid}; exec sleep 600"), detach=True)
    until(lambda: pid.exists() and pid.read_text().strip())
    os.kill(run.where["pid"], signal.SIGKILL)
    until(lambda: run.state == "lost")
    until(lambda: not is_alive(int(pid.read_text())))
    with pytest.raises(RunLost, match="resume"):
        run.result()


def test_a_run_goes_on_by_itself_when_its_store_is_there_again(tmp_path: Path) -> None:
    """As after a network that fails for a minute: what was made counts, and nobody need resume the run."""
    go, begun, ran = tmp_path / "go", tmp_path / "begun", tmp_path / "ran"
    place, away = tmp_path / "shared", tmp_path / "away"
    with sg.Store(place):
        first = shell(script=f"echo first >> {ran}; echo first")
        held = shell(first, script=f"touch {begun}; {waiting(go)}")
        calls = [held, *(shell(held, script=f"cat; echo {i}") for i in range(3))]
        run = sg.run(calls, detach=True)
    until(begun.exists)
    place.rename(away)
    go.touch()
    log = config.cache_dir() / "drivers" / f"{run.id}.log"
    until(lambda: "goes on when its store can be reached again" in log.read_text())
    assert not place.exists(), "nothing was written in its place"
    away.rename(place)
    assert [each.fetch().read_text() for each in run.result(LONGEST)] == ["went\n", *(f"went\n{i}\n" for i in range(3))]
    assert (run.state, run.failures) == ("done", {})
    assert ran.read_text() == "first\n", "what was known is not made again"
    assert [each.id for each in sg.runs.list(sg.Store(place))] == [run.id]
    assert sg.Store(place).fsck().ok


def test_a_run_of_a_store_that_was_moved_makes_no_other_in_its_place(store: sg.Store, tmp_path: Path) -> None:
    pid, old, new = tmp_path / "pid", tmp_path / "old", tmp_path / "new"
    with sg.Store(old):
        run = sg.run(shell(script=f"echo $$ > {pid}; exec sleep 600"), detach=True)
    until(lambda: pid.exists() and pid.read_text().strip())
    run.cancel()
    assert run.wait(LONGEST)
    old.rename(new)
    moved = resume(sg.runs.get(run.id, sg.Store(new)))
    assert moved.wait(LONGEST)
    assert moved.state == "failed"
    assert "was asked for in the store at" in moved.failures["driver"]
    assert not old.exists()
    new.rename(old)
    assert sg.runs.get(run.id, sg.Store(old)).state == "failed"


def test_a_sigterm_cancels(store: sg.Store, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    run = sg.run(shell(script=f"echo $$ > {pid}; exec sleep 600"), detach=True)
    until(lambda: pid.exists() and pid.read_text().strip())
    os.kill(run.where["pid"], signal.SIGTERM)
    until(lambda: run.state == "cancelled")
    until(lambda: not is_alive(int(pid.read_text())))


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import stargazer as sg
from edited import work_on
with sg.Store({store!r}):
    print(sg.run(work_on(number=1), detach=True, **{options!r}).id)
"""

EDITED = """
import stargazer as sg
import beside

@sg.task
def work_on(work: sg.Workdir, *, number: int) -> sg.Asset:
    import late
    out = work.file("out.txt")
    work.run(["sh", "-c", "until test -e {go}; do sleep 0.05; done"])
    out.write_text(f"{{beside.WORD}} {{late.WORD}} {{number}}")
    return sg.Asset(path=out)

@sg.task
def after(work: sg.Workdir, given: sg.Asset) -> sg.Asset:
    out = work.file("out.txt")
    out.write_text(given.path.read_text() + beside.WORD)
    return sg.Asset(path=out)
"""


@pytest.mark.parametrize("options", [{}, {"on": "local"}], ids=["threads", "processes"])
def test_it_outlives_its_script_and_edits_change_nothing(
    store: sg.Store, tmp_path: Path, options: dict[str, Any]
) -> None:
    folder, go = tmp_path / "code", tmp_path / "go"
    folder.mkdir()
    for name, text in (("edited", EDITED.format(go=go)), ("beside", "WORD = 'first'\n"), ("late", "WORD = 'late'\n")):
        (folder / f"{name}.py").write_text(text)
    script = SCRIPT.format(folder=str(folder), store=store.url, options=options)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    for name in ("edited", "beside"):
        (folder / f"{name}.py").write_text("WORD = 'second'\n")
    go.touch()
    run = sg.runs.get(done.stdout.strip())
    assert run.result(LONGEST).fetch().read_text() == "first late 1"


NOTEBOOK = """
import dataclasses
import stargazer as sg

WORD = "cell"

@dataclasses.dataclass(frozen=True)
class Choice:
    times: int

@sg.task(memory=lambda given: (1 << 28) + given.size, cpus=lambda choice: choice.times)
def repeated(work: sg.Workdir, given: sg.Asset, *, choice: Choice) -> sg.Asset:
    out = work.file("out.txt")
    out.write_text(WORD * choice.times)
    return sg.Asset(path=out)

@sg.task
def first(work: sg.Workdir) -> sg.Asset:
    out = work.file("out.txt")
    out.write_text("first")
    return sg.Asset(path=out)

with sg.Store({store!r}):
    print(sg.run(repeated(first(), choice=Choice(2)), detach=True, **{options!r}).id)
"""


@pytest.mark.parametrize("options", [{}, {"on": "local"}], ids=["threads", "processes"])
def test_what_is_defined_in_a_script_or_a_cell_goes_along(
    store: sg.Store, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Also functions of needs, which are asked when the inputs are there, and classes of parameters."""
    script = tmp_path / "cells.py"
    script.write_text(NOTEBOOK.format(store=store.url, options=options))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    script.unlink()
    run = sg.runs.get(done.stdout.strip())
    assert run.result(LONGEST).fetch().read_text() == "cellcell"


def test_what_cannot_be_run_is_said_before(store: sg.Store) -> None:
    from distributed import Client

    with pytest.raises(ArgumentError, match="no call"):
        sg.run([], detach=True)
    with pytest.raises(ConfigError, match="nowhere"):
        sg.run(letter(text="x"), detach=True, on="nowhere")
    with pytest.raises(ArgumentError, match="detach"):
        sg.run(letter(text="x"), on="local")
    with pytest.raises(NotFound, match="no run"):
        sg.runs.get("nothing-like-it")
    with (
        Client(n_workers=1, processes=False, dashboard_address=":0") as client,
        pytest.raises(ConfigError, match="ends with this process"),
    ):
        sg.run(letter(text="x"), detach=True, client=client)
    assert sg.runs.list() == []


def test_a_run_is_not_driven_by_what_somebody_changed(store: sg.Store) -> None:
    from stargazer.driver.drive import drive

    run = sg.run(letter(text="mine"), detach=True)
    run.result(LONGEST)
    dataclasses.replace(run.note, state="pending").write(store)
    place = f"drivers/{run.id}.given"
    store.backend.replace(place, store.backend.read(place)[:-1] + b"x")
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert drive(run.id, store.url, run.note.driver["given"]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "was changed" in run.failures["driver"]


def test_secrets_of_settings_stay_here(store: sg.Store) -> None:
    import dask.config

    from stargazer.runs.given import read_given

    with dask.config.set({"stargazer.profiles.other": {"kind": "local", "options": {"api_key": "s3cr3t!"}}}):
        run = sg.run(letter(text="quiet"), detach=True)
    run.result(LONGEST)
    told = json.dumps(read_given(store, run.id, run.note.driver["given"]).options.settings)
    assert "other" in told
    assert "s3cr3t!" not in told


def test_a_command_is_run_at_the_end(store: sg.Store, tmp_path: Path) -> None:
    import dask.config

    said = tmp_path / "said"
    with dask.config.set({"stargazer.on-end": f"env | grep ^STARGAZER_ | sort > {said}.part; mv {said}.part {said}"}):
        run = sg.run(letter(text="end"), detach=True, name="ending")
    until(said.exists)
    told = dict(line.split("=", 1) for line in said.read_text().splitlines())
    assert (told["STARGAZER_RUN"], told["STARGAZER_STATE"]) == (run.id, "done")
    assert json.loads(told["STARGAZER_COUNTS"]) == {"done": 1, "known": 0}
    assert (told["STARGAZER_WORKFLOW"], told["STARGAZER_STORE"]) == ("ending", store.url)
    assert float(told["STARGAZER_SECONDS"]) > 0


def test_two_drivers_never_work_at_once(store: sg.Store, tmp_path: Path) -> None:
    from stargazer.runs.detached import command

    log, go = tmp_path / "log", tmp_path / "go"
    script = f"echo begin >> {log}; until test -e {go}; do sleep 0.05; done; echo end >> {log}"
    run = sg.run(shell(script=script), detach=True)
    until(log.exists)
    second = subprocess.Popen(command(store, run.note))
    os.kill(run.where["pid"], signal.SIGSTOP)  # silent, but alive: the second waits
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(3)
    os.kill(run.where["pid"], signal.SIGCONT)
    go.touch()
    assert run.result(LONGEST).fetch().read_text() == ""
    assert second.wait(LONGEST) == 0  # its turn came, and nothing was left to do
    assert log.read_text() == "begin\nend\n"


def test_a_driver_whose_turn_was_taken_ends_itself(store: sg.Store, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    run = sg.run(shell(script=f"echo $$ > {pid}; exec sleep 600"), detach=True)
    until(lambda: pid.exists() and pid.read_text().strip())
    store.backend.create_once(f"drivers/{run.id}.turn-2", b'{"holder": "another", "sign": 1}')
    driver = run.where["pid"]
    until(lambda: not is_alive(int(pid.read_text())))
    until(lambda: not is_alive(driver))
    assert run.state == "lost"  # nothing was noted: what is from now on is the other's


def test_what_a_driver_needs_is_kept_as_long_as_its_run(store: sg.Store) -> None:
    run = sg.run(letter(text="kept"), detach=True)
    run.result(LONGEST)
    until(lambda: not is_alive(run.where["pid"]))
    store.gc(grace=0)
    assert run.result().fetch().read_text() == "kept"
    assert store.backend.names("drivers")
    store.backend.remove(f"runs/{run.id}")
    store.gc(grace=0)
    assert store.backend.names("drivers") == []
