"""A store that version 0.1.0 made is read, queried, traced and added to by this version."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import dask.config
import golden_tasks
import pytest
from golden_store import AT_ONCE, asset_told, bytes_digest, expected, flat, lineage_told, result_told, unpack

import stargazer as sg
from stargazer.assets import asset_types
from stargazer.cid import cid_of_path

TOLD = expected()
TYPES = sorted({asset["type"] for asset in TOLD["assets"].values()})

KEPT: set[str] = set()
"""Calls of `golden_tasks.wire` whose keys are what they were in 0.1.0: every later version knows their results. None
since 0.2.0, which renewed the identity of code, once, for all."""

CODE = "0.2.0: what a body declares to return counts, and all that it reaches is followed or makes the key wide"

RENEWED: dict[str, str] = {
    "class": CODE,
    "companion": CODE,
    "containers": CODE,
    "cut off, first": CODE,
    "cut off, second": CODE,
    "after the first": CODE,
    "after the second": CODE,
    "dict": CODE,
    "directory": CODE,
    "element of a tuple": CODE,
    "helpers and constants": CODE,
    "inputs of every shape": CODE,
    "list": CODE,
    "named tuple": CODE,
    "optional input": CODE,
    "options": CODE,
    "own type": CODE,
    "plain values": CODE,
    "scalars": CODE,
    "scalars, infinite": CODE,
    "table and pattern": CODE,
    "text": CODE,
    "tuple": CODE,
    "value of a call": CODE,
    "dataclass": "0.2.0: the class of a value counts with its module and the code of its methods",
    "enum": "0.2.0: the class of a value counts with its module and the code of its methods",
    "version": "0.2.0: beside version=, what the closure and the defaults of a body hold counts",
}
"""Calls whose keys a later version renewed, each with that version and the reason: ``{"class": "0.2.0: …"}``.

Their old results are still read, queried and traced; the calls run again. Keys are renewed in one release, once, and a
call whose key changes for no reason that is told here is a fault. A call goes with those that it takes its inputs from
in so far as the plan key is concerned; its content key stays unless its own task was renewed.

Keys of built-in tasks are in neither table: versions and digests of the tools that are installed belong to them.
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store as it was left; not to be opened."""
    return unpack(tmp_path_factory.mktemp("golden"))


@pytest.fixture(params=["links", "copies"])
def golden(request: pytest.FixtureRequest, unpacked: Path, tmp_path: Path) -> Iterator[sg.Store]:
    """A copy of the store: with keys as hard links to records, and as a program copies it that knows of no links."""
    place = tmp_path / "golden"
    if request.param == "links":
        unpack(tmp_path / "unpacked").rename(place)
    else:
        copy_as_git_does(unpacked, place)
    with dask.config.set(scheduler="synchronous"), sg.Store(place) as opened:
        yield opened


def copy_as_git_does(store: Path, place: Path) -> None:
    """Copy the files alone: links become files, and no mode, time or empty folder is kept."""
    for path in store.rglob("*"):
        if path.is_file():
            target = place / path.relative_to(store)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())


def inputs(store: sg.Store) -> dict[str, sg.Asset]:
    return {name: store.get(identifier) for name, identifier in TOLD["inputs"].items()}


def records(store: sg.Store) -> set[str]:
    root = Path(store.backend.path("records"))
    return {path.name for path in root.rglob("*") if path.is_file()}


class Behind(NamedTuple):
    """Ids of the records that the two keys of a call lead to."""

    plan: str | None
    content: str | None


def behind(store: sg.Store, call: Mapping[str, str]) -> Behind:
    found = store.records.get_keys([call["plan_key"], call["content_key"]])
    return Behind(*(found.get(call[kind], b"").decode() or None for kind in ("plan_key", "content_key")))


def all_told(section: str) -> list[tuple[str, dict[str, Any]]]:
    return sorted(TOLD[section].items())


# --- it is read


def test_the_store_holds_an_asset_of_every_type_that_there_was() -> None:
    here = {kind.__name__ for kind in asset_types().values()}
    assert set(TYPES) <= here, "a type is gone that stores have assets of"
    assert {"Asset", "Summits", "AnnData", "Reference", "VQSRTranches"} <= set(TYPES)
    assert len(TOLD["typed"]) == 30


def test_every_asset_is_read_as_it_was_stored(golden: sg.Store) -> None:
    for identifier, told in all_told("assets"):
        asset = golden.get(identifier)
        assert asset_told(asset) == told, identifier
        assert sg.Asset.from_dict(told["dict"]) == asset
        assert type(asset).from_keyvalues(told["keyvalues"], cid=asset.cid, companions=asset.companions) == asset


def test_the_bytes_have_the_cid_that_they_had(golden: sg.Store) -> None:
    for identifier, told in all_told("assets"):
        assert cid_of_path(golden.get(identifier).fetch(), symlinks="follow") == told["dict"]["cid"]


def test_companions_are_fetched_beside_their_file(golden: sg.Store) -> None:
    reference = inputs(golden)["reference"]
    index = reference.companion(sg.ReferenceIndex)
    path = reference.fetch()
    assert path.name == "small.fa"
    assert (path.parent / "small.fa.fai").read_bytes() == index.fetch().read_bytes()
    assert index.reference_cid == reference.cid
    assert [contig.name for contig in reference.contigs] == ["chr1", "chr2"]


def test_questions_have_the_answers_that_they_had(golden: sg.Store) -> None:
    for verb, asked, answer in TOLD["queries"]:
        assert [asset.id for asset in getattr(golden, verb)(**asked)] == answer, (verb, asked)


def test_what_was_revised_gives_way_and_is_still_read(golden: sg.Store) -> None:
    old, new = TOLD["typed"]["coverage"], TOLD["revised"]
    added = golden.get(new)
    assert [asset.id for asset in golden.find(asset="coverage")] == [new]
    assert (golden.get(old).mean_depth, added.mean_depth) == (0.25, 9.5)


def test_every_record_is_read_as_it_was_written(golden: sg.Store) -> None:
    assert records(golden) == set(TOLD["records"])
    for identifier, told in all_told("records"):
        record = sg.Record.from_bytes(golden.records.get(identifier) or b"", identifier)
        assert record is not None, identifier
        read = {name: getattr(record, name) for name in told}
        assert json.loads(json.dumps(read)) == told


def test_a_failure_is_remembered_and_is_no_hit(golden: sg.Store) -> None:
    (failed,) = (told for told in TOLD["records"].values() if told["status"] == "failed")
    assert (failed["task"], failed["error"]) == ("failing", "ValueError: no summits in words.txt")
    assert golden.records.get_keys([failed["plan_key"], failed["content_key"]]) == {}


@pytest.mark.parametrize("section", ["calls", "built_in"])
def test_keys_lead_to_their_records(golden: sg.Store, section: str) -> None:
    for name, told in all_told(section):
        assert behind(golden, told) == Behind(told["record"], told["record"]), name


def test_two_ways_to_the_same_bytes_lead_to_one_record() -> None:
    first, second = TOLD["calls"]["after the first"], TOLD["calls"]["after the second"]
    assert first["plan_key"] != second["plan_key"]
    assert (first["content_key"], first["record"]) == (second["content_key"], second["record"])
    assert TOLD["calls"]["cut off, first"]["record"] != TOLD["calls"]["cut off, second"]["record"]


# --- it is traced


def test_lineages_are_what_they_were(golden: sg.Store) -> None:
    calls, built_in = TOLD["calls"], TOLD["built_in"]
    words = golden.get(TOLD["inputs"]["words"])
    starts = {
        "up": (made(golden, calls["after the second"]), "up"),
        "up, of a bare CID": (made(golden, calls["after the first"]).cid, "up"),
        "up, built-in": (made(golden, built_in["find_markers"]), "up"),
        "down": (words, "down"),
        "down, built-in": (made(golden, built_in["bwa_mem"]), "down"),
    }
    assert starts.keys() == TOLD["lineage"].keys()
    for name, (start, direction) in starts.items():
        assert in_order(lineage_told(sg.trace(start, direction=direction))) == in_order(TOLD["lineage"][name]), name


def made(store: sg.Store, told: dict[str, Any]) -> sg.Asset:
    """The asset that a call made, as a handle that knows its record."""
    return store.assets.handle(store.get(told["result"]["asset"]), told["record"])


def in_order(nodes: list[dict[str, Any]]) -> list[str]:
    """Nodes as text, whatever order those of one millisecond came in."""
    told = ({**node, "next": in_order(node["next"]), "repeated": None} for node in nodes)
    return sorted(json.dumps(node, sort_keys=True) for node in told)


def test_logs_of_the_tools_are_read(golden: sg.Store) -> None:
    record = TOLD["records"][TOLD["built_in"]["bwa_mem"]["record"]]
    assert "bwa" in golden.get(record["log"]).fetch().read_text()


# --- it is whole, and garbage collection knows what it must keep


def test_nothing_is_wrong_with_it(golden: sg.Store) -> None:
    checked = golden.fsck()
    assert checked.ok
    assert (checked.unknown, checked.strays) == ((), ())
    assert checked.files == sum(1 for path in Path(golden.backend.path("blobs")).rglob("*") if path.is_file())


def test_pins_hold_what_they_held(golden: sg.Store) -> None:
    assert {name: [asset.id for asset in assets] for name, assets in golden.pins().items()} == TOLD["pins"]


def test_garbage_is_what_it_was_and_what_is_pinned_stays(golden: sg.Store) -> None:
    pinned = flat([asset for assets in golden.pins().values() for asset in assets])
    swept = golden.gc(grace=AT_ONCE, recent=AT_ONCE)
    assert files_of(swept.removed) == files_of(TOLD["garbage"])
    gone = names_of(swept.removed)
    for identifier, told in all_told("assets"):
        # 0.1.0 kept records of assets of which a companion was gone.
        assert (identifier in gone) == (not gone.isdisjoint(cids_of(told["dict"]))), identifier
        if identifier not in gone:
            assert bytes_digest(golden.get(identifier).fetch()) == told["bytes"]
    assert names_of(TOLD["garbage"]) <= gone
    assert pinned.keys().isdisjoint(gone)
    assert set(TOLD["typed"].values()).isdisjoint(gone)
    assert golden.fsck().ok


def files_of(places: Iterable[str]) -> list[str]:
    return sorted(place for place in places if place.startswith(("blobs/", "trees/")))


def names_of(places: Iterable[str]) -> set[str]:
    return {place.rpartition("/")[2] for place in places}


def cids_of(asset: dict[str, Any]) -> set[str]:
    return {asset["cid"]}.union(*(cids_of(each) for each in asset.get("companions", ())))


# --- its calls are known


def test_the_table_has_every_call_once() -> None:
    assert set(RENEWED).isdisjoint(KEPT)
    assert set(RENEWED) | KEPT == set(TOLD["calls"])
    assert all(reason.partition(": ")[2] for reason in RENEWED.values()), "say which version renewed it, and why"


def test_the_calls_are_those_that_the_store_has(golden: sg.Store) -> None:
    assert golden_tasks.wire(inputs(golden)).keys() == TOLD["calls"].keys()


def test_keys_that_stay_stay_and_renewed_ones_are_new(golden: sg.Store) -> None:
    calls = golden_tasks.wire(inputs(golden))
    stayed = {name for name, call in calls.items() if call.plan_key == TOLD["calls"][name]["plan_key"]}
    changed = {name: call.plan_key for name, call in calls.items() if name not in stayed}
    assert stayed == KEPT, f"RENEWED and KEPT do not say what is so: {sorted(changed.keys() ^ RENEWED.keys())}"


def test_calls_whose_keys_stay_are_known(golden: sg.Store) -> None:
    before = records(golden)
    calls = golden_tasks.wire(inputs(golden))
    known = [calls[name] for name in sorted(KEPT)]
    assert not sg.plan(known).to_run
    for name in sorted(KEPT):
        assert result_told(calls[name].compute()) == TOLD["calls"][name]["result"], name
    assert records(golden) == before


def test_calls_that_were_renewed_run_and_give_the_same_bytes(golden: sg.Store) -> None:
    calls = golden_tasks.wire(inputs(golden))
    assert [name for name in RENEWED if calls[name].known() is not None] == []
    for name in sorted(RENEWED):
        told = TOLD["calls"][name]["result"]
        assert without_records(result_told(calls[name].compute())) == without_records(told), name


def without_records(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: without_records(value) for name, value in told.items() if name != "record"}
    return [without_records(item) for item in told] if isinstance(told, list) else told


def test_content_keys_that_stay_cut_off_what_is_reached_on_a_new_way(golden: sg.Store) -> None:
    before = records(golden)
    calls = golden_tasks.wire(inputs(golden))
    later = [name for name in sorted(KEPT) if TOLD["calls"][name]["plan_key"] != TOLD["calls"][name]["content_key"]]
    assert {"after the second", "inputs of every shape", "element of a tuple", "value of a call"} <= {*later, *RENEWED}
    for name in later:
        told = TOLD["calls"][name]
        os.unlink(golden.backend.path(f"keys/{told['plan_key'][-3:-1]}/{told['plan_key']}"))
        assert result_told(calls[name].compute()) == told["result"], name
        assert behind(golden, told).plan == told["record"]
    assert records(golden) == before


def test_another_process_knows_them_too(golden: sg.Store, tmp_path: Path) -> None:
    script = (
        "import sys, golden_tasks, stargazer as sg; from golden_store import expected\n"
        "with sg.Store(sys.argv[1]) as store:\n"
        "    inputs = {name: store.get(id) for name, id in expected()['inputs'].items()}\n"
        "    print(len(sg.plan(golden_tasks.wire(inputs)).to_run))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", script, golden.backend.path("").rstrip("/")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (int(done.stdout) == 0) == (not RENEWED)


# --- it is added to


def test_new_work_goes_on_from_it(golden: sg.Store) -> None:
    made = golden_tasks.upper(golden_tasks.text(words="new")).compute()
    assert made.fetch().read_text() == "NEW"
    assert golden.fsck().ok


def test_what_was_added_is_added_again_for_nothing(golden: sg.Store, tmp_path: Path) -> None:
    words = inputs(golden)["words"]
    (tmp_path / "words.txt").write_bytes(words.fetch().read_bytes())
    before = set(Path(golden.backend.path("blobs")).rglob("*"))
    assert golden.add(tmp_path / "words.txt", sg.Asset(language="English", lines=3)) == words
    assert set(Path(golden.backend.path("blobs")).rglob("*")) == before


def test_a_store_that_was_harmed_says_so(unpacked: Path, tmp_path: Path) -> None:
    """The tests above can fail."""
    place = tmp_path / "harmed"
    shutil.copytree(unpacked, place)
    words = TOLD["assets"][TOLD["inputs"]["words"]]["dict"]["cid"]
    blob = place / "blobs" / words[-3:-1] / words
    blob.chmod(0o644)
    blob.write_text("another\n")
    with sg.Store(place) as harmed:
        assert harmed.fsck().corrupt == (words,)
