"""A stand-in for Pinata's API of version 3, written after its published description. It is not Pinata."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from stargazer.cid import cid_of_bytes
from stargazer.cid.cid import text_of

JWT = "eyJhbGciOiJIUzI1NiJ9.c3RhbmQtaW4.a-secret-that-nobody-may-see"


def root_of(car: bytes) -> str:
    """The first root that the header of a CAR names."""
    _before, _, after = car.partition(b"\xd8\x2a\x58\x25\x00")
    return text_of(after[:36])


class PinataStandIn:
    """What the account has, and what goes wrong."""

    def __init__(self) -> None:
        self.files: dict[str, list[dict[str, Any]]] = {"public": [], "private": []}
        self.bytes: dict[str, bytes] = {}
        self.uploads: dict[str, dict[str, Any]] = {}
        self.signed: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self.busy = 0
        self.wrong_cid = ""
        self.page = 3
        self.breaks_after = 0
        self.endless = False
        self.most_part = 0
        self.answers: list[float] = []
        self.lock = threading.Lock()
        self.url = ""

    def keep(
        self, data: bytes, network: str, name: str, keyvalues: dict[str, str], *, car: bool = False
    ) -> dict[str, Any]:
        cid = self.wrong_cid or (root_of(data) if car else cid_of_bytes(data))
        entry = {"id": str(uuid.uuid4()), "name": name, "cid": cid, "size": len(data), "keyvalues": keyvalues}
        entry["is_duplicate"] = any(each["cid"] == cid for each in self.files[network])
        self.bytes[cid] = data
        self.files[network].append(entry)
        return entry


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:
        pass

    @property
    def service(self) -> PinataStandIn:
        found: PinataStandIn = self.server.service  # type: ignore[attr-defined]
        return found

    def answer(self, body: Any = None, status: int = 200, **headers: str) -> None:
        data = body if isinstance(body, (bytes, memoryview)) else json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        with self.service.lock:
            self.service.requests.append((self.command, parts.path))
            self.service.answers.append(time.monotonic())
            busy, self.service.busy = self.service.busy > 0, max(0, self.service.busy - 1)
        body = (
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if "Content-Length" in self.headers
            else (self.chunked_body() if self.headers.get("Transfer-Encoding") == "chunked" else b"")
        )
        if busy:
            return self.answer({"error": "rate limit"}, 429, Retry_After="1")
        if parts.path.startswith(("/gateway/", "/ipfs/")):
            return self.give(parts.path, dict(parse_qsl(parts.query)))
        if self.headers.get("Authorization") != f"Bearer {JWT}":
            return self.answer({"error": f"not allowed: {self.headers.get('Authorization')}"}, 401)
        return self.route(parts.path, dict(parse_qsl(parts.query)), body)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = handle_any

    def chunked_body(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def route(self, path: str, query: dict[str, str], body: bytes) -> None:
        one = re.fullmatch(r"/v3/files/(public|private)/([0-9a-f-]{36})", path)
        if path.startswith("/v3/files/tus/"):
            self.tus(path, body)
        elif (self.command, path) == ("POST", "/v3/files") and "Tus-Resumable" in self.headers:
            self.begin()
        elif (self.command, path) == ("POST", "/v3/files"):
            self.multipart(body)
        elif (self.command, path) == ("POST", "/v3/files/private/download_link"):
            self.sign(json.loads(body)["url"])
        elif (self.command, path) == ("POST", "/v3/files/sign"):
            self.answer({"data": f"{self.service.url}/upload?X-Signature=upload-signature"})
        elif self.command == "GET" and path in ("/v3/files/public", "/v3/files/private"):
            self.list(path.rpartition("/")[2], query)
        elif one:
            self.change(one[1], one[2], body)
        else:
            self.answer({"error": "no such thing"}, 404)

    def multipart(self, body: bytes) -> None:
        boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
        fields: dict[str, bytes] = {}
        for part in body.split(b"--" + boundary)[1:-1]:
            head, _, data = part[2:-2].partition(b"\r\n\r\n")
            name = re.search(rb'name="([^"]+)"', head)
            assert name
            fields[name[1].decode()] = data
        name = fields["name"].decode()
        keyvalues = json.loads(fields["keyvalues"])
        network, car = fields["network"].decode(), fields.get("car") == b"true"
        if car and network == "private":
            return self.answer({"error": "CARs are for the public network"}, 400)
        return self.answer({"data": self.service.keep(fields["file"], network, name, keyvalues, car=car)})

    def begin(self) -> None:
        pairs = (each.split(" ") for each in self.headers["Upload-Metadata"].split(","))
        about = {name: base64.b64decode(value).decode() for name, value in pairs}
        name = uuid.uuid4().hex
        self.service.uploads[name] = {"about": about, "length": int(self.headers["Upload-Length"]), "data": bytearray()}
        self.answer(status=201, Location=f"{self.service.url}/v3/files/tus/{name}")

    def tus(self, path: str, body: bytes) -> None:
        upload = self.service.uploads.get(path.rpartition("/")[2])
        if upload is None:
            return self.answer(status=404)
        if self.command == "HEAD":
            return self.answer(Upload_Offset=str(len(upload["data"])), Upload_Length=str(upload["length"]))
        if int(self.headers["Upload-Offset"]) != len(upload["data"]):
            return self.answer(status=409)
        self.service.most_part = max(self.service.most_part, len(body))
        upload["data"] += body
        if self.service.breaks_after and len(upload["data"]) >= self.service.breaks_after:
            self.service.breaks_after = 0
            return self.answer({"error": "gone"}, 403)
        headers = {"Upload_Offset": str(len(upload["data"]))}
        if len(upload["data"]) == upload["length"]:
            about = upload["about"]
            about_it = about["network"], about["filename"], json.loads(about["keyvalues"])
            entry = self.service.keep(bytes(upload["data"]), *about_it, car=about.get("car") == "true")
            headers["upload_cid"] = entry["cid"]
        return self.answer(status=204, **headers)

    def sign(self, url: str) -> None:
        signature = hashlib.sha256(url.encode()).hexdigest()
        self.service.signed[signature] = urlsplit(url).path
        self.answer({"data": f"{url}?X-Signature={signature}"})

    def give(self, path: str, query: dict[str, str]) -> None:
        private = path.startswith("/gateway/")
        if private and self.service.signed.get(query.get("X-Signature", "")) != path:
            return self.answer(status=403)
        data = self.service.bytes.get(path.rpartition("/")[2])
        if data is None:
            return self.answer(status=404)
        if self.service.endless:
            return self.give_for_ever()
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        if start >= len(data) > 0 and "Range" in self.headers:
            return self.answer(status=416)
        ranged = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if "Range" in self.headers else {}
        return self.answer(memoryview(data)[start:], 206 if ranged else 200, **ranged)

    def give_for_ever(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            self.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")

    def list(self, network: str, query: dict[str, str]) -> None:
        wanted = {key[9:-1]: value for key, value in query.items() if key.startswith("metadata[")}
        found = [
            each
            for each in self.service.files[network]
            if query.get("cid") in (None, each["cid"])
            and query.get("name") in (None, each["name"])
            and all(each["keyvalues"].get(key) == value for key, value in wanted.items())
        ]
        start = int(query.get("pageToken", "0"))
        end = start + min(self.service.page, int(query["limit"]))
        token = str(end) if end < len(found) else None
        self.answer({"data": {"files": found[start:end], "next_page_token": token}})

    def change(self, network: str, identifier: str, body: bytes) -> None:
        found = [each for each in self.service.files[network] if each["id"] == identifier]
        if not found:
            return self.answer({"error": "no such file"}, 404)
        if self.command == "DELETE":
            self.service.files[network].remove(found[0])
            return self.answer({"data": None})
        found[0].update(json.loads(body))
        return self.answer({"data": found[0]})


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def standing_in() -> Iterator[PinataStandIn]:
    """The stand-in, on a port of its own."""
    service = PinataStandIn()
    server = Server(("127.0.0.1", 0), Answering)
    server.service = service  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
