"""Random answers, with fixed seeds: right bytes or a clear error in time, never a byte unchecked, never a secret."""

from __future__ import annotations

import gzip
import random
import socket
import time
import traceback
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dask.config
import pytest
from dags import Dag, speaking

from stargazer.errors import StargazerError
from stargazer.remotes import fetch_into, read_remote
from stargazer.store import Store

SECRET = "eyJmdXp6.c2VjcmV0-that-nobody-may-see"
LIMIT = 30.0
"""Seconds that one exchange may take on a machine with much to do; patience and timeouts are a tenth of that."""
STATUSES = (
    200,
    200,
    200,
    200,
    206,
    204,
    301,
    302,
    307,
    304,
    400,
    401,
    403,
    404,
    406,
    408,
    410,
    416,
    418,
    425,
    429,
    500,
)
STATUSES += (501, 502, 503, 504, 520, 522, 599, 999)
HEADERS = (
    b"Retry-After: 0", b"Retry-After: 7200", b"Retry-After: nonsense", b"Content-Type: text/html",
    b"Content-Type: application/vnd.ipld.car; version=1", b"Content-Type: application/vnd.ipld.raw",
    b"Content-Encoding: gzip", b"Content-Encoding: br", b"Content-Range: bytes 0-9/10", b"Content-Range: bytes */10",
    b"Connection: close", b"Set-Cookie: a=" + SECRET.encode(), b"Location: /ipfs/x?sig=" + SECRET.encode(),
    b"Location: http://127.0.0.1:9/x", b"Location: file:///etc/passwd", b"X-\xff: \xfe", b"Transfer-Encoding: gzip",
)  # fmt: skip


def spoilt(data: bytes, dice: random.Random) -> bytes:
    """The bytes, or others."""
    how = dice.randrange(9)
    if how < 3 or not data:
        return data
    at = dice.randrange(len(data))
    other = {
        3: data[:at], 4: data + data[:at], 5: data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :],
        6: bytes(dice.randrange(256) for _ in range(dice.randrange(200))), 7: gzip.compress(data),
        8: b"HTTP/1.1 200 OK\r\n\r\n" + SECRET.encode() + data,
    }  # fmt: skip
    return other[how]


def framed(body: bytes, dice: random.Random) -> tuple[bytes, bytes]:
    """A header that says how long a body is, perhaps wrongly, and the body as it is sent."""
    how = dice.randrange(8)
    if how < 4:
        return b"Content-Length: %d" % len(body), body
    if how == 4:
        return b"Content-Length: %d" % max(0, len(body) + dice.randrange(-20, 20)), body
    if how == 5:
        return b"Connection: close", body
    size = dice.choice((1, 7, 1000, 1 << 16))
    if how == 6 and len(body) < 5000:
        chunks = b"".join(
            b"%x\r\n%s\r\n" % (len(body[at : at + size]), body[at : at + size]) for at in range(0, len(body), size)
        )
        return b"Transfer-Encoding: chunked", chunks + dice.choice((b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"", b"0"))
    return dice.choice((b"Content-Length: -1", b"Content-Length: 1e3", b"Transfer-Encoding: chunked", b"")), body


class Answering:
    """What is sent for each request of one exchange, decided by its seed."""

    def __init__(self, dag: Dag, seed: int) -> None:
        self.dag, self.dice = dag, random.Random(seed)

    def __call__(self, connection: socket.socket, asked: bytes) -> None:
        path = asked.split(b" ")[1].decode("latin-1") if asked.count(b" ") > 1 else "/"
        cid = path.partition("?")[0].rpartition("/")[2]
        kind = path.partition("format=")[2][:3]
        if cid not in self.dag:
            body = b"no such block"
        else:
            body = self.dag[cid] if kind == "raw" else self.dag.car(cid) if kind == "car" else self.dag.body(cid)
        honest = self.dice.random() < 0.6
        status = (200 if cid in self.dag else 404) if honest else self.dice.choice(STATUSES)
        sent = body if honest else spoilt(body, self.dice)
        length, framed_body = (b"Content-Length: %d" % len(sent), sent) if honest else framed(sent, self.dice)
        more = [self.dice.choice(HEADERS) for _ in range(0 if honest else self.dice.randrange(3))]
        kinds = {"raw": b"application/vnd.ipld.raw", "car": b"application/vnd.ipld.car"}
        head = [
            b"HTTP/1.1 %d said" % status,
            length,
            b"Content-Type: " + kinds.get(kind, b"x/y"),
            *more,
            b"Connection: close",
        ]
        answer = b"\r\n".join(filter(None, head)) + b"\r\n\r\n" + framed_body
        self.send(connection, answer, honest)

    def send(self, connection: socket.socket, answer: bytes, honest: bool) -> None:
        how = 0 if honest else self.dice.randrange(12)
        if how == 9:
            answer = answer[: self.dice.randrange(len(answer))]
        elif how == 10:
            connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n" * self.dice.randrange(4))
        elif how == 11:
            for at in range(min(len(answer), 12)):
                connection.sendall(answer[at : at + 1])
                time.sleep(0.15)
            return
        connection.sendall(answer)


def thing(dag: Dag, dice: random.Random) -> tuple[str, dict[str, bytes]]:
    """Something to fetch, and its files by path."""
    data = dice.randbytes(dice.choice((0, 1, 100, 5000, 40_000)))
    how = dice.randrange(4)
    if how == 0:
        return dag.raw(data), {"": data}
    if how == 1:
        return dag.chunked(data, 3000), {"": data}
    if how == 2:
        return dag.chunked(data, 3000, leaf=dag.leaf), {"": data}
    names = {b"n%d" % at: (dag.raw(b"%d" % at), 1) for at in range(5)}
    files = {f"n{at}": b"%d" % at for at in range(5)}
    made = (
        dag.sharded(names, 16)
        if dice.random() < 0.5
        else dag.directory(*[(cid, name, 1) for name, (cid, _) in names.items()])
    )
    return made, files


def exchange(seed: int, folder: Path) -> str:
    """Fetch one thing from one or two gateways that answer as the seed says; what came of it."""
    dice, dag = random.Random(seed), Dag()
    cid, files = thing(dag, dice)
    store = Store(folder / str(seed))
    with ExitStack() as stack:
        urls = []
        for at in range(dice.choice((1, 1, 2))):
            answers = Answering(dag, seed * 2 + at)
            urls.append(stack.enter_context(speaking(answers, told=True)))
        options = {"timeout": 0.5, "token": "FUZZ_TOKEN"}
        remotes = [read_remote({"gateway": url, "name": f"fuzz{at}", **options}) for at, url in enumerate(urls)]
        began = time.monotonic()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                fetch_into(store, cid, remotes)
                outcome = "right"
            except StargazerError as error:
                outcome = "".join(traceback.format_exception(error))
        took = time.monotonic() - began
    told = outcome + "".join(str(each.message) for each in caught)
    assert took < LIMIT, f"seed {seed} took {took:.1f} s"
    assert SECRET[:12] not in told, f"seed {seed} tells a secret"
    if outcome == "right":
        below = store.walk(cid) if store.is_directory(cid) else [("", cid)]
        found = {path: store.read(child) for path, child in below if child}
        assert found == files, f"seed {seed} gave other bytes"
    else:
        assert not store.has(cid), f"seed {seed} kept what it refused"
        assert "fuzz0" in outcome or cid in outcome, f"seed {seed} has no clear error: {outcome[-300:]}"
    return "right" if outcome == "right" else "refused"


@pytest.mark.slow
@pytest.mark.timeout(14_000)
def test_random_answers(tmp_path: Path, seeds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUZZ_TOKEN", SECRET)
    results: dict[str, int] = {}
    with dask.config.set({"stargazer.remote-patience": 1.5}):
        for seed in seeds(range(150), range(10_000)):
            came = exchange(seed, tmp_path)
            results[came] = results.get(came, 0) + 1
    assert min(results.get("right", 0), results.get("refused", 0)) > sum(results.values()) // 20, results
