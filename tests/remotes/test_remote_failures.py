"""Failures of HTTP as they are met: what passes is waited for, what does not is a clear error that names the remote."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from hashlib import shake_256
from typing import Any

import dask.config
import pytest
from dags import Answers, Asked, Dag, Peer, peering
from gateways import Server

from stargazer.errors import RemoteError
from stargazer.remotes import fetch_into, read_remote
from stargazer.store import Store

MIB = 1 << 20
HELLO = b"hello world"
BIG = shake_256(b"failures").digest(5 * MIB)
Start = Callable[..., Peer]
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


def gateway(url: str, timeout: float = 3, **options: Any) -> Any:
    return read_remote({"gateway": url, "name": "odd", "timeout": timeout, **options})


@pytest.fixture
def small() -> tuple[Dag, str]:
    dag = Dag()
    return dag, dag.raw(HELLO)


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


# What passes.


def first(times: int, fails: Answers) -> Answers:
    """Fail so many times, then serve."""
    seen = Counter[str]()

    def answers(asked: Asked) -> None:
        seen["all"] += 1
        fails(asked) if seen["all"] <= times else asked.serve()

    return answers


def each_block_first(times: int, fails: Answers, which: Callable[[int], bool]) -> Answers:
    """Give blocks only, and fail so many times for some of them, each at its own time."""
    seen, order = Counter[str](), list[str]()

    def answers(asked: Asked) -> None:
        if asked.kind != "raw":
            return asked.answer(b"", 406)
        if asked.cid not in order:
            order.append(asked.cid)
        seen[asked.cid] += 1
        return fails(asked) if which(order.index(asked.cid)) and seen[asked.cid] <= times else asked.serve()

    return answers


def each_request(fails: Answers, which: Callable[[int], bool]) -> Answers:
    """Give blocks only, and fail at some requests, whatever they are for."""
    count = Counter[str]()

    def answers(asked: Asked) -> None:
        if asked.kind != "raw":
            return asked.answer(b"", 406)
        count["all"] += 1
        return fails(asked) if which(count["all"]) else asked.serve()

    return answers


def says(status: int) -> Answers:
    return lambda asked: asked.answer(b"", status)


PASSING: dict[str, Callable[[], Answers]] = {
    "429 that names no wait": lambda: first(3, says(429)),
    "502 four times": lambda: first(4, says(502)),
    "520 of a proxy": lambda: first(1, says(520)),
    "524 of a proxy": lambda: first(1, says(524)),
    "every seventh request is reset": lambda: each_request(Asked.reset, lambda number: number % 7 == 0),
    "every second request is a 503": lambda: each_request(says(503), lambda number: number % 2 == 0),
    "one block in five is a 429, four times": lambda: each_block_first(4, says(429), lambda place: place % 5 == 1),
    "each block is reset once": lambda: each_block_first(1, Asked.reset, lambda place: True),
}


@pytest.mark.parametrize("how", PASSING)
def test_what_passes_is_gone_on_with(how: str, store: Store, peer: Start) -> None:
    dag = Dag()
    cid = dag.chunked(BIG, 1 << 18)
    with dask.config.set({"stargazer.remote-patience": 60}):
        fetch_into(store, cid, [gateway(peer(dag, PASSING[how]()).url)])
    assert store.read(cid) == BIG
    assert store.fsck().ok


# Redirects, and statuses that are no answers.


def to(place: Callable[[Asked], str], status: int = 302) -> Answers:
    return lambda asked: asked.answer(b"", status, Location=place(asked))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_port_is_followed(status: int, store: Store, peer: Start, small: tuple[Dag, str]) -> None:
    dag, cid = small
    other = peer(dag)
    fetch_into(store, cid, [gateway(peer(dag, to(lambda asked: other.url + asked.path, status)).url)])
    assert store.read(cid) == HELLO


def test_a_redirect_to_a_place_of_the_same_server_is_followed(
    store: Store, peer: Start, small: tuple[Dag, str]
) -> None:
    dag, cid = small

    def answers(asked: Asked) -> None:
        moved = asked.path.startswith("/moved")
        asked.serve() if moved else asked.answer(b"", 301, Location="/moved" + asked.path)

    fetch_into(store, cid, [gateway(peer(dag, answers).url)])
    assert store.read(cid) == HELLO


NOWHERE: dict[str, tuple[Answers, str]] = {
    "a file": (to(lambda _: "file:///etc/passwd"), "neither http nor https"),
    "another scheme": (to(lambda _: "ftp://127.0.0.1/x"), "neither http nor https"),
    "no address": (to(lambda _: "http://[::zz"), "redirects to what is no address"),
    "nowhere": (says(301), "answered 301, which is no answer"),
    "itself": (to(lambda asked: asked.path), "redirects in a loop"),
    "304": (says(304), "answered 304, which is no answer"),
    "205": (says(205), "answered 205, which is no answer"),
    "300": (says(300), "answered 300, which is no answer"),
    "204": (says(204), "0 bytes"),
    "401": (says(401), "answered 401"),
    "402": (says(402), "answered 402"),
    "451": (says(451), "answered 451"),
    "501": (says(501), "answered 501"),
    "505": (says(505), "answered 505"),
}


@pytest.mark.parametrize("where", NOWHERE)
def test_what_leads_nowhere_is_a_clear_error(where: str, store: Store, peer: Start, small: tuple[Dag, str]) -> None:
    dag, cid = small
    answers, told = NOWHERE[where]
    started = peer(dag, answers)
    with pytest.raises(RemoteError, match=told) as caught:
        fetch_into(store, cid, [gateway(started.url)])
    assert "odd" in str(caught.value)
    assert len(started.asked) <= 12
    assert not store.has(cid)


def test_a_whole_block_that_is_called_a_part_is_taken(store: Store, peer: Start, small: tuple[Dag, str]) -> None:
    dag, cid = small
    fetch_into(store, cid, [gateway(peer(dag, lambda asked: asked.answer(dag[asked.cid], 206)).url)])
    assert store.read(cid) == HELLO


# Nobody there.


def test_a_name_that_nobody_has_is_given_up_soon(store: Store, small: tuple[Dag, str]) -> None:
    with pytest.raises(RemoteError, match="odd cannot be reached"):
        fetch_into(store, small[1], [gateway("https://no-such-host.invalid")])


def test_a_port_where_nobody_listens_is_given_up_soon(store: Store, small: tuple[Dag, str]) -> None:
    with socket.socket() as taken:  # bound, and never listening
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(RemoteError, match="odd cannot be reached"):
            fetch_into(store, small[1], [gateway(f"http://127.0.0.1:{taken.getsockname()[1]}")])


class _Sixth(Server):
    address_family = socket.AF_INET6


def test_an_address_of_ip_version_6_is_asked(
    store: Store, small: tuple[Dag, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not socket.has_ipv6:
        pytest.skip("this Python knows no IPv6")
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this host has no IPv6")
    dag, cid = small
    monkeypatch.setattr("dags.Server", lambda place, handler: _Sixth(("::1", place[1]), handler))
    with peering(dag) as started:
        fetch_into(store, cid, [gateway(started.url.replace("127.0.0.1", "[::1]"))])
    assert store.read(cid) == HELLO


# Proxies.


def test_a_proxy_that_wants_a_password_is_told(
    store: Store, peer: Start, small: tuple[Dag, str], no_proxies: pytest.MonkeyPatch
) -> None:
    dag, cid = small
    proxy = peer(dag, says(407))
    no_proxies.setenv("HTTP_PROXY", proxy.url)
    with pytest.raises(RemoteError, match="odd answered 407"):
        fetch_into(store, cid, [gateway("http://gateway.example")])
    assert proxy.asked


def test_a_proxy_without_a_scheme_speaks_http(
    store: Store, peer: Start, small: tuple[Dag, str], no_proxies: pytest.MonkeyPatch
) -> None:
    dag, cid = small
    proxy = peer(dag)
    no_proxies.setenv("http_proxy", proxy.url.removeprefix("http://"))
    fetch_into(store, cid, [gateway("http://gateway.example")])
    assert proxy.asked
    assert store.read(cid) == HELLO


@pytest.mark.parametrize("said", ["no {}", "you are me:geh@im, and that is wrong", "no=me%3Ageh%40im", "geh@im"])
def test_a_proxy_with_a_password_is_told_it_and_nobody_else(
    said: str, store: Store, peer: Start, small: tuple[Dag, str], no_proxies: pytest.MonkeyPatch
) -> None:
    dag, cid = small
    proxy = peer(dag, lambda asked: asked.answer(said.format(asked.headers["Proxy-Authorization"]).encode(), 403))
    no_proxies.setenv("HTTP_PROXY", proxy.url.replace("//", "//me:geh%40im@"))
    with pytest.raises(RemoteError, match="odd answered 403") as caught:
        fetch_into(store, cid, [gateway("http://gateway.example")])
    assert proxy.asked[0].headers["Proxy-Authorization"] == "Basic bWU6Z2VoQGlt"
    assert not any(secret in str(caught.value) for secret in ("bWU6Z2VoQGlt", "geh@im", "geh%40im"))


def test_a_proxy_that_cannot_be_reached_is_told(
    store: Store, small: tuple[Dag, str], no_proxies: pytest.MonkeyPatch
) -> None:
    no_proxies.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with pytest.raises(RemoteError, match="odd cannot be reached"):
        fetch_into(store, small[1], [gateway("http://gateway.example")])


def test_a_long_body_comes_through_a_proxy(store: Store, peer: Start, no_proxies: pytest.MonkeyPatch) -> None:
    dag = Dag()
    cid = dag.chunked(BIG, 1 << 18)
    proxy = peer(dag, lambda asked: asked.serve(cars=False))
    no_proxies.setenv("HTTP_PROXY", proxy.url)
    fetch_into(store, cid, [gateway("http://gateway.example", 20)])
    assert store.read(cid) == BIG
    assert "body" in proxy.kinds()
