"""Progress where it is seen: a terminal, a log; never in what is piped on."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stargazer.display import seconds_text, size_text

RUN = """
import sys, time
import stargazer as sg

@sg.task
def nap(work: sg.Workdir, *, number: int) -> sg.Asset:
    import time
    time.sleep(0.7)
    if number == 3:
        raise ValueError("three")
    out = work.file("nap.txt")
    out.write_text(str(number))
    return sg.Asset(path=out)

try:
    sg.run([nap(number=n) for n in range(COUNT)], **OPTIONS)
except sg.errors.RunFailed:
    print("failed")
else:
    print("done")
"""

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def script(desk: Path, source: str) -> list[str]:
    (desk / "flow.py").write_text(source)
    return [sys.executable, str(desk / "flow.py")]


def run_source(count: int, options: str = "{}") -> str:
    return f"COUNT, OPTIONS = {count}, {options}\n{RUN}"


def in_terminal(command: list[str]) -> tuple[str, str]:
    """What a command writes to its stdout, a pipe, and to its stderr, a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=os.environ | {"TERM": "xterm"})
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass
    os.close(ours)
    assert process.stdout is not None
    with process.stdout as pipe:
        written = pipe.read().decode()
    assert process.wait(60) == 0
    return written, ESCAPES.sub("", shown.decode())


def test_terminal_shows_a_row_for_each_task(tmp_path: Path) -> None:
    written, shown = in_terminal(script(tmp_path, run_source(6)))
    assert written == "failed\n", "progress must not mix with output"
    last = shown.split("task ")[-1]
    assert re.search(r"nap\s+━+\s+5\s+1\b", last), last
    assert "ValueError: three" in last
    assert "6 of 6 calls ended" in last


def test_short_runs_and_silenced_ones_show_nothing(tmp_path: Path) -> None:
    assert in_terminal(script(tmp_path, run_source(1))) == ("done\n", "")
    written, shown = in_terminal(script(tmp_path, run_source(6, "{'progress': False}")))
    assert (written, shown) == ("failed\n", "")


def test_log_has_lines_now_and_then(tmp_path: Path) -> None:
    source = run_source(8).replace("sleep(0.7)", "sleep(1.2)")
    done = subprocess.run(script(tmp_path, source), capture_output=True, text=True, timeout=60)
    lines = done.stderr.splitlines()
    assert all(line.startswith("stargazer: ") for line in lines)
    assert 2 <= len(lines) <= 3
    assert "8 of 8 calls ended" in lines[-1]
    assert "1 failed" in lines[-1]


def test_bytes_are_shown_with_their_rate(tmp_path: Path) -> None:
    source = textwrap.dedent("""
        import time
        from stargazer.display import byte_progress
        with byte_progress("add big.bam", 4_000_000) as progress:
            for _ in range(8):
                time.sleep(0.25)
                progress(500_000)
    """)
    _, shown = in_terminal(script(tmp_path, source))
    last = shown.rstrip().split("\r")[-1]
    assert "add big.bam: 4.0 MB of 4.0 MB" in last
    assert "MB/s" in last


TIMES = {0.0123: "12 ms", 0.52: "0.5 s", 9.94: "9.9 s", 59.7: "1 min 00 s", 187: "3 min 07 s", 7500: "2 h 05 min"}
SIZES = {0: "0 B", 999: "999 B", 1500: "1.5 kB", 3e9: "3.0 GB", 2e15: "2000.0 TB"}


@pytest.mark.parametrize(("seconds", "text"), TIMES.items())
def test_times(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(("size", "text"), SIZES.items())
def test_sizes(size: float, text: str) -> None:
    assert size_text(size) == text
