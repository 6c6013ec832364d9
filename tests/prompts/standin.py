"""A stand-in for services of models, which says so in its name: it knows their wire shapes and no answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STAND_IN = "stand-in-for-a-model"

Reply = tuple[int, dict[str, str], Any]


class StandIn:
    """What was asked of it, and what it will say.

    Attributes
    ----------
    asked
        Path, headers and body of each request.
    replies
        What is answered, in turn; the last one again and again.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.replies: list[Reply] = []
        self.url = ""
        self.gone = threading.Event()

    def says(self, *replies: Reply) -> None:
        self.asked.clear()
        self.replies = list(replies)

    def reply(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def chat(text: str | None, finish: str = "stop", refusal: str | None = None) -> Reply:
    """As OpenAI's chat completions answer."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    used = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return 200, {}, {"id": "c1", "object": "chat.completion", "model": STAND_IN, "choices": [choice], "usage": used}


def message(text: str, stop: str = "end_turn") -> Reply:
    """As Anthropic's messages answer."""
    told = {"id": "msg_1", "type": "message", "role": "assistant", "model": STAND_IN, "stop_sequence": None}
    told |= {"content": [{"type": "text", "text": text}], "stop_reason": stop}
    return 200, {}, {**told, "usage": {"input_tokens": 7, "output_tokens": 3}}


def problem(status: int, text: str, **headers: str) -> Reply:
    """As both tell of errors."""
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, {"error": {"message": text}}


@contextmanager
def standing_in() -> Iterator[StandIn]:
    found = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status, headers, told = found.reply()
            if told == "hang":
                self.rfile.read(1)  # until whoever asked closes
                found.gone.set()
                return
            data = told.encode() if isinstance(told, str) else json.dumps(told).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
