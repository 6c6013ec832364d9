"""What comes compressed although nobody asked: read, in small pieces, and never more of it than may come."""

from __future__ import annotations

import functools
import gzip
import random
import resource
import socket
import threading
import zlib
from collections.abc import Callable
from hashlib import shake_256

import pytest
from dags import Dag, Peer, speaking

from stargazer.encodings import Malformed, decoded
from stargazer.errors import RemoteError
from stargazer.remotes import fetch_into, read_remote
from stargazer.remotes.http import Web
from stargazer.store import Store

MIB = 1 << 20
DATA = shake_256(b"encodings").digest(3 * MIB) + bytes(5 * MIB)
Start = Callable[..., Peer]


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=-15)
    return packer.compress(data) + packer.flush()


WAYS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", lambda data: gzip.compress(data, 1)),
    "gzip, old name": ("x-gzip", lambda data: gzip.compress(data, 1)),
    "gzip of two members": ("gzip", lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:], 1)),
    "gzip that is padded": ("gzip", lambda data: gzip.compress(data, 1) + bytes(512)),
    "deflate": ("deflate", lambda data: zlib.compress(data, 1)),
    "deflate without a header": ("deflate", bare),
    "nothing": ("", bytes),
    "identity": ("identity", bytes),
}


def cut(data: bytes, seed: int) -> list[bytes]:
    dice, pieces = random.Random(seed), list[bytes]()
    while data:
        size = dice.choice((1, 2, 1000, 1 << 16, MIB))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("way", WAYS)
def test_bodies_are_decoded_however_they_are_cut(way: str, seed: int) -> None:
    encoding, pack = WAYS[way]
    found = list(decoded(cut(pack(DATA), seed), encoding))
    assert b"".join(found) == DATA
    assert max(map(len, found)) <= MIB


@pytest.mark.parametrize("size", [1 << 18, 1 << 19, (1 << 18) - 1, 0])
def test_pieces_that_end_where_a_step_ends(size: int) -> None:
    assert b"".join(decoded([gzip.compress(bytes(size))], "gzip")) == bytes(size)


@pytest.mark.parametrize("cut", [-1, 0, 1, 2, 5])
def test_a_second_gzip_may_begin_with_a_piece(cut: int) -> None:
    """Where one ends, a piece may end too: the next was taken for padding, and left out without a word."""
    one, other = gzip.compress(b"one"), gzip.compress(b"other")
    both, at = one + other, len(one) + cut
    assert b"".join(decoded([both[:at], both[at:]], "gzip")) == b"oneother"
    assert b"".join(decoded([bytes([each]) for each in both], "gzip")) == b"oneother"
    with pytest.raises(Malformed):
        list(decoded([one, other[:-3]], "gzip"))
    assert b"".join(decoded([gzip.compress(b"") * 5_000 + one], "gzip")) == b"one"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_no_body_at_all_is_one_of_no_bytes(encoding: str) -> None:
    assert not list(decoded([], encoding))


@pytest.mark.parametrize("way", ["gzip", "deflate", "deflate without a header"])
def test_what_ends_early_or_is_something_else_is_told(way: str) -> None:
    encoding, pack = WAYS[way]
    packed = pack(DATA)
    for spoilt in (packed[:-5], packed[: len(packed) // 2], b"\xffno such thing", packed[:50] + b"\0" * 500):
        with pytest.raises(Malformed):
            list(decoded([spoilt], encoding))


@functools.cache  # takes seconds, and only where a test wants it
def _small() -> bytes:
    """Four hundred kilobytes that stand for as many megabytes."""
    return gzip.compress(bytes(400 * MIB), 9)


def test_a_small_body_that_stands_for_a_large_one_takes_no_memory(peer: Start) -> None:
    web = Web("odd", peer(Dag(), lambda asked: asked.answer(_small(), Content_Encoding="gzip")).url, timeout=20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RemoteError, match="more than the 1000 bytes"):
        web.get("/x", 1000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_file_of_which_each_piece_is_large_comes_in_small_ones(store: Store, peer: Start) -> None:
    dag = Dag()
    data = bytes(range(256)) * (6 * MIB // 256)
    cid = dag.chunked(data, 1 << 18)
    packed = gzip.compress(data, 9)

    def answers(asked: object) -> None:
        if asked.kind == "body":  # type: ignore[attr-defined]
            asked.answer(packed, Content_Encoding="gzip")  # type: ignore[attr-defined]
        else:
            asked.serve(cars=False)  # type: ignore[attr-defined]

    started = peer(dag, answers)
    fetch_into(store, cid, [read_remote({"gateway": started.url, "timeout": 20})])
    assert store.read(cid) == data
    assert not [each for each in started.asked if each.kind == "raw" and each.cid.startswith("bafkrei")]


def test_what_drips_and_stands_for_much_ends_as_what_drips(store: Store) -> None:
    """A byte now and then of which each is a kilobyte would be fast enough, if those were counted."""
    ended = threading.Event()

    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n")
        for at in range(0, len(_small()), 200):
            connection.sendall(_small()[at : at + 200])
            if ended.wait(0.05):
                return

    with speaking(speak) as url:
        web, came = Web("odd", url, timeout=0.5, attempts=1), list[int]()
        with pytest.raises(RemoteError, match=r"within 0\.5 s"), web.opened("GET", "/x") as answer:
            came.extend(map(len, web.parts(answer)))
        ended.set()
    assert 0 < sum(came) < 100 * MIB


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "nonsense"])
def test_what_nobody_asked_for_and_we_cannot_read_is_told(encoding: str, peer: Start) -> None:
    web = Web("odd", peer(Dag(), lambda asked: asked.answer(b"x", Content_Encoding=encoding)).url)
    with pytest.raises(RemoteError, match="encodes what it sends in a way that we cannot read"):
        web.get("/x", 10)
