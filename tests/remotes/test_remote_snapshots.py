"""Somebody's published snapshot, by what people pass on."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dask.config
import pytest
from gateways import Gateway, blocks_of

from stargazer.errors import DataError, NotebookError, RemoteError
from stargazer.notebook.published import read_address
from stargazer.notebook.snapshots import Snapshot, fetch_snapshot, freeze
from stargazer.remotes import make_bundle
from stargazer.store import Store

pytest.importorskip("pyarrow")
pytest.importorskip("nbformat")

CID = "bafybeia3lsmhibzqk3uo5phryz4wurlj26pn74klczwbmnxq3pf5q3iyy4"


@pytest.fixture
def made(tmp_path: Path, origin: Store) -> Snapshot:
    """A snapshot in the store of somebody else."""
    path = tmp_path / "sums.py"
    path.write_text("# %%\nx = 20\n# %%\ny = x + 22\n")
    with origin:
        return freeze(path, store=origin)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A plain web server, and the folder that it shows."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


def test_the_address_of_a_gateway_is_asked_for_it(
    made: Snapshot, origin: Store, store: Store, serve: Callable[..., Gateway]
) -> None:
    gateway = serve(blocks_of(origin, made.cid))
    found = fetch_snapshot(f"{gateway.url}/ipfs/{made.cid}/?download=true", store=store)
    assert (found.cid, found.source.read_text()) == (made.cid, made.source.read_text())
    asked = len(gateway.asked)
    assert fetch_snapshot(f"ipfs://{made.cid}", store=store).cid == made.cid
    assert len(gateway.asked) == asked


def test_the_address_of_a_bundle_is_read_and_its_files_come_from_the_remotes(
    made: Snapshot, origin: Store, store: Store, site: tuple[str, Path]
) -> None:
    url, folder = site
    (folder / "sums.yaml").write_text(make_bundle("sums", [made.asset], origin).to_yaml())
    (folder / "no.yaml").write_text("- 1")
    with dask.config.set({"stargazer.remotes": [{"store": origin.url}]}):
        assert fetch_snapshot(f"{url}/sums.yaml", store=store).cid == made.cid
        with pytest.raises(DataError, match="is no bundle"):
            fetch_snapshot(f"{url}/no.yaml", store=store)
        with pytest.raises(RemoteError):
            fetch_snapshot(f"{url}/missing.yaml", store=store)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("https://example.org/page.html", "names no snapshot"),
        ("https://example.org/ipfs/nonsense", "names no snapshot"),
        ("ipfs://nonsense/x", "names no snapshot"),
        (f"https://me:word@example.org/ipfs/{CID}", "password"),
    ],
)
def test_addresses_that_lead_nowhere(address: str, told: str) -> None:
    with pytest.raises(NotebookError, match=told):
        read_address(address)


def test_addresses_are_read() -> None:
    assert read_address(CID) is None
    assert read_address("a-bundle") is None
    within = read_address(f"https://{CID}.ipfs.dweb.link/sums.py")
    assert within is not None
    assert (within.cid, within.remote.name) == (CID, "dweb.link")  # type: ignore[union-attr]
    below = read_address(f"https://example.org/gate/ipfs/{CID}/page.html")
    assert below is not None
    assert (below.cid, below.bundle) == (CID, None)
