"""Gateways are believed nothing: what they send is what was asked for, or it is refused and another one is asked."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from gateways import EVIL, Gateway, Request, blocks_of, flipped

import stargazer as sg
from stargazer.errors import NotFound, RemoteCannot, RemoteError, RemoteLacks, RemoteRefused
from stargazer.remotes import RemoteWarning, fetch_into, read_remote
from stargazer.remotes.gateway import Gateway as GatewayRemote
from stargazer.remotes.read import fetch_range
from stargazer.store import Store

Serve = Callable[..., Gateway]
Random = Callable[[int], Path]
MIB = 1 << 20


def remote(gateway: Gateway, name: str = "good", timeout: float = 60) -> GatewayRemote:
    made = GatewayRemote(name, gateway.url, timeout=timeout)
    made.web.attempts = 1
    return made


def leftovers(store: Store) -> list[str]:
    return [path.name for path in store.context.scratch.iterdir()] if store.context.scratch.exists() else []


@pytest.mark.parametrize("cars", [True, False])
@pytest.mark.parametrize("size", [0, 1, 262144, 262145, 3 * MIB + 7, 5 * MIB + 7])
def test_a_file_comes_whole(
    size: int, cars: bool, store: Store, origin: Store, serve: Serve, random_file: Random
) -> None:
    path = random_file(size)
    cid = str(origin.add(path).cid)
    gateway = serve(blocks_of(origin, cid), cars=cars)
    came: list[int] = []
    assert fetch_into(store, cid, [remote(gateway)], came.append) == cid
    assert store.read(cid) == path.read_bytes()
    assert sum(came) == size
    assert store.fsck().ok
    assert not leftovers(store)
    asked = len(gateway.asked)
    fetch_into(store, cid, [remote(gateway)])
    assert len(gateway.asked) == asked


def test_a_car_is_one_request(store: Store, origin: Store, serve: Serve, random_file: Random) -> None:
    cid = str(origin.add(random_file(3 * MIB)).cid)
    gateway = serve(blocks_of(origin, cid))
    fetch_into(store, cid, [remote(gateway)])
    assert [wanted for wanted, _ in gateway.asked] == ["raw", "car"]


@pytest.mark.parametrize("cars", [True, False])
def test_a_file_of_equal_chunks_comes_whole(
    cars: bool, store: Store, origin: Store, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "zeros").write_bytes(bytes(20 * MIB + 5))
    cid = str(origin.add(tmp_path / "zeros").cid)
    fetch_into(store, cid, [remote(serve(blocks_of(origin, cid), cars=cars))])
    assert store.read(cid) == bytes(20 * MIB + 5)


@pytest.mark.parametrize("profile", ["kubo-v1-256k-174", "unixfs-v1-2025"])
def test_files_of_another_profile_keep_their_cid(
    profile: str, tmp_path: Path, serve: Serve, random_file: Random
) -> None:
    origin, store = Store(tmp_path / "one", profile=profile), Store(tmp_path / "two")
    path = random_file(2 * MIB + 1)
    cid = str(origin.add(path).cid)
    fetch_into(store, cid, [remote(serve(blocks_of(origin, cid)))])
    assert store.read(cid) == path.read_bytes()
    assert store.fsck().ok


def tree(tmp_path: Path, many: int) -> Path:
    root = tmp_path / "tree"
    (root / "b/d").mkdir(parents=True)
    (root / "b/f").mkdir()
    (root / "many").mkdir()
    (root / "b/c.bin").write_bytes(bytes(range(256)) * 2000)
    (root / "b/d/e.txt").write_text("hello world\n")
    (root / ".hidden").write_text("")
    for number in range(many):
        (root / "many" / f"entry number {number} of many, which is a long name").write_text(str(number % 7))
    return root


@pytest.mark.parametrize("cars", [True, False])
@pytest.mark.parametrize("many", [3, 3300])
def test_directories_come_whole(
    many: int, cars: bool, store: Store, origin: Store, serve: Serve, tmp_path: Path
) -> None:
    made = origin.add(tree(tmp_path, many))
    cid = str(made.cid)
    gateway = serve(blocks_of(origin, cid), cars=cars)
    fetch_into(store, cid, [remote(gateway)])
    assert dict(store.walk(cid)) == dict(origin.walk(cid))
    assert store.has(cid)
    assert store.fsck().ok
    assert not leftovers(store)


def test_what_the_store_has_of_a_directory_is_not_asked_for(
    store: Store, origin: Store, serve: Serve, tmp_path: Path
) -> None:
    root = tree(tmp_path, 3)
    cid = str(origin.add(root).cid)
    known = str(store.add(root / "b").cid)
    gateway = serve(blocks_of(origin, cid), cars=False)
    fetch_into(store, cid, [remote(gateway)])
    assert known not in gateway.raw()
    assert dict(store.walk(cid)) == dict(origin.walk(cid))


def test_paths_below_a_sharded_directory_cost_a_few_blocks(
    store: Store, origin: Store, serve: Serve, tmp_path: Path
) -> None:
    cid = str(origin.add(tree(tmp_path, 3300)).cid)
    gateway = serve(blocks_of(origin, cid), cars=False)
    name = "entry number 2321 of many, which is a long name"
    found = fetch_into(store, f"{cid}/many/{name}", [remote(gateway)])
    assert store.read(found) == str(2321 % 7).encode()
    assert 4 <= len(gateway.raw()) <= 6
    with pytest.raises(NotFound, match="no such name"):
        fetch_into(store, f"{cid}/many/no such name", [remote(gateway)])


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("way", ["raw", "cars", "bodies"])
def test_evil_answers_are_refused_and_named_and_another_remote_serves(
    evil: str, way: str, store: Store, origin: Store, serve: Serve, random_file: Random
) -> None:
    path = random_file(5 * MIB if way == "bodies" else MIB)
    cid = str(origin.add(path).cid)
    blocks = blocks_of(origin, cid)
    offers = {"cars": way != "raw", "bodies": way == "bodies"}
    bad = remote(serve(blocks, EVIL[evil], **offers), f"evil-{evil}", timeout=1 if evil == "dripping" else 60)
    with pytest.raises(RemoteError, match=f"evil-{evil}: .*evil-{evil}"):
        fetch_into(store, cid, [bad])
    assert not store.has(cid)
    with pytest.warns(RemoteWarning, match=f"evil-{evil}"):
        fetch_into(store, cid, [bad, remote(serve(blocks, **offers))])
    assert store.read(cid) == path.read_bytes()
    assert store.fsck().ok
    assert not leftovers(store)


def test_a_gateway_that_turns_evil_halfway_is_left_where_it_turned(
    store: Store, origin: Store, serve: Serve, random_file: Random
) -> None:
    path = random_file(4 * MIB)
    cid = str(origin.add(path).cid)
    blocks = blocks_of(origin, cid)

    def turns(request: Request, body: bytes) -> None:
        flipped(request, body) if request.is_car else request.answer(body)

    good = serve(blocks, cars=False)
    with pytest.warns(RemoteWarning, match="bad was skipped: bad sent 262144 bytes as bafkrei"):
        fetch_into(store, cid, [remote(serve(blocks, turns), "bad"), remote(good)])
    assert store.read(cid) == path.read_bytes()
    assert 0 < len(good.raw()) <= 9


@pytest.mark.parametrize("offered", [["body", "raw"], ["body", "body"], ["car", "raw"], ["car", "car"]])
def test_a_stream_that_turns_evil_halfway_is_left_where_it_turned(
    offered: list[str], store: Store, origin: Store, serve: Serve, random_file: Random
) -> None:
    path = random_file(8 * MIB)
    cid = str(origin.add(path).cid)
    blocks = blocks_of(origin, cid)

    def turns(request: Request, body: bytes) -> None:
        flipped(request, body) if len(body) > MIB else request.answer(body)

    bad, good = (
        serve(blocks, sends, cars=offer == "car", bodies=offer == "body")
        for offer, sends in zip(offered, (turns, Request.answer), strict=True)
    )
    with pytest.warns(RemoteWarning, match="bad was skipped: bad sent 262144 bytes as bafkrei"):
        fetch_into(store, cid, [remote(bad, "bad"), remote(good)])
    assert store.read(cid) == path.read_bytes()
    assert store.fsck().ok
    assert 0 < len(good.asked) <= 20


def test_a_large_file_comes_as_it_is(store: Store, origin: Store, serve: Serve, random_file: Random) -> None:
    path = random_file(46 * MIB)
    cid = str(origin.add(path).cid)
    gateway = serve(blocks_of(origin, cid), bodies=True)
    came: list[int] = []
    fetch_into(store, cid, [remote(gateway)], came.append)
    assert store.read(cid) == path.read_bytes()
    assert sum(came) == 46 * MIB
    assert sorted(wanted for wanted, _ in gateway.asked) == ["body", "raw", "raw", "raw"]


def test_each_block_may_come_from_another_gateway(
    store: Store, origin: Store, serve: Serve, random_file: Random
) -> None:
    path = random_file(3 * MIB)
    cid = str(origin.add(path).cid)
    blocks = blocks_of(origin, cid)
    names = sorted(blocks)
    halves = [{name: blocks[name] for name in names[part::2]} for part in (0, 1)]
    fetch_into(store, cid, [remote(serve(half, cars=False), str(number)) for number, half in enumerate(halves)])
    assert store.read(cid) == path.read_bytes()


def test_what_nobody_has_is_said_remote_by_remote(
    store: Store, origin: Store, serve: Serve, random_file: Random
) -> None:
    cid = str(origin.add(random_file(10)).cid)
    with pytest.raises(RemoteLacks, match=r"(?s)no remote gave .*one: one answered 404.*two: two answered 404"):
        fetch_into(store, cid, [remote(serve({}), "one"), remote(serve({}), "two")])
    with pytest.raises(RemoteLacks, match="no remote is configured"):
        sg.fetch(cid)


def test_an_interrupted_fetch_goes_on_where_it_was(
    store: Store, origin: Store, serve: Serve, random_file: Random
) -> None:
    path = random_file(4 * MIB)
    cid = str(origin.add(path).cid)
    blocks = blocks_of(origin, cid)
    seen: list[str] = []

    def stops(request: Request, body: bytes) -> None:
        seen.append(request.path)
        request.answer(body) if len(seen) <= 9 else request.answer(b"", 403)

    with pytest.raises(RemoteError, match="403"):
        fetch_into(store, cid, [remote(serve(blocks, stops, cars=False))])
    assert leftovers(store) == [f"fetch-{cid}"]
    good = serve(blocks, cars=False)
    came: list[int] = []
    fetch_into(store, cid, [remote(good)], came.append)
    assert store.read(cid) == path.read_bytes()
    assert sum(came) < 4 * MIB, "what came before the end was fetched again"
    assert not leftovers(store)


def test_harm_to_what_was_fetched_so_far_is_noticed(
    store: Store, origin: Store, serve: Serve, random_file: Random
) -> None:
    path = random_file(2 * MIB)
    cid = str(origin.add(path).cid)
    _ = store.context.header
    store.context.scratch.mkdir(exist_ok=True)
    harmed = bytearray(path.read_bytes()[: MIB + 100])
    harmed[300_000] ^= 1
    (store.context.scratch / f"fetch-{cid}").write_bytes(harmed)
    fetch_into(store, cid, [remote(serve(blocks_of(origin, cid), cars=False))])
    assert store.read(cid) == path.read_bytes()


def test_ten_bytes_of_a_large_file_cost_a_few_blocks(
    store: Store, origin: Store, serve: Serve, random_file: Random, configure: Callable[..., None]
) -> None:
    path = random_file(46 * MIB)
    cid = str(origin.add(path).cid)
    gateway = serve(blocks_of(origin, cid))
    configure({"gateway": gateway.url})
    fs = fsspec.filesystem("cid")
    assert fs.cat_file(cid, 40_000_000, 40_000_010) == path.read_bytes()[40_000_000:40_000_010]
    assert 0 < len(gateway.asked) <= 8
    assert fs.size(cid) == 46 * MIB
    assert not store.has(cid)


def test_cid_urls_read_directories_of_remotes(
    store: Store, origin: Store, serve: Serve, tmp_path: Path, configure: Callable[..., None]
) -> None:
    root = tree(tmp_path, 3)
    cid = str(origin.add(root).cid)
    configure({"gateway": serve(blocks_of(origin, cid)).url})
    with fsspec.open(f"cid://{cid}/b/c.bin") as stream:
        assert stream.read() == (root / "b/c.bin").read_bytes()
    fs = fsspec.filesystem("cid")
    assert {each["name"].rpartition("/")[2]: each["type"] for each in fs.ls(f"{cid}/b")} == {
        "c.bin": "file",
        "d": "directory",
        "f": "directory",
    }
    assert fs.isdir(f"{cid}/b/d")
    with pytest.raises(FileNotFoundError, match="no-such"):
        fs.info(f"{cid}/no-such")


def test_a_file_that_no_profile_makes_can_be_read_and_is_kept(
    store: Store, serve: Serve, configure: Callable[..., None]
) -> None:
    from stargazer.cid import cid_of_bytes
    from stargazer.cid.cid import binary, text_of
    from stargazer.cid.dagpb import encode, file_data, name_block

    leaves = [b"a" * 10, b"b" * 20]
    names = [cid_of_bytes(leaf) for leaf in leaves]
    links = [(binary(name), b"", len(leaf)) for name, leaf in zip(names, leaves, strict=True)]
    root = encode(links, file_data([10, 20]))
    cid = text_of(name_block(root))
    gateway = serve({cid: root, **dict(zip(names, leaves, strict=True))})
    configure({"gateway": gateway.url})
    assert fsspec.filesystem("cid").cat_file(cid) == b"".join(leaves)
    assert sg.fetch(cid).read_bytes() == b"".join(leaves)
    assert store.fsck().ok
    assert not leftovers(store)


def test_nodes_that_lie_about_sizes_are_malformed(store: Store, serve: Serve) -> None:
    from stargazer.cid import cid_of_bytes
    from stargazer.cid.cid import binary, text_of
    from stargazer.cid.dagpb import encode, file_data, name_block
    from stargazer.errors import CIDError

    leaf = cid_of_bytes(b"short")
    root = encode([(binary(leaf), b"", 5)] * 2, file_data([5, 50]))
    cid = text_of(name_block(root))
    with pytest.raises(CIDError, match="5 bytes where the node above it says 50"):
        fetch_into(store, cid, [remote(serve({cid: root, leaf: b"short"}))])
    assert not store.has(cid)


def test_a_gateway_says_what_it_cannot_do(store: Store, serve: Serve) -> None:
    gateway = read_remote({"gateway": serve({}).url, "name": "public"})
    with pytest.raises(RemoteCannot, match="public is a gateway, which cannot be written to; it offers: has, fetch"):
        gateway.push("bafy", store)
    with pytest.raises(RemoteCannot, match="cannot be asked for facts"):
        gateway.query(asset="r1")


def test_ranges_come_verified_from_one_remote(origin: Store, serve: Serve, random_file: Random) -> None:
    path = random_file(2 * MIB)
    cid = str(origin.add(path).cid)
    blocks = blocks_of(origin, cid)
    good, bad = remote(serve(blocks)), remote(serve(blocks, flipped), "bad")
    assert fetch_range(good, cid, 999_999, 1_000_009) == path.read_bytes()[999_999:1_000_009]
    assert good.has(cid)
    assert not good.has("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
    with pytest.raises(RemoteError, match="bad sent"):
        fetch_range(bad, cid, 0, 10)


def test_settings_are_checked(configure: Callable[..., None]) -> None:
    from stargazer.errors import ConfigError
    from stargazer.remotes import configured, named

    for entry, complaint in (
        ("ipfs.io", "must be a mapping such as"),
        ({"gateway": "ipfs.io"}, "must be an http or https URL"),
        ({"gateway": "https://a", "kubo": "https://b"}, "must have one of store, gateway, kubo"),
        ({"url": "https://a"}, "must have one of"),
        ({"gateway": "https://me:secret@a"}, "secrets belong in the environment"),
        ({"gateway": "https://a", "timeout": "long"}, "timeout is of the wrong type"),
        ({"gateway": "https://a", "timeout": 0}, "must be seconds above 0"),
        ({"gateway": "https://a", "trust": True}, "has no 'trust'"),
        ({"kubo": "http://a", "token": "eyJhbGciOi"}, "name of an environment variable"),
        ({"store": ""}, "must be a URL"),
    ):
        configure(entry)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=re.escape("stargazer.remotes[0]")) as caught:
            configured()
        assert complaint in str(caught.value)
        assert "eyJ" not in str(caught.value)
    configure({"gateway": "https://a", "name": "x"}, {"gateway": "https://b", "name": "x"})
    with pytest.raises(ConfigError, match="two remotes are called 'x'"):
        configured()
    configure({"gateway": "https://a.example", "name": "x"}, {"store": "memory://lab"})
    assert [(each.name, each.kind) for each in configured()] == [("x", "gateway"), ("memory://lab", "store")]
    with pytest.raises(ConfigError, match="no remote 'y'; there are: x, memory://lab"):
        named("y")


def test_no_redirect_leads_from_https_to_plain_text() -> None:
    import httpx

    made = GatewayRemote("good", "https://gateway.example")
    [check] = made.web.client.event_hooks["request"]
    check(httpx.Request("GET", "https://other.example/ipfs/x"))
    with pytest.raises(RemoteRefused, match="good redirects from https to http"):
        check(httpx.Request("GET", "http://other.example/ipfs/x"))


MEASURED = """
import resource, sys
from stargazer.remotes import fetch_into, read_remote
from stargazer.store import Store
url, cid, target = sys.argv[1:]
store, remote = Store(target), read_remote({"gateway": url, "timeout": 120})
store.add(__import__("os").__file__)
remote.has(cid)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fetch_into(store, cid, [remote])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["raw", "cars", "bodies"])
def test_memory_does_not_grow_with_the_file(way: str, origin: Store, serve: Serve, tmp_path: Path, short: bool) -> None:
    size = (128 if short else 1024) * MIB
    with (tmp_path / "large").open("wb") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(4, "big") * (MIB // 4))
    cid = str(origin.add(tmp_path / "large").cid)
    gateway = serve(blocks_of(origin, cid), cars=way == "cars", bodies=way == "bodies")
    command = [sys.executable, "-c", MEASURED, gateway.url, cid, str(tmp_path / "target")]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(told.stdout) < 60
    assert Store(tmp_path / "target").has(cid)
