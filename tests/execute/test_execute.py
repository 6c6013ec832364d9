"""When a body runs, and what its record says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dask
import pytest

import stargazer as sg
from stargazer.errors import BlobLost, StoreFull, ToolMissing, UncertainCode, WorkerMismatch
from stargazer.fingerprint import UncertainIdentity
from stargazer.ledger import Ledger, NotDeterministic, Record
from stargazer.store import Store


class Ran:
    """Which bodies ran: in a file, for what a body changes in its module would change its identity."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __eq__(self, names: object) -> bool:
        return (self.log.read_text().split() if self.log.exists() else []) == names


@pytest.fixture(autouse=True)
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ran]:
    monkeypatch.setenv("RAN", str(tmp_path / "ran.log"))
    with dask.config.set(scheduler="sync"):
        yield Ran(tmp_path / "ran.log")


def note(name: str) -> None:
    with open(os.environ["RAN"], "a") as log:
        print(name, file=log)


def write(work: sg.Workdir, text: str) -> sg.Asset:
    out = work.file("out.txt")
    out.write_text(text)
    return sg.Asset(path=out)


@sg.task
def number(work: sg.Workdir, *, i: int, unused: int = 0) -> sg.Asset:
    note("number")
    return write(work, str(i))


@sg.task
def double(work: sg.Workdir, x: sg.Asset) -> sg.Asset:
    note("double")
    return write(work, str(2 * int(x.path.read_text())))


@sg.task
def pair(work: sg.Workdir, x: sg.Asset, *, noise: int = 0) -> tuple[sg.Asset, int]:
    note("pair")
    return write(work, x.path.read_text()), noise


def blob(store: Store, asset: sg.Asset) -> Path:
    cid = str(asset.cid)
    return Path(store.url.removeprefix("file://"), "blobs", cid[-3:-1], cid)


@sg.task
def overflowing(work: sg.Workdir) -> sg.Asset:
    with open("/dev/full", "w") as full:  # what a full disk answers
        full.write("x" * 100_000)
    raise AssertionError


def test_a_full_disk_in_a_body_is_told_as_such(store: sg.Store) -> None:
    with pytest.raises(StoreFull, match="no space left while overflowing wrote to its scratch directory"):
        overflowing().compute()


def test_a_known_call_runs_no_more(store: Store, ran: Ran) -> None:
    first = double(number(i=3)).compute()
    assert double(number(i=3)).compute() == first
    assert ran == ["number", "double"]


def test_the_same_bytes_on_another_way_stop_there(store: Store, ran: Ran) -> None:
    double(number(i=3)).compute()
    again = double(number(i=3, unused=1)).compute()
    assert ran == ["number", "double", "number"]
    assert again.fetch().read_text() == "6"
    # And the next time one look-up finds it.
    double(number(i=3, unused=1)).compute()
    assert ran == ["number", "double", "number"]


def test_a_consumer_of_one_element_does_not_run_because_another_changed(store: Store, ran: Ran) -> None:
    double(pair(number(i=3))[0]).compute()
    double(pair(number(i=3), noise=1)[0]).compute()
    assert ran == ["number", "pair", "double", "pair"]


def test_another_name_or_fact_of_the_same_bytes_is_another_input(store: Store, tmp_path: Path, ran: Ran) -> None:
    (tmp_path / "x").write_text("4")
    asset = store.add(tmp_path / "x")
    double(asset).compute()
    double(store.put(replace(asset, name="y"))).compute()
    double(store.put(replace(asset, facts={"sample": "s"}))).compute()
    double(asset).compute()
    assert ran == ["double"] * 3


def test_the_record_tells_what_happened(store: Store, ran: Ran) -> None:
    made = double(number(i=3)).compute()
    record = Ledger(store.records).get(made.source.record)
    assert record is not None
    (number_record,) = [Ledger(store.records).get(name) for name in record.producers.values()]
    assert number_record is not None
    assert (number_record.task, number_record.parameters) == ("number", {"i": 3, "unused": 0})
    assert (record.task, record.status, record.output_cids) == ("double", "ok", [made.cid])
    assert record.input_cids == number_record.output_cids
    assert set(record.manifest) == {"double", "double returns", "write", "note"}
    assert 0 < record.seconds < 60
    assert Record.from_bytes(record.to_bytes(), record.id) == record


@sg.task
def dice(work: sg.Workdir) -> sg.Asset:
    note("dice")
    return write(work, str(time.perf_counter_ns()))


def test_a_task_that_is_not_deterministic_is_reported(store: Store) -> None:
    first = dice().compute()
    blob(store, first).unlink()
    with pytest.warns(NotDeterministic, match="dice is not deterministic: .* The first result was lost"):
        second = dice().compute()
    assert second.cid != first.cid
    assert dice().compute() == second
    record = Ledger(store.records).get(second.source.record)
    assert record is not None
    assert record.differs_from == first.source.record


def test_of_two_results_the_first_is_kept(store: Store) -> None:
    """Two schedulers that do not know of each other may both run a call."""
    first = dice().compute()
    ledger = Ledger(store.records)
    record = ledger.get(first.source.record)
    assert record is not None
    other = store.add(Path(__file__))
    outputs = {"asset": other.to_dict()}
    with pytest.warns(NotDeterministic, match="The first result is kept"):
        kept = ledger.append(record._replace(id="", outputs=outputs, output_cids=[str(other.cid)]))
    assert kept == record
    assert dice().compute() == first


def test_what_a_body_counts_in_its_module_is_named_before_it_runs(store: Store) -> None:
    """On threads and workers alike, for the call is never made."""
    with pytest.warns(UncertainIdentity, match="COUNTS, which code adds to .* depends on the calls before it; pass it"):
        counting(i=1)
    with dask.config.set({"stargazer.strict": True}), pytest.raises(UncertainCode, match="COUNTS, which code adds to"):
        counted(i=1)


COUNTS: list[int] = []


@sg.task
def counting(work: sg.Workdir, *, i: int) -> int:
    COUNTS.append(i)
    return len(COUNTS)


@sg.task
def counted(work: sg.Workdir, *, i: int) -> int:
    COUNTS.append(i)
    return len(COUNTS)


def test_lost_inputs_are_made_again_and_only_those(store: Store, ran: Ran) -> None:
    made = double(number(i=3)).compute()
    (given,) = (asset for asset in store.find() if asset.cid != made.cid)
    blob(store, given).unlink()
    assert double(number(i=3)).compute() == made
    blob(store, made).unlink()
    assert double(number(i=3)).compute() == made
    assert ran == ["number", "double", "number", "double"]


def test_a_lost_file_that_no_call_makes_is_named(store: Store, tmp_path: Path, ran: Ran) -> None:
    (tmp_path / "x").write_text("4" * 5000)
    asset = store.add(tmp_path / "x")
    blob(store, asset).unlink()
    with pytest.raises(BlobLost, match=str(asset.cid)):
        double(asset).compute()


def shout(tmp_path: Path, version: str) -> None:
    tool = tmp_path / "bin" / "shout"
    tool.parent.mkdir(exist_ok=True)
    tool.write_text(f"#!/bin/sh\nif [ $# = 1 ]; then echo shout {version}; else tr a-z A-Z; fi\n")
    tool.chmod(0o755)


def test_a_worker_refuses_other_tools(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: Ran) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    shout(tmp_path, "1.0")

    @sg.task(tools=["shout"], uses=["dask"])
    def loud(work: sg.Workdir) -> str:
        note("loud")
        return "x"

    call = loud()
    assert loud() is call
    shout(tmp_path, "1.1")
    with pytest.raises(WorkerMismatch, match=r"this worker has shout 1\.1 .* but the call was made with 1\.0"):
        call.compute()
    assert loud() is not call
    assert loud().compute() == "x"
    (tmp_path / "bin" / "shout").unlink()
    with pytest.raises(ToolMissing, match="shout is not on PATH; install it"):
        loud()
    assert ran == ["loud"]
    with pytest.raises(ToolMissing, match="pip install no-such-package"):
        sg.task(uses=["no-such-package"])(lambda work: 1)()


def test_tools_may_depend_on_parameters(store: Store, ran: Ran) -> None:
    @sg.task(tools=lambda engine: ["sort"] if engine == "sort" else [])
    def chosen(work: sg.Workdir, *, engine: str = "none", more: int = 0) -> int:
        return 1

    assert [tool.name for tool in chosen(engine="sort").spec.tools] == ["sort"]
    assert chosen().spec.tools == ()


def test_a_tool_that_never_answers_does_not_hang_the_call(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: Ran
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("stargazer.tools.identity.PATIENCE", 0.5)
    (tmp_path / "stubborn").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "stubborn").chmod(0o755)

    @sg.task(tools=["stubborn"])
    def slow(work: sg.Workdir) -> int:
        return 1

    assert slow().spec.tools[0].version == "unknown"


PIPELINE = """
import json, sys
import stargazer as sg

@sg.task(cpus=int(sys.argv[4]))
def lines(work: sg.Workdir, *, i: int) -> tuple[sg.Asset, sg.Asset]:
    out, rest = work.file("lines.txt"), work.file("rest.txt")
    work.pipe(["seq", i, 2000], ["sort", f"--parallel={work.cpus}"], stdout=out)
    rest.write_text(f"{i} {out.relative_to(work.path)}")
    return sg.Asset(path=out), sg.Asset(path=rest)

@sg.task
def merged(work: sg.Workdir, parts: list[sg.Asset], table: dict[str, sg.Asset]) -> sg.Asset:
    out = work.directory("merged")
    work.run(["sort", "-m", *(part.path for part in parts)], stdout=out / "all.txt")
    (out / "names").write_text(" ".join(f"{name}={each.path.relative_to(work.path)}" for name, each in table.items()))
    return sg.Asset(path=out)

if __name__ == "__main__":
    parts = [lines(i=i) for i in range(1, 6)]
    call = merged([part[0] for part in parts], {str(i): part[1] for i, part in enumerate(parts)})
    workers, threads = int(sys.argv[2]), int(sys.argv[3])
    with sg.Store(sys.argv[1]):
        call = merged([lines(i=i)[0] for i in range(1, 6)], {str(i): lines(i=i)[1] for i in range(1, 6)})
        if workers:
            with sg.connect("local", workers=workers, cpus=threads):
                made = call.compute()
        else:
            made = sg.run(call, progress=False).result()
    print(json.dumps([made.cid, call.plan_key]))
"""


def test_results_are_the_same_bytes_wherever_and_however_they_are_made(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    found = set()
    for place, (workers, threads, cpus) in enumerate([(0, 0, 1), (1, 2, 2), (4, 1, 1)]):
        arguments = [str(tmp_path / f"store {place}"), str(workers), str(threads), str(cpus)]
        done = subprocess.run([sys.executable, "pipeline.py", *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.add(tuple(json.loads(done.stdout.splitlines()[-1])))
    assert len(found) == 1


def test_no_warning_of_the_engine_itself(store: Store, ran: Ran) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        double(number(i=9)).compute()
