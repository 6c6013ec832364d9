"""Blocks made by hand: what other tools make, and what nobody should."""

from __future__ import annotations

import copy
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gateways import Server

from stargazer.cid.cid import DAG_PB_PREFIX, RAW_PREFIX, binary, text_of
from stargazer.cid.dagpb import decode, encode, varint
from stargazer.cid.directory import digit, murmur3
from stargazer.remotes.car import car_header, car_section

Child = tuple[str, bytes, int]


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def text(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


class Dag(dict[str, bytes]):
    """Blocks by CID."""

    def raw(self, data: bytes) -> str:
        cid = text_of(RAW_PREFIX + sha256(data).digest())
        self[cid] = data
        return cid

    def node(self, children: list[Child], data: bytes) -> str:
        links = [(child if isinstance(child, bytes) else binary(child), name, size) for child, name, size in children]
        block = encode(links, data)
        cid = text_of(DAG_PB_PREFIX + sha256(block).digest())
        self[cid] = block
        return cid

    def file(self, parts: list[tuple[str, int]], extra: bytes = b"", data: bytes = b"") -> str:
        total = len(data) + sum(size for _, size in parts)
        body = number(1, 2) + (text(2, data) if data else b"") + number(3, total)
        sizes = b"".join(number(4, size) for _, size in parts)
        return self.node([(cid, b"", size) for cid, size in parts], body + sizes + extra)

    def leaf(self, data: bytes) -> str:
        """A leaf as ``ipfs add`` made them of old: a node that holds the bytes."""
        return self.node([], number(1, 2) + (text(2, data) if data else b"") + number(3, len(data)))

    def chunked(self, data: bytes, chunk: int, width: int = 174, leaf: Callable[[bytes], str] | None = None) -> str:
        make = leaf or self.raw
        parts = [(make(data[at : at + chunk]), len(data[at : at + chunk])) for at in range(0, max(1, len(data)), chunk)]
        while len(parts) > 1:
            groups = [parts[at : at + width] for at in range(0, len(parts), width)]
            parts = [(self.file(group), sum(size for _, size in group)) for group in groups]
        return parts[0][0]

    def directory(self, *children: Any, extra: bytes = b"") -> str:
        return self.node(sorted(children, key=lambda child: child[1]), number(1, 1) + extra)

    def symlink(self, target: bytes) -> str:
        return self.node([], number(1, 4) + text(2, target))

    def shard(self, links: list[Child], bits: int, fanout: int = 256, hashed: int = 0x22) -> str:
        field = bits.to_bytes((bits.bit_length() + 7) // 8, "big")
        return self.node(links, number(1, 5) + text(2, field) + number(5, hashed) + number(6, fanout))

    def sharded(self, names: dict[bytes, tuple[str, int]], fanout: int, depth: int = 0) -> str:
        """A directory of these names as a trie of that fan-out."""
        slots: dict[int, dict[bytes, tuple[str, int]]] = {}
        for name, child in names.items():
            slot = digit(murmur3(name), depth, fanout)
            assert slot is not None
            slots.setdefault(slot, {})[name] = child
        wide, links = len(f"{fanout - 1:X}"), []
        for slot, below in sorted(slots.items()):
            prefix = b"%0*X" % (wide, slot)
            if len(below) > 1:
                links.append((self.sharded(below, fanout, depth + 1), prefix, 0))
            else:
                [(name, (cid, size))] = below.items()
                links.append((cid, prefix + name, size))
        return self.shard(links, sum(1 << slot for slot in slots), fanout)

    def walk(self, cid: str) -> Iterator[str]:
        waiting = [cid]
        while waiting:
            name = waiting.pop()
            yield name
            if name in self and name.startswith("bafybei"):
                for link, _, _ in reversed(decode(self[name]).links):
                    waiting.append(text_of(link))

    def car(self, cid: str) -> bytes:
        return b"".join([car_header(cid), *(car_section(name, self[name]) for name in self.walk(cid) if name in self)])

    def body(self, cid: str) -> bytes:
        """The bytes of a file."""
        if not cid.startswith("bafybei"):
            return self[cid]
        node = decode(self[cid])
        return node.data + b"".join(self.body(text_of(link)) for link, _, _ in node.links)


class Asked(BaseHTTPRequestHandler):
    """One request; the server's `answers` says what is answered."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle_any(self) -> None:
        peer: Peer = self.server.peer  # type: ignore[attr-defined]
        size = int(self.headers.get("Content-Length") or 0)
        self.sent = self.rfile.read(size) if size else b""
        parts = urlsplit(self.path)
        self.place, self.query = parts.path, {key: value[0] for key, value in parse_qs(parts.query).items()}
        self.cid = parts.path.rpartition("/")[2]
        self.kind = self.query.get("format", "body")
        with peer.lock:
            peer.asked.append(copy.copy(self))  # one object serves a whole connection
        try:
            peer.answers(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def answer(self, body: bytes = b"", status: int = 200, announced: int | None = None, **headers: str) -> None:
        self.send_response(status)
        length = len(body) if announced is None else announced
        sent = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        for name, value in {**sent, **{name.replace("_", "-"): value for name, value in headers.items()}}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunked(self, body: bytes, *, end: bool = True, **headers: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        for at in range(0, len(body), 1 << 16):
            part = body[at : at + (1 << 16)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        if end:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True

    def reset(self) -> None:
        self.connection.close()
        self.close_connection = True

    def serve(self, *, cars: bool = True, bodies: bool = True) -> None:
        """Answer as an honest gateway does."""
        dag = self.server.peer.dag  # type: ignore[attr-defined]
        if self.cid == "bafkqaaa":
            return self.answer(b"")
        if self.cid not in dag:
            return self.answer(b"no such block", 404)
        if self.kind == "raw":
            return self.answer(dag[self.cid], Content_Type="application/vnd.ipld.raw")
        if self.kind == "car":
            if not cars:
                return self.answer(b"", 501)
            return self.answer(dag.car(self.cid), Content_Type="application/vnd.ipld.car")
        if not bodies:
            return self.answer(b"", 406)
        body, start = dag.body(self.cid), int(self.headers.get("Range", "bytes=0-")[6:-1])
        if not start:
            return self.answer(body)
        return self.answer(body[start:], 206, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")


Answers = Callable[[Asked], None]


class Peer:
    """A server on loopback that answers as a test says."""

    def __init__(self, dag: Dag, answers: Answers) -> None:
        self.dag, self.answers = dag, answers
        self.asked: list[Asked] = []
        self.lock = threading.Lock()
        self.url = ""

    def kinds(self) -> list[str]:
        return [each.kind for each in self.asked]


@contextmanager
def peering(dag: Dag, answers: Answers = Asked.serve, tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    peer, server = Peer(dag, answers), Server(("127.0.0.1", 0), Asked)
    server.peer = peer  # type: ignore[attr-defined]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    peer.url = f"http{'' if tls is None else 's'}://127.0.0.1:{server.server_port}"
    try:
        yield peer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def speaking(speak: Callable[..., None], *, told: bool = False) -> Iterator[str]:
    """A server that reads a request and then does what a test says with the connection; told of the request, too."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(50)
    ended = threading.Event()

    def each(connection: socket.socket) -> None:
        try:
            with connection:
                request = connection.recv(1 << 16)
                speak(connection, request) if told else speak(connection)
        except OSError:
            pass

    def loop() -> None:
        while not ended.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=each, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()
