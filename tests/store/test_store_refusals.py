"""What a service of object stores says that is not about one object: errors of ours, and nothing is missing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import stargazer as sg
from stargazer.errors import StoreError, StoreReadOnly
from stargazer.store.backends.objects import ObjectBackend

CID = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


class Refusing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answer = (403, "AccessDenied")

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, code = self.answer
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode() if self.command != "HEAD" else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("x-amz-bucket-region", "eu-west-1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x" * 20)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"s3://bucket/store?endpoint=http://127.0.0.1:{server.server_port}&region=us-east-1"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((301, "PermanentRedirect"), "another region"),
        ((400, "AuthorizationHeaderMalformed"), "another region"),
        ((403, "RequestTimeTooSkewed"), "clock of this machine"),
        ((400, "ExpiredToken"), "log in again"),
        ((403, "InvalidAccessKeyId"), "access key"),
        ((403, "SignatureDoesNotMatch"), "secret key"),
        ((403, "InvalidObjectState"), "archived"),
        ((507, "XMinioStorageFull"), "failed"),
        ((501, "NotImplemented"), "failed"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[1],
)
def test_each_refusal_is_an_error_of_ours(
    answer: tuple[int, str], told: str, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Refusing, "answer", answer)
    with pytest.raises(StoreError, match=told):
        sg.Store(refusing).read(CID)
    backend = ObjectBackend(refusing)
    for ask in (lambda: backend.read("x"), lambda: backend.read_many(["x", "y"]), lambda: backend.replace("x", b"y")):
        with pytest.raises(StoreError, match=told):
            ask()


class Answered(Exception):
    def __init__(self, code: str) -> None:
        self.response = {"Error": {"Code": code}}


@pytest.mark.parametrize("code", ["ExpiredToken", "RequestTimeTooSkewed", "SlowDown", "PermanentRedirect"])
def test_nothing_is_missing_because_a_session_ended(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = ObjectBackend("memory://refusals")
    backend.replace("format", b"{}")
    kind: Any = PermissionError

    def refused(*_: Any, **__: Any) -> bytes:
        raise kind(13, "no") from Answered(code)

    monkeypatch.setattr(backend, "_may_read", lambda: True)  # a moment ago
    monkeypatch.setattr(type(backend.fs), "cat_file", refused)
    monkeypatch.setattr(type(backend.fs), "info", refused)
    for ask in (backend.read, backend.stat):
        with pytest.raises(StoreError) as found:
            ask("x")
        assert not isinstance(found.value, StoreReadOnly)
    with pytest.raises(StoreError):
        backend.read_many(["x", "y"])


def test_what_could_be_read_once_is_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer to HEAD has no code: a 403 is a missing object only as long as others can be read."""
    from stargazer.store import layout

    backend = ObjectBackend("memory://refusals-later")
    backend.replace(layout.HEADER, b"{}")

    def refused(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Forbidden")

    with monkeypatch.context() as patched:
        patched.setattr(type(backend.fs), "info", refused)
        assert backend.stat("x") is None
        patched.setattr(type(backend.fs), "cat_file", refused)
        backend._could_read = -1e9  # some seconds later
        with pytest.raises(StoreError, match="no right"):
            backend.stat("x")
