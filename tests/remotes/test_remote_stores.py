"""Another store as a remote: directories, companions, ranges, corrupt files, and the command line."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from gateways import Gateway, blocks_of
from typer.testing import CliRunner

import stargazer as sg
from stargazer.cli.app import app
from stargazer.errors import ConfigError, NotFound, RemoteError, RemoteLacks
from stargazer.remotes import RemoteWarning, fetch_into, read_remote
from stargazer.store import Store, layout

Configure = Callable[..., None]
Random = Callable[[int], Path]


@pytest.fixture(params=["local", "memory"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store that several people share."""
    return Store.open(str(tmp_path / "lab") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def folder(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    (root / "b/empty").mkdir(parents=True)
    (root / "b/c.bin").write_bytes(bytes(range(256)) * 3000)
    (root / ".zattrs").write_text("{}")
    return root


def test_push_and_fetch_keep_cids_names_and_companions(
    lab: Store, store: Store, tmp_path: Path, random_file: Random, configure: Configure
) -> None:
    (tmp_path / "x.bam.bai").write_bytes(b"index")
    index = sg.AlignmentIndex(path=tmp_path / "x.bam.bai")
    bam = store.add(random_file(700_000), sg.Alignment(sample_id="s1"), companions=[index], name="x.bam")
    tree = store.add(folder(tmp_path))
    configure({"store": lab.url, "name": "lab"})
    sg.push(bam, to="lab")
    sg.push(tree, to="lab")
    assert lab.fsck().ok
    assert [each.name for each in lab.assemble(asset="alignment", sample_id="s1")] == ["x.bam"]

    with Store(tmp_path / "mine") as mine:
        path = sg.fetch(lab.assemble(asset="alignment")[0].cid)
        assert path.read_bytes() == random_file(700_000).read_bytes()
        fetched = sg.fetch(str(tree.cid))
        assert (fetched / "b/c.bin").read_bytes() == (tmp_path / "folder/b/c.bin").read_bytes()
        assert (fetched / "b/empty").is_dir()
        assert (fetched / ".zattrs").read_text() == "{}"
        assert sg.fetch(f"{tree.cid}/.zattrs").read_text() == "{}"
        assert mine.fsck().ok


def test_a_handle_whose_bytes_are_gone_is_fetched_again_with_its_companions(
    store: Store, tmp_path: Path, random_file: Random, configure: Configure
) -> None:
    (tmp_path / "x.bam.bai").write_bytes(b"index")
    bam = store.add(random_file(70_000), sg.Alignment(), companions=[tmp_path / "x.bam.bai"], name="x.bam")
    configure({"store": str(tmp_path / "lab"), "name": "lab"})
    sg.push(bam, to="lab")
    for member in (bam, *bam.companions):
        store.backend.remove(layout.blob(str(member.cid)))
    path = sg.fetch(bam)
    assert path.name == "x.bam"
    assert (path.parent / "x.bam.bai").read_bytes() == b"index"


def test_a_corrupt_file_of_a_store_is_refused_and_the_next_remote_serves(
    lab: Store, store: Store, tmp_path: Path, random_file: Random
) -> None:
    path = random_file(400_000)
    good = Store(tmp_path / "good")
    cid = str(good.add(path).cid)
    lab.add(path)
    harmed = tmp_path / "harmed"
    harmed.write_bytes(path.read_bytes()[:-1] + b"!")
    if lab.backend.quick:
        lab.backend.remove(layout.blob(cid))
    with fsspec.open(f"{lab.url}/{layout.blob(cid)}", "wb") as out:
        out.write(harmed.read_bytes())
    bad, fine = read_remote({"store": lab.url, "name": "bad"}), read_remote({"store": good.url, "name": "fine"})
    with pytest.raises(RemoteError, match=f"bad: bad sent a file as {cid} that is not what this CID names"):
        fetch_into(store, cid, [bad])
    with pytest.warns(RemoteWarning, match="bad was skipped"):
        fetch_into(store, cid, [bad, fine])
    assert store.read(cid) == path.read_bytes()
    assert store.fsck().ok


def test_a_copy_that_was_cut_off_goes_on(store: Store, origin: Store, random_file: Random) -> None:
    path = random_file(5 << 20)
    cid = str(origin.add(path).cid)
    _ = store.context.header
    store.context.scratch.mkdir(exist_ok=True)
    (store.context.scratch / f"fetch-{cid}").write_bytes(path.read_bytes()[: 3 << 20])
    came: list[int] = []
    fetch_into(store, cid, [read_remote({"store": origin.url})], came.append)
    assert sum(came) == 2 << 20
    assert store.read(cid) == path.read_bytes()
    (store.context.scratch / "nothing").touch()
    other = str(origin.add(__file__).cid)
    (store.context.scratch / f"fetch-{other}").write_bytes(b"something else")
    fetch_into(store, other, [read_remote({"store": origin.url})])
    assert store.read(other) == Path(__file__).read_bytes()


def test_gateways_come_after_a_store_that_lacks_it(
    store: Store, origin: Store, tmp_path: Path, random_file: Random, serve: Callable[..., Gateway]
) -> None:
    cid = str(origin.add(random_file(300_000)).cid)
    gateway = serve(blocks_of(origin, cid))
    remotes = [read_remote({"store": str(tmp_path / "empty")}), read_remote({"gateway": gateway.url})]
    fetch_into(store, cid, remotes)
    assert store.has(cid)


def test_cid_urls_read_from_stores(lab: Store, store: Store, tmp_path: Path, configure: Configure) -> None:
    cid = str(lab.add(folder(tmp_path)).cid)
    with pytest.raises(FileNotFoundError):
        fsspec.filesystem("cid").info(cid)
    configure({"store": lab.url})
    fs = fsspec.filesystem("cid")
    assert fs.cat_file(f"{cid}/b/c.bin", 256, 260) == bytes(range(4))
    assert sorted(fs.find(cid)) == [f"{cid}/.zattrs", f"{cid}/b/c.bin"]
    assert fs.size(f"{cid}/b/c.bin") == 256 * 3000


def test_cids_of_version_0_are_read(store: Store, tmp_path: Path, configure: Configure) -> None:
    lab = Store(tmp_path / "lab")
    assert lab.add(folder(tmp_path) / "b/empty").cid == "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    configure({"store": lab.url})
    assert sg.fetch("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn").is_dir()


def test_cid_urls_ask_every_remote(
    lab: Store, store: Store, tmp_path: Path, configure: Configure, serve: Callable[..., Gateway]
) -> None:
    small = str(lab.add(__file__).cid)
    large = str(lab.add(folder(tmp_path) / "b/c.bin").cid)
    configure({"gateway": serve({}).url, "name": "empty"}, {"store": lab.url, "name": "lab"})
    fs = fsspec.filesystem("cid")
    assert fs.cat_file(small) == Path(__file__).read_bytes()
    assert fs.size(large) == 256 * 3000
    absent = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    with pytest.raises(FileNotFoundError, match=r"(?s)empty: .*lab: "):
        fs.info(absent)


def test_a_remote_without_its_token_or_out_of_reach_is_named_and_the_next_one_serves(
    lab: Store, store: Store, tmp_path: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = str(lab.add(folder(tmp_path) / "b/c.bin").cid)
    monkeypatch.delenv("PINATA_JWT", raising=False)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/store.json").write_text("{")
    unusable = [
        {"kubo": "http://127.0.0.1:9", "name": "closed", "token": "NO_SUCH_TOKEN"},
        {"pinata": "private", "gateway": "http://127.0.0.1:9"},
        {"store": str(tmp_path / "torn"), "name": "torn"},
    ]
    configure(*unusable)
    missing = "(?s)closed: the environment variable NO_SUCH_TOKEN is not set.*pinata: .*PINATA_JWT.*torn: .*damaged"
    with pytest.raises(RemoteError, match=missing):
        sg.fetch(cid)
    configure(*unusable, {"store": lab.url, "name": "lab"})
    with pytest.warns(RemoteWarning, match="was skipped"):
        assert sg.fetch(cid).stat().st_size == 256 * 3000


def test_facts_are_asked_of_stores(lab: Store, tmp_path: Path, random_file: Random) -> None:
    lab.add(random_file(10), sg.R1(sample_id="s1"))
    remote = read_remote({"store": lab.url, "name": "lab"})
    assert [each.sample_id for each in remote.query(asset="r1")] == ["s1"]
    assert read_remote({"store": str(tmp_path / "none")}).query(asset="r1") == []


def test_what_cannot_be_sent_is_said(store: Store, configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no remote 'lab'; there are: none is configured"):
        sg.push(store.add(__file__), to="lab")
    configure({"store": str(tmp_path / "lab"), "name": "lab"})
    with pytest.raises(NotFound):
        sg.push("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", to="lab")


def test_on_the_command_line(store: Store, tmp_path: Path, configure: Configure) -> None:
    run = CliRunner()
    root = folder(tmp_path)
    cid = str(store.add(root).cid)
    lab, mine = str(tmp_path / "lab"), str(tmp_path / "mine")
    assert run.invoke(app, ["push", cid, "--to", lab]).stdout == f"{cid}  folder\n"
    configure({"store": lab, "name": "lab"}, {"gateway": "https://gateway.example"})
    listed = json.loads(run.invoke(app, ["remotes", "--json"]).stdout)["remotes"]
    assert [(each["name"], each["kind"]) for each in listed] == [("lab", "store"), ("gateway.example", "gateway")]
    configure({"store": lab, "name": "lab"})
    out = tmp_path / "out"
    result = run.invoke(app, ["get", f"{cid}/b/c.bin", "--out", f"{out}/", "--store", mine])
    assert result.exit_code == 0, result.output
    assert (out / "c.bin").read_bytes() == (root / "b/c.bin").read_bytes()
    assert run.invoke(app, ["get", cid, "--out", f"{out}/copy", "--store", mine]).exit_code == 0
    assert (out / "copy/.zattrs").read_text() == "{}"
    absent = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    failed = run.invoke(app, ["get", absent, "--store", mine])
    assert failed.exit_code == 1
    assert "lab: lab does not have" in failed.output


def test_nothing_of_it_is_imported_before_it_is_needed(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, stargazer as sg\n"
        f"store = sg.Store({str(tmp_path / 'fresh')!r})\n"
        "asset = store.add(sys.executable)\n"
        "store.fetch(asset)\n"
        "assert not {'httpx', 'tenacity', 'stargazer.remotes'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nobody_has_it(store: Store, tmp_path: Path) -> None:
    cid = "bafybeia3lsmhibzqk3uo5phryz4wurlj26pn74klczwbmnxq3pf5q3iyy4"
    with pytest.raises(RemoteLacks, match="lab does not have"):
        fetch_into(store, cid, [read_remote({"store": str(tmp_path / "lab"), "name": "lab"})])
