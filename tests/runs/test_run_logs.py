"""Runs have ids that a person can read, tell of which code they were, and leave one log each."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from small_tasks import number, shell, total

import stargazer as sg
from stargazer.errors import NotFound, RunFailed
from stargazer.execute.spec import Wired
from stargazer.ledger import Ledger
from stargazer.runs.history import Note, find_run, noted_runs, read_events
from stargazer.tools import git
from stargazer.tools.git import Revision, revision_of

PIPELINE = """
import stargazer as sg

@sg.task
def number(work: sg.Workdir, *, i: int) -> sg.Asset:
    out = work.file("n.txt")
    out.write_text(str(i))
    return sg.Asset(path=out)

def germline(n):
    return [number(i=i) for i in range(n)]

if __name__ == "__main__":
    import sys
    print(sg.run(germline(int(sys.argv[1])), progress=False).id)
"""


class Project:
    """A working copy with a pipeline in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pipeline.py").write_text(PIPELINE)

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
        done = subprocess.run(["git", *who, *arguments], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self) -> str:
        self.git("add", "-A")
        self.git("commit", "-qm", "as it is")
        return self.git("rev-parse", "HEAD")

    def run(self, n: int) -> tuple[str, str]:
        done = subprocess.run(
            [sys.executable, "pipeline.py", str(n)], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip(), done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    made = Project(folder)
    made.git("init", "-q")
    return made


@pytest.fixture
def home() -> sg.Store:
    """The store of the processes that tests start."""
    return sg.active_store()


def test_an_id_names_workflow_commit_and_time_and_records_tell_the_rest(project: Project, home: sg.Store) -> None:
    commit = project.commit()
    name, errors = project.run(1)
    assert re.fullmatch(rf"germline-{commit[:7]}-\d{{8}}T\d{{6}}Z", name)
    assert "differs" not in errors
    with (project.folder / "pipeline.py").open("a") as file:
        file.write("# edited\n")
    (project.folder / "fresh.py").write_text("NEW = 1\n")
    (project.folder / "notes.txt").write_text("no code\n")
    name, errors = project.run(2)
    assert re.fullmatch(rf"germline-{commit[:7]}-dirty-\d{{8}}T\d{{6}}Z", name)
    assert f"the code that wired germline differs from commit {commit[:12]}" in errors
    (note, _) = noted_runs(home)
    assert (note.workflow, note.commit, note.dirty) == ("germline", commit, True)
    second, first = Ledger(home.records).of_task("number")
    assert (first.commit, first.dirty, first.diff) == (commit, False, None)
    assert (second.commit, second.dirty, second.diff) == (commit, True, note.diff)
    diff = home.read(str(note.diff)).decode()
    assert "+# edited" in diff
    assert "+NEW = 1" in diff
    assert "no code" not in diff
    project.git("checkout", "-q", "pipeline.py")
    (project.folder / "fresh.py").unlink()
    (project.folder / "change.diff").write_text(diff)
    project.git("apply", "change.diff")
    assert (project.folder / "fresh.py").read_text() == "NEW = 1\n"
    home.gc(grace=-60, recent=0)
    assert home.has(str(note.diff))


def test_what_is_known_asks_nobody(project: Project, home: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    project.commit()
    project.run(1)
    monkeypatch.setenv("PATH", str(project.folder))
    assert project.run(1) == ("", "")
    name, _ = project.run(2)
    assert name.startswith("germline-unknown-")


def test_a_copy_without_a_commit_and_a_folder_outside_are_unknown(project: Project, tmp_path: Path) -> None:
    assert revision_of(str(project.folder / "pipeline.py")) == Revision()
    (tmp_path / "alone.py").touch()
    assert revision_of(str(tmp_path / "alone.py")) == Revision()
    assert revision_of("<cell 3>").commit == revision_of(str(Path.cwd() / "any")).commit


def test_a_git_that_does_not_answer_is_not_waited_for(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.commit()
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:/usr/bin:/bin")
    monkeypatch.setattr(git, "PATIENCE", 0.2)
    git._asked.cache_clear()
    assert revision_of(str(project.folder / "pipeline.py")) == Revision()
    git._asked.cache_clear()


def test_two_runs_in_one_second_differ_and_are_found_by_their_first_letters(store: sg.Store) -> None:
    notes = [Note.new("threads", 0, "germline").claimed(store) for _ in range(12)]
    assert len({note.id for note in notes}) == 12
    assert [note.id for note in noted_runs(store)] == [note.id for note in reversed(notes)]
    other = Note.new("threads", 0, "a").claimed(store)
    assert noted_runs(store)[0].id == other.id  # the newest, though its name comes first
    old = "20191121T150850.304147-94221709"
    store.backend.replace(f"runs/{old}", json.dumps(vars(notes[0]) | {"id": old}).encode())
    assert noted_runs(store)[-1].id == old
    for name in (old, old[:10], notes[3].id):
        assert find_run(store, name).id in (old, notes[3].id)
    with pytest.raises(NotFound, match=f"several runs begin with 'germline', the newest is {notes[-1].id}"):
        find_run(store, "germline")
    with pytest.raises(NotFound, match="there is no run 'nothing'"):
        find_run(store, "nothing")


@pytest.mark.parametrize("workflow", ["", "ünï/../x y", "-dash", "x" * 300])
def test_any_name_makes_an_id(store: sg.Store, workflow: str) -> None:
    note = Note.new("threads", 0, workflow).claimed(store)
    assert find_run(store, note.id).workflow == workflow


def test_a_run_is_named_by_what_wired_it(store: sg.Store) -> None:
    def cohort() -> list[Any]:
        return [*(number(i=i) for i in range(2))]

    assert sg.run(cohort()).id.startswith("test_a_run_is_named_by_what_wired_it-")
    assert sg.run(number(i=9), name="mine").id.startswith("mine-")
    assert sg.run(number(i=9)).id == ""


def test_a_log_tells_what_was_known_started_made_and_failed(client: Any, store: sg.Store) -> None:
    sg.run(number(i=1), client=client)
    bad = shell(number(i=1), script="exit 3")
    flight = sg.run([total([number(i=1), number(i=2)]), shell(bad, script="cat")], client=client, wait=False)
    with pytest.raises(RunFailed):
        flight.result()
    events = read_events(store, flight.id)
    by = {
        what: [event.task for event in events if event.what == what] for what in ("known", "made", "failed", "skipped")
    }
    assert {what: sorted(tasks) for what, tasks in by.items()} == {
        "known": ["number"],
        "made": ["number", "total"],
        "failed": ["shell"],
        "skipped": ["shell"],
    }
    (failed,) = [event for event in events if event.what == "failed"]
    assert "exit code 3" in str(failed.error)
    assert Path(str(failed.scratch)).is_dir()
    made = [event for event in events if event.what == "made"]
    assert [store.read(event.outputs[0]) for event in made] == [b"2", b"3"]
    assert all(event.record and event.host for event in made)
    if client is None:
        started = [event.task for event in events if event.what == "started"]
        assert sorted(started) == ["number", "shell", "total"]


def test_a_torn_line_of_a_log_is_left_out(store: sg.Store) -> None:
    name = sg.run([number(i=1), number(i=2)]).id
    place = f"logs/{name}"
    data = store.backend.read(place)
    store.backend.replace(place, data[:-20])
    assert len(read_events(store, name)) == 3
    assert store.fsck().ok


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b"[]", b'{"what": "made"}', b'{"at": 1, "what": "made", "task": "t", "key": "k/../../x"}']
)
def test_what_else_stands_in_a_log_is_left_out(store: sg.Store, line: bytes) -> None:
    name = sg.run([number(i=1), number(i=2)]).id
    place = f"logs/{name}"
    data = store.backend.read(place)
    store.backend.replace(place, line + b"\n" + data)
    assert len(read_events(store, name)) == 4


@pytest.mark.parametrize("members", [{"commit": 3}, {"dirty": "yes"}, {"lost": {}}, {"workflow": None}])
def test_a_note_whose_members_are_of_other_types_is_none(store: sg.Store, members: dict[str, object]) -> None:
    note = Note.new("threads", 0, "mine").claimed(store)
    written = json.loads(store.backend.read(f"runs/{note.id}"))
    store.backend.replace(f"runs/{note.id}", json.dumps(written | members).encode())
    assert noted_runs(store) == []
    with pytest.raises(NotFound, match="is torn"):
        find_run(store, "mine")


@pytest.mark.parametrize(("state", "seconds"), [("running", 47.0), ("done", 7.0)])
def test_what_runs_has_taken_the_time_until_now(store: sg.Store, state: str, seconds: float) -> None:
    note = Note.new("threads", 0, "mine").claimed(store)
    written = json.loads(store.backend.read(f"runs/{note.id}"))
    told = {"seconds": 7.0, "updated": time.time() - 40, "state": state}  # no call has ended for 40 s
    store.backend.replace(f"runs/{note.id}", json.dumps(written | told).encode())
    assert find_run(store, "mine").seconds == pytest.approx(seconds, abs=10)


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("germline", "/x/pipeline.py", "germline"),
        ("germline.<locals>.<listcomp>", "/x/pipeline.py", "germline"),
        ("<module>", __file__, "test_run_logs"),
        ("<module>", "/tmp/ipykernel_12/345.py", "notebook"),
        ("<module>", "<stdin>", "python"),
        ("<lambda>", "<string>", "python"),
    ],
)
def test_code_without_a_function_is_named_by_where_it_is(name: str, path: str, expected: str) -> None:
    assert Wired(name, path).workflow == expected
