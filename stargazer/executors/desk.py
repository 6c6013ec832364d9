"""Where an executor fetches inputs and puts results, by signed URLs: this machine serves them while a build runs."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from stargazer.bounded import is_count
from stargazer.errors import ConfigError, RemoteRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from io import BufferedIOBase
    from pathlib import Path

    from stargazer.executors.asking import Sent

__all__ = ["Desk"]

PIECE = 1 << 20
OUTPUT, FINALIZE = "output", "finalize"


class Desk:
    """A small server for one build.

    Each URL is good for one thing, until a time, and for so many bytes: these stand in it with an HMAC-SHA256 of them
    and of the build, whose key nobody else has.

    Parameters
    ----------
    url
        ``http://HOST:PORT`` by which the executor reaches this machine; it listens there. Port 0 for any that is free.
    build
        Id of the build.
    given
        Its inputs.
    place
        File that the bundle is put into.
    largest
        Bytes that are taken.
    seconds
        For which the URLs are good.

    Raises
    ------
    ConfigError
        This machine cannot listen there.
    """

    def __init__(self, url: str, build: str, given: Sequence[Sent], place: Path, largest: int, seconds: float) -> None:
        self.build, self.given, self.place, self.largest = build, list(given), place, largest
        self._key, self._expires = secrets.token_bytes(32), int(time.time() + seconds)
        self._final = False
        parts = urlsplit(url)
        host = parts.hostname or ""
        try:
            self._server = ThreadingHTTPServer((host, parts.port or 0), _handler(self))
        except OSError as error:
            raise ConfigError(f"cannot listen on {url} for what an executor fetches: {error.strerror}") from error
        self._server.daemon_threads = True
        shown = f"[{host}]" if ":" in host else host
        self._base = f"http://{shown}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="stargazer-desk", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def manifest(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The manifest of a request: what it would have sent stands behind URLs."""
        described = metadata["inputs"]
        params = dict(metadata["transform"]["params"])
        params["input_specs"] = {each["name"]: each for each in described}
        inputs = [
            {
                "artifact_id": each["cid"],
                "version": 1,
                "uri": each["uri"],
                **self._entry(f"input-{number}", each["byte_size"]),
            }
            for number, each in enumerate(described)
        ]
        about = {"build_id": self.build, "artifact_id": self.build, "version": 1, "principal": None, "tenant": None}
        about |= {"executor_ref": metadata["transform"]["ref"], "params": params}
        output = {**self._entry(OUTPUT, self.largest), "max_bytes": self.largest}
        ended = self._entry(FINALIZE, 0)["url"]
        return {"build_id": self.build, "metadata": about, "inputs": inputs, "output": output, "finalize_url": ended}

    def taken(self) -> Path:
        """Return the bundle, once the executor has said that it is whole.

        Raises
        ------
        RemoteRefused
            It never did.
        """
        if not self._final or not self.place.exists():
            raise RemoteRefused("the executor says that it has uploaded what it made, and it is not here")
        return self.place

    def _entry(self, what: str, size: int) -> dict[str, Any]:
        told = f"expires={self._expires}&size={size}&signature={self._signature(what, self._expires, size)}"
        return {"url": f"{self._base}/{self.build}/{what}?{told}", "expires_at": float(self._expires)}

    def _signature(self, what: str, expires: int, size: int) -> str:
        text = f"{self.build}\n{what}\n{expires}\n{size}"
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def allowed(self, path: str) -> tuple[str, int] | None:
        """What a signed URL is for, and its bytes; None of one that is not signed here, or no longer good."""
        try:
            parts = urlsplit(path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            build, _, what = parts.path.strip("/").partition("/")
            expires, size = int(query["expires"]), int(query["size"])
        except (KeyError, ValueError):
            return None
        signature = self._signature(what, expires, size).encode()
        signed = hmac.compare_digest(query.get("signature", "").encode("utf-8", "replace"), signature)
        return (what, size) if signed and build == self.build and time.time() < expires else None

    def put(self, body: BufferedIOBase, length: int) -> None:
        """Take the bundle; a second one takes the first one's place."""
        with self.place.open("wb") as file:
            while length > 0 and (piece := body.read(min(PIECE, length))):
                length -= len(piece)
                file.write(piece)
        if length:
            self.place.unlink()

    def end(self) -> dict[str, Any]:
        """Note that the bundle is whole."""
        self._final = self.place.exists()
        return {"build_id": self.build, "success": self._final}


def _handler(desk: Desk) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 120
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            found = desk.allowed(self.path)
            if found is None or not found[0].startswith("input-"):
                self._answer(403, {"detail": "this URL is not good, or no longer"})
                return
            sent = desk.given[int(found[0].removeprefix("input-"))]
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(sent.size))
            self.end_headers()
            if isinstance(sent.data, bytes):
                self.wfile.write(sent.data)
                return
            with sent.data.open("rb") as file:
                shutil.copyfileobj(file, self.wfile, PIECE)

        def do_POST(self) -> None:
            found, length = desk.allowed(self.path), self.headers.get("content-length", "")
            if found is None or found[0] not in (OUTPUT, FINALIZE) or not is_count(length):
                self.close_connection = True
                self._answer(403, {"detail": "this URL is not good, or no longer"})
            elif found[0] == FINALIZE:
                self.rfile.read(min(int(length), PIECE))
                self._answer(200, desk.end())
            elif int(length) > found[1]:
                self.close_connection = True
                self._answer(413, {"detail": f"at most {found[1]} bytes are taken"})
            else:
                desk.put(self.rfile, int(length))
                self._answer(200, {"byte_size": int(length)})

        def _answer(self, status: int, told: Mapping[str, Any]) -> None:
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Write nothing: URLs are secrets as long as they are good."""

    return Handler
