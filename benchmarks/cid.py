"""How fast is a file named, beside plain SHA-256 over the same file, read the same way by as many threads?

Aim: at least 0.9 of hashlib's bytes a second, with one thread and with two (Kubo's ``ipfs add --only-hash``: 0.7).
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from stargazer.cid import PROFILES, cid_of_file

AIM = 0.9
SIZE = 256 * 1024 * 1024
BUFFER = 1024 * 1024
ROUNDS = 9


def measure() -> list[dict[str, object]]:
    """Time both, in turns, over one file in the page cache.

    Returns
    -------
    list of dict
        One a profile and number of threads: ``ours`` and ``hashlib`` in bytes a second, ``ratio`` of the two, ``aim``.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "bytes")
        _write(path)
        return [_compare(path, profile.name, threads) for profile in PROFILES for threads in (1, 2)]


def _write(path: Path) -> None:
    block = os.urandom(BUFFER)
    with path.open("wb") as file:
        for _ in range(SIZE // BUFFER):
            file.write(block)


def _compare(path: Path, name: str, threads: int) -> dict[str, object]:
    profile = next(known for known in PROFILES if known.name == name)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(_rate(lambda: _sha256(path, threads)))
        ours.append(_rate(lambda: cid_of_file(path, profile, threads)))
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    return {
        "benchmark": "cid",
        "case": f"{name}, {threads} thread{'s' if threads > 1 else ''}",
        "threads": threads,
        "ours": statistics.median(ours),
        "hashlib": statistics.median(theirs),
        "unit": "bytes/s",
        "ratio": ratio,
        "aim": AIM,
        "better": "higher",
    }


def _rate(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return SIZE / (time.perf_counter() - start)


def _sha256(path: Path, threads: int) -> None:
    """Hash the file with hashlib alone, an equal part a thread."""
    part = SIZE // threads
    others = [threading.Thread(target=_sha256_part, args=(path, i * part, part)) for i in range(1, threads)]
    for thread in others:
        thread.start()
    _sha256_part(path, 0, part)
    for thread in others:
        thread.join()


def _sha256_part(path: Path, start: int, size: int) -> None:
    digest, view = hashlib.sha256(), memoryview(bytearray(BUFFER))
    with path.open("rb", buffering=0) as file:
        for at in range(start, start + size, BUFFER):
            digest.update(view[: os.preadv(file.fileno(), [view], at)])


def main() -> None:
    """Print the measurements as JSON."""
    print(json.dumps(measure(), indent=2))


if __name__ == "__main__":
    main()
