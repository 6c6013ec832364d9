"""Stores in Google Cloud Storage and Azure keep the contract too, against emulators of these where they are installed.

``.ci/emulators`` installs them; without they are skipped. What is put only if absent is put once by many writers.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stargazer.errors import StoreError
from stargazer.store import Store, layout
from stargazer.store.backends.objects import ObjectBackend
from stargazer.testing.stores import StoreContract

pytestmark = pytest.mark.slow

# What every copy of Azure's emulator knows: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SHORT = os.environ.get("STARGAZER_SHORT") == "1"


def needed(program: str, package: str) -> str:
    """The path of an emulator; the test is skipped where it is not installed, or the package that speaks with it."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed (pip install '.[test]')")
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (.ci/emulators)")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until a server says anything at all."""
    for _ in range(1800):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            assert server.poll() is None, "the emulator did not start"
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the emulator does not answer")


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    program, port = needed("fake-gcs-server", "gcsfs"), free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory", "-public-host", url]
    server = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        answers(f"{url}/storage/v1/b", server)
        request = urllib.request.Request(
            f"{url}/storage/v1/b?project=p", data=b'{"name": "bucket"}', headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=30).close()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # zonal buckets are asked for by gRPC
            yield url
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program, port = needed("azurite-blob", "adlfs"), free_port()
    folder = tmp_path_factory.mktemp("azurite")
    arguments = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder), "--skipApiVersionCheck"]
    server = subprocess.Popen([program, *arguments, "--silent"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    place = f"http://127.0.0.1:{port}/{ACCOUNT}"
    told = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={place};"
    try:
        answers(place, server)
        from azure.storage.blob import BlobServiceClient

        BlobServiceClient.from_connection_string(told).create_container("bucket")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AZURE_STORAGE_CONNECTION_STRING", told)
            yield "abfs://bucket"
    finally:
        server.terminate()
        server.wait()


@pytest.mark.filterwarnings("ignore")
class TestGoogle(StoreContract):
    """Google Cloud Storage, by its emulator."""

    @pytest.fixture
    def url(self, google: str) -> str:
        return f"gs://bucket/{uuid.uuid4().hex}?endpoint={google}&anonymous=true"


@pytest.mark.filterwarnings("ignore")
class TestAzure(StoreContract):
    """Azure Blob Storage, by its emulator."""

    @pytest.fixture
    def url(self, azure: str) -> str:
        return f"{azure}/{uuid.uuid4().hex}"


def address(service: str, request: pytest.FixtureRequest) -> str:
    if service == "google":
        endpoint = request.getfixturevalue("google")
        return f"gs://bucket/{uuid.uuid4().hex}?endpoint={endpoint}&anonymous=true"
    return f"{request.getfixturevalue('azure')}/{uuid.uuid4().hex}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("service", ["google", "azure"])
def test_of_many_writers_one_puts_what_is_put_if_absent(
    service: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = address(service, request)
    writers = 4 if SHORT else 12
    (tmp_path / "file").write_bytes(b"file")
    backends = [ObjectBackend(url) for _ in range(writers)]
    with ThreadPoolExecutor(writers) as pool:
        put = list(pool.map(lambda each: each[1]._put_if_absent("pins/x", b"%d" % each[0]), enumerate(backends)))
        uploaded = list(pool.map(lambda each: each.upload(str(tmp_path / "file"), "blobs/ab/abcd"), backends))
    assert put.count(True) == 1
    assert uploaded.count(True) == 1
    assert backends[0].read("pins/x") == b"%d" % put.index(True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("service", ["google", "azure"])
def test_a_bucket_that_is_not_there_is_said_to_be_missing(
    service: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = address(service, request).replace("//bucket/", "//nowhere/")
    (tmp_path / "a").write_text("a")
    with pytest.raises(StoreError, match="no bucket"):
        Store(url).add(tmp_path / "a")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("service", ["google", "azure"])
def test_many_small_objects_empty_ones_and_ranges(service: str, request: pytest.FixtureRequest) -> None:
    backend = ObjectBackend(address(service, request))
    contents = {f"records/ab/{number:03}": b"%d" % number for number in range(8 if SHORT else 40)} | {"pins/e": b""}
    backend.replace_many(contents)
    assert backend.read_many([*contents, "pins/absent"]) == contents
    assert backend.read("pins/e") == b""
    assert backend.size("pins/e") == 0
    assert backend.names("pins") == ["e"]
    assert {entry.place for entry in backend.entries("records")} == {place for place in contents if "records" in place}
    assert backend.move("pins/e", layout.quarantine("e")) is True
    assert backend.remove("pins/e") is False
