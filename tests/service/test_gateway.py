"""``/ipfs``: what IPFS tools, browsers and programs that read ranges get; cases of the public conformance suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from services import Served, serving

import stargazer as sg
from stargazer.cid import cid_of_file
from stargazer.cid.cid import text_of
from stargazer.remotes import dag
from stargazer.remotes.fetch import fetch_into
from stargazer.remotes.gateway import Gateway
from stargazer.remotes.http import Web
from stargazer.service.settings import Settings

CHUNK = 256 * 1024
CAR, RAW = "application/vnd.ipld.car", "application/vnd.ipld.raw"
EMPTY = "bafkqaaa"
ABSENT = "bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A folder with a large file, a small one, and a folder."""
    base = tmp_path_factory.mktemp("gateway")
    folder = base / "data"
    (folder / "sub").mkdir(parents=True)
    large = b"".join(number.to_bytes(4, "big") for number in range(3 * CHUNK // 4)) + b"end"
    (folder / "large.bin").write_bytes(large)
    (folder / "sub" / "small é.txt").write_text("small")
    (folder / "page.html").write_text("<script>alert(1)</script>")
    with sg.Store(str(base / "store")):
        added = sg.add(folder)
    return {"url": str(base / "store"), "root": added.cid, "large": large, "cid": cid_of_file(folder / "large.bin")}


@pytest.fixture(scope="module")
def gateway(tree: dict[str, Any]) -> Any:
    with serving(Settings({"default": tree["url"]})) as found:
        yield found


def blocks(answer: Any) -> dict[str, bytes]:
    """Blocks of a CAR, each checked by its CID."""
    from hashlib import sha256

    from stargazer.cid import parse

    found = dict(dag.read_car([answer.content]))
    assert all(sha256(block).digest() == parse(cid).digest for cid, block in found.items())
    return found


def test_plain_files_and_ranges(gateway: Served, tree: dict[str, Any]) -> None:
    for path in (tree["cid"], f"{tree['root']}/large.bin"):
        answer = gateway.ask("GET", f"/ipfs/{path}")
        assert answer.content == tree["large"]
        assert answer.headers["etag"] == f'"{tree["cid"]}"'
        assert answer.headers["x-ipfs-path"] == f"/ipfs/{path}"
        assert answer.headers["x-ipfs-roots"].split(",")[-1] == tree["cid"]
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    part = gateway.ask("GET", f"/ipfs/{tree['cid']}", told={"Range": "bytes=-3"})
    assert (part.status_code, part.content) == (206, b"end")
    middle = gateway.ask("GET", f"/ipfs/{tree['cid']}", told={"Range": f"bytes={CHUNK}-{CHUNK + 7}"})
    assert middle.content == tree["large"][CHUNK : CHUNK + 8]
    assert gateway.ask("GET", f"/ipfs/{tree['cid']}", told={"Range": "bytes=99999999-"}).status_code == 416
    head = gateway.ask("HEAD", f"/ipfs/{tree['cid']}")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(tree["large"])), b"")
    known = gateway.ask("GET", f"/ipfs/{tree['cid']}", told={"If-None-Match": f'W/"x", "{tree["cid"]}"'})
    assert (known.status_code, known.content) == (304, b"")


def test_folders_are_lists(gateway: Served, tree: dict[str, Any]) -> None:
    moved = gateway.ask("GET", f"/ipfs/{tree['root']}")
    assert (moved.status_code, moved.headers["location"]) == (301, f"/ipfs/{tree['root']}/")
    listing = gateway.ask("GET", f"/ipfs/{tree['root']}/")
    assert all(text in listing.text for text in ("large.bin", "sub/", "786,435", tree["cid"]))
    assert "sandbox" in listing.headers["content-security-policy"]
    inner = gateway.ask("GET", f"/ipfs/{tree['root']}/sub/")
    assert "small é.txt" in inner.text
    assert "small%20%C3%A9.txt" in inner.text
    assert gateway.ask("GET", f"/ipfs/{tree['root']}/sub/small%20%C3%A9.txt").text == "small"
    assert "sandbox" in gateway.ask("GET", f"/ipfs/{tree['root']}/page.html").headers["content-security-policy"]


def test_raw_blocks(gateway: Served, tree: dict[str, Any]) -> None:
    root = gateway.ask("GET", f"/ipfs/{tree['cid']}?format=raw")
    assert root.headers["content-type"] == RAW
    assert root.headers["content-disposition"].startswith("attachment")
    leaves = [text_of(cid) for cid, _, _ in dag.node_of(tree["cid"], root.content).links]
    parts = [gateway.ask("GET", f"/ipfs/{leaf}", told={"Accept": RAW}).content for leaf in leaves]
    assert b"".join(parts) == tree["large"]
    assert gateway.ask("HEAD", f"/ipfs/{leaves[0]}?format=raw").headers["content-length"] == str(CHUNK)
    assert gateway.ask("GET", f"/ipfs/{EMPTY}?format=raw").content == b""
    folder = gateway.ask("GET", f"/ipfs/{tree['root']}?format=raw")
    assert folder.status_code == 200
    assert folder.headers["etag"] == f'"{tree["root"]}.raw"'


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("format=car", 9),
        ("format=car&dag-scope=all", 9),
        ("format=car&dag-scope=entity", 1),
        ("format=car&dag-scope=block", 1),
    ],
)
def test_cars_of_a_folder(gateway: Served, tree: dict[str, Any], query: str, number: int) -> None:
    answer = gateway.ask("GET", f"/ipfs/{tree['root']}?{query}")
    assert answer.headers["content-type"] == f"{CAR}; version=1; order=dfs; dups=n"
    found = blocks(answer)
    assert next(iter(found)) == tree["root"]
    assert len(found) == number


def test_cars_of_a_path_hold_the_way(gateway: Served, tree: dict[str, Any]) -> None:
    found = blocks(gateway.ask("GET", f"/ipfs/{tree['root']}/large.bin", told={"Accept": f"{CAR}; version=1"}))
    assert list(found)[:2] == [tree["root"], tree["cid"]]
    assert b"".join(block for cid, block in found.items() if dag.is_raw(cid)) == tree["large"]
    some = blocks(gateway.ask("GET", f"/ipfs/{tree['cid']}?format=car&dag-scope=entity&entity-bytes=0:9"))
    assert [len(block) for cid, block in some.items() if dag.is_raw(cid)] == [CHUNK]
    last = blocks(gateway.ask("GET", f"/ipfs/{tree['cid']}?format=car&dag-scope=entity&entity-bytes=-2:*"))
    assert [block for cid, block in last.items() if dag.is_raw(cid)] == [b"end"]


@pytest.mark.parametrize(
    ("path", "told", "status"),
    [
        (f"/ipfs/{ABSENT}", {}, 404),
        (f"/ipfs/{ABSENT}?format=raw", {}, 404),
        (f"/ipfs/{ABSENT}?format=car", {}, 404),
        (f"/ipfs/{ABSENT}", {"Cache-Control": "only-if-cached"}, 412),
        ("/ipfs/not-a-cid", {}, 400),
        ("/ipfs/", {}, 400),
        (f"/ipfs/{EMPTY}?format=dag-json", {}, 406),
        (f"/ipfs/{EMPTY}", {"Accept": "application/vnd.ipld.dag-json"}, 406),
        (f"/ipfs/{EMPTY}?format=car&dag-scope=some", {}, 400),
        (f"/ipfs/{EMPTY}?format=car&entity-bytes=x", {}, 400),
    ],
)
def test_what_is_not_served(gateway: Served, path: str, told: dict[str, str], status: int) -> None:
    answer = gateway.ask("GET", path, told=told)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_nothing_is_written(gateway: Served, tree: dict[str, Any]) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert gateway.ask(method, f"/ipfs/{tree['cid']}").status_code == 405


def test_our_own_client_of_gateways_reads_it(gateway: Served, tree: dict[str, Any], tmp_path: Path) -> None:
    """As any trustless client: blocks and CARs, each checked."""
    remote = Gateway("lab", gateway.url)
    remote.web = Web("lab", gateway.url)
    assert remote.has(tree["cid"])
    assert not remote.has(ABSENT)
    with sg.Store(str(tmp_path / "other")) as store:
        assert fetch_into(store, tree["root"], [remote]) == tree["root"]
        assert store.read(f"{tree['root']}/large.bin") == tree["large"]


def test_the_client_of_a_service(serve: Callable[..., Served], lab: Settings, tmp_path: Path) -> None:
    service = serve(lab)
    (tmp_path / "left.txt").write_text("abcd")
    (tmp_path / "right.txt").write_text("b")
    client = sg.ServiceClient(service.url, "anna-token", store=sg.Store(str(tmp_path / "mine")))
    left, right = (client.add(tmp_path / f"{side}.txt") for side in ("left", "right"))
    assert client.add(tmp_path / "left.txt") == left
    made = client.materialize([left, right.cid], "except@v1", name="demo/rest")
    assert (made.version, made.hit) == (1, False)
    assert client.fetch(made.uri).read_text() == "acd"
    assert client.materialize([left, right], {"executor": "except@v1"}).hit
    assert client.fetch("stargazer://name/demo/rest@1").read_text() == "acd"
    assert not client.is_stale("demo/rest")
    assert {asset.id for asset in made.lineage().sources} == {left.id, right.id}
    assert made.lineage().records[0].principal == "anna"
    assert made.asset.id in {asset.id for asset in client.dependents(left.cid).assets}
    with pytest.raises(sg.errors.UnknownName, match="no transform is registered as none@v1"):
        client.materialize([], "none@v1")
    with pytest.raises(sg.errors.RunFailed, match="has no columns"):
        client.materialize([left], "fail@v1")
    with pytest.raises(sg.errors.NotFound):
        client.find("stargazer://name/nothing@1")
    with pytest.raises(sg.errors.RemoteError, match="say who you are"):
        sg.ServiceClient(service.url, "guess").find(left.cid)
    with pytest.raises(sg.errors.RemoteError, match="cannot be asked"):
        sg.ServiceClient("http://127.0.0.1:9", "x").find(left.cid)
