"""S3 with rights: moto's server that checks signatures and policies, and a front for what it does not do as S3 does."""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ADMIN = "admin"
OBJECTS = "arn:aws:s3:::lab/*"
BUCKET = "arn:aws:s3:::lab"
RIGHTS: dict[str, list[tuple[str, str]]] = {
    ADMIN: [("s3:*", "*")],
    "writer": [
        ("s3:GetObject", OBJECTS),
        ("s3:PutObject", OBJECTS),
        ("s3:DeleteObject", OBJECTS),
        ("s3:ListBucket", BUCKET),
    ],
    "reader": [("s3:GetObject", OBJECTS), ("s3:ListBucket", BUCKET)],
    "getter": [("s3:GetObject", OBJECTS)],
    "stranger": [("s3:GetObject", "arn:aws:s3:::other/*")],
}
"""Users of the tests, and what each may do."""

DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class Buckets:
    """A server of S3 with the users of `RIGHTS`, each a profile in a file of credentials."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.credentials = folder / "credentials"
        self._server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "S3_UPLOAD_PART_MIN_SIZE": "256"},
        )
        try:
            self._wait()
            self._make_users()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        for _ in range(1800):
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
            except OSError:
                assert self._server.poll() is None, "moto's server did not start"
                time.sleep(0.1)
            else:
                return
        raise AssertionError("moto's server does not answer")

    def _make_users(self) -> None:
        iam = self._client("iam", "first", "first")
        lines = []
        for name, rights in RIGHTS.items():
            iam.create_user(UserName=name)
            allowed = [{"Effect": "Allow", "Action": action, "Resource": what} for action, what in rights]
            policy = json.dumps({"Version": "2012-10-17", "Statement": allowed})
            iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy)
            key = iam.create_access_key(UserName=name)["AccessKey"]
            lines += [f"[{name}]", f"aws_access_key_id = {key['AccessKeyId']}"]
            lines += [f"aws_secret_access_key = {key['SecretAccessKey']}", ""]
            if name == ADMIN:
                self.admin = self._client("s3", key["AccessKeyId"], key["SecretAccessKey"])
        self.credentials.write_text("\n".join(lines))
        self.admin.create_bucket(Bucket="lab")
        plain = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.url}/moto-api/reset-auth", data=b"0", headers=plain, method="POST")
        urllib.request.urlopen(request, timeout=60).close()

    def _client(self, service: str, key: str, secret: str) -> Any:
        import boto3

        names = {"aws_access_key_id": key, "aws_secret_access_key": secret}
        return boto3.client(service, endpoint_url=self.url, region_name="us-east-1", **names)

    def close(self) -> None:
        self._server.terminate()
        self._server.wait()


def step_of(command: str, path: str) -> str:
    """Which step of an upload in parts a request is: ``begin``, ``part 2``, ``complete`` or ``abort``; or none."""
    query = parse_qs(urlsplit(path).query, keep_blank_values=True)
    if "partNumber" in query and command == "PUT":
        return f"part {query['partNumber'][0]}"
    if "uploads" in query and command == "POST":
        return "begin"
    return {"POST": "complete", "DELETE": "abort"}.get(command, "") if "uploadId" in query else ""


Meddling = Callable[[str], "str | tuple[int, str] | None"]


class Front:
    """A way to `Buckets` that answers as S3 does where moto does not.

    Parameters
    ----------
    buckets
        What lies behind it.
    hides
        Whether what is missing is forbidden, as it is to whoever has no right to list.
    meddles
        Given a step of an upload in parts, says what comes of it: ``"reset"``, the connection; ``"lost"``, its answer;
        a status and a code, in place of it.

    Attributes
    ----------
    payers
        What each request said of who pays.
    steps
        Of uploads in parts, in order.
    """

    def __init__(self, buckets: Buckets, *, hides: bool = False, meddles: Meddling = lambda _: None) -> None:
        self.payers: list[str | None] = []
        self.steps: list[str] = []
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                return

            def answer(self) -> None:
                front.payers.append(self.headers.get("x-amz-request-payer"))
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                step = step_of(self.command, self.path)
                front.steps += [step] if step else []
                comes = meddles(step) if step else None
                if comes == "reset":
                    return self.reset()
                if isinstance(comes, tuple):
                    return self.refuse(*comes)
                onward = http.client.HTTPConnection("127.0.0.1", buckets.port, timeout=30)
                onward.request(self.command, self.path, body=sent or None, headers=dict(self.headers.items()))
                found = onward.getresponse()
                body, status = found.read(), found.status
                if comes == "lost":
                    return self.reset()
                if hides and status == 404:
                    body, status = (b"" if self.command == "HEAD" else DENIED), 403
                self.send_response_only(status)
                for name, value in found.getheaders():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                length = found.getheader("Content-Length") if self.command == "HEAD" and status < 300 else None
                self.send_header("Content-Length", length or str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                return None

            def reset(self) -> None:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()

            def refuse(self, status: int, code: str) -> None:
                self.send_response_only(status)
                body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
