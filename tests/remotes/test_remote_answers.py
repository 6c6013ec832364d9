"""Answers of all sorts: right bytes or a clear error, within the time that a remote has; never a secret told."""

from __future__ import annotations

import email.utils
import gzip
import io
import itertools
import json
import logging
import socket
import time
import traceback
import warnings
from collections.abc import Callable
from hashlib import shake_256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.config
import pytest
from dags import Asked, Dag, Peer, number, peering, speaking
from typer.testing import CliRunner

from stargazer.cli.app import app
from stargazer.errors import (
    CIDError,
    ConfigError,
    RemoteError,
    RemoteLacks,
    RemoteRefused,
    StargazerError,
    StoreFull,
    TokenMissing,
)
from stargazer.remotes import RemoteWarning, fetch_into, read_remote
from stargazer.remotes.car import car_header, car_section
from stargazer.remotes.http import Web, bearer, download
from stargazer.remotes.patience import wait_asked
from stargazer.remotes.redaction import cut
from stargazer.remotes.tus import upload
from stargazer.store import Store

Start = Callable[..., Peer]
MIB = 1 << 20
BIG = shake_256(b"answers").digest(5 * MIB)


@pytest.fixture(scope="module")
def big() -> tuple[Dag, str]:
    dag = Dag()
    return dag, dag.chunked(BIG, 262_144)


def gateway(url: str, name: str = "odd", timeout: float = 1, **options: Any) -> Any:
    return read_remote({"gateway": url, "name": name, "timeout": timeout, **options})


# An end to everything.


def repeating(first: bytes, then: bytes) -> Callable[[socket.socket], None]:
    def speak(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(then)
            time.sleep(0.1)

    return speak


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "header": repeating(OK + b"X-A: ", b"a"),
    "headers": repeating(OK, b"X-A: b\r\n"),
    "processing": repeating(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "early hints": repeating(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "chunk extension": repeating(CHUNKED + b"5;", b"a"),
    "trailer": repeating(CHUNKED + b"b\r\nhello world\r\n0\r\nX-T: ", b"a"),
    "body": repeating(OK + b"Content-Length: 11\r\n\r\n", b"h"),
    "refusal": repeating(b"HTTP/1.1 403 no\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "redirect": repeating(b"HTTP/1.1 302 go\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
}


@pytest.mark.parametrize("where", DRIPS)
def test_what_drips_ends(where: str, store: Store) -> None:
    cid = Dag().raw(b"hello world")
    with speaking(DRIPS[where]) as url:
        began = time.monotonic()
        with pytest.raises(RemoteError, match=r"odd: odd (is too slow|answered 403|redirects in a loop)"):
            fetch_into(store, cid, [gateway(url, timeout=0.6)])
        assert time.monotonic() - began < 20
    assert not store.has(cid)


BROKEN = {
    "two lengths": OK + b"Content-Length: 11\r\nContent-Length: 12\r\n\r\nhello world",
    "length below zero": OK + b"Content-Length: -5\r\n\r\nhello world",
    "length no number": OK + b"Content-Length: eleven\r\n\r\nhello world",
    "long header": OK + b"X: " + b"a" * 300_000 + b"\r\n\r\n",
    "header with a NUL": OK + b"X: a\0b\r\nContent-Length: 11\r\n\r\nhello world",
    "chunk of no size": CHUNKED + b"zz\r\nhello\r\n",
    "chunk larger than anything": CHUNKED + b"ffffffffffffffffffff\r\nhello",
    "status 1000": b"HTTP/1.1 1000 what\r\n\r\nhello world",
    "other protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_framing_is_an_error_that_names_the_remote(how: str, store: Store) -> None:
    cid = Dag().raw(b"hello world")
    with (
        speaking(lambda connection: connection.sendall(BROKEN[how])) as url,
        pytest.raises(RemoteError, match="odd: odd"),
    ):
        fetch_into(store, cid, [gateway(url)])


@pytest.mark.parametrize("first", ["²", "9" * 5000, "-5", "x"])
def test_a_range_that_is_no_number_is_refused(first: str) -> None:
    """``²`` is a digit for `str.isdigit`, and none for `int`."""
    head = f"HTTP/1.1 206 OK\r\nContent-Range: bytes {first}-9/10\r\nContent-Length: 5\r\n\r\n".encode("latin-1")
    with speaking(lambda connection: connection.sendall(head + b"hello")) as url, pytest.raises(RemoteRefused):
        list(download(Web("odd", url, attempts=1), lambda: f"{url}/x", start=5))


@pytest.mark.parametrize("place", ["http://[", "http://other.example/x", "file:///etc/passwd", "//[x/y"])
def test_an_upload_goes_nowhere_else(place: str, tmp_path: Path) -> None:
    head = f"HTTP/1.1 201 OK\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
    with speaking(lambda connection: connection.sendall(head)) as url, pytest.raises(RemoteError, match="odd"):
        upload(Web("odd", url, attempts=1, timeout=2), "/files", io.BytesIO(b"x" * 10), {}, tmp_path / "note")


@pytest.mark.parametrize("told", ["-5", "²", "9" * 5000, "", "1e3"])
def test_an_upload_that_goes_on_begins_at_a_number(told: str, tmp_path: Path) -> None:
    head = f"HTTP/1.1 200 OK\r\nUpload-Offset: {told}\r\nContent-Length: 0\r\n\r\n".encode("latin-1")
    with speaking(lambda connection: connection.sendall(head)) as url:
        (tmp_path / "note").write_text(f"{url}/files/1")
        web = Web("odd", url, attempts=1, timeout=2)
        with pytest.raises(RemoteError, match="does not say"):
            upload(web, "/files", io.BytesIO(b"x" * 10), {}, tmp_path / "note")


@pytest.mark.parametrize("levels", [2, 3, 12])
def test_work_is_one_of_blocks_and_not_of_paths(levels: int, store: Store, peer: Start) -> None:
    dag = Dag()
    cid = dag.raw(b"x")
    for _ in range(levels):
        cid = dag.directory(*[(cid, b"%04d" % at, 1) for at in range(300)])
    started = peer(dag, lambda asked: asked.serve(cars=False))
    fetch_into(store, cid, [gateway(started.url, timeout=20)])
    assert store.has(cid)
    assert len(started.asked) <= levels + 4
    assert len(store.dirs.entries(cid)) == 300
    if levels == 12:
        with pytest.raises(CIDError, match="to fill disks"):
            next(iter(path for path, _ in store.walk(cid) if path.count("/") > 1))


def test_a_file_of_empty_parts_ends(store: Store, peer: Start) -> None:
    dag = Dag()
    cid = dag.raw(b"")
    for _ in range(6):
        cid = dag.node([(cid, b"", 0)] * 3000, number(1, 2) + number(3, 0) + number(4, 0) * 3000)
    fetch_into(store, cid, [gateway(peer(dag, lambda asked: asked.serve(cars=False, bodies=False)).url, timeout=20)])
    assert store.read(cid) == b""
    assert store.fsck().ok


def test_what_comes_again_in_a_file_is_copied(store: Store, peer: Start) -> None:
    dag = Dag()
    part, size = dag.raw(b"abc"), 3
    for _ in range(5):
        part, size = dag.file([(part, size)] * 16), size * 16
    started = peer(dag, lambda asked: asked.serve(cars=False, bodies=False))
    fetch_into(store, part, [gateway(started.url, timeout=20)])
    assert store.read(part) == b"abc" * 16**5
    assert len(started.asked) <= 9


def test_a_file_that_says_it_is_larger_than_the_disk_is_refused_before_its_first_byte(
    store: Store, peer: Start
) -> None:
    dag = Dag()
    part, size = dag.raw(bytes(262_144)), 262_144
    for _ in range(4):
        part, size = dag.file([(part, size)] * 174), size * 174
    with pytest.raises(StoreFull, match=f"says that it has {size} bytes"):
        fetch_into(store, part, [gateway(peer(dag).url, timeout=20)])
    assert not [path for path in store.context.scratch.iterdir() if path.name.startswith("fetch")]


def test_nothing_is_left_of_what_was_refused(store: Store, peer: Start) -> None:
    dag = Dag()
    good = dag.chunked(BIG[:MIB], 262_144)
    lying = dag.file([(good, MIB), (dag.raw(b"short"), 50)])
    with pytest.raises(CIDError, match="where the node above it says 50"):
        fetch_into(store, lying, [gateway(peer(dag).url, timeout=20)])
    assert not [path for path in store.context.scratch.iterdir() if path.name.startswith("fetch")]


# Patience and fairness.


def failing(times: int, fails: Callable[[Asked], None]) -> Callable[[Asked], None]:
    seen: list[int] = []

    def answers(asked: Asked) -> None:
        seen.append(1)
        fails(asked) if len(seen) <= times else asked.serve()

    return answers


def dated(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


PASSES = {
    "reset twice": failing(2, Asked.reset),
    "429 in seconds": failing(1, lambda asked: asked.answer(b"", 429, Retry_After="1")),
    "429 with a date": failing(1, lambda asked: asked.answer(b"", 429, Retry_After=dated(1))),
    "503 with nonsense": failing(3, lambda asked: asked.answer(b"", 503, Retry_After="nan")),
    "503 below zero": failing(2, lambda asked: asked.answer(b"", 503, Retry_After="-5")),
    "404 that is not there yet": failing(1, lambda asked: asked.answer(b"", 404, Retry_After="0")),
    "slow look-up": failing(2, lambda asked: asked.answer(b"", 504)),
    "proxy before it": failing(1, lambda asked: asked.answer(b"", 522)),
    "too early": failing(1, lambda asked: asked.answer(b"", 425)),
    "timed out": failing(1, lambda asked: asked.answer(b"", 408)),
    "slow once": failing(1, lambda _: time.sleep(1.5)),
    "cut short once": failing(1, lambda asked: (asked.answer(b"hel", announced=11), asked.reset())[0]),
}


@pytest.mark.parametrize("how", PASSES)
def test_what_passes_is_waited_for(how: str, store: Store, peer: Start) -> None:
    dag = Dag()
    cid = dag.raw(b"hello world")
    with dask.config.set({"stargazer.remote-patience": 30}):
        fetch_into(store, cid, [gateway(peer(dag, PASSES[how]).url)])
    assert store.read(cid) == b"hello world"


def test_an_outage_in_the_middle_is_waited_for(store: Store, peer: Start, big: tuple[Dag, str]) -> None:
    dag, cid = big
    began: list[float] = []

    def answers(asked: Asked) -> None:
        if asked.kind != "raw":
            return asked.answer(b"", 406)
        if len([each for each in started.asked if each.kind == "raw"]) == 6:
            began.append(time.monotonic())
        if began and time.monotonic() < began[0] + 2.5:
            return asked.answer(b"", 503)
        return asked.serve()

    started = peer(dag, answers)
    with dask.config.set({"stargazer.remote-patience": 30}):
        fetch_into(store, cid, [gateway(started.url)])
    assert store.read(cid) == BIG


def test_who_asks_for_patience_does_not_hold_up_the_next(store: Store, peer: Start, big: tuple[Dag, str]) -> None:
    dag, cid = big
    busy = peer(dag, lambda asked: asked.answer(b"", 429, Retry_After="60"))
    good = peer(dag, lambda asked: asked.serve(cars=False, bodies=False))
    began = time.monotonic()
    with dask.config.set({"stargazer.remote-patience": 90}), pytest.warns(RemoteWarning, match="busy was skipped"):
        fetch_into(store, cid, [gateway(busy.url, "busy"), gateway(good.url, "good", timeout=20)])
    assert time.monotonic() - began < 30
    assert len(busy.asked) < 12


def test_who_says_nothing_does_not_hold_up_the_next(store: Store, peer: Start) -> None:
    dag = Dag()
    cid = dag.directory(*[(dag.raw(b"%d" % at), b"%d" % at, 1) for at in range(20)])
    silent, good = peer(dag, lambda _: time.sleep(8)), peer(dag, lambda asked: asked.serve(cars=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fetch_into(store, cid, [gateway(silent.url, "silent", timeout=6), gateway(good.url, "good")])
    assert store.has(cid)
    assert len([each for each in silent.asked if each.kind == "raw"]) <= 12


def test_who_wants_to_be_left_alone_for_longer_than_a_fetch_waits_is_told_at_once(store: Store, peer: Start) -> None:
    dag = Dag()
    cid = dag.raw(b"x")
    for wait in ("7200", "inf", dated(86400)):
        with pytest.raises(RemoteError, match="503"):
            fetch_into(
                store, cid, [gateway(peer(dag, lambda asked, w=wait: asked.answer(b"", 503, Retry_After=w)).url)]
            )


def test_a_place_where_nobody_is_is_given_up_soon(store: Store) -> None:
    began = time.monotonic()
    with dask.config.set({"stargazer.remote-patience": 90}), pytest.raises(RemoteError, match="cannot be reached"):
        fetch_into(store, Dag().raw(b"x"), [gateway("http://127.0.0.1:9")])
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(("text", "seconds"), [("2", 2), ("-5", 0), ("nan", 0), ("soon", 0), ("", 0), ("1e3", 1000)])
def test_waits_are_read_with_care(text: str, seconds: float) -> None:
    assert wait_asked(text) == seconds
    assert 3500 < wait_asked(dated(3600)) <= 3600
    assert wait_asked(dated(-3600)) == 0


def ident() -> bytes:
    return bytes([4 + 5]) + b"\x01\x55\x00\x05hello"


def with_car(make: Callable[[Dag, str], bytes], **headers: str) -> Callable[[Asked], None]:
    def answers(asked: Asked) -> None:
        if asked.kind == "car":
            dag = asked.server.peer.dag  # type: ignore[attr-defined]
            return asked.answer(make(dag, asked.cid), **{"Content_Type": "application/vnd.ipld.car", **headers})
        return asked.serve(bodies=False)

    return answers


def with_body(send: Callable[[Asked, bytes], None]) -> Callable[[Asked], None]:
    def answers(asked: Asked) -> None:
        if asked.kind == "body" and asked.cid != "bafkqaaa":
            return send(asked, BIG)
        return asked.serve()

    return answers


def half(dag: Dag, cid: str) -> bytes:
    return car_header(cid) + b"".join(car_section(each, dag[each]) for each in list(dag.walk(cid))[:8])


def version_2(dag: Dag, cid: str) -> bytes:
    inner = dag.car(cid)
    fixed = bytes(16) + (51 + 7).to_bytes(8, "little") + len(inner).to_bytes(8, "little") + bytes(8)
    return bytes.fromhex("0aa16776657273696f6e02") + fixed + bytes(7) + inner + b"an index"


def unasked(dag: Dag, cid: str) -> bytes:
    extra = Dag()
    more = car_section(extra.raw(b"extra"), b"extra")
    return car_header(cid) + b"".join(more + car_section(each, dag[each]) for each in dag.walk(cid))


WAYS = {
    "chunked body": with_body(lambda asked, body: asked.chunked(body)),
    "gzip body": with_body(lambda asked, body: asked.answer(gzip.compress(body, 1), Content_Encoding="gzip")),
    "brotli body": with_body(lambda asked, body: asked.answer(body, Content_Encoding="br")),
    "page instead of a body": with_body(
        lambda asked, _: asked.answer(b"<html>", Content_Type="text/html; charset=utf-8")
    ),
    "long page": with_body(lambda asked, _: asked.answer(b"<html>" * MIB, Content_Type="text/html")),
    "404 body": with_body(lambda asked, _: asked.answer(b"", 404)),
    "451 body": with_body(lambda asked, _: asked.answer(b"", 451)),
    "500 body": with_body(lambda asked, _: asked.answer(b"", 500)),
    "short body": with_body(lambda asked, body: asked.answer(body[: 3 * MIB])),
    "empty body": with_body(lambda asked, _: asked.answer(b"")),
    "other body": with_body(lambda asked, body: asked.answer(body[::-1])),
    "long body": with_body(lambda asked, body: asked.answer(body + b"more")),
    "body cut off": with_body(lambda asked, body: (asked.answer(body[:1000], announced=len(body)), asked.reset())[0]),
    "other range": with_body(
        lambda asked, body: (
            asked.answer(body[100:], 206, Content_Range="bytes 3000000-9/10")
            if "Range" in asked.headers
            else (asked.answer(body[:3_000_000], announced=len(body)), asked.reset())[0]
        )
    ),
    "gzip CAR": with_car(lambda dag, cid: gzip.compress(dag.car(cid), 1), Content_Encoding="gzip"),
    "CAR 404": lambda asked: asked.answer(b"", 404) if asked.kind == "car" else asked.serve(bodies=False),
    "CAR 500": lambda asked: asked.answer(b"", 500) if asked.kind == "car" else asked.serve(bodies=False),
    "only blocks": lambda asked: asked.answer(b"", 403) if asked.kind != "raw" else asked.serve(),
    "CAR of version 2": with_car(version_2),
    "CAR cut at a block": with_car(half),
    "CAR cut in a block": with_car(lambda dag, cid: dag.car(cid)[: 2 * MIB]),
    "CAR with more": with_car(unasked),
    "CAR with an inlined block": with_car(
        lambda dag, cid: car_header(cid) + ident() + dag.car(cid)[len(car_header(cid)) :]
    ),
    "CAR of another type": with_car(Dag.car, Content_Type="application/car"),
    "CAR of another order": with_car(
        lambda dag, cid: car_header(cid) + b"".join(car_section(each, dag[each]) for each in reversed([*dag.walk(cid)]))
    ),
    "no CAR": with_car(lambda dag, cid: b"\xff" * 5000),
    "empty CAR": with_car(lambda dag, cid: b""),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_goes_wrong_on_a_faster_way_costs_that_way(
    way: str, store: Store, peer: Start, big: tuple[Dag, str]
) -> None:
    dag, cid = big
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RemoteWarning)
        fetch_into(store, cid, [gateway(peer(dag, WAYS[way]).url, timeout=20)])
    assert store.read(cid) == BIG
    assert store.fsck().ok


@pytest.mark.parametrize("status", [200, 403, 404, 405, 501])
def test_whether_a_gateway_has_something_is_found_out_without_head(status: int, peer: Start) -> None:
    dag = Dag()
    cid = dag.raw(b"hello world")
    url = peer(dag, lambda asked: asked.answer(b"", status) if asked.command == "HEAD" else asked.serve()).url
    assert gateway(url).has(cid) == (status != 404)


def test_subdomains_of_localhost_are_this_host(store: Store, peer: Start) -> None:
    dag = Dag()
    cid = dag.raw(b"hello world")

    def answers(asked: Asked) -> None:
        if asked.headers["Host"].startswith("localhost"):
            port = asked.headers["Host"].rpartition(":")[2]
            return asked.answer(b"", 301, Location=f"http://{asked.cid}.ipfs.localhost:{port}/?format={asked.kind}")
        asked.cid = asked.headers["Host"].partition(".")[0]
        return asked.serve()

    fetch_into(store, cid, [gateway(peer(dag, answers).url.replace("127.0.0.1", "localhost"))])
    assert store.read(cid) == b"hello world"


@pytest.mark.parametrize("step", [0.11, 0.26, 0.4, 0.6, 0.9])
def test_an_end_that_comes_between_two_looks_at_the_clock_is_a_timeout(
    store: Store, peer: Start, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """As on a machine with much to do: a socket was given less than no time, and its ValueError went to the user."""
    now = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: next(now) * step, sleep=time.sleep)
    monkeypatch.setattr("stargazer.remotes.transport.time", clock)
    dag = Dag()
    cid = dag.chunked(b"hello world" * 1000, 3000)
    with dask.config.set({"stargazer.remote-patience": 0.1}):
        try:
            fetch_into(store, cid, [gateway(peer(dag).url)])
        except RemoteError as error:
            assert "odd" in str(error)
        else:
            assert store.read(cid) == b"hello world" * 1000


@pytest.mark.parametrize(
    ("variable", "value"),
    [("HTTP_PROXY", "socks5://127.0.0.1:9"), ("ALL_PROXY", "ftp://x"), ("http_proxy", "socks4a://me:geheim@h:1")],
)
def test_a_proxy_that_cannot_be_used_is_named(
    variable: str, value: str, store: Store, peer: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    dag = Dag()
    cid = dag.raw(b"x")
    with pytest.raises(RemoteError, match=f"the proxy of the environment variable {variable.upper()}") as caught:
        fetch_into(store, cid, [gateway(peer(dag).url)])
    assert "geheim" not in str(caught.value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fetch_into(store, cid, [gateway(peer(dag).url)])


def test_a_proxy_is_used(store: Store, peer: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    dag = Dag()
    cid = dag.raw(b"x")
    proxy = peer(dag)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    fetch_into(store, cid, [gateway("http://gateway.example")])
    assert proxy.asked


@pytest.mark.parametrize(
    "entry",
    [
        {"gateway": "https://ipfs.io?token=secret"},
        {"gateway": "https://{cid}.ipfs.dweb.link"},
        {"gateway": "http://127.0.0.1:99999"},
        {"gateway": "http://[::1"},
        {"gateway": "https://ipfs.io#x"},
    ],
)
def test_addresses_that_are_none_are_settings_that_are_wrong(entry: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"the remote\.gateway"):
        read_remote(entry)


# Secrets.


SECRET = "eyJhbGciOi.J9-secret_token/that+nobody=may.see"


@pytest.mark.parametrize(
    "said",
    [
        SECRET,
        f"Bearer {SECRET}",
        SECRET.upper(),
        SECRET.replace("/", "%2F").replace("+", "%2B").replace("=", "%3D"),
        SECRET.replace("/", "%252F").replace("+", "%252B"),
        "".join(f"%{ord(sign):02x}" for sign in SECRET),
        SECRET.encode().hex(),
        SECRET[::-1],
        f'{{"jwt": "{SECRET}"}}',
        "\n".join(SECRET[at : at + 13] for at in range(0, len(SECRET), 13)),
        repr(SECRET.encode()),
        SECRET[:30],
        SECRET[10:],
        f"https://elsewhere.example/x?token={SECRET}",
        f"https://{SECRET}@elsewhere.example/",
        __import__("base64").b64encode(b"user:" + SECRET.encode()).decode(),
        __import__("base64").urlsafe_b64encode(SECRET.encode()).decode(),
        "".join(f"\\u{ord(sign):04x}" for sign in SECRET),
        "".join(f"\\x{ord(sign):02x}" for sign in SECRET),
        "".join(f"\\{ord(sign):03o}" for sign in SECRET),
        "".join(f"&#{ord(sign)};" for sign in SECRET),
        "".join(f"&#x{ord(sign):x};" for sign in SECRET),
        "".join(f"={ord(sign):02X}" for sign in SECRET),
        ":".join(f"{ord(sign):02x}" for sign in SECRET),
        "-".join(SECRET),
        "\u200b".join(SECRET),
        str(list(SECRET)),
        str(list(SECRET.encode())),
        "".join(chr(ord(sign) + 0xFEE0) for sign in SECRET),
        f"{SECRET[:15]}</b><b>{SECRET[15:]}",
        __import__("base64").b32encode(SECRET.encode()).decode(),
        __import__("base64").b64encode(__import__("base64").b64encode(SECRET.encode())).decode(),
        __import__("base64").b64encode(SECRET.encode()).decode()[:24],
        __import__("codecs").encode(SECRET, "rot13"),
    ],
)
def test_a_secret_is_cut_out_however_it_is_spelt(said: str) -> None:
    told = cut(f"the server says {said} and more", [f"Bearer {SECRET}"])
    plain = "".join(told.split()).lower()
    for at in range(len(SECRET) - 12):
        assert SECRET[at : at + 12].lower() not in plain
    for form in (SECRET.encode().hex(), SECRET[::-1], said):
        assert form not in told


@pytest.mark.parametrize(
    "piece", ["a://", "x?a=b", "/?%", "a", " "], ids=["urls", "queries", "signs", "word", "blanks"]
)
def test_what_somebody_says_at_length_is_cut_short(piece: str) -> None:
    told = cut(piece * 400_000, [f"Bearer {SECRET}"])
    assert len(told) < 20_000


def test_queries_of_urls_are_cut() -> None:
    assert cut("GET https://a.example/x?X-Signature=abc&y=1 failed") == "GET https://a.example/x?… failed"
    assert cut("Location: /files/x?sig=abc") == "Location: /files/x?…"
    assert cut("what is it? nobody knows") == "what is it? nobody knows"


@pytest.mark.parametrize(
    ("value", "what"),
    [("part1\npart2", "a line break"), ("two words", "a blank"), ("geheim-ü", "a letter"), ("a\x7fb", "a letter")],
)
def test_a_token_that_no_header_may_have_is_named_and_not_shown(
    value: str, what: str, monkeypatch: pytest.MonkeyPatch, store: Store, peer: Start, configure: Callable[..., None],
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("GATEWAY_TOKEN", value)
    with pytest.raises(TokenMissing, match=rf"GATEWAY_TOKEN holds {what}"):
        bearer("GATEWAY_TOKEN", "odd")
    cid = Dag().raw(b"x")
    configure({"gateway": peer(Dag()).url, "name": "odd", "token": "GATEWAY_TOKEN"})
    told = CliRunner().invoke(app, ["get", cid, "--out", str(tmp_path / "x")])
    assert told.exit_code == 1
    assert "GATEWAY_TOKEN" in told.output
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for piece in value.split("\n"):
        assert piece not in told.output.replace("token", "")
        assert piece.encode() not in written


def echoes(asked: Asked) -> None:
    said = asked.headers.get("Authorization", "").encode()
    redirected = asked.query.get("hop")
    if asked.place.endswith("bafkqaaa"):
        return asked.answer(b"")
    if redirected is None:
        return asked.answer(b"", 302, Location=f"{asked.place}?hop=1&format={asked.kind}&sig={SECRET}")
    told = {"X_Echo": SECRET, "X_Other": SECRET.encode().hex(), "Set_Cookie": f"t={SECRET}"}
    return asked.answer(b"x" * 190 + said + b" " + said[::-1], 403, **told)


def test_no_secret_is_told_by_errors_logs_or_warnings(
    monkeypatch: pytest.MonkeyPatch, store: Store, peer: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("GATEWAY_TOKEN", SECRET)
    started = peer(Dag(), echoes)
    cid = Dag().raw(b"x")
    told = []
    for entry in (
        {"gateway": started.url, "name": "odd", "token": "GATEWAY_TOKEN"},
        {"kubo": started.url, "name": "node", "token": "GATEWAY_TOKEN"},
        {
            "pinata": "private",
            "api": started.url,
            "uploads": started.url,
            "gateway": started.url,
            "token": "GATEWAY_TOKEN",
        },
    ):
        with pytest.raises(StargazerError) as caught:
            fetch_into(store, cid, [read_remote({"timeout": 2, **entry})])
        told.append("".join(traceback.format_exception(caught.value)))
    everything = "".join(told) + caplog.text
    assert "answered 403" in everything
    assert SECRET[:20] not in everything
    assert SECRET[::-1][:20] not in everything
    assert SECRET.encode().hex()[:20] not in everything
    assert "sig=" not in everything
    assert "/ipfs/" in caplog.text


SIGNATURE = "5f2b-signature-of-an-address"


def signed(asked: Asked) -> None:
    """Redirects to a signed address, or gives one, and repeats the signature where it refuses that."""
    if asked.place.endswith("download_link"):
        link = f"http://{asked.headers['Host']}/files/x?X-Date=1724875300&X-Signature={SIGNATURE}"
        return asked.answer(json.dumps({"data": link}).encode())
    if "X-Signature" not in asked.query:
        return asked.answer(b"", 302, Location=f"{asked.place}?X-Signature={SIGNATURE}")
    return asked.answer(f"<SignatureProvided>{asked.query['X-Signature']}</SignatureProvided>".encode(), 403)


@pytest.mark.parametrize("kind", ["gateway", "pinata"])
def test_the_signature_of_an_address_that_was_given_is_a_secret_too(
    kind: str, store: Store, peer: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINATA_JWT", "a.token.that-is-another")
    url = peer(Dag(), signed).url
    entries = {
        "gateway": {"gateway": url},
        "pinata": {"pinata": "private", "api": url, "uploads": url, "gateway": url},
    }
    with pytest.raises(RemoteError, match="answered 403") as caught:
        fetch_into(store, Dag().raw(b"x"), [read_remote({"timeout": 2, **entries[kind]})])
    assert "SignatureProvided" in str(caught.value)
    assert "signature-of" not in str(caught.value)


def test_a_gateway_asked_for_a_page_says_so(store: Store, peer: Start) -> None:
    cid = Dag().raw(b"x")
    with pytest.raises(RemoteError, match="a page of HTML instead of a block"):
        fetch_into(
            store, cid, [gateway(peer(Dag(), lambda asked: asked.answer(b"<html>", Content_Type="text/html")).url)]
        )
    with pytest.raises(RemoteLacks):
        fetch_into(store, cid, [gateway(peer(Dag()).url)])
    with peering(Dag({cid: b"x"}), lambda asked: asked.answer(b"x", Content_Type="text/html")) as page:
        fetch_into(store, cid, [gateway(page.url)])
