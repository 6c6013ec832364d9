from __future__ import annotations

import gzip
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from stargazer.assets import R1, R2
from stargazer.errors import DataError, ToolFailed
from stargazer.store import Store
from stargazer.tasks.general import bwa_mem
from stargazer.workflows import Lane, align_sample, index_reference


def records(path: Path) -> list[str]:
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    return ["\n".join(lines[at : at + 4]) + "\n" for at in range(0, len(lines), 4)]


def damaged(kind: str, r2: Path, folder: Path) -> Path:
    """A second end that is wrong in one way."""
    all_records = records(r2)
    content = {
        "cut gzip": r2.read_bytes()[:-3000],
        "cut record": "".join(all_records)[:-40].encode(),
        "fewer reads": "".join(all_records[:-1]).encode(),
        "more reads": "".join([*all_records, all_records[0]]).encode(),
        "other order": "".join([all_records[1], all_records[0], *all_records[2:]]).encode(),
    }[kind]
    path = folder / "damaged_R2.fastq.gz"
    path.write_bytes(content if kind == "cut gzip" else gzip.compress(content))
    return path


MESSAGES = {
    "cut gzip": "damaged_R2.*damaged after record",
    "cut record": "truncated FASTQ",
    "fewer reads": r"damaged_R2.*ends after \d+ reads",
    "more reads": r"s_R1.*ends after \d+ reads",
    "other order": "mates differ in record 1",
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_damaged_reads_fail_clearly(sample, new_work, tmp_path: Path, engine, kind: str) -> None:
    r2 = replace(sample.r2, path=damaged(kind, sample.r2.path, tmp_path))
    with pytest.raises(ToolFailed, match=MESSAGES[kind]) as failed:
        bwa_mem.body(new_work(), sample.reference, sample.r1, r2, engine=engine)
    assert failed.value.code == 1
    assert "Traceback" not in str(failed.value)


def test_mates_come_from_two_files(sample, new_work, store: Store) -> None:
    r1 = store.add(sample.r1.path, R1(sample_id="s"))
    twice = replace(sample.r2, path=sample.r1.path, cid=r1.cid, sample_id="s")
    with pytest.raises(DataError, match="one file"):
        bwa_mem.body(new_work(), sample.reference, replace(r1, path=sample.r1.path), twice)


def test_a_failed_alignment_leaves_no_asset(sample, tmp_path: Path, store: Store) -> None:
    reference = store.add(sample.reference.path, replace(sample.reference, path=None, companions=()))
    r1 = store.add(sample.r1.path, R1(sample_id="s"))
    r2 = store.add(damaged("other order", sample.r2.path, tmp_path), R2(sample_id="s"))
    with pytest.raises(ToolFailed, match="mates differ"):
        align_sample(index_reference(reference), [Lane(r1, r2)]).compute()
    assert store.find(asset="alignment") == []
    assert len(store.find(asset="aligner_index")) == 1


def kill_when_seen(words: tuple[str, ...], done: threading.Event) -> None:
    """Kill the first tool below this process whose command line has these words, once it reads or writes."""
    while not done.is_set():
        for process in psutil.Process().children(recursive=True):
            try:
                if set(words) <= set(process.cmdline()):
                    process.kill()
                    return
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        time.sleep(0.005)


def test_an_aligner_that_is_killed_is_named(sample, new_work, engine) -> None:
    done = threading.Event()
    killer = threading.Thread(target=kill_when_seen, args=(("bwa", "mem"), done))
    killer.start()
    try:
        with pytest.raises(ToolFailed, match="SIGKILL") as failed:
            bwa_mem.body(new_work(), sample.reference, sample.r1, sample.r2, engine=engine)
    finally:
        done.set()
        killer.join()
    assert failed.value.code == -9
    assert "bwa mem" in failed.value.command
