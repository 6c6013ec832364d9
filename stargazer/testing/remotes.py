"""What every remote does: a contract that whoever writes one can let it keep.

::

    from stargazer.testing.remotes import RemoteContract


    class TestMine(RemoteContract):
        @pytest.fixture
        def remote(self, tmp_path):
            return MyRemote("mine", str(tmp_path))

        def give(self, remote, cid, store):
            remote.push(cid, store)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import dask.config
import pytest

from stargazer.assets import Asset
from stargazer.cid import cid_of_bytes
from stargazer.errors import RemoteCannot, RemoteError
from stargazer.remotes import Remote, fetch_into
from stargazer.store import Store

__all__ = ["RemoteContract"]

LARGE = bytes(range(256)) * 4096


class RemoteContract(ABC):
    """Tests that any remote must pass; a subclass has a fixture ``remote`` and says how it gets what it gives."""

    @abstractmethod
    def give(self, remote: Remote, cid: str, store: Store) -> None:
        """Have a remote hold a file or directory of a store."""

    def harm(self, remote: Remote, cid: str) -> None:
        """Change the bytes that a remote holds under a CID; where a test cannot do that, the test is skipped."""
        pytest.skip(f"{remote!r} cannot be made to lie")

    @pytest.fixture(autouse=True)
    def host_cache(self, tmp_path: Path) -> Iterator[Path]:
        """Have another cache of this host for each test."""
        with dask.config.set({"stargazer.cache": str(tmp_path / "cache")}):
            yield tmp_path / "cache"

    @pytest.fixture
    def origin(self, tmp_path: Path) -> Store:
        """Make the store that has the bytes."""
        return Store(tmp_path / "origin")

    @pytest.fixture
    def target(self, tmp_path: Path) -> Store:
        """Make the store that lacks them."""
        return Store(tmp_path / "target")

    def add(self, origin: Store, tmp_path: Path, name: str, data: bytes) -> Asset:
        """Add a file to a store."""
        (tmp_path / name).write_bytes(data)
        return origin.add(tmp_path / name)

    @pytest.mark.parametrize("data", [b"", b"small", LARGE], ids=["empty", "small", "large"])
    def test_a_file_comes_as_it_was_given(
        self, remote: Remote, origin: Store, target: Store, tmp_path: Path, data: bytes
    ) -> None:
        cid = str(self.add(origin, tmp_path, "file", data).cid)
        self.give(remote, cid, origin)
        assert remote.has(cid)
        assert fetch_into(target, cid, [remote]) == cid
        assert target.read(cid) == data
        assert target.fsck().ok

    def test_a_directory_comes_whole(self, remote: Remote, origin: Store, target: Store, tmp_path: Path) -> None:
        (tmp_path / "folder" / "inner").mkdir(parents=True)
        (tmp_path / "folder" / "a").write_bytes(b"a")
        (tmp_path / "folder" / "inner" / "b").write_bytes(LARGE)
        cid = str(origin.add(tmp_path / "folder").cid)
        self.give(remote, cid, origin)
        fetch_into(target, cid, [remote])
        assert dict(target.walk(cid)) == dict(origin.walk(cid))
        assert target.read(f"{cid}/inner/b") == LARGE

    def test_a_range_is_that_of_the_file(self, remote: Remote, origin: Store, tmp_path: Path) -> None:
        cid = str(self.add(origin, tmp_path, "file", LARGE).cid)
        self.give(remote, cid, origin)
        assert remote.fetch(cid, 300_000, 300_010) == LARGE[300_000:300_010]
        assert remote.fetch(cid, len(LARGE) - 3) == LARGE[-3:]

    def test_what_it_lacks_is_told_with_its_name(self, remote: Remote, target: Store) -> None:
        cid = cid_of_bytes(b"nobody has this")
        assert not remote.has(cid)
        with pytest.raises(RemoteError, match=remote.name):
            fetch_into(target, cid, [remote])
        assert not target.has(cid)

    def test_other_bytes_are_refused(self, remote: Remote, origin: Store, target: Store, tmp_path: Path) -> None:
        cid = str(self.add(origin, tmp_path, "file", b"as it was").cid)
        self.give(remote, cid, origin)
        self.harm(remote, cid)
        with pytest.raises(RemoteError, match=remote.name):
            fetch_into(target, cid, [remote])
        assert not target.has(cid)

    def test_what_it_does_not_offer_it_says(self, remote: Remote) -> None:
        for verb in {"pin", "unpin"} - set(remote.offers):
            with pytest.raises(RemoteCannot, match=remote.name):
                getattr(remote, verb)(cid_of_bytes(b"x"))
