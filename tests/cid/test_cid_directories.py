from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stargazer.cid import (
    KUBO,
    UNIXFS_2025,
    CIDProfile,
    DirNode,
    Entry,
    Hasher,
    cid_of_bytes,
    directory_node,
    file_links,
    format_cid,
    is_directory,
    read_directory,
)
from stargazer.cid.directory import murmur3
from stargazer.errors import CIDError, CIDMismatch

# Shards every directory, so that a few names make several levels.
SHARDED = CIDProfile("sharded", 262144, 174, "links", 0)
X = cid_of_bytes(b"x")

names = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)
entries = st.lists(
    st.builds(Entry, names, st.binary(max_size=4).map(cid_of_bytes), st.integers(0, 2**63 - 1)),
    max_size=30,
    unique_by=lambda entry: entry.name,
)


def read(node: DirNode) -> list[Entry]:
    return read_directory(node.blocks[node.cid], node.blocks.__getitem__)


def test_golden_cids() -> None:
    assert directory_node([]).cid == "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    hello = Entry("hello.txt", cid_of_bytes(b"hello world"), 11)
    assert directory_node([hello]).cid == "bafybeic6svhkwl3y2wvkj33weshyjjs5cbvgijh7yo3kjasyglrdwe2l74"


@pytest.mark.parametrize("profile", [KUBO, UNIXFS_2025], ids=["kubo", "unixfs-2025"])
def test_20000_names_are_sharded_as_kubo_does_and_read_back(profile: CIDProfile) -> None:
    listed = [Entry(f"c.{i}", cid_of_bytes(str(i % 7).encode()), 1) for i in range(20000)]
    node = directory_node(listed, profile)
    assert node.cid == "bafybeifd7ttwqqu5xy6mk767hgfps4r3ebullhaeqpi3666lqa2xaot7wi"
    assert len(node.blocks) > 256
    assert read(node) == sorted(listed, key=lambda entry: entry.name)
    assert node.tsize == 20000 + sum(map(len, node.blocks.values()))


# Of the public-domain reference implementation (x64, 128 bits, seed 0; the first half).
@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", "0000000000000000"),
        (b"hello", "cbd8a7b341bd9b02"),
        (b"hello, world", "342fac623a5ebc8e"),
        (b"The quick brown fox jumps over the lazy dog.", "cd99481f9ee902c9"),
    ],
)
def test_murmur3(data: bytes, digest: str) -> None:
    assert murmur3(data).hex() == digest


@given(entries, st.randoms(), st.sampled_from([KUBO, SHARDED]))
@example([Entry("é", X, 1), Entry("e", X, 2), Entry("z", X, 3), Entry("\U0001f9ec", X, 4)], random.Random(0), KUBO)
def test_order_is_irrelevant_and_what_went_in_comes_out(
    listed: list[Entry], rng: random.Random, profile: CIDProfile
) -> None:
    shuffled = listed.copy()
    rng.shuffle(shuffled)
    node = directory_node(iter(shuffled), profile)
    assert node == directory_node(listed, profile)
    assert read(node) == sorted(listed, key=lambda entry: entry.name.encode())
    assert is_directory(node.blocks[node.cid])
    assert node.tsize == sum(map(len, node.blocks.values())) + sum(entry.size for entry in listed)


@given(entries.filter(bool), st.data())
def test_any_change_of_an_entry_gives_another_cid(listed: list[Entry], draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(listed) - 1))
    old = listed[at]
    new = draw.draw(
        st.sampled_from(
            [
                [],
                [Entry(old.name + "longer than any", old.cid, old.size)],
                [Entry(old.name, cid_of_bytes(b"none of those"), old.size)],
                [Entry(old.name, old.cid, old.size + 1)],
            ]
        )
    )
    assert directory_node(listed[:at] + new + listed[at + 1 :]).cid != directory_node(listed).cid


def test_kubo_shards_when_names_and_cids_exceed_256_kib() -> None:
    # 4,096 entries of 28 characters and a CID of 36 bytes: 262,144 exactly.
    listed = [Entry(f"{i:028}", X, 1) for i in range(4096)]
    assert len(directory_node(listed).blocks) == 1
    assert len(directory_node([*listed[:-1], Entry("0" * 25 + "4095", X, 1)]).blocks) > 1


def test_unixfs_2025_shards_when_the_serialised_node_exceeds_256_kib() -> None:
    listed = [Entry(f"{i:036}", X, 1) for i in range(3276)]
    room = 262144 - len(directory_node(listed, UNIXFS_2025).blocks.popitem()[1])
    # A link of a short name takes 44 bytes beside the name.
    fitting, over = (Entry("9" * (room - 44 + more), X, 1) for more in (0, 1))
    full = directory_node([*listed, fitting], UNIXFS_2025)
    assert [len(block) for block in full.blocks.values()] == [262144]
    assert len(directory_node([*listed, over], UNIXFS_2025).blocks) > 1


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "\udcff"])
def test_what_is_no_path_component_is_no_name(name: str) -> None:
    with pytest.raises(CIDError, match="name"):
        directory_node([Entry(name, X, 1)])


def test_a_name_appears_once() -> None:
    with pytest.raises(CIDError, match="'a' appears twice"):
        directory_node([Entry("a", X, 1), Entry("a", cid_of_bytes(b"y"), 1)])


def link(name: bytes) -> bytes:
    cid = b"\x01\x55\x12\x20" + bytes(32)
    body = b"\x0a\x24" + cid + b"\x12" + bytes([len(name)]) + name + b"\x18\x01"
    return b"\x12" + bytes([len(body)]) + body


@pytest.mark.parametrize("name", [b"", b"..", b"a/b", b"/etc/passwd", b"\xff"])
def test_a_node_with_an_unsafe_name_is_not_read(name: bytes) -> None:
    with pytest.raises(CIDError, match="name"):
        read_directory(link(name) + b"\x0a\x02\x08\x01")


def test_a_node_in_which_a_name_appears_twice_is_not_read() -> None:
    with pytest.raises(CIDError, match="twice"):
        read_directory(link(b"a") + link(b"a") + b"\x0a\x02\x08\x01")


@given(st.binary(max_size=60))
def test_bytes_that_are_no_node_are_refused_and_nothing_else_happens(data: bytes) -> None:
    for read_it in (is_directory, read_directory, file_links):
        with contextlib.suppress(CIDError):
            read_it(data)


@given(st.data())
def test_a_torn_node_is_refused(draw: st.DataObject) -> None:
    node = directory_node([Entry(name, X, 1) for name in "abc"])
    block = node.blocks[node.cid]
    with pytest.raises(CIDError):
        read_directory(block[: draw.draw(st.integers(0, len(block) - 1))])


def test_a_sharded_directory_needs_its_shards_and_checks_them() -> None:
    node = directory_node([Entry(f"c.{i}", X, 1) for i in range(2000)], SHARDED)
    root = node.blocks[node.cid]
    with pytest.raises(CIDError, match="load"):
        read_directory(root)
    with pytest.raises(CIDMismatch, match="corrupt"):
        read_directory(root, lambda cid: root)
    with pytest.raises(KeyError):
        read_directory(root, dict[str, bytes]().__getitem__)


def test_shards_that_kubo_would_not_make_are_refused() -> None:
    node = directory_node([Entry(name, X, 1) for name in "abc"], SHARDED)
    root = node.blocks[node.cid]
    with pytest.raises(CIDError, match="malformed"):
        read_directory(root.replace(b"\x28\x22\x30\x80\x02", b"\x28\x22\x30\x80\x01"))
    field = root.rindex(b"\x28\x22\x30") - 1
    with pytest.raises(CIDError, match="bit field"):
        read_directory(root[:field] + bytes([root[field] ^ 1]) + root[field + 1 :])


def test_a_file_is_no_directory() -> None:
    nodes: dict[str, bytes] = {}
    hasher = Hasher(CIDProfile("tiny", 8, 3, "links", 100), nodes.__setitem__)
    hasher.update(b"123456789")
    root = nodes[hasher.finish().cid]
    assert not is_directory(root)
    assert file_links(root) == [(cid_of_bytes(b"12345678"), 8), (cid_of_bytes(b"9"), 1)]
    with pytest.raises(CIDError, match="a file, not a directory"):
        read_directory(root)
    with pytest.raises(CIDError, match="not a file"):
        file_links(next(iter(directory_node([]).blocks.values())))


def test_an_entry_needs_a_cid() -> None:
    with pytest.raises(CIDError, match="dag-cbor"):
        directory_node([Entry("a", "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua", 1)])
    assert directory_node([Entry("a", format_cid("dag-pb", bytes(32)), 1)]).tsize > 1
