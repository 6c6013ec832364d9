"""Results as pages that others understand; and their history, by which the same call is known to others."""

from __future__ import annotations

import json
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import dask.config
import pytest
from gateways import Gateway, blocks_of
from nodes import Node
from pinata_stand_in import JWT, PinataStandIn, standing_in
from text_tasks import made, upper, wired
from typer.testing import CliRunner

import stargazer as sg
from stargazer.cli.app import app
from stargazer.errors import ConfigError, DataError, NotFound, NotPublic, RemoteCannot, RemoteError
from stargazer.remotes import RemoteWarning, bundle_at, find_bundle, make_bundle, read_remote
from stargazer.remotes.kubo import Kubo
from stargazer.remotes.publication import Published, publish, reads_among
from stargazer.remotes.trust import make_key
from stargazer.store import Store

Configure = Callable[..., None]
PNG = b"\x89PNG\r\n\x1a\n and what follows"


@sg.task
def drawn(work: sg.Workdir, text: sg.Asset, *, dpi: int = 90) -> sg.Asset:
    out = work.file("curve.png")
    out.write_bytes(PNG)
    return sg.Asset(path=out)


@pytest.fixture
def anna(tmp_path: Path) -> Iterator[str]:
    """The public key of whoever computes and publishes."""
    with dask.config.set({"stargazer.key": str(tmp_path / "keys/anna.pem")}):
        yield make_key()


@pytest.fixture
def published(store: Store, anna: str, tmp_path: Path) -> Published:
    _, result = made(store, tmp_path)
    return sg.publish(result, to=str(tmp_path / "lab"), title="Hello <twice>", license="CC-BY-4.0", store=store)


def text_of(store: Store, published: Published, name: str) -> str:
    return store.read(f"{published.cid}/{name}").decode()


def test_a_directory_explains_itself_and_is_the_same_each_time(
    store: Store, published: Published, tmp_path: Path
) -> None:
    lab = Store(tmp_path / "lab")
    assert published.pinned
    assert published.links == (f"cid://{published.cid}/index.html",)
    assert lab.read(f"{published.cid}/result/twice.txt") == b"HELLO-HELLO"
    page = text_of(lab, published, "index.html")
    assert "<title>Hello &lt;twice&gt;</title>" in page
    for told in ("CC-BY-4.0", "upper", "twice", "sep=-", "text.txt", 'href="result/twice.txt"', "2 calls of tasks"):
        assert told in page, told
    assert "<script" not in page
    assert str(tmp_path) not in page
    crate = json.loads(text_of(lab, published, "ro-crate/ro-crate-metadata.json"))
    assert any(each.get("license") == "CC-BY-4.0" for each in crate["@graph"])
    assert lab.find(name="twice.txt"), "the store that it went to knows its facts"
    assert any(name.startswith("published-") for name in store.pins())
    again = sg.publish(
        store.find(name="twice.txt")[0], to=lab.url, title="Hello <twice>", license="CC-BY-4.0", store=store
    )
    assert again.cid == published.cid
    assert store.fsck().ok
    assert lab.fsck().ok


def test_pictures_on_the_way_are_shown_and_what_nobody_computed_is_said_to_be_added(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("hello")
    with store:
        source = sg.add(tmp_path / "text.txt")
        picture = drawn(source).compute()
        done = sg.publish(picture, to=str(tmp_path / "lab"))
        assert '<img src="plots/01.png" alt="curve.png"' in text_of(store, done, "index.html")
        assert store.read(f"{done.cid}/plots/01.png") == PNG
        added = sg.publish(source, to=str(tmp_path / "lab"))
    page = text_of(store, added, "index.html")
    assert "added by a person" in page
    assert "lineage" not in {path for path, _ in store.walk(added.cid)}


@pytest.mark.parametrize(
    ("names", "known", "told"),
    [
        ([], False, "names no signers"),
        (["ben"], False, "is signed by none of ben"),
        (["anna"], True, ""),
        (["anna", "ben"], True, ""),
    ],
)
def test_the_same_call_is_known_to_whoever_believes_those_who_signed(
    published: Published, anna: str, tmp_path: Path, names: list[str], known: bool, told: str
) -> None:
    with dask.config.set({"stargazer.key": str(tmp_path / "keys/ben.pem")}):
        keys = {"anna": anna, "ben": make_key()}
    lab = read_remote({"store": str(tmp_path / "lab"), "name": "lab"})
    with dask.config.set({"stargazer.trust": {name: keys[name] for name in names}}), Store(tmp_path / "mine") as mine:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            (result,) = bundle_at(published.cid, mine, [lab]).fetch(mine, [lab])
        said = [str(each.message) for each in caught if issubclass(each.category, RemoteWarning)]
        assert bool(said) is bool(told)
        assert all(told in each for each in said)
        assert result.fetch().read_text() == "HELLO-HELLO", "the bytes are had in any case"
        call = wired(sg.add(tmp_path / "text.txt"))
        assert (call.known() is not None) is known
        flight = sg.run(call, progress=False)
        assert flight.tasks_run == (0 if known else 2)
        if known:
            assert [record.task for record in sg.trace(flight.result()).records] == ["twice", "upper"]
        assert mine.fsck().ok


@pytest.mark.parametrize(("accept", "known"), [("anyone", True), ("signed", False), ("own", False)])
def test_a_vouched_for_history_is_no_hit_where_only_signed_results_count(
    published: Published, tmp_path: Path, accept: str, known: bool
) -> None:
    lab = read_remote({"store": str(tmp_path / "lab"), "name": "lab"})
    settings = {"stargazer.accept": accept, "stargazer.key": str(tmp_path / "keys/other.pem")}
    with dask.config.set(settings), Store(tmp_path / "mine") as mine:
        bundle_at(published.cid, mine, [lab]).fetch(mine, [lab], trusted=True)
        assert (wired(sg.add(tmp_path / "text.txt")).known() is not None) is known


def test_a_changed_record_is_not_believed_though_it_was_signed(published: Published, anna: str, tmp_path: Path) -> None:
    lab, forged = Store(tmp_path / "lab"), tmp_path / "forged"
    for path, cid in lab.walk(f"{lab.resolve(published.cid + '/lineage')}"):
        if cid is not None:
            target = forged / "lineage" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            data = lab.read(cid)
            target.write_bytes(data.replace(b'"sep":"-"', b'"sep":"+"') if "records/" in path else data)
    (forged / "lineage" / "store.json").write_text("{}")
    (forged / "lineage" / "records" / "pipe").write_text("no record")
    (forged / "lineage" / "blobs" / "ab").mkdir(parents=True)
    (forged / "lineage" / "blobs" / "ab" / "abcd").write_text("no blob")
    cid = str(lab.add(forged / "lineage").cid)
    text = text_of(lab, published, "bundle.yaml").replace(lab.resolve(f"{published.cid}/lineage"), cid)
    (tmp_path / "forged.yaml").write_text(text)
    remote = read_remote({"store": lab.url, "name": "lab"})
    with dask.config.set({"stargazer.trust": {"anna": anna}}), Store(tmp_path / "mine") as mine:
        bundle = find_bundle(str(tmp_path / "forged.yaml"))
        assert bundle.lineage == cid
        bundle.fetch(mine, [remote])
        source = sg.add(tmp_path / "text.txt")
        assert wired(source, "+").known() is None
        assert wired(source, "-").known() is None
        assert mine.fsck().ok


def test_a_bundle_is_found_by_whatever_leads_to_it(
    published: Published, tmp_path: Path, serve: Callable[..., Gateway]
) -> None:
    lab = Store(tmp_path / "lab")
    gateway = serve(blocks_of(lab, published.cid))
    remotes = [read_remote({"gateway": gateway.url, "name": "web"})]
    yaml = lab.resolve(f"{published.cid}/bundle.yaml")
    for number, name in enumerate(
        [
            published.cid,
            f"ipfs://{published.cid}",
            f"ipfs://{published.cid}/",
            f"/ipfs/{published.cid}/index.html",
            f"https://dweb.link/ipfs/{published.cid}/",
            f"https://{published.cid}.ipfs.dweb.link/index.html",
            f"{published.cid}/bundle.yaml",
            yaml,
        ]
    ):
        bundle = bundle_at(name, Store(tmp_path / f"own-{number}"), remotes)
        assert [asset.name for asset in bundle.assets] == ["twice.txt"], name
        assert bundle.lineage == lab.resolve(f"{published.cid}/lineage")
    own = Store(tmp_path / "own")
    assert bundle_at("variant_calling_demo", own, []).name
    (tmp_path / "mine.yaml").write_bytes(lab.read(yaml))
    assert bundle_at(str(tmp_path / "mine.yaml"), own, []).lineage
    wrong: dict[str, type[Exception]] = {
        "no_such_bundle": NotFound,
        str(tmp_path / "absent.yaml"): Exception,
        lab.resolve(f"{published.cid}/result/twice.txt"): DataError,
        lab.resolve(f"{published.cid}/result"): (RemoteError, NotFound),  # type: ignore[dict-item]
        "http://user:geheim@127.0.0.1/x.yaml": ConfigError,
        "http://127.0.0.1:9/x.yaml": RemoteError,
    }
    for name, error in wrong.items():
        with pytest.raises(error) as caught:
            bundle_at(name, own, remotes)
        assert "geheim" not in str(caught.value)


def test_a_bundle_can_have_its_history_without_a_page(store: Store, anna: str, tmp_path: Path) -> None:
    source, _ = made(store, tmp_path)
    with store:
        _, count = upper(source).compute()
        bundle = make_bundle("counts", [count], store, lineage=True)
    assert sorted(asset.name for asset in bundle.assets) == ["count.txt", "upper.txt"], "a call is known as a whole"
    remote = read_remote({"store": store.url, "name": "lab"})
    with dask.config.set({"stargazer.trust": {"anna": anna}}), Store(tmp_path / "mine") as mine:
        bundle.fetch(mine, [remote])
        assert upper(sg.add(tmp_path / "text.txt")).known() is not None
    assert make_bundle("source", [source], store, lineage=True).lineage == ""


READS = [
    ("s1.fq.gz", sg.Asset(), True),
    ("s1_R1.FASTQ", sg.Asset(), True),
    ("s1.bam", sg.Asset(), True),
    ("s1.cram", sg.Alignment(sample_id="s1"), True),
    ("anything", sg.R1(sample_id="s1"), True),
    ("anything", sg.R2(sample_id="s1"), True),
    ("s1.bam.bai", sg.Asset(), False),
    ("s1.vcf.gz", sg.Variants(sample_id="s1"), False),
    ("notes.txt", sg.Asset(), False),
    ("bamboo.txt", sg.Asset(), False),
]


@pytest.mark.parametrize(("name", "asset", "are_reads"), READS)
def test_reads_are_seen_by_type_and_by_name(
    store: Store, tmp_path: Path, name: str, asset: sg.Asset, are_reads: bool
) -> None:
    (tmp_path / name).write_text("x")
    assert bool(reads_among(store, [store.add(tmp_path / name, asset)])) is are_reads


def test_reads_in_directories_and_companions_count(store: Store, tmp_path: Path) -> None:
    (tmp_path / "run/lane1").mkdir(parents=True)
    (tmp_path / "run/lane1/s1.fastq.gz").write_text("x")
    (tmp_path / "report.txt").write_text("x")
    assert reads_among(store, [store.add(tmp_path / "run")]) == ["run"]
    beside = store.add(tmp_path / "report.txt", companions=[tmp_path / "run/lane1/s1.fastq.gz"])
    assert reads_among(store, [beside]) == ["s1.fastq.gz"]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[PinataStandIn]:
    monkeypatch.setenv("PINATA_JWT", JWT)
    with standing_in() as started:
        yield started


@pytest.mark.parametrize(
    ("network", "public", "told"), [("public", False, r"s1\.fq holds reads.*--public"), ("public", True, "")]
)
def test_reads_go_to_a_public_account_only_if_that_is_said(
    store: Store, tmp_path: Path, service: PinataStandIn, network: str, public: bool, told: str
) -> None:
    (tmp_path / "s1.fq").write_text("@a\nA\n+\nI\n")
    reads = store.add(tmp_path / "s1.fq", sg.R1(sample_id="s1"))
    entry = {"pinata": network, "api": service.url, "uploads": service.url, "gateway": service.url, "timeout": 5}
    if told:
        with pytest.raises(NotPublic, match=told):
            publish(store, reads, read_remote(entry), public=public)
        assert not service.files[network]
        assert not store.pins(), "nothing was kept for it"
        return
    done = publish(store, reads, read_remote(entry), public=public)
    assert done.pinned
    assert done.links[0] == f"{service.url}/ipfs/{done.cid}/"


def test_a_private_account_takes_no_directory_and_says_so_before_anything_is_kept(
    store: Store, tmp_path: Path, service: PinataStandIn
) -> None:
    _, result = made(store, tmp_path)
    remote = read_remote({"pinata": "private", "api": service.url, "uploads": service.url, "gateway": service.url})
    with pytest.raises(RemoteCannot, match="public network only"):
        publish(store, result, remote)
    assert not service.requests
    assert not store.pins()


def test_a_page_says_who_signed_to_those_who_do_not_know_the_publisher_nor_his_names(
    store: Store, published: Published, anna: str, tmp_path: Path
) -> None:
    page = text_of(store, published, "index.html")
    assert "yours" not in page
    assert page.count(f"signed by {anna[:16]}") > 1, "in the table and in the tree"
    names = {"stargazer.key": str(tmp_path / "keys/ben.pem"), "stargazer.trust": {"anna-of-the-lab": anna}}
    with dask.config.set(names):
        (result,) = store.find(name="twice.txt")
        assert set(sg.trace(result).whose.values()) == {"signed by anna-of-the-lab"}
        again = sg.publish(result, to=str(tmp_path / "lab"), title="Hello <twice>", license="CC-BY-4.0", store=store)
    assert again.cid == published.cid, "whoever publishes it, under whatever names he knows others"


def test_a_gateway_takes_nothing(store: Store, tmp_path: Path) -> None:
    _, result = made(store, tmp_path)
    with pytest.raises(RemoteCannot, match="nothing can be published"):
        publish(store, result, read_remote({"gateway": "http://127.0.0.1:9"}))


def test_a_node_keeps_it_and_shows_the_page(store: Store, tmp_path: Path, kubo: Kubo, node: Node) -> None:
    _, result = made(store, tmp_path)
    done = publish(store, result, kubo, title="For everybody")
    assert done.pinned
    assert kubo.is_pinned(done.cid)
    with urllib.request.urlopen(f"{node.gateway}/ipfs/{done.cid}/", timeout=60) as answer:
        assert b"<title>For everybody</title>" in answer.read()
    with urllib.request.urlopen(f"{node.gateway}/ipfs/{done.cid}/result/twice.txt", timeout=60) as answer:
        assert answer.read() == b"HELLO-HELLO"
    mine = Store(tmp_path / "mine")
    gateway = read_remote({"gateway": node.gateway})
    with pytest.warns(RemoteWarning, match="not all believed"):
        bundle_at(f"{node.gateway}/ipfs/{done.cid}/", mine, [gateway]).fetch(mine, [gateway])
    assert mine.find(name="twice.txt")
    kubo.unpin(done.cid)


def test_the_commands(store: Store, anna: str, tmp_path: Path, configure: Configure) -> None:
    _, result = made(store, tmp_path)
    configure({"store": str(tmp_path / "lab"), "name": "lab"})
    run = CliRunner().invoke(app, ["publish", str(result.cid), "--to", "lab", "--store", store.url, "--json"])
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert told["pinned"]
    with dask.config.set({"stargazer.trust": {"anna": anna}}):
        where = ["--store", str(tmp_path / "mine")]
        run = CliRunner().invoke(app, ["bundle", "fetch", f"ipfs://{told['cid']}", *where])
        assert run.exit_code == 0, run.output
        assert "twice.txt" in run.stdout
        with Store(tmp_path / "mine"):
            assert wired(sg.add(tmp_path / "text.txt")).known() is not None
