"""Gateways of our own, on loopback: an honest one, and evil ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from stargazer.cid.cid import DAG_PB_PREFIX, binary, text_of
from stargazer.cid.dagpb import decode
from stargazer.remotes.dag import car_header, car_section
from stargazer.remotes.push import batches
from stargazer.store import Store

Answer = Callable[["Request", bytes], None]


def blocks_of(store: Store, cid: str) -> dict[str, bytes]:
    """Every block below a CID."""
    return {name: block for batch in batches(store, cid, lambda _: False) for name, block in batch.blocks}


class Request(BaseHTTPRequestHandler):
    """One request; `server.gateway` says what is answered."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        gateway: Gateway = self.server.gateway  # type: ignore[attr-defined]
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        cid = path.rpartition("/")[2]
        wanted = query.get("format", ["body"])[0]
        with gateway.lock:
            gateway.asked.append((wanted, cid))
        offered = {"raw": True, "car": gateway.cars, "body": gateway.bodies}
        if cid not in gateway.blocks or not offered[wanted]:
            return self.answer(b"no", 406 if cid in gateway.blocks else 404)
        body = {"car": gateway.car, "body": gateway.body, "raw": gateway.blocks.__getitem__}[wanted](cid)
        try:
            gateway.sends(self, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET

    @property
    def is_car(self) -> bool:
        return "format=car" in self.path

    def answer(self, body: bytes, status: int = 200, announced: int | None = None) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[6:-1]) if status == 200 else 0
        if start:
            status, whole, body = 206, len(body), body[start:]
        self.send_response(status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.send_header("Content-Type", f"application/vnd.ipld.{'car' if self.is_car else 'raw'}")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunked(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Content-Type", f"application/vnd.ipld.{'car' if self.is_car else 'raw'}")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    """A server that does not mind clients who hang up."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class Gateway:
    """What a gateway has, what it was asked for, and how it answers."""

    def __init__(self, blocks: dict[str, bytes], sends: Answer, cars: bool, bodies: bool) -> None:
        self.blocks, self.sends, self.cars, self.bodies = blocks, sends, cars, bodies
        self.asked: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.url = ""

    def walk(self, cid: str) -> Iterator[str]:
        """CIDs below one, depth first, again where they come again."""
        waiting = [cid]
        while waiting:
            name = waiting.pop()
            yield name
            if binary(name)[:4] == DAG_PB_PREFIX:
                waiting += [text_of(link) for link, _, _ in reversed(decode(self.blocks[name]).links)]

    def car(self, cid: str) -> bytes:
        """A CAR of everything below a CID."""
        return b"".join([car_header(cid), *(car_section(name, self.blocks[name]) for name in self.walk(cid))])

    def body(self, cid: str) -> bytes:
        """A file as it is."""
        return b"".join([self.blocks[name] for name in self.walk(cid) if binary(name)[:4] != DAG_PB_PREFIX])

    def raw(self) -> list[str]:
        """CIDs that were asked for one by one."""
        return [cid for wanted, cid in self.asked if wanted == "raw"]


@contextmanager
def serving(
    blocks: dict[str, bytes], sends: Answer = Request.answer, *, cars: bool = True, bodies: bool = False
) -> Iterator[Gateway]:
    """A gateway on a port of its own."""
    gateway = Gateway(blocks, sends, cars, bodies)
    server = Server(("127.0.0.1", 0), Request)
    server.gateway = gateway  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    gateway.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def flipped(request: Request, body: bytes) -> None:
    """One bit is another."""
    middle = len(body) // 2
    request.answer(body[:middle] + bytes([body[middle] ^ 4]) + body[middle + 1 :])


def truncated(request: Request, body: bytes) -> None:
    """The connection ends before what was announced has come."""
    request.answer(body[: len(body) // 2], announced=len(body))
    request.close_connection = True


def shortened(request: Request, body: bytes) -> None:
    """Less is sent, and announced so."""
    request.answer(body[: len(body) * 2 // 3])


def wrong(request: Request, body: bytes) -> None:
    """Another block, a good one."""
    other = b"another block"
    name = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    request.answer(car_header(name) + car_section(name, b"hello world") if request.is_car else other)


def endless(request: Request, body: bytes) -> None:
    """A stream that never ends."""
    request.chunked()
    if request.is_car:
        request.chunk(body[: len(body) // 2])
    while True:
        request.chunk(bytes(1 << 16))


def endless_block(request: Request, body: bytes) -> None:
    """A block in a CAR that says it has a petabyte."""
    if not request.is_car:
        return endless(request, body)
    request.chunked()
    header = 1 + body[0]
    request.chunk(body[:header] + b"\x80\x80\x80\x80\x80\x80\x80\x01")
    while True:
        request.chunk(bytes(1 << 16))


def looping(request: Request, body: bytes) -> None:
    """Redirects to itself."""
    request.send_response(302)
    request.send_header("Location", request.path)
    request.send_header("Content-Length", "0")
    request.end_headers()


def dripping(request: Request, body: bytes) -> None:
    """A byte now and then."""
    request.chunked()
    for byte in body:
        request.chunk(bytes([byte]))
        time.sleep(0.05)


def failing(request: Request, body: bytes) -> None:
    """An error of the server, always."""
    request.answer(b"out of order", 503)


EVIL = {
    each.__name__: each
    for each in (flipped, truncated, shortened, wrong, endless, endless_block, looping, dripping, failing)
}
