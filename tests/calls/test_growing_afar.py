"""Graphs that grow on the workers of a Dask client."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from growing import feed, grow, per_part, read, split, total, until, value, values, wide_or_not

import stargazer as sg
from stargazer.errors import RunFailed
from stargazer.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        yield store


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_what_a_script_defines_is_wired_on_workers(tmp_path: Path) -> None:
    script = Path(__file__).with_name("growing_script.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "store")], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == "[18, 20, 54, 90, 135]", done.stderr


def test_a_run_wires_while_everything_else_goes_on(client: Any, store: Store) -> None:
    parts = split(numbers=[1, 2, 3])
    report, other = total(per_part(parts, by=10), more=values(parts)), grow(split(numbers=[5])[0])
    run = sg.run(report, other, until(parts[0], 0, goal=6, most=9), client=client, progress=False)
    assert list(map(read, run.result())) == [11 + 12 + 13 + 6, 6, 6]
    assert sg.run(report, client=client, progress=False).status().count() == 0


def test_compute_on_a_client_wires_here(client: Any, store: Store) -> None:
    parts = split(numbers=[4, 5])
    assert read(wide_or_not(parts, value(parts[0]), limit=9).compute()) == 9 + 18
    assert [read(each) for each in grow.map(parts, by=3).compute()] == [7, 8]
    with pytest.raises(ValueError, match="no thirteens") as caught:
        total(per_part(split(numbers=[2, 13]))).compute()
    assert "this was grow of per_part[1]" in caught.value.__notes__


def test_a_failure_on_a_client_takes_nothing_else_along(client: Any, store: Store) -> None:
    failing, fine = total(per_part(split(numbers=[2, 13]))), total(per_part(split(numbers=[3, 4])))
    flight = sg.run(failing, fine, client=client, progress=False, wait=False)
    with pytest.raises(RunFailed, match=r"(?s)1 of .*grow [0-9a-f]{8} of per_part\[1\]: ValueError") as caught:
        flight.result()
    assert len(caught.value.failures) == 1
    assert fine.known() is not None
    assert len([label for label in flight.failures if label.startswith("grow")]) == 1


def test_needs_of_what_is_wired_are_asked_for_when_its_inputs_are_there(client: Any, store: Store) -> None:
    assert sg.run(feed(split(numbers=[8, 9])), client=client, progress=False).result() == [100_000_001, 100_000_002]
