"""Long bodies are read past httpcore, into memory that is used again: no byte of one piece ends up in another."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable
from hashlib import sha256, shake_256
from typing import Any

import pytest
from dags import Asked, Dag, Peer

from stargazer.cid.cid import text_of
from stargazer.errors import RemoteError
from stargazer.remotes import RemoteWarning, fetch_into, read_remote
from stargazer.remotes.http import Web, download
from stargazer.remotes.lent import Lent
from stargazer.remotes.patience import Passing
from stargazer.store import Store

MIB, CHUNK = 1 << 20, 1 << 18
BIG = shake_256(b"lent").digest(9 * MIB + 12_345)
LEAF = "bafkrei"
Start = Callable[..., Peer]


@pytest.fixture(scope="module")
def big() -> tuple[Dag, str]:
    dag = Dag()
    return dag, dag.chunked(BIG, CHUNK)


def gateway(peer: Peer, name: str = "odd") -> Any:
    return read_remote({"gateway": peer.url, "name": name, "timeout": 20})


def leaves_asked(peer: Peer) -> list[str]:
    return [each.cid for each in peer.asked if each.kind == "raw" and each.cid.startswith(LEAF)]


def leaf(at: int) -> str:
    return text_of(b"\x01\x55\x12\x20" + sha256(BIG[at * CHUNK : (at + 1) * CHUNK]).digest())


def source(data: bytes, dice: random.Random) -> Callable[[memoryview], int]:
    """What a socket does: it gives some of what is wanted."""
    left = memoryview(data)

    def read_into(view: memoryview) -> int:
        nonlocal left
        size = min(len(view), len(left), dice.choice((1, 1000, 70_000, MIB)))
        view[:size], left = left[:size], left[size:]
        return size

    return read_into


@pytest.mark.parametrize("kept", [0, 1, 7, 1000])
def test_memory_that_somebody_looks_at_is_not_used_for_other_bytes(kept: int) -> None:
    lent, read = Lent(), source(BIG, random.Random(kept))
    pieces, at = list[tuple[int, memoryview]](), 0
    while piece := lent.read(read, MIB):
        pieces.append((at, piece))
        at += len(piece)
        del piece
        if len(pieces) > kept:
            start, first = pieces.pop(0)
            assert first == BIG[start : start + len(first)]
            del first
    assert at == len(BIG)
    assert all(piece == BIG[start : start + len(piece)] for start, piece in pieces)
    if kept == 0:
        assert len(lent._buffers) == 1


def test_views_are_read_only() -> None:
    with pytest.raises(TypeError):
        Lent().read(source(b"abc", random.Random(1)), 3)[0] = 1


def test_a_file_comes_in_one_stream_of_which_nothing_is_asked_twice(
    store: Store, peer: Start, big: tuple[Dag, str]
) -> None:
    dag, cid = big
    started, came = peer(dag, lambda asked: asked.serve(cars=False)), list[int]()
    fetch_into(store, cid, [gateway(started)], came.append)
    assert store.read(cid) == BIG
    assert sum(came) == len(BIG)
    assert not leaves_asked(started)
    assert started.kinds().count("body") == 1


@pytest.mark.parametrize("wrong", [[0], [5], [6, 7], [4, 5, 6, 7], [36]])
def test_of_leaves_that_came_together_those_that_are_wrong_come_as_blocks(
    wrong: list[int], store: Store, peer: Start, big: tuple[Dag, str]
) -> None:
    dag, cid = big
    spoilt = bytearray(BIG)
    for each in wrong:
        spoilt[each * CHUNK + 3] ^= 1

    def answers(asked: Asked) -> None:
        return asked.answer(bytes(spoilt)) if asked.kind == "body" else asked.serve(cars=False)

    started = peer(dag, answers)
    with pytest.warns(RemoteWarning, match="odd"):
        fetch_into(store, cid, [gateway(started)])
    assert store.read(cid) == BIG
    assert {leaf(each) for each in wrong} <= set(leaves_asked(started))
    assert store.fsck().ok


@pytest.mark.parametrize("cut", [MIB, 2 * MIB + 1, 5 * MIB, len(BIG) - 1])
def test_a_stream_that_ends_early_goes_on_where_it_ended(
    cut: int, store: Store, peer: Start, big: tuple[Dag, str]
) -> None:
    dag, cid = big

    def answers(asked: Asked) -> None:
        if asked.kind == "body" and "Range" not in asked.headers:
            asked.answer(BIG[:cut], announced=len(BIG))
            return asked.reset()
        return asked.serve(cars=False)

    started = peer(dag, answers)
    fetch_into(store, cid, [gateway(started)])
    assert store.read(cid) == BIG
    ranges = [each.headers["Range"] for each in started.asked if each.kind == "body"]
    assert ranges[0] is None
    assert 0 <= int(ranges[1][6:-1]) <= cut
    assert not leaves_asked(started)


def test_what_is_behind_the_announced_end_is_not_read(peer: Start) -> None:
    started = peer(Dag(), lambda asked: asked.answer(BIG, announced=3 * MIB))
    web = Web("odd", started.url, timeout=20)
    assert b"".join(download(web, lambda: "/x")) == BIG[: 3 * MIB]
    started.answers = lambda asked: asked.answer(b"next")
    assert web.get("/y", 10) == b"next"


def test_a_stream_that_stands_still_ends_in_its_time(peer: Start) -> None:
    def answers(asked: Asked) -> None:
        asked.answer(BIG[: 2 * MIB], announced=len(BIG))
        asked.wfile.flush()
        for _ in range(100):  # it drips: each byte would be soon enough for a socket
            time.sleep(0.05)
            asked.wfile.write(b"x")
            asked.wfile.flush()

    web = Web("odd", peer(Dag(), answers).url, timeout=0.5, attempts=1)
    came = list[int]()
    with pytest.raises((Passing, RemoteError), match=r"within 0\.5 s"):
        came.extend(map(len, download(web, lambda: "/x")))
    assert 2 * MIB <= sum(came) < 2 * MIB + 60


def test_a_slow_line_brings_many_small_pieces(store: Store, peer: Start, big: tuple[Dag, str]) -> None:
    dag, cid = big

    def answers(asked: Asked) -> None:
        if asked.kind != "body":
            asked.serve(cars=False)
            return
        asked.answer(b"", announced=len(BIG))
        for at in range(0, len(BIG), 9000):
            asked.wfile.write(BIG[at : at + 9000])
            asked.wfile.flush()

    started = peer(dag, answers)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RemoteWarning)
        fetch_into(store, cid, [gateway(started)])
    assert store.read(cid) == BIG
    assert not leaves_asked(started)


def test_the_first_of_two_that_spoils_a_leaf_is_taken_no_further(
    store: Store, peer: Start, big: tuple[Dag, str]
) -> None:
    dag, cid = big
    spoilt = BIG[:MIB] + bytes(len(BIG) - MIB)
    bad = peer(dag, lambda asked: asked.answer(spoilt) if asked.kind == "body" else asked.answer(b"", 404))
    good = peer(dag, lambda asked: asked.serve(cars=False))
    with pytest.warns(RemoteWarning, match="bad"):
        fetch_into(store, cid, [gateway(bad, "bad"), gateway(good, "good")])
    assert store.read(cid) == BIG
    assert good.kinds().count("body") == 1
