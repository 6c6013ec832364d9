from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stargazer.cid import (
    KUBO,
    PROFILES,
    UNIXFS_2025,
    CIDProfile,
    Hasher,
    cid_of_bytes,
    cid_of_file,
    cid_of_path,
    cid_of_stream,
    file_links,
    file_node,
    parse,
)
from stargazer.errors import CIDError

# Small enough that a few hundred bytes make a tree of several levels.
TINY = CIDProfile("tiny", 8, 3, "links", 100)
Shake = Callable[[int], bytes]

# Length of the file: its CID with KUBO, with UNIXFS_2025.
GOLDEN = {
    0: ("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",) * 2,
    1: ("bafkreigfkxvlixiiqrnot4iniuvjtp6la33uuufzrd7h4sg5gi3ytoeo4m",) * 2,
    262144: ("bafkreiejqormyf54ppkoqrhanxyfev4bdts3mzivl72dltwye7gfgw3gqu",) * 2,
    262145: (
        "bafybeic3lmknmylrerur226w5jtctnnfj43krnxd2eojpkmmzkqkipqdcu",
        "bafkreicdjm6klquq5yimcuplzqpudd4xfibw6by2yxpgvwphrrdydkncnq",
    ),
    1048577: (
        "bafybeieyhgixf5i7tkp6rfw66ttuf56lpg7uinw6aqmg7u23yxvdwnvkei",
        "bafybeie4mzsf3lyocqzkgy3trbarlkrdzbbworc3s7mulhbzrotgr3wl2q",
    ),
}


@pytest.mark.parametrize("size", GOLDEN)
@pytest.mark.parametrize("which", [0, 1], ids=[profile.name for profile in PROFILES])
def test_golden_cids_by_every_way(size: int, which: int, shake: Shake, tmp_path: Path) -> None:
    data, profile = shake(size), PROFILES[which]
    path = tmp_path / "bytes"
    path.write_bytes(data)
    found = {
        cid_of_bytes(data, profile),
        cid_of_stream(io.BytesIO(data), profile),
        cid_of_stream([data[:7], data[7:]], profile),
        cid_of_path(path, profile),
        *(cid_of_file(path, profile, threads) for threads in (1, 2, 3)),
    }
    assert found == {GOLDEN[size][which]}


@pytest.mark.parametrize("profile", PROFILES, ids=[profile.name for profile in PROFILES])
def test_threads_do_not_change_the_cid_of_a_tree_of_three_levels(
    profile: CIDProfile, shake: Shake, tmp_path: Path
) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(shake(1_000_001))
    profile = CIDProfile("fine", profile.chunk // 64, 8, "links", 100)
    seen = [file_node(path, profile, threads=threads) for threads in (1, 2, 5)]
    assert len(set(seen)) == 1
    assert seen[0].cid == cid_of_bytes(shake(1_000_001), profile)
    assert seen[0].size == 1_000_001


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=12))
def test_any_split_of_the_same_bytes_gives_the_same_cid(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(data)]
    hasher = Hasher(TINY)
    for start, end in pairwise(edges):
        hasher.update(memoryview(data)[start:end])
    node = hasher.finish()
    assert node.cid == cid_of_bytes(data, TINY)
    assert node.size == len(data)


@given(st.binary(min_size=1, max_size=400), st.data())
def test_one_flipped_bit_gives_another_cid(data: bytes, draw: st.DataObject) -> None:
    bit = draw.draw(st.integers(0, len(data) * 8 - 1))
    other = bytearray(data)
    other[bit // 8] ^= 1 << bit % 8
    assert cid_of_bytes(bytes(other), TINY) != cid_of_bytes(data, TINY)


@given(st.binary(max_size=400), st.binary(min_size=1, max_size=20))
def test_more_bytes_give_another_cid(data: bytes, more: bytes) -> None:
    assert cid_of_bytes(data + more, TINY) != cid_of_bytes(data, TINY)


@given(st.binary(max_size=600))
def test_walking_the_kept_nodes_gives_the_file_back(data: bytes) -> None:
    nodes: dict[str, bytes] = {}
    hasher = Hasher(TINY, keep=nodes.__setitem__)
    hasher.update(data)
    root = hasher.finish()
    leaves = {cid_of_bytes(data[at : at + 8], TINY): data[at : at + 8] for at in range(0, len(data) or 1, 8)}

    def read(cid: str) -> tuple[bytes, int]:
        if parse(cid).codec == "raw":
            return leaves[cid], len(leaves[cid])
        content, blocks = b"", len(nodes[cid])
        for child, size in file_links(nodes[cid]):
            part, below = read(child)
            assert len(part) == size
            content, blocks = content + part, blocks + below
        return content, blocks

    assert read(root.cid) == (data, root.dag_size)


def test_progress_counts_every_byte_once(shake: Shake, tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(shake(1_048_577) * 4)
    for threads in (1, 2):
        seen: list[int] = []
        cid_of_file(path, KUBO, threads, seen.append)
        assert sum(seen) == 4 * 1_048_577
    seen = []
    with path.open("rb") as file:
        cid_of_stream(file, UNIXFS_2025, seen.append)
    assert sum(seen) == 4 * 1_048_577


def test_a_hasher_that_has_finished_takes_no_more() -> None:
    hasher = Hasher()
    assert hasher.finish() == hasher.finish()
    with pytest.raises(ValueError, match="finished"):
        hasher.update(b"x")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("change", [b"longer", None], ids=["grown", "cut"])
def test_a_file_that_changes_while_it_is_read_has_no_cid(change: bytes | None, threads: int, tmp_path: Path) -> None:
    path = tmp_path / "growing"
    path.write_bytes(bytes(8 * 1024 * 1024))

    def interfere(_: int) -> None:
        with path.open("r+b") as file:
            file.seek(0, os.SEEK_END)
            file.write(change) if change else file.truncate(100)

    with pytest.raises(CIDError, match=r"growing.* changed while it was read"):
        cid_of_file(path, KUBO, threads, interfere)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_a_thread_reaches_the_caller(threads: int, tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(bytes(8 * 1024 * 1024))

    def fail(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cid_of_file(path, KUBO, threads, fail)


def test_special_files_are_refused_without_waiting_for_them(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name, what in [("pipe", "a named pipe"), ("socket", "a socket"), ("/dev/null", "a character device")]:
            for name_it in (cid_of_file, cid_of_path):
                with pytest.raises(CIDError, match=what):
                    name_it(tmp_path / name)
    with pytest.raises(CIDError, match="a directory, not a file"):
        cid_of_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        cid_of_path(tmp_path / "absent")


@pytest.mark.parametrize("threads", [1, 2])
def test_memory_does_not_grow_with_the_file(threads: int, tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(300 * 1024 * 1024)
    script = (
        "import resource, sys, threading\n"
        "from stargazer.cid import KUBO, cid_of_file\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "cid_of_file(sys.argv[1], KUBO, int(sys.argv[2]))\n"
        "print((peak() - before) // 1024)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "sparse"), str(threads)]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < 12, f"{grown} MiB more for a file of 300 MiB"


def test_importing_stays_light() -> None:
    """Of what costs, `re` alone: errors show what people gave, and that is searched for what terminals obey."""
    heavy = {
        "typing",
        "dataclasses",
        "threading",
        "concurrent.futures",
        "numpy",
        "fsspec",
        "multiformats",
        "pathlib",
    }
    script = "import stargazer, sys; before = set(sys.modules); import stargazer.cid; print(*set(sys.modules) - before)"
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert not heavy & set(loaded)
