"""Tools of a task run in a system of their own, and end with the call."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest

import stargazer as sg
from stargazer.calls import Task
from stargazer.errors import (
    Cancelled,
    DefinitionError,
    MemoryExceeded,
    ToolError,
    ToolFailed,
    ToolMissing,
    WorkerMismatch,
)
from stargazer.ledger import Record
from stargazer.tools import enclosure
from stargazer.tools.enclosure import enclosed
from stargazer.tools.identity import identify_tool

pytestmark = pytest.mark.usefixtures("store")

PATIENCE = 60.0


def until(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found


def running(*words: str) -> list[int]:
    """Processes of this machine with such arguments, however deep in containers."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            told = each.read_bytes().split(b"\0")
        except OSError:
            continue
        if told[: len(words)] == [word.encode() for word in words]:
            found.append(int(each.parent.name))
    return found


def record_of(asset: sg.Asset) -> Record:
    return sg.trace(asset).records[0]


def body(work: sg.Workdir, words: sg.Asset, *, script: str = "cat") -> sg.Asset:
    out = work.file("out.txt")
    work.run(["sh", "-c", script], stdin=words.path, stdout=out)
    return sg.Asset(path=out)


def task_in(system: Path, **options: Any) -> Task[Any, Any]:
    return sg.task(container=f"dir:{system}", **options)(body)


@pytest.fixture
def words(tmp_path: Path) -> sg.Asset:
    path = tmp_path / "words.txt"
    path.write_text("hello\n")
    return sg.add(path)


LONG = "long\n" * 5000
"""Of more than some bytes, inputs are links to where the store has them."""


@pytest.fixture
def linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sg.Asset:
    """An input that is a link in the work directory, whatever the disk can do."""
    monkeypatch.setattr("stargazer.store.blobs.local._clone", lambda *_: False)
    path = tmp_path / "long.txt"
    path.write_text(LONG)
    return sg.add(path)


def test_tools_run_in_there_and_the_record_says_where(system: Path, words: sg.Asset) -> None:
    made = sg.run(
        task_in(system, tools=["nobody-has-it"])(words, script="tr a-z A-Z; cat /etc/inside; hostname")
    ).result()
    assert made.fetch().read_text() == "HELLO\ninside\nstargazer\n"
    record = record_of(made)
    assert record.environment["kind"] == "folder"
    assert record.environment["source"] == str(system)
    assert record.environment["runtime"].startswith("bwrap ")
    (tool,) = record.tools
    assert record.environment["digest"] == f"sha256:{tool['digest']}"
    assert (tool["name"], record.reads, list(record.noted)) == (f"container:dir:{system}", {}, [])


def test_they_see_their_inputs_and_nothing_else(system: Path, linked: sg.Asset, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of this machine")
    script = f"""
        cat {tmp_path}/secret 2> /dev/null && echo seen
        ls /root /home {Path(sys.prefix)} 2> /dev/null
        cat /proc/net/dev | while read name rest; do case $name in *:) echo "$name";; esac; done
        (echo x > inputs/words/long.txt) 2> /dev/null && echo written
        while read line; do last=$line; done; echo "$last"
        (echo x > /etc/inside) 2> /dev/null && echo changed
        (echo x > /new) 2> /dev/null && echo made
        echo "$PATH:$HOME:$SECRET_TOKEN:$PLAIN"
    """
    made = task_in(system)(linked, script=script).compute().fetch().read_text().splitlines()
    assert made == ["lo:", "long", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/tmp::"]
    assert linked.fetch().read_text() == LONG
    assert (system / "etc/inside").read_text() == "inside\n"


def test_variables_that_the_task_names_reach_it_and_no_argument_shows_a_secret(
    system: Path, words: sg.Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIN", "plain")
    monkeypatch.setenv("SECRET_TOKEN", "hush-hush")
    script = "echo $PLAIN; echo ${#SECRET_TOKEN}"
    made = task_in(system, env=["PLAIN", "SECRET_TOKEN"])(words, script=script).compute()
    assert made.fetch().read_text() == "plain\n9\n"


def test_what_fails_in_there_tells_its_last_words(system: Path, words: sg.Asset) -> None:
    with pytest.raises(ToolFailed, match=r"(?s)exit code 7.*it hurts") as raised:
        task_in(system)(words, script="echo it hurts >&2; exit 7").compute()
    assert "bwrap" not in str(raised.value)


def test_who_wrote_to_the_one_that_failed_is_not_blamed(system: Path, tmp_path: Path) -> None:
    place = enclosed((identify_tool(f"container:dir:{system}"),))
    work = sg.Workdir(tmp_path, enclosure=place)
    with pytest.raises(ToolFailed, match=r"(?s)exit code 7.*it hurts"):
        work.pipe(["cat", "/dev/zero"], ["sh", "-c", "echo it hurts >&2; exit 7"])
    with pytest.raises(ToolFailed, match="SIGKILL"):
        work.run(["sh", "-c", "sh -c 'kill -9 $$'; exit $?"])


def test_python_is_the_one_that_runs_the_body(system: Path, words: sg.Asset) -> None:
    @sg.task(container=f"dir:{system}")
    def both(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
        out = work.file("out.txt")
        work.pipe(
            ["cat", words.path],
            ["python", "-c", "import os; print(input(), os.path.exists('/etc/inside'))"],
            stdout=out,
        )
        return sg.Asset(path=out)

    assert both(words).compute().fetch().read_text() == "hello False\n"


def test_the_digest_counts_and_nothing_else_of_it(system: Path, words: sg.Asset, tmp_path: Path) -> None:
    there = task_in(system)(words)
    shutil.copytree(system, tmp_path / "copy", symlinks=True)
    same = task_in(tmp_path / "copy")(words)
    assert same.plan_key == there.plan_key
    there.compute()
    plain = sg.task(body)(words)
    assert plain.plan_key != there.plan_key
    (tmp_path / "copy/etc/inside").write_text("other\n")
    until(lambda: task_in(tmp_path / "copy")(words).plan_key != there.plan_key)
    other = task_in(tmp_path / "copy")(words)
    assert task_in(system)(words).known() is not None
    assert other.known() is None
    assert f"container:dir:{tmp_path / 'copy'}" in str(sg.plan(other))


def test_what_is_known_wants_no_runtime(system: Path, words: sg.Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    made = task_in(system)(words).compute()
    monkeypatch.setenv("PATH", str(system / "usr"))
    assert task_in(system)(words).compute() == made


def test_without_a_runtime_nothing_runs_at_all(system: Path, words: sg.Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sg.task(first)(words)
    call = task_in(system)(before)
    monkeypatch.setenv("PATH", str(system / "usr"))
    with pytest.raises(
        ToolMissing, match=r"none of apptainer, singularity, bwrap, podman is on PATH.*install bubblewrap"
    ):
        sg.run(call).result()
    with (
        dask.config.set({"stargazer.container-runtime": "podman"}),
        pytest.raises(ToolMissing, match=r"podman is not on PATH, which is to run .*; install podman"),
    ):
        sg.run(call).result()
    assert before.known() is None


def first(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
    out = work.file("first.txt")
    out.write_text(words.path.read_text())
    return sg.Asset(path=out)


def test_a_chosen_runtime_must_be_able_to(system: Path, words: sg.Asset, tmp_path: Path) -> None:
    image = "example.org/tools/samtools:1.21@sha256:" + "ab" * 32
    with dask.config.set({"stargazer.container-runtime": "bwrap"}):
        with pytest.raises(ToolMissing, match="bwrap, which cannot run example"):
            sg.run(sg.task(container=image)(body)(words)).result()
        assert task_in(system)(words).compute().fetch().read_text() == "hello\n"


def test_one_that_cannot_be_made_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def build(name: str) -> None:
        made.append(name)
        if name != "good":
            raise ToolFailed("pull", 125, f"{name} is not reached")

    monkeypatch.setattr(enclosure, "build", build)
    with pytest.raises(ToolError, match=r"one is not reached(?s:.*)two is not reached"):
        enclosure.build_all(["one", "good", "two"], contextlib.nullcontext)
    assert made == ["one", "good", "two"]
    with pytest.raises(ToolFailed, match="two is not reached"):
        enclosure.build_all(["good", "two"], contextlib.nullcontext)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"container": "ubuntu:24.04"}, r"has no digest.*write ubuntu:24.04@sha256:…"),
        ({"container": "docker://a/b:1@sha256:12"}, r"write a/b:1@sha256:…"),
        ({"container": ""}, "must be text"),
        ({"container": 5}, "must be text"),
        ({"container": "dir:x", "conda": "env.yml"}, "two environments"),
    ],
)
def test_what_names_no_environment_is_refused_where_it_is_written(options: dict[str, Any], told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        sg.task(**options)(body)


def test_an_executor_has_tools_of_its_own(words: sg.Asset) -> None:
    profile = {"kind": "executor", "url": "http://127.0.0.1:1", "runtime": "x"}
    with dask.config.set({"stargazer.profiles.afar": profile}), pytest.raises(DefinitionError, match="do not reach it"):
        sg.task(container="a/b@sha256:" + "ab" * 32, worker="afar")(body)(words)


def test_a_folder_that_is_not_there_is_named(words: sg.Asset, tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="nowhere cannot be read"):
        task_in(tmp_path / "nowhere")(words)
    with pytest.raises(ToolMissing, match=r"x\.sif cannot be read"):
        sg.task(container=str(tmp_path / "x.sif"))(body)(words)


def test_a_system_that_changed_since_runs_nothing(system: Path, words: sg.Asset, tmp_path: Path) -> None:
    shutil.copytree(system, tmp_path / "copy", symlinks=True)
    call = task_in(tmp_path / "copy")(words)
    (tmp_path / "copy/etc/more").write_text("more")
    with dask.config.set(scheduler="threads"):
        until(lambda: task_in(tmp_path / "copy")(words).plan_key != call.plan_key)
        with pytest.raises(WorkerMismatch, match="but the call was made with"):
            call.compute()


def test_a_cancelled_call_leaves_nothing_behind(system: Path, words: sg.Asset) -> None:
    seconds = f"7{os.getpid()}"
    run = sg.run(task_in(system)(words, script=f"trap '' TERM; sleep {seconds} & sleep {seconds}; true"), wait=False)
    until(lambda: len(running("sleep", seconds)) == 2)
    run.cancel()
    until(lambda: not running("sleep", seconds))
    with pytest.raises(Cancelled):
        run.result()


KILLED = """
import sys
from pathlib import Path
from stargazer.tools import Workdir
from stargazer.tools.enclosure import enclosed
from stargazer.tools.identity import identify_tool

place = enclosed((identify_tool(f"container:dir:{sys.argv[1]}"),))
Workdir(sys.argv[2], enclosure=place).run(["sleep", sys.argv[3]])
"""


def test_a_killed_process_leaves_nothing_behind(system: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    seconds = f"8{os.getpid()}"
    owner = subprocess.Popen([sys.executable, "-c", KILLED, system, tmp_path / "work", seconds])
    until(lambda: running("sleep", seconds))
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    until(lambda: not running("sleep", seconds))


def test_memory_of_tools_in_there_counts(system: Path, words: sg.Asset) -> None:
    with pytest.raises(MemoryExceeded, match="tail"):
        task_in(system, memory="64 MiB")(words, script="cat; tail /dev/zero").compute()


def test_many_inputs_are_shown_by_their_folder(system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stargazer.tools.workdir.MOST_BINDS", 2)
    monkeypatch.setattr("stargazer.store.blobs.local._clone", lambda *_: False)
    files = []
    for number in range(5):
        path = tmp_path / f"part{number}.txt"
        path.write_text(f"{number}{LONG}")
        files.append(sg.add(path))

    @sg.task(container=f"dir:{system}")
    def joined(work: sg.Workdir, parts: list[sg.Asset]) -> sg.Asset:
        out = work.file("joined.txt")
        work.run(["cat", *(part.path for part in parts)], stdout=out)
        return sg.Asset(path=out)

    assert joined(files).compute().fetch().read_text() == "".join(f"{number}{LONG}" for number in range(5))


# What other runtimes are told; none of these is on every machine, so a script stands in for them.

STAND_IN = """#!/bin/sh
case "$*" in *--version*) echo "{name} version 9.8.7"; exit;; "image exists"*) exit 0;; esac
for word; do echo "$word"; done > {place}/told
env > {place}/env
while [ $# -gt 0 ] && [ "$1" != "{last}" ]; do shift; done
shift
{entry}
exec "$@"
"""


@pytest.mark.parametrize("name", ["apptainer", "podman"])
def test_what_a_runtime_is_told(name: str, linked: sg.Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = "cd" * 32
    image = f"example.org/tools:1.0@sha256:{digest}"
    place = tmp_path / "bin"
    place.mkdir()
    built = Path(dask.config.get("stargazer.cache")) / f"environments/{digest}.sif"
    built.parent.mkdir(parents=True)
    built.touch()
    last, entry = (str(built), "") if name == "apptainer" else (image, 'set -- cat "$@"')
    (place / name).write_text(STAND_IN.format(name=name, place=tmp_path, last=last, entry=entry))
    (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(place), prepend=os.pathsep)
    monkeypatch.setenv("SECRET_TOKEN", "hush-hush")

    @sg.task(container=image, env=["SECRET_TOKEN"])
    def copied(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
        out = work.file("out.txt")
        work.run(["cat", words.path], stdout=out)
        return sg.Asset(path=out)

    with dask.config.set({"stargazer.container-runtime": name}):
        made = copied(linked).compute()
    assert made.fetch().read_text() == LONG
    record = record_of(made)
    assert dict(record.environment) == {
        "kind": "image", "source": image, "digest": f"sha256:{digest}", "runtime": f"{name} 9.8.7",
    }  # fmt: skip
    told, env = (tmp_path / "told").read_text().splitlines(), (tmp_path / "env").read_text()
    assert "none" in told
    assert not any("hush" in word for word in told)
    blob = next(word for word in told if word.endswith(":ro"))
    assert Path(blob.split(":")[0]).read_text() == LONG
    if name == "apptainer":
        assert "APPTAINERENV_SECRET_TOKEN=hush-hush" in env
        assert "APPTAINERENV_STARGAZER_OWNER=" in env
        assert "APPTAINERENV_PATH=" not in env
    else:
        assert {"SECRET_TOKEN", "STARGAZER_OWNER", "TMPDIR"} <= set(told)
        assert "PATH" not in told
