"""What every store does, wherever it lies: a contract that whoever writes a backend can let it keep.

::

    from stargazer.testing.stores import StoreContract


    class TestMine(StoreContract):
        @pytest.fixture
        def url(self, tmp_path):
            return f"mine://{tmp_path}"

Each test gets a URL where no store is yet.
"""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import dask.config
import pytest

from stargazer.assets import R1, R2, Alignment, AlignmentIndex, Asset
from stargazer.cid import cid_of_bytes, cid_of_path
from stargazer.errors import BlobLost, CIDError, NotFound, StoreError
from stargazer.store import Store, active_store, layout

__all__ = ["StoreContract"]

File = Callable[..., Path]
LARGE = bytes(range(256)) * 4096


class StoreContract:
    """Tests that the store at any URL must pass; a subclass has a fixture ``url``."""

    @pytest.fixture(autouse=True)
    def host_cache(self, tmp_path: Path) -> Iterator[Path]:
        """Have another cache of this host for each test."""
        with dask.config.set({"stargazer.cache": str(tmp_path / "cache")}):
            yield tmp_path / "cache"

    @pytest.fixture
    def store(self, url: str) -> Store:
        """The store, which does not exist yet."""
        return Store(url)

    @pytest.fixture
    def file(self, tmp_path: Path) -> File:
        """Make a file: its path below a folder, and its content."""

        def make(name: str, content: str | bytes = "") -> Path:
            path = tmp_path / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            return path

        return make

    @pytest.fixture
    def elsewhere(self, tmp_path: Path) -> Callable[[Store], Store]:
        """The same store as another host sees it: nothing cached."""

        def look(store: Store) -> Store:
            other = Store(store.url)
            other.context.__dict__["cache"] = tmp_path / f"cache-{uuid.uuid4().hex}"
            return other

        return look

    def test_an_added_file_comes_back_under_its_name_with_its_companions(self, store: Store, file: File) -> None:
        index = AlignmentIndex(path=file("index", "index"), sample_id="s1", name="s1.bam.bai")
        stored = store.add(file("s1.bam", LARGE), Alignment(sample_id="s1"), companions=[index])
        assert stored.cid == cid_of_bytes(LARGE)
        assert stored.path is None
        assert stored.name == "s1.bam"
        path = stored.fetch()
        assert path.name == "s1.bam"
        assert path.read_bytes() == LARGE
        assert path.with_name("s1.bam.bai").read_text() == "index"
        assert stored.companion(AlignmentIndex).alignment_cid == stored.cid
        assert stored.companion(AlignmentIndex).fetch().read_text() == "index"
        assert file("s1.bam", LARGE).exists()
        assert store.fetch(str(stored.cid)).read_bytes() == LARGE
        assert stored.fetch() == path

    def test_a_handle_is_found_by_id_by_cid_and_by_facts(
        self, store: Store, file: File, elsewhere: Callable[..., Store]
    ) -> None:
        stored = store.add(file("a.fq", "reads"), R1(sample_id="s1"))
        for same in (store, Store(store.url), elsewhere(store)):
            assert same.get(stored.id) == same.get(str(stored.cid)) == stored
            assert same.find(asset="r1", sample_id="s1") == [stored]
            assert same.exists(stored)

    def test_bytes_that_are_missing_are_never_there(self, store: Store, file: File) -> None:
        stored = store.add(file("a", "a"))
        missing = Asset(cid=cid_of_bytes(b"never stored"))
        assert not store.exists(missing)
        assert not store.exists(Asset(cid=stored.cid, companions=[missing]))
        with pytest.raises(BlobLost, match="missing"):
            store.stage(missing, file("work/x").parent)
        with pytest.raises(NotFound):
            store.get(str(missing.cid))
        with pytest.raises(NotFound):
            store.get("0" * 64)
        with pytest.raises(NotFound):
            store.add(file("a").with_name("absent"))

    def test_same_bytes_in_two_roles_keep_both_records(self, store: Store, file: File) -> None:
        path = file("x.fq", "same")
        one, two = store.add(path, R1(sample_id="a")), store.add(path, R2(sample_id="a"))
        assert one.cid == two.cid
        assert one.id != two.id
        assert store.find(cid=one.cid) == [one, two]

    def test_a_directory_is_stored_file_by_file(self, store: Store, file: File) -> None:
        root = file("d/.zgroup", "{}").parent
        file("d/x/y", LARGE), file("d/x/z", "z")
        (root / "empty").mkdir()
        stored = store.add(root)
        assert stored.cid == cid_of_path(root)
        assert store.read(f"{stored.cid}/x/y") == LARGE
        assert store.open(f"{stored.cid}/x/z").read() == b"z"
        assert store.exists(stored)
        assert store.is_directory(str(stored.cid))
        assert cid_of_path(store.stage(stored, root.parent / "copy", copy=True).path) == stored.cid
        fetched = stored.fetch()
        assert sorted(p.relative_to(fetched).as_posix() for p in fetched.rglob("*")) == [
            ".zgroup",
            "empty",
            "x",
            "x/y",
            "x/z",
        ]
        with pytest.raises(NotFound, match="nope"):
            store.read(f"{stored.cid}/x/nope")

    def test_links_in_a_directory_are_refused(self, store: Store, file: File) -> None:
        folder = file("d/a", "a").parent
        (folder / "link").symlink_to("a")
        with pytest.raises(CIDError, match="symbolic link"):
            store.add(folder)

    @pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
    def test_corrupt_bytes_are_found_never_served_and_repaired(
        self, store: Store, file: File, elsewhere: Callable[..., Store], content: bytes
    ) -> None:
        stored = store.add(file("a", content))
        store.backend.replace(layout.blob(str(stored.cid)), bytes(len(content)))
        fresh = elsewhere(store)
        with pytest.raises(BlobLost, match="corrupt"):
            fresh.read(str(stored.cid))
        with pytest.raises(BlobLost, match="missing"):
            fresh.stage(stored, file("work/x").parent)
        assert not fresh.exists(stored)
        assert [
            entry.place.startswith(f"quarantine/{stored.cid}.") for entry in fresh.backend.entries("quarantine")
        ] == [True]
        fresh.add(file("a", content))
        assert elsewhere(store).read(str(stored.cid)) == content

    def test_records_and_keys_come_back_or_are_a_miss(self, store: Store) -> None:
        data = [b'{"task": %d}' % number for number in range(30)]
        ids = [store.records.put(each) for each in data]
        assert store.records.get(ids[3]) == data[3]
        assert store.records.get("0" * 64) is None
        assert store.records.get_many([*ids, "0" * 64]) == dict(zip(ids, data, strict=True))
        keys = {f"key{number:03}": b"%d" % number for number in range(30)}
        store.records.set_keys(keys)
        assert store.records.get_keys([*keys, "absent"]) == keys
        assert store.records.get_keys(["key001"]) == {"key001": b"1"}
        store.records.set_keys({"key001": b"new"})
        assert store.records.get_keys(["key001"]) == {"key001": b"new"}
        assert store.records.get_keys([]) == {}

    def test_keys_lead_to_records_that_are_there_and_whole(self, store: Store) -> None:
        first, second = (store.records.put(data) for data in (b'{"n": 1}', b'{"n": 2}'))
        store.records.link_keys(["key-a", "key-b"], first)
        assert store.records.behind(["key-a", "key-b", "key-c"]) == {
            "key-a": (first, b'{"n": 1}'),
            "key-b": (first, b'{"n": 1}'),
        }
        store.records.link_keys(["key-b"], second)
        store.records.link_keys(["key-b"], second)
        assert store.records.behind(["key-a", "key-b"]) == {
            "key-a": (first, b'{"n": 1}'),
            "key-b": (second, b'{"n": 2}'),
        }
        assert store.records.get_keys(["key-a", "key-b"]) == {"key-a": first.encode(), "key-b": second.encode()}
        store.records.set_keys({"key-a": second.encode(), "key-c": b"0" * 64})
        assert store.records.behind(["key-a", "key-b", "key-c"]) == dict.fromkeys(
            ["key-a", "key-b"], (second, b'{"n": 2}')
        )
        store.backend.remove(layout.record(second))
        assert store.records.behind(["key-a", "key-b"]) == {}
        assert not [entry for entry in store.backend.entries("tmp") if b"{" in (store.backend.read(entry.place) or b"")]

    def test_keys_lead_to_several_records_where_something_else_decides(self, store: Store) -> None:
        first, second, reader = (store.records.put(data) for data in (b'{"n": 1}', b'{"n": 2}', b'{"n": 3}'))
        store.records.link_keys(["key-a"], first, [first])
        store.records.link_keys(["key-a"], second, [second, reader])
        store.records.link_keys(["key-a", "key-b"], first, [first])
        lines = [f"{first} {first}", f"{second} {second} {reader}"]
        assert store.records.behind(["key-a"]) == {"key-a": ("", "\n".join(lines).encode())}
        assert store.records.behind(["key-b"]) == {"key-b": ("", lines[0].encode())}
        for number in range(10):
            store.records.link_keys(["key-b"], first, [f"{number:064x}"])
        assert store.records.behind(["key-b"])["key-b"][1].count(b"\n") == 7
        assert store.fsck().ok
        store.records.link_keys(["key-a"], second)
        assert store.records.behind(["key-a"]) == {"key-a": (second, b'{"n": 2}')}
        store.records.link_keys(["key-a"], first, [first])
        assert store.records.behind(["key-a"]) == {"key-a": ("", lines[0].encode())}

    def test_a_key_that_is_a_copy_of_a_record_is_as_good_and_a_changed_one_is_torn(self, store: Store) -> None:
        identifier = store.records.put(b'{"n": 1}')
        store.backend.replace(layout.key("copied"), b'{"n": 1}')
        store.backend.replace(layout.key("changed"), b'{"n": 3}')
        assert store.records.behind(["copied", "changed"]) == {"copied": (identifier, b'{"n": 1}')}
        assert store.fsck().torn == (layout.key("changed"),)
        assert store.fsck().ok

    @pytest.mark.parametrize("torn", [b"", b"half", bytes(40)])
    def test_what_power_loss_tore_is_a_miss_and_can_be_written_again(
        self, store: Store, file: File, torn: bytes
    ) -> None:
        stored, record = store.add(file("a", "content " * 5)), store.records.put(b"r" * 40)
        store.records.set_keys({"key": b"value"})
        for place in (layout.record(record), layout.key("key"), layout.asset(stored.id), layout.blob(str(stored.cid))):
            store.backend.replace(place, torn)
        assert store.records.get(record) is None
        assert store.records.get_keys(["key"]) == {}
        with pytest.raises(NotFound):
            store.get(stored.id)
        with pytest.raises(BlobLost):
            store.read(str(stored.cid))
        assert store.records.put(b"r" * 40) == record
        assert store.records.get(record) == b"r" * 40
        again = store.add(file("a", "content " * 5))
        assert again == stored
        assert store.read(str(stored.cid)) == b"content " * 5
        assert store.get(stored.id) == stored

    def test_names_that_are_no_names_are_refused(self, store: Store) -> None:
        for name in ("../x", "a/b", "", "ab", "a b c"):
            with pytest.raises(StoreError, match="cannot name"):
                store.records.set_keys({name: b""})
            with pytest.raises(StoreError):
                store.pin(name + "/")

    def test_nothing_is_made_before_something_is_stored(self, url: str, file: File) -> None:
        store = Store(url)
        assert store.backend.read(layout.HEADER) is None
        store.blobs.put_bytes(b"log")
        assert Store(url).id == store.id == pickle.loads(pickle.dumps(store)).id
        assert store.read(cid_of_bytes(b"log")) == b"log"

    def test_a_store_of_a_newer_format_or_damaged_is_refused_clearly(self, url: str) -> None:
        store = Store(url)
        store.backend.replace(layout.HEADER, b'{"format": 99, "profile": "x", "id": "y"}')
        with pytest.raises(StoreError, match="newer Stargazer"):
            Store(url)
        store.backend.replace(layout.HEADER, b"{")
        with pytest.raises(StoreError, match="damaged"):
            Store(url)

    def test_the_profile_is_chosen_when_a_store_is_made(self, url: str, file: File) -> None:
        store = Store(url, profile="unixfs-v1-2025")
        stored = store.add(file("a", LARGE))
        assert str(stored.cid).startswith("bafkrei")
        assert Store(url).read(str(stored.cid)) == LARGE
        with pytest.raises(StoreError, match="unixfs-v1-2025"):
            Store(url, profile="kubo-v1-256k-174")
        place, mark, options = url.partition("?")
        with pytest.raises(CIDError):
            Store(f"{place}-other{mark}{options}", profile="nonsense").blobs.put_bytes(b"")

    def test_handles_pickle_and_stores_nest(self, store: Store, file: File, tmp_path: Path) -> None:
        stored = pickle.loads(pickle.dumps(store.add(file("a", "a"))))
        assert stored.fetch().read_text() == "a"
        assert stored.open("r").read() == "a"
        with store:
            assert active_store() is store
            with Store(tmp_path / "inner") as inner:
                assert active_store() is inner
            assert active_store() is store
        assert Store.open(store.url) is Store.open(store.url)

    def test_an_unchanged_file_is_not_stored_twice(self, store: Store, file: File) -> None:
        store.add(file("a", LARGE))
        before = sum(1 for _ in store.backend.entries("blobs"))
        stored = store.add(file("b", LARGE))
        assert sum(1 for _ in store.backend.entries("blobs")) == before == 1
        assert stored.fetch().name == "b"
