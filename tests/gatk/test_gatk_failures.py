"""What ends GATK from outside, or lies damaged in the store: a clear error, the log kept, nothing stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

import stargazer as sg
from stargazer.errors import StargazerError, ToolFailed
from stargazer.ledger import Ledger
from stargazer.ledger.logs import find_record, log_of, record_of
from stargazer.tasks import gatk as tasks

ENOSPC = "/dev/full"


@sg.task(tools=["gatk"])
def sort_on_a_full_disk(work: sg.Workdir, alignment: sg.Alignment) -> sg.Alignment:
    """Sort; what is written to the scratch directory finds no place there."""
    work.file("NA12829.coordinate.bam").symlink_to(ENOSPC)
    made: sg.Alignment = tasks.sort_sam.body(work, alignment)
    return made


def merged(tp53: Any, store: sg.Store, path: Path | None = None) -> sg.Alignment:
    bam = tp53.bam("merged")
    added: sg.Alignment = store.add(path or bam.path, replace(bam, path=None, companions=()))
    return added


def check_failed(store: sg.Store, error: StargazerError, before: int, told: str) -> None:
    """The log of the call tells what GATK said, and there is no more in the store than before."""
    ledger = Ledger(store)
    record = find_record(ledger, record_of(error) or "")
    assert (record.status, record.outputs) == ("failed", None)
    assert told in log_of(ledger, record)
    assert len(store.find()) == before


@pytest.mark.skipif(not Path(ENOSPC).exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told(tp53: Any, store: sg.Store) -> None:
    call = sort_on_a_full_disk(merged(tp53, store))
    before = len(store.find())
    with pytest.raises(ToolFailed, match="No space left on device") as failed:
        call.compute(scheduler="sync")
    check_failed(store, failed.value, before, "No space left on device")


def test_a_damaged_bam_leaves_nothing(tp53: Any, store: sg.Store, tmp_path: Path) -> None:
    path = tmp_path / "damaged.bam"
    content = bytearray(tp53.bam("merged").path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    alignment = merged(tp53, store, path)
    before = len(store.find())
    with pytest.raises(ToolFailed, match=r"merged\.bam(.|\n)*CRC32 checksum mismatch") as failed:
        tasks.sort_sam(alignment).compute(scheduler="sync")
    check_failed(store, failed.value, before, "CRC32 checksum mismatch")


def kill(words: tuple[str, ...], done: threading.Event) -> None:
    """Kill the first tool below this process with these words in its command line, as the system does."""
    while not done.is_set():
        for process in psutil.Process().children(recursive=True):
            try:
                if set(words) <= set(process.cmdline()):
                    process.kill()
                    return
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        time.sleep(0.01)


def killing(words: tuple[str, ...], work: Callable[[], object]) -> ToolFailed:
    done = threading.Event()
    killer = threading.Thread(target=kill, args=(words, done))
    killer.start()
    try:
        with pytest.raises(ToolFailed, match=r"SIGKILL .*where memory runs out") as failed:
            work()
    finally:
        done.set()
        killer.join()
    return failed.value


def test_a_killed_gatk_is_told_and_leaves_nothing(tp53: Any, store: sg.Store) -> None:
    alignment = merged(tp53, store)
    before = len(store.find())
    error = killing(("java", "SortSam"), lambda: tasks.sort_sam(alignment).compute(scheduler="sync"))
    assert error.killed
    check_failed(store, error, before, "SortSam")
    # In a run, the task has more memory to ask for.
    flight = sg.run(tasks.sort_sam(alignment), progress=False, wait=False)
    done = threading.Event()
    killer = threading.Thread(target=kill, args=(("java", "SortSam"), done))
    killer.start()
    made = flight.result()
    done.set()
    killer.join()
    assert made.sorted == "coordinate"
    assert [record.task for record in Ledger(store).newest("sort_sam")] == ["sort_sam"]
