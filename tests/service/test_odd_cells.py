"""Requests to an executor that would run without limits, or with other inputs than were sent; cells without results."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from services import listen

from stargazer.service.executor.worker import WorkerLimits, worker_application

PATIENCE = 300.0
HEADERS = {"Authorization": "Bearer secret", "X-Strata-Executor-Protocol": "v1"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listen(worker_application("secret", WorkerLimits(seconds=60.0, memory=1 << 30, bytes=1 << 20))) as found:
        yield found


def ask(url: str, source: str, *parts: tuple[str, bytes], inputs: Any = (), **params: Any) -> httpx.Response:
    transform = {"ref": "notebook_cell@v1", "code_hash": "0", "params": {"source": source, **params}}
    told = json.dumps({"protocol_version": "v1", "transform": transform, "inputs": list(inputs)})
    files: list[Any] = [("metadata", ("metadata.json", told, "application/json"))]
    files += [(name, (name, data)) for name, data in parts]
    return httpx.post(f"{url}/v1/execute", headers=HEADERS, files=files, timeout=PATIENCE)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1, "5", [1], True])
def test_a_time_that_is_none_is_no_way_around_the_limit(url: str, seconds: Any) -> None:
    found = ask(url, "b = 1", timeout_seconds=seconds)
    assert (found.status_code, "timeout_seconds" in found.json()["detail"]) == (400, True)


@pytest.mark.parametrize("env", [["a"], {"A=B": "x"}, {"A": "a\0b"}, {"A": ["x"]}, {"": "x"}])
def test_an_environment_that_is_none(url: str, env: Any) -> None:
    assert ask(url, "b = 1", env=env).status_code == 400


def entry(**more: Any) -> dict[str, Any]:
    return {"name": "a", "format": "json/object", "uri": "a", **more}


def test_inputs_are_those_that_were_sent(url: str) -> None:
    assert ask(url, "b = a", ("a", b"12"), inputs=[entry(byte_size=2)]).status_code == 200
    assert "2 bytes" in ask(url, "b = a", ("a", b"12"), inputs=[entry(byte_size=5)]).json()["detail"]
    assert "one name" in ask(url, "b = a", ("a", b"1"), inputs=[entry(), entry()]).json()["detail"]
    assert "two parts" in ask(url, "b = a", ("a", b"1"), ("a", b"2"), inputs=[entry()]).json()["detail"]


FORGED = """
import json, os
told = {"content_type": "json/object", "file": "/etc/hostname"}
json.dump({"variables": {"b": told}}, open("manifest.json", "w"))
open("stdout.txt", "w"), open("stderr.txt", "w")
os._exit(0)
"""


@pytest.mark.parametrize(
    "source",
    [
        "import os; os._exit(0)",
        "import os; open('manifest.json', 'w').write('x'); os._exit(0)",
        "import os; open('manifest.json', 'w').write('[]'); os._exit(0)",
        FORGED,
    ],
    ids=["gone", "torn", "list", "elsewhere"],
)
def test_a_cell_that_leaves_no_result_has_failed(url: str, source: str) -> None:
    found = ask(url, source)
    assert found.status_code == 200
    with tarfile.open(fileobj=io.BytesIO(found.content)) as tar:
        told = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert (told["success"], told["variables"], "ended its process" in told["error"]) == (False, {}, True)


def test_all_bytes_count(url: str) -> None:
    assert ask(url, "print('x' * 3_000_000)").status_code == 413

    def unannounced() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="z"; filename="z"\r\n\r\n'
        for _ in range(40):
            yield bytes(1 << 16)
        yield b"\r\n--x--\r\n"

    told = {**HEADERS, "Content-Type": "multipart/form-data; boundary=x"}
    found = httpx.post(f"{url}/v1/execute", headers=told, content=unannounced(), timeout=PATIENCE)
    assert (found.status_code, found.json()["type"]) == (413, "urn:stargazer:error:TooLarge")


def test_paths_that_there_are_not_are_problems_as_any(url: str) -> None:
    for method, path, status in (("GET", "/none", 404), ("GET", "/v1/execute", 405)):
        found = httpx.request(method, f"{url}{path}", headers=HEADERS)
        assert (found.status_code, found.headers["content-type"]) == (status, "application/problem+json")
