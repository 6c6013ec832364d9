from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stargazer.cid import (
    KUBO,
    UNIXFS_2025,
    CIDProfile,
    Entry,
    cid_of_bytes,
    cid_of_path,
    cid_of_tree,
    directory_node,
    read_directory,
)
from stargazer.errors import CIDError

MakeTree = Callable[[dict[str, bytes | None]], Path]
NESTED: dict[CIDProfile, str] = {
    KUBO: "bafybeidl7ua3dcsrv5ftlefrbcrmwiczzrtrxh2s5ur7y53hqo5z4oxsl4",
    UNIXFS_2025: "bafybeigfjms3lyjgj2kaikj4zpig53m3c63hglbfk7ldouhaayszw6hm7q",
}


@pytest.mark.parametrize("profile", NESTED, ids=[profile.name for profile in NESTED])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_nested_directory_has_kubos_cid(
    threads: int, profile: CIDProfile, make_tree: MakeTree, shake: Callable[[int], bytes]
) -> None:
    root = make_tree({"a.txt": b"", "b/c.bin": shake(262145), "b/d/e.txt": b"hello world\n", "b/f": None})
    seen: list[int] = []
    tree = cid_of_tree(root, profile, threads, progress=seen.append)
    assert tree.cid == NESTED[profile]
    assert tree.size == sum(seen) == 262145 + 12
    assert list(tree.files) == ["a.txt", "b/c.bin", "b/d/e.txt"]
    assert tree.files["b/d/e.txt"].cid == cid_of_bytes(b"hello world\n")
    below = {entry.name: entry for entry in read_directory(tree.blocks[tree.cid])}
    assert {entry.name for entry in read_directory(tree.blocks[below["b"].cid])} == {"c.bin", "d", "f"}


def test_many_files_of_mixed_sizes_are_named_alike_by_any_number_of_threads(make_tree: MakeTree) -> None:
    contents: dict[str, bytes | None] = {f"{i % 7}/{i}": bytes(i * 37) for i in range(1500)}
    root = make_tree(contents | {"large": bytes(17 * 1024 * 1024)})
    one, three = cid_of_tree(root), cid_of_tree(root, threads=3)
    assert one == three
    assert list(one.files) == list(three.files)


def test_hidden_files_count(make_tree: MakeTree) -> None:
    root = make_tree({".zarray": b"{}", ".hidden/.x": b"x"})
    hidden = directory_node([Entry(".x", cid_of_bytes(b"x"), 1)])
    expected = directory_node([Entry(".zarray", cid_of_bytes(b"{}"), 2), Entry(".hidden", hidden.cid, hidden.tsize)])
    assert cid_of_path(root) == expected.cid


def test_symlinks_are_refused_unless_followed(make_tree: MakeTree) -> None:
    plain = make_tree({"a/x": b"x", "b/x": b"x", "y": b"x"})
    linked = make_tree({"a/x": b"x"})
    (linked / "b").symlink_to("a")
    (linked / "y").symlink_to(plain / "y")
    with pytest.raises(CIDError, match=r"(/b|/y)' is a symlink to .*follow"):
        cid_of_path(linked)
    for link in (linked / "b", linked / "y"):
        with pytest.raises(CIDError, match="is a symlink"):
            cid_of_path(link)
        assert cid_of_path(link, symlinks="follow") == cid_of_path(plain / link.name)
    assert cid_of_path(linked, symlinks="follow") == cid_of_path(plain)


@pytest.mark.parametrize("target", [".", "..", "../b", "../../tree1"])
def test_a_loop_of_symlinks_is_an_error(target: str, make_tree: MakeTree) -> None:
    root = make_tree({"a/x": b"x", "b/y": b"y"})
    (root / "a" / "again").symlink_to(target)
    if target == "../b":
        (root / "b" / "back").symlink_to("../a")
    with pytest.raises(CIDError, match="loop"):
        cid_of_path(root, symlinks="follow")


@pytest.mark.parametrize(("target", "why"), [("self", "loop"), ("nowhere", "nothing")])
def test_a_symlink_to_nothing_is_an_error(target: str, why: str, make_tree: MakeTree) -> None:
    root = make_tree({"a": b"x"})
    (root / "self").symlink_to(target)
    with pytest.raises(CIDError, match=f"'self'|{why}"):
        cid_of_path(root, symlinks="follow")


def test_special_files_in_a_directory_are_refused(make_tree: MakeTree) -> None:
    root = make_tree({"a": b"x", "b": None})
    os.mkfifo(root / "b" / "pipe")
    with pytest.raises(CIDError, match=r"b/pipe' is a named pipe"):
        cid_of_path(root)
    (root / "b" / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        with pytest.raises(CIDError, match=r"socket' is a socket"):
            cid_of_path(root, symlinks="follow")


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_names_that_are_not_utf8_are_refused(kind: str, make_tree: MakeTree) -> None:
    root = make_tree({"a": b"x"})
    odd = os.path.join(os.fsencode(root), b"caf\xe9")
    try:
        os.mkdir(odd) if kind == "directory" else os.close(os.open(odd, os.O_CREAT))
    except OSError:
        pytest.skip("this file system has no names that are not UTF-8")
    with pytest.raises(CIDError, match="not UTF-8"):
        cid_of_path(root)


def test_names_in_utf8_keep_their_bytes(make_tree: MakeTree) -> None:
    composed, decomposed = make_tree({"caf\u00e9": b"x"}), make_tree({"cafe\u0301": b"x"})
    assert list(cid_of_tree(composed).files) == ["caf\u00e9"]
    assert cid_of_path(composed) != cid_of_path(decomposed)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A directory with more levels below it than Python has frames; taken away again, for pytest could not."""
    depth = 1200
    for level in range(depth):
        os.mkdir(os.path.join(tmp_path, *["d"] * (level + 1)))
    yield tmp_path, depth
    for level in reversed(range(depth)):
        os.rmdir(os.path.join(tmp_path, *["d"] * (level + 1)))


def test_a_directory_may_be_deeper_than_pythons_stack(deep: tuple[Path, int]) -> None:
    path, depth = deep
    node = directory_node([])
    for _ in range(depth):
        node = directory_node([Entry("d", node.cid, node.tsize)])
    assert cid_of_path(path) == node.cid
