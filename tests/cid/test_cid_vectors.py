"""CIDs from Pinata, from Kubo and from another implementation, on data that lies outside the project."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stargazer.cid import PROFILES, CIDProfile, cid_of_bytes, cid_of_file, cid_of_path, profile

PINATA = {
    "GRCh38_TP53.fa": "bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy",
    "NA12829_TP53_R1.fq.gz": "bafybeia3lsmhibzqk3uo5phryz4wurlj26pn74klczwbmnxq3pf5q3iyy4",
    "NA12829_TP53_R2.fq.gz": "bafybeihd3nqlci7mlotdbbxrstxchesmafsytcsltaa2jdfgppeawh3cui",
}
DIRECTORIES: dict[str, Callable[[Callable[[int], bytes]], dict[str, bytes | None]]] = {
    "empty": lambda shake: {},
    "one_file": lambda shake: {"hello.txt": b"hello world"},
    "nested": lambda shake: {"a.txt": b"", "b/c.bin": shake(262145), "b/d/e.txt": b"hello world\n", "b/f": None},
    "flat_1000": lambda shake: {f"{i:05}": str(i).encode() for i in range(1000)},
    "flat_20000_hamt": lambda shake: {f"c.{i}": str(i % 7).encode() for i in range(20000)},
}


@pytest.fixture(scope="module")
def vectors(test_data: Path) -> Any:
    return json.loads((test_data / "cid_vectors.json").read_text())


@pytest.mark.parametrize("name", PINATA)
@pytest.mark.parametrize("threads", [1, 2])
def test_pinata_gave_these_files_the_same_cids(name: str, threads: int, test_data: Path) -> None:
    assert cid_of_path(test_data / "tp53" / name, threads=threads) == PINATA[name]


def test_profiles_are_those_of_the_vectors(vectors: Any) -> None:
    assert set(vectors["profiles"]) == {known.name for known in PROFILES}
    for name, wanted in vectors["profiles"].items():
        known = profile(name)
        assert (known.chunk, known.max_links, known.hamt_threshold) == tuple(
            wanted[key] for key in ("chunk", "max_links", "hamt_threshold")
        )


@pytest.mark.parametrize("known", PROFILES, ids=[known.name for known in PROFILES])
def test_files(known: CIDProfile, vectors: Any, shake: Callable[[int], bytes], tmp_path: Path) -> None:
    shake(max(map(int, vectors["files"])))
    for size, cids in vectors["files"].items():
        data, path = shake(int(size)), tmp_path / size
        path.write_bytes(data)
        found = {cid_of_bytes(data, known), cid_of_file(path, known), cid_of_file(path, known, 2)}
        path.unlink()
        assert found == {cids[known.name]}, size


@pytest.mark.parametrize("name", DIRECTORIES)
def test_directories(
    name: str,
    vectors: Any,
    shake: Callable[[int], bytes],
    make_tree: Callable[[dict[str, bytes | None]], Path],
) -> None:
    root = make_tree(DIRECTORIES[name](shake))
    for known in PROFILES:
        wanted = vectors["directories"][name]["cids"][known.name]
        assert {cid_of_path(root, known, threads) for threads in (1, 2)} == {wanted}
