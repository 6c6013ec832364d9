"""A gateway of raw blocks that waits before each answer: ``STORE CID SECONDS``; prints its URL."""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from stargazer.remotes.push import batches
from stargazer.store import Store


def serve(blocks: dict[str, bytes], seconds: float) -> None:
    """Answer until somebody ends the process."""

    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            time.sleep(seconds)
            block = blocks.get(self.path.partition("?")[0].rpartition("/")[2])
            known = block is not None and "format=raw" in self.path
            body = block if known and block is not None else b""
            self.send_response(200 if known else 406)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


def main(place: str, cid: str, seconds: str) -> None:
    """Serve what lies below a CID."""
    found = batches(Store(place), cid, lambda _: False)
    serve({name: block for batch in found for name, block in batch.blocks}, float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
