"""What people have is readable: files and directories as other tools cut them, kept under the CID they have."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from hashlib import shake_256
from pathlib import Path
from typing import Any

import dask.config
import fsspec
import pytest
from dags import Asked, Dag, Peer, number, text
from gateways import blocks_of
from nodes import Node
from typer.testing import CliRunner

import stargazer as sg
from stargazer import config
from stargazer.cid import address, cid_of_bytes, parse
from stargazer.cid.cid import binary, text_of
from stargazer.cid.shape import Shape
from stargazer.cli.app import app
from stargazer.errors import CIDError, RemoteLacks
from stargazer.remotes import RemoteWarning, fetch_into, for_a_person, push, read_remote
from stargazer.remotes.kubo import Kubo
from stargazer.store import Store, layout
from stargazer.store.copies import put_down

Start = Callable[..., Peer]
MIB = 1 << 20
DATA = shake_256(b"shapes").digest(MIB + 12345)
HELLO = "bafkqabtimvwgy3yk"
"""``hello`` and a newline, inlined."""


def gateway(url: str) -> Any:
    return read_remote({"gateway": url, "name": "odd", "timeout": 20})


def trickling(dag: Dag) -> str:
    """A tree of which inner nodes hold bytes too."""
    inner = dag.file([(dag.leaf(DATA[10:20]), 10), (dag.raw(DATA[20:50]), 30)], data=DATA[:10])
    return dag.file([(inner, 50), (dag.leaf(DATA[50:90]), 40)])


FIXED_TIME = text(8, number(1, 17) + b"\x15\1\0\0\0")

FILES: dict[str, tuple[Callable[[Dag], str], bytes]] = {
    "ipfs add of old, small": (lambda dag: dag.leaf(b"hello world\n"), b"hello world\n"),
    "ipfs add of old": (lambda dag: dag.chunked(DATA, 262_144, leaf=dag.leaf), DATA),
    "ipfs add of old, empty": (lambda dag: dag.leaf(b""), b""),
    "other chunks": (lambda dag: dag.chunked(DATA, 100_000), DATA),
    "few links": (lambda dag: dag.chunked(DATA, 50_000, width=3), DATA),
    "small nodes that hold bytes": (lambda dag: dag.chunked(DATA[:5000], 7, leaf=dag.leaf), DATA[:5000]),
    "trickling": (trickling, DATA[:90]),
    "mode and time": (
        lambda dag: dag.node(
            [], number(1, 2) + text(2, b"hello") + number(3, 5) + number(7, 0o644) + text(8, number(1, 1_700_000_000))
        ),
        b"hello",
    ),
    "time of a fixed width": (
        lambda dag: dag.node(
            [], number(1, 2) + text(2, b"hello") + number(3, 5) + text(8, number(1, 17) + b"\x15\1\0\0\0")
        ),
        b"hello",
    ),
    "inlined leaves": (lambda dag: dag.file([(HELLO, 6), (dag.raw(b"raw"), 3), (HELLO, 6)]), b"hello\nrawhello\n"),
    "of type raw": (lambda dag: dag.node([], number(1, 0) + text(2, b"raw type") + number(3, 8)), b"raw type"),
    "one raw block of 1.5 MB": (lambda dag: dag.raw(DATA + DATA[:300_000]), DATA + DATA[:300_000]),
    "with an empty part": (lambda dag: dag.file([(dag.raw(b""), 0), (dag.raw(b"x"), 1), (dag.raw(b""), 0)]), b"x"),
}


@sg.task
def length(work: sg.Workdir, data: sg.Asset) -> sg.Asset:
    out = work.file("length.txt")
    out.write_text(str(len(data.path.read_bytes())))
    return sg.Asset(path=out)


@pytest.mark.parametrize("cars", [True, False])
@pytest.mark.parametrize("how", FILES)
def test_files_are_kept_under_the_cid_that_was_asked_for(
    how: str, cars: bool, store: Store, tmp_path: Path, peer: Start, configure: Callable[..., None]
) -> None:
    dag, (make, data) = Dag(), FILES[how]
    cid = make(dag)
    started = peer(dag, lambda asked: asked.serve(cars=cars))
    assert fetch_into(store, cid, [gateway(started.url)]) == cid
    assert store.read(cid) == data
    assert store.has(cid)
    assert store.fsck().ok
    assert not [path for path in store.context.scratch.iterdir() if path.name.startswith("fetch")]
    configure({"gateway": started.url})
    with Store(tmp_path / "empty"):
        assert fsspec.filesystem("cid").cat_file(cid) == data
    other = Store(tmp_path / "other")
    push(store, store.get(cid), read_remote({"store": other.url}))
    assert other.read(cid) == data
    assert other.fsck().ok
    assert blocks_of(store, cid).keys() >= {each for each in dag.walk(cid) if not each.startswith("bafkq")}


def test_a_file_of_old_is_an_input_like_any_other(store: Store, peer: Start) -> None:
    dag = Dag()
    cid = dag.chunked(DATA, 262_144, leaf=dag.leaf)
    fetch_into(store, cid, [gateway(peer(dag).url)])
    asset = store.put(sg.Asset(cid=cid, name="data.bin"))
    assert length(asset).compute().fetch().read_text() == str(len(DATA))


def test_harm_to_a_file_of_old_or_to_its_nodes_is_found(store: Store, peer: Start) -> None:
    dag = Dag()
    cid = dag.chunked(DATA, 262_144, leaf=dag.leaf)
    place = Path(store.backend.path(layout.blob(cid)))
    for harm in ("bytes", "nodes"):
        fetch_into(store, cid, [gateway(peer(dag).url)])
        broken = place if harm == "bytes" else Path(store.backend.path(layout.shape(cid)))
        broken.chmod(0o644)
        broken.write_bytes(broken.read_bytes()[:-1] + b"\0")
        checked = store.fsck()
        assert cid in checked.corrupt
        assert not store.has(cid)


def test_nodes_go_with_their_file(store: Store, peer: Start) -> None:
    dag = Dag()
    cid = dag.chunked(DATA, 262_144, leaf=dag.leaf)
    fetch_into(store, cid, [gateway(peer(dag).url)])
    shape = store.backend.read(layout.shape(cid))
    assert shape is not None
    assert len(shape) < 2000
    store.backend.remove(layout.blob(cid))
    store.gc(grace=0)
    assert store.backend.read(layout.shape(cid)) is None
    for torn in (b"", shape[:20], b"other" + shape, shape[:-3]):
        with pytest.raises(CIDError):
            Shape.from_bytes(torn)


@pytest.mark.parametrize("fanout", [8, 16, 128, 256, 1024])
def test_sharded_directories_of_any_fan_out(fanout: int, store: Store, tmp_path: Path, peer: Start) -> None:
    dag = Dag()
    names = {b"name %d" % at: (dag.raw(b"%d" % at), 1) for at in range(60)}
    cid = dag.sharded(names, fanout)
    started = peer(dag)
    fetch_into(store, cid, [gateway(started.url)])
    assert {entry.name.encode() for entry in store.dirs.entries(cid)} == set(names)
    assert store.fsck().ok
    other = Store(tmp_path / "other")
    assert fetch_into(other, f"{cid}/name 7", [gateway(started.url)]) == names[b"name 7"][0]
    inner = next((each for each in dag.walk(cid) if each.startswith("bafybei") and each != cid), cid)
    fetch_into(other, inner, [gateway(started.url)])
    assert {entry.name.encode() for entry in other.dirs.entries(inner)} <= set(names)


def foreign(codec: int, hashed: int, size: int = 32) -> bytes:
    return bytes([1, codec, hashed, size]) + bytes(size)


ODD: dict[str, Callable[[Dag], tuple[Any, bytes, int]]] = {
    "symlink": lambda dag: (dag.symlink(b"/etc/passwd"), b"odd", 0),
    "dag-cbor": lambda dag: (foreign(0x71, 0x12), b"odd", 0),
    "sha2-512": lambda dag: (foreign(0x55, 0x13, 64), b"odd", 5),
    "blake3": lambda dag: (foreign(0x55, 0x1E), b"odd", 5),
    "cut off": lambda dag: (foreign(0x55, 0x12)[:-3], b"odd", 5),
    "long name": lambda dag: (dag.raw(b"x"), b"odd" * 100, 1),
    "above": lambda dag: (dag.raw(b"x"), b"..", 1),
    "no name": lambda dag: (dag.raw(b"x"), b"", 1),
    "path": lambda dag: (dag.raw(b"x"), b"odd/../../etc/passwd", 1),
    "not UTF-8": lambda dag: (dag.raw(b"x"), b"odd\xff", 1),
    "name that comes twice": lambda dag: (dag.raw(b"x"), b"good", 1),
    "name that comes twice, of a directory": lambda dag: (dag.directory((dag.raw(b"x"), b"y", 1)), b"inlined", 1),
    "name that comes twice, and is odd": lambda dag: (foreign(0x71, 0x12), b"inlined", 1),
}


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("what", ODD)
def test_one_odd_entry_is_named_and_the_rest_is_served(
    what: str, sharded: bool, store: Store, tmp_path: Path, peer: Start, configure: Callable[..., None]
) -> None:
    dag = Dag()
    odd, good = ODD[what](dag), dag.raw(b"good")
    if sharded:
        if not odd[1].startswith(b"odd") or isinstance(odd[0], bytes):
            pytest.skip("made as a plain directory only")
        cid = dag.sharded({odd[1]: (odd[0], 1), b"good": (good, 4)}, 256)
    else:
        cid = dag.directory(odd, (good, b"good", 4), (HELLO, b"inlined", 6))
    started = peer(dag)
    with pytest.warns(RemoteWarning, match="set aside in the directory"):
        fetch_into(store, cid, [gateway(started.url)])
    wanted = {"good"} if sharded else {"good", "inlined"}
    if "and is odd" in what:
        wanted.remove("inlined")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert {path.partition("/")[0] for path, child in store.walk(cid) if child} == wanted
        assert store.has(cid)
        assert store.fsck().ok
        paths = put_down(store, store.put(sg.Asset(cid=cid, name="d")), tmp_path / "out")
        assert {path.name for path in paths[0].iterdir()} == wanted
        configure({"gateway": started.url})
        with Store(tmp_path / "empty"):
            names = {each["name"].rpartition("/")[2] for each in fsspec.filesystem("cid").ls(cid)}
    assert names == wanted


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_a_name_that_comes_twice_all_ways_lead_to_the_first(
    order: tuple[int, int], store: Store, tmp_path: Path, peer: Start, configure: Callable[..., None]
) -> None:
    """What Kubo and every gateway give who asks for that name (compared in the tests of Kubo)."""
    dag = Dag()
    twins = [(dag.raw(b"one"), b"name", 3), (dag.raw(b"other"), b"name", 5)]
    cid, first = dag.directory(*(twins[each] for each in order)), (b"one", b"other")[order[0]]
    started = peer(dag)
    with pytest.warns(RemoteWarning, match="'name' appears twice"):
        fetch_into(store, cid, [gateway(started.url)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert store.read(f"{cid}/name") == first
        assert [path.read_bytes() for path in put_down(store, store.get(cid), tmp_path / "out")[0].iterdir()] == [first]
        assert store.fsck().ok
        other = Store(tmp_path / "other")
        assert other.read(fetch_into(other, f"{cid}/name", [gateway(started.url)])) == first
        configure({"gateway": started.url})
        with Store(tmp_path / "empty"):
            assert fsspec.filesystem("cid").cat(f"{cid}/name") == first
            found = fsspec.filesystem("cid").find(cid, detail=True).values()
            assert [each["size"] for each in found] == [len(first)]


def test_a_symbolic_link_alone_says_what_it_is(store: Store, peer: Start) -> None:
    dag = Dag()
    cid = dag.symlink(b"target")
    with pytest.raises(CIDError, match="is a symbolic link to 'target'"):
        fetch_into(store, cid, [gateway(peer(dag).url)])


FORMS = {
    "v0": "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o",
    "upper": "BAFYBEICG2REBJOOFV4KBYOVKW7AF3RPIITVNL6I7CKCYWAQ6XJCXNC2MBY",
    "ipfs": "ipfs://QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o",
    "path": "/ipfs/QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o",
    "cid": "cid://bafybeicg2rebjoofv4kbyovkw7af3rpiitvnl6i7ckcywaq6xjcxnc2mby",
    "gateway": "https://ipfs.io/ipfs/QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o?filename=x#y",
    "subdomain": "https://bafybeicg2rebjoofv4kbyovkw7af3rpiitvnl6i7ckcywaq6xjcxnc2mby.ipfs.dweb.link/",
    "localhost": "http://bafybeicg2rebjoofv4kbyovkw7af3rpiitvnl6i7ckcywaq6xjcxnc2mby.ipfs.localhost:8080",
    "blanks": "  QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_what_people_paste_is_a_cid(
    form: str, store: Store, tmp_path: Path, peer: Start, configure: Callable[..., None]
) -> None:
    dag = Dag()
    cid = dag.leaf(b"hello world\n")
    configure({"gateway": peer(dag).url})
    out = tmp_path / "hello.txt"
    told = CliRunner().invoke(app, ["get", FORMS[form], "--out", str(out)])
    assert told.exit_code == 0, told.output
    assert out.read_bytes() == b"hello world\n"
    assert address(FORMS[form]) == cid


def test_other_bases_and_paths_are_read() -> None:
    raw = binary(cid_of_bytes(b"hello world"))
    digits, value = "0123456789abcdefghijklmnopqrstuvwxyz", int.from_bytes(raw, "big")
    written = ""
    while value:
        value, rest = divmod(value, 36)
        written = digits[rest] + written
    for form in (f"k{written}", f"K{written.upper()}", f"f{raw.hex()}", f"F{raw.hex().upper()}"):
        assert parse(form).text == cid_of_bytes(b"hello world")
    assert address(f"https://a.example/ipfs/{HELLO}/a%20b/c?x#y") == f"{HELLO}/a b/c"
    for wrong in ("https://a.example/x", "ipns://k51qzi5uqu5d", "/ipns/example.org", "https://x.ipns.dweb.link/", ""):
        with pytest.raises(CIDError):
            address(wrong)
    assert parse(HELLO).inline == b"hello\n"
    assert text_of(binary(HELLO)) == parse(HELLO).text == HELLO


def test_an_inlined_file_needs_nobody(store: Store) -> None:
    assert fetch_into(store, HELLO, []) == HELLO
    assert store.read(HELLO) == b"hello\n"
    assert store.fsck().ok


INLINE_NODE = "bafyaafakcieaeeqmnbswy3dpeb3w64tmmqfbqda"
"""What ``ipfs add --inline`` makes of ``hello world`` and the end of a line."""


@pytest.mark.parametrize(
    ("given", "size"), [(HELLO, 6), (INLINE_NODE, 12), (parse(HELLO).text.upper(), 6)], ids=["raw", "node", "upper"]
)
def test_an_inlined_file_is_one_like_any_other_to_people_and_tasks(
    given: str, size: int, store: Store, tmp_path: Path
) -> None:
    to = ["--store", store.url]
    told = CliRunner().invoke(app, ["get", given, "--out", str(tmp_path / "out"), *to])
    assert told.exit_code == 0, told.output
    assert (tmp_path / "out").stat().st_size == size
    with store:
        assert length(sg.Asset(cid=given, name="x")).compute().fetch().read_text() == str(size)
    assert CliRunner().invoke(app, ["push", given, "--to", str(tmp_path / "other"), *to]).exit_code == 0
    assert Store(tmp_path / "other").has(parse(given).text)
    assert store.fsck().ok


def test_a_cid_of_an_asset_may_be_written_as_people_have_it() -> None:
    old = "QmSnp9k7TAE9HHpV1mPRLWhvLaLGbqgehyPK8nct2k4eWz"
    assert sg.Asset(cid=old, name="x").cid == parse(old).text
    assert sg.R1(mate_cid=old).mate_cid == parse(old).text
    for wrong in (f"{old}x", "pending", "bafkq", "bafy"):
        with pytest.raises(sg.errors.InvalidField, match="expected a CID"):
            sg.Asset(cid=wrong)


# Out of the box.


def test_public_gateways_are_asked_at_a_persons_request(store: Store, tmp_path: Path, peer: Start) -> None:
    dag = Dag()
    cid = dag.raw(b"public")
    started = peer(dag)
    with dask.config.set({"stargazer.default-gateways": [started.url]}):
        told = CliRunner().invoke(app, ["get", cid, "--out", str(tmp_path / "x")])
        assert told.exit_code == 0
        assert f"asking public gateways ({started.url})" in told.output
        before = len(started.asked)
        missing = store.put(sg.Asset(cid=dag.raw(b"elsewhere"), name="e"))
        sg.plan(length(missing))
        with pytest.raises(Exception, match=r"(?s).+") as caught:
            length(missing).compute()
        assert "no remote" not in str(caught.value)
        assert len(started.asked) == before
    with dask.config.set({"stargazer.default-gateways": []}):
        told = CliRunner().invoke(app, ["get", dag.raw(b"other"), "--out", str(tmp_path / "y")])
    assert told.exit_code == 1
    assert "no remote is configured" in told.output


def test_the_settings_that_are_shown_are_those_in_force(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def told(key: str) -> str:
        return CliRunner().invoke(app, ["config", key]).stdout.split("\n")[0]

    with dask.config.set({"stargazer.store": None, "stargazer.default-gateways": None}):
        monkeypatch.delenv("STARGAZER_LOCAL", raising=False)
        assert told("store").split() == ["stargazer.store", str(Path.home() / ".stargazer/store"), "defaults"]
        monkeypatch.setenv("STARGAZER_LOCAL", str(tmp_path / "local"))
        assert told("store").split() == ["stargazer.store", str(tmp_path / "local"), "STARGAZER_LOCAL"]
        monkeypatch.setenv("PINATA_JWT", "a.b.c-that-nobody-may-see")
        monkeypatch.setenv("PINATA_GATEWAY", "lab.mypinata.cloud")
        assert "lab.mypinata.cloud" in told("remotes")
        assert told("remotes").endswith("PINATA_JWT")
        assert told("default-gateways").endswith("PINATA_GATEWAY")
        assert "nobody-may-see" not in CliRunner().invoke(app, ["config"]).output


def test_the_environment_of_the_original_is_read_below_our_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, configure: Callable[..., None]
) -> None:
    monkeypatch.setenv("PINATA_JWT", "a.b.c")
    assert config.remotes() == [{"pinata": "private"}]
    monkeypatch.setenv("PINATA_VISIBILITY", "public")
    monkeypatch.setenv("PINATA_GATEWAY", "lab.mypinata.cloud")
    assert config.remotes() == [{"pinata": "public", "gateway": "https://lab.mypinata.cloud"}]
    configure({"gateway": "https://a.example"})
    assert config.remotes() == [{"gateway": "https://a.example"}]
    monkeypatch.delenv("PINATA_JWT")
    assert for_a_person(str)[0].url == "https://a.example"
    monkeypatch.setenv("STARGAZER_LOCAL", str(tmp_path / "local"))
    assert config.store_url() != str(tmp_path / "local")
    with dask.config.set({"stargazer.store": None}):
        assert config.store_url() == str(tmp_path / "local")
    shipped = config.settings()["default-gateways"]
    with dask.config.set({"stargazer.default-gateways": shipped}):
        assert config.default_gateways() == ["https://lab.mypinata.cloud"]
        monkeypatch.setenv("PINATA_GATEWAY", "")
        assert config.default_gateways() == []
        monkeypatch.delenv("PINATA_GATEWAY")
        assert config.default_gateways() == shipped


# The same from a real node.

ADDED = {
    "of old": [],
    "raw leaves": ["--raw-leaves"],
    "version 1": ["--cid-version=1"],
    "other chunks": ["--cid-version=1", "--chunker=size-100000"],
    "rabin": ["--cid-version=1", "--chunker=rabin-32768-65536-131072"],
    "buzhash": ["--chunker=buzhash"],
    "trickling": ["--trickle"],
    "trickling raw": ["--trickle", "--cid-version=1"],
    "inlined": ["--cid-version=1", "--inline", "--inline-limit=100"],
    "inlined of old": ["--inline"],
    "mode and time": ["--cid-version=1", "--preserve-mode", "--preserve-mtime"],
    "few links": ["--cid-version=1", "--max-file-links=5"],
    "small shards": ["--cid-version=1", "--max-hamt-fanout=16", "--max-directory-links=4"],
}


@pytest.mark.parametrize("how", ADDED)
def test_what_kubo_adds_is_kept(how: str, node: Node, kubo: Kubo, store: Store, tmp_path: Path) -> None:
    root = tmp_path / "added"
    (root / "below").mkdir(parents=True)
    for name, data in {"empty": b"", "tiny": b"hi\n", "below/large": DATA, "below/mid": DATA[:300_000]}.items():
        (root / name).write_bytes(data)
    for at in range(12):
        (root / f"entry {at}").write_text(str(at))
    cid = node.run("add", "-Q", "-r", "--pin=false", *ADDED[how], root).decode().strip()
    for at, remote in enumerate((kubo, gateway(node.gateway))):
        other = Store(tmp_path / f"store{at}")
        found = fetch_into(other, cid, [remote])
        files = {path: other.read(child) for path, child in other.walk(found) if child}
        assert files == {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        assert other.fsck().ok
    push(other, other.get(found), kubo)
    assert kubo.is_pinned(found)
    kubo.unpin(found)


def test_a_file_that_nobody_has_is_lacking(store: Store, peer: Start) -> None:
    with pytest.raises(RemoteLacks):
        fetch_into(store, cid_of_bytes(b"nobody"), [gateway(peer(Dag(), Asked.serve).url)])


def test_sizes_of_parts_may_be_packed(store: Store, peer: Start) -> None:
    dag = Dag()
    parts = [(dag.raw(b"some "), b"", 5), (dag.raw(b"bytes" * 40), b"", 200)]
    packed = b"\x22\x03\x05\xc8\x01"
    cid = dag.node(parts, b"\x08\x02\x18\xcd\x01" + packed)
    fetch_into(store, cid, [read_remote({"gateway": peer(dag).url})])
    assert store.read(cid) == b"some " + b"bytes" * 40
    assert not store.fsck().corrupt
