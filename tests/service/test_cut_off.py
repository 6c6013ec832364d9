"""Files that go in and out over connections that are cut: they go on, are never sent twice, and are right."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from services import Served, listen
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import stargazer as sg
from stargazer import config
from stargazer.errors import RemoteError
from stargazer.service import remote
from stargazer.service.settings import Settings

MIB = 1 << 20
SIZE = 64 * MIB


class Relay:
    """Passes bytes between a client and a server, and cuts connections after so many bytes in one direction.

    Parameters
    ----------
    url
        Of the server.
    cuts
        After how many bytes each connection that carries as many is cut, in order; later ones stand.
    """

    def __init__(self, url: str, cuts: list[int], upwards: bool) -> None:
        self._place = (urlsplit(url).hostname, urlsplit(url).port)
        self._cuts, self._upwards, self._lock = cuts, upwards, threading.Lock()
        self.passed = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._place)
                for source, target, counts in ((near, far, self._upwards), (far, near, not self._upwards)):
                    threading.Thread(target=self._pass, args=(source, target, counts), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        carried = 0
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
                carried += len(data)
                if counts and self._count(len(data), carried):
                    break
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _count(self, size: int, carried: int) -> bool:
        """Note what passed; whether this connection has carried enough."""
        with self._lock:
            self.passed += size
            if self._cuts and carried >= self._cuts[0]:
                self._cuts.pop(0)
                return True
            return False

    @property
    def cuts_left(self) -> int:
        return len(self._cuts)

    def close(self) -> None:
        self._listening.close()


@contextmanager
def relayed(url: str, cuts: list[int], *, upwards: bool) -> Iterator[Relay]:
    relay = Relay(url, cuts, upwards)
    try:
        yield relay
    finally:
        relay.close()


@pytest.fixture
def large(tmp_path: Path, random_bytes: Callable[[int], bytes]) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(random_bytes(SIZE))
    return path


@pytest.fixture
def random_bytes() -> Callable[[int], bytes]:
    import random

    return random.Random(7).randbytes


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PART", 8 * MIB)
    monkeypatch.setattr(remote, "growing", lambda failures: 0.05)


def test_uploads_go_on_where_they_were_cut(
    serve: Callable[[Settings], Served], lab: Settings, large: Path, tmp_path: Path
) -> None:
    served, cuts = serve(lab), [5 * MIB, 11 * MIB, 2 * MIB, 7 * MIB, 1 * MIB, 6 * MIB, 3 * MIB, 3 * MIB]
    with relayed(served.url, cuts, upwards=True) as relay, sg.Store(tmp_path / "mine"):
        added = sg.ServiceClient(relay.url, "anna-token").add(large)
        assert added.cid == sg.add(large).cid
        assert relay.cuts_left == 0, "more cuts than there are attempts: each part that came counts"
        assert relay.passed < 1.5 * SIZE
    assert served.ask("GET", f"/v1/assets/{added.id}", "anna-token").json()["cid"] == added.cid


def test_downloads_go_on_where_they_were_cut(
    serve: Callable[[Settings], Served], lab: Settings, large: Path, tmp_path: Path
) -> None:
    served = serve(lab)
    with sg.Store(tmp_path / "mine"):
        added = sg.ServiceClient(served.url, "anna-token").add(large)
    with relayed(served.url, [9 * MIB, 20 * MIB, 4 * MIB], upwards=False) as relay, sg.Store(tmp_path / "other"):
        path = sg.ServiceClient(relay.url, "anna-token").fetch(added)
        assert path.read_bytes() == large.read_bytes()
        assert relay.cuts_left == 0
        assert relay.passed < 1.6 * SIZE


class Losing:
    """An application of which the answer to the first request of a method is lost, after it was done or before."""

    def __init__(self, app: ASGIApp, method: str, after: bool) -> None:
        self._app, self._method, self._after = app, method, after
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope.get("method", "")
        self.asked.append(method)

        async def lost(_: Message) -> None:
            """Nothing goes out."""

        if method == self._method and self.asked.count(method) == 1:
            if self._after:
                await self._app(scope, receive, lost)
            raise ConnectionResetError("the line is dead")
        await self._app(scope, receive, send)


@pytest.mark.parametrize(("method", "after", "parts"), [("PATCH", True, 1), ("PATCH", False, 2), ("HEAD", True, 2)])
def test_an_answer_that_is_lost_sends_nothing_twice(
    method: str, after: bool, parts: int, lab: Settings, tmp_path: Path
) -> None:
    from stargazer.service.application import application

    path = tmp_path / "small.bin"
    path.write_bytes(b"small" * 1000)
    app = application(lab)
    losing = Losing(app, method, after)
    inner = Losing(losing, "PATCH", False) if method == "HEAD" else losing
    with listen(inner) as url, sg.Store(tmp_path / "mine"):
        added = sg.ServiceClient(url, "anna-token").add(path)
        assert added.cid == sg.add(path).cid
    assert inner.asked.count("PATCH") == parts
    assert sg.Store(lab.stores["lab"]).has(added.cid)


def test_to_send_a_part_may_take_longer_than_failures_are_waited_for(
    lab: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As over a line that carries 64 MiB in half an hour, and breaks once."""
    from stargazer.service.application import application

    hours = itertools.count(0, 3600)
    monkeypatch.setattr(remote, "time", SimpleNamespace(monotonic=lambda: next(hours), sleep=lambda _: None))
    (tmp_path / "small.bin").write_bytes(b"small" * 1000)
    with listen(Losing(application(lab), "PATCH", False)) as url, sg.Store(tmp_path / "mine"):
        added = sg.ServiceClient(url, "anna-token").add(tmp_path / "small.bin")
    assert sg.Store(lab.stores["lab"]).has(added.cid)


def test_what_the_service_refuses_is_told_at_once(
    serve: Callable[[Settings], Served], lab: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.txt").write_text("one")
    with sg.Store(tmp_path / "mine"):
        other = sg.add(tmp_path / "one.txt")
        (tmp_path / "two.txt").write_text("two")
        monkeypatch.setattr(remote, "cid_of_path", lambda _: other.cid)
        monkeypatch.setattr(remote, "growing", None)  # nothing is waited for
        with pytest.raises(RemoteError, match=rf"and not {other.cid}"):
            sg.ServiceClient(serve(lab).url, "anna-token").add(tmp_path / "two.txt")


def test_an_empty_file_is_sent(serve: Callable[[Settings], Served], lab: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    with sg.Store(tmp_path / "mine"):
        client = sg.ServiceClient(serve(lab).url, "anna-token")
        assert client.fetch(client.add(tmp_path / "empty.txt")).read_bytes() == b""


def test_a_service_that_is_gone_is_waited_for_and_then_told(
    lab: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "remote_patience", lambda: 0.1)
    (tmp_path / "one.txt").write_text("one")

    async def away(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            from stargazer.service.application import application

            await application(lab)(scope, receive, send)
            return
        raise ConnectionResetError("gone")

    with (
        listen(away) as url,
        sg.Store(tmp_path / "mine"),
        pytest.raises(RemoteError, match=r"cannot be asked|answered 5"),
    ):
        sg.ServiceClient(url, "anna-token").add(tmp_path / "one.txt")
