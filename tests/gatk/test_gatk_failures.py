"""What ends GATK from outside, or lies damaged in the store: a clear error, the log kept, nothing stored."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    ledger = Ledger(store.records)
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


KILLED = """#!/bin/sh
if [ -e {folder}/always ] || [ ! -e {folder}/once ]; then
    touch {folder}/once
    (sleep 0.3; kill -9 $$) &
fi
exec {java} "$@"
"""
"""A Java that the system kills."""


def test_a_killed_gatk_is_told_and_leaves_nothing(
    tp53: Any, store: sg.Store, tmp_path: Path, tool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(KILLED.format(folder=tmp_path, java=tool("java")))
    java.chmod(0o755)
    (tmp_path / "always").touch()
    alignment = merged(tp53, store)
    monkeypatch.setenv("PATH", f"{java.parent}:{os.environ['PATH']}")
    before = len(store.find())
    with pytest.raises(ToolFailed, match=r"SortSam(.|\n)*SIGKILL .*where memory runs out") as failed:
        tasks.sort_sam(alignment).compute(scheduler="sync")
    assert failed.value.killed
    check_failed(store, failed.value, before, "SortSam")
    # Once is not the end: the task has more memory to ask for.
    (tmp_path / "always").unlink()
    (tmp_path / "once").unlink()
    made = sg.run(tasks.sort_sam(alignment), progress=False).result()
    assert made.sorted == "coordinate"
    assert (tmp_path / "once").exists(), "it was never killed"
