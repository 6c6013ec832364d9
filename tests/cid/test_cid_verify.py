from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer.cid import (
    KUBO,
    UNIXFS_2025,
    CIDProfile,
    check,
    cid_of_bytes,
    cid_of_path,
    cid_of_tree,
    directory_node,
    file_node,
    format_cid,
    parse,
    verify,
)
from stargazer.errors import CIDError, CIDMismatch

MakeTree = Callable[[dict[str, bytes | None]], Path]
CHUNK = KUBO.chunk


@pytest.fixture
def file(tmp_path: Path, shake: Callable[[int], bytes]) -> Path:
    path = tmp_path / "reads.fq"
    path.write_bytes(shake(3 * CHUNK + 5))
    return path


def nodes_of(path: Path, profile: CIDProfile = KUBO) -> tuple[str, dict[str, bytes]]:
    """The CID of a file or directory, and every dag-pb node below it."""
    nodes: dict[str, bytes] = {}
    if path.is_file():
        return file_node(path, profile, keep=nodes.__setitem__).cid, nodes
    for part in path.rglob("*"):
        if part.is_file():
            file_node(part, profile, keep=nodes.__setitem__)
    tree = cid_of_tree(path, profile)
    return tree.cid, nodes | tree.blocks


def change(path: Path, at: int, new: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(new)


@pytest.mark.parametrize("profile", [KUBO, UNIXFS_2025], ids=["kubo", "unixfs-2025"])
def test_what_agrees_passes_whichever_profile_made_the_cid(profile: CIDProfile, file: Path) -> None:
    cid = cid_of_path(file, profile)
    for threads in (1, 2):
        verify(file, cid, threads=threads)
        verify(file.parent, cid_of_path(file.parent, profile), threads=threads)
    assert check(file, cid).ok
    assert check(file, cid).expected == cid


def test_with_a_profile_named_only_that_is_tried(file: Path) -> None:
    file.write_bytes(file.read_bytes() * 2)
    cid = cid_of_path(file, UNIXFS_2025)
    with pytest.raises(CIDMismatch):
        verify(file, cid, profile=KUBO)
    verify(file, cid, profile=UNIXFS_2025)


def test_version_0_of_a_directory_agrees(file: Path) -> None:
    empty = file.parent / "empty"
    empty.mkdir()
    verify(empty, "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn")


def test_a_cid_alone_says_that_the_whole_differs(file: Path) -> None:
    cid = cid_of_path(file)
    change(file, 0, b"N")
    with pytest.raises(CIDMismatch, match="a CID alone does not tell where") as error:
        verify(file, cid)
    assert error.value.parts == ("the whole file",)
    assert str(file) in str(error.value)
    assert cid in str(error.value)
    assert cid_of_path(file) in str(error.value)


@pytest.mark.parametrize("profile", [KUBO, CIDProfile("fine", CHUNK // 4, 3, "links", 1)], ids=["kubo", "fine"])
def test_with_the_nodes_the_differing_bytes_are_named(profile: CIDProfile, file: Path) -> None:
    cid, nodes = nodes_of(file, profile)
    change(file, profile.chunk + 7, b"\0\0")
    change(file, profile.chunk * 3, b"\0\0")
    found = check(file, cid, load=nodes.__getitem__)
    end = min(profile.chunk * 4, file.stat().st_size)
    assert found.parts == (
        f"bytes {profile.chunk}-{2 * profile.chunk - 1}",
        f"bytes {3 * profile.chunk}-{end - 1}",
    )
    assert found.found == cid_of_path(file)


def test_with_the_nodes_a_cut_and_a_longer_file_are_told_apart(file: Path) -> None:
    cid, nodes = nodes_of(file)
    whole = file.read_bytes()
    file.write_bytes(whole + b"more")
    assert check(file, cid, load=nodes.__getitem__).parts == (
        f"bytes {3 * CHUNK + 5}-{3 * CHUNK + 8} beyond the expected end",
    )
    file.write_bytes(whole[: 2 * CHUNK])
    assert check(file, cid, load=nodes.__getitem__).parts == (
        f"bytes {2 * CHUNK}-{3 * CHUNK + 4}",
        f"the file ends after {2 * CHUNK} bytes, not {3 * CHUNK + 5}",
    )
    file.write_bytes(b"")
    assert len(check(file, cid, load=nodes.__getitem__).parts) == 2


def test_the_nodes_decide_for_chunks_of_any_size(file: Path) -> None:
    cid, nodes = nodes_of(file, CIDProfile("odd", 1000, 5, "links", 1))
    with pytest.raises(CIDMismatch):
        verify(file, cid)
    verify(file, cid, load=nodes.__getitem__)


def test_nodes_known_in_part_say_no_more_than_none(file: Path) -> None:
    cid, nodes = nodes_of(file, CIDProfile("odd", 1000, 5, "links", 1))
    known = {cid: nodes[cid]}
    assert check(file, cid, load=known.__getitem__).parts == ("the whole file",)

    def absent(cid: str) -> bytes:
        raise FileNotFoundError(cid)

    assert check(file, cid, load=absent).parts == ("the whole file",)


def test_a_corrupt_node_is_an_error_of_its_own(file: Path) -> None:
    cid, nodes = nodes_of(file)
    change(file, 0, b"N")
    with pytest.raises(CIDMismatch, match=r"the node .* is corrupt"):
        check(file, cid, load=lambda cid: nodes[cid][:-1])


def test_what_a_cid_of_one_chunk_tells_by_itself(file: Path) -> None:
    one_chunk = cid_of_bytes(b"reference")
    size = file.stat().st_size
    found = check(file, one_chunk, profile=KUBO)
    assert found.parts == ("the whole file",)
    assert f"one chunk of at most {CHUNK} bytes, and this file has {size}" in found.reason
    file.write_bytes(b"Reference")
    assert "one chunk" in check(file, one_chunk).reason
    assert check(file, one_chunk).found == cid_of_bytes(b"Reference")


def test_what_a_cid_of_many_chunks_tells_by_itself_of_a_small_file(file: Path) -> None:
    cid = cid_of_path(file)
    file.write_bytes(b"small")
    assert f"more than {CHUNK} bytes, and this file has 5" in check(file, cid).reason


def test_files_and_directories_are_told_apart(file: Path) -> None:
    directory = directory_node([])
    assert check(file.parent, cid_of_bytes(b"x")).parts == ("a directory, not a file",)
    assert check(file, directory.cid, load=directory.blocks.__getitem__).parts == ("a file, not a directory",)
    cid, nodes = nodes_of(file)
    assert check(file.parent, cid, load=nodes.__getitem__).parts == ("a directory, not a file",)


@pytest.fixture
def pair(make_tree: MakeTree, shake: Callable[[int], bytes]) -> tuple[Path, Path]:
    """A directory, and a copy of it in which much has changed."""
    long = shake(2 * CHUNK)
    good = make_tree({"same": b"s", "changed": b"c", "gone": b"g", "b/long": long, "b/same/x": b"x", "d/file": b"f"})
    bad = good.with_name("bad")
    shutil.copytree(good, bad)
    (bad / "changed").write_bytes(b"C")
    (bad / "gone").unlink()
    (bad / ".new").write_bytes(b"n")
    change(bad / "b" / "long", CHUNK, b"\0\0\0")
    (bad / "d" / "file").unlink()
    (bad / "d" / "file").mkdir()
    return good, bad


def test_with_the_nodes_the_differing_names_are_named(pair: tuple[Path, Path]) -> None:
    cid, nodes = nodes_of(pair[0])
    with pytest.raises(CIDMismatch) as error:
        verify(pair[1], cid, load=nodes.__getitem__, threads=2)
    assert sorted(error.value.parts) == [
        ".new: not in the expected tree",
        f"b/long: bytes {CHUNK}-{2 * CHUNK - 1}",
        "changed: the whole file",
        "d/file: a directory, not a file",
        "gone: missing",
    ]
    assert "gone: missing" in str(error.value)


def test_with_directory_nodes_alone_files_are_named_whole(pair: tuple[Path, Path]) -> None:
    tree = cid_of_tree(pair[0])
    assert "b/long: the whole file" in check(pair[1], tree.cid, load=tree.blocks.__getitem__).parts


def test_with_the_root_alone_directories_are_named_whole(pair: tuple[Path, Path]) -> None:
    tree = cid_of_tree(pair[0])
    root = {tree.cid: tree.blocks[tree.cid]}
    assert set(check(pair[1], tree.cid, load=root.__getitem__).parts) == {
        ".new: not in the expected tree",
        "b: somewhere in this directory",
        "changed: the whole file",
        "d: somewhere in this directory",
        "gone: missing",
    }


def test_with_no_nodes_the_root_is_named(pair: tuple[Path, Path]) -> None:
    found = check(pair[1], cid_of_path(pair[0]))
    assert found.parts == ("the root directory",)
    assert "a CID alone does not tell where" in found.reason


def test_a_tree_of_another_profile_differs_only_where_its_bytes_do(pair: tuple[Path, Path]) -> None:
    tree = cid_of_tree(pair[0], UNIXFS_2025)
    verify(pair[0], tree.cid, load=tree.blocks.__getitem__)
    parts = check(pair[1], tree.cid, load=tree.blocks.__getitem__).parts
    assert "b/long: the whole file" in parts
    assert len(parts) == 5


def test_a_sharded_directory_is_compared_name_by_name(make_tree: MakeTree) -> None:
    sharding = CIDProfile("sharding", CHUNK, 174, "links", 100)
    root = make_tree({f"c.{i}": b"x" for i in range(300)})
    tree = cid_of_tree(root, sharding)
    (root / "c.17").write_bytes(b"y")
    (root / "c.42").unlink()
    found = check(root, tree.cid, profile=sharding, load=tree.blocks.__getitem__)
    assert found.parts == ("c.17: the whole file", "c.42: missing")


def test_old_leaves_with_their_bytes_inside_are_compared_too(tmp_path: Path) -> None:
    # `ipfs add` with CIDs of version 0: b"hello world\n" in one dag-pb leaf.
    leaf = bytes.fromhex("0a120802120c68656c6c6f20776f726c640a180c")
    old = "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"
    path = tmp_path / "hello.txt"
    path.write_bytes(b"hello world\n")
    with pytest.raises(CIDMismatch, match="version 0"):
        verify(path, old)
    verify(path, old, load={parse(old).text: leaf}.__getitem__)
    path.write_bytes(b"hello World\n")
    assert check(path, old, load={parse(old).text: leaf}.__getitem__).parts == ("bytes 0-11",)


def test_what_cannot_be_read_or_named_is_no_mismatch(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "absent", format_cid("raw", bytes(32)))
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(CIDError, match="begins with"):
        verify(tmp_path / "x", "x")
    (tmp_path / "link").symlink_to("x")
    with pytest.raises(CIDError, match="symlink"):
        verify(tmp_path / "link", cid_of_bytes(b"x"))
    verify(tmp_path / "link", cid_of_bytes(b"x"), symlinks="follow")
