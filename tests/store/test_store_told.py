"""What libraries of object stores say of what is no failure does not reach whoever uses a store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fsspec.registry import _registry

from stargazer.errors import StoreError
from stargazer.store.backends.objects import ObjectBackend
from stargazer.store.backends.told import first_told, plainly


class Empty(BaseHTTPRequestHandler):
    """Google's answer to who wants a part of an object of no bytes, and of one that is not for him."""

    def do_GET(self) -> None:
        status, told = (403, "not for you") if "closed" in self.path else (416, "Requested range not satisfiable")
        body = b'{"error": {"code": %d, "message": "%s"}}' % (status, told.encode())
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectBackend]:
    core = pytest.importorskip("gcsfs.core")
    # The other one asks by gRPC for the kind of a bucket, for a minute.
    monkeypatch.setitem(_registry, "gs", core.GCSFileSystem)
    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_address[1]}"
        yield ObjectBackend(f"gs://bucket/store?endpoint={place}&anonymous=true")
        server.shutdown()


@pytest.mark.filterwarnings("ignore")
def test_an_object_of_no_bytes_is_read_without_a_word(
    google: ObjectBackend, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert google.read("pins/empty") == b""
    assert google.read_many(["pins/a", "pins/b"]) == {"pins/a": b"", "pins/b": b""}
    with pytest.raises(StoreError, match="cannot be read: no right"):
        google.read("closed/a")
    assert "Traceback" not in capfd.readouterr().err + caplog.text


class Answer(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}}


def refused(kind: type[OSError], code: str) -> OSError:
    error = kind(code)
    error.__cause__ = Answer(code)
    return error


def upload() -> None:
    try:
        raise refused(OSError, "ExpiredToken")
    except OSError:
        raise refused(PermissionError, "AccessDenied") from Answer("AccessDenied")


def test_of_an_upload_and_its_end_that_were_both_refused_the_first_is_told_however_many_look() -> None:
    with pytest.raises(OSError, match="ExpiredToken"), plainly(), plainly(), first_told():
        upload()


def test_what_was_refused_before_is_not_told_of_what_is_refused_now() -> None:
    try:
        raise refused(FileNotFoundError, "NoSuchKey")
    except FileNotFoundError:
        with pytest.raises(PermissionError, match="AccessDenied"), plainly(), first_told():
            raise refused(PermissionError, "AccessDenied") from Answer("AccessDenied")
