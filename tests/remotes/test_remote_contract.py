"""Our own remotes keep the contract that others can import."""

from __future__ import annotations

from pathlib import Path

import pytest

from stargazer.remotes import Remote, read_remote
from stargazer.store import Store, layout
from stargazer.testing.remotes import RemoteContract


class TestStoreRemote(RemoteContract):
    """A store in a folder, and one in memory."""

    @pytest.fixture(params=["folder", "memory"])
    def remote(self, request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
        url = str(tmp_path / "lab") if request.param == "folder" else f"memory://{tmp_path}"
        return read_remote({"store": url, "name": "lab"})

    def give(self, remote: Remote, cid: str, store: Store) -> None:
        remote.push(cid, store)

    def harm(self, remote: Remote, cid: str) -> None:
        Store(remote.url).backend.replace(layout.blob(cid), b"something else")
