"""Stores in a folder, in memory and in S3; the latter is moto's server in a process of its own."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from typing import TYPE_CHECKING

import dask.config
import pytest
from buckets import Buckets

from stargazer.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path) -> Iterator[Path]:
    """This host's cache: another one for each test."""
    with dask.config.set({"stargazer.cache": str(tmp_path / "cache")}):
        yield tmp_path / "cache"


def need_moto() -> None:
    for package in ("moto", "s3fs", "flask"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (pip install '.[test]')")


@pytest.fixture(scope="module")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buckets]:
    """S3 with users of several rights, for the tests of one file."""
    need_moto()
    made = Buckets(tmp_path_factory.mktemp("buckets"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    need_moto()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    endpoint = f"http://127.0.0.1:{port}"
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        try:
            _wait_for(endpoint, server)
            request = urllib.request.Request(f"{endpoint}/bucket", method="PUT")
            urllib.request.urlopen(request, timeout=10).close()
            yield "s3://bucket"
        finally:
            server.terminate()
            server.wait()


def _wait_for(endpoint: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(endpoint, timeout=5).close()
        except OSError:
            assert server.poll() is None, "moto's server did not start"
            time.sleep(0.1)
        else:
            return
    raise AssertionError("moto's server does not answer")


@pytest.fixture(params=["file", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return str(tmp_path / "store")
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    return f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}"


@pytest.fixture
def store(url: str) -> Store:
    return Store(url)


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Make a file: its path below a folder, and its content."""

    def make(name: str, content: str | bytes = "") -> Path:
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[[Store], Store]:
    """The same store as another host sees it: nothing cached."""

    def look(store: Store) -> Store:
        other = Store(store.url)
        other.context.__dict__["cache"] = tmp_path / f"cache-{uuid.uuid4().hex}"
        return other

    return look
