"""Tools that a body runs: pipes, errors, and that none outlives its call."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer.errors import Cancelled, ToolError, ToolFailed, ToolMissing
from stargazer.tools import Workdir


@pytest.fixture
def work(tmp_path: Path) -> Workdir:
    (tmp_path / "work").mkdir()
    return Workdir(tmp_path / "work")


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def until(holds: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def all_children() -> set[str]:
    found: set[str] = set()
    for task in os.listdir(f"/proc/{os.getpid()}/task"):
        with contextlib.suppress(FileNotFoundError):  # a thread that ended meanwhile
            found.update(Path(f"/proc/{os.getpid()}/task", task, "children").read_text().split())
    return found


def is_reaper(pid: str) -> bool:
    return b"reaper.py" in Path(f"/proc/{pid}/cmdline").read_bytes()


FOREIGN: set[str] = set()


@pytest.fixture(autouse=True)
def _foreign() -> None:
    """Note the processes that other tests' libraries keep, as joblib and multiprocessing do."""
    FOREIGN.update(pid for pid in all_children() if not is_reaper(pid))


def children() -> set[str]:
    return all_children() - FOREIGN


def test_bytes_pass_through_a_pipe_unchanged(work: Workdir) -> None:
    data = bytes(range(256)) * 5000
    work.file("in").write_bytes(data)
    work.pipe(["cat"], ["cat"], ["cat"], stdin=work.file("in"), stdout=work.file("out"))
    assert work.file("out").read_bytes() == data


def test_files_are_named_from_the_work_directory(work: Workdir, tmp_path: Path) -> None:
    name = "with space, ünïcode and 'quotes' $HOME.txt"
    work.file(name).write_text("x")
    assert work.output(["ls", work.file(name), "--color=never"]).strip().strip("'\"").endswith(".txt")
    assert work.output(["printf", "%s", work.file(name)]) == name
    assert work.output(["printf", "%s|", f"--out={work.file('a/b')}", 1, 2.5, work.path]) == "--out=a/b|1|2.5|.|"
    work.run(["cat"], stdin=Path(name), stdout=Path("relative.txt"))
    assert work.file("relative.txt").read_text() == "x"
    assert not Path("relative.txt").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "..", "", "."])
def test_no_file_lies_elsewhere(work: Workdir, name: str) -> None:
    with pytest.raises(ValueError, match="no place in the work directory"):
        work.file(name)
    with pytest.raises(ValueError, match="no place in the work directory"):
        work.directory(name)


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_any_stage_that_fails_fails_the_pipe(work: Workdir, stage: int) -> None:
    stages = [sh(f"cat; echo stage {i} >&2; exit {3 if i == stage else 0}") for i in range(3)]
    with pytest.raises(ToolFailed) as raised:
        work.pipe(*stages, stdout=work.file("out"))
    assert (raised.value.code, raised.value.tail) == (3, f"stage {stage}")
    assert f"exit code 3; its last words:\nstage {stage}" in str(raised.value)


def test_the_stage_that_is_to_blame_is_named_not_its_victims(work: Workdir) -> None:
    with pytest.raises(ToolFailed, match="exit code 7") as raised:
        work.pipe(["yes"], sh("head -c 100000 > /dev/null; exit 7"), ["cat"])
    assert raised.value.code == 7


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_stage_killed_in_the_middle_is_named_with_its_signal(work: Workdir, stage: int) -> None:
    stages = [sh("kill -KILL $$") if i == stage else sh("sleep 30 & cat; wait") for i in range(3)]
    started = time.monotonic()
    with pytest.raises(ToolFailed, match="was ended by signal SIGKILL"):
        work.pipe(*stages)
    assert time.monotonic() - started < 10
    assert children() <= reapers()


def test_the_first_to_fail_is_named(work: Workdir) -> None:
    """A writer that minds the broken pipe by itself fails after the reader that broke it."""
    with pytest.raises(ToolFailed, match="exit code 5"):
        work.pipe(sh("trap '' PIPE; while echo x; do :; done 2> /dev/null; sleep 0.1; exit 4"), sh("sleep 0.1; exit 5"))


def test_a_reader_that_stops_early_is_no_failure(work: Workdir) -> None:
    with pytest.raises(ToolFailed, match="SIGPIPE"):
        work.pipe(["yes"], ["head", "-n", "1"], stdout=work.file("out"))
    assert work.file("out").read_text() == "y\n"


def test_a_child_that_a_stage_leaves_behind_may_finish_its_output(work: Workdir) -> None:
    work.pipe(sh("(sleep 0.3; echo late) & echo early"), ["cat"], stdout=work.file("out"))
    assert work.file("out").read_text() == "early\nlate\n"


def test_much_on_stderr_is_kept_whole_and_shown_in_part(work: Workdir) -> None:
    with pytest.raises(ToolFailed) as raised:
        work.run(sh("seq 1 600000 >&2; printf '\\377\\n' >&2; exit 1"))
    lines = raised.value.tail.splitlines()
    assert len(lines) == 20
    assert lines[-2:] == ["600000", "\ufffd"]
    log = work.log()
    assert log.startswith(b"$ sh -c")
    assert log.count(b"\n") == 600_002


def test_the_log_tells_every_command_in_order(work: Workdir) -> None:
    work.run(sh("echo out; echo err >&2"))
    work.pipe(sh("echo one >&2"), sh("cat; echo two >&2"), stdout=work.file("x"))
    assert work.log().decode() == (
        "$ sh -c 'echo out; echo err >&2'\nout\nerr\n$ sh -c 'echo one >&2'\none\n$ sh -c 'cat; echo two >&2'\ntwo\n"
    )


def test_what_cannot_be_started_is_told(work: Workdir) -> None:
    with pytest.raises(ToolMissing, match="cannot start 'no-such-tool'"):
        work.pipe(["yes"], ["no-such-tool"])
    work.file("broken").write_bytes(b"\x00nothing")
    work.file("broken").chmod(0o755)
    with pytest.raises(ToolMissing, match="Exec format error"):
        work.run(["./broken"])
    with pytest.raises(ToolError, match=r"'echo': its 5,000 arguments are 5,000,004 bytes.*write them to a file"):
        work.run(["echo", *("x" * 1000 for _ in range(5000))])
    with pytest.raises(ValueError, match="at least a name"):
        work.run([])
    assert children() <= reapers()


def test_tools_see_a_fixed_environment(work: Workdir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("OTHER", "dropped")
    printed = work.output(sh("echo $LC_ALL $TZ $OTHER; pwd; touch $TMPDIR/x; echo $PYTHONHASHSEED"))
    assert printed.splitlines() == ["C UTC", str(work.path), "0"]
    assert (work.path / "tmp" / "x").exists()


def test_python_is_the_interpreter_that_runs_this(work: Workdir) -> None:
    assert work.output(["python", "-c", "import sys; print(sys.executable)"]).strip() == sys.executable


def test_what_a_tool_used_is_measured(work: Workdir) -> None:
    work.run(["python", "-c", "x = bytearray(100_000_000); sum(range(3_000_000))"])
    assert work.peak_bytes > 100_000_000
    assert 0.02 < work.cpu_seconds < 30


def reapers() -> set[str]:
    return {pid for pid in children() if is_reaper(pid)}


# Starts, in the background: a child, a child that ignores SIGTERM, and one with a session and a name of its own.
FAMILY = """
sleep 99.1 & echo $! >> pids
(trap '' TERM; sleep 99.2) & echo $! >> pids
setsid sh -c 'echo $$ >> pids; sleep 99.3; true' &
while [ $(wc -l < pids) -lt 3 ]; do sleep 0.01; done
"""


def family(work: Workdir) -> list[int]:
    return [int(pid) for pid in work.file("pids").read_text().split()]


def test_cancelling_ends_the_whole_family(tmp_path: Path) -> None:
    stop = threading.Event()
    work = Workdir(tmp_path, cancelled=stop.is_set)
    work.file("pids").touch()
    threading.Timer(0.7, stop.set).start()
    with pytest.raises(Cancelled, match="cancelled while sh -c"):
        work.pipe(sh(f"{FAMILY} wait"), ["cat"])
    assert len(family(work)) == 3
    until(lambda: not any(map(is_alive, family(work))), 3)
    with pytest.raises(Cancelled, match="before true was started"):
        work.run(["true"])


def test_a_failure_ends_the_whole_family(work: Workdir) -> None:
    work.file("pids").touch()
    with pytest.raises(ToolFailed):
        work.run(sh(f"{FAMILY} exit 1"))
    assert len(family(work)) == 3
    until(lambda: not any(map(is_alive, family(work))), 3)


def test_children_left_behind_by_a_tool_that_ended_well_are_ended(work: Workdir) -> None:
    work.run(sh("sleep 99.4 > /dev/null 2>&1 & echo $! > pid"))
    until(lambda: not is_alive(int(work.file("pid").read_text())), 3)


OWNER = f"""
import os, sys
from stargazer.tools import Workdir
work = Workdir(sys.argv[1])
if sys.argv[2] == "forked":
    work.run(["true"])
    if os.fork() == 0:
        import time
        time.sleep(60)
        os._exit(0)
work.pipe(["sh", "-c", '''{FAMILY} wait'''], ["cat"])
"""


@pytest.mark.parametrize("mode", ["plain", "forked"])
@pytest.mark.parametrize("name", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_dies_takes_its_tools_along(work: Workdir, mode: str, name: signal.Signals) -> None:
    """Also where a forked child of it lives on, which has all its pipes."""
    work.file("pids").touch()
    owner = subprocess.Popen([sys.executable, "-c", OWNER, work.path, mode], start_new_session=True)
    try:
        until(lambda: len(family(work)) == 3)
        owner.send_signal(name)
        owner.wait()
        until(lambda: not any(map(is_alive, family(work))), 5)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(owner.pid, signal.SIGKILL)


def test_a_reaper_that_is_killed_is_replaced(work: Workdir) -> None:
    work.run(["true"])
    (old,) = reapers()
    os.kill(int(old), signal.SIGKILL)
    until(lambda: not is_alive(int(old)))
    work.run(["true"])
    assert len(reapers() - {old}) == 1


QUIET = """
import os, sys
from pathlib import Path
from stargazer.tools import Workdir
work = Workdir(sys.argv[1])
work.run(["true"])
reaper = int(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()[0])
pid = os.fork()
if pid == 0:
    work.run(["true"])
    sys.exit(0)
os.waitpid(pid, 0)
work.run(["true"])
print(reaper)
"""


def test_the_end_of_a_process_is_quiet_and_leaves_nothing(work: Workdir) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", QUIET, work.path], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    until(lambda: not is_alive(int(done.stdout)), 3)


def test_many_runs_leak_neither_descriptors_nor_processes(work: Workdir) -> None:
    work.run(["true"])
    before = os.listdir("/proc/self/fd")
    for number in range(500):
        if number % 5 == 0:
            work.pipe(["echo", "x"], ["cat"], stdout=work.file("x"))
        elif number % 50 == 1:
            with pytest.raises(ToolMissing):
                work.pipe(["true"], ["no-such-tool"])
        else:
            work.run(["true"])
    assert len(os.listdir("/proc/self/fd")) <= len(before)
    assert children() == reapers()
    assert len(reapers()) == 1


def test_many_threads_run_tools_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def run(place: int) -> None:
        path = tmp_path / str(place)
        path.mkdir()
        work = Workdir(path)
        try:
            for i in range(5):
                work.pipe(["seq", i, 2000], ["sort", "-n"], ["tail", "-n", 1], stdout=work.file("out"))
                assert work.file("out").read_text() == "2000\n"
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


INTERRUPTED = """
import sys, threading, os
import dask
import stargazer as sg

@sg.task
def slow(work: sg.Workdir) -> sg.Asset:
    for _ in range(100):
        with open(sys.argv[1], "a") as log:
            log.write("started\\n")
        work.run(["sleep", "99.5"])
    return sg.Asset(path=work.file("x"))

if __name__ == "__main__":
    try:
        slow().compute(scheduler="threads")
    except KeyboardInterrupt:
        import time
        time.sleep(1.5)
        print("interrupted", len(open(sys.argv[1]).readlines()))
"""


def test_ctrl_c_ends_the_call_and_not_only_its_tool(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(INTERRUPTED)
    log = tmp_path / "log"
    env = os.environ | {"DASK_STARGAZER__STORE": str(tmp_path / "store")}
    script = subprocess.Popen([sys.executable, tmp_path / "script.py", log], stdout=subprocess.PIPE, text=True, env=env)
    until(lambda: log.exists() and "started" in log.read_text())
    time.sleep(0.2)
    script.send_signal(signal.SIGINT)
    out, _ = script.communicate(timeout=30)
    assert out == "interrupted 1\n"


def test_a_file_is_no_option_whatever_its_name(work: Workdir) -> None:
    named = work.file("-n.txt")
    named.write_text("text\n")
    assert work.output(["cat", "-n", named]).split() == ["1", "text"]
    assert work.output(["echo", "-n.txt", "-"]) == "-n.txt -\n"
