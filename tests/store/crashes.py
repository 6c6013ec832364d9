"""Run by test_store_crashes.py: kills itself with SIGKILL before every single change to the file system.

    python crashes.py DIRECTORY

For each of the verbs below a fork starts it in a store of its own, and dies before the first change; then another,
which dies before the second; until one comes to its end. After every death the store must be whole and the same verb
must work. A change cut in the middle (half the bytes of a write) is tried too. Prints how often it died.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.config

from stargazer.assets import R1, Alignment, AlignmentIndex, Asset
from stargazer.store import Store

CHANGES = ("open", "write", "rename", "replace", "link", "unlink", "symlink", "mkdir", "chmod", "utime", "ftruncate")
NOTHING_NEW = 77
LARGE = bytes(range(256)) * 3000


def die_before(change: int) -> None:
    """From now on die before that change; odd numbers stop in the middle of it, where it is a write."""
    left = [change // 2]

    def guard(real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def guarded(*arguments: Any, **options: Any) -> Any:
            if name == "open" and not arguments[1] & (os.O_CREAT | os.O_WRONLY):
                return real(*arguments, **options)
            if left[0] == 0:
                if change % 2 and name != "write":
                    os._exit(NOTHING_NEW)
                if change % 2:
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return real(*arguments, **options)

        return guarded

    for name in CHANGES:
        setattr(os, name, guard(getattr(os, name), name))


def add_file(store: Store, files: Path) -> None:
    store.add(files / "a.bam", Alignment(sample_id="s1"), companions=[AlignmentIndex(path=files / "a.bam.bai")])


def add_directory(store: Store, files: Path) -> None:
    store.add(files / "d", name="d")


def save_output(store: Store, files: Path) -> None:
    work = store.context.scratch / f"work-{os.getpid()}"
    work.mkdir(parents=True)
    shutil.copy(files / "a.bam", work / "out.bam")
    store.save(Asset(path=work / "out.bam"))


def write_record(store: Store, files: Path) -> None:
    identifier = store.records.put(b'{"task": "t", "status": "ok", "started": "2026"}')
    store.records.set_keys({"plan": identifier.encode(), "content": identifier.encode()})


def update(store: Store, files: Path) -> None:
    store.update(store.add(files / "a.bam", R1(sample_id="s1")), sample_id="s2")


def delete(store: Store, files: Path) -> None:
    store.delete(store.update(store.add(files / "a.bam", R1(sample_id="s1")), sample_id="s2"))


def collect(store: Store, files: Path) -> None:
    store.blobs.put_bytes(b"garbage")
    store.pin("p", store.add(files / "d"))
    store.gc(grace=-60)


def fetch(store: Store, files: Path) -> None:
    stored = store.add(files / "a.bam")
    assert stored.fetch().read_bytes() == LARGE


def outcome(verb: Callable[[Store, Path], None], root: Path, files: Path, change: int) -> int:
    """0: it came to its end; NOTHING_NEW: that change has no middle; -9: it died."""
    child = os.fork()
    if child == 0:
        die_before(change)
        verb(Store(root), files)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def check(verb: Callable[[Store, Path], None], root: Path, files: Path, change: int) -> None:
    """The store is whole, what is visible can be read, and the verb works; then only tmp has what was left."""
    store = Store(root)
    report = store.fsck()
    assert report.ok, (verb, change, report)
    assert not report.strays, (verb, change, report)
    for asset in store.find():
        assert store.exists(asset), (verb, change, asset)
        store.fetch(asset)
    verb(store, files)
    store.gc(grace=-60)
    assert not os.listdir(store.context.scratch), (verb, change)
    assert store.fsck().ok, (verb, change)


def main(directory: Path) -> None:
    files = directory / "files"
    (files / "d" / "x").mkdir(parents=True)
    (files / "a.bam").write_bytes(LARGE)
    (files / "a.bam.bai").write_text("index")
    (files / "d" / "x" / "one").write_text("one")
    (files / "d" / "two").write_text("two")
    dask.config.set({"stargazer.cache": str(directory / "cache")})
    deaths = 0
    for verb in (add_file, add_directory, save_output, write_record, update, delete, collect, fetch):
        for change in range(1000):
            root = directory / "store"
            code = outcome(verb, root, files, change)
            if code == 0:
                break
            if code != NOTHING_NEW:
                assert code == -signal.SIGKILL, (verb, change, code)
                deaths += 1
                check(verb, root, files, change)
            shutil.rmtree(root, ignore_errors=True)
            shutil.rmtree(directory / "cache", ignore_errors=True)
        else:
            raise AssertionError(f"{verb.__name__} never came to its end")
        shutil.rmtree(root)
    print(deaths)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
