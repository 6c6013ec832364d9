"""A result with its history: known on a second machine, traced there; only trusted stores are believed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from nodes import make, running
from text_tasks import made, upper, wired

import stargazer as sg
from stargazer.errors import RemoteCannot, RemoteError
from stargazer.remotes import find_bundle, make_bundle, read_remote
from stargazer.store import Store
from stargazer.workflows import germline_short_variant_discovery

Configure = Callable[..., None]


def test_on_a_second_machine_it_is_known_and_traced(store: Store, tmp_path: Path) -> None:
    source, result = made(store, tmp_path)
    sg.push(result, to=str(tmp_path / "second"), lineage=True)
    with Store(tmp_path / "second") as second:
        assert second.fsck().ok
        assert not second.has(str(source.cid))
        call = wired(second.get(source.id))
        assert [planned for planned in sg.plan(call) if planned.state != "known"] == []
        [known] = call.known() or ()
        assert known.fetch().read_text() == "HELLO-HELLO"
        lineage = sg.trace(known)
        assert [record.task.rpartition(":")[2].rpartition(".")[2] for record in lineage.records] == ["twice", "upper"]
        assert [asset.name for asset in lineage.sources] == ["text.txt"]
        assert second.gc(grace=0).removed == ()
    sg.push(result, to=str(tmp_path / "second"), inputs=True)
    with Store(tmp_path / "second") as second:
        assert second.read(str(source.cid)) == b"hello"
        other, _ = upper(second.get(source.id))
        assert other.compute().fetch().read_text() == "HELLO"
        assert second.fsck().ok


def test_records_are_taken_from_trusted_stores_only(store: Store, tmp_path: Path, configure: Configure) -> None:
    source, result = made(store, tmp_path)
    cid = str(result.cid)
    with Store(tmp_path / "mine") as mine:
        configure({"store": store.url, "name": "lab"}, {"gateway": "https://gateway.example"})
        with pytest.raises(RemoteError, match=r"(?s)lab: record \w+ is not trusted.*gateway keeps no records"):
            sg.fetch(cid, lineage=True)
        assert sg.fetch(cid).read_text() == "HELLO-HELLO"
        assert sg.trace(cid).records == []
        configure({"store": store.url, "name": "lab", "trust": True})
        assert sg.fetch(cid, lineage=True).read_text() == "HELLO-HELLO"
        assert len(sg.trace(cid).records) == 2
        assert wired(mine.get(source.id)).known() is not None
        assert mine.fsck().ok


def test_records_go_to_stores_only(store: Store, tmp_path: Path, configure: Configure) -> None:
    _, result = made(store, tmp_path)
    configure({"kubo": "http://127.0.0.1:5001", "name": "home"})
    with pytest.raises(RemoteCannot, match="home is a Kubo node, which keeps no records"):
        sg.push(result, to="home", lineage=True)


def test_what_the_other_store_knows_stays(store: Store, tmp_path: Path) -> None:
    _, result = made(store, tmp_path)
    with Store(tmp_path / "second") as second:
        again = wired(second.add(tmp_path / "text.txt"))
        theirs = again.compute()
        sg.push(result, to=second.url, lineage=True)
        [known] = again.known() or ()
        assert known == theirs
        assert sg.trace(known).records[0].id == sg.trace(theirs).records[0].id
        assert len(sg.trace(str(theirs.cid)).roots) == 2
        assert second.fsck().ok


def test_a_file_that_is_here_without_a_companion_of_its_history_is_not_missed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "text.idx").write_text("index")
    source = store.add(tmp_path / "text.txt", companions=[tmp_path / "text.idx"])
    result = upper(source)[0].compute()
    other = Store(tmp_path / "other")
    other.add(tmp_path / "text.txt")
    sg.push(result, to=other.url, lineage=True)
    assert other.has(str(source.cid))
    assert other.fsck().ok


PLAN = """
import sys
import stargazer as sg
from stargazer.workflows import germline_short_variant_discovery
with sg.Store(sys.argv[1]):
    vcf = germline_short_variant_discovery("GRCh38_TP53", ["NA12829"])
    print(sum(planned.state != "known" for planned in sg.plan(vcf)), vcf.known()[0].cid)
"""


@pytest.mark.slow
@pytest.mark.parametrize("held", ["store", "kubo"])
def test_the_germline_demo_runs_from_a_bundle_and_is_a_hit_elsewhere(
    held: str, shared_data: Path, tmp_path: Path, tool: Callable[[str], str], configure: Configure
) -> None:
    demo = find_bundle("variant_calling_demo")
    lab = Store(tmp_path / "lab")
    for asset in demo.assets:
        assert lab.add(shared_data / "tp53" / asset.name).cid == asset.cid
    with Store(tmp_path / "first") as first:
        if held == "store":
            demo.fetch(first, [read_remote({"store": lab.url})])
        else:
            with running(make(tool("ipfs"), tmp_path / "kubo")) as node:
                remote = read_remote({"kubo": node.rpc})
                for cid in demo.cids:
                    remote.push(cid, lab)
                demo.fetch(first, [remote])
        vcf = germline_short_variant_discovery("GRCh38_TP53", ["NA12829"]).compute()
        assert first.fsck().ok
        sg.push(vcf, to=str(tmp_path / "second"), lineage=True, inputs=True)  # wiring looks at the names of reads
        written = make_bundle("result", [vcf], first).to_yaml()
    assert str(vcf.cid) in written
    command = [sys.executable, "-c", PLAN, str(tmp_path / "second")]
    told = subprocess.run(command, capture_output=True, text=True)
    assert (told.returncode, told.stdout.split()) == (0, ["0", vcf.cid]), told.stderr
    assert Store(tmp_path / "second").fsck().ok
    configure({"store": str(tmp_path / "second"), "name": "second", "trust": True}, {"store": lab.url})
    with Store(tmp_path / "third") as third:
        demo.fetch(third, [read_remote({"store": lab.url})])
        flight = sg.run(germline_short_variant_discovery("GRCh38_TP53", ["NA12829"]), progress=False)
        assert (flight.tasks_run, flight.result().cid) == (0, vcf.cid)
        assert third.has(str(vcf.cid))
        assert third.fsck().ok
